//! Batches: many frames or packets in one call are carried as one by one.

use std::collections::HashMap;
use std::net::IpAddr;

use caponier_packet::checksum::Checksum;
use caponier_packet::inner::Inner;
use caponier_packet::segment::Plan;
use caponier_packet::virtio::Header;
use caponier_plane::{Action, Inbox, Outbox, Plane, PolicyParameters, Protocol, Selector};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets;

const SPIS: [u32; 2] = [0x1001, 0x1002];
const HERE: [u8; 4] = [10, 1, 0, 1];

/// One datagram of one of several flows; the flow's number is the destination's last octet.
#[derive(Clone, Debug)]
struct Datagram {
    flow: u8,
    length: usize,
}

fn datagrams() -> impl Strategy<Value = Vec<Datagram>> {
    let length = prop_oneof![3 => Just(64usize), 1 => Just(1300), 1 => 1usize..1400];
    vec(
        (0u8..24, length).prop_map(|(flow, length)| Datagram { flow, length }),
        1..150,
    )
}

impl Datagram {
    fn packet(&self, number: u32) -> Vec<u8> {
        let mut transport = vec![0x30, 0x39, 0x14, 0x51];
        transport.extend((8 + self.length as u16).to_be_bytes());
        transport.extend([0, 0]);
        transport.extend(number.to_be_bytes().iter().cycle().take(self.length));
        let (source, destination) = (IpAddr::from(HERE), IpAddr::from([10, 2, 0, self.flow]));
        let mut packet = packets::ip(source, destination, packets::UDP, &transport);
        let pseudo = Checksum::pseudo_header(&packet[12..20], packets::UDP, transport.len());
        let sum = pseudo.plus(&packet[20..]).finish_udp();
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn frame(&self, number: u32) -> Vec<u8> {
        let mut frame = Header::default().encode().to_vec();
        frame.extend(self.packet(number));
        frame
    }
}

/// The payloads of a frame's datagrams, by flow.
fn cut(frame: &[u8], payloads: &mut HashMap<u8, Vec<Vec<u8>>>) {
    let (header, packet) = Header::decode(frame).expect("a frame");
    let inner = Inner::parse(packet).expect("a packet");
    let plan = Plan::new(&header, packet, &inner).expect("a plan");
    for index in 0..plan.count() {
        let mut packet = vec![0; plan.length(index)];
        plan.write(index, &mut packet);
        let flow = payloads.entry(packet[19]).or_default();
        flow.push(packet[28..].to_vec());
    }
}

fn half_of_10_2_0(upper: bool) -> Vec<Selector> {
    let (first, last) = if upper { (12, 23) } else { (0, 11) };
    vec![Selector {
        protocol: 0,
        start_port: 0,
        end_port: 65535,
        first: [10, 2, 0, first].into(),
        last: [10, 2, 0, last].into(),
    }]
}

/// Flows 0 to 11 go under the first SA, 12 to 23 under the second.
fn left() -> Plane {
    let plane = Plane::new();
    for (number, spi) in SPIS.into_iter().enumerate() {
        let handle = packets::install_outbound(&plane, spi);
        let policy = PolicyParameters {
            policy: number as u64,
            interface: 0,
            order: 0,
            local: packets::everything(),
            remote: half_of_10_2_0(number == 1),
            action: Action::Protect(Some(handle)),
        };
        plane.install_policy(policy).expect("a policy");
    }
    plane
}

fn right() -> Plane {
    let plane = Plane::new();
    for spi in SPIS {
        packets::install_inbound(&plane, spi);
    }
    plane
}

fn spi_of(esp: &[u8]) -> u32 {
    u32::from_be_bytes([esp[0], esp[1], esp[2], esp[3]])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Mixed flows, in batches of any size, written as soon as they are complete: each datagram arrives, in its flow's
    /// order, under its own policy's SA (RFC 4301 section 5.1), and is counted there.
    #[test]
    fn datagrams_arrive_whole(datagrams in datagrams(), batch in 1usize..64) {
        let (left, right) = (left(), right());
        let (mut out, mut inbox) = (Outbox::new(), Inbox::new());
        let frames: Vec<_> = (0..).zip(&datagrams).map(|(number, each)| each.frame(number)).collect();
        let (mut sent, mut received) = (HashMap::new(), HashMap::new());
        let mut carried = [0u64; 2];
        for frames in frames.chunks(batch) {
            frames.iter().for_each(|frame| cut(frame, &mut sent));
            left.seal_each(frames.iter().map(Vec::as_slice), &mut out);
            for train in out.trains() {
                let mut octets = out.octets(train).to_vec();
                for esp in octets.chunks(train.segment) {
                    prop_assert_eq!(spi_of(esp), spi_of(&octets));
                }
                carried[usize::from(spi_of(&octets) == SPIS[1])] += train.count as u64;
                right.open(&mut octets, train.segment, &packets::arrival(), &mut inbox);
                inbox.frames().for_each(|frame| cut(frame, &mut received));
                inbox.recycle();
            }
            out.clear();
        }
        inbox.finish();
        inbox.frames().for_each(|frame| cut(frame, &mut received));
        prop_assert_eq!(&received, &sent);
        for (number, spi) in SPIS.into_iter().enumerate() {
            let counted = right.inbound_counters(Protocol::Esp, spi);
            prop_assert_eq!(&left.outbound_counters(number as u64 + 1), &counted);
            prop_assert_eq!(counted.map(|counters| counters.packets), Ok(carried[number]));
        }
    }

    /// Packets that do not stand in one train, from several SAs: as one by one.
    #[test]
    fn packets_may_stand_apart(datagrams in datagrams()) {
        let (left, right) = (left(), right());
        let mut out = Outbox::new();
        for (number, each) in (0..).zip(&datagrams) {
            left.seal(&each.frame(number), &mut out);
        }
        let mut packets: Vec<Vec<u8>> = Vec::new();
        for train in out.trains() {
            packets.extend(out.octets(train).chunks(train.segment).map(<[u8]>::to_vec));
        }
        let mut inbox = Inbox::without_datagrams();
        let arriving = packets.iter_mut().map(|esp| (esp.as_mut_slice(), packets::arrival()));
        right.open_each(arriving, &mut inbox);
        let expected: Vec<_> = (0..).zip(&datagrams).map(|(number, each)| each.frame(number)).collect();
        let found: Vec<_> = inbox.frames().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(found, expected);
    }
}

/// A packet without a policy stops neither those before nor those behind it (RFC 4301 section 5.1: discard).
#[test]
fn strangers_in_a_batch_are_dropped_alone() {
    let plane = left();
    let frames: Vec<_> = [1u8, 200, 1, 200, 13]
        .into_iter()
        .map(|flow| Datagram { flow, length: 64 }.frame(0))
        .collect();
    let mut out = Outbox::new();
    plane.seal_each(frames.iter().map(Vec::as_slice), &mut out);
    let shape = |train: &caponier_plane::Train| (spi_of(out.octets(train)), train.count);
    let shapes: Vec<_> = out.trains().iter().map(shape).collect();
    assert_eq!(shapes, [(SPIS[0], 2), (SPIS[1], 1)]);
    assert_eq!(plane.drops(), [("no-policy", 2)]);
}
