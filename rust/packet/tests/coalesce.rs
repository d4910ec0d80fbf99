//! Coalescing is the inverse of segmentation: what was cut and merged and cut again is what it was.

use caponier_packet::checksum::Checksum;
use caponier_packet::coalesce::{Segment, SuperPacket};
use caponier_packet::inner::Inner;
use caponier_packet::segment::Plan;
use caponier_packet::virtio::{self, Header};
use caponier_packet::{protocol, tcp};
use proptest::prelude::*;

/// What a packet is built from.
#[derive(Clone, Copy, Debug)]
struct Shape {
    is_v6: bool,
    is_udp: bool,
    has_df: bool,
}

const TCP_HEADER: [u8; 32] = [
    0x30,
    0x39,
    0x14,
    0x51,
    0,
    0,
    0x10,
    0,
    0,
    0,
    0,
    9,
    0x80,
    tcp::ACK,
    1,
    0,
    0,
    0,
    0,
    0, // no options yet
    1,
    1,
    8,
    10,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    2, // two NOPs, timestamps (RFC 7323 section 3.2)
];

impl Shape {
    fn protocol(self) -> u8 {
        if self.is_udp {
            protocol::UDP
        } else {
            protocol::TCP
        }
    }

    fn ip_header(self, payload_len: usize) -> Vec<u8> {
        if self.is_v6 {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, self.protocol(), 64];
            header.extend([0x20; 16]);
            header.extend([0x21; 16]);
            header[4..6].copy_from_slice(&(payload_len as u16).to_be_bytes());
            return header;
        }
        let flags = if self.has_df { 0x40 } else { 0 };
        let mut header = vec![
            0x45,
            0,
            0,
            0,
            0xff,
            0xfe,
            flags,
            0,
            64,
            self.protocol(),
            0,
            0,
        ];
        header.extend([10, 1, 0, 1, 10, 2, 0, 2]);
        header[2..4].copy_from_slice(&(20 + payload_len as u16).to_be_bytes());
        let sum = Checksum::new().plus(&header).finish();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    fn transport_header(self, payload_len: usize) -> Vec<u8> {
        if !self.is_udp {
            return TCP_HEADER.to_vec();
        }
        let mut header = vec![0x30, 0x39, 0x14, 0x51, 0, 0, 0, 0];
        header[4..6].copy_from_slice(&(8 + payload_len as u16).to_be_bytes());
        header
    }

    /// A packet with right checksums.
    fn packet(self, payload: &[u8]) -> Vec<u8> {
        let mut transport = self.transport_header(payload.len());
        transport.extend(payload);
        let mut packet = self.ip_header(transport.len());
        packet.extend(transport);
        self.fill_checksum(&mut packet);
        packet
    }

    fn transport_at(self) -> usize {
        if self.is_v6 {
            40
        } else {
            20
        }
    }

    fn checksum_at(self) -> usize {
        self.transport_at() + if self.is_udp { 6 } else { 16 }
    }

    fn fill_checksum(self, packet: &mut [u8]) {
        let at = self.checksum_at();
        packet[at..at + 2].fill(0);
        let addresses = if self.is_v6 { 8..40 } else { 12..20 };
        let transport = &packet[self.transport_at()..];
        let sum = Checksum::pseudo_header(&packet[addresses], self.protocol(), transport.len());
        let sum = sum.plus(transport).finish_udp();
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }

    /// What the kernel would say of a super-packet of such packets.
    fn header(self, size: usize) -> Header {
        let gso_type = match (self.is_udp, self.is_v6) {
            (true, _) => virtio::GSO_UDP_L4,
            (false, true) => virtio::GSO_TCPV6,
            (false, false) => virtio::GSO_TCPV4,
        };
        let transport = self.transport_at();
        Header {
            flags: virtio::NEEDS_CSUM,
            gso_type,
            header_len: (transport + if self.is_udp { 8 } else { 32 }) as u16,
            gso_size: size as u16,
            csum_start: transport as u16,
            csum_offset: (self.checksum_at() - transport) as u16,
        }
    }
}

fn cut(header: &Header, packet: &[u8]) -> Vec<Vec<u8>> {
    let inner = Inner::parse(packet).expect("a packet");
    let plan = Plan::new(header, packet, &inner).expect("a plan");
    let write = |index| {
        let mut out = vec![0; plan.length(index)];
        plan.write(index, &mut out);
        out
    };
    (0..plan.count()).map(write).collect()
}

/// Merge as many as one super-packet takes; the frame, and how many it took.
fn merge(packets: &[Vec<u8>]) -> (Vec<u8>, usize) {
    let mut building = SuperPacket::new();
    let mut count = 0;
    for packet in packets {
        let inner = Inner::parse(packet).expect("a packet");
        let segment = Segment::verify(&inner, packet).expect("an intact segment");
        if count == 0 {
            building.begin(&segment);
        } else if !building.is_same_flow(&inner, packet) || !building.append(&segment) {
            break;
        }
        count += 1;
    }
    (building.close().expect("a frame").to_vec(), count)
}

fn merges(first: &[u8], second: &[u8]) -> bool {
    merge(&[first.to_vec(), second.to_vec()]).1 == 2
}

fn verifies(packet: &[u8]) -> bool {
    Inner::parse(packet).is_ok_and(|inner| Segment::verify(&inner, packet).is_some())
}

const UDP4: Shape = Shape {
    is_v6: false,
    is_udp: true,
    has_df: true,
};
const TCP4: Shape = Shape {
    is_v6: false,
    is_udp: false,
    has_df: true,
};

/// The virtio header says what the whole is: virtio specification 1.2, section 5.1.6.2.
#[test]
fn datagrams_keep_their_bounds() {
    for is_v6 in [false, true] {
        let shape = Shape { is_v6, ..UDP4 };
        let packets = [[1; 64], [2; 64], [3; 64]].map(|payload| shape.packet(&payload));
        let (frame, count) = merge(&packets);
        let (header, packet) = Header::decode(&frame).expect("a frame");
        assert_eq!(count, 3);
        assert_eq!(header, shape.header(64));
        assert_eq!(packet.len(), packets[0].len() + 2 * 64);
        let mut again = cut(&header, packet);
        if !is_v6 {
            for each in &mut again {
                // With DF the identification means nothing (RFC 6864 section 4.1).
                each[4..6].copy_from_slice(&[0xff, 0xfe]);
                each[10..12].copy_from_slice(&packets[0][10..12]);
            }
        }
        assert_eq!(again, packets);
    }
}

/// A datagram longer than the first begins anew, a shorter one ends the super-packet.
#[test]
fn sizes_are_equal_but_for_the_last() {
    let packets = [64, 64, 10, 64].map(|length| UDP4.packet(&vec![7; length]));
    assert_eq!(merge(&packets).1, 3);
    assert!(!merges(&UDP4.packet(&[7; 10]), &UDP4.packet(&[7; 64])));
}

/// `UDP_MAX_SEGMENTS` of linux/udp.h.
#[test]
fn at_most_64_datagrams() {
    let packets = vec![UDP4.packet(&[7; 64]); 70];
    assert_eq!(merge(&packets).1, 64);
}

#[test]
fn never_longer_than_an_ip_packet() {
    let packets = vec![UDP4.packet(&[7; 1372]); 64];
    let (frame, count) = merge(&packets);
    assert_eq!(count, (65535 - 28) / 1372);
    assert!(frame.len() <= 65535 + virtio::HEADER_LEN);
}

/// One octet of difference in a header that the receiver can see.
#[test]
fn what_differs_is_not_merged() {
    // TOS, TTL, DF, source, ports
    for at in [1, 8, 6, 13, 21, 23] {
        let first = UDP4.packet(&[7; 64]);
        let mut second = first.clone();
        second[at] ^= if at == 6 { 0x40 } else { 4 };
        second[10..12].fill(0);
        let sum = Checksum::new().plus(&second[..20]).finish();
        second[10..12].copy_from_slice(&sum.to_be_bytes());
        UDP4.fill_checksum(&mut second);
        assert!(verifies(&second), "octet {at}");
        assert!(!merges(&first, &second), "octet {at}");
    }
    let (udp, tcp) = (UDP4.packet(&[7; 64]), TCP4.packet(&[7; 64]));
    assert!(!merges(&udp, &tcp) && !merges(&tcp, &udp));
}

/// RFC 6864 section 4.1: without DF the identification has its meaning.
#[test]
fn identification_counts_without_df() {
    let shape = Shape {
        has_df: false,
        ..UDP4
    };
    let first = shape.packet(&[7; 64]);
    let mut second = first.clone();
    assert!(!merges(&first, &second));
    second[4..6].copy_from_slice(&[0xff, 0xff]);
    second[10..12].fill(0);
    let sum = Checksum::new().plus(&second[..20]).finish();
    second[10..12].copy_from_slice(&sum.to_be_bytes());
    assert!(merges(&first, &second));
}

#[test]
fn a_corrupted_packet_is_no_segment() {
    for shape in [UDP4, TCP4] {
        let intact = shape.packet(&[7; 64]);
        assert!(verifies(&intact));
        for at in [1, intact.len() - 1] {
            let mut packet = intact.clone();
            packet[at] ^= 1;
            assert!(!verifies(&packet), "octet {at} of {shape:?}");
        }
    }
}

/// Nothing may follow a segment with PSH, and only ACK and ECE may be set beside it.
#[test]
fn flags_end_or_forbid_merging() {
    let with = |flags: u8| {
        let mut packet = TCP4.packet(&[7; 64]);
        packet[33] = flags;
        TCP4.fill_checksum(&mut packet);
        packet
    };
    let mut building = SuperPacket::new();
    let pushed = with(tcp::ACK | tcp::PSH);
    let inner = Inner::parse(&pushed).expect("a packet");
    building.begin(&Segment::verify(&inner, &pushed).expect("a segment"));
    assert!(building.is_complete());
    for flag in [tcp::FIN, 0x02, 0x04, 0x20, tcp::CWR] {
        assert!(!verifies(&with(tcp::ACK | flag)), "flag {flag:#x}");
    }
    assert!(!verifies(&with(tcp::PSH)));
}

/// RFC 768: a checksum of zero is none; merged, the datagram would get one.
#[test]
fn datagrams_without_checksum_pass_alone() {
    let mut packet = UDP4.packet(&[7; 64]);
    packet[26..28].fill(0);
    assert!(!verifies(&packet));
}

#[test]
fn empty_and_inconsistent_datagrams_pass_alone() {
    assert!(!verifies(&UDP4.packet(&[])));
    let mut packet = UDP4.packet(&[7; 64]);
    packet[24..26].copy_from_slice(&71u16.to_be_bytes());
    UDP4.fill_checksum(&mut packet);
    assert!(!verifies(&packet));
}

proptest! {
    #[test]
    fn cut_merged_and_cut_again(
        is_v6: bool,
        is_udp: bool,
        size in 8usize..1400,
        segments in 2usize..40,
        missing in 0usize..1400,
        seed: u8,
        has_push: bool,
    ) {
        let shape = Shape { is_v6, is_udp, has_df: false };
        let length = size * segments - missing % size;
        let payload: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(31) ^ seed).collect();
        let mut whole = shape.packet(&payload);
        if has_push && !is_udp {
            whole[shape.transport_at() + 13] |= tcp::PSH; // the cut leaves it on the last alone
        }
        let packets = cut(&shape.header(size), &whole);
        prop_assert_eq!(packets.len(), segments);
        let (frame, count) = merge(&packets);
        prop_assert_eq!(count, segments);
        let (header, packet) = Header::decode(&frame).expect("a frame");
        prop_assert_eq!(header, shape.header(size));
        prop_assert_eq!(cut(&header, packet), packets);
    }

    #[test]
    fn junk_never_panics(mut octets in proptest::collection::vec(any::<u8>(), 28..120), is_udp: bool, length: u8) {
        octets[0] = 0x45;
        octets[2..4].copy_from_slice(&u16::from(length).to_be_bytes());
        octets[9] = if is_udp { protocol::UDP } else { protocol::TCP };
        let _ = verifies(&octets);
    }
}
