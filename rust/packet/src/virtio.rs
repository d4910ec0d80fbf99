//! The header before every frame of a TUN interface with `IFF_VNET_HDR`: `virtio_net_hdr` of the virtio
//! specification 1.2, section 5.1.6, in the machine's own byte order.

use crate::Malformed;

/// Octets of the header before every frame of the TUN interface.
pub const HEADER_LEN: usize = 10;

/// Flag: the checksum at `csum_start + csum_offset` is still to be completed.
pub const NEEDS_CSUM: u8 = 1;
/// GSO type: an ordinary packet.
pub const GSO_NONE: u8 = 0;
/// GSO type: TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// GSO type: UDP fragmentation, which the plane never offers.
pub const GSO_UDP: u8 = 3;
/// GSO type: TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// GSO type: UDP datagrams of equal size, over IPv4 or IPv6.
pub const GSO_UDP_L4: u8 = 5;
/// Bit of the GSO type: the TCP segment has CWR set (RFC 3168).
pub const GSO_ECN: u8 = 0x80;

/// The header.
///
/// ```text
/// | flags 8 | gso_type 8 | hdr_len 16 | gso_size 16 | csum_start 16 | csum_offset 16 |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// [`NEEDS_CSUM`] or 0.
    pub flags: u8,
    /// One of the GSO types, perhaps with [`GSO_ECN`].
    pub gso_type: u8,
    /// Octets of all headers; a hint only.
    pub header_len: u16,
    /// Octets of payload in each segment.
    pub gso_size: u16,
    /// Where the checksum begins to count, from the start of the IP packet.
    pub csum_start: u16,
    /// Where the checksum stands, from `csum_start`.
    pub csum_offset: u16,
}

impl Header {
    /// Split a frame into header and IP packet.
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let Some((octets, packet)) = frame.split_first_chunk::<HEADER_LEN>() else {
            return Err(Malformed::new(
                "virtio_net_hdr",
                "shorter than its 10 octets",
            ));
        };
        let word = |at: usize| u16::from_ne_bytes([octets[at], octets[at + 1]]);
        let header = Self {
            flags: octets[0],
            gso_type: octets[1],
            header_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        };
        Ok((header, packet))
    }

    /// The octets of the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let [a, b] = self.header_len.to_ne_bytes();
        let [c, d] = self.gso_size.to_ne_bytes();
        let [e, f] = self.csum_start.to_ne_bytes();
        let [g, h] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }

    /// True when the checksum must be completed.
    pub fn needs_checksum(&self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }

    /// The GSO type without the ECN bit.
    pub fn segmentation(&self) -> u8 {
        self.gso_type & !GSO_ECN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let header = Header {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV6 | GSO_ECN,
            header_len: 60,
            gso_size: 1380,
            csum_start: 40,
            csum_offset: 16,
        };
        let frame = header.encode();
        assert_eq!(Header::decode(&frame), Ok((header, &[][..])));
        assert_eq!(header.segmentation(), GSO_TCPV6);
        assert!(header.needs_checksum());
        assert!(Header::decode(&frame[..9]).is_err());
    }
}
