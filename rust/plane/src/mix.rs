//! How the tables hash their keys: one multiplication for eight octets, where the standard library's SipHash takes a
//! hundred times as long as the look-up has for it. Seeded at random, for a peer has a say in what it is called: the product
//! of two unknown factors, folded, tells nobody which keys fall together.

use std::hash::{BuildHasher, Hasher, RandomState};

/// An odd number without a pattern: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes hashers with one seed.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    seed: u64,
}

/// A hash so far.
#[derive(Debug)]
pub(crate) struct Mixing(u64, u64);

impl Default for Mix {
    fn default() -> Self {
        Self {
            seed: RandomState::new().hash_one(FACTOR),
        }
    }
}

impl BuildHasher for Mix {
    type Hasher = Mixing;

    #[inline]
    fn build_hasher(&self) -> Mixing {
        Mixing(self.seed, self.seed | 1)
    }
}

impl Mixing {
    #[inline]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR ^ self.1.rotate_left(32));
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

impl Hasher for Mixing {
    #[inline]
    fn finish(&self) -> u64 {
        let product = u128::from(self.0) * u128::from(FACTOR);
        (product as u64) ^ (product >> 64) as u64
    }

    fn write(&mut self, octets: &[u8]) {
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.mix(value as u64);
        self.mix((value >> 64) as u64);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Neighbours and multiples of powers of two, as SPIs and prefixes are, fall on different places: of the lower bits,
    /// which the table takes for them, and of the upper, by which it tells those of one place apart.
    #[test]
    fn keys_alike_fall_apart() {
        for step in [1u128, 1 << 8, 1 << 24, 1 << 32, 1 << 64, 1 << 96] {
            let mix = Mix::default();
            let hashes: Vec<u64> = (0..4096)
                .map(|n: u128| mix.hash_one((true, 32u8, n * step)))
                .collect();
            let different = |shift: u32| {
                hashes
                    .iter()
                    .map(|hash| hash >> shift & 0xffff)
                    .collect::<HashSet<_>>()
                    .len()
            };
            // Thrown at random into 65 536 places, 4096 balls hit some 3970.
            for shift in [0, 24, 48] {
                assert!(
                    different(shift) > 3800,
                    "{step:#x} >> {shift}: {}",
                    different(shift)
                );
            }
        }
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(Mix::default().hash_one(1u32), Mix::default().hash_one(1u32));
    }
}
