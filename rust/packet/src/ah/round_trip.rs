//! What is sealed is opened, whatever happens on the way to what may change, and nothing else.

use proptest::prelude::*;

use super::{Opener, OuterError, TransportSealer, TunnelSealer};
use crate::error::{OpenError, SealError};
use crate::keys::KeyMaterial;
use crate::sequence::Width;
use crate::suites;
use crate::transport::Unfit;
use crate::{ipv4, Malformed};

const WIDTHS: [Width; 2] = [Width::Bits32, Width::Bits64];

fn accept() -> Result<(), OpenError> {
    Ok(())
}

pub(crate) fn v4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut packet = vec![
        0x40 | (header_len / 4) as u8,
        0xb8,
        0,
        0,
        0,
        7,
        0x40,
        0,
        63,
        protocol,
        0,
        0,
    ];
    packet.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(options);
    packet.extend(payload);
    let length = packet.len() as u16;
    let mut ip = ipv4::Packet::new_unchecked(&mut packet[..]);
    ip.set_total_len(length);
    ip.fill_checksum();
    packet
}

pub(crate) fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x6b, 0x81, 2, 3, 0, 0, next_header, 63];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend([0x21; 16]);
    packet.extend([0x22; 16]);
    packet.extend(payload);
    packet
}

fn seal_transport(keys: &KeyMaterial, width: Width, packet: &[u8], sequence: u64) -> Vec<u8> {
    let sealer = TransportSealer::new(700, keys, width).expect("a key");
    let place = sealer.place(packet).expect("a place");
    let mut slot = vec![0xee; sealer.sealed_len(&place, packet.len())];
    slot[sealer.headroom(&place)..].copy_from_slice(packet);
    sealer
        .seal(&mut slot, &place, packet.len(), sequence)
        .expect("sealed");
    slot
}

fn open_transport(
    keys: &KeyMaterial,
    width: Width,
    packet: &[u8],
    sequence: u64,
) -> Result<Vec<u8>, OpenError> {
    let opener = Opener::new(keys, width).expect("a key");
    let mut packet = packet.to_vec();
    let opened = opener.open_transport(&mut packet, sequence, accept)?;
    Ok(packet[opened.range].to_vec())
}

/// Every algorithm, both widths, both versions.
#[test]
fn every_algorithm() {
    for keys in suites::ah() {
        for width in WIDTHS {
            let sequence = width.last() / 5;
            for packet in [v4(17, &[], &[7; 30]), v6(17, &[7; 30])] {
                let sealed = seal_transport(&keys, width, &packet, sequence);
                let alignment = if packet[0] >> 4 == 6 { 8 } else { 4 };
                assert_eq!((sealed.len() - packet.len()) % alignment, 0, "{keys:?}");
                let opened = open_transport(&keys, width, &sealed, sequence);
                assert_eq!(opened, Ok(packet), "{keys:?}");
            }
        }
    }
}

/// RFC 4302 section 3.3.3.2.2: the upper half of the number is covered with ESN.
#[test]
fn the_upper_half_is_covered_with_esn() {
    for keys in suites::ah() {
        for (width, expected) in [(Width::Bits32, true), (Width::Bits64, false)] {
            let packet = v4(17, &[], &[7; 30]);
            let sealed = seal_transport(&keys, width, &packet, 0x3_0000_0009);
            // AES-GMAC takes the number as its IV too, which is sent.
            let opened = open_transport(&keys, width, &sealed, 9).is_ok();
            assert_eq!(opened, expected, "{keys:?}");
        }
    }
}

/// RFC 4302 section 3.3.3.1: what routers change on the way is not covered; DSCP, ECN, flags, TTL and the checksum.
#[test]
fn routers_may_do_their_work() {
    for keys in suites::ah() {
        let mut sealed = seal_transport(
            &keys,
            Width::Bits32,
            &v4(17, &[7, 7, 4, 0, 0, 0, 0, 0], &[7; 30]),
            9,
        );
        sealed[1] = 0x2e;
        sealed[6] = 0;
        sealed[8] -= 5;
        sealed[22..28].copy_from_slice(&[8, 10, 0, 0, 1, 0]);
        ipv4::Packet::new_unchecked(&mut sealed[..]).fill_checksum();
        assert!(
            open_transport(&keys, Width::Bits32, &sealed, 9).is_ok(),
            "{keys:?}"
        );
        let mut sealed = seal_transport(&keys, Width::Bits32, &v6(17, &[7; 30]), 9);
        sealed[..4].copy_from_slice(&[0x60, 0x70, 9, 9]);
        sealed[7] -= 5;
        assert!(
            open_transport(&keys, Width::Bits32, &sealed, 9).is_ok(),
            "{keys:?}"
        );
    }
}

/// RFC 4302 section 3.4.1: fragments are refused; section 3.3.4: on the way out too.
#[test]
fn fragments_are_refused() {
    let keys = KeyMaterial::for_ah(12, &[1; 32]);
    let mut sealed = seal_transport(&keys, Width::Bits32, &v4(17, &[], &[7; 30]), 9);
    for word in [0x2000, 0x0001] {
        ipv4::Packet::new_unchecked(&mut sealed[..]).set_fragment_word(word);
        let opened = open_transport(&keys, Width::Bits32, &sealed, 9);
        assert_eq!(opened, Err(OpenError::Fragment));
    }
    let sealer = TransportSealer::new(700, &keys, Width::Bits32).expect("a key");
    for offset in [1, 8] {
        let fragment = v6(44, &[17, 0, 0, offset, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(sealer.place(&fragment), Err(SealError::Fragment));
    }
}

/// RFC 4302 appendix A2: a Fragment header of a whole packet is taken out, on both sides.
#[test]
fn atomic_fragment_headers_are_taken_out() {
    let keys = KeyMaterial::for_ah(14, &[1; 64]);
    let hop_by_hop = |next| [next, 0, 5, 2, 0, 0, 1, 0];
    let fragment = |next| [next, 0, 0, 0, 0, 0, 0, 9];
    let udp = [0, 53, 0, 54, 0, 8, 0, 0];
    let with = v6(0, &[hop_by_hop(44), fragment(17), udp].concat());
    let without = v6(0, &[hop_by_hop(17), udp].concat());
    let sealed = seal_transport(&keys, Width::Bits64, &with, 9);
    assert_eq!(sealed, seal_transport(&keys, Width::Bits64, &without, 9));
    // A receiver's system may have left one, in front of AH or of another header.
    let mut left = [&sealed[..48], &fragment(51), &sealed[48..]].concat();
    left[40] = 44;
    left[5] += 8;
    assert_eq!(
        open_transport(&keys, Width::Bits64, &left, 9),
        Ok(without.clone())
    );
    let mut left = [&sealed[..40], &fragment(0), &sealed[40..]].concat();
    left[6] = 44;
    left[5] += 8;
    assert_eq!(open_transport(&keys, Width::Bits64, &left, 9), Ok(without));
}

/// RFC 4302 section 3.3.3.2.1: Linux pads to 64 bits in IPv4 too, unless told otherwise; more is refused.
#[test]
fn padding_of_ipv6_is_taken_in_ipv4() {
    let keys = KeyMaterial::for_ah(12, &[1; 32]);
    let sealed = seal_transport(&keys, Width::Bits32, &v4(17, &[], &[7; 30]), 9);
    let padded = |words: usize| {
        let mut padded = [&sealed[..48], &vec![0; words * 4], &sealed[48..]].concat();
        padded[21] += words as u8;
        let length = padded.len() as u16;
        ipv4::Packet::new_unchecked(&mut padded[..]).set_total_len(length);
        let opened = open_transport(&keys, Width::Bits32, &padded, 9);
        opened.map(|_| ())
    };
    // The ICV covers the padding, so that of a packet without any is wrong, but the length is not.
    assert_eq!(padded(0), Ok(()));
    assert_eq!(padded(1), Err(OpenError::BadIcv));
    let field = |result: Result<(), OpenError>| match result {
        Err(OpenError::Malformed(Malformed { field, .. })) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(padded(2)), "ah.payload_len");
    assert_eq!(field(padded(3)), "ah.payload_len");
}

fn tunnel(keys: &KeyMaterial, outer: &[u8]) -> Result<TunnelSealer, OuterError> {
    TunnelSealer::new(700, keys, Width::Bits64, outer)
}

/// RFC 4301 section 5.1.2: the outer header is the user's, but for lengths, protocol, checksum and what differs per
/// packet.
#[test]
fn the_outer_header_is_built() {
    for keys in suites::ah() {
        let inner = v6(17, &[7; 30]);
        let outer = v4(0, &[148, 4, 0, 0], &[]);
        let sealer = tunnel(&keys, &outer).expect("a tunnel");
        let mut identifications = Vec::new();
        for sequence in [1, 0xffff, 0x1_0000, 0x7_0000_0001] {
            let mut slot = vec![0xee; sealer.sealed_len(inner.len())];
            slot[sealer.headroom()..].copy_from_slice(&inner);
            assert_eq!(sealer.seal(&mut slot, 41, 0x2e, true, sequence), Ok(()));
            let ip = ipv4::Packet::new_checked(&slot[..]).expect("a header");
            assert_eq!((ip.total_len(), ip.protocol()), (slot.len(), 51));
            assert_eq!((ip.type_of_service(), ip.fragment_word()), (0x2e, 0x4000));
            assert_eq!((ip.time_to_live(), ip.is_header_intact()), (63, true));
            assert_eq!(ip.addresses(), &outer[12..20]);
            assert_ne!(ip.identification(), 0);
            identifications.push(ip.identification());
            let opener = Opener::new(&keys, Width::Bits64).expect("a key");
            let opened = opener
                .open_tunnel(&mut slot, sequence, accept)
                .expect("opened");
            assert_eq!((&slot[opened.range], opened.next_header), (&inner[..], 41));
        }
        assert_ne!(identifications[1], identifications[2]);
    }
}

/// RFC 4302 section 3.3.3.1.1: the identification is covered, and raw(7) has the system replace one of 0.
#[test]
fn no_identification_of_zero_is_sealed() {
    let keys = KeyMaterial::for_ah(12, &[1; 32]);
    for (identification, sequence) in [(0, 1), (0, 0xffff), (0, 0xfffe), (0, 0), (7, 9)] {
        let mut packet = v4(17, &[], &[7; 30]);
        packet[4..6].copy_from_slice(&[0, identification]);
        ipv4::Packet::new_unchecked(&mut packet[..]).fill_checksum();
        let sealed = seal_transport(&keys, Width::Bits64, &packet, sequence);
        let ip = ipv4::Packet::new_checked(&sealed[..]).expect("a packet");
        assert!(ip.is_header_intact());
        assert_ne!(ip.identification(), 0);
        let found = ip.identification();
        assert!(identification == 0 || found == u16::from(identification));
        let opened = open_transport(&keys, Width::Bits64, &sealed, sequence).expect("opened");
        assert_eq!(opened[20..], packet[20..]);
    }
}

/// RFC 4555 section 3: an end of the tunnel may move.
#[test]
fn the_outer_header_may_change() {
    let keys = KeyMaterial::for_ah(12, &[1; 32]);
    let mut sealer = tunnel(&keys, &v4(0, &[], &[])).expect("a tunnel");
    assert!(sealer.set_outer(&[0x45; 19]).is_err());
    assert_eq!(sealer.set_outer(&v6(51, &[])), Ok(()));
    let mut slot = vec![7; sealer.sealed_len(30)];
    assert_eq!(sealer.seal(&mut slot, 41, 0, true, 1), Ok(()));
    assert_eq!((slot[0] >> 4, slot[6]), (6, 51));
    let opener = Opener::new(&keys, Width::Bits64).expect("a key");
    assert!(opener.open_tunnel(&mut slot, 1, accept).is_ok());
}

/// The outer header must be one, and AH must know how it arrives.
#[test]
fn bad_outer_headers_are_named() {
    let keys = KeyMaterial::for_ah(12, &[1; 32]);
    let error = |outer: &[u8]| match tunnel(&keys, outer).err() {
        Some(OuterError::Header(Unfit::Malformed(malformed))) => malformed.field,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(&[]), "ip.header");
    assert_eq!(error(&[0x45; 19]), "ip.header");
    assert_eq!(error(&v4(0, &[], &[1, 2, 3, 4])), "ip.header");
    assert_eq!(error(&v4(0, &[7, 9, 0, 0], &[])), "ipv4.options");
    assert_eq!(
        error(&v6(43, &[59, 0, 4, 1, 0, 0, 0, 0])),
        "ipv6.routing_type"
    );
    assert_eq!(error(&[0x60; 600]), "ip.headers");
    let empty = KeyMaterial::for_ah(12, &[]);
    assert!(matches!(
        tunnel(&empty, &v6(51, &[])),
        Err(OuterError::Keys(_))
    ));
    assert!(tunnel(&keys, &v6(60, &[51, 0, 1, 4, 0, 0, 0, 0])).is_ok());
}

/// Headers longer than the limit are refused, in both directions, and never written beyond.
#[test]
fn long_headers_are_refused() {
    let keys = KeyMaterial::for_ah(12, &[1; 32]);
    let mut extension = vec![17, 64, 1, 255];
    extension.resize(520, 0);
    let packet = v6(0, &[&extension[..], &[0, 53, 0, 54, 0, 8, 0, 0]].concat());
    let sealer = TransportSealer::new(700, &keys, Width::Bits32).expect("a key");
    let place = sealer.place(&packet).expect("a place");
    let mut slot = vec![0; sealer.sealed_len(&place, packet.len())];
    slot[sealer.headroom(&place)..].copy_from_slice(&packet);
    let sealed = sealer.seal(&mut slot, &place, packet.len(), 1);
    assert!(matches!(sealed, Err(SealError::Malformed(_))));
    let opened = open_transport(&keys, Width::Bits32, &slot, 1);
    assert!(matches!(opened, Err(OpenError::Malformed(_))));
}

fn any_keys() -> impl Strategy<Value = KeyMaterial> {
    proptest::sample::select(suites::ah())
}

proptest! {
    #[test]
    fn round_trip(
        keys in any_keys(),
        wide: bool,
        six: bool,
        options in 0usize..=10,
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        sequence: u64,
    ) {
        let width = if wide { Width::Bits64 } else { Width::Bits32 };
        let sequence = sequence & width.last();
        let packet = if six {
            v6(17, &payload)
        } else {
            v4(17, &[1; 40][..options * 4], &payload)
        };
        let sealed = seal_transport(&keys, width, &packet, sequence);
        prop_assert_eq!(open_transport(&keys, width, &sealed, sequence), Ok(packet));
    }

    /// RFC 4302 section 3.3.3: every octet is covered but those that may change.
    #[test]
    fn tampering_is_noticed(keys in any_keys(), six: bool, at: proptest::sample::Index, flip in 1u8..) {
        let packet = if six { v6(17, &[7; 30]) } else { v4(17, &[], &[7; 30]) };
        let mut sealed = seal_transport(&keys, Width::Bits32, &packet, 9);
        let at = at.index(sealed.len());
        sealed[at] ^= flip;
        let mutable = if six { &[0, 1, 2, 3, 7][..] } else { &[1, 6, 7, 8, 10, 11] };
        let sequence = if six { 48..52 } else { 28..32 }; // the caller's to read
        let opened = open_transport(&keys, Width::Bits32, &sealed, 9);
        if !mutable.contains(&at) && !sequence.contains(&at) {
            prop_assert!(opened.is_err(), "{at}");
        }
    }

    #[test]
    fn junk_never_panics(keys in any_keys(), wide: bool, mut junk in proptest::collection::vec(any::<u8>(), 0..200), next in 0u8..61, sequence: u64) {
        let width = if wide { Width::Bits64 } else { Width::Bits32 };
        let opener = Opener::new(&keys, width).expect("a key");
        if junk.len() > 60 {
            junk[0] = if wide { 0x60 } else { 0x45 };
            (junk[4], junk[6]) = (0, next);
            (junk[2], junk[9]) = (0, 51);
        }
        prop_assert!(opener.open_transport(&mut junk.clone(), sequence, accept).is_err());
        prop_assert!(opener.open_tunnel(&mut junk, sequence, accept).is_err());
    }
}
