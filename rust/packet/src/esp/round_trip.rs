//! What is sealed is opened, and nothing else, under every combination of algorithms.

use proptest::prelude::*;

use super::{OpenError, Opener, Sealer, Trailer};
use crate::sequence::Width;
use crate::suites;

const WIDTHS: [Width; 2] = [Width::Bits32, Width::Bits64];

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7) as u8).collect()
}

/// Seal a payload; the packet.
fn seal(sealer: &Sealer, payload: &[u8], sequence: u64) -> Vec<u8> {
    let mut slot = vec![0xee; sealer.sealed_len(payload.len())];
    let start = sealer.headroom();
    slot[start..start + payload.len()].copy_from_slice(payload);
    sealer
        .seal(&mut slot, payload.len(), 41, sequence)
        .expect("sealed");
    slot
}

/// Open a packet; payload and next header.
fn open(opener: &Opener, packet: &[u8], sequence: u64) -> Result<(Vec<u8>, u8), OpenError> {
    let mut packet = packet.to_vec();
    let plaintext = opener.decrypt(&mut packet, sequence)?;
    let plaintext = &packet[plaintext];
    let trailer = Trailer::decode(plaintext)?;
    Ok((
        plaintext[..trailer.payload_len].to_vec(),
        trailer.next_header,
    ))
}

/// Every suite with every short length, so that every padding occurs.
#[test]
fn every_suite_and_every_padding() {
    for keys in suites::esp() {
        for width in WIDTHS {
            let sealer = Sealer::new(0x1234_5678, &keys, width).expect("a suite");
            let opener = Opener::new(&keys, width).expect("a suite");
            let sequence = width.last() / 3;
            for length in 0..40 {
                let packet = seal(&sealer, &payload(length), sequence);
                let opened = open(&opener, &packet, sequence);
                assert_eq!(opened, Ok((payload(length), 41)), "{keys:?} {length}");
            }
        }
    }
}

/// RFC 4303 section 2.2.1: the upper half of the number is covered with ESN, and only with ESN.
#[test]
fn the_upper_half_is_covered_with_esn() {
    for keys in suites::esp() {
        for width in WIDTHS {
            let sealer = Sealer::new(700, &keys, width).expect("a suite");
            let opener = Opener::new(&keys, width).expect("a suite");
            let packet = seal(&sealer, &payload(64), 0x5_0000_0009);
            let expected = match width {
                Width::Bits32 => open(&opener, &packet, 9).map(|_| ()).and(Ok(())),
                Width::Bits64 => open(&opener, &packet, 9).map(|_| ()),
            };
            let is_implicit = (29..=31).contains(&keys.encryption);
            if width == Width::Bits64 || is_implicit {
                assert_eq!(expected, Err(OpenError::BadIcv), "{keys:?}");
            } else {
                assert_eq!(expected, Ok(()), "{keys:?}");
            }
            assert!(open(&opener, &packet, 0x5_0000_0009).is_ok(), "{keys:?}");
        }
    }
}

/// RFC 3602 section 3: the IVs of CBC do not count.
#[test]
fn ivs_of_cbc_are_unpredictable_and_those_of_counter_modes_count() {
    for keys in suites::esp() {
        let sealer = Sealer::new(700, &keys, Width::Bits32).expect("a suite");
        let other = Sealer::new(700, &keys, Width::Bits32).expect("a suite");
        let iv = 8..sealer.headroom();
        let iv_of = |sealer: &Sealer| seal(sealer, &payload(9), 6)[iv.clone()].to_vec();
        match keys.encryption {
            3 | 12 | 23 => assert_ne!(iv_of(&sealer), iv_of(&other), "{keys:?}"),
            11 | 29..=31 => assert!(iv.is_empty(), "{keys:?}"),
            _ => assert_eq!(iv_of(&sealer), [0, 0, 0, 0, 0, 0, 0, 6], "{keys:?}"),
        }
    }
}

/// RFC 4303 section 2.7: payloads are padded up to a size, and longer ones left as they are.
#[test]
fn tfc_padding_hides_lengths() {
    for keys in suites::esp() {
        let sealer = Sealer::new(700, &keys, Width::Bits64).expect("a suite");
        let sealer = sealer.with_tfc(300);
        let opener = Opener::new(&keys, Width::Bits64).expect("a suite");
        for length in [0, 20, 299, 300] {
            let packet = seal(&sealer, &payload(length), 8);
            assert_eq!(packet.len(), sealer.sealed_len(300));
            let (padded, next_header) = open(&opener, &packet, 8).expect("opened");
            assert_eq!((padded.len(), next_header), (300, 41));
            assert_eq!(padded[..length], payload(length));
            assert!(padded[length..].iter().all(|octet| *octet == 0));
        }
        let packet = seal(&sealer, &payload(301), 8);
        assert_eq!(open(&opener, &packet, 8), Ok((payload(301), 41)));
    }
}

/// RFC 4303 section 2.6: a dummy has next header 59.
#[test]
fn dummies_have_no_next_header() {
    for keys in suites::esp() {
        let sealer = Sealer::new(700, &keys, Width::Bits32).expect("a suite");
        let opener = Opener::new(&keys, Width::Bits32).expect("a suite");
        let mut slot = vec![0xee; sealer.sealed_len(77)];
        assert_eq!(sealer.seal_dummy(&mut slot, 77, 3), Ok(()));
        assert_eq!(open(&opener, &slot, 3), Ok((vec![0; 77], 59)));
        assert!(sealer.seal_dummy(&mut slot, 7700, 3).is_err());
    }
}

/// What fits a path: the longest payload, and not one octet more.
#[test]
fn the_longest_payload_fits() {
    for keys in suites::esp() {
        let sealer = Sealer::new(700, &keys, Width::Bits32).expect("a suite");
        for packet in 0..200 {
            match sealer.max_payload_len(packet) {
                Some(longest) => {
                    assert!(sealer.sealed_len(longest) <= packet, "{keys:?}");
                    assert!(sealer.sealed_len(longest + 1) > packet, "{keys:?}");
                }
                None => assert!(sealer.sealed_len(0) > packet, "{keys:?}"),
            }
        }
        let sealer = sealer.with_tfc(100);
        assert_eq!(sealer.max_payload_len(sealer.sealed_len(100) - 1), None);
        assert!(sealer.max_payload_len(sealer.sealed_len(100)) >= Some(100));
    }
}

#[test]
fn slots_of_the_wrong_length_are_refused() {
    for keys in suites::esp() {
        let sealer = Sealer::new(700, &keys, Width::Bits32).expect("a suite");
        for length in [0, 7, 8, 20, sealer.sealed_len(50) + 1] {
            assert!(
                sealer.seal(&mut vec![0; length], 50, 4, 1).is_err(),
                "{keys:?}"
            );
        }
    }
}

fn any_suite() -> impl Strategy<Value = crate::keys::KeyMaterial> {
    proptest::sample::select(suites::esp())
}

fn any_width() -> impl Strategy<Value = Width> {
    proptest::sample::select(&WIDTHS[..])
}

proptest! {
    #[test]
    fn round_trip(
        keys in any_suite(),
        width in any_width(),
        payload in proptest::collection::vec(any::<u8>(), 0..3000),
        sequence: u64,
    ) {
        let sequence = sequence & width.last();
        let sealer = Sealer::new(300, &keys, width).expect("a suite");
        let opener = Opener::new(&keys, width).expect("a suite");
        let packet = seal(&sealer, &payload, sequence);
        prop_assert_eq!(open(&opener, &packet, sequence), Ok((payload, 41)));
    }

    /// RFC 4303 section 3.4.4: every octet that is sent is covered.
    #[test]
    fn tampering_is_noticed(keys in any_suite(), width in any_width(), length in 0usize..80, at: proptest::sample::Index, flip in 1u8..) {
        let sealer = Sealer::new(300, &keys, width).expect("a suite");
        let opener = Opener::new(&keys, width).expect("a suite");
        let mut packet = seal(&sealer, &payload(length), 77);
        let at = at.index(packet.len());
        packet[at] ^= flip;
        // The sequence number of the packet is the caller's to read.
        let sequence = u64::from(super::Packet::new_unchecked(&packet[..]).sequence());
        prop_assert_eq!(open(&opener, &packet, sequence), Err(OpenError::BadIcv));
    }

    #[test]
    fn junk_never_panics(keys in any_suite(), width in any_width(), mut junk in proptest::collection::vec(any::<u8>(), 0..200), sequence: u64) {
        let opener = Opener::new(&keys, width).expect("a suite");
        prop_assert!(opener.decrypt(&mut junk, sequence).is_err());
    }
}
