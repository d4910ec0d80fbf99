//! Whose turn it is to send, where several workers seal for one SA.
//!
//! Each takes its sequence numbers with one atomic addition and seals while the others do the same. But a peer's window
//! is 64 packets wide perhaps (RFC 4303 section 3.4.3): what one worker sealed and holds back, for the scheduler took its
//! core, would be too old once the others had sent theirs. So trains leave in the order of their numbers. Where one worker
//! alone seals for an SA, which is the rule, this costs a load and a store for each train.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A worker that takes longer has a stuck socket or no core at all: the others go on without it.
const LONGEST: Duration = Duration::from_millis(50);

/// The turns of what has an order: the packets of an outbound SA, the trains of a socket.
#[derive(Debug)]
pub struct Turns {
    /// All numbers below this were sent, or never will be.
    next: AtomicU64,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    passed: Condvar,
    longest: Duration,
}

/// A worker's turn: it passes when this is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    after: u64,
}

impl Turns {
    /// `first`: the first number that will be sent.
    pub fn new(first: u64) -> Self {
        Self {
            next: AtomicU64::new(first),
            waiting: AtomicUsize::new(0),
            lock: Mutex::new(()),
            passed: Condvar::new(),
            longest: LONGEST,
        }
    }

    /// Wait at most so long for a turn, instead of 50 ms.
    #[must_use]
    pub fn with_patience(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Wait for the turn of the numbers from `first` to `after`, which is behind the last.
    pub fn await_turn(&self, first: u64, after: u64) -> Turn<'_> {
        if !self.has_come(first) {
            self.sleep_until(first);
        }
        Turn { turns: self, after }
    }

    /// Whether everything below this number is done.
    // Sequentially consistent, as are the other accesses: either the one that passes its turn sees us waiting, or we see
    // that it has passed.
    pub fn has_come(&self, first: u64) -> bool {
        self.next.load(Ordering::SeqCst) >= first
    }

    #[cold]
    fn sleep_until(&self, first: u64) {
        let deadline = Instant::now() + self.longest;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.lock();
        while !self.has_come(first) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.passed.wait_timeout(guard, left);
            (guard, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
        drop(guard);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn pass(&self, after: u64) {
        self.next.fetch_max(after, Ordering::SeqCst); // one that waited too long may have gone ahead
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.lock()); // whoever is about to sleep has looked before, or looks after
            self.passed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.pass(self.after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn the_next_waits_for_nobody() {
        let turns = Turns::new(1);
        drop(turns.await_turn(1, 45));
        drop(turns.await_turn(45, 46));
        assert_eq!(turns.next.load(Ordering::SeqCst), 46);
    }

    #[test]
    fn several_go_in_the_order_of_their_numbers() {
        const THREADS: u64 = 4;
        const EACH: u64 = 500;
        let (turns, sent) = (Turns::new(1), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (turns, sent) = (&turns, &sent);
                scope.spawn(move || {
                    for round in 0..EACH {
                        let first = 1 + round * THREADS + thread;
                        let _turn = turns.await_turn(first, first + 1);
                        sent.lock().unwrap().push(first);
                    }
                });
            }
        });
        let expected: Vec<u64> = (1..=THREADS * EACH).collect();
        assert_eq!(sent.into_inner().unwrap(), expected);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let turns = Turns::new(1);
        let began = Instant::now();
        drop(turns.await_turn(45, 90)); // the first 44 never come
        assert!(began.elapsed() >= LONGEST);
        drop(turns.await_turn(1, 45)); // or late
        drop(turns.await_turn(90, 91));
        assert!(began.elapsed() < LONGEST * 2);
    }
}
