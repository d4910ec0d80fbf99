//! The checksums behind a NAT (RFC 3948 section 3.1.2).
//!
//! The sender computed the checksum of TCP or UDP with its own addresses; the NAT changed those in the outer header,
//! and could not see the checksum. So the receiver corrects it, or computes it anew where it does not know the
//! addresses.

use std::net::IpAddr;

use crate::checksum::Checksum;
use crate::inner::{Fragment, Inner};
use crate::{protocol, tcp, u16_at, udp};

/// The addresses that the sender wrote: NAT-OA (RFC 3947 section 5.2), or with IKEv2 those of the traffic selectors
/// (RFC 7296 section 2.23.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealAddresses {
    /// The sender's own address.
    pub source: IpAddr,
    /// The address it sent to.
    pub destination: IpAddr,
}

impl RealAddresses {
    /// Correct the checksum of a packet that was opened, from which `inner` was parsed: subtract the addresses that it
    /// has from the sum, add the real ones (first procedure). False if it has none that counts addresses.
    pub fn correct(&self, packet: &mut [u8], inner: &Inner) -> bool {
        let Some((at, is_udp)) = checksum_at(packet, inner) else {
            return false;
        };
        let Some(real) = self.sum(inner.is_v6()) else {
            return false;
        };
        let old = u16_at(packet, at);
        if is_udp && old == 0 {
            return true; // no checksum (RFC 768)
        }
        // The field is the complement of the sum, so the signs change.
        let sum = Checksum::new()
            .plus_word(!old)
            .plus_word(!real)
            .plus(inner.addresses(packet));
        write(packet, at, is_udp, sum);
        true
    }

    /// The sum of both addresses, if they are of this family.
    fn sum(&self, is_v6: bool) -> Option<u16> {
        let sum = match (self.source, self.destination, is_v6) {
            (IpAddr::V4(source), IpAddr::V4(destination), false) => Checksum::new()
                .plus(&source.octets())
                .plus(&destination.octets()),
            (IpAddr::V6(source), IpAddr::V6(destination), true) => Checksum::new()
                .plus(&source.octets())
                .plus(&destination.octets()),
            _ => return None,
        };
        Some(sum.partial())
    }
}

/// Compute the checksum of a packet that was opened, from which `inner` was parsed (second procedure). The ICV has told
/// that the packet is intact. False if it has none that counts addresses.
pub fn recompute(packet: &mut [u8], inner: &Inner) -> bool {
    let Some((at, is_udp)) = checksum_at(packet, inner) else {
        return false;
    };
    packet[at..at + 2].fill(0);
    let transport = &packet[inner.transport..inner.length];
    let addresses = inner.addresses(packet);
    let sum = Checksum::pseudo_header(addresses, inner.protocol, transport.len()).plus(transport);
    write(packet, at, is_udp, sum);
    true
}

/// Where the checksum is, and whether 0 means none. With a Routing header the addresses in the IP header are not those
/// that count (RFC 8200 section 8.1).
fn checksum_at(packet: &[u8], inner: &Inner) -> Option<(usize, bool)> {
    let (offset, is_udp) = match inner.protocol {
        protocol::TCP => (tcp::CHECKSUM_AT, false),
        protocol::UDP => (udp::CHECKSUM_AT, true),
        _ => return None,
    };
    let at = inner.transport + offset;
    let is_countable = inner.fragment == Fragment::Whole && !inner.is_routed;
    (is_countable && at + 2 <= inner.length && inner.length <= packet.len()).then_some((at, is_udp))
}

fn write(packet: &mut [u8], at: usize, is_udp: bool, sum: Checksum) {
    let checksum = if is_udp {
        sum.finish_udp()
    } else {
        sum.finish()
    };
    packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ah::round_trip::{v4, v6};
    use proptest::prelude::*;

    /// A TCP or UDP packet with a right checksum, and what its sender knew as addresses.
    fn packet(is_v6: bool, is_udp: bool, payload: &[u8]) -> (Vec<u8>, RealAddresses) {
        let (protocol, header) = if is_udp { (17, 8) } else { (6, 20) };
        let transport = [&vec![0x50; header][..], payload].concat();
        let mut packet = if is_v6 {
            v6(protocol, &transport)
        } else {
            v4(protocol, &[], &transport)
        };
        let inner = Inner::parse(&packet).expect("a packet");
        assert!(recompute(&mut packet, &inner));
        let real = RealAddresses {
            source: inner.source,
            destination: inner.destination,
        };
        (packet, real)
    }

    fn is_intact(packet: &[u8]) -> bool {
        let inner = Inner::parse(packet).expect("a packet");
        let transport = &packet[inner.transport..];
        Checksum::pseudo_header(inner.addresses(packet), inner.protocol, transport.len())
            .plus(transport)
            .is_intact()
    }

    proptest! {
        /// RFC 3948 section 3.1.2, procedure 1: whatever the NAT made of the addresses.
        #[test]
        fn checksums_are_corrected(
            is_v6: bool,
            is_udp: bool,
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            translated: [u8; 32],
        ) {
            let (mut packet, real) = packet(is_v6, is_udp, &payload);
            prop_assert!(is_intact(&packet));
            let addresses = if is_v6 { 8..40 } else { 12..20 };
            let length = addresses.len();
            packet[addresses].copy_from_slice(&translated[..length]);
            let inner = Inner::parse(&packet).expect("a packet");
            let mut again = packet.clone();
            prop_assert!(real.correct(&mut packet, &inner));
            prop_assert!(is_intact(&packet));
            // Procedure 2 comes to the same.
            prop_assert!(recompute(&mut again, &inner));
            prop_assert!(is_intact(&again));
        }
    }

    /// RFC 768: a checksum of 0 is none, and stays none.
    #[test]
    fn no_checksum_stays_none() {
        let (mut packet, mut real) = packet(false, true, &[1, 2, 3]);
        packet[26..28].fill(0);
        let inner = Inner::parse(&packet).expect("a packet");
        real.source = "10.9.8.7".parse().expect("an address");
        assert!(real.correct(&mut packet, &inner));
        assert_eq!(packet[26..28], [0, 0]);
    }

    #[test]
    fn other_protocols_have_none() {
        let real = RealAddresses {
            source: "10.0.0.1".parse().expect("an address"),
            destination: "10.0.0.2".parse().expect("an address"),
        };
        for packet in [
            v4(1, &[], &[8, 0, 0, 0, 0, 0, 0, 0]),
            v4(6, &[], &[1; 17]),
            v6(6, &[1; 20]), // of another family
            v4(50, &[], &[1; 40]),
        ] {
            let inner = Inner::parse(&packet).expect("a packet");
            let mut changed = packet.clone();
            assert!(!real.correct(&mut changed, &inner));
            assert_eq!(changed, packet);
        }
    }
}
