//! ECN and DSCP across a tunnel (RFC 6040, RFC 2983, RFC 4301 section 5.1.2).

use crate::checksum;
use crate::{ipv4, ipv6};

/// The two bits of Explicit Congestion Notification (RFC 3168 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// 00: the transport does not know ECN.
    NotEct,
    /// 01: ECN-capable transport, 1.
    Ect1,
    /// 10: ECN-capable transport, 0.
    Ect0,
    /// 11: congestion experienced.
    Ce,
}

impl Ecn {
    /// The bits in a traffic class or type of service.
    pub fn of(traffic_class: u8) -> Self {
        match traffic_class & 0b11 {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The traffic class with these bits.
    #[must_use]
    pub fn in_class(self, traffic_class: u8) -> u8 {
        traffic_class & !0b11 | self as u8
    }
}

/// What an encapsulator does with ECN (RFC 6040 section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encapsulation {
    /// Copy it.
    #[default]
    Normal,
    /// Clear it, for a decapsulator that does not understand it.
    Compatibility,
}

/// The ECN of the outer header (RFC 6040 figure 3).
pub fn encapsulate(mode: Encapsulation, inner: Ecn) -> Ecn {
    match mode {
        Encapsulation::Normal => inner,
        Encapsulation::Compatibility => Ecn::NotEct,
    }
}

/// The ECN of the packet that leaves the tunnel (RFC 6040 figure 4); `None`: drop it, for its congestion cannot be told
/// in another way.
pub fn decapsulate(inner: Ecn, outer: Ecn) -> Option<Ecn> {
    match (inner, outer) {
        (Ecn::NotEct, Ecn::Ce) => None,
        (Ecn::NotEct, _) => Some(Ecn::NotEct),
        (Ecn::Ce, _) | (_, Ecn::Ce) => Some(Ecn::Ce),
        (Ecn::Ect1, _) | (_, Ecn::Ect1) => Some(Ecn::Ect1),
        (Ecn::Ect0, _) => Some(Ecn::Ect0),
    }
}

/// How much a combination of inner and outer ECN that nobody should send deserves to be logged (RFC 6040 figure 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// An ordinary combination.
    None,
    /// "(!)": currently unused, and possibly dangerous.
    Possible,
    /// "(!!!)": currently unused, and always potentially dangerous.
    Dangerous,
}

/// The marks in RFC 6040 figure 4.
pub fn concern(inner: Ecn, outer: Ecn) -> Concern {
    match (inner, outer) {
        (Ecn::NotEct, Ecn::Ect0 | Ecn::Ect1 | Ecn::Ce) | (Ecn::Ce, Ecn::Ect1) => Concern::Dangerous,
        (Ecn::Ect1, Ecn::Ect0) => Concern::Possible,
        _ => Concern::None,
    }
}

/// What the DSCP of the outer header is (RFC 4301 section 5.1.2.1, footnote 5; RFC 2983).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dscp {
    /// That of the inner header.
    #[default]
    Copied,
    /// Always this one, 0 to 63, so that it does not tell what kind of traffic is inside.
    Fixed(u8),
}

/// How the packets of an outbound SA are marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marking {
    /// The upper six bits.
    pub dscp: Dscp,
    /// The lower two.
    pub ecn: Encapsulation,
}

impl Marking {
    /// The traffic class of the outer header of an inner packet with this one.
    #[inline]
    pub fn outer(&self, inner: u8) -> u8 {
        let dscp = match self.dscp {
            Dscp::Copied => inner,
            Dscp::Fixed(dscp) => dscp << 2,
        };
        encapsulate(self.ecn, Ecn::of(inner)).in_class(dscp)
    }
}

/// DSCP and ECN of an IPv4 or IPv6 packet whose header was checked.
#[inline]
pub fn traffic_class(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 {
        ipv4::Packet::new_unchecked(packet).type_of_service()
    } else {
        ipv6::Packet::new_unchecked(packet).traffic_class()
    }
}

/// Set DSCP and ECN of an IPv4 or IPv6 packet whose header was checked, and correct the checksum of IPv4. A wrong
/// checksum stays wrong.
pub fn set_traffic_class(packet: &mut [u8], traffic_class: u8) {
    if packet[0] >> 4 == 6 {
        ipv6::Packet::new_unchecked(packet).set_traffic_class(traffic_class);
        return;
    }
    let mut ip = ipv4::Packet::new_unchecked(packet);
    let old = u16::from(ip.type_of_service());
    let checksum = checksum::updated(ip.checksum(), old, u16::from(traffic_class));
    ip.set_type_of_service(traffic_class);
    ip.set_checksum(checksum);
}

/// Take the ECN of the outer header over into a packet that leaves the tunnel, as RFC 6040 figure 4 has it; false: drop
/// it. The DSCP stays that of the inner header (RFC 2983 section 3.1: the pipe model; RFC 4301 section 5.1.2.1).
#[must_use]
pub fn take_over(packet: &mut [u8], outer: u8) -> bool {
    let class = traffic_class(packet);
    let inner = Ecn::of(class);
    match decapsulate(inner, Ecn::of(outer)) {
        Some(ecn) if ecn == inner => true,
        Some(ecn) => {
            set_traffic_class(packet, ecn.in_class(class));
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Ecn; 4] = [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1, Ecn::Ce];

    /// RFC 6040 figure 3.
    #[test]
    fn encapsulation_follows_the_table() {
        for inner in ALL {
            assert_eq!(encapsulate(Encapsulation::Normal, inner), inner);
            let outer = encapsulate(Encapsulation::Compatibility, inner);
            assert_eq!(outer, Ecn::NotEct);
        }
    }

    /// RFC 6040 figure 4: inner in rows, outer in columns, both in the order of `ALL`.
    #[test]
    fn decapsulation_follows_the_table() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        let table = [
            [Some(NotEct), Some(NotEct), Some(NotEct), None],
            [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)],
            [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)],
            [Some(Ce), Some(Ce), Some(Ce), Some(Ce)],
        ];
        for (inner, row) in ALL.into_iter().zip(table) {
            for (outer, expected) in ALL.into_iter().zip(row) {
                assert_eq!(decapsulate(inner, outer), expected, "{inner:?} {outer:?}");
            }
        }
    }

    /// RFC 6040 figure 4: the marks.
    #[test]
    fn unused_combinations_are_marked() {
        use Concern::{Dangerous, None, Possible};
        let table = [
            [None, Dangerous, Dangerous, Dangerous],
            [None, None, None, None],
            [None, Possible, None, None],
            [None, None, Dangerous, None],
        ];
        for (inner, row) in ALL.into_iter().zip(table) {
            for (outer, expected) in ALL.into_iter().zip(row) {
                assert_eq!(concern(inner, outer), expected, "{inner:?} {outer:?}");
            }
        }
    }

    /// RFC 3168 section 5: the code points.
    #[test]
    fn code_points_are_those_of_rfc3168() {
        for (bits, ecn) in [
            (0, Ecn::NotEct),
            (1, Ecn::Ect1),
            (2, Ecn::Ect0),
            (3, Ecn::Ce),
        ] {
            assert_eq!(Ecn::of(0xb8 | bits), ecn);
            assert_eq!(ecn.in_class(0xbb), 0xb8 | bits);
        }
    }

    /// RFC 4301 section 5.1.2.1: DSCP copied or fixed.
    #[test]
    fn marking() {
        let class = 0b1011_1010;
        assert_eq!(Marking::default().outer(class), class);
        let hidden = Marking {
            dscp: Dscp::Fixed(5),
            ecn: Encapsulation::Compatibility,
        };
        assert_eq!(hidden.outer(class), 0b0001_0100);
    }

    fn v4(class: u8) -> Vec<u8> {
        let mut packet = vec![0x45, class, 0, 20, 0, 7, 0, 0, 63, 17, 0, 0];
        packet.extend([10, 1, 0, 1, 10, 2, 0, 2]);
        ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        packet
    }

    proptest! {
        #[test]
        fn the_checksum_stays_right(old: u8, new: u8) {
            let mut packet = v4(old);
            set_traffic_class(&mut packet, new);
            prop_assert_eq!(packet, v4(new));
        }

        #[test]
        fn ipv6_has_it_too(old: u8, new: u8, flow: u8) {
            let mut packet = vec![0; 40];
            packet[..4].copy_from_slice(&[0x60 | old >> 4, old << 4 | flow & 0xf, flow, flow]);
            prop_assert_eq!(traffic_class(&packet), old);
            set_traffic_class(&mut packet, new);
            prop_assert_eq!(traffic_class(&packet), new);
            prop_assert_eq!(&packet[..4], &[0x60 | new >> 4, new << 4 | flow & 0xf, flow, flow]);
        }

        /// RFC 6040 section 4.2, RFC 2983 section 3.1: ECN is taken over, DSCP is not.
        #[test]
        fn ecn_is_taken_over(inner: u8, outer: u8) {
            let mut packet = v4(inner);
            match decapsulate(Ecn::of(inner), Ecn::of(outer)) {
                None => prop_assert!(!take_over(&mut packet, outer)),
                Some(ecn) => {
                    prop_assert!(take_over(&mut packet, outer));
                    prop_assert_eq!(packet, v4(ecn.in_class(inner)));
                }
            }
        }
    }
}
