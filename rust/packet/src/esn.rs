//! Extended sequence numbers at the receiver (RFC 4303 appendix A, RFC 4302 appendix B): the upper half, which is not
//! sent.
//!
//! [`recover`] finds it in the ordinary case. When more than 2^32 packets in a row were lost, it finds the wrong one,
//! and every packet fails its integrity check from then on; [`Resync`] says when to try later upper halves, and which.

use std::ops::RangeInclusive;

/// The whole number of a packet that carries `lower`, where `top` is the highest that was accepted and `window` the
/// size of the replay window (RFC 4303 appendix A2.2). `None` if it would lie left of all numbers, or right.
#[inline]
pub fn recover(top: u64, window: u64, lower: u32) -> Option<u64> {
    // Case A and case B are one: the number is the only one in the 2^32 that begin at the left edge of the window.
    let edge = i128::from(top) - i128::from(window) + 1;
    let above_edge = lower.wrapping_sub(edge as u32);
    u64::try_from(edge + i128::from(above_edge)).ok()
}

/// Of so many packets in a row with a wrong ICV, the last is tried with later upper halves, and of the next so many
/// again.
pub const TRIGGER: u32 = 64;
/// How many later upper halves are tried with one packet.
pub const TRIALS: u64 = 8;

/// The re-synchronization of RFC 4303 appendix A3: a count of failures, and what to try.
///
/// What it costs: a good packet sets the count to 0, which is one store where it was 0 already. A flood of forged
/// packets costs [`TRIALS`] checks more in [`TRIGGER`] packets, an eighth, and one copy of the packet that is tried. It
/// covers losses of up to [`TRIALS`] times 2^32 packets, half a minute at a thousand million packets a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resync {
    failures: u32,
}

impl Resync {
    /// Begin without failures.
    pub fn new() -> Self {
        Self::default()
    }

    /// A packet was authenticated.
    #[inline]
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// A packet failed. True if it should be tried with [`candidates`]: opening destroys a packet, so that the caller
    /// needs a copy, which [`Resync::is_due`] tells beforehand to make.
    pub fn failed(&mut self) -> bool {
        let is_due = self.is_due();
        self.failures = (self.failures + 1) % TRIGGER;
        is_due
    }

    /// True if the next packet, should it fail, is one to be tried again.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.failures == TRIGGER - 1
    }
}

/// The numbers to try for a packet whose [`recover`]ed number failed: the same lower half under later upper halves, "by
/// incrementing by one for each retry" (RFC 4303 appendix A3.2).
pub fn candidates(recovered: u64) -> impl Iterator<Item = u64> {
    let steps: RangeInclusive<u64> = 1..=TRIALS;
    steps.map_while(move |step| recovered.checked_add(step << 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The pseudo-code of RFC 4303 appendix A2.3, in 32-bit arithmetic: the upper half.
    fn oracle(top: u64, window: u32, lower: u32) -> Option<u64> {
        let (upper, tl) = ((top >> 32) as u32, top as u32);
        let left = tl.wrapping_sub(window).wrapping_add(1);
        let upper = if tl >= window - 1 {
            if lower >= left {
                Some(upper)
            } else {
                upper.checked_add(1)
            }
        } else if lower >= left {
            upper.checked_sub(1)
        } else {
            Some(upper)
        };
        Some(u64::from(upper?) << 32 | u64::from(lower))
    }

    /// RFC 4303 appendix A2.2, cases A and B, row by row, with a window of 64.
    #[test]
    fn the_upper_half_is_found() {
        let rows = [
            (0, 1, Some(1)),
            (0, 0xffff_ffff, None), // before the first packet there is nothing left of it
            (100, 37, Some(37)),
            (100, 36, Some(0x1_0000_0024)), // left of the window: it must be the next subspace
            (0xffff_fff0, 0xffff_ffff, Some(0xffff_ffff)),
            (0xffff_fff0, 0, Some(0x1_0000_0000)),
            (0x1_0000_0005, 0xffff_fff0, Some(0xffff_fff0)), // case B: the window spans two
            (0x1_0000_0005, 6, Some(0x1_0000_0006)),
            (0x7_0000_003f, 0, Some(0x7_0000_0000)),
            (0x7_0000_0040, 0, Some(0x8_0000_0000)),
            (u64::MAX, 0xffff_ffff, Some(u64::MAX)),
            (u64::MAX, 0, None), // there is no number behind 2^64 - 1
        ];
        for (top, lower, expected) in rows {
            assert_eq!(recover(top, 64, lower), expected, "{top:#x} {lower:#x}");
        }
    }

    proptest! {
        #[test]
        fn equals_the_pseudo_code(
            upper in prop_oneof![Just(0u32), Just(1), Just(u32::MAX), any::<u32>()],
            tl in prop_oneof![0u32..5000, (u32::MAX - 5000)..=u32::MAX, any::<u32>()],
            window in 32u32..=4096,
            lower in prop_oneof![0u32..10_000, (u32::MAX - 10_000)..=u32::MAX, any::<u32>()],
        ) {
            let top = u64::from(upper) << 32 | u64::from(tl);
            prop_assert_eq!(recover(top, window.into(), lower), oracle(top, window, lower));
        }

        /// What is sent within the reach of the window comes back (RFC 4303 appendix A2).
        #[test]
        fn the_sent_number_comes_back(top: u64, window in 32u64..=4096, ahead in -4095i64..=0x7fff_ffff) {
            let ahead = ahead.max(1 - window as i64);
            if let Some(sent) = top.checked_add_signed(ahead) {
                prop_assert_eq!(recover(top, window, sent as u32), Some(sent));
            }
        }
    }

    /// RFC 4303 appendix A3.1: consecutive failures trigger it, a valid packet resets the count.
    #[test]
    fn only_failures_in_a_row_trigger() {
        let mut resync = Resync::new();
        for _ in 0..TRIGGER - 1 {
            assert!(!resync.failed());
        }
        assert!(resync.is_due());
        resync.succeeded();
        assert!(!resync.is_due());
        let due = (0..10 * TRIGGER).filter(|_| resync.failed()).count();
        assert_eq!(due, 10);
    }

    /// RFC 4303 appendix A3.2: "the number of retries should be limited".
    #[test]
    fn candidates_are_later_and_few() {
        let numbers: Vec<u64> = candidates(0x5_0000_0007).collect();
        assert_eq!(numbers.len() as u64, TRIALS);
        assert_eq!(numbers[..2], [0x6_0000_0007, 0x7_0000_0007]);
        assert_eq!(candidates(u64::MAX).count(), 0);
        assert_eq!(candidates(u64::MAX - (2 << 32)).count(), 2);
    }
}
