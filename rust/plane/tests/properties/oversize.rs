//! What does not fit its way (RFC 4301 section 8.2.1), against a reassembly that is written here.

use std::net::IpAddr;

use caponier_packet::inner::Inner;
use caponier_packet::virtio::{self, Header};
use caponier_plane::{
    Action, DontFragment, InboundParameters, Inbox, Mode, OutboundParameters, Outbox, Plane,
    PolicyParameters, Protocol, Selector, Tunnel,
};
use proptest::prelude::*;

use crate::packets::{self, TCP, UDP};

const SPI: u32 = 0x1001;
const DF: u8 = 0x40;
const TCP_SYN: u8 = 0x02;

const HERE: [u8; 4] = [10, 1, 0, 2];
const THERE: [u8; 4] = [10, 2, 0, 2];

fn hosts(is_v6: bool) -> (IpAddr, IpAddr) {
    if is_v6 {
        ([0xfd; 16].into(), [0xfe; 16].into())
    } else {
        (HERE.into(), THERE.into())
    }
}

/// A datagram within IP of this length, with or without DF.
fn datagram(is_v6: bool, df: bool, length: usize) -> Vec<u8> {
    let (source, destination) = hosts(is_v6);
    let headers = if is_v6 { 40 } else { 20 };
    let mut transport: Vec<u8> = (0..length - headers).map(|at| (at * 7) as u8).collect();
    transport[..8].copy_from_slice(&[0x10, 0, 0x20, 0, 0, 0, 0, 0]);
    let mut packet = packets::ip(source, destination, UDP, &transport);
    if !is_v6 {
        set_flags(&mut packet, if df { DF } else { 0 });
    }
    packet
}

/// Write the flags of an IPv4 header, and its checksum.
fn set_flags(packet: &mut [u8], flags: u8) {
    packet[6] = flags;
    packet[10..12].fill(0);
    let sum = caponier_packet::checksum::Checksum::new();
    let sum = sum.plus(&packet[..20]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn framed(header: Header, packet: &[u8]) -> Vec<u8> {
    [&header.encode()[..], packet].concat()
}

/// A plane with one outbound SA, of handle 1, for everything.
fn plane(parameters: OutboundParameters) -> Plane {
    let plane = Plane::new();
    let handle = plane.install_outbound(parameters).expect("an SA");
    packets::protect_everything(&plane, handle);
    plane
}

fn sealed(plane: &Plane, frame: &[u8]) -> Outbox {
    let mut out = Outbox::new();
    plane.seal(frame, &mut out);
    out
}

/// Octets of the outer packets, in UDP over IPv4.
fn outer_lengths(out: &Outbox) -> Vec<usize> {
    let trains = out.trains().iter();
    let lengths = trains.flat_map(|train| out.octets(train).chunks(train.segment));
    lengths.map(|packet| packet.len() + 28).collect()
}

/// What the peer finds in them.
fn opened(out: &Outbox) -> Vec<Vec<u8>> {
    let plane = Plane::new();
    packets::install_inbound(&plane, SPI);
    let mut inbox = Inbox::without_datagrams();
    for train in out.trains() {
        let mut octets = out.octets(train).to_vec();
        plane.open(&mut octets, train.segment, &packets::arrival(), &mut inbox);
    }
    inbox.finish();
    let packets = inbox
        .frames()
        .map(|frame| frame[virtio::HEADER_LEN..].to_vec());
    packets.collect()
}

/// Put IPv4 fragments, which came in their order, together (RFC 791 section 3.2).
fn reassembled(fragments: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (number, fragment) in fragments.iter().enumerate() {
        let word = u16::from_be_bytes([fragment[6], fragment[7]]);
        assert_eq!(usize::from(word & 0x1fff) * 8, payload.len());
        assert_eq!(word & 0x2000 != 0, number + 1 < fragments.len());
        payload.extend_from_slice(&fragment[20..]);
    }
    let mut whole = fragments[0][..20].to_vec();
    whole.extend(payload);
    let length = whole.len() as u16;
    whole[2..4].copy_from_slice(&length.to_be_bytes());
    set_flags(&mut whole, 0);
    whole
}

fn too_big(plane: &Plane) -> u64 {
    let drops = plane.outbound_counters(1).expect("an SA").drops;
    drops
        .iter()
        .map(|(reason, count)| if *reason == "too-big" { *count } else { 0 })
        .sum()
}

/// Type and code of a message, and the MTU that it tells.
fn told(message: &[u8], is_v6: bool) -> ([u8; 2], u32) {
    let mtu = u32::from_be_bytes([message[4], message[5], message[6], message[7]]);
    assert!(is_v6 || mtu < 1 << 16);
    ([message[0], message[1]], mtu)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Case 2: IPv4 without DF is cut, so that each packet fits; both ends count the same.
    #[test]
    fn without_df_it_is_cut(length in 28usize..9000, path_mtu in 576u32..1600) {
        let plane = plane(OutboundParameters { path_mtu, ..packets::outbound(SPI) });
        let packet = datagram(false, false, length);
        let out = sealed(&plane, &framed(Header::default(), &packet));
        prop_assert_eq!(out.notices().count(), 0);
        let lengths = outer_lengths(&out);
        prop_assert!(lengths.iter().all(|length| *length <= path_mtu as usize), "{:?}", lengths);
        prop_assert!(out.trains().iter().all(|train| !train.dont_fragment));
        let found = opened(&out);
        prop_assert_eq!(found.len() as u64, plane.outbound_counters(1).unwrap().packets);
        prop_assert_eq!(reassembled(&found), packet);
    }

    /// Cases 1 and 3: the sender is told the longest packet that fits, to the octet, and nothing is sent.
    #[test]
    fn with_df_its_sender_is_told(is_v6: bool, more in 1usize..9000, path_mtu in 1400u32..1600) {
        let plane = plane(OutboundParameters { path_mtu, ..packets::outbound(SPI) });
        let packet = datagram(is_v6, true, path_mtu as usize + more);
        let out = sealed(&plane, &framed(Header::default(), &packet));
        prop_assert!(out.trains().is_empty());
        prop_assert_eq!(too_big(&plane), 1);
        let notices: Vec<_> = out.notices().collect();
        prop_assert_eq!(notices.len(), 1);
        let (to, message) = notices[0];
        prop_assert_eq!(to, hosts(is_v6).0);
        let (kind, mtu) = told(message, is_v6);
        prop_assert_eq!(kind, if is_v6 { [2, 0] } else { [3, 4] });
        prop_assert_eq!(&message[8..], &packet[..message.len() - 8]);
        for (length, expected) in [(mtu as usize, 1), (mtu as usize + 1, 0)] {
            let packet = datagram(is_v6, true, length);
            let out = sealed(&plane, &framed(Header::default(), &packet));
            prop_assert_eq!(out.trains().len(), expected);
            prop_assert_eq!(out.notices().count(), 1 - expected);
            prop_assert!(out.trains().iter().all(|train| train.dont_fragment));
            prop_assert!(outer_lengths(&out).iter().all(|length| *length <= path_mtu as usize));
        }
    }

    /// RFC 8200 section 5: IPv6 up to 1280 octets is sent over any path, and may be fragmented then.
    #[test]
    fn ipv6_up_to_its_minimum_is_sent(length in 48usize..1281, path_mtu in 576u32..1400) {
        let plane = plane(OutboundParameters { path_mtu, ..packets::outbound(SPI) });
        let packet = datagram(true, true, length);
        let out = sealed(&plane, &framed(Header::default(), &packet));
        let fits = outer_lengths(&out)[0] <= path_mtu as usize;
        prop_assert_eq!(out.trains()[0].dont_fragment, fits);
        prop_assert_eq!(opened(&out), [packet]);
        let long = datagram(true, true, path_mtu as usize + 1281);
        let out = sealed(&plane, &framed(Header::default(), &long));
        let (_, mtu) = told(out.notices().next().expect("a message").1, true);
        prop_assert!(mtu >= 1280);
    }

    /// Every segment of a super-packet without DF is cut as if it had come alone.
    #[test]
    fn super_packets_are_cut(payload in 1300usize..9000, size in 1250u16..1400) {
        let plane = plane(OutboundParameters { path_mtu: 1300, ..packets::outbound(SPI) });
        let mut packet = datagram(false, false, 28 + payload);
        set_flags(&mut packet, 0);
        let header = Header {
            flags: virtio::NEEDS_CSUM,
            gso_type: virtio::GSO_UDP_L4,
            gso_size: size,
            csum_start: 20,
            csum_offset: 6,
            header_len: 28,
        };
        let out = sealed(&plane, &framed(header, &packet));
        prop_assert!(outer_lengths(&out).iter().all(|length| *length <= 1300));
        let found = opened(&out);
        let octets: usize = found.iter().map(|packet| packet.len() - 20).sum();
        let count = payload.div_ceil(size.into());
        prop_assert_eq!(octets, payload + 8 * count);
        let firsts = found.iter().filter(|packet| packet[6..8] == [0x20, 0] || packet[6..8] == [0, 0]);
        prop_assert_eq!(firsts.count(), count);
    }

    /// Of a super-packet with DF the sender hears about its first segment, which is a packet, and loses them all.
    #[test]
    fn super_packets_are_told_of(is_v6: bool, payload in 3000usize..9000) {
        let plane = plane(OutboundParameters { path_mtu: 1400, ..packets::outbound(SPI) });
        let (source, destination) = hosts(is_v6);
        let packet = packets::tcp(source, destination, (4000, 80), 1, 0x10, &vec![7; payload]);
        let transport = if is_v6 { 40 } else { 20 };
        let header = Header {
            flags: virtio::NEEDS_CSUM,
            gso_type: if is_v6 { virtio::GSO_TCPV6 } else { virtio::GSO_TCPV4 },
            gso_size: 1400,
            csum_start: transport,
            csum_offset: 16,
            header_len: 0,
        };
        let out = sealed(&plane, &framed(header, &packet));
        prop_assert!(out.trains().is_empty());
        prop_assert_eq!(too_big(&plane), payload.div_ceil(1400) as u64);
        let (_, message) = out.notices().next().expect("a message");
        let at = if is_v6 { 4 } else { 2 };
        let quoted = u16::from_be_bytes([message[8 + at], message[9 + at]]);
        let expected = if is_v6 { 1420 } else { 1440 };
        prop_assert_eq!(quoted, expected);
    }
}

/// RFC 4443 section 2.4 (f): a burst, and then nothing for a while.
#[test]
fn messages_are_few() {
    let plane = plane(OutboundParameters {
        path_mtu: 1280,
        ..packets::outbound(SPI)
    });
    let frame = framed(Header::default(), &datagram(false, true, 1400));
    let mut out = Outbox::new();
    for _ in 0..1000 {
        plane.seal(&frame, &mut out);
    }
    let count = out.notices().count();
    assert!((50..900).contains(&count), "{count}");
    assert_eq!(too_big(&plane), 1000);
    out.clear();
    assert_eq!(out.notices().count(), 0);
}

/// RFC 4301 section 7.3: no fragment without ports goes into an SA for some ports; what is sealed whole may be fragmented.
#[test]
fn an_sa_for_ports_has_no_later_fragments() {
    let plane = Plane::new();
    let parameters = OutboundParameters {
        path_mtu: 1280,
        ..packets::outbound(SPI)
    };
    let handle = plane.install_outbound(parameters).expect("an SA");
    let ports = |selector: &Selector| Selector {
        protocol: UDP,
        start_port: 0x2000,
        end_port: 0x2000,
        ..*selector
    };
    let policy = PolicyParameters {
        policy: 1,
        interface: 0,
        order: 0,
        local: packets::everything(),
        remote: packets::everything().iter().map(ports).collect(),
        action: Action::Protect(Some(handle)),
    };
    plane.install_policy(policy).expect("a policy");
    let packet = datagram(false, false, 1400);
    let out = sealed(&plane, &framed(Header::default(), &packet));
    assert_eq!(opened(&out), [packet]);
    assert!(!out.trains()[0].dont_fragment);
}

/// RFC 4301 sections 4.1 and 8.2.1: nor has transport mode fragments.
#[test]
fn transport_mode_is_not_cut() {
    let parameters = OutboundParameters {
        mode: Mode::Transport,
        tunnel: Tunnel {
            local: HERE.into(),
            remote: THERE.into(),
            ..packets::outbound(SPI).tunnel
        },
        df: DontFragment::Set,
        path_mtu: 1280,
        ..packets::outbound(SPI)
    };
    let plane = plane(parameters);
    let out = sealed(
        &plane,
        &framed(Header::default(), &datagram(false, false, 1400)),
    );
    let train = &out.trains()[0];
    assert_eq!((train.count, train.dont_fragment), (1, false));
    let out = sealed(
        &plane,
        &framed(Header::default(), &datagram(false, true, 1400)),
    );
    assert_eq!((out.trains().len(), out.notices().count()), (0, 1));
}

/// RFC 4301 section 8.1: DF of the outer header is set, cleared or copied.
#[test]
fn df_is_a_matter_of_policy() {
    for (df, expected) in [
        (DontFragment::Copy, [false, true]),
        (DontFragment::Set, [true, true]),
        (DontFragment::Clear, [false, false]),
    ] {
        let plane = plane(OutboundParameters {
            df,
            ..packets::outbound(SPI)
        });
        let found = [false, true].map(|df| {
            let out = sealed(
                &plane,
                &framed(Header::default(), &datagram(false, df, 100)),
            );
            out.trains()[0].dont_fragment
        });
        assert_eq!(found, expected);
    }
}

/// RFC 4301 section 8.2.1: what the system says counts at once, until the tunnel moves.
#[test]
fn what_was_learned_counts() {
    let plane = plane(packets::outbound(SPI));
    let frame = framed(Header::default(), &datagram(false, true, 1400));
    let goes = |plane: &Plane| sealed(plane, &frame).trains().len();
    assert_eq!(goes(&plane), 1);
    plane.learn_path_mtu(1, 1300);
    assert_eq!(goes(&plane), 0);
    plane.learn_path_mtu(1, 1500);
    assert_eq!(goes(&plane), 1);
    plane.set_path_mtu(1, 1300).expect("an MTU");
    assert_eq!(goes(&plane), 0);
    plane.set_path_mtu(1, 0).expect("none");
    plane.learn_path_mtu(1, 300);
    assert_eq!(goes(&plane), 0);
    let tunnel = packets::outbound(SPI).tunnel;
    plane.move_outbound(1, tunnel).expect("a tunnel");
    assert_eq!(goes(&plane), 1);
    plane.learn_path_mtu(99, 1300); // no such SA
    plane.count_oversize(1, 3);
    assert_eq!(too_big(&plane), 3 + 3);
}

/// RFC 4303 section 2.7: padding that is longer than the path leaves no choice.
#[test]
fn padding_beyond_the_path_is_fragmented() {
    let plane = plane(OutboundParameters {
        tfc: 1450,
        path_mtu: 1280,
        ..packets::outbound(SPI)
    });
    let packet = datagram(false, true, 100);
    let out = sealed(&plane, &framed(Header::default(), &packet));
    assert!(!out.trains()[0].dont_fragment);
    assert_eq!(opened(&out), [packet]);
}

/// RFC 9293 section 3.7.1: the MSS of SYN segments is lowered in both directions, and the checksum is right.
#[test]
fn segment_sizes_are_clamped() {
    for is_v6 in [false, true] {
        for outbound in [true, false] {
            let (source, destination) = hosts(is_v6);
            let clamp = if outbound { (1000, 0) } else { (0, 1000) };
            let left = plane(OutboundParameters {
                clamp: clamp.0,
                ..packets::outbound(SPI)
            });
            let right = Plane::new();
            let parameters = InboundParameters {
                clamp: clamp.1,
                ..packets::inbound(SPI)
            };
            right.install_inbound(parameters).expect("an SA");
            let mut packet = packets::tcp(
                source,
                destination,
                (4000, 80),
                1,
                TCP_SYN,
                &[2, 4, 0x05, 0xb4],
            );
            let at = if is_v6 { 40 } else { 20 };
            packet[at + 12] = 0x60;
            let sum = partial_sum(&packet, at);
            packet[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
            let header = Header {
                flags: virtio::NEEDS_CSUM,
                csum_start: at as u16,
                csum_offset: 16,
                ..Header::default()
            };
            let out = sealed(&left, &framed(header, &packet));
            let mut inbox = Inbox::new();
            for train in out.trains() {
                let mut octets = out.octets(train).to_vec();
                right.open(&mut octets, train.segment, &packets::arrival(), &mut inbox);
            }
            inbox.finish();
            let frame = inbox.frames().next().expect("a frame");
            let found = &frame[virtio::HEADER_LEN..];
            let mss = u16::from_be_bytes([found[at + 22], found[at + 23]]);
            assert_eq!(mss, 1000 - 20 - at as u16);
            let inner = Inner::parse(found).expect("a packet");
            let pseudo = caponier_packet::checksum::Checksum::pseudo_header(
                inner.addresses(found),
                TCP,
                found.len() - at,
            );
            assert!(pseudo.plus(&found[at..]).is_intact());
        }
    }
}

/// The sum of the pseudo-header, as the system leaves it for a device to complete.
fn partial_sum(packet: &[u8], at: usize) -> u16 {
    let inner = Inner::parse(packet).expect("a packet");
    let sum = caponier_packet::checksum::Checksum::pseudo_header(
        inner.addresses(packet),
        TCP,
        packet.len() - at,
    );
    !sum.finish()
}

/// RFC 4301 section 7.2, RFC 1858: a later fragment does not write over the TCP header.
#[test]
fn overlapping_fragments_are_dropped() {
    let left = plane(packets::outbound(SPI));
    let (source, destination) = hosts(false);
    for (offset, expected) in [(1, 0), (2, 0), (3, 1)] {
        let mut packet = packets::ip(source, destination, TCP, &[0; 32]);
        packet[7] = offset;
        set_flags(&mut packet, 0);
        let out = sealed(&left, &framed(Header::default(), &packet));
        let right = Plane::new();
        packets::install_inbound(&right, SPI);
        let mut inbox = Inbox::new();
        for train in out.trains() {
            let mut octets = out.octets(train).to_vec();
            right.open(&mut octets, train.segment, &packets::arrival(), &mut inbox);
        }
        assert_eq!(inbox.frames().count(), expected);
        let drops = right
            .inbound_counters(Protocol::Esp, SPI)
            .expect("an SA")
            .drops;
        let dropped = vec![("fragment-overlap", 1); 1 - expected];
        assert_eq!(drops, dropped);
    }
}
