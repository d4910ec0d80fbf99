//! The header of AH (RFC 4302 section 2).

use crate::{u16_at, u32_at, Malformed};

/// Octets in front of the ICV.
pub const FIXED_LEN: usize = 12;

/// A view of an AH header whose length was checked.
///
/// ```text
///  0                   1                   2                   3
/// | Next Header   |  Payload Len  |          RESERVED             |
/// |                 Security Parameters Index (SPI)               |
/// |                    Sequence Number Field                      |
/// +                Integrity Check Value-ICV (variable)           |
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Packet<T: AsRef<[u8]>>(T);

mod field {
    use std::ops::Range;

    pub const NEXT_HEADER: usize = 0;
    pub const PAYLOAD_LEN: usize = 1;
    pub const RESERVED: Range<usize> = 2..4;
    pub const SPI: Range<usize> = 4..8;
    pub const SEQUENCE: Range<usize> = 8..12;
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Check the length. The buffer may be longer than the header.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        if buffer.as_ref().len() < FIXED_LEN {
            return Err(Malformed::new("ah", "shorter than its header"));
        }
        let packet = Self(buffer);
        let length = packet.header_len();
        if length < FIXED_LEN || length > packet.0.as_ref().len() {
            return Err(Malformed::new("ah.payload_len", "outside the packet"));
        }
        Ok(packet)
    }

    /// Protocol of what follows.
    pub fn next_header(&self) -> u8 {
        self.0.as_ref()[field::NEXT_HEADER]
    }

    /// Octets of the header with its ICV. The field counts words of 32 bits, and two less than there are (RFC 4302
    /// section 2.2).
    pub fn header_len(&self) -> usize {
        (usize::from(self.0.as_ref()[field::PAYLOAD_LEN]) + 2) * 4
    }

    /// What is sent as zero, and ignored, but covered by the ICV (RFC 4302 section 2.3).
    pub fn reserved(&self) -> u16 {
        u16_at(self.0.as_ref(), field::RESERVED.start)
    }

    /// Security parameters index, host order.
    pub fn spi(&self) -> u32 {
        u32_at(self.0.as_ref(), field::SPI.start)
    }

    /// The sequence number's lower 32 bits.
    pub fn sequence(&self) -> u32 {
        u32_at(self.0.as_ref(), field::SEQUENCE.start)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Write all fields but the ICV, into a buffer that is as long as the header.
    pub(super) fn write(mut buffer: T, next_header: u8, spi: u32, sequence: u32) {
        let octets = buffer.as_mut();
        octets[field::NEXT_HEADER] = next_header;
        octets[field::PAYLOAD_LEN] = (octets.len() / 4 - 2) as u8;
        octets[field::RESERVED].fill(0);
        octets[field::SPI].copy_from_slice(&spi.to_be_bytes());
        octets[field::SEQUENCE].copy_from_slice(&sequence.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_it_writes() {
        let mut octets = [0xee; 24];
        Packet::write(&mut octets[..], 6, 0x0102_0304, 5);
        let packet = Packet::new_checked(octets).expect("a header");
        assert_eq!((packet.next_header(), packet.header_len()), (6, 24));
        assert_eq!(packet.reserved(), 0);
        assert_eq!((packet.spi(), packet.sequence()), (0x0102_0304, 5));
        assert_eq!(octets[1], 4); // RFC 4302 section 2.2: 3 + 3 - 2 for an ICV of 96 bits
    }

    #[test]
    fn errors_name_the_field() {
        let error = |octets: &[u8]| Packet::new_checked(octets).map(|_| ()).map_err(|e| e.field);
        assert_eq!(error(&[0; 11]), Err("ah"));
        assert_eq!(error(&[0; 12]), Err("ah.payload_len"));
        assert_eq!(error(&[4; 23]), Err("ah.payload_len"));
        assert_eq!(error(&[4; 24]), Ok(()));
    }

    proptest! {
        #[test]
        fn junk_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(packet) = Packet::new_checked(&octets) {
                prop_assert!(packet.header_len() <= octets.len());
            }
        }
    }
}
