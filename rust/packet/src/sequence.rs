//! Outbound sequence numbers (RFC 4303 sections 2.2 and 3.3.3).

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The last sequence number of an SA without ESN.
pub const LAST: u64 = u32::MAX as u64;

/// Hands out sequence numbers, each once, from 1 to 2^32 - 1. They never wrap: RFC 4303 section 3.3.3 forbids to
/// send a packet that would, and a counter that repeats would repeat an AEAD nonce (RFC 4106 section 3.1).
///
/// 64 bits wide inside, so that attempts beyond the end do not bring the counter round.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Begin with `first`, 1 for a new SA.
    pub fn new(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }

    /// Take up to `count` consecutive numbers with one atomic addition. The range is shorter, perhaps empty, when the
    /// numbers run out.
    pub fn reserve(&self, count: usize) -> Range<u64> {
        let start = self.0.fetch_add(count as u64, Ordering::Relaxed);
        let end = start.saturating_add(count as u64).min(LAST + 1);
        start.min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4303 section 3.3.3: the first packet has 1.
    #[test]
    fn counts_from_the_first() {
        let counter = Counter::new(1);
        assert_eq!(counter.reserve(1), 1..2);
        assert_eq!(counter.reserve(45), 2..47);
        assert_eq!(counter.reserve(1), 47..48);
    }

    /// RFC 4303 section 3.3.3: no packet may be sent that would make the number cycle.
    #[test]
    fn never_wraps() {
        let counter = Counter::new(LAST - 1);
        assert_eq!(counter.reserve(10), LAST - 1..LAST + 1);
        assert!(counter.reserve(1).is_empty());
        assert!(counter.reserve(1000).is_empty());
    }
}
