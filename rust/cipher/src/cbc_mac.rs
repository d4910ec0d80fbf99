//! The two MACs of IPsec that are made of AES-CBC: AES-XCBC (RFC 3566) and AES-CMAC (RFC 4493).
//!
//! They differ only in how the keys for the last block are derived. AWS-LC has CMAC too, but a context of it is for one
//! message at a time, and a copy of one allocates: so the chaining, which is AWS-LC's CBC, starts here.

use zeroize::{Zeroize, Zeroizing};

use crate::aes::{AesEncrypt, BLOCK};
use crate::Refused;

type Block = [u8; BLOCK];

/// A key of AES-XCBC or AES-CMAC, ready for use.
pub struct CbcMac {
    cipher: AesEncrypt,
    /// Added to a last block that is whole.
    whole: Zeroizing<Block>,
    /// Added to a last block that was padded.
    padded: Zeroizing<Block>,
}

impl CbcMac {
    /// AES-XCBC-MAC with a key of 16 octets (RFC 3566 section 4): three keys are encrypted constants.
    pub fn xcbc(key: &[u8]) -> Result<Self, Refused> {
        let key = sized(key)?;
        let derive = |constant: u8| {
            let mut block = Zeroizing::new([constant; BLOCK]);
            key.block(&mut block);
            block
        };
        let (first, whole, padded) = (derive(1), derive(2), derive(3));
        Ok(Self {
            cipher: AesEncrypt::new(&first[..])?,
            whole,
            padded,
        })
    }

    /// AES-CMAC with a key of 16 octets (RFC 4493 section 2.3): two keys are multiples of the encrypted zero.
    pub fn cmac(key: &[u8]) -> Result<Self, Refused> {
        let cipher = sized(key)?;
        let mut zero = Zeroizing::new([0; BLOCK]);
        cipher.block(&mut zero);
        let whole = doubled(&zero);
        let padded = doubled(&whole);
        Ok(Self {
            cipher,
            whole,
            padded,
        })
    }

    /// The MAC of `octets` and, behind them, at most 16 octets more.
    pub fn sign(&self, octets: &[u8], tail: &[u8]) -> Result<Block, Refused> {
        if tail.len() > BLOCK {
            return Err(Refused);
        }
        // The last block is chained apart: leave it, even if it is whole.
        let (body, rest) = octets.split_at(octets.len().saturating_sub(1) / BLOCK * BLOCK);
        let mut state = [0; BLOCK];
        self.cipher.chain(&mut state, body);
        let mut end = [0; 2 * BLOCK];
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()..rest.len() + tail.len()].copy_from_slice(tail);
        let last = self.next_to_last(&mut state, &end, rest.len() + tail.len());
        self.finish(&mut state, last);
        Ok(state)
    }

    /// Chain the first of two blocks if both are in use; the last block, and how much of it is in use.
    fn next_to_last<'a>(
        &self,
        state: &mut Block,
        end: &'a [u8; 2 * BLOCK],
        used: usize,
    ) -> &'a [u8] {
        match used.checked_sub(BLOCK) {
            Some(more) if more > 0 => {
                self.cipher.chain(state, &end[..BLOCK]);
                &end[BLOCK..used]
            }
            _ => &end[..used],
        }
    }

    /// Pad the last block (10...0), add the key for it, and encrypt.
    fn finish(&self, state: &mut Block, last: &[u8]) {
        add(state, last);
        match state.get_mut(last.len()) {
            None => add(state, &self.whole[..]),
            Some(octet) => {
                *octet ^= 0x80;
                add(state, &self.padded[..]);
            }
        }
        self.cipher.block(state);
    }
}

fn sized(key: &[u8]) -> Result<AesEncrypt, Refused> {
    if key.len() != BLOCK {
        return Err(Refused);
    }
    AesEncrypt::new(key)
}

fn add(state: &mut Block, octets: &[u8]) {
    for (a, b) in state.iter_mut().zip(octets) {
        *a ^= b;
    }
}

/// Twice the block, in GF(2^128) (RFC 4493 section 2.3), without a branch on what is secret.
fn doubled(block: &Block) -> Zeroizing<Block> {
    let mut number = u128::from_be_bytes(*block);
    let carry = number >> 127;
    number = (number << 1) ^ (carry * 0x87);
    let doubled = Zeroizing::new(number.to_be_bytes());
    number.zeroize();
    doubled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;
    use aws_lc_sys as ffi;
    use proptest::prelude::*;

    /// RFC 3566 section 4.6, test cases 1 to 7.
    #[test]
    fn xcbc_of_rfc3566() {
        let mac = CbcMac::xcbc(&unhex("000102030405060708090a0b0c0d0e0f")).expect("a key");
        let rows = [
            (0, "75f0251d528ac01c4573dfd584d79f29"),
            (3, "5b376580ae2f19afe7219ceef172756f"),
            (16, "d2a246fa349b68a79998a4394ff7a263"),
            (20, "47f51b4564966215b8985c63055ed308"),
            (32, "f54f0ec8d2b9f3d36807734bd5283fd4"),
            (34, "becbb3bccdb518a30677d5481fb6b4d8"),
        ];
        for (length, expected) in rows {
            let message: Vec<u8> = (0..length).collect();
            assert_eq!(mac.sign(&message, &[]).expect("a MAC")[..], unhex(expected));
        }
        let expected = unhex("f0dafee895db30253761103b5d84528f");
        assert_eq!(mac.sign(&[0; 1000], &[]).expect("a MAC")[..], expected);
    }

    /// RFC 4494 section 5, test cases 1 to 4.
    #[test]
    fn cmac_of_rfc4494() {
        let mac = CbcMac::cmac(&unhex("2b7e151628aed2a6abf7158809cf4f3c")).expect("a key");
        let message = unhex(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
             30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        );
        let rows = [
            (0, "bb1d6929e95937287fa37d12"),
            (16, "070a16b46b4d4144f79bdd9d"),
            (40, "dfa66747de9ae63030ca3261"),
            (64, "51f0bebf7e3b9d92fc497417"),
        ];
        for (length, expected) in rows {
            let icv = mac.sign(&message[..length], &[]).expect("a MAC");
            assert_eq!(icv[..12], unhex(expected));
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for length in [0, 15, 17, 24, 32] {
            assert!(CbcMac::xcbc(&vec![0; length]).is_err());
            assert!(CbcMac::cmac(&vec![0; length]).is_err());
        }
        let mac = CbcMac::cmac(&[0; 16]).expect("a key");
        assert_eq!(mac.sign(&[], &[0; 17]), Err(Refused));
    }

    /// AWS-LC's own CMAC.
    fn cmac_of_library(key: &[u8; 16], message: &[u8]) -> [u8; 16] {
        let mut mac = [0; 16];
        // SAFETY: lengths and pointers are of the same slices, and the result has 16 octets.
        let done = unsafe {
            ffi::AES_CMAC(
                mac.as_mut_ptr(),
                key.as_ptr(),
                key.len(),
                message.as_ptr(),
                message.len(),
            )
        };
        assert_eq!(done, 1);
        mac
    }

    proptest! {
        #[test]
        fn equals_the_library(key: [u8; 16], message in proptest::collection::vec(any::<u8>(), 0..700), tail in 0usize..=16) {
            let mac = CbcMac::cmac(&key).expect("a key");
            let expected = cmac_of_library(&key, &message);
            prop_assert_eq!(mac.sign(&message, &[]), Ok(expected));
            let (body, tail) = message.split_at(message.len().saturating_sub(tail));
            prop_assert_eq!(mac.sign(body, tail), Ok(expected));
        }
    }
}
