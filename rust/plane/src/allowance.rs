//! How many messages may be sent in a time (RFC 4443 section 2.4 (f), RFC 1812 section 4.3.2.8).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A token bucket, as RFC 4443 recommends it, in one number: the time at which it will be full again. It is the same for
/// everybody, and keeps nothing of any sender.
#[derive(Debug)]
pub(crate) struct Allowance {
    began: Instant,
    /// Nanoseconds since the beginning.
    full_at: AtomicU64,
    interval: u64,
    burst: u64,
}

impl Allowance {
    /// `rate`: a second, at least 1. `burst`: at once.
    pub(crate) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self {
            began: now,
            full_at: AtomicU64::new(0),
            interval: Duration::from_secs(1).as_nanos() as u64 / u64::from(rate.max(1)),
            burst: u64::from(burst),
        }
    }

    /// Take one; false when there is none.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.began).as_nanos() as u64;
        let latest = now.saturating_add(self.burst.saturating_mul(self.interval));
        let next = |full_at: u64| {
            let next = full_at.max(now).saturating_add(self.interval);
            (next <= latest).then_some(next)
        };
        self.full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(allowance: &Allowance, now: Instant) -> usize {
        (0..1000).take_while(|_| allowance.take(now)).count()
    }

    #[test]
    fn a_burst_and_then_a_rate() {
        let now = Instant::now();
        let allowance = Allowance::new(100, 50, now);
        assert_eq!(taken(&allowance, now), 50);
        assert_eq!(taken(&allowance, now + Duration::from_millis(9)), 0);
        assert_eq!(taken(&allowance, now + Duration::from_millis(10)), 1);
        assert_eq!(taken(&allowance, now + Duration::from_millis(110)), 10);
        assert_eq!(taken(&allowance, now + Duration::from_secs(3600)), 50);
    }

    #[test]
    fn a_clock_that_stands_still_gives_nothing() {
        let now = Instant::now();
        let allowance = Allowance::new(100, 5, now + Duration::from_secs(1));
        assert_eq!(taken(&allowance, now), 5);
        assert_eq!(taken(&allowance, now), 0);
    }
}
