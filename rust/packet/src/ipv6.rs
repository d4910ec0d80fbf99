//! IPv6 (RFC 8200 section 3).

use std::net::Ipv6Addr;

use crate::{u16_at, Malformed};

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 40;

/// Where the next header stands.
pub(crate) const NEXT_HEADER_AT: usize = field::NEXT_HEADER;

/// A view of an IPv6 packet whose lengths were checked.
///
/// ```text
///  0                   1                   2                   3
/// |Version| Traffic Class |           Flow Label                  |
/// |         Payload Length        |  Next Header  |   Hop Limit   |
/// |                         Source Address                        ~
/// |                      Destination Address                      ~
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>>(T);

mod field {
    use std::ops::Range;

    pub const VERSION: usize = 0;
    pub const PAYLOAD_LENGTH: Range<usize> = 4..6;
    pub const NEXT_HEADER: usize = 6;
    pub const HOP_LIMIT: usize = 7;
    pub const SOURCE: Range<usize> = 8..24;
    pub const DESTINATION: Range<usize> = 24..40;
    pub const ADDRESSES: Range<usize> = 8..40;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Check version and lengths. The buffer may be longer than the packet, never shorter. A jumbogram
    /// (RFC 2675) reads as a packet without payload.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let octets = buffer.as_ref();
        if octets.len() < HEADER_LEN {
            return Err(Malformed::new("ipv6", "shorter than its header"));
        }
        if octets[field::VERSION] >> 4 != 6 {
            return Err(Malformed::new("ipv6.version", "not 6"));
        }
        let packet = Self(buffer);
        if packet.total_len() > packet.0.as_ref().len() {
            return Err(Malformed::new(
                "ipv6.payload_length",
                "longer than the packet",
            ));
        }
        Ok(packet)
    }

    /// Octets of header and payload.
    pub fn total_len(&self) -> usize {
        HEADER_LEN + usize::from(u16_at(self.0.as_ref(), field::PAYLOAD_LENGTH.start))
    }

    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub fn traffic_class(&self) -> u8 {
        (u16_at(self.0.as_ref(), 0) >> 4) as u8
    }

    /// Protocol of the next header.
    pub fn next_header(&self) -> u8 {
        self.0.as_ref()[field::NEXT_HEADER]
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.0.as_ref()[field::HOP_LIMIT]
    }

    /// Source address.
    pub fn source(&self) -> Ipv6Addr {
        address(&self.0.as_ref()[field::SOURCE])
    }

    /// Destination address.
    pub fn destination(&self) -> Ipv6Addr {
        address(&self.0.as_ref()[field::DESTINATION])
    }

    /// Source and destination, back to back.
    pub fn addresses(&self) -> &[u8] {
        &self.0.as_ref()[field::ADDRESSES]
    }

    /// View a header that was checked before and copied since.
    pub(crate) fn new_unchecked(buffer: T) -> Self {
        Self(buffer)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Set DSCP and ECN.
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        let octets = self.0.as_mut();
        octets[0] = octets[0] & 0xf0 | traffic_class >> 4;
        octets[1] = octets[1] & 0x0f | traffic_class << 4;
    }

    /// Set the payload length.
    pub fn set_payload_len(&mut self, length: u16) {
        self.0.as_mut()[field::PAYLOAD_LENGTH].copy_from_slice(&length.to_be_bytes());
    }
}

fn address(octets: &[u8]) -> Ipv6Addr {
    let mut address = [0; 16];
    address.copy_from_slice(octets);
    Ipv6Addr::from(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> [u8; 44] {
        let mut octets = [0u8; 44];
        octets[..8].copy_from_slice(&[0x6a, 0xb0, 0, 0, 0, 4, 17, 63]);
        octets[23] = 1;
        octets[39] = 2;
        octets
    }

    #[test]
    fn reads_the_fields() {
        let packet = Packet::new_checked(packet()).expect("a packet");
        assert_eq!(packet.total_len(), 44);
        assert_eq!(packet.traffic_class(), 0xab);
        assert_eq!(packet.next_header(), 17);
        assert_eq!(packet.hop_limit(), 63);
        assert_eq!(
            packet.source(),
            "::1".parse::<Ipv6Addr>().expect("an address")
        );
        assert_eq!(
            packet.destination(),
            "::2".parse::<Ipv6Addr>().expect("an address")
        );
    }

    #[test]
    fn errors_name_the_field() {
        let mut octets = packet();
        octets[5] = 5;
        assert_eq!(
            Packet::new_checked(octets).map(|_| ()).map_err(|e| e.field),
            Err("ipv6.payload_length")
        );
        octets[0] = 0x45;
        assert_eq!(
            Packet::new_checked(octets).map(|_| ()).map_err(|e| e.field),
            Err("ipv6.version")
        );
        assert!(Packet::new_checked(&octets[..39]).is_err());
    }
}
