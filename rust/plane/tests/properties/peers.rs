//! A peer behind a NAT that gives it another address or port (RFC 7296 section 2.23).

use std::net::IpAddr;

use caponier_plane::{Arrival, Event, InboundParameters, Inbox, Outbox, Plane, Protocol};

use crate::packets;

const SPI: u32 = 0x1001;
const ELSEWHERE: [u8; 4] = [198, 51, 100, 7];

/// A sender, and a receiver that knows the sender's port.
struct Pair {
    left: Plane,
    right: Plane,
    packets: u8,
}

impl Pair {
    fn new(remote_port: u16) -> Self {
        let (left, right) = (Plane::new(), Plane::new());
        let handle = packets::install_outbound(&left, SPI);
        packets::protect_everything(&left, handle);
        let sa = InboundParameters {
            remote_port,
            ..packets::inbound(SPI)
        };
        right.install_inbound(sa).expect("an SA");
        let packets = 0;
        Self {
            left,
            right,
            packets,
        }
    }

    fn seal(&mut self) -> Vec<u8> {
        let mut out = Outbox::new();
        self.left.seal(&packets::frame(self.packets), &mut out);
        self.packets += 1;
        out.octets(&out.trains()[0]).to_vec()
    }

    /// What a packet from there tells.
    fn receive(&self, mut packet: Vec<u8>, address: [u8; 4], port: u16) -> Vec<Event> {
        self.hear(&mut packet, address, port);
        packets::told(&self.right)
    }

    fn hear(&self, packet: &mut [u8], address: [u8; 4], port: u16) {
        let arrival = Arrival {
            remote: IpAddr::from(address),
            remote_port: port,
            ..packets::arrival()
        };
        self.right.open(packet, 9000, &arrival, &mut Inbox::new());
    }
}

fn moved(address: [u8; 4], port: u16) -> Vec<Event> {
    let (protocol, spi) = (Protocol::Esp, SPI);
    vec![Event::PeerMoved {
        protocol,
        spi,
        address: address.into(),
        port,
    }]
}

#[test]
fn a_packet_from_elsewhere_is_told() {
    let mut pair = Pair::new(4500);
    let (first, second, third) = (pair.seal(), pair.seal(), pair.seal());
    assert_eq!(pair.receive(first, packets::LEFT, 4500), []);
    assert_eq!(
        pair.receive(second, packets::LEFT, 1024),
        moved(packets::LEFT, 1024)
    );
    assert_eq!(pair.receive(third, ELSEWHERE, 4500), moved(ELSEWHERE, 4500));
    assert_eq!(
        pair.right
            .inbound_counters(Protocol::Esp, SPI)
            .expect("an SA")
            .packets,
        3
    );
}

/// Once until somebody looks, and not any more once the new place is known.
#[test]
fn it_is_told_once() {
    let mut pair = Pair::new(4500);
    for _ in 0..3 {
        let mut packet = pair.seal();
        pair.hear(&mut packet, ELSEWHERE, 1024);
    }
    assert_eq!(packets::told(&pair.right), moved(ELSEWHERE, 1024));
    let right = &pair.right;
    right
        .move_inbound(Protocol::Esp, SPI, ELSEWHERE.into(), 1024)
        .expect("an SA");
    let (fourth, fifth) = (pair.seal(), pair.seal());
    assert_eq!(pair.receive(fourth, ELSEWHERE, 1024), []);
    assert_eq!(
        pair.receive(fifth, packets::LEFT, 4500),
        moved(packets::LEFT, 4500)
    );
    assert!(pair
        .right
        .move_inbound(Protocol::Ah, SPI, ELSEWHERE.into(), 1)
        .is_err());
}

/// RFC 4555 section 3.5: a tunnel may go on over the other family.
#[test]
fn the_other_family_is_no_hindrance() {
    let mut pair = Pair::new(4500);
    let v6 = IpAddr::from([0xfd; 16]);
    let right = &pair.right;
    right
        .move_inbound(Protocol::Esp, SPI, v6, 4500)
        .expect("an SA");
    let mut packet = pair.seal();
    let arrival = Arrival {
        remote: v6,
        remote_port: 4500,
        ..packets::arrival()
    };
    pair.right
        .open(&mut packet, 9000, &arrival, &mut Inbox::new());
    assert_eq!(packets::told(&pair.right), []);
    let counted = pair.right.inbound_counters(Protocol::Esp, SPI);
    assert_eq!(counted.expect("an SA").packets, 1);
}

/// "dynamic address update should only be done in response to a new packet; otherwise, an attacker can revert the addresses
/// with old replayed packets"
#[test]
fn who_cannot_prove_it_moves_nobody() {
    let mut pair = Pair::new(4500);
    let packet = pair.seal();
    let mut forged = pair.seal();
    forged[20] ^= 1;
    assert_eq!(pair.receive(packet.clone(), packets::LEFT, 4500), []);
    assert_eq!(pair.receive(packet, ELSEWHERE, 1024), []);
    assert_eq!(pair.receive(forged, ELSEWHERE, 1024), []);
}

#[test]
fn without_a_port_nobody_wants_to_know() {
    let mut pair = Pair::new(0);
    let packet = pair.seal();
    assert_eq!(pair.receive(packet, ELSEWHERE, 1024), []);
}

/// RFC 4303: what came right behind IP passed no NAT that could tell.
#[test]
fn without_udp_nothing_moves() {
    let mut pair = Pair::new(4500);
    let mut packet = pair.seal();
    let arrival = Arrival {
        remote: IpAddr::from(ELSEWHERE),
        remote_port: 0,
        encapsulated: false,
        ..packets::arrival()
    };
    pair.right
        .open(&mut packet, 9000, &arrival, &mut Inbox::new());
    assert_eq!(packets::told(&pair.right), []);
}
