//! The anti-replay window (RFC 4303 section 3.4.3) as a ring of words (RFC 6479).
//!
//! Two steps: [`Window::check`] before the packet is decrypted spares the cipher's work on replays; only
//! [`Window::accept`], after the ICV was verified, moves the window, so a forged sequence number cannot. Between the
//! two another thread may have accepted the same number, so the second step decides.
//!
//! Sequence numbers are 64 bits wide inside: with ESN (RFC 4304) [`Window::number`] finds the upper half first.

use crate::esn;
use crate::sequence::Width;

/// Sizes that a window may have, in packets. RFC 4303 section 3.4.3 demands 32 and recommends 64.
pub const SIZES: std::ops::RangeInclusive<u32> = 32..=4096;

const WORD_BITS: u64 = u64::BITS as u64;

/// Why a sequence number is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was accepted before.
    #[error("replayed")]
    Replayed,
    /// It lies left of the window; number 0 always does (RFC 4303 section 3.3.3: the first packet has 1).
    #[error("too old")]
    TooOld,
}

/// Which of the last `size` sequence numbers were accepted.
#[derive(Clone, Debug)]
pub struct Window {
    /// One bit per number, at number modulo the ring's bits. The ring has at least one word more than the window
    /// spans, so that whole words can be cleared as the window moves (RFC 6479 section 2).
    ring: Box<[u64]>,
    size: u64,
    /// The highest number accepted; 0 before the first.
    top: u64,
}

impl Window {
    /// Make a window of `size` packets; `None` unless [`SIZES`] has the size.
    pub fn new(size: u32) -> Option<Self> {
        if !SIZES.contains(&size) {
            return None;
        }
        let size = u64::from(size);
        let words = (size.div_ceil(WORD_BITS) + 1).next_power_of_two();
        Some(Self {
            ring: vec![0; words as usize].into(),
            size,
            top: 0,
        })
    }

    /// The whole number of a packet that carries `lower`: with ESN the upper half follows from the window (RFC 4303
    /// appendix A2.2).
    #[inline]
    pub fn number(&self, lower: u32, width: Width) -> Result<u64, Refused> {
        match width {
            Width::Bits32 => Ok(lower.into()),
            Width::Bits64 => esn::recover(self.top, self.size, lower).ok_or(Refused::TooOld),
        }
    }

    /// Say whether `sequence` could be accepted. Changes nothing.
    pub fn check(&self, sequence: u64) -> Result<(), Refused> {
        if sequence > self.top {
            return Ok(());
        }
        if sequence == 0 || self.top - sequence >= self.size {
            return Err(Refused::TooOld);
        }
        let (word, bit) = self.place(sequence);
        if self.ring[word] & bit != 0 {
            return Err(Refused::Replayed);
        }
        Ok(())
    }

    /// Accept `sequence`, whose packet was authenticated, and move the window up to it.
    pub fn accept(&mut self, sequence: u64) -> Result<(), Refused> {
        self.check(sequence)?;
        if sequence > self.top {
            self.advance(sequence);
        }
        let (word, bit) = self.place(sequence);
        self.ring[word] |= bit;
        Ok(())
    }

    /// Clear the words that the window enters.
    fn advance(&mut self, sequence: u64) {
        let (old, new) = (self.top / WORD_BITS, sequence / WORD_BITS);
        let entered = (new - old).min(self.ring.len() as u64);
        let mask = self.ring.len() - 1;
        for step in 0..entered {
            self.ring[(new - step) as usize & mask] = 0;
        }
        self.top = sequence;
    }

    fn place(&self, sequence: u64) -> (usize, u64) {
        let word = (sequence / WORD_BITS) as usize & (self.ring.len() - 1);
        (word, 1 << (sequence % WORD_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// The definition, with a set: RFC 4303 section 3.4.3.
    struct Oracle {
        seen: HashSet<u64>,
        top: u64,
        size: u64,
    }

    impl Oracle {
        fn check(&self, sequence: u64) -> Result<(), Refused> {
            if sequence == 0 || sequence + self.size <= self.top {
                Err(Refused::TooOld)
            } else if self.seen.contains(&sequence) {
                Err(Refused::Replayed)
            } else {
                Ok(())
            }
        }

        fn accept(&mut self, sequence: u64) -> Result<(), Refused> {
            self.check(sequence)?;
            self.seen.insert(sequence);
            self.top = self.top.max(sequence);
            Ok(())
        }
    }

    /// RFC 4303 section 3.4.3, row by row.
    #[test]
    fn accepts_each_number_once_and_none_too_old() {
        use Refused::{Replayed, TooOld};
        let rows = [
            (0, Err(TooOld)),
            (1, Ok(())),
            (1, Err(Replayed)),
            (9, Ok(())),
            (8, Ok(())),
            (8, Err(Replayed)),
            (100, Ok(())),
            (68, Err(TooOld)),
            (69, Ok(())),
            (69, Err(Replayed)),
            (9, Err(TooOld)),
            (u64::from(u32::MAX), Ok(())),
            (u64::from(u32::MAX), Err(Replayed)),
            (u64::from(u32::MAX) - 31, Ok(())),
            (u64::from(u32::MAX) - 32, Err(TooOld)),
            (101, Err(TooOld)),
        ];
        let mut window = Window::new(32).expect("a size");
        for (sequence, expected) in rows {
            assert_eq!(window.accept(sequence), expected, "sequence {sequence}");
        }
    }

    /// RFC 4303 section 3.4.3: the window must not move before the ICV was verified.
    #[test]
    fn checking_changes_nothing() {
        let mut window = Window::new(64).expect("a size");
        assert_eq!(window.accept(1), Ok(()));
        for _ in 0..2 {
            assert_eq!(window.check(1_000_000), Ok(()));
        }
        assert_eq!(window.accept(2), Ok(()));
    }

    /// RFC 4303 appendix A2: the window slides from one subspace of 2^32 numbers into the next.
    #[test]
    fn numbers_follow_the_window() {
        let mut window = Window::new(64).expect("a size");
        assert_eq!(window.number(1, Width::Bits64), Ok(1));
        let before = Err(Refused::TooOld);
        assert_eq!(window.number(u32::MAX, Width::Bits64), before);
        assert_eq!(window.accept(0xffff_fffe), Ok(()));
        assert_eq!(window.number(2, Width::Bits64), Ok(0x1_0000_0002));
        assert_eq!(window.accept(0x1_0000_0002), Ok(()));
        assert_eq!(window.number(0xffff_ffff, Width::Bits64), Ok(0xffff_ffff));
        assert_eq!(window.accept(0xffff_ffff), Ok(()));
        assert_eq!(window.check(0xffff_fffe), Err(Refused::Replayed));
        assert_eq!(window.number(7, Width::Bits32), Ok(7));
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(Window::new(31).is_none());
        assert!(Window::new(4097).is_none());
        assert!(Window::new(4096).is_some());
    }

    proptest! {
        #[test]
        fn equals_a_set(
            size in 32u32..=4096,
            steps in proptest::collection::vec((0u8..10, 0u64..9000), 1..400),
        ) {
            let mut window = Window::new(size).expect("a size");
            let mut oracle = Oracle { seen: HashSet::new(), top: 0, size: u64::from(size) };
            for (kind, distance) in steps {
                let sequence = match kind {
                    0..=3 => oracle.top.saturating_sub(distance),
                    4..=6 => oracle.top + distance % 70,
                    7 | 8 => oracle.top.saturating_sub(distance % 70),
                    _ => oracle.top + distance,
                };
                prop_assert_eq!(window.check(sequence), oracle.check(sequence));
                prop_assert_eq!(window.accept(sequence), oracle.accept(sequence));
            }
        }
    }
}
