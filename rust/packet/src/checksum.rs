//! The Internet checksum (RFC 1071).

/// A ones' complement sum under construction.
///
/// Words are added in the machine's own byte order, which the sum does not mind (RFC 1071 section 2 (B)), and
/// swapped once at the end. Every piece must begin at an even offset of what is summed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checksum(u64);

impl Checksum {
    /// The sum of nothing.
    pub fn new() -> Self {
        Self(0)
    }

    /// The pseudo-header of TCP and UDP (RFC 9293 section 3.1, RFC 8200 section 8.1).
    ///
    /// `addresses`: source and destination, back to back as they stand in the IP header (8 or 32 octets).
    pub fn pseudo_header(addresses: &[u8], protocol: u8, length: usize) -> Self {
        Self::new()
            .plus(addresses)
            .plus_word(u16::from(protocol))
            .plus_word((length >> 16) as u16)
            .plus_word(length as u16)
    }

    /// Add octets; an odd last octet is padded with zero.
    #[must_use]
    pub fn plus(self, octets: &[u8]) -> Self {
        // Sums of 32-bit halves in 64-bit lanes cannot overflow below 16 GiB, so no carries need care, and the
        // lanes are independent, so the compiler may use vectors.
        let mut lanes = [0u64; 8];
        let blocks = octets.chunks_exact(32);
        let rest = blocks.remainder();
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(4)) {
                let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
                *lane = lane.wrapping_add(u64::from(word));
            }
        }
        let sum = lanes.iter().fold(self.0, |sum, lane| add_carry(sum, *lane));
        Self(add_carry(sum, sum_tail(rest)))
    }

    /// Add a 16-bit number.
    #[must_use]
    pub fn plus_word(self, word: u16) -> Self {
        Self(add_carry(self.0, u64::from(word.to_be())))
    }

    /// The folded sum, not complemented: what stands in a checksum field that hardware shall complete.
    pub fn partial(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        u16::from_be(sum as u16)
    }

    /// The checksum: the complement of the folded sum.
    pub fn finish(self) -> u16 {
        !self.partial()
    }

    /// The checksum of UDP, where 0 would mean "none" and is sent as 0xffff (RFC 768).
    pub fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xffff,
            sum => sum,
        }
    }

    /// True when what was summed, its checksum field included, is intact.
    pub fn is_intact(self) -> bool {
        self.partial() == 0xffff
    }
}

/// The checksum of a message in which the word `old` becomes `new` (RFC 1624 section 3, equation 3).
///
/// A word at an odd offset counts with its octets swapped, in the old and in the new one.
#[must_use]
pub fn updated(checksum: u16, old: u16, new: u16) -> u16 {
    Checksum::new()
        .plus_word(!checksum)
        .plus_word(!old)
        .plus_word(new)
        .finish()
}

fn add_carry(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u64::from(carry))
}

fn sum_tail(rest: &[u8]) -> u64 {
    let words = rest.chunks_exact(2);
    let odd = words.remainder();
    let sum = words.fold(0u64, |sum, word| {
        sum + u64::from(u16::from_ne_bytes([word[0], word[1]]))
    });
    match odd {
        [last] => sum + u64::from(u16::from_ne_bytes([*last, 0])),
        _ => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(octets: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in octets.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// RFC 1071 section 3: the numerical example.
    #[test]
    fn rfc1071_example() {
        let sum = Checksum::new().plus(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.partial(), 0xddf2);
        assert_eq!(sum.finish(), !0xddf2);
    }

    /// RFC 768: a computed zero is sent as all ones.
    #[test]
    fn udp_never_sends_zero() {
        assert_eq!(Checksum::new().plus(&[0xff, 0xff]).finish_udp(), 0xffff);
    }

    /// RFC 1624 section 4: the example that equation 2 gets wrong.
    #[test]
    fn rfc1624_example() {
        assert_eq!(updated(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    proptest! {
        /// RFC 1624 section 3: an update is what a new computation gives.
        #[test]
        fn an_update_equals_a_new_sum(mut octets in proptest::collection::vec(any::<u8>(), 4..100), at: proptest::sample::Index, new: u16) {
            octets[0] |= 1; // a sum of nothing but zeros is the one that has two checksums
            let before = Checksum::new().plus(&octets).finish();
            let at = 2 + at.index(octets.len() - 3);
            let old = u16::from_be_bytes([octets[at], octets[at + 1]]);
            octets[at..at + 2].copy_from_slice(&new.to_be_bytes());
            let after = Checksum::new().plus(&octets).finish();
            let update = if at % 2 == 0 {
                updated(before, old, new)
            } else {
                updated(before, old.swap_bytes(), new.swap_bytes())
            };
            prop_assert_eq!(update, after);
        }

        /// RFC 1071 section 1, word by word, is the oracle.
        #[test]
        fn equals_the_definition(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Checksum::new().plus(&octets).partial(), naive(&octets));
        }

        #[test]
        fn pieces_may_be_added_apart(octets in proptest::collection::vec(any::<u8>(), 0..300), at in 0usize..150) {
            let at = (at * 2).min(octets.len() & !1);
            let (head, tail) = octets.split_at(at);
            prop_assert_eq!(Checksum::new().plus(head).plus(tail).partial(), naive(&octets));
        }

        /// An intact message sums to all ones (RFC 1071 section 1).
        #[test]
        fn intact_is_recognised(mut octets in proptest::collection::vec(any::<u8>(), 4..200), flip in any::<(u8, usize)>()) {
            octets[0..2].fill(0);
            let sum = Checksum::new().plus(&octets).finish();
            octets[0..2].copy_from_slice(&sum.to_be_bytes());
            prop_assert!(Checksum::new().plus(&octets).is_intact());
            let at = flip.1 % octets.len();
            if flip.0 != 0 {
                octets[at] ^= flip.0;
                // A flip can only stay hidden between the two zeros, 0x0000 and 0xffff.
                let hidden = naive(&octets) == 0xffff;
                prop_assert_eq!(Checksum::new().plus(&octets).is_intact(), hidden);
            }
        }
    }
}
