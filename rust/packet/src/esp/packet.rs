//! The header of ESP (RFC 4303 section 2).

use crate::{u32_at, Malformed};

/// Octets of SPI and sequence number.
pub const HEADER_LEN: usize = 8;

/// A view of an ESP packet, from the SPI on.
///
/// ```text
///  0                   1                   2                   3
/// |               Security Parameters Index (SPI)                 |
/// |                      Sequence Number                          |
/// |                    IV and Payload Data (variable)             |
/// ~                                                               ~
/// |               |     Padding (0-255 bytes)                     |
/// |                               |  Pad Length   | Next Header   |
/// |         Integrity Check Value-ICV   (variable)                |
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>>(T);

mod field {
    use std::ops::Range;

    pub const SPI: Range<usize> = 0..4;
    pub const SEQUENCE: Range<usize> = 4..8;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Check that SPI and sequence number are there.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Malformed::new("esp", "shorter than its header"));
        }
        Ok(Self(buffer))
    }

    /// Security parameters index, host order.
    pub fn spi(&self) -> u32 {
        u32_at(self.0.as_ref(), field::SPI.start)
    }

    /// The sequence number's lower 32 bits.
    pub fn sequence(&self) -> u32 {
        u32_at(self.0.as_ref(), field::SEQUENCE.start)
    }

    /// View a buffer of at least 8 octets.
    pub(crate) fn new_unchecked(buffer: T) -> Self {
        Self(buffer)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Set the SPI.
    pub fn set_spi(&mut self, spi: u32) {
        self.0.as_mut()[field::SPI].copy_from_slice(&spi.to_be_bytes());
    }

    /// Set the sequence number's lower 32 bits.
    pub fn set_sequence(&mut self, sequence: u32) {
        self.0.as_mut()[field::SEQUENCE].copy_from_slice(&sequence.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_sets() {
        assert!(Packet::new_checked([0u8; 7]).is_err());
        let mut packet = Packet::new_checked([0u8; 8]).expect("a header");
        packet.set_spi(0x0102_0304);
        packet.set_sequence(5);
        assert_eq!((packet.spi(), packet.sequence()), (0x0102_0304, 5));
    }
}
