//! TCP (RFC 9293 section 3.1).

use crate::{u16_at, u32_at, Malformed};

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Where the checksum stands.
pub const CHECKSUM_AT: usize = 16;
/// Flag: no more data from the sender.
pub const FIN: u8 = 0x01;
/// Flag: the first segment of a connection.
pub const SYN: u8 = 0x02;
/// Flag: push.
pub const PSH: u8 = 0x08;
/// Flag: the acknowledgement counts.
pub const ACK: u8 = 0x10;
/// Flag: ECN echo (RFC 3168).
pub const ECE: u8 = 0x40;
/// Flag: congestion window reduced (RFC 3168).
pub const CWR: u8 = 0x80;

/// A view of a TCP segment whose header length was checked.
///
/// ```text
///  0                   1                   2                   3
/// |          Source Port          |       Destination Port        |
/// |                        Sequence Number                        |
/// |                    Acknowledgment Number                      |
/// | Offset| Rsrvd |C E U A P R S F|            Window             |
/// |           Checksum            |         Urgent Pointer        |
/// |                           [Options]                           |
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>>(T);

mod field {
    use std::ops::Range;

    pub const SEQUENCE: Range<usize> = 4..8;
    pub const OFFSET: usize = 12;
    pub const FLAGS: usize = 13;
    pub const CHECKSUM: Range<usize> = 16..18;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Check the header length.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Malformed::new("tcp", "shorter than its header"));
        }
        let packet = Self(buffer);
        let length = packet.header_len();
        if length < HEADER_LEN || length > packet.0.as_ref().len() {
            return Err(Malformed::new("tcp.data_offset", "outside the segment"));
        }
        Ok(packet)
    }

    /// Octets of the header with options.
    pub fn header_len(&self) -> usize {
        usize::from(self.0.as_ref()[field::OFFSET] >> 4) * 4
    }

    /// Sequence number of the first octet of data.
    pub fn sequence(&self) -> u32 {
        u32_at(self.0.as_ref(), field::SEQUENCE.start)
    }

    /// The eight flags.
    pub fn flags(&self) -> u8 {
        self.0.as_ref()[field::FLAGS]
    }

    /// The checksum field.
    pub fn checksum(&self) -> u16 {
        u16_at(self.0.as_ref(), field::CHECKSUM.start)
    }

    /// View a header that was checked before and copied since.
    pub(crate) fn new_unchecked(buffer: T) -> Self {
        Self(buffer)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Set the sequence number.
    pub fn set_sequence(&mut self, sequence: u32) {
        self.0.as_mut()[field::SEQUENCE].copy_from_slice(&sequence.to_be_bytes());
    }

    /// Set the eight flags.
    pub fn set_flags(&mut self, flags: u8) {
        self.0.as_mut()[field::FLAGS] = flags;
    }

    /// Set the checksum field.
    pub fn set_checksum(&mut self, checksum: u16) {
        self.0.as_mut()[field::CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field() {
        let mut octets = [0u8; 24];
        let check = |octets: &[u8]| Packet::new_checked(octets).map(|p| p.header_len());
        assert_eq!(check(&octets).map_err(|e| e.field), Err("tcp.data_offset"));
        octets[12] = 0x70;
        assert_eq!(check(&octets).map_err(|e| e.field), Err("tcp.data_offset"));
        octets[12] = 0x60;
        assert_eq!(check(&octets), Ok(24));
        assert_eq!(check(&octets[..19]).map_err(|e| e.field), Err("tcp"));
    }

    #[test]
    fn sets_what_it_reads() {
        let mut packet = Packet::new_unchecked([0u8; 20]);
        packet.set_sequence(0x0102_0304);
        packet.set_flags(ACK | PSH);
        packet.set_checksum(0xbeef);
        assert_eq!(packet.sequence(), 0x0102_0304);
        assert_eq!(packet.flags(), 0x18);
        assert_eq!(packet.checksum(), 0xbeef);
    }
}
