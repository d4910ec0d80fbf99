//! The IP header of packets whose own one the socket removed.

use std::net::IpAddr;
use std::ops::Range;

use super::place::set_length;
use crate::{ipv4, ipv6};

/// The plain IP header of a packet that came in bare: what the socket told of the header that it removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainHeader {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
}

impl PlainHeader {
    /// Octets of the header.
    pub fn length(&self) -> usize {
        match self.destination {
            IpAddr::V4(_) => ipv4::HEADER_LEN,
            IpAddr::V6(_) => ipv6::HEADER_LEN,
        }
    }

    /// Put the packet together in `room`, which grows where it must and is never cleared; returns where it is. `None` as
    /// for [`PlainHeader::prepend`].
    pub fn write_packet(
        &self,
        room: &mut Vec<u8>,
        payload: &[u8],
        next_header: u8,
    ) -> Option<Range<usize>> {
        let behind = self.length()..self.length() + payload.len();
        if room.len() < behind.end {
            room.resize(behind.end.next_power_of_two(), 0);
        }
        room[behind.clone()].copy_from_slice(payload);
        self.prepend(room, behind, next_header)
    }

    /// Write the header right in front of `payload`; returns where the packet is. `None` if there is no room, if the
    /// packet would be too long, or if the addresses are of two families.
    ///
    /// An IPv4 packet has DF set: it is not to be fragmented any more, so it needs no identification (RFC 6864 section
    /// 4.1), and others may be merged with it.
    ///
    /// In a train of packets, the room may be the octets of the packet before, once that is done with.
    pub fn prepend(
        &self,
        buffer: &mut [u8],
        payload: Range<usize>,
        next_header: u8,
    ) -> Option<Range<usize>> {
        let range = payload.start.checked_sub(self.length())?..payload.end;
        let packet = buffer.get_mut(range.clone())?;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let word = ipv4::DONT_FRAGMENT.to_be_bytes();
                packet[..12].copy_from_slice(&[
                    0x45,
                    self.traffic_class,
                    0,
                    0,
                    0,
                    0,
                    word[0],
                    word[1],
                    self.hop_limit,
                    next_header,
                    0,
                    0,
                ]);
                packet[12..16].copy_from_slice(&source.octets());
                packet[16..20].copy_from_slice(&destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let class = (0x6000 | u16::from(self.traffic_class) << 4).to_be_bytes();
                packet[..8].copy_from_slice(&[
                    class[0],
                    class[1],
                    0,
                    0,
                    0,
                    0,
                    next_header,
                    self.hop_limit,
                ]);
                packet[8..24].copy_from_slice(&source.octets());
                packet[24..40].copy_from_slice(&destination.octets());
            }
            _ => return None,
        }
        set_length(packet).ok()?;
        Some(range)
    }
}
