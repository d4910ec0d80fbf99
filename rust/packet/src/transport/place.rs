//! Where the IPsec header of a packet is, and what the headers in front of it say.

use std::ops::Range;

use crate::error::{Malformed, OpenError, SealError};
use crate::extension::{Extension, Extensions};
use crate::inner::Fragment;
use crate::{ipv4, ipv6, protocol};

/// Octets of a Fragment header (RFC 8200 section 4.5).
const FRAGMENT_LEN: usize = 8;

/// Where the IPsec header of a packet is or shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    // Positions have 32 bits: this is copied for each packet that is not cut, and the larger it is, the slower.
    at: u32,
    /// The protocol that stands there now.
    pub next_header: u8,
    /// Where the field is that says so, once the cut is made.
    next_header_at: u32,
    cut: Option<Cut>,
}

/// A Fragment header in front, of a packet that is whole nevertheless (RFC 6946). AH does not see it: it is taken out,
/// on both sides (RFC 4302 appendix A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    at: u32,
    /// The Next Header field in front of it, and what it announced.
    link_at: u32,
    link: u8,
}

/// Why a packet has no place for an IPsec header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is a fragment.
    #[error("a fragment")]
    Fragment,
    /// It is no packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl From<Unfit> for SealError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Fragment => Self::Fragment,
            Unfit::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}

impl From<Unfit> for OpenError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Fragment => Self::Fragment,
            Unfit::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}

impl Place {
    /// Where ESP goes in a packet that has none.
    pub fn for_esp(packet: &[u8]) -> Result<Self, Unfit> {
        Self::find(packet, protocol::ESP).map(|(front, _)| front)
    }

    /// Where AH goes in a packet that has none.
    pub fn for_ah(packet: &[u8]) -> Result<Self, Unfit> {
        Self::find(packet, protocol::AH).map(|(front, _)| front)
    }

    /// Where the header of `ipsec`, [`protocol::ESP`] or [`protocol::AH`], is in a packet that came in. The buffer may
    /// be longer than the packet, which ends where its length field says.
    pub fn of(packet: &[u8], ipsec: u8) -> Result<Self, Unfit> {
        let (_, end) = Self::find(packet, ipsec)?;
        if end.next_header != ipsec {
            return Err(Malformed::new("ip.protocol", "not that of the SA").into());
        }
        Ok(end)
    }

    /// Behind all headers of an IP header that has nothing behind it.
    pub(crate) fn last(headers: &[u8]) -> Result<Self, Unfit> {
        Self::find(headers, protocol::AH).map(|(_, end)| end)
    }

    /// In tunnel mode there is none: everything is protected.
    pub(crate) const fn none() -> Self {
        Self {
            at: 0,
            next_header: 0,
            next_header_at: 0,
            cut: None,
        }
    }

    /// Octets in front of it: the IP header with its options or extension headers.
    #[inline]
    pub fn at(&self) -> usize {
        self.at as usize
    }

    /// True where nothing but a plain IP header is in front.
    pub fn is_plain(&self) -> bool {
        let v4 = (ipv4::PROTOCOL_AT, ipv4::HEADER_LEN);
        let v6 = (ipv6::NEXT_HEADER_AT, ipv6::HEADER_LEN);
        let found = (self.next_header_at as usize, self.at());
        self.cut.is_none() && (found == v4 || found == v6)
    }

    /// Whether the headers are those of IPv6: the field lies elsewhere in IPv4.
    #[inline]
    pub(crate) fn is_v6(&self) -> bool {
        self.next_header_at as usize != ipv4::PROTOCOL_AT
    }

    /// Octets of the headers in front once the cut is made.
    pub(crate) fn headers_len(&self) -> usize {
        self.at() - self.cut_len()
    }

    /// Octets that are taken out of the headers.
    pub(crate) fn cut_len(&self) -> usize {
        self.cut.map_or(0, |_| FRAGMENT_LEN)
    }

    /// Behind the headers that stay in front, and behind all of them.
    fn find(packet: &[u8], ipsec: u8) -> Result<(Self, Self), Unfit> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => Self::find_v4(packet).map(|place| (place, place)),
            Some(6) => Self::find_v6(packet, ipsec == protocol::AH),
            _ => Err(Malformed::new("ip.version", "neither 4 nor 6").into()),
        }
    }

    fn find_v4(packet: &[u8]) -> Result<Self, Unfit> {
        let packet = ipv4::Packet::new_checked(packet)?;
        if packet.fragment_offset() != 0 || packet.has_more_fragments() {
            return Err(Unfit::Fragment);
        }
        Ok(Self {
            at: packet.header_len() as u32,
            next_header: packet.protocol(),
            next_header_at: ipv4::PROTOCOL_AT as u32,
            cut: None,
        })
    }

    fn find_v6(packet: &[u8], is_ah: bool) -> Result<(Self, Self), Unfit> {
        let header = ipv6::Packet::new_checked(packet)?;
        let mut end = Self {
            at: ipv6::HEADER_LEN as u32,
            next_header: header.next_header(),
            next_header_at: ipv6::NEXT_HEADER_AT as u32,
            cut: None,
        };
        let mut front = end;
        for extension in Extensions::new(&packet[..header.total_len()]) {
            let extension = extension?;
            if extension.fragment != Fragment::Whole {
                return Err(Unfit::Fragment);
            }
            end.pass(&extension, is_ah);
            if extension.kind != protocol::IPV6_OPTIONS {
                front = end;
            }
        }
        Ok((front, end))
    }

    fn pass(&mut self, extension: &Extension, is_ah: bool) {
        if is_ah && self.cut.is_none() && extension.kind == protocol::IPV6_FRAGMENT {
            self.cut = Some(Cut {
                at: extension.at as u32,
                link_at: self.next_header_at,
                link: extension.next_header,
            });
        } else {
            self.next_header_at = (extension.at - self.cut_len()) as u32;
        }
        self.at = extension.end as u32;
        self.next_header = extension.next_header;
    }

    /// Move the headers from `from` to the begin of `slot`, and make the cut.
    pub(crate) fn lead(&self, slot: &mut [u8], from: usize) {
        let (until, behind) = match self.cut {
            Some(cut) => (cut.at as usize, cut.at as usize + FRAGMENT_LEN),
            None => (self.at(), self.at()),
        };
        slot.copy_within(from..from + until, 0);
        slot.copy_within(from + behind..from + self.at(), until);
    }

    /// Have the headers at the begin of `packet` announce what follows them, and how long the packet is now.
    pub(crate) fn announce(&self, packet: &mut [u8], next_header: u8) -> Result<(), TooLong> {
        if let Some(cut) = self.cut {
            packet[cut.link_at as usize] = cut.link;
        }
        packet[self.next_header_at as usize] = next_header;
        set_length(packet)
    }

    /// Put the headers at the begin of `packet` right in front of `payload`, and have them announce it: the packet as
    /// it was before ESP or AH. Returns where it is.
    pub(crate) fn restore(
        &self,
        packet: &mut [u8],
        payload: Range<usize>,
        next_header: u8,
    ) -> Result<Range<usize>, Malformed> {
        let start = payload.start - self.headers_len();
        packet.copy_within(..self.headers_len(), start);
        let range = start..payload.end;
        match self.announce(&mut packet[range.clone()], next_header) {
            Ok(()) => Ok(range),
            Err(TooLong) => Err(Malformed::new("ip.total_length", "too long")),
        }
    }

    /// Make the cut in a packet that came in; returns where it begins now.
    pub(crate) fn cut(&self, packet: &mut [u8]) -> Result<usize, Malformed> {
        let Some(cut) = self.cut else { return Ok(0) };
        packet.copy_within(..cut.at as usize, FRAGMENT_LEN);
        let packet = &mut packet[FRAGMENT_LEN..];
        packet[cut.link_at as usize] = cut.link;
        match set_length(packet) {
            Ok(()) => Ok(FRAGMENT_LEN),
            Err(TooLong) => Err(Malformed::new("ip.total_length", "too long")),
        }
    }
}

/// Longer than an IP packet can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl From<TooLong> for SealError {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

/// Write the length of a packet into its header, and for IPv4 the checksum.
pub(crate) fn set_length(packet: &mut [u8]) -> Result<(), TooLong> {
    let length = packet.len();
    if packet.first().map(|first| first >> 4) == Some(4) {
        let length = u16::try_from(length).map_err(|_| TooLong)?;
        let mut ip = ipv4::Packet::new_unchecked(packet);
        ip.set_total_len(length);
        ip.fill_checksum();
    } else {
        let length = u16::try_from(length - ipv6::HEADER_LEN).map_err(|_| TooLong)?;
        ipv6::Packet::new_unchecked(packet).set_payload_len(length);
    }
    Ok(())
}

/// Octets of a packet whose header was checked.
pub(crate) fn total_len(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 {
        ipv4::Packet::new_unchecked(packet).total_len()
    } else {
        ipv6::Packet::new_unchecked(packet).total_len()
    }
}
