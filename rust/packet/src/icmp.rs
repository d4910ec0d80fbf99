//! The messages that tell a sender that its packet does not fit: "fragmentation needed" of ICMP (RFC 792, RFC 1191
//! section 4) and "packet too big" of ICMPv6 (RFC 4443 section 3.2), as RFC 4301 section 8.2 wants them of a tunnel's
//! begin.
//!
//! ```text
//!  0                   1                   2                   3
//! |     Type      |     Code      |          Checksum             |
//! |   unused = 0 (IPv4)           |        Next-Hop MTU (IPv4)    |
//! |                           MTU (IPv6)                          |
//! |        as much of the packet as the message may have          |
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::Checksum;
use crate::inner::{Fragment, Inner, Ports};
use crate::{ipv4, ipv6, protocol};

/// Octets in front of the quotation.
const HEADER_LEN: usize = 8;
/// The longest message in IPv4, of a packet of 576 octets (RFC 1812 section 4.3.2.3).
const MAX_V4: usize = 576 - ipv4::HEADER_LEN;
/// The longest message, that of IPv6: of a packet of its minimum MTU (RFC 4443 section 2.4 (c)).
pub const MAX_LEN: usize = 1280 - ipv6::HEADER_LEN;
/// The least MTU that IPv6 links have (RFC 8200 section 5).
const MIN_MTU_V6: u32 = 1280;

const DESTINATION_UNREACHABLE: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const PACKET_TOO_BIG: u8 = 2;

/// Why there is no message about a packet (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// It is an ICMP error itself, or hides whether it is.
    #[error("about an ICMP error")]
    IcmpError,
    /// It goes to many.
    #[error("about multicast or broadcast")]
    Multicast,
    /// It is not the first fragment.
    #[error("about a later fragment")]
    LaterFragment,
    /// Its source is not one host.
    #[error("to a source that is no single host")]
    Source,
    /// There is no room for the message.
    #[error("no room for the message")]
    NoRoom,
}

/// Write a message about `packet`, from which `inner` was parsed, into `out`; returns its octets.
///
/// It has no IP header: the system writes one, for it knows by which of our addresses the sender knows us (RFC 1812
/// section 4.3.2.4, RFC 4443 section 2.2), and for IPv6 the checksum, which counts that address (RFC 3542 section 3.1).
///
/// `mtu`: of the inner packets that fit. `out`: [`MAX_LEN`] octets are always enough. Limiting the rate is the caller's
/// (RFC 4443 section 2.4 (f)).
pub fn too_big(packet: &[u8], inner: &Inner, mtu: u16, out: &mut [u8]) -> Result<usize, Silence> {
    check(inner)?;
    let packet = packet.get(..inner.length).ok_or(Silence::NoRoom)?;
    let (maximum, head) = match inner.is_v6() {
        false => (MAX_V4, message_v4(mtu)),
        true => (MAX_LEN, message_v6(mtu)),
    };
    let quoted = packet.len().min(maximum - HEADER_LEN);
    let message = out.get_mut(..HEADER_LEN + quoted);
    let message = message.ok_or(Silence::NoRoom)?;
    message[..HEADER_LEN].copy_from_slice(&head);
    message[HEADER_LEN..].copy_from_slice(&packet[..quoted]);
    if !inner.is_v6() {
        let sum = Checksum::new().plus(message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(message.len())
}

fn message_v4(mtu: u16) -> [u8; HEADER_LEN] {
    let [high, low] = mtu.to_be_bytes();
    [
        DESTINATION_UNREACHABLE,
        FRAGMENTATION_NEEDED,
        0,
        0,
        0,
        0,
        high,
        low,
    ]
}

/// Less than the least MTU is never said: a host would not go below it (RFC 8201 section 4).
fn message_v6(mtu: u16) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::from(mtu).max(MIN_MTU_V6).to_be_bytes();
    [PACKET_TOO_BIG, 0, 0, 0, a, b, c, d]
}

fn check(inner: &Inner) -> Result<(), Silence> {
    if inner.fragment == Fragment::Later {
        return Err(Silence::LaterFragment);
    }
    if is_icmp_error(inner) {
        return Err(Silence::IcmpError);
    }
    match (inner.source, inner.destination) {
        (IpAddr::V4(source), _) if !is_host_v4(source) => Err(Silence::Source),
        (IpAddr::V6(source), _) if !is_host_v6(source) => Err(Silence::Source),
        (_, IpAddr::V4(destination))
            if destination.is_multicast() || destination.is_broadcast() =>
        {
            Err(Silence::Multicast)
        }
        (_, IpAddr::V6(destination)) if destination.is_multicast() => Err(Silence::Multicast),
        _ => Ok(()),
    }
}

/// RFC 1122 section 3.2.2 with RFC 792's types; RFC 4443 section 2.1: errors are below 128, and section 2.4 (e.2):
/// Redirect.
fn is_icmp_error(inner: &Inner) -> bool {
    let message = match inner.ports {
        Ports::Message(message) => Some(message >> 8),
        _ => None,
    };
    match inner.protocol {
        protocol::ICMP => matches!(message, None | Some(3 | 4 | 5 | 11 | 12)),
        protocol::ICMPV6 => message.is_none_or(|kind| kind < 128 || kind == 137),
        _ => false,
    }
}

/// Neither 0.0.0.0/8, nor loopback, nor multicast, nor broadcast and what is reserved around it.
fn is_host_v4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    first != 0 && first != 127 && first < 224
}

fn is_host_v6(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ah::round_trip::{v4, v6};
    use proptest::prelude::*;

    fn about(packet: &[u8], mtu: u16) -> Result<Vec<u8>, Silence> {
        let inner = Inner::parse(packet).expect("a packet");
        let mut out = vec![0xee; MAX_LEN];
        let length = too_big(packet, &inner, mtu, &mut out)?;
        out.truncate(length);
        Ok(out)
    }

    /// RFC 1191 section 4, RFC 1812 section 4.3.2.3: the MTU in the lower half of the unused word, and the packet up to
    /// 576 octets.
    #[test]
    fn fragmentation_needed() {
        for payload in [8, 100, 3000] {
            let packet = v4(17, &[], &vec![9; payload]);
            let message = about(&packet, 1394).expect("a message");
            assert_eq!(message[..2], [3, 4]);
            assert_eq!(message[4..8], [0, 0, 0x05, 0x72]);
            assert!(Checksum::new().plus(&message).is_intact());
            assert_eq!(message.len() + 20, 576.min(packet.len() + 28));
            assert_eq!(message[8..], packet[..message.len() - 8]);
        }
    }

    /// RFC 4443 section 3.2: the MTU in the second word, and the packet up to 1280 octets; never less than IPv6's
    /// minimum.
    #[test]
    fn packet_too_big() {
        for (payload, mtu, said) in [(8, 1394, 1394u32), (1400, 1300, 1300), (2000, 1200, 1280)] {
            let packet = v6(17, &vec![9; payload]);
            let message = about(&packet, mtu).expect("a message");
            assert_eq!(message[..4], [2, 0, 0, 0]);
            assert_eq!(message[4..8], said.to_be_bytes());
            assert_eq!(message.len() + 40, 1280.min(packet.len() + 48));
            assert_eq!(message[8..], packet[..message.len() - 8]);
        }
    }

    /// RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e.1) and (e.2).
    #[test]
    fn never_about_errors() {
        for kind in [3, 4, 5, 11, 12] {
            let packet = v4(1, &[], &[kind, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(about(&packet, 1300), Err(Silence::IcmpError));
        }
        assert!(about(&v4(1, &[], &[8, 0, 0, 0, 0, 0, 0, 0]), 1300).is_ok());
        assert_eq!(about(&v4(1, &[], &[]), 1300), Err(Silence::IcmpError));
        for kind in [1, 2, 3, 4, 100, 127, 137] {
            let packet = v6(58, &[kind, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(about(&packet, 1300), Err(Silence::IcmpError));
        }
        assert!(about(&v6(58, &[128, 0, 0, 0, 0, 0, 0, 0]), 1300).is_ok());
    }

    /// RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e.3) and (e.6). What RFC 4443 allows about multicast, to discover
    /// its MTU, no SA of ours carries.
    #[test]
    fn never_about_many_or_to_nobody() {
        let to = |destination: [u8; 4]| {
            let mut packet = v4(17, &[], &[1; 20]);
            packet[16..20].copy_from_slice(&destination);
            about(&packet, 1300).map(|_| ())
        };
        assert_eq!(to([224, 0, 0, 5]), Err(Silence::Multicast));
        assert_eq!(to([255, 255, 255, 255]), Err(Silence::Multicast));
        assert_eq!(to([8, 8, 8, 8]), Ok(()));
        for first in [0, 127, 224, 240, 255] {
            let mut packet = v4(17, &[], &[1; 20]);
            packet[12] = first;
            assert_eq!(about(&packet, 1300), Err(Silence::Source));
        }
        let mut packet = v6(17, &[1; 20]);
        packet[24] = 0xff;
        assert_eq!(about(&packet, 1300), Err(Silence::Multicast));
        packet[8] = 0xff;
        assert_eq!(about(&packet, 1300), Err(Silence::Source));
        packet[8..24].fill(0);
        assert_eq!(about(&packet, 1300), Err(Silence::Source));
        packet[23] = 1;
        assert_eq!(about(&packet, 1300), Err(Silence::Source));
    }

    /// RFC 1122 section 3.2.2: never about "a non-initial fragment".
    #[test]
    fn never_about_later_fragments() {
        for (word, expected) in [(0x2000, None), (0x2001, Some(Silence::LaterFragment))] {
            let mut packet = v4(17, &[], &[1; 20]);
            ipv4::Packet::new_unchecked(&mut packet[..]).set_fragment_word(word);
            assert_eq!(about(&packet, 1300).err(), expected);
        }
    }

    #[test]
    fn no_room_is_an_error() {
        let packet = v4(17, &[], &[1; 20]);
        let inner = Inner::parse(&packet).expect("a packet");
        let no_room = Err(Silence::NoRoom);
        assert_eq!(too_big(&packet, &inner, 1300, &mut [0; 47]), no_room);
        assert_eq!(too_big(&packet, &inner, 1300, &mut [0; 48]), Ok(48));
    }

    proptest! {
        #[test]
        fn any_packet_is_quoted_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..1500), protocol: u8, mtu: u16) {
            let packet = v4(protocol, &[], &payload);
            if let Ok(message) = about(&packet, mtu) {
                prop_assert!(message.len() <= MAX_V4);
                prop_assert!(Checksum::new().plus(&message).is_intact());
            }
        }
    }
}
