//! UDP (RFC 768).

use crate::{u16_at, Malformed};

/// Octets of the header.
pub const HEADER_LEN: usize = 8;
/// Where the checksum stands.
pub const CHECKSUM_AT: usize = 6;

/// A view of a UDP datagram whose header is complete.
///
/// ```text
///  0                   1                   2                   3
/// |          Source Port          |       Destination Port        |
/// |            Length             |           Checksum            |
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>>(T);

mod field {
    use std::ops::Range;

    pub const LENGTH: Range<usize> = 4..6;
    pub const CHECKSUM: Range<usize> = 6..8;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Check that the header is complete.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Malformed::new("udp", "shorter than its header"));
        }
        Ok(Self(buffer))
    }

    /// Octets of header and data, as the header says.
    pub fn length(&self) -> usize {
        usize::from(u16_at(self.0.as_ref(), field::LENGTH.start))
    }

    /// The checksum field; 0 for none.
    pub fn checksum(&self) -> u16 {
        u16_at(self.0.as_ref(), field::CHECKSUM.start)
    }

    /// View a header that was checked before and copied since.
    pub(crate) fn new_unchecked(buffer: T) -> Self {
        Self(buffer)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Set the length.
    pub fn set_length(&mut self, length: u16) {
        self.0.as_mut()[field::LENGTH].copy_from_slice(&length.to_be_bytes());
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
    fn reads_what_it_sets() {
        assert!(Packet::new_checked([0u8; 7]).is_err());
        let mut packet = Packet::new_checked([0u8; 8]).expect("a header");
        packet.set_length(8);
        packet.set_checksum(0x1234);
        assert_eq!(packet.length(), 8);
        assert_eq!(packet.checksum(), 0x1234);
    }
}
