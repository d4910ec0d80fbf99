//! What the control side tells a running worker.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::IoError;
use crate::eventfd::EventFd;
use crate::tun::Tun;

/// A worker takes its orders between two turns; one that does not in this time is stuck in the system.
const LONGEST: Duration = Duration::from_secs(2);

/// What a worker shall do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Carry the packets of this queue too; the number is its interface's.
    Add(u32, Tun),
    /// Drop its queue of this interface.
    Remove(u32),
}

/// The orders of one worker. Locked by the worker only when it was woken for them.
#[derive(Debug)]
pub(crate) struct Mailbox {
    wake: EventFd,
    letters: Mutex<Letters>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct Letters {
    waiting: Vec<Order>,
    /// How many were given, and how many were carried out.
    given: u64,
    done: u64,
}

impl Mailbox {
    pub(crate) fn new() -> Result<Self, IoError> {
        Ok(Self {
            wake: EventFd::new()?,
            letters: Mutex::default(),
            done: Condvar::new(),
        })
    }

    /// What the worker polls.
    pub(crate) fn wake(&self) -> &EventFd {
        &self.wake
    }

    /// Give an order. Orders are carried out one after the other.
    pub(crate) fn give(&self, order: Order) {
        let mut letters = self.lock();
        letters.waiting.push(order);
        letters.given += 1;
        drop(letters);
        self.wake.raise();
    }

    /// No worker runs yet: drop its queue of this interface here.
    pub(crate) fn cancel(&self, interface: u32) {
        let is_of = |order: &Order| match order {
            Order::Add(number, _) | Order::Remove(number) => *number == interface,
        };
        let mut letters = self.lock();
        let before = letters.waiting.len();
        letters.waiting.retain(|order| !is_of(order));
        letters.given -= (before - letters.waiting.len()) as u64;
    }

    /// Wait until all orders so far are carried out; false when that takes too long.
    pub(crate) fn await_done(&self) -> bool {
        let letters = self.lock();
        let wanted = letters.given;
        let waited = self
            .done
            .wait_timeout_while(letters, LONGEST, |letters| letters.done < wanted);
        let (letters, _) = waited.unwrap_or_else(PoisonError::into_inner);
        letters.done >= wanted
    }

    /// The worker: take the orders that there are.
    pub(crate) fn take(&self) -> Vec<Order> {
        self.wake.lower(); // before taking: an order that comes in between raises it again
        std::mem::take(&mut self.lock().waiting)
    }

    /// The worker: so many were carried out.
    pub(crate) fn finished(&self, count: usize) {
        self.lock().done += count as u64;
        self.done.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn orders_are_done_when_the_worker_says_so() {
        let mailbox = Mailbox::new().unwrap();
        assert!(mailbox.await_done());
        mailbox.give(Order::Remove(1));
        mailbox.give(Order::Remove(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let orders = mailbox.take();
                assert!(matches!(orders[..], [Order::Remove(1), Order::Remove(2)]));
                mailbox.finished(orders.len());
            });
            assert!(mailbox.await_done());
        });
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn what_is_cancelled_is_not_waited_for() {
        let mailbox = Mailbox::new().unwrap();
        mailbox.give(Order::Remove(1));
        mailbox.cancel(1);
        assert!(mailbox.await_done());
        assert!(mailbox.take().is_empty());
    }
}
