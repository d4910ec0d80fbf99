//! From one plane to the other: what goes in comes out (RFC 4301 sections 5.1 and 5.2, RFC 4303).

use std::collections::HashMap;
use std::net::IpAddr;

use caponier_packet::inner::Inner;
use caponier_packet::segment::Plan;
use caponier_packet::virtio::{self, Header};
use caponier_plane::{Inbox, Outbox, Plane, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets;

const SPI: u32 = 0x1001;

/// What one read of the TUN interface gives: a packet of one of several flows.
#[derive(Clone, Debug)]
pub struct Read {
    flow: u16,
    kind: Kind,
    payload: usize,
    size: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Up to 64 KiB, to be cut into segments.
    SuperPacket,
    /// The same, with PSH on its last segment.
    Pushed,
    /// One segment that may not be merged with others: FIN.
    Last,
    /// An acknowledgement without data.
    Acknowledgement,
    /// One segment whose checksum is wrong: what a host sends is not for the plane to judge.
    Corrupted,
}

pub fn reads() -> impl Strategy<Value = Vec<Read>> {
    let kind = prop_oneof![
        4 => Just(Kind::SuperPacket),
        2 => Just(Kind::Pushed),
        1 => Just(Kind::Last),
        1 => Just(Kind::Acknowledgement),
        1 => Just(Kind::Corrupted),
    ];
    let read =
        (0u16..12, kind, 1usize..20_000, 100u16..1400).prop_map(|(flow, kind, payload, size)| {
            Read {
                flow,
                kind,
                payload,
                size,
            }
        });
    vec(read, 1..25)
}

impl Read {
    fn is_super_packet(&self) -> bool {
        matches!(self.kind, Kind::SuperPacket | Kind::Pushed)
    }

    fn payload_len(&self) -> usize {
        match self.kind {
            Kind::SuperPacket | Kind::Pushed => self.payload,
            Kind::Acknowledgement => 0,
            Kind::Last | Kind::Corrupted => self.payload.min(1200),
        }
    }

    fn frame(&self, sequence: u32, (source, destination): Ends) -> Vec<u8> {
        let is_v6 = source.is_ipv6();
        let flags = match self.kind {
            Kind::Pushed => 0x18,
            Kind::Last => 0x11,
            _ => 0x10,
        };
        let payload: Vec<u8> = (0..self.payload_len())
            .map(|number| (number * 7) as u8)
            .collect();
        let ports = (4000 + self.flow, 80);
        let mut packet = packets::tcp(source, destination, ports, sequence, flags, &payload);
        let transport = if is_v6 { 40 } else { 20 };
        if self.kind == Kind::Corrupted {
            packet[transport + 16] ^= 0x55;
        }
        let header = if self.is_super_packet() {
            Header {
                flags: virtio::NEEDS_CSUM,
                gso_type: if is_v6 {
                    virtio::GSO_TCPV6
                } else {
                    virtio::GSO_TCPV4
                },
                gso_size: self.size,
                csum_start: transport as u16,
                csum_offset: 16,
                header_len: 0,
            }
        } else {
            Header::default()
        };
        [&header.encode()[..], &packet].concat()
    }
}

/// Source and destination.
pub type Ends = (IpAddr, IpAddr);

/// Every second flow is of IPv6.
pub fn hosts(flow: u16) -> Ends {
    if flow % 2 == 1 {
        ([0xfd; 16].into(), [0xfe; 16].into())
    } else {
        ([10, 1, 0, 2].into(), [10, 2, 0, 2].into())
    }
}

/// The frames of the reads, between what ends each flow has: its sequence numbers go on from read to read.
pub fn frames(reads: &[Read], ends: impl Fn(u16) -> Ends) -> Vec<Vec<u8>> {
    let mut next: HashMap<u16, u32> = HashMap::new();
    reads
        .iter()
        .map(|read| {
            let sequence = next.entry(read.flow).or_insert(u32::MAX - 9000);
            let frame = read.frame(*sequence, ends(read.flow));
            *sequence = sequence.wrapping_add(read.payload_len() as u32);
            frame
        })
        .collect()
}

/// The packets of a frame, by flow, in their order. The identification of an atomic datagram means nothing (RFC 6864).
pub fn cut(frame: &[u8], flows: &mut HashMap<Vec<u8>, Vec<Vec<u8>>>) {
    let (header, packet) = Header::decode(frame).expect("a frame");
    let inner = Inner::parse(packet).expect("a packet");
    let plan = Plan::new(&header, packet, &inner).expect("a plan");
    for index in 0..plan.count() {
        let mut segment = vec![0; plan.length(index)];
        plan.write(index, &mut segment);
        if !inner.is_v6() {
            segment[4..6].fill(0);
            segment[10..12].fill(0);
        }
        let ports = segment[inner.transport..inner.transport + 4].to_vec();
        flows.entry(ports).or_default().push(segment);
    }
}

fn left() -> Plane {
    let plane = Plane::new();
    let handle = packets::install_outbound(&plane, SPI);
    packets::protect_everything(&plane, handle);
    plane
}

fn right() -> Plane {
    let plane = Plane::new();
    packets::install_inbound(&plane, SPI);
    plane
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each flow's packets come out as they went in, all of them, in their order, once; and both sides count the same.
    #[test]
    fn flows_arrive_whole(reads in reads()) {
        let (left, right) = (left(), right());
        let (mut out, mut inbox) = (Outbox::new(), Inbox::default());
        let mut sent = HashMap::new();
        for frame in frames(&reads, hosts) {
            cut(&frame, &mut sent);
            left.seal(&frame, &mut out);
        }
        let mut carried = 0;
        for train in out.trains() {
            let mut octets = out.octets(train).to_vec();
            prop_assert_eq!(octets.len().div_ceil(train.segment), train.count);
            right.open(&mut octets, train.segment, &packets::arrival(), &mut inbox);
            carried += train.count;
        }
        inbox.finish();
        let mut received = HashMap::new();
        for frame in inbox.frames() {
            cut(frame, &mut received);
        }
        prop_assert_eq!(&received, &sent);
        prop_assert_eq!(left.outbound_counters(1), right.inbound_counters(Protocol::Esp, SPI));
        prop_assert_eq!(right.inbound_counters(Protocol::Esp, SPI).map(|counters| counters.packets), Ok(carried as u64));
        prop_assert!(inbox.frames().count() <= carried);
    }

    /// An inbox and an outbox that were cleared give nothing of what was in them before.
    #[test]
    fn cleared_boxes_forget(first in reads(), second in reads()) {
        let (left, right) = (left(), right());
        let (mut out, mut inbox) = (Outbox::new(), Inbox::default());
        for (times, reads) in [&first, &second].into_iter().enumerate() {
            let mut sent = HashMap::new();
            for frame in frames(reads, hosts) {
                cut(&frame, &mut sent);
                left.seal(&frame, &mut out);
            }
            for train in out.trains() {
                let mut octets = out.octets(train).to_vec();
                right.open(&mut octets, train.segment, &packets::arrival(), &mut inbox);
            }
            out.clear();
            if times == 0 {
                inbox.clear(); // with super-packets under construction
                continue;
            }
            inbox.finish();
            let mut received = HashMap::new();
            inbox.frames().for_each(|frame| cut(frame, &mut received));
            prop_assert_eq!(&received, &sent);
        }
    }
}
