//! IPv4 (RFC 791 section 3.1).

use std::net::Ipv4Addr;

use crate::checksum::Checksum;
use crate::{u16_at, Malformed};

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Where the protocol stands.
pub(crate) const PROTOCOL_AT: usize = field::PROTOCOL;
/// The DF bit in [`Packet::fragment_word`].
pub const DONT_FRAGMENT: u16 = 0x4000;
/// The MF bit in [`Packet::fragment_word`].
pub const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// A view of an IPv4 packet whose lengths were checked.
///
/// ```text
///  0                   1                   2                   3
/// |Version|  IHL  |Type of Service|          Total Length         |
/// |         Identification        |Flags|      Fragment Offset    |
/// |  Time to Live |    Protocol   |         Header Checksum       |
/// |                       Source Address                          |
/// |                    Destination Address                        |
/// |                    Options                    |    Padding    |
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>>(T);

mod field {
    use std::ops::Range;

    pub const VERSION_IHL: usize = 0;
    pub const TYPE_OF_SERVICE: usize = 1;
    pub const TOTAL_LENGTH: Range<usize> = 2..4;
    pub const IDENTIFICATION: Range<usize> = 4..6;
    pub const FRAGMENT: Range<usize> = 6..8;
    pub const TIME_TO_LIVE: usize = 8;
    pub const PROTOCOL: usize = 9;
    pub const CHECKSUM: Range<usize> = 10..12;
    pub const SOURCE: usize = 12;
    pub const DESTINATION: usize = 16;
    pub const ADDRESSES: Range<usize> = 12..20;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Check version and lengths. The buffer may be longer than the packet, never shorter.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let octets = buffer.as_ref();
        if octets.len() < HEADER_LEN {
            return Err(Malformed::new("ipv4", "shorter than its header"));
        }
        if octets[field::VERSION_IHL] >> 4 != 4 {
            return Err(Malformed::new("ipv4.version", "not 4"));
        }
        let packet = Self(buffer);
        if packet.header_len() < HEADER_LEN || packet.total_len() < packet.header_len() {
            return Err(Malformed::new("ipv4.ihl", "outside the packet"));
        }
        if packet.total_len() > packet.0.as_ref().len() {
            return Err(Malformed::new(
                "ipv4.total_length",
                "longer than the packet",
            ));
        }
        Ok(packet)
    }

    /// Octets of the header with options.
    pub fn header_len(&self) -> usize {
        usize::from(self.0.as_ref()[field::VERSION_IHL] & 0x0f) * 4
    }

    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub fn type_of_service(&self) -> u8 {
        self.0.as_ref()[field::TYPE_OF_SERVICE]
    }

    /// Octets of header and payload.
    pub fn total_len(&self) -> usize {
        usize::from(u16_at(self.0.as_ref(), field::TOTAL_LENGTH.start))
    }

    /// Identification.
    pub fn identification(&self) -> u16 {
        u16_at(self.0.as_ref(), field::IDENTIFICATION.start)
    }

    /// Flags and fragment offset as one word.
    pub fn fragment_word(&self) -> u16 {
        u16_at(self.0.as_ref(), field::FRAGMENT.start)
    }

    /// Fragment offset in units of 8 octets.
    pub fn fragment_offset(&self) -> u16 {
        self.fragment_word() & OFFSET
    }

    /// True for all fragments but the last.
    pub fn has_more_fragments(&self) -> bool {
        self.fragment_word() & MORE_FRAGMENTS != 0
    }

    /// Time to live.
    pub fn time_to_live(&self) -> u8 {
        self.0.as_ref()[field::TIME_TO_LIVE]
    }

    /// Protocol of the payload.
    pub fn protocol(&self) -> u8 {
        self.0.as_ref()[field::PROTOCOL]
    }

    /// Source address.
    pub fn source(&self) -> Ipv4Addr {
        address(self.0.as_ref(), field::SOURCE)
    }

    /// Destination address.
    pub fn destination(&self) -> Ipv4Addr {
        address(self.0.as_ref(), field::DESTINATION)
    }

    /// Source and destination, back to back.
    pub fn addresses(&self) -> &[u8] {
        &self.0.as_ref()[field::ADDRESSES]
    }

    /// The header checksum.
    pub fn checksum(&self) -> u16 {
        u16_at(self.0.as_ref(), field::CHECKSUM.start)
    }

    /// True when the header checksum is right.
    pub fn is_header_intact(&self) -> bool {
        let header = &self.0.as_ref()[..self.header_len()];
        Checksum::new().plus(header).is_intact()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Set the total length; the header checksum must be filled again.
    pub fn set_total_len(&mut self, length: u16) {
        self.0.as_mut()[field::TOTAL_LENGTH].copy_from_slice(&length.to_be_bytes());
    }

    /// Set the identification; the header checksum must be filled again.
    pub fn set_identification(&mut self, identification: u16) {
        self.0.as_mut()[field::IDENTIFICATION].copy_from_slice(&identification.to_be_bytes());
    }

    /// Set DSCP and ECN; the header checksum must be filled again.
    pub fn set_type_of_service(&mut self, type_of_service: u8) {
        self.0.as_mut()[field::TYPE_OF_SERVICE] = type_of_service;
    }

    /// Set flags and fragment offset; the header checksum must be filled again.
    pub fn set_fragment_word(&mut self, word: u16) {
        self.0.as_mut()[field::FRAGMENT].copy_from_slice(&word.to_be_bytes());
    }

    /// Set the header checksum.
    pub fn set_checksum(&mut self, checksum: u16) {
        self.0.as_mut()[field::CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Compute the header checksum.
    pub fn fill_checksum(&mut self) {
        let length = self.header_len();
        let header = &mut self.0.as_mut()[..length];
        header[field::CHECKSUM].fill(0);
        let sum = Checksum::new().plus(header).finish();
        header[field::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    }
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// View a header that was checked before and copied since.
    pub(crate) fn new_unchecked(buffer: T) -> Self {
        Self(buffer)
    }
}

fn address(octets: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(octets[at], octets[at + 1], octets[at + 2], octets[at + 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of RFC 3602 section 4, case 5.
    const HEADER: [u8; 20] = [
        0x45, 0, 0, 20, 0x08, 0xf2, 0, 0, 0x40, 0x01, 0xfa, 0x3e, 192, 168, 123, 3, 192, 168, 123,
        100,
    ];

    #[test]
    fn reads_the_fields() {
        let packet = Packet::new_checked(HEADER).expect("a header");
        assert_eq!(packet.header_len(), 20);
        assert_eq!(packet.total_len(), 20);
        assert_eq!(packet.identification(), 0x08f2);
        assert_eq!(packet.time_to_live(), 64);
        assert_eq!(packet.protocol(), 1);
        assert_eq!(packet.source(), Ipv4Addr::new(192, 168, 123, 3));
        assert_eq!(packet.destination(), Ipv4Addr::new(192, 168, 123, 100));
        assert!(packet.is_header_intact());
    }

    #[test]
    fn errors_name_the_field() {
        let broken = |at: usize, value: u8| {
            let mut header = HEADER;
            header[at] = value;
            Packet::new_checked(header).map(|_| ()).map_err(|e| e.field)
        };
        assert_eq!(broken(0, 0x65), Err("ipv4.version"));
        assert_eq!(broken(0, 0x44), Err("ipv4.ihl"));
        assert_eq!(broken(0, 0x46), Err("ipv4.ihl"));
        assert_eq!(broken(3, 21), Err("ipv4.total_length"));
        assert!(Packet::new_checked(&HEADER[..19]).is_err());
    }

    #[test]
    fn fills_the_checksum() {
        let mut packet = Packet::new_checked(HEADER).expect("a header");
        packet.set_identification(7);
        assert!(!packet.is_header_intact());
        packet.fill_checksum();
        assert!(packet.is_header_intact());
    }
}
