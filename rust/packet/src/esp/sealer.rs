//! Sealing: from a payload to an ESP packet, in place (RFC 4303 section 3.3).

use super::cipher::{Layout, SealingCipher};
use super::packet::{Packet, HEADER_LEN};
use super::trailer::{self, Trailer};
use crate::error::SealError;
use crate::keys::{KeyError, KeyMaterial};
use crate::protocol;
use crate::sequence::{Number, Width};

/// The outbound transform of one SA. Takes no care of sequence numbers: the caller never passes one twice.
pub struct Sealer {
    spi: u32,
    width: Width,
    layout: Layout,
    cipher: SealingCipher,
    /// Payloads are padded up to this (RFC 4303 section 2.7).
    tfc: usize,
}

impl Sealer {
    /// Make the keys ready.
    pub fn new(spi: u32, keys: &KeyMaterial, width: Width) -> Result<Self, KeyError> {
        let (cipher, layout) = SealingCipher::new(keys)?;
        Ok(Self {
            spi,
            width,
            layout,
            cipher,
            tfc: 0,
        })
    }

    /// Hide the length of payloads shorter than `size`: they are padded up to it (RFC 4303 section 2.7). 0 turns it
    /// off.
    ///
    /// In tunnel mode only, where the receiver finds the end of the inner packet by its own length field, and only if
    /// the peer has not sent ESP_TFC_PADDING_NOT_SUPPORTED (RFC 7296 section 1.3.1). A size above what the path carries
    /// makes fragments.
    #[must_use]
    pub fn with_tfc(mut self, size: u16) -> Self {
        self.tfc = usize::from(size);
        self
    }

    /// Octets in front of the payload: SPI, sequence number, IV.
    #[inline]
    pub fn headroom(&self) -> usize {
        HEADER_LEN + self.layout.iv
    }

    /// Octets of the ESP packet that carries a payload of `payload_len` octets.
    #[inline]
    pub fn sealed_len(&self, payload_len: usize) -> usize {
        // Alignments are powers of two, and a division costs as much as half of a small packet's headers.
        let mask = self.layout.alignment - 1;
        let plaintext = (payload_len.max(self.tfc) + trailer::LEN + mask) & !mask;
        self.headroom() + plaintext + self.layout.icv
    }

    /// The longest payload whose ESP packet has no more than `packet_len` octets; `None` if not even an empty one fits.
    pub fn max_payload_len(&self, packet_len: usize) -> Option<usize> {
        let plaintext = packet_len.checked_sub(self.headroom() + self.layout.icv)?;
        let mask = self.layout.alignment - 1;
        let payload = (plaintext & !mask).checked_sub(trailer::LEN)?;
        (payload >= self.tfc).then_some(payload)
    }

    /// Seal the payload that stands in `slot` behind [`Sealer::headroom`] octets.
    ///
    /// `slot`: as long as [`Sealer::sealed_len`] says. `next_header`: 4 or 41 in tunnel mode.
    #[inline]
    pub fn seal(
        &self,
        slot: &mut [u8],
        payload_len: usize,
        next_header: u8,
        sequence: u64,
    ) -> Result<(), SealError> {
        if slot.len() != self.sealed_len(payload_len) {
            return Err(SealError::Refused);
        }
        let iv = &mut slot[HEADER_LEN..HEADER_LEN + self.layout.iv];
        self.cipher.write_iv(sequence, iv);
        self.seal_behind_iv(slot, payload_len, next_header, sequence)
    }

    /// Make a packet that the receiver discards (RFC 4303 section 2.6), with a payload of `payload_len` zeros, to hide
    /// when and how much is sent. `slot`: as long as [`Sealer::sealed_len`] says.
    pub fn seal_dummy(
        &self,
        slot: &mut [u8],
        payload_len: usize,
        sequence: u64,
    ) -> Result<(), SealError> {
        let payload = self.headroom()..self.headroom() + payload_len;
        slot.get_mut(payload).ok_or(SealError::Refused)?.fill(0);
        self.seal(slot, payload_len, protocol::NO_NEXT_HEADER, sequence)
    }

    /// As [`Sealer::seal`], with the IV in its place, as published vectors have it.
    #[inline]
    pub(super) fn seal_behind_iv(
        &self,
        slot: &mut [u8],
        payload_len: usize,
        next_header: u8,
        sequence: u64,
    ) -> Result<(), SealError> {
        let mut packet = Packet::new_unchecked(&mut *slot);
        packet.set_spi(self.spi);
        packet.set_sequence(sequence as u32); // the lower half (RFC 4303 section 2.2.1)
        let end = slot.len() - self.layout.icv;
        let plaintext = &mut slot[self.headroom()..end];
        if payload_len < self.tfc {
            plaintext[payload_len..self.tfc].fill(0);
        }
        Trailer::encode(plaintext, payload_len.max(self.tfc), next_header);
        let number = Number {
            value: sequence,
            width: self.width,
        };
        Ok(self.cipher.seal(slot, number)?)
    }
}
