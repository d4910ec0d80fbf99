//! Sealing: from a payload to an ESP packet, in place (RFC 4303 section 3.3).

use super::cipher::{Aead, CbcSealing, Layout};
use super::keys::{KeyError, KeyMaterial};
use super::packet::{Packet, HEADER_LEN};
use super::trailer::{self, Trailer};

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The cryptographic library refused, or the slot is not as long as [`Sealer::sealed_len`] says.
    #[error("the cipher refused")]
    Refused,
}

/// The outbound transform of one SA. Takes no care of sequence numbers: the caller never passes one twice.
pub struct Sealer {
    spi: u32,
    layout: Layout,
    cipher: Cipher,
}

enum Cipher {
    Aead(Aead),
    Cbc(Box<CbcSealing>),
}

impl Sealer {
    /// Make the keys ready.
    pub fn new(spi: u32, keys: &KeyMaterial) -> Result<Self, KeyError> {
        let (layout, cipher) = match Aead::new(keys)? {
            Some(aead) => (Aead::layout(), Cipher::Aead(aead)),
            None => {
                let cbc = CbcSealing::new(keys)?;
                (cbc.layout(), Cipher::Cbc(cbc.into()))
            }
        };
        Ok(Self {
            spi,
            layout,
            cipher,
        })
    }

    /// Octets in front of the payload: SPI, sequence number, IV.
    pub fn headroom(&self) -> usize {
        HEADER_LEN + self.layout.iv
    }

    /// Octets of the ESP packet that carries a payload of `payload_len` octets.
    pub fn sealed_len(&self, payload_len: usize) -> usize {
        let plaintext = (payload_len + trailer::LEN).next_multiple_of(self.layout.alignment);
        self.headroom() + plaintext + self.layout.icv
    }

    /// Seal the payload that stands in `slot` behind [`Sealer::headroom`] octets.
    ///
    /// `slot`: as long as [`Sealer::sealed_len`] says. `next_header`: 4 or 41 in tunnel mode.
    pub fn seal(
        &self,
        slot: &mut [u8],
        payload_len: usize,
        next_header: u8,
        sequence: u64,
    ) -> Result<(), SealError> {
        match &self.cipher {
            Cipher::Aead(_) => {
                let iv = sequence.to_be_bytes();
                self.seal_with_iv(slot, payload_len, next_header, sequence, &iv)
            }
            Cipher::Cbc(cbc) => {
                let iv = cbc.iv(sequence).map_err(|_| SealError::Refused)?;
                self.seal_with_iv(slot, payload_len, next_header, sequence, &iv)
            }
        }
    }

    /// As [`Sealer::seal`] with a given IV, for published vectors.
    pub(super) fn seal_with_iv(
        &self,
        slot: &mut [u8],
        payload_len: usize,
        next_header: u8,
        sequence: u64,
        iv: &[u8],
    ) -> Result<(), SealError> {
        if slot.len() != self.sealed_len(payload_len) || iv.len() != self.layout.iv {
            return Err(SealError::Refused);
        }
        let mut packet = Packet::new_unchecked(&mut *slot);
        packet.set_spi(self.spi);
        packet.set_sequence(sequence as u32); // the lower half (RFC 4303 section 2.2.1)
        slot[HEADER_LEN..self.headroom()].copy_from_slice(iv);
        let end = slot.len() - self.layout.icv;
        Trailer::encode(&mut slot[self.headroom()..end], payload_len, next_header);
        let sealed = match &self.cipher {
            Cipher::Aead(aead) => aead.seal(slot),
            Cipher::Cbc(cbc) => cbc.seal(slot),
        };
        sealed.map_err(|_| SealError::Refused)
    }
}
