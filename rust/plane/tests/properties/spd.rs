//! Which policy decides (RFC 4301 section 4.4.1), seen from outside: which SA seals the packet, or why it was dropped.
//!
//! The oracle is the RFC's definition: go through the policies in their order, and take the first whose selectors match.
//! Neither the longest-prefix structure nor the comparison of selectors is shared with the plane.

use std::collections::HashMap;
use std::net::IpAddr;

use caponier_plane::{Action, Outbox, Plane, PolicyParameters, Selector};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets::{self, ESP, ICMP, ICMPV6, TCP, UDP};

/// Addresses close together, so that ranges overlap often.
fn address(is_v6: bool, number: u8) -> IpAddr {
    if is_v6 {
        let mut octets = [0u8; 16];
        octets[..2].copy_from_slice(&[0xfd, 0]);
        octets[14] = number >> 4;
        octets[15] = number << 4;
        octets.into()
    } else {
        [10, 0, number >> 4, number << 4].into()
    }
}

// --- packets ---

/// What a packet shows of itself.
#[derive(Clone, Debug)]
struct Shown {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Ports; an ICMP packet's type and code count for its sender.
    ports: Option<(u16, u16)>,
    is_fragment: bool,
}

impl Shown {
    fn octets(&self) -> Vec<u8> {
        let (a, b) = self.ports.unwrap_or((0, 0));
        let mut transport = [a.to_be_bytes(), b.to_be_bytes()].concat();
        transport.resize(24, 0);
        if self.protocol == TCP {
            transport[12] = 0x50;
        }
        let mut packet = packets::ip(self.source, self.destination, self.protocol, &transport);
        if self.is_fragment && self.source.is_ipv4() {
            packet[6..8].copy_from_slice(&[0x00, 0x08]); // a later fragment
        } else if self.is_fragment {
            let header = [self.protocol, 0, 0x00, 0x40, 0, 0, 0, 1];
            packet = packets::ip(
                self.source,
                self.destination,
                44,
                &[&header[..], &transport].concat(),
            );
        }
        packet
    }

    /// The ports as a selector may see them (RFC 4301 section 4.4.1.1).
    fn visible(&self) -> Option<(u16, u16)> {
        self.ports.filter(|_| !self.is_fragment)
    }

    fn has_message_type(&self) -> bool {
        matches!(self.protocol, ICMP | ICMPV6)
    }
}

fn shown() -> impl Strategy<Value = Shown> {
    let protocol = prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(ICMPV6), Just(ESP)];
    let sides = (any::<bool>(), any::<u8>(), any::<u8>());
    (
        sides,
        protocol,
        (0u16..5, 0u16..5),
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |((is_v6, source, destination), protocol, ports, is_fragment)| Shown {
                source: address(is_v6, source),
                destination: address(is_v6, destination),
                protocol,
                ports: (protocol != ESP).then_some(ports),
                is_fragment,
            },
        )
}

// --- policies ---

fn selector() -> impl Strategy<Value = Selector> {
    let ports = prop_oneof![
        3 => Just((0, 65535)), // ANY
        1 => Just((65535, 0)), // OPAQUE
        2 => (0u16..5, 0u16..5).prop_map(|(a, b)| (a.min(b), a.max(b))),
    ];
    let protocol = prop_oneof![3 => Just(0u8), 1 => Just(TCP), 1 => Just(UDP), 1 => Just(ICMP), 1 => Just(ICMPV6)];
    let range = (any::<bool>(), any::<u8>(), any::<u8>(), any::<bool>());
    (range, ports, protocol).prop_map(
        |((is_v6, a, b, is_wide), (start_port, end_port), protocol)| {
            let (a, b) = if is_wide {
                (0, 255)
            } else {
                (a.min(b), a.max(b))
            };
            Selector {
                protocol,
                start_port,
                end_port,
                first: address(is_v6, a),
                last: address(is_v6, b),
            }
        },
    )
}

/// What a policy does: protect under the SA of this number, or discard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Sealed(u32),
    Dropped(&'static str),
}

#[derive(Clone, Debug)]
struct Entry {
    policy: u64,
    order: i64,
    local: Vec<Selector>,
    remote: Vec<Selector>,
    sa: Option<u32>,
}

fn entry() -> impl Strategy<Value = Entry> {
    let some = || vec(selector(), 1..4);
    let sa = prop::option::weighted(0.8, 0u32..4);
    (0u64..12, -3i64..4, some(), some(), sa).prop_map(|(policy, order, local, remote, sa)| Entry {
        policy,
        order,
        local,
        remote,
        sa,
    })
}

#[derive(Clone, Debug)]
enum Step {
    Install(Entry),
    Remove(u64),
    Send(Shown),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => entry().prop_map(Step::Install),
        1 => (0u64..12).prop_map(Step::Remove),
        4 => shown().prop_map(Step::Send),
    ];
    vec(step, 1..60)
}

// --- the definition ---

fn is_any(selector: &Selector) -> bool {
    (selector.start_port, selector.end_port) == (0, 65535)
}

fn is_opaque(selector: &Selector) -> bool {
    (selector.start_port, selector.end_port) == (65535, 0)
}

/// Whether one side of a packet fits (RFC 4301 sections 4.4.1.1 and 4.4.1.2). `port`: None where the packet hides it.
fn fits(selector: &Selector, address: IpAddr, protocol: u8, port: Option<u16>) -> bool {
    let same_family = selector.first.is_ipv4() == address.is_ipv4();
    let has_port = match port {
        None => is_any(selector) || is_opaque(selector),
        Some(port) => {
            !is_opaque(selector) && (selector.start_port..=selector.end_port).contains(&port)
        }
    };
    same_family
        && (selector.first..=selector.last).contains(&address)
        && (selector.protocol == 0 || selector.protocol == protocol)
        && has_port
}

fn fits_without_port(selector: &Selector, address: IpAddr, protocol: u8) -> bool {
    let any = Selector {
        start_port: 0,
        end_port: 65535,
        ..*selector
    };
    fits(&any, address, protocol, Some(0))
}

fn matches(entry: &Entry, packet: &Shown) -> bool {
    let visible = packet.visible();
    let (here, there) = (visible.map(|ports| ports.0), visible.map(|ports| ports.1));
    let source = |selector: &Selector| fits(selector, packet.source, packet.protocol, here);
    let destination = |selector: &Selector| {
        // Section 4.4.1.3: the message type belongs to the side that sends it.
        if packet.has_message_type() && visible.is_some() {
            fits_without_port(selector, packet.destination, packet.protocol)
        } else {
            fits(selector, packet.destination, packet.protocol, there)
        }
    };
    entry.local.iter().any(source) && entry.remote.iter().any(destination)
}

fn verdict(entries: &HashMap<u64, Entry>, packet: &Shown) -> Verdict {
    let mut ordered: Vec<_> = entries.values().collect();
    ordered.sort_by_key(|entry| (entry.order, entry.policy));
    match ordered.into_iter().find(|entry| matches(entry, packet)) {
        None => Verdict::Dropped("no-policy"),
        Some(Entry { sa: None, .. }) => Verdict::Dropped("discard-policy"),
        Some(Entry { sa: Some(sa), .. }) => Verdict::Sealed(0x1000 + sa),
    }
}

/// What the plane did with a packet.
fn observed(plane: &Plane, packet: &Shown) -> Option<Verdict> {
    let before: HashMap<_, _> = plane.drops().into_iter().collect();
    let frame = [&[0u8; 10], &packet.octets()[..]].concat();
    let mut out = Outbox::new();
    plane.seal(&frame, &mut out);
    if let [train] = out.trains() {
        let esp = out.octets(train);
        return Some(Verdict::Sealed(u32::from_be_bytes([
            esp[0], esp[1], esp[2], esp[3],
        ])));
    }
    let counted = plane.drops();
    let (reason, _) = counted
        .iter()
        .find(|(reason, count)| before.get(reason) != Some(count))?;
    Some(Verdict::Dropped(reason))
}

proptest! {
    /// RFC 4301 section 4.4.1: "the SPD is ordered", whatever was installed, replaced and removed before.
    #[test]
    fn the_first_match_decides(steps in steps()) {
        let plane = Plane::new();
        let handles: Vec<u64> = (0..4).map(|sa| packets::install_outbound(&plane, 0x1000 + sa)).collect();
        let mut entries: HashMap<u64, Entry> = HashMap::new();
        for step in steps {
            match step {
                Step::Install(entry) => {
                    let action = entry.sa.map_or(Action::Discard, |sa| Action::Protect(Some(handles[sa as usize])));
                    let installed = plane.install_policy(PolicyParameters {
                        policy: entry.policy,
                        interface: 0,
                        order: entry.order,
                        local: entry.local.clone(),
                        remote: entry.remote.clone(),
                        action,
                    });
                    prop_assert!(installed.is_ok());
                    entries.insert(entry.policy, entry);
                }
                Step::Remove(policy) => {
                    prop_assert_eq!(plane.remove_policy(policy).is_ok(), entries.remove(&policy).is_some());
                }
                Step::Send(packet) => {
                    prop_assert_eq!(observed(&plane, &packet), Some(verdict(&entries, &packet)), "{:?}", packet);
                }
            }
        }
    }
}
