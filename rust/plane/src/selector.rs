//! Traffic selectors as the plane matches them (RFC 4301 section 4.4.1.1, RFC 7296 section 3.13.1).

use std::net::IpAddr;

use caponier_packet::inner::{Inner, Ports};

use crate::error::PlaneError;

/// A range of addresses, a protocol and a range of ports; all ends are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector {
    /// IP protocol; 0 for any.
    pub protocol: u8,
    /// First port; for ICMP type * 256 + code, for the Mobility Header its type * 256.
    pub start_port: u16,
    /// Last port. 0 to 65535 is ANY; 65535 to 0 is OPAQUE (RFC 4301 section 4.4.1.2).
    pub end_port: u16,
    /// First address.
    pub first: IpAddr,
    /// Last address, of the same family and not below `first`.
    pub last: IpAddr,
}

/// The selectors of both sides, in one place of memory.
#[derive(Debug)]
pub(crate) struct Sides {
    selectors: Box<[Selector]>,
    /// How many of them are local.
    locals: usize,
}

impl Sides {
    pub(crate) fn new(local: &[Selector], remote: &[Selector]) -> Result<Self, PlaneError> {
        let both = local.iter().chain(remote);
        both.clone().try_for_each(Selector::validate)?;
        Ok(Self {
            selectors: both.copied().collect(),
            locals: local.len(),
        })
    }

    fn local(&self) -> &[Selector] {
        self.selectors.get(..self.locals).unwrap_or(&[])
    }

    pub(crate) fn remote(&self) -> &[Selector] {
        self.selectors.get(self.locals..).unwrap_or(&[])
    }

    /// Whether a packet may go from here to there.
    pub(crate) fn admit_out(&self, inner: &Inner) -> bool {
        admit(self.local(), self.remote(), inner)
    }

    /// Whether a packet may come from there to here.
    pub(crate) fn admit_in(&self, inner: &Inner) -> bool {
        admit(self.remote(), self.local(), inner)
    }
}

/// What a selector's ports are compared with.
#[derive(Clone, Copy)]
enum Port {
    Number(u16),
    /// The packet does not show it.
    Unavailable,
    /// The other side's selector decides.
    Unasked,
}

impl Selector {
    /// Check that the addresses are a range.
    pub(crate) fn validate(&self) -> Result<(), PlaneError> {
        if self.first.is_ipv4() == self.last.is_ipv4() && self.first <= self.last {
            return Ok(());
        }
        Err(PlaneError::Selector(format!(
            "{}-{}",
            self.first, self.last
        )))
    }

    fn is_any_port(&self) -> bool {
        self.start_port == 0 && self.end_port == u16::MAX
    }

    fn is_opaque(&self) -> bool {
        self.start_port > self.end_port
    }

    /// Compare with one side of a packet. Addresses of the other family never lie in the range, since the order of
    /// `IpAddr` puts all of IPv4 before all of IPv6.
    fn matches(&self, address: IpAddr, protocol: u8, port: Port) -> bool {
        let has_port = match port {
            Port::Number(number) => self.start_port <= number && number <= self.end_port,
            Port::Unavailable => self.is_any_port() || self.is_opaque(),
            Port::Unasked => true,
        };
        has_port
            && (self.protocol == 0 || self.protocol == protocol)
            && self.first <= address
            && address <= self.last
    }
}

/// True when one of `sources` and one of `destinations` admit the packet.
///
/// An ICMP or Mobility Header packet has one message type for both sides; it is compared with the selectors of the side
/// that sends it (RFC 4301 section 4.4.1.3). A fragment without ports passes ANY and OPAQUE only (section 4.4.1.1).
pub(crate) fn admit(sources: &[Selector], destinations: &[Selector], inner: &Inner) -> bool {
    let (source, destination) = match inner.ports {
        Ports::Pair {
            source,
            destination,
        } => (Port::Number(source), Port::Number(destination)),
        Ports::Message(message) => (Port::Number(message), Port::Unasked),
        Ports::Unavailable => (Port::Unavailable, Port::Unavailable),
    };
    let admits = |selectors: &[Selector], address, port| {
        selectors
            .iter()
            .any(|selector| selector.matches(address, inner.protocol, port))
    };
    admits(sources, inner.source, source) && admits(destinations, inner.destination, destination)
}

#[cfg(test)]
mod tests {
    use super::*;
    use caponier_packet::inner::Fragment;

    fn selector(protocol: u8, ports: (u16, u16), range: (&str, &str)) -> Selector {
        Selector {
            protocol,
            start_port: ports.0,
            end_port: ports.1,
            first: range.0.parse().expect("an address"),
            last: range.1.parse().expect("an address"),
        }
    }

    fn inner(protocol: u8, ports: Ports) -> Inner {
        Inner {
            source: IpAddr::from([10, 1, 0, 5]),
            destination: IpAddr::from([10, 2, 0, 5]),
            protocol,
            ports,
            fragment: Fragment::Whole,
            transport: 20,
            length: 40,
            is_routed: false,
        }
    }

    const ANY: (u16, u16) = (0, 65535);
    const OPAQUE: (u16, u16) = (65535, 0);
    const HERE: (&str, &str) = ("10.1.0.0", "10.1.0.255");
    const THERE: (&str, &str) = ("10.2.0.0", "10.2.0.255");

    /// RFC 4301 section 4.4.1.1: addresses, protocol and ports all must match.
    #[test]
    fn compares_every_field() {
        let packet = inner(
            6,
            Ports::Pair {
                source: 999,
                destination: 443,
            },
        );
        let admits = |local, remote| admit(&[local], &[remote], &packet);
        assert!(admits(
            selector(0, ANY, HERE),
            selector(6, (443, 443), THERE)
        ));
        assert!(!admits(
            selector(0, ANY, HERE),
            selector(6, (444, 500), THERE)
        ));
        assert!(!admits(selector(17, ANY, HERE), selector(0, ANY, THERE)));
        assert!(!admits(selector(0, ANY, THERE), selector(0, ANY, THERE)));
        assert!(!admits(
            selector(0, ANY, ("::", "ffff::")),
            selector(0, ANY, THERE)
        ));
        assert!(!admits(selector(6, OPAQUE, HERE), selector(6, ANY, THERE)));
    }

    /// RFC 4301 section 4.4.1.2: a packet without ports passes ANY and OPAQUE, no value.
    #[test]
    fn hidden_ports_pass_any_and_opaque() {
        let packet = inner(6, Ports::Unavailable);
        for (ports, expected) in [
            (ANY, true),
            (OPAQUE, true),
            ((80, 80), false),
            ((1, 65535), false),
        ] {
            let local = [selector(6, ports, HERE)];
            assert_eq!(admit(&local, &[selector(6, ANY, THERE)], &packet), expected);
        }
    }

    /// RFC 4301 section 4.4.1.3, cases C and D: the sender's selector names the message.
    #[test]
    fn message_types_are_those_of_the_sender() {
        let echo = inner(1, Ports::Message(0x0800));
        let request = selector(1, (0x0800, 0x0800), HERE);
        assert!(admit(&[request], &[selector(1, OPAQUE, THERE)], &echo));
        assert!(!admit(
            &[selector(1, OPAQUE, HERE)],
            &[selector(1, ANY, THERE)],
            &echo
        ));
    }

    #[test]
    fn ranges_are_validated() {
        assert!(selector(0, ANY, HERE).validate().is_ok());
        assert!(selector(0, ANY, ("10.0.0.2", "10.0.0.1"))
            .validate()
            .is_err());
        assert!(selector(0, ANY, ("10.0.0.2", "::1")).validate().is_err());
    }
}
