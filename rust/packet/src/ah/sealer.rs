//! Sealing with AH (RFC 4302 section 3.3).

use super::authenticator::Authenticator;
use super::packet::{Packet, FIXED_LEN};
use super::{sign, SignError};
use crate::error::SealError;
use crate::keys::{KeyError, KeyMaterial};
use crate::sequence::{Number, Width};
use crate::transport::Place;
use crate::{ipv4, protocol};

/// The outbound transform of one SA, in either mode. Takes no care of sequence numbers.
pub(super) struct Sealer {
    spi: u32,
    width: Width,
    authenticator: Authenticator,
}

impl Sealer {
    pub(super) fn new(spi: u32, keys: &KeyMaterial, width: Width) -> Result<Self, KeyError> {
        let authenticator = Authenticator::new(keys)?;
        Ok(Self {
            spi,
            width,
            authenticator,
        })
    }

    /// Octets of the header in a packet of this IP version (RFC 4302 section 2.6).
    #[inline]
    pub(super) fn header_len(&self, is_v6: bool) -> usize {
        header_len(&self.authenticator, alignment(is_v6))
    }

    /// Write AH into the gap at `at` of a whole packet whose headers are complete.
    pub(super) fn seal(
        &self,
        packet: &mut [u8],
        at: usize,
        next_header: u8,
        sequence: u64,
    ) -> Result<(), SealError> {
        let header_len = self.header_len(is_v6(packet));
        let header = packet.get_mut(at..at + header_len);
        let header = header.ok_or(SealError::Refused)?;
        Packet::write(&mut *header, next_header, self.spi, sequence as u32);
        header[FIXED_LEN..].fill(0);
        let iv = self.authenticator.iv_len();
        header[FIXED_LEN..FIXED_LEN + iv].copy_from_slice(&sequence.to_be_bytes()[8 - iv..]);
        let number = Number {
            value: sequence,
            width: self.width,
        };
        let icv = sign(&self.authenticator, packet, at, number)?;
        let start = at + FIXED_LEN + iv;
        let icv = &icv[..self.authenticator.icv_len()];
        packet[start..start + icv.len()].copy_from_slice(icv);
        Ok(())
    }
}

impl From<SignError> for SealError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Refused => Self::Refused,
            SignError::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}

/// Octets of a header that is a multiple of `alignment`.
pub(super) fn header_len(authenticator: &Authenticator, alignment: usize) -> usize {
    let mask = alignment - 1;
    (FIXED_LEN + authenticator.iv_len() + authenticator.icv_len() + mask) & !mask
}

/// Of what AH is a multiple (RFC 4302 section 2.6).
pub(super) fn alignment(is_v6: bool) -> usize {
    if is_v6 {
        8
    } else {
        4
    }
}

pub(super) fn is_v6(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 6)
}

/// Give an IPv4 packet an identification other than 0. AH covers it, and a system writes its own over a 0 (raw(7)). Linux
/// sends 0 where DF is set, and a receiver makes nothing of the identification of such a datagram (RFC 6864 section 4.1).
fn identify(packet: &mut [u8], sequence: u64) {
    let mut ip = ipv4::Packet::new_unchecked(packet);
    if ip.identification() == 0 {
        ip.set_identification(identification(sequence));
    }
}

/// An identification that is unique while a fragment may be on the way (RFC 6864 section 4.2), and not 0.
pub(super) fn identification(sequence: u64) -> u16 {
    (sequence % 0xffff) as u16 + 1
}

/// The outbound transform of one SA in transport mode.
pub struct TransportSealer {
    sealer: Sealer,
}

impl TransportSealer {
    /// Make the key ready.
    pub fn new(spi: u32, keys: &KeyMaterial, width: Width) -> Result<Self, KeyError> {
        let sealer = Sealer::new(spi, keys, width)?;
        Ok(Self { sealer })
    }

    /// Where AH goes in this packet, and in all that it is cut into.
    pub fn place(&self, packet: &[u8]) -> Result<Place, SealError> {
        Ok(Place::for_ah(packet)?)
    }

    /// Octets of the slot in front of the packet that is written there.
    #[inline]
    pub fn headroom(&self, place: &Place) -> usize {
        self.sealer.header_len(place.is_v6()) - place.cut_len()
    }

    /// Octets of what leaves for a packet of `packet_len` octets.
    #[inline]
    pub fn sealed_len(&self, place: &Place, packet_len: usize) -> usize {
        self.headroom(place) + packet_len
    }

    /// Seal the packet that stands in `slot` behind [`TransportSealer::headroom`] octets.
    ///
    /// `slot`: as long as [`TransportSealer::sealed_len`] says.
    pub fn seal(
        &self,
        slot: &mut [u8],
        place: &Place,
        packet_len: usize,
        sequence: u64,
    ) -> Result<(), SealError> {
        if slot.len() != self.sealed_len(place, packet_len) || packet_len < place.at() {
            return Err(SealError::Refused);
        }
        place.lead(slot, self.headroom(place));
        if !place.is_v6() {
            identify(slot, sequence);
        }
        place.announce(slot, protocol::AH)?;
        let at = place.headers_len();
        self.sealer.seal(slot, at, place.next_header, sequence)
    }
}
