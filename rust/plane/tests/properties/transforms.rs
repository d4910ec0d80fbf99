//! ESP and AH, in tunnel and transport mode, over IPv4 and IPv6, in UDP and right behind IP: what goes in comes out (RFC
//! 4301 sections 5.1 and 5.2, RFC 4302, RFC 4303), and whatever comes in is carried or counted.

use std::collections::HashMap;
use std::net::IpAddr;

use caponier_packet::transport::PlainHeader;
use caponier_plane::{
    Arrival, Form, InboundParameters, Inbox, KeyMaterial, Mode, OutboundParameters, Outbox, Plane,
    Protocol, Train, Tunnel,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets;
use crate::pipeline::{cut, frames, hosts, reads, Ends};

const SPI: u32 = 0x1001;
const IPV6_HEADER: usize = 40;

/// What an SA is, and how its packets travel.
#[derive(Clone, Copy, Debug)]
struct Kind {
    protocol: Protocol,
    mode: Mode,
    is_v6: bool,
    encapsulated: bool,
}

fn kinds() -> Vec<Kind> {
    let mut found = Vec::new();
    for (protocol, encapsulated) in [
        (Protocol::Esp, true),
        (Protocol::Esp, false),
        (Protocol::Ah, false),
    ] {
        for mode in [Mode::Tunnel, Mode::Transport] {
            for is_v6 in [false, true] {
                found.push(Kind {
                    protocol,
                    mode,
                    is_v6,
                    encapsulated,
                });
            }
        }
    }
    found
}

fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(kinds())
}

impl Kind {
    /// The gateways.
    fn outer(&self) -> Ends {
        if self.is_v6 {
            ([0x20; 16].into(), [0x21; 16].into())
        } else {
            (packets::LEFT.into(), packets::RIGHT.into())
        }
    }

    /// Of the packets of a flow: in transport mode the gateways' own.
    fn ends(&self, flow: u16) -> Ends {
        match self.mode {
            Mode::Tunnel => hosts(flow),
            Mode::Transport => self.outer(),
        }
    }

    fn keys(&self) -> KeyMaterial {
        match self.protocol {
            Protocol::Esp => packets::keys(),
            Protocol::Ah => KeyMaterial::for_ah(12, &[7; 32]),
        }
    }

    fn port(&self) -> u16 {
        if self.encapsulated {
            4500
        } else {
            0
        }
    }

    fn left(&self) -> Plane {
        let plane = Plane::new();
        let (local, remote) = self.outer();
        let parameters = OutboundParameters {
            protocol: self.protocol,
            mode: self.mode,
            keys: self.keys(),
            tunnel: Tunnel {
                local,
                local_port: self.port(),
                remote,
                remote_port: self.port(),
            },
            ..packets::outbound(SPI)
        };
        let handle = plane.install_outbound(parameters).expect("an SA");
        packets::protect_everything(&plane, handle);
        plane
    }

    fn right(&self) -> Plane {
        let plane = Plane::new();
        let (remote_address, local_address) = self.outer();
        let parameters = InboundParameters {
            protocol: self.protocol,
            mode: self.mode,
            keys: self.keys(),
            remote_address,
            local_address,
            ..packets::inbound(SPI)
        };
        plane.install_inbound(parameters).expect("an SA");
        plane
    }

    fn arrival(&self, form: Form) -> Arrival {
        let (remote, local) = self.outer();
        Arrival {
            protocol: self.protocol,
            form,
            local: Some(local),
            remote,
            remote_port: self.port(),
            encapsulated: self.encapsulated,
            ..packets::arrival()
        }
    }

    fn has_plain_headers(&self) -> bool {
        self.mode == Mode::Transport && (self.encapsulated || self.is_v6)
    }

    /// A packet that left, as the sockets at the other end give it: in UDP ESP alone; of IPv4 with the IP header; of IPv6
    /// without, but AH has it made again.
    fn arriving(&self, train: &Train, packet: &[u8]) -> (Vec<u8>, Form) {
        let whole = match train.form {
            Form::Whole => packet.to_vec(),
            Form::Bare => self.with_header(packet),
        };
        match (self.encapsulated, self.is_v6, self.protocol) {
            (true, ..) => (packet.to_vec(), Form::Bare),
            (_, false, _) | (_, _, Protocol::Ah) => (whole, Form::Whole),
            (_, true, Protocol::Esp) => (whole[IPV6_HEADER..].to_vec(), Form::Bare),
        }
    }

    fn with_header(&self, packet: &[u8]) -> Vec<u8> {
        let (source, destination) = self.outer();
        let header = PlainHeader {
            source,
            destination,
            traffic_class: 0,
            hop_limit: 64,
        };
        let mut room = Vec::new();
        let range = header.write_packet(&mut room, packet, packets::ESP);
        room[range.expect("a packet")].to_vec()
    }

    fn is_counted_like(&self, left: &Plane, right: &Plane) -> bool {
        left.outbound_counters(1) == right.inbound_counters(self.protocol, SPI)
    }
}

type Flows = HashMap<Vec<u8>, Vec<Vec<u8>>>;

/// Without what a header that is made again does not have: the flags of IPv4.
fn without_flags(mut flows: Flows) -> Flows {
    for packet in flows.values_mut().flatten() {
        if packet[0] >> 4 == 4 {
            packet[6..8].fill(0);
        }
    }
    flows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Each flow's packets come out as they went in, all of them, in their order, once; and both sides count the same.
    #[test]
    fn flows_arrive_whole(kind in any_kind(), reads in reads()) {
        let (left, right) = (kind.left(), kind.right());
        let (mut out, mut inbox) = (Outbox::new(), Inbox::default());
        let frames = frames(&reads, |flow| kind.ends(flow));
        let mut sent = HashMap::new();
        frames.iter().for_each(|frame| cut(frame, &mut sent));
        left.seal_each(frames.iter().map(Vec::as_slice), &mut out);
        for train in out.trains() {
            let octets = out.octets(train);
            prop_assert_eq!(octets.len().div_ceil(train.segment), train.count);
            let (mut packets, mut forms): (Vec<_>, Vec<_>) = octets
                .chunks(train.segment)
                .map(|packet| kind.arriving(train, packet))
                .unzip();
            let arriving = packets.iter_mut().zip(&mut forms);
            let arriving = arriving.map(|(packet, form)| (packet.as_mut_slice(), kind.arrival(*form)));
            right.open_each(arriving, &mut inbox);
        }
        inbox.finish();
        let mut received = HashMap::new();
        inbox.frames().for_each(|frame| cut(frame, &mut received));
        if kind.has_plain_headers() {
            (sent, received) = (without_flags(sent), without_flags(received));
        }
        prop_assert_eq!(&received, &sent);
        prop_assert!(kind.is_counted_like(&left, &right));
        prop_assert!(right.inbound_counters(kind.protocol, SPI).expect("an SA").drops.is_empty());
        prop_assert!(right.drops().is_empty());
    }

    /// Packets that were changed on their way, or are junk, in either form: each is carried, or counted once (RFC 4303
    /// section 3.4, RFC 4302 section 3.4).
    #[test]
    fn bad_packets_are_counted(
        kind in any_kind(),
        count in 1usize..10,
        payload in 0usize..60,
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..3),
        junk in vec((vec(any::<u8>(), 0..120), any::<bool>()), 0..6),
        honest in any::<bool>(),
    ) {
        let (left, right) = (kind.left(), kind.right());
        let mut out = Outbox::new();
        let (source, destination) = kind.ends(0);
        for _ in 0..count {
            let inner = packets::ip(source, destination, packets::UDP, &vec![3; 8 + payload]);
            left.seal(&[&[0u8; 10], &inner[..]].concat(), &mut out);
        }
        let mut arriving: Vec<(Vec<u8>, Form)> = Vec::new();
        for train in out.trains() {
            let packets = out.octets(train).chunks(train.segment);
            arriving.extend(packets.map(|packet| kind.arriving(train, packet)));
        }
        prop_assert_eq!(arriving.len(), count);
        for (at, octet) in changes {
            let (packet, _) = &mut arriving[at.index(count)];
            let at = at.index(packet.len());
            packet[at] = octet;
        }
        for at in cuts {
            let (packet, _) = &mut arriving[at.index(count)];
            packet.truncate(at.index(packet.len() + 1));
        }
        for (mut octets, is_whole) in junk {
            if honest && octets.len() > 60 {
                octets[0] = if kind.is_v6 { 0x60 } else { 0x45 };
                (octets[2], octets[4]) = (0, 0);
                octets[if kind.is_v6 { 6 } else { 9 }] = if kind.protocol == Protocol::Ah { 51 } else { 50 };
            }
            arriving.push((octets, if is_whole { Form::Whole } else { Form::Bare }));
        }
        let all = arriving.len() as u64;
        let mut inbox = Inbox::default();
        let given = arriving.iter_mut().map(|(packet, form)| (packet.as_mut_slice(), kind.arrival(*form)));
        right.open_each(given, &mut inbox);
        inbox.finish();
        let counters = right.inbound_counters(kind.protocol, SPI).expect("an SA");
        let under = counters.drops.iter().chain(&right.drops()).map(|(_, count)| *count).sum::<u64>();
        prop_assert_eq!(counters.packets + under, all);
        prop_assert!(inbox.frames().count() as u64 <= counters.packets);
    }
}

/// One packet from one gateway to the other, sealed.
fn sealed(kind: Kind, inner: &[u8]) -> (Vec<u8>, Form) {
    let left = kind.left();
    let mut out = Outbox::new();
    left.seal(&[&[0u8; 10], inner].concat(), &mut out);
    let train = &out.trains()[0];
    kind.arriving(train, out.octets(train))
}

fn dropped(kind: Kind, plane: &Plane) -> Vec<(&'static str, u64)> {
    plane
        .inbound_counters(kind.protocol, SPI)
        .expect("an SA")
        .drops
}

/// RFC 4301 section 5.2, step 4, and section 4.1: what comes out of transport mode has the addresses of the SA.
#[test]
fn transport_mode_is_for_its_own_addresses() {
    for kind in kinds() {
        if kind.mode == Mode::Tunnel || kind.protocol == Protocol::Ah {
            continue; // AH covers the addresses
        }
        let (source, destination) = kind.outer();
        let inner = packets::ip(source, destination, packets::UDP, &[1; 20]);
        let (mut octets, form) = sealed(kind, &inner);
        let right = kind.right();
        let stranger: IpAddr = if kind.is_v6 {
            [0x23; 16].into()
        } else {
            [192, 0, 2, 99].into()
        };
        let mut arrival = kind.arrival(form);
        arrival.remote = stranger;
        if form == Form::Whole {
            octets[12..16].copy_from_slice(&[192, 0, 2, 99]);
        }
        right.open(&mut octets, 4096, &arrival, &mut Inbox::new());
        assert_eq!(
            dropped(kind, &right),
            [("selector-mismatch", 1)],
            "{kind:?}"
        );
    }
}

/// RFC 4301 section 4.1: nor does anything else go into it.
#[test]
fn other_addresses_stay_out_of_transport_mode() {
    for kind in kinds() {
        let left = kind.left();
        let inner = packets::ip([10, 1, 0, 2].into(), [10, 2, 0, 2].into(), 17, &[1; 20]);
        left.seal(&[&[0u8; 10], &inner[..]].concat(), &mut Outbox::new());
        let sealed = left.outbound_counters(1).expect("an SA").packets;
        match kind.mode {
            Mode::Tunnel => assert_eq!((sealed, left.drops()), (1, vec![])),
            Mode::Transport => {
                assert_eq!((sealed, left.drops()), (0, vec![("selector-mismatch", 1)]));
            }
        }
    }
}

/// RFC 3948 section 2.3: what keeps a NAT's mapping alive is a UDP datagram.
#[test]
fn keepalives_are_datagrams() {
    for kind in kinds() {
        let right = kind.right();
        right.open(&mut [0xff], 1, &kind.arrival(Form::Bare), &mut Inbox::new());
        let expected = match (kind.encapsulated, kind.protocol) {
            (true, _) => "keepalive",
            (false, Protocol::Esp) => "truncated",
            (false, Protocol::Ah) => "malformed",
        };
        assert_eq!(right.drops(), [(expected, 1)]);
    }
}

/// RFC 4301 section 4.1: SPI and protocol name an SA.
#[test]
fn the_protocol_is_part_of_the_name() {
    let esp = kinds()[4]; // in tunnel mode, over IPv4, right behind IP
    let ah = Kind {
        protocol: Protocol::Ah,
        ..esp
    };
    let inner = packets::ip([10, 1, 0, 2].into(), [10, 2, 0, 2].into(), 17, &[1; 20]);
    let (mut octets, form) = sealed(ah, &inner);
    let right = esp.right();
    right.open(&mut octets, 4096, &ah.arrival(form), &mut Inbox::new());
    assert_eq!(right.drops(), [("unknown-spi", 1)]);
}

/// RFC 6040 figure 4: congestion that the inner sender cannot be told of.
#[test]
fn congestion_is_taken_over_or_the_packet_dropped() {
    for kind in kinds() {
        for (inner_class, ecn) in [(0u8, true), (2, true), (0, false)] {
            let (source, destination) = kind.ends(0);
            let mut inner = packets::ip(source, destination, packets::UDP, &[1; 20]);
            set_class(&mut inner, inner_class);
            let (mut octets, form) = sealed(kind, &inner);
            let plane = Plane::new();
            let (remote_address, local_address) = kind.outer();
            let parameters = InboundParameters {
                protocol: kind.protocol,
                mode: kind.mode,
                keys: kind.keys(),
                remote_address,
                local_address,
                ecn,
                ..packets::inbound(SPI)
            };
            plane.install_inbound(parameters).expect("an SA");
            let mut arrival = kind.arrival(form);
            arrival.traffic_class = 3;
            let mut inbox = Inbox::new();
            plane.open(&mut octets, 4096, &arrival, &mut inbox);
            let out: Vec<_> = inbox.frames().map(|frame| class(&frame[10..])).collect();
            let is_dropped = kind.mode == Mode::Tunnel && ecn && inner_class == 0;
            let expected: &[_] = if is_dropped {
                &[("congestion", 1)]
            } else {
                &[]
            };
            assert_eq!(dropped(kind, &plane), expected, "{kind:?}");
            if kind.mode == Mode::Tunnel && !is_dropped {
                assert_eq!(out, [if ecn { 3 } else { 0 }]);
            }
        }
    }
}

fn class(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 {
        packet[1]
    } else {
        packet[0] << 4 | packet[1] >> 4
    }
}

fn set_class(packet: &mut [u8], class: u8) {
    if packet[0] >> 4 == 4 {
        packet[1] = class;
        packet[10..12].fill(0);
        let sum = caponier_packet::checksum::Checksum::new().plus(&packet[..20]);
        let sum = sum.finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        packet[0] |= class >> 4;
        packet[1] |= class << 4;
    }
}
