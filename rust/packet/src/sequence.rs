//! Sequence numbers (RFC 4303 sections 2.2 and 3.3.3, RFC 4302 section 2.5): how wide they are, and who gets which.

use std::sync::atomic::{AtomicU64, Ordering};

/// How wide the sequence numbers of an SA are. The packet always carries the lower 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 32 bits.
    Bits32,
    /// 64 bits: extended sequence numbers (RFC 4304).
    Bits64,
}

impl Width {
    /// The last number of an SA.
    pub const fn last(self) -> u64 {
        match self {
            Self::Bits32 => u32::MAX as u64,
            Self::Bits64 => u64::MAX,
        }
    }
}

/// What the ICV of one packet covers beside its octets: the number, of which the packet has but the lower half.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    /// All 64 bits; the upper 32 are 0 without ESN.
    pub value: u64,
    pub width: Width,
}

impl Number {
    /// The upper half with ESN, nothing without: what an integrity algorithm covers behind the packet (RFC 4303 section
    /// 2.8, RFC 4302 section 3.3.3.2.2).
    #[inline]
    pub(crate) fn tail(self) -> Octets<4> {
        let upper = (self.value >> 32) as u32;
        Octets {
            octets: upper.to_be_bytes(),
            length: if self.width == Width::Bits64 { 4 } else { 0 },
        }
    }

    /// SPI and number, all of it with ESN: the AAD of a combined mode algorithm (RFC 4106 section 5, RFC 4309 section
    /// 5, RFC 7634 section 2.1).
    #[inline]
    pub(crate) fn aad(self, spi: [u8; 4]) -> Octets<12> {
        let mut octets = [0; 12];
        octets[..4].copy_from_slice(&spi);
        let length = match self.width {
            Width::Bits32 => {
                octets[4..8].copy_from_slice(&(self.value as u32).to_be_bytes());
                8
            }
            Width::Bits64 => {
                octets[4..].copy_from_slice(&self.value.to_be_bytes());
                12
            }
        };
        Octets { octets, length }
    }
}

/// Up to `N` octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Octets<const N: usize> {
    octets: [u8; N],
    length: usize,
}

impl<const N: usize> std::ops::Deref for Octets<N> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// Hands out sequence numbers, each once, from 1 to the last. They never wrap: RFC 4303 section 3.3.3 forbids to send
/// a packet that would, and a counter that repeats would repeat an AEAD nonce (RFC 4106 section 3.1).
#[derive(Debug)]
pub struct Counter {
    /// The last number that was handed out, so that the very last fits too.
    used: AtomicU64,
    last: u64,
}

/// Consecutive numbers, taken from a [`Counter`].
#[derive(Clone, Debug)]
pub struct Numbers {
    used: u64,
    count: u64,
}

impl Counter {
    /// Begin with `first`, 1 for a new SA. 0 counts as 1: no packet has number 0.
    pub fn new(first: u64, width: Width) -> Self {
        Self {
            used: AtomicU64::new(first.saturating_sub(1)),
            last: width.last(),
        }
    }

    /// The last number that was taken; 0 before the first.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Take up to `count` consecutive numbers at once. They are fewer, perhaps none, when the numbers run out.
    pub fn reserve(&self, count: usize) -> Numbers {
        let count = count as u64;
        let ahead = |used: u64| used.saturating_add(count).min(self.last.max(used));
        // Not an addition: attempts beyond the end must not bring a counter of 64 bits round.
        let used = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(ahead(used))
            });
        let used = used.unwrap_or(self.last);
        Numbers {
            used,
            count: ahead(used) - used,
        }
    }
}

impl Iterator for Numbers {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        self.count = self.count.checked_sub(1)?;
        self.used += 1;
        Some(self.used)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

impl ExactSizeIterator for Numbers {}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(counter: &Counter, count: usize) -> Vec<u64> {
        let numbers = counter.reserve(count);
        let length = numbers.len();
        let numbers: Vec<u64> = numbers.collect();
        assert_eq!(numbers.len(), length);
        numbers
    }

    /// RFC 4303 section 3.3.3: the first packet has 1.
    #[test]
    fn counts_from_the_first() {
        for width in [Width::Bits32, Width::Bits64] {
            let counter = Counter::new(1, width);
            assert_eq!(take(&counter, 1), [1]);
            assert_eq!(take(&counter, 3), [2, 3, 4]);
            assert_eq!(take(&counter, 0), []);
            assert_eq!(take(&counter, 1), [5]);
            assert_eq!(take(&Counter::new(0, width), 1), [1]);
        }
    }

    /// RFC 4303 section 3.3.3: no packet may be sent that would make the number cycle, at 2^32 or, with ESN, at 2^64.
    #[test]
    fn never_wraps() {
        for width in [Width::Bits32, Width::Bits64] {
            let last = width.last();
            let counter = Counter::new(last - 1, width);
            assert_eq!(take(&counter, 10), [last - 1, last]);
            assert_eq!(take(&counter, 1), []);
            assert_eq!(take(&counter, usize::MAX), []);
            assert_eq!(take(&counter, 1), []);
        }
    }

    /// RFC 4304: with ESN, 2^32 - 1 is a number like others.
    #[test]
    fn esn_goes_on_behind_32_bits() {
        let counter = Counter::new(0xffff_ffff, Width::Bits64);
        assert_eq!(take(&counter, 2), [0xffff_ffff, 0x1_0000_0000]);
    }

    /// A first number beyond the last leaves nothing to hand out.
    #[test]
    fn nothing_beyond_the_last() {
        let counter = Counter::new(1 << 33, Width::Bits32);
        assert_eq!(take(&counter, 5), []);
        assert_eq!(take(&counter, 5), []);
    }

    #[test]
    fn numbers_are_handed_out_once() {
        let counter = Counter::new(1, Width::Bits64);
        let taken: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let work = || (0..500).flat_map(|n| counter.reserve(n % 7)).collect();
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join())
                .collect()
        });
        let mut all = taken.concat();
        all.sort_unstable();
        assert!(all.iter().copied().eq(1..=all.len() as u64));
    }

    /// RFC 4106 section 5 and RFC 4303 section 2.8: what the ICV covers.
    #[test]
    fn the_upper_half_counts_with_esn() {
        let value = 0x0102_0304_0506_0708;
        let number = |width| Number { value, width };
        assert_eq!(number(Width::Bits32).tail()[..], []);
        assert_eq!(number(Width::Bits64).tail()[..], [1, 2, 3, 4]);
        let short = number(Width::Bits32).aad([9; 4]);
        assert_eq!(short[..], [9, 9, 9, 9, 5, 6, 7, 8]);
        let long = number(Width::Bits64).aad([9; 4]);
        assert_eq!(long[..], [9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
