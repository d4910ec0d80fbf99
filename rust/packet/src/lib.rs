//! Packet formats and transforms: IP, TCP, UDP, virtio_net_hdr, segmentation, coalescing, ESP.
//!
//! Nothing here does I/O or allocates per packet; the cryptography is that of `caponier-cipher`. Octets from outside
//! are only read through `new_checked` and `parse` functions, which are total: whatever the octets, they answer or
//! return [`Malformed`].
#![forbid(unsafe_code)]

pub mod ah;
pub mod algorithms;
pub mod checksum;
pub mod coalesce;
pub mod ecn;
mod error;
pub mod esn;
pub mod esp;
mod extension;
pub mod fragment;
pub mod icmp;
pub mod inner;
mod integrity;
pub mod ipv4;
pub mod ipv6;
mod keys;
pub mod mss;
pub mod replay;
pub mod segment;
pub mod sequence;
#[cfg(test)]
mod suites;
pub mod tcp;
pub mod transform;
pub mod transport;
pub mod udp;
pub mod virtio;

pub use error::{Malformed, OpenError, SealError};
pub use keys::{KeyError, KeyMaterial};

/// IP protocol numbers (IANA "Assigned Internet Protocol Numbers") that the packet path knows.
pub mod protocol {
    #![allow(missing_docs)]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const DCCP: u8 = 33;
    pub const IPV6: u8 = 41;
    pub const IPV6_ROUTE: u8 = 43;
    pub const IPV6_FRAGMENT: u8 = 44;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT_HEADER: u8 = 59;
    pub const IPV6_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;
    pub const MOBILITY_HEADER: u8 = 135;
    pub const UDP_LITE: u8 = 136;
}

/// Reads two octets, big-endian. The caller has checked the length.
pub(crate) fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

/// Reads four octets, big-endian. The caller has checked the length.
pub(crate) fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
}

/// The octets that hexadecimal digits stand for.
#[cfg(test)]
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .bytes()
        .filter(|digit| !digit.is_ascii_whitespace())
        .collect();
    let octet = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(pair, 16).expect("two digits")
    };
    digits.chunks(2).map(octet).collect()
}
