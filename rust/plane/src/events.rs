//! The bounded queue of events for the control side.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, RwLock};

use crate::parameters::Event;

/// More than the policies and SAs of a large gateway report before somebody looks.
const MAX_EVENTS: usize = 4096;

type Waker = Box<dyn Fn() + Send + Sync>;

/// Wakes whoever is to look.
#[derive(Default)]
pub(crate) struct Bell(RwLock<Option<Waker>>);

impl Bell {
    pub(crate) fn set_waker(&self, waker: Waker) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(waker);
    }

    pub(crate) fn ring(&self) {
        if let Some(waker) = &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            waker();
        }
    }
}

/// Events that nobody took yet.
#[derive(Default)]
pub(crate) struct Events {
    queue: Mutex<VecDeque<Event>>,
    pub(crate) bell: Bell,
}

impl Events {
    /// Queue an event and wake who waits; false when the queue is full.
    pub(crate) fn push(&self, event: Event) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= MAX_EVENTS {
            return false;
        }
        queue.push_back(event);
        std::mem::drop(queue);
        self.bell.ring();
        true
    }

    pub(crate) fn take(&self) -> Vec<Event> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;

    #[test]
    fn is_bounded_and_wakes() {
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        let events = Events::default();
        events.bell.set_waker(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        for policy in 0..MAX_EVENTS as u64 {
            assert!(events.push(Event::Acquire { policy }));
        }
        assert!(!events.push(Event::SequenceExhausted { handle: 1 }));
        assert_eq!(woken.load(Ordering::Relaxed), MAX_EVENTS);
        assert_eq!(events.take().len(), MAX_EVENTS);
        assert!(events.take().is_empty());
    }
}
