//! Packets and SAs for the tests beside.

use std::net::IpAddr;

use caponier_packet::virtio::Header;
use caponier_plane::{
    ecn, Action, Arrival, DontFragment, Event, Form, InboundParameters, Inbox, KeyMaterial,
    Lifetime, Mode, OutboundParameters, Outbox, Plane, PolicyParameters, Protocol, Selector,
    Tunnel, Width,
};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
pub const ESP: u8 = 50;

pub const LEFT: [u8; 4] = [192, 0, 2, 1];
pub const RIGHT: [u8; 4] = [192, 0, 2, 2];

/// An IP packet without options around `transport`.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, transport: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0x45, 0];
            packet.extend((20 + transport.len() as u16).to_be_bytes());
            packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            let checksum = !sum(&packet, 0);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
            packet.extend(transport);
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((transport.len() as u16).to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
            packet.extend(transport);
            packet
        }
        _ => panic!("both addresses are of one family"),
    }
}

/// A TCP segment within IP, its checksums right.
pub fn tcp(
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    sequence: u32,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 1, 0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    segment.extend(payload);
    let mut packet = ip(source, destination, TCP, &segment);
    let (addresses, transport) = if source.is_ipv6() {
        (8..40, 40)
    } else {
        (12..20, 20)
    };
    let pseudo = sum(&packet[addresses], u32::from(TCP) + segment.len() as u32);
    let checksum = !sum(&packet[transport..], u32::from(pseudo));
    packet[transport + 16..transport + 18].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// The sum of RFC 1071 section 1, word by word.
fn sum(octets: &[u8], start: u32) -> u16 {
    let sum = octets.chunks(2).fold(start, |sum, pair| {
        let sum = sum + (u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
        (sum & 0xffff) + (sum >> 16)
    });
    sum as u16
}

pub fn keys() -> KeyMaterial {
    let key: Vec<u8> = (1..=20).collect();
    KeyMaterial::new(20, 128, &key, 0, &[])
}

/// Everything of both families.
pub fn everything() -> Vec<Selector> {
    [
        ("0.0.0.0", "255.255.255.255"),
        ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ]
    .map(|(first, last)| Selector {
        protocol: 0,
        start_port: 0,
        end_port: 65535,
        first: first.parse().expect("an address"),
        last: last.parse().expect("an address"),
    })
    .to_vec()
}

/// An outbound SA from the left to the right, ESP in tunnel mode in UDP.
pub fn outbound(spi: u32) -> OutboundParameters {
    let tunnel = Tunnel {
        local: LEFT.into(),
        local_port: 4500,
        remote: RIGHT.into(),
        remote_port: 4500,
    };
    OutboundParameters {
        spi,
        protocol: Protocol::Esp,
        mode: Mode::Tunnel,
        keys: keys(),
        width: Width::Bits64,
        tfc: 0,
        tunnel,
        marking: ecn::Marking::default(),
        df: DontFragment::Copy,
        path_mtu: 0,
        clamp: 0,
        lifetime: Lifetime::default(),
    }
}

/// The inbound SA that answers to it.
pub fn inbound(spi: u32) -> InboundParameters {
    InboundParameters {
        spi,
        protocol: Protocol::Esp,
        mode: Mode::Tunnel,
        keys: keys(),
        width: Width::Bits64,
        replay_window: 4096,
        local: everything(),
        remote: everything(),
        local_address: RIGHT.into(),
        remote_address: LEFT.into(),
        remote_port: 4500,
        interface: 0,
        nat: None,
        ecn: true,
        clamp: 0,
        lifetime: Lifetime::default(),
    }
}

/// Add an outbound SA from the left to the right.
pub fn install_outbound(plane: &Plane, spi: u32) -> u64 {
    plane.install_outbound(outbound(spi)).expect("an SA")
}

/// Add the inbound SA that answers to it.
pub fn install_inbound(plane: &Plane, spi: u32) {
    plane.install_inbound(inbound(spi)).expect("an SA");
}

/// Let everything out under one SA.
pub fn protect_everything(plane: &Plane, handle: u64) {
    let parameters = PolicyParameters {
        policy: 1,
        interface: 0,
        order: 0,
        local: everything(),
        remote: everything(),
        action: Action::Protect(Some(handle)),
    };
    plane.install_policy(parameters).expect("a policy");
}

pub fn arrival() -> Arrival {
    Arrival {
        protocol: Protocol::Esp,
        form: Form::Bare,
        local: Some(RIGHT.into()),
        remote: LEFT.into(),
        remote_port: 4500,
        encapsulated: true,
        traffic_class: 0,
        hop_limit: 64,
    }
}

/// How many packets the plane dropped, under this SA and outside of any.
pub fn dropped(plane: &Plane, spi: u32) -> u64 {
    let under = plane.inbound_counters(Protocol::Esp, spi);
    let under = under.expect("an SA").drops;
    under
        .iter()
        .chain(&plane.drops())
        .map(|(_, count)| count)
        .sum()
}

/// What the TUN interface gives for a datagram with this number in it.
pub fn frame(number: u8) -> Vec<u8> {
    let (source, destination) = ([10, 1, 0, 1].into(), [10, 2, 0, 1].into());
    let datagram = [0, 1, 0, 2, 0, 9, 0, 0, number];
    let packet = ip(source, destination, UDP, &datagram);
    [&Header::default().encode()[..], &packet].concat()
}

/// The numbers of the datagrams that leave under this SA, as the other side opens them.
pub fn sent(spi: u32, out: &Outbox) -> Vec<u8> {
    let other = Plane::new();
    install_inbound(&other, spi);
    let mut inbox = Inbox::without_datagrams();
    for train in out.trains() {
        let mut octets = out.octets(train).to_vec();
        other.open(&mut octets, train.segment, &arrival(), &mut inbox);
    }
    inbox.finish();
    let last = |frame: &[u8]| frame.last().copied().expect("a frame");
    inbox.frames().map(last).collect()
}

/// The events, but for those of an audit.
pub fn told(plane: &Plane) -> Vec<Event> {
    let mut events = plane.take_events();
    events.retain(|event| !matches!(event, Event::Dropped(_)));
    events
}
