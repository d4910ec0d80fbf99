//! Sealing with AH in tunnel mode (RFC 4302 section 3.1.2): the outer header is built here, all of it.

use super::sealer::{identification, is_v6, Sealer};
use super::MAX_HEADERS;
use crate::error::SealError;
use crate::keys::{KeyError, KeyMaterial};
use crate::sequence::Width;
use crate::transport::{Place, Unfit};
use crate::{ipv4, ipv6, protocol, Malformed};

/// The outbound transform of one SA in tunnel mode.
pub struct TunnelSealer {
    sealer: Sealer,
    /// The outer header with its options or extension headers.
    outer: Box<[u8]>,
    place: Place,
}

/// Why there is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OuterError {
    /// The keys make no transform.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The outer header is not one.
    #[error("the outer header: {0}")]
    Header(Unfit),
}

impl From<Malformed> for OuterError {
    fn from(malformed: Malformed) -> Self {
        Self::Header(malformed.into())
    }
}

impl TunnelSealer {
    /// Make the key ready.
    ///
    /// `outer`: the outer IP header, with whatever options or extension headers it shall have: addresses, and TTL or
    /// hop limit. Its length, protocol, checksum and identification are written here, DSCP, ECN and DF per packet.
    pub fn new(
        spi: u32,
        keys: &KeyMaterial,
        width: Width,
        outer: &[u8],
    ) -> Result<Self, OuterError> {
        let sealer = Sealer::new(spi, keys, width)?;
        let (outer, place) = check_outer(outer)?;
        Ok(Self {
            sealer,
            outer,
            place,
        })
    }

    /// Use another outer header from now on: one of the tunnel's ends has moved.
    pub fn set_outer(&mut self, outer: &[u8]) -> Result<(), OuterError> {
        (self.outer, self.place) = check_outer(outer)?;
        Ok(())
    }

    /// Octets of the slot in front of the inner packet.
    #[inline]
    pub fn headroom(&self) -> usize {
        self.outer.len() + self.sealer.header_len(is_v6(&self.outer))
    }

    /// Octets of what leaves for an inner packet of `packet_len` octets.
    #[inline]
    pub fn sealed_len(&self, packet_len: usize) -> usize {
        self.headroom() + packet_len
    }

    /// Seal the inner packet that stands in `slot` behind [`TunnelSealer::headroom`] octets.
    ///
    /// `slot`: as long as [`TunnelSealer::sealed_len`] says. `next_header`: 4 or 41. `traffic_class`: of the outer
    /// header, as [`crate::ecn::Marking::outer`] makes it. `dont_fragment`: DF of an outer IPv4 header (RFC 4301
    /// section 8.1).
    pub fn seal(
        &self,
        slot: &mut [u8],
        next_header: u8,
        traffic_class: u8,
        dont_fragment: bool,
        sequence: u64,
    ) -> Result<(), SealError> {
        let outer = slot.get_mut(..self.outer.len());
        let outer = outer.ok_or(SealError::Refused)?;
        outer.copy_from_slice(&self.outer);
        if is_v6(outer) {
            ipv6::Packet::new_unchecked(outer).set_traffic_class(traffic_class);
        } else {
            mark_v4(outer, traffic_class, dont_fragment, sequence);
        }
        self.place.announce(slot, protocol::AH)?;
        let at = self.outer.len();
        self.sealer.seal(slot, at, next_header, sequence)
    }
}

/// The fields of an outer IPv4 header that differ from packet to packet.
fn mark_v4(outer: &mut [u8], type_of_service: u8, dont_fragment: bool, sequence: u64) {
    let mut ip = ipv4::Packet::new_unchecked(outer);
    ip.set_type_of_service(type_of_service);
    ip.set_identification(identification(sequence));
    ip.set_fragment_word(if dont_fragment {
        ipv4::DONT_FRAGMENT
    } else {
        0
    });
}

fn check_outer(outer: &[u8]) -> Result<(Box<[u8]>, Place), OuterError> {
    if outer.len() > MAX_HEADERS {
        return Err(super::TOO_LONG.into());
    }
    let outer = whole(outer)?;
    let place = Place::last(&outer).map_err(OuterError::Header)?;
    if place.headers_len() != outer.len() {
        return Err(Malformed::new("ip.header", "something is behind it").into());
    }
    super::mutable::cover(&mut outer.clone())?;
    Ok((outer, place))
}

/// A copy of the header as a packet without anything behind it, which parsers take.
fn whole(outer: &[u8]) -> Result<Box<[u8]>, Malformed> {
    let mut outer: Box<[u8]> = outer.into();
    match outer.first().map(|first| first >> 4) {
        Some(4) if outer.len() >= ipv4::HEADER_LEN => {
            let length = outer.len() as u16;
            let mut ip = ipv4::Packet::new_unchecked(&mut outer[..]);
            ip.set_fragment_word(0);
            ip.set_total_len(length);
        }
        Some(6) if outer.len() >= ipv6::HEADER_LEN => {
            let length = (outer.len() - ipv6::HEADER_LEN) as u16;
            ipv6::Packet::new_unchecked(&mut outer[..]).set_payload_len(length);
        }
        _ => return Err(Malformed::new("ip.header", "shorter than one")),
    }
    Ok(outer)
}
