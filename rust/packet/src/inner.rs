//! What the SPD and the SAD must know of an inner packet: addresses, protocol and ports (RFC 4301 section 4.4.1.1).

use std::net::IpAddr;

use crate::extension::Extensions;
use crate::{ipv4, ipv6, protocol, tcp, u16_at, Malformed};

/// The selectors of an inner packet, and where its parts begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The protocol behind all extension headers (RFC 4301: "Next Layer Protocol").
    pub protocol: u8,
    /// Ports, or what stands for them.
    pub ports: Ports,
    /// Whole packet or fragment.
    pub fragment: Fragment,
    /// Where the transport header begins.
    pub transport: usize,
    /// Octets of the IP packet.
    pub length: usize,
    /// True when the IP header is followed by a Routing header, whose last address the checksums count.
    pub is_routed: bool,
}

/// The fields of the transport header that selectors know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// TCP, UDP, UDP-Lite, SCTP, DCCP.
    Pair {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP type * 256 + code, or Mobility Header type * 256.
    Message(u16),
    /// The protocol has none, or a fragment or truncation hides them (RFC 4301 section 4.4.1.2: OPAQUE).
    Unavailable,
}

/// Which part of a packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// All of it.
    Whole,
    /// The first fragment, with the transport header.
    First,
    /// A later one, without.
    Later,
}

impl Inner {
    /// Read an IPv4 or IPv6 packet. The buffer may be longer (RFC 4303 section 2.7: TFC padding), never shorter.
    pub fn parse(octets: &[u8]) -> Result<Self, Malformed> {
        match octets.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(octets),
            Some(6) => Self::parse_v6(octets),
            _ => Err(Malformed::new("ip.version", "neither 4 nor 6")),
        }
    }

    /// True for IPv6.
    pub fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// The next header value of ESP in tunnel mode: 4 or 41 (RFC 4303 section 2.6).
    pub fn tunnel_next_header(&self) -> u8 {
        if self.is_v6() {
            protocol::IPV6
        } else {
            protocol::IPV4
        }
    }

    /// Source and destination as they stand in the header of `packet`, from which this was parsed.
    pub fn addresses<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        if self.is_v6() {
            &packet[8..40]
        } else {
            &packet[12..20]
        }
    }

    /// True for a later fragment of TCP that begins within the least header of its segment: it could write over what was
    /// checked of the first fragment, above all the flags (RFC 1858 section 4, RFC 4301 section 7.2: "a minimum offset
    /// check"). `packet`: from which this was parsed.
    pub fn overlaps_transport(&self, packet: &[u8]) -> bool {
        if self.fragment != Fragment::Later || self.protocol != protocol::TCP {
            return false;
        }
        let offset = if self.is_v6() {
            // The Fragment header is the last that is walked.
            self.transport
                .checked_sub(6)
                .and_then(|at| packet.get(at..at + 2))
                .map_or(0, |word| u16_at(word, 0) & 0xfff8)
        } else {
            ipv4::Packet::new_unchecked(packet).fragment_offset() * 8
        };
        usize::from(offset) < tcp::HEADER_LEN
    }

    fn parse_v4(octets: &[u8]) -> Result<Self, Malformed> {
        let packet = ipv4::Packet::new_checked(octets)?;
        let fragment = match (packet.fragment_offset(), packet.has_more_fragments()) {
            (0, false) => Fragment::Whole,
            (0, true) => Fragment::First,
            _ => Fragment::Later,
        };
        let whole = &octets[..packet.total_len()];
        Ok(Self {
            source: packet.source().into(),
            destination: packet.destination().into(),
            protocol: packet.protocol(),
            ports: ports(packet.protocol(), fragment, &whole[packet.header_len()..]),
            fragment,
            transport: packet.header_len(),
            length: whole.len(),
            is_routed: false,
        })
    }

    fn parse_v6(octets: &[u8]) -> Result<Self, Malformed> {
        let packet = ipv6::Packet::new_checked(octets)?;
        let whole = &octets[..packet.total_len()];
        let chain = Chain::walk(whole, packet.next_header())?;
        Ok(Self {
            source: packet.source().into(),
            destination: packet.destination().into(),
            protocol: chain.protocol,
            ports: ports(chain.protocol, chain.fragment, &whole[chain.at..]),
            fragment: chain.fragment,
            transport: chain.at,
            length: whole.len(),
            is_routed: chain.is_routed,
        })
    }
}

/// What stands behind the extension headers of IPv6.
struct Chain {
    protocol: u8,
    at: usize,
    fragment: Fragment,
    is_routed: bool,
}

impl Chain {
    fn walk(packet: &[u8], next_header: u8) -> Result<Self, Malformed> {
        let mut chain = Self {
            protocol: next_header,
            at: ipv6::HEADER_LEN,
            fragment: Fragment::Whole,
            is_routed: false,
        };
        for extension in Extensions::new(packet) {
            let extension = extension?;
            chain.protocol = extension.next_header;
            chain.at = extension.end;
            match extension.kind {
                protocol::IPV6_FRAGMENT => chain.fragment = extension.fragment,
                protocol::IPV6_ROUTE => chain.is_routed = true,
                _ => {}
            }
        }
        Ok(chain)
    }
}

fn ports(protocol: u8, fragment: Fragment, transport: &[u8]) -> Ports {
    if fragment == Fragment::Later {
        return Ports::Unavailable;
    }
    match (protocol, transport) {
        (
            protocol::TCP | protocol::UDP | protocol::UDP_LITE | protocol::SCTP | protocol::DCCP,
            [a, b, c, d, ..],
        ) => Ports::Pair {
            source: u16::from_be_bytes([*a, *b]),
            destination: u16::from_be_bytes([*c, *d]),
        },
        (protocol::ICMP | protocol::ICMPV6, [message, code, ..]) => {
            Ports::Message(u16::from_be_bytes([*message, *code]))
        }
        (protocol::MOBILITY_HEADER, [_, _, message, ..]) => {
            Ports::Message(u16::from_be_bytes([*message, 0]))
        }
        _ => Ports::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(protocol: u8, fragment: u16, transport: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 20 + transport.len() as u8, 0, 0];
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0, 10, 1, 0, 1, 10, 2, 0, 2]);
        packet.extend(transport);
        packet
    }

    fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8, next_header, 64];
        packet.extend([0; 32]);
        packet.extend(payload);
        packet
    }

    fn ports_of(packet: &[u8]) -> (u8, Ports) {
        let inner = Inner::parse(packet).expect("a packet");
        (inner.protocol, inner.ports)
    }

    /// RFC 4301 section 4.4.1.1: ports, ICMP type and code, Mobility Header type.
    #[test]
    fn reads_the_selectors() {
        let pair = Ports::Pair {
            source: 0x0102,
            destination: 0x0304,
        };
        assert_eq!(ports_of(&v4(17, 0, &[1, 2, 3, 4])), (17, pair));
        assert_eq!(ports_of(&v4(1, 0, &[8, 7])), (1, Ports::Message(0x0807)));
        assert_eq!(
            ports_of(&v6(135, &[0, 0, 5, 0])),
            (135, Ports::Message(0x0500))
        );
        assert_eq!(
            ports_of(&v4(50, 0, &[1, 2, 3, 4])),
            (50, Ports::Unavailable)
        );
        assert_eq!(ports_of(&v4(17, 0, &[1, 2, 3])), (17, Ports::Unavailable));
    }

    /// RFC 4301 section 4.4.1.2: a fragment other than the first has no ports.
    #[test]
    fn later_fragments_have_no_ports() {
        let parse = |word| Inner::parse(&v4(6, word, &[1, 2, 3, 4])).expect("a packet");
        assert_eq!(parse(0x2000).fragment, Fragment::First);
        assert_ne!(parse(0x2000).ports, Ports::Unavailable);
        assert_eq!(parse(0x0001).fragment, Fragment::Later);
        assert_eq!(parse(0x0001).ports, Ports::Unavailable);
    }

    /// RFC 1858 section 4, RFC 4301 section 7.2: no later fragment of TCP begins within the header.
    #[test]
    fn finds_fragments_that_overlap_the_header() {
        let overlaps = |packet: &[u8]| {
            let inner = Inner::parse(packet).expect("a packet");
            inner.overlaps_transport(packet)
        };
        for (word, expected) in [
            (0x0000, false),
            (0x2000, false),
            (0x2001, true),
            (0x0002, true),
            (0x0003, false),
            (0x1fff, false),
        ] {
            assert_eq!(overlaps(&v4(6, word, &[0; 24])), expected, "{word:#x}");
            assert!(!overlaps(&v4(17, word, &[0; 24])));
            let [high, low] = u16::rotate_left(word, 3).to_be_bytes();
            let fragment = [6, 0, high, low, 0, 0, 0, 9];
            let packet = v6(44, &[&fragment[..], &[0; 24]].concat());
            assert_eq!(overlaps(&packet), expected, "{word:#x}");
        }
    }

    /// RFC 8200 section 4: the protocol stands behind the extension headers.
    #[test]
    fn walks_extension_headers() {
        let mut payload = vec![60, 1];
        payload.extend([0; 14]); // Hop-by-Hop of 16 octets, then Destination Options of 8
        payload.extend([44, 0, 0, 0, 0, 0, 0, 0]);
        payload.extend([17, 0, 0, 1, 0, 0, 0, 9]); // Fragment, first
        payload.extend([0, 53, 0, 54]);
        let inner = Inner::parse(&v6(0, &payload)).expect("a packet");
        assert_eq!(inner.protocol, 17);
        assert_eq!(inner.transport, 40 + 32);
        assert_eq!(inner.fragment, Fragment::First);
        assert_eq!(
            inner.ports,
            Ports::Pair {
                source: 53,
                destination: 54
            }
        );
    }

    #[test]
    fn endless_chains_are_refused() {
        let payload = [0u8; 8].repeat(20);
        assert_eq!(
            Inner::parse(&v6(0, &payload)).map_err(|e| e.field),
            Err("ipv6.next_header")
        );
        assert_eq!(
            Inner::parse(&v6(0, &[17, 1, 0])).map_err(|e| e.field),
            Err("ipv6.extension")
        );
        let long = [17, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(
            Inner::parse(&v6(0, &long)).map_err(|e| e.field),
            Err("ipv6.extension_length")
        );
    }

    proptest! {
        #[test]
        fn junk_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Inner::parse(&octets);
        }

        /// Junk behind a plausible first octets: what is parsed lies inside the buffer.
        #[test]
        fn answers_lie_inside(mut octets in proptest::collection::vec(any::<u8>(), 40..200), six in any::<bool>(), next in 0u8..64) {
            octets[0] = if six { 0x60 } else { 0x45 };
            octets[2] = 0;
            octets[4] = 0;
            octets[6] = next;
            if let Ok(inner) = Inner::parse(&octets) {
                prop_assert!(inner.length <= octets.len());
                prop_assert!(inner.transport <= inner.length);
            }
        }
    }
}
