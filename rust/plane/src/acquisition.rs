//! On demand: a packet that wants an SA asks for it, and waits for it (RFC 4301 section 5.1).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::drops::Drop;
use crate::events::Bell;
use crate::parameters::Event;
use crate::plane::Plane;
use crate::spd::Policy;
use crate::waiting::{Waiter, Waiting};

/// The frames that wait for their SA, and those that have it and wait for a worker. Its locks are taken for packets
/// without an SA, and when there is one: never for a packet that has it.
#[derive(Default)]
pub(crate) struct Acquisition {
    waiting: Mutex<Waiting>,
    released: Mutex<Vec<Waiter>>,
    has_released: AtomicBool,
    /// Rung when there is work for a worker.
    pub(crate) bell: Bell,
}

impl Acquisition {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn released(&self) -> MutexGuard<'_, Vec<Waiter>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frames that are to be sealed now; one load for each batch where there are none.
    pub(crate) fn take_released(&self) -> Vec<Waiter> {
        if !self.has_released.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut released = self.released();
        self.has_released.store(false, Ordering::Relaxed);
        std::mem::take(&mut released)
    }
}

impl Plane {
    /// Have `waker` called when a worker is to call [`Plane::seal_released`]. It must not call the plane.
    pub fn set_worker_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        self.acquisition.bell.set_waker(waker);
    }

    /// Report that a packet wants an SA, once until the event is taken, and keep the packet; drop it where there is no room.
    pub(crate) fn acquire(&self, policy: &Policy, waiter: Waiter) -> Result<(), Drop> {
        let number = policy.number();
        if policy.raise_acquire() && !self.events.push(Event::Acquire { policy: number }) {
            policy.clear_acquire(); // the queue is full: a later packet tries again
        }
        let now = Instant::now();
        let mut waiting = self.acquisition.waiting();
        let lost = waiting.expire(now);
        let is_kept = waiting.keep(number, waiter, now);
        std::mem::drop(waiting);
        self.lose(lost);
        is_kept.then_some(()).ok_or(Drop::NoSa)
    }

    /// Have the frames that a policy kept go through the SPD again: it has an SA now, or wants none any more.
    pub(crate) fn release_waiting(&self, policy: u64) {
        let mut waiting = self.acquisition.waiting();
        let lost = waiting.expire(Instant::now());
        let found = waiting.release(policy);
        std::mem::drop(waiting);
        self.lose(lost);
        if !found.is_empty() {
            self.acquisition.released().extend(found);
            self.acquisition.has_released.store(true, Ordering::Release);
            self.acquisition.bell.ring();
        }
    }

    /// The policy is no more: what it kept is lost.
    pub(crate) fn forget_waiting(&self, policy: u64) {
        let lost = self.acquisition.waiting().release(policy).len();
        self.lose(lost);
    }

    /// An interface is no more: what came from it is lost.
    pub fn forget_interface(&self, interface: u32) {
        let lost = self.acquisition.waiting().forget_interface(interface);
        self.lose(lost);
    }

    /// No policy is left.
    pub(crate) fn clear_waiting(&self) {
        let lost = self.acquisition.waiting().clear() + self.acquisition.take_released().len();
        self.lose(lost);
    }

    /// What waited too long is lost, and counted from now on.
    pub(crate) fn expire_waiting(&self) {
        let lost = self.acquisition.waiting().expire(Instant::now());
        self.lose(lost);
    }

    fn lose(&self, frames: usize) {
        self.count_drop(Drop::NoSa, frames as u64);
    }
}
