//! Whatever the octets are: every parser answers or refuses, nothing panics, and what comes out holds together.
//!
//! The checksums and the headers are computed here once more, word by word, so that nothing is compared with itself.

use caponier_packet::coalesce::{Segment, SuperPacket, MAX_PACKET};
use caponier_packet::esp::{KeyMaterial, OpenError, Opener, Packet, Sealer, Trailer};
use caponier_packet::inner::{Fragment, Inner};
use caponier_packet::segment::{Plan, MAX_SEGMENTS};
use caponier_packet::sequence::Width;
use caponier_packet::virtio::{self, Header};
use proptest::collection::vec;
use proptest::prelude::*;

const TCP: u8 = 6;
const UDP: u8 = 17;

// --- an IP packet as its RFC draws it ---

/// What a test packet is made of.
#[derive(Clone, Debug)]
struct Parts {
    is_v6: bool,
    protocol: u8,
    /// TCP options or nothing, in words.
    options: usize,
    flags: u8,
    identification: u16,
    sequence: u32,
    has_df: bool,
    payload: Vec<u8>,
}

impl Parts {
    fn ip_len(&self) -> usize {
        if self.is_v6 {
            40
        } else {
            20
        }
    }

    fn headers_len(&self) -> usize {
        let transport = if self.protocol == TCP {
            20 + 4 * self.options
        } else {
            8
        };
        self.ip_len() + transport
    }

    /// The packet, its checksums right.
    fn build(&self) -> Vec<u8> {
        let mut packet = self.ip_header();
        if self.protocol == TCP {
            packet.extend([0x0f, 0xa0, 0x13, 0x88]); // ports 4000 and 5000
            packet.extend(self.sequence.to_be_bytes());
            packet.extend([0, 0, 0, 1, ((5 + self.options) << 4) as u8, self.flags]);
            packet.extend([0x10, 0x00, 0, 0, 0, 0]);
            packet.extend(vec![1; 4 * self.options]); // no-operation
        } else {
            let length = (8 + self.payload.len()) as u16;
            packet.extend([0x0f, 0xa0, 0x13, 0x88]);
            packet.extend(length.to_be_bytes());
            packet.extend([0, 0]);
        }
        packet.extend(&self.payload);
        fill_checksums(&mut packet, self.ip_len());
        packet
    }

    fn ip_header(&self) -> Vec<u8> {
        let total = self.headers_len() + self.payload.len();
        if self.is_v6 {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(((total - 40) as u16).to_be_bytes());
            header.extend([self.protocol, 63]);
            header.extend([0xfd; 16]);
            header.extend([0xfe; 16]);
            return header;
        }
        let mut header = vec![0x45, 0];
        header.extend((total as u16).to_be_bytes());
        header.extend(self.identification.to_be_bytes());
        header.extend([
            if self.has_df { 0x40 } else { 0 },
            0,
            63,
            self.protocol,
            0,
            0,
        ]);
        header.extend([10, 1, 0, 2, 10, 2, 0, 2]);
        header
    }
}

/// The sum of RFC 1071 section 1, word by word.
fn sum(octets: &[u8], start: u32) -> u32 {
    octets.chunks(2).fold(start, |sum, pair| {
        let word = u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    })
}

/// The sum over pseudo-header and transport; 0xffff where the checksum is right.
fn transport_sum(packet: &[u8], ip_len: usize, protocol: u8) -> u32 {
    let addresses = if packet[0] >> 4 == 6 { 8..40 } else { 12..20 };
    let length = (packet.len() - ip_len) as u32;
    let pseudo = sum(&packet[addresses], u32::from(protocol));
    let pseudo = sum(&(length as u16).to_be_bytes(), pseudo);
    sum(&packet[ip_len..], pseudo)
}

fn fill_checksums(packet: &mut [u8], ip_len: usize) {
    let is_v6 = packet[0] >> 4 == 6;
    if !is_v6 {
        packet[10..12].fill(0);
        let checksum = !(sum(&packet[..20], 0) as u16);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    let protocol = packet[if is_v6 { 6 } else { 9 }];
    let at = ip_len + if protocol == TCP { 16 } else { 6 };
    packet[at..at + 2].fill(0);
    let checksum = match (!(transport_sum(packet, ip_len, protocol) as u16), protocol) {
        (0, UDP) => 0xffff,
        (checksum, _) => checksum,
    };
    packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// The identification of an atomic datagram means nothing (RFC 6864 section 4): compare without it.
fn without_identification(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 && packet[6] & 0x40 != 0 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}

fn parts(payload: std::ops::Range<usize>) -> impl Strategy<Value = Parts> {
    (
        (
            any::<bool>(),
            prop_oneof![Just(TCP), Just(UDP)],
            0usize..=10,
            any::<u8>(),
        ),
        (any::<u16>(), any::<u32>(), any::<bool>()),
        vec(any::<u8>(), payload),
    )
        .prop_map(
            |((is_v6, protocol, options, flags), (identification, sequence, has_df), payload)| {
                Parts {
                    is_v6,
                    protocol,
                    options,
                    flags,
                    identification,
                    sequence,
                    has_df,
                    payload,
                }
            },
        )
}

fn headers() -> impl Strategy<Value = Header> {
    let gso_type = prop_oneof![
        Just(0u8),
        Just(1),
        Just(3),
        Just(4),
        Just(5),
        Just(0x81),
        any::<u8>()
    ];
    (
        any::<u8>(),
        gso_type,
        any::<u16>(),
        prop_oneof![0u16..4, 0u16..1500, any::<u16>()],
        prop_oneof![0u16..80, any::<u16>()],
        prop_oneof![0u16..20, any::<u16>()],
    )
        .prop_map(
            |(flags, gso_type, header_len, gso_size, csum_start, csum_offset)| Header {
                flags,
                gso_type,
                header_len,
                gso_size,
                csum_start,
                csum_offset,
            },
        )
}

/// A packet with some of its octets changed.
fn tampered(packet: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (packet, vec((any::<usize>(), any::<u8>()), 0..6)).prop_map(|(mut packet, changes)| {
        for (at, octet) in changes {
            let at = at % packet.len().min(80);
            packet[at] = octet;
        }
        packet
    })
}

fn packets_or_junk() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        tampered(parts(0..300).prop_map(|parts| parts.build())),
        extension_headers(),
    ]
}

/// IPv6 with a chain of extension headers (RFC 8200 section 4), honest or not.
fn extension_headers() -> impl Strategy<Value = Vec<u8>> {
    let next = prop_oneof![
        Just(0u8),
        Just(43),
        Just(44),
        Just(60),
        Just(TCP),
        Just(UDP),
        Just(58),
        Just(59)
    ];
    vec((next.clone(), 0u8..3, any::<[u8; 6]>()), 0..20).prop_flat_map(move |chain| {
        (next.clone(), vec(any::<u8>(), 0..60)).prop_map(move |(first, tail)| {
            let mut payload = Vec::new();
            for (next_header, words, octets) in &chain {
                payload.extend([*next_header, *words]);
                payload.extend(octets);
                payload.extend(vec![0; 8 * usize::from(*words)]);
            }
            payload.extend(&tail);
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend((payload.len() as u16).to_be_bytes());
            packet.extend([first, 64]);
            packet.extend([0xfd; 32]);
            packet.extend(payload);
            packet
        })
    })
}

/// Opens as a plane does: under the number that the packet says.
fn decrypt(opener: &Opener, esp: &mut [u8]) -> Result<std::ops::Range<usize>, OpenError> {
    let sequence = Packet::new_checked(&*esp).map_or(0, |packet| packet.sequence().into());
    opener.decrypt(esp, sequence)
}

proptest! {
    // --- reading ---

    /// RFC 791, RFC 8200: an answer lies inside of the octets, and does not depend on those behind the packet.
    #[test]
    fn inner_packets(octets in packets_or_junk(), behind in vec(any::<u8>(), 0..40)) {
        let Ok(inner) = Inner::parse(&octets) else { return Ok(()) };
        prop_assert!(inner.transport <= inner.length && inner.length <= octets.len());
        prop_assert_eq!(inner.is_v6(), octets[0] >> 4 == 6);
        prop_assert_eq!(inner.is_v6(), inner.destination.is_ipv6());
        prop_assert_eq!(inner.addresses(&octets).len(), if inner.is_v6() { 32 } else { 8 });
        let whole = &octets[..inner.length];
        prop_assert_eq!(Inner::parse(whole), Ok(inner));
        prop_assert_eq!(Inner::parse(&[whole, &behind].concat()), Ok(inner));
        prop_assert!(Inner::parse(&whole[..inner.length - 1]).is_err());
    }

    /// virtio 1.2 section 5.1.6: ten octets, each of which means something.
    #[test]
    fn virtio_headers(frame in vec(any::<u8>(), 0..40)) {
        match Header::decode(&frame) {
            Ok((header, packet)) => {
                prop_assert_eq!(&header.encode()[..], &frame[..virtio::HEADER_LEN]);
                prop_assert_eq!(packet, &frame[virtio::HEADER_LEN..]);
            }
            Err(_) => prop_assert!(frame.len() < virtio::HEADER_LEN),
        }
    }

    /// RFC 4303 sections 2.4 to 2.6.
    #[test]
    fn trailers(plaintext in vec(prop_oneof![0u8..8, any::<u8>()], 0..300)) {
        let Ok(trailer) = Trailer::decode(&plaintext) else { return Ok(()) };
        let pad_len = usize::from(plaintext[plaintext.len() - 2]);
        prop_assert_eq!(trailer.payload_len + pad_len + 2, plaintext.len());
        prop_assert_eq!(trailer.next_header, plaintext[plaintext.len() - 1]);
        let padding = &plaintext[trailer.payload_len..trailer.payload_len + pad_len];
        prop_assert!(padding.iter().zip(1u8..=255).all(|(octet, number)| *octet == number));
    }

    // --- ESP ---

    /// RFC 4303 section 3.4.4: octets that nobody sealed are opened by nobody.
    #[test]
    fn esp_of_junk(esp in vec(any::<u8>(), 0..300)) {
        for keys in suites() {
            let opener = Opener::new(&keys, Width::Bits32).expect("keys");
            let refused = decrypt(&opener, &mut esp.clone());
            prop_assert!(matches!(refused, Err(OpenError::Truncated | OpenError::BadIcv)));
            if esp.len() < 8 {
                prop_assert!(Packet::new_checked(&esp).is_err());
            }
        }
    }

    /// RFC 4303 section 3.4: what was sealed comes out; what was changed, cut or lengthened does not.
    #[test]
    fn esp_changed(
        payload in vec(any::<u8>(), 0..200),
        next_header: u8,
        sequence in 1u64..1 << 32,
        change in (any::<usize>(), 1u8..=255),
        length in any::<usize>(),
    ) {
        for keys in suites() {
            let (sealer, opener) = (Sealer::new(0x1234, &keys, Width::Bits32).expect("keys"), Opener::new(&keys, Width::Bits32).expect("keys"));
            let mut esp = vec![0; sealer.sealed_len(payload.len())];
            esp[sealer.headroom()..sealer.headroom() + payload.len()].copy_from_slice(&payload);
            prop_assert!(sealer.seal(&mut esp, payload.len(), next_header, sequence).is_ok());

            let mut changed = esp.clone();
            changed[change.0 % esp.len()] ^= change.1;
            prop_assert_eq!(decrypt(&opener, &mut changed), Err(OpenError::BadIcv));
            let mut other = esp.clone();
            other.resize(length % (2 * esp.len()), 0);
            if other.len() != esp.len() {
                prop_assert!(decrypt(&opener, &mut other).is_err());
            }

            let mut opened = esp.clone();
            let plaintext = decrypt(&opener, &mut opened).expect("untouched");
            let trailer = Trailer::decode(&opened[plaintext.clone()]).expect("a trailer");
            prop_assert_eq!(trailer.next_header, next_header);
            prop_assert_eq!(&opened[plaintext][..trailer.payload_len], &payload[..]);
        }
    }

    /// Slots and lengths that do not fit are refused, and nothing is written beyond them.
    #[test]
    fn sealing_into_wrong_slots(slot in 0usize..400, payload_len in 0usize..400) {
        for keys in suites() {
            let sealer = Sealer::new(0x1234, &keys, Width::Bits32).expect("keys");
            let sealed = sealer.seal(&mut vec![0; slot], payload_len, 4, 1);
            prop_assert_eq!(sealed.is_ok(), slot == sealer.sealed_len(payload_len));
        }
    }

    // --- segmentation ---

    /// Headers that lie are refused or make packets of the promised lengths; nothing panics.
    #[test]
    fn plans_of_junk(header in headers(), packet in packets_or_junk()) {
        let Ok(inner) = Inner::parse(&packet) else { return Ok(()) };
        let Ok(plan) = Plan::new(&header, &packet, &inner) else { return Ok(()) };
        prop_assert!((1..=MAX_SEGMENTS).contains(&plan.count()));
        let mut total = 0;
        for index in 0..plan.count() {
            let mut out = vec![0xee; plan.length(index)];
            plan.write(index, &mut out);
            total += out.len();
            prop_assert!(out.len() <= plan.length(0));
            prop_assert!(index + 1 == plan.count() || out.len() == plan.length(0));
            if plan.count() > 1 {
                let segment = Inner::parse(&out).expect("a segment is a packet");
                prop_assert_eq!(segment.length, out.len());
                prop_assert_eq!(segment.protocol, inner.protocol);
                prop_assert_eq!(segment.addresses(&out), inner.addresses(&packet));
            }
        }
        prop_assert_eq!(total, plan.total_len());
    }

    /// RFC 9293 section 3.7, RFC 768, RFC 6864: the segments are what the sender's own stack would have sent.
    #[test]
    fn segments(parts in parts(1..4000), size in 1u16..1500) {
        let packet = parts.build();
        let inner = Inner::parse(&packet).expect("a packet");
        let header = super_packet_header(&parts, size);
        let plan = Plan::new(&header, &packet, &inner).expect("an honest header");
        prop_assert_eq!(plan.count(), parts.payload.len().div_ceil(usize::from(size)));
        for (index, payload) in parts.payload.chunks(usize::from(size)).enumerate() {
            let mut out = vec![0; plan.length(index)];
            plan.write(index, &mut out);
            let is_last = index + 1 == plan.count();
            let mut flags = parts.flags;
            if !is_last {
                flags &= !0x09; // FIN, PSH
            }
            if index > 0 {
                flags &= !0x80; // CWR
            }
            let expected = Parts {
                flags,
                identification: parts.identification.wrapping_add(index as u16),
                sequence: parts.sequence.wrapping_add((index * usize::from(size)) as u32),
                payload: payload.to_vec(),
                ..parts.clone()
            };
            prop_assert_eq!(out, expected.build());
        }
    }

    /// virtio 1.2 section 5.1.6.2: a checksum that the kernel left to us is completed.
    #[test]
    fn completed_checksums(parts in parts(0..2000)) {
        let mut packet = parts.build();
        let at = parts.ip_len() + if parts.protocol == TCP { 16 } else { 6 };
        packet[at..at + 2].fill(0);
        let partial = transport_sum(&packet, parts.ip_len(), parts.protocol);
        let payload = sum(&packet[parts.ip_len()..], 0);
        // The sum of the pseudo-header alone: what the whole has beyond the transport.
        let pseudo = (partial + 0xffff - payload) % 0xffff;
        packet[at..at + 2].copy_from_slice(&(pseudo as u16).to_be_bytes());
        let header = Header {
            flags: virtio::NEEDS_CSUM,
            csum_start: parts.ip_len() as u16,
            csum_offset: (at - parts.ip_len()) as u16,
            ..Header::default()
        };
        let inner = Inner::parse(&packet).expect("a packet");
        let plan = Plan::new(&header, &packet, &inner).expect("an honest header");
        let mut out = vec![0; plan.length(0)];
        plan.write(0, &mut out);
        prop_assert_eq!(out, parts.build());
    }

    /// Without offload a packet passes as it is, whatever its checksums are.
    #[test]
    fn plain_packets_pass_untouched(packet in packets_or_junk()) {
        let Ok(inner) = Inner::parse(&packet) else { return Ok(()) };
        let plan = Plan::new(&Header::default(), &packet, &inner).expect("nothing to do");
        let mut out = vec![0; plan.length(0)];
        plan.write(0, &mut out);
        prop_assert_eq!((plan.count(), &out[..]), (1, &packet[..inner.length]));
    }

    // --- coalescing ---

    /// What coalescing puts together, cutting takes apart again: the same packets in the same order come out.
    #[test]
    fn coalescing_loses_and_invents_nothing(stream in streams()) {
        let frames = coalesce(&stream);
        let mut out = Vec::new();
        for frame in &frames {
            prop_assert!(frame.len() <= virtio::HEADER_LEN + MAX_PACKET);
            cut(frame, &mut out);
        }
        let comparable = |packets: &[Vec<u8>]| packets.iter().map(|packet| without_identification(packet)).collect::<Vec<_>>();
        prop_assert_eq!(comparable(&out), comparable(&stream));
    }

    /// Junk is never merged: it is no segment, or it stands alone.
    #[test]
    fn junk_is_not_coalesced(stream in vec(packets_or_junk(), 1..20)) {
        let packets: Vec<Vec<u8>> = stream
            .into_iter()
            .filter_map(|mut octets| {
                let length = Inner::parse(&octets).ok()?.length;
                octets.truncate(length);
                Some(octets)
            })
            .collect();
        let mut out = Vec::new();
        for frame in coalesce(&packets) {
            cut(&frame, &mut out);
        }
        prop_assert_eq!(out.len(), packets.len());
    }
}

/// A super-packet of one flow is put together again as it was: one frame, not many.
#[test]
fn a_whole_flow_becomes_one_super_packet() {
    for is_v6 in [false, true] {
        let parts = Parts {
            is_v6,
            protocol: TCP,
            options: 3,
            flags: 0x18,
            identification: 65_530,
            sequence: u32::MAX - 5000,
            has_df: true,
            payload: (0..60_000u32).map(|number| number as u8).collect(),
        };
        let packet = parts.build();
        let mut frame = super_packet_header(&parts, 1348).encode().to_vec();
        frame.extend(&packet);
        let mut segments = Vec::new();
        cut(&frame, &mut segments);
        assert_eq!(segments.len(), 60_000usize.div_ceil(1348));

        let frames = coalesce(&segments);
        assert_eq!(frames.len(), 1);
        let (header, merged) = Header::decode(&frames[0]).expect("a frame");
        assert_eq!(usize::from(header.gso_size), 1348);
        assert_eq!(header.flags, virtio::NEEDS_CSUM);
        let payload = parts.headers_len();
        assert_eq!(merged[payload..], packet[payload..]);
    }
}

/// Segments of one TCP flow as a network may deliver them: in order, with gaps, doubled, changed.
fn streams() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let shape = (
        any::<bool>(),
        0usize..3,
        any::<u32>(),
        any::<bool>(),
        1usize..400,
    );
    let segment = (0u8..12, 0usize..400, any::<u8>(), any::<usize>());
    (shape, vec(segment, 1..40)).prop_map(|((is_v6, options, sequence, has_df, size), segments)| {
        let mut parts = Parts {
            is_v6,
            protocol: TCP,
            options,
            flags: 0x10,
            identification: 7,
            sequence,
            has_df,
            payload: vec![],
        };
        let mut packets = Vec::new();
        for (kind, short, octet, at) in segments {
            parts.payload = vec![octet; if kind == 0 { short } else { size }];
            parts.flags = match kind {
                1 => 0x18, // PSH
                2 => 0x11, // FIN
                3 => 0x50, // ECE
                4 => octet,
                _ => 0x10,
            };
            let mut packet = parts.build();
            match kind {
                5 => packet[if is_v6 { 7 } else { 8 }] = octet, // the hop limit
                6 => {
                    let at = at % packet.len();
                    packet[at] ^= octet | 1;
                }
                7 => parts.sequence = parts.sequence.wrapping_add(1), // a gap behind it
                _ => {}
            }
            if kind != 8 {
                // 8: the next one repeats it
                parts.sequence = parts.sequence.wrapping_add(parts.payload.len() as u32);
                parts.identification = parts.identification.wrapping_add(1);
            }
            if let Ok(inner) = Inner::parse(&packet) {
                packet.truncate(inner.length);
                packets.push(packet);
            }
        }
        packets
    })
}

/// The frames of a stream, as the plane makes them for one flow.
fn coalesce(packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut building = SuperPacket::new();
    let mut frames = Vec::new();
    let close = |building: &mut SuperPacket, frames: &mut Vec<Vec<u8>>| {
        frames.extend(building.close().map(<[u8]>::to_vec));
    };
    for packet in packets {
        let inner = Inner::parse(packet).expect("a packet");
        match Segment::verify(&inner, packet) {
            Some(segment) => {
                let fits = building.is_same_flow(&inner, packet) && building.append(&segment);
                if !fits {
                    close(&mut building, &mut frames);
                    building.begin(&segment);
                }
                if building.is_complete() {
                    close(&mut building, &mut frames);
                }
            }
            None => {
                close(&mut building, &mut frames);
                frames.push([&[0; virtio::HEADER_LEN], &packet[..]].concat());
            }
        }
    }
    close(&mut building, &mut frames);
    frames
}

/// The packets that a frame falls into.
fn cut(frame: &[u8], out: &mut Vec<Vec<u8>>) {
    let (header, packet) = Header::decode(frame).expect("a frame");
    let inner = Inner::parse(packet).expect("a packet");
    let plan = Plan::new(&header, packet, &inner).expect("a plan");
    for index in 0..plan.count() {
        let mut segment = vec![0; plan.length(index)];
        plan.write(index, &mut segment);
        out.push(segment);
    }
}

fn super_packet_header(parts: &Parts, size: u16) -> Header {
    let gso_type = match (parts.protocol, parts.is_v6) {
        (TCP, false) => virtio::GSO_TCPV4,
        (TCP, true) => virtio::GSO_TCPV6,
        _ => virtio::GSO_UDP_L4,
    };
    Header {
        flags: virtio::NEEDS_CSUM,
        gso_type,
        header_len: parts.headers_len() as u16,
        gso_size: size,
        csum_start: parts.ip_len() as u16,
        csum_offset: if parts.protocol == TCP { 16 } else { 6 },
    }
}

/// One of each construction.
fn suites() -> [KeyMaterial; 3] {
    let octets: Vec<u8> = (0..64).collect();
    [
        KeyMaterial::new(20, 128, &octets[..20], 0, &[]),
        KeyMaterial::new(28, 0, &octets[..36], 0, &[]),
        KeyMaterial::new(12, 256, &octets[..32], 12, &octets[..32]),
    ]
}

/// A fragment is cut by nobody, whatever the header asks for.
#[test]
fn fragments_are_not_segmented() {
    let parts = Parts {
        is_v6: false,
        protocol: TCP,
        options: 0,
        flags: 0x10,
        identification: 1,
        sequence: 1,
        has_df: false,
        payload: vec![0; 3000],
    };
    for word in [0x2000u16, 0x0001, 0x2001] {
        let mut packet = parts.build();
        packet[6..8].copy_from_slice(&word.to_be_bytes());
        let inner = Inner::parse(&packet).expect("a packet");
        assert_ne!(inner.fragment, Fragment::Whole);
        assert!(Plan::new(&super_packet_header(&parts, 1000), &packet, &inner).is_err());
    }
}
