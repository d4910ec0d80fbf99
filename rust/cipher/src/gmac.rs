//! AES-GMAC (NIST SP 800-38D, RFC 4543): AES-GCM without a text.

use std::cell::RefCell;

use crate::aead::{Aead, AeadAlgorithm};
use crate::Refused;

/// Octets of the ICV (RFC 4543 section 3.4: never truncated).
const ICV_LEN: usize = 16;

thread_local! {
    /// What is signed must lie in one piece. Grows to the longest packet of the thread, and stays.
    static PIECES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A key of AES-GMAC, ready for use.
pub struct Gmac(Aead);

impl Gmac {
    /// Make a key of 16, 24 or 32 octets ready.
    pub fn new(key: &[u8]) -> Result<Self, Refused> {
        let algorithm = match key.len() {
            16 => AeadAlgorithm::Aes128Gcm,
            24 => AeadAlgorithm::Aes192Gcm,
            32 => AeadAlgorithm::Aes256Gcm,
            _ => return Err(Refused),
        };
        Aead::new(algorithm, key, ICV_LEN).map(Self)
    }

    /// Write the ICV of the pieces, which count as one behind the other. More than one are copied together first.
    pub fn sign(
        &self,
        nonce: &[u8; 12],
        pieces: &[&[u8]],
        icv: &mut [u8; ICV_LEN],
    ) -> Result<(), Refused> {
        in_one_piece(pieces, |octets| self.0.seal(nonce, octets, &mut [], icv))
    }

    /// Verify the ICV of the pieces.
    pub fn verify(&self, nonce: &[u8; 12], pieces: &[&[u8]], icv: &[u8]) -> Result<(), Refused> {
        in_one_piece(pieces, |octets| self.0.open(nonce, octets, &mut [], icv))
    }
}

fn in_one_piece(
    pieces: &[&[u8]],
    step: impl FnOnce(&[u8]) -> Result<(), Refused>,
) -> Result<(), Refused> {
    if let [octets] = pieces {
        return step(octets);
    }
    PIECES.with_borrow_mut(|buffer| {
        buffer.clear();
        for piece in pieces {
            buffer.extend_from_slice(piece);
        }
        step(buffer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;

    /// McGrew and Viega, "The Galois/Counter Mode of Operation", test case 1: nothing to sign.
    #[test]
    fn gcm_test_case_1() {
        let gmac = Gmac::new(&[0; 16]).expect("a key");
        let mut icv = [0; 16];
        assert_eq!(gmac.sign(&[0; 12], &[], &mut icv), Ok(()));
        assert_eq!(icv[..], unhex("58e2fccefa7e3061367f1d57a4e7455a"));
    }

    #[test]
    fn pieces_count_as_one() {
        let gmac = Gmac::new(&[7; 32]).expect("a key");
        let (mut whole, mut cut) = ([0; 16], [0; 16]);
        assert_eq!(gmac.sign(&[1; 12], &[&[5; 60]], &mut whole), Ok(()));
        let pieces: [&[u8]; 3] = [&[5; 7], &[], &[5; 53]];
        assert_eq!(gmac.sign(&[1; 12], &pieces, &mut cut), Ok(()));
        assert_eq!(whole, cut);
        assert_eq!(gmac.verify(&[1; 12], &pieces, &whole), Ok(()));
        assert_eq!(gmac.verify(&[1; 12], &pieces, &[0; 16]), Err(Refused));
        assert_eq!(gmac.verify(&[2; 12], &pieces, &whole), Err(Refused));
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for length in [0, 8, 20, 33] {
            assert!(Gmac::new(&vec![0; length]).is_err());
        }
    }
}
