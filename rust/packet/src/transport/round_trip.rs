//! Where ESP goes, and that the packet comes back as it was.

use proptest::prelude::*;

use super::{Form, Opener, Place, PlainHeader, Sealer, Unfit};
use crate::ah::round_trip::{v4, v6};
use crate::error::{OpenError, SealError};
use crate::inner::Inner;
use crate::keys::KeyMaterial;
use crate::sequence::Width;
use crate::{esp, ipv4, suites, unhex};

const HOP_BY_HOP: u8 = 0;
const ROUTE: u8 = 43;
const FRAGMENT: u8 = 44;
const OPTIONS: u8 = 60;

/// Extension headers of 8 octets each, then UDP.
fn chain(kinds: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for next in kinds.iter().skip(1).chain(&[17]) {
        payload.extend([*next, 0, 0, 0, 0, 0, 0, 0]);
    }
    if kinds.is_empty() {
        payload.clear();
    }
    payload.extend([0, 53, 0, 54, 0, 12, 0, 0, 1, 2, 3, 4]);
    v6(*kinds.first().unwrap_or(&17), &payload)
}

/// RFC 4303 section 3.1.1, RFC 4302 section 3.1.1: in front are hop-by-hop, routing and fragment, and the destination
/// options before them; the destination options behind them are protected.
#[test]
fn the_place_in_ipv6() {
    let rows: [(&[u8], usize, u8); 9] = [
        (&[], 0, 17),
        (&[HOP_BY_HOP], 1, 17),
        (&[OPTIONS], 0, OPTIONS),
        (&[HOP_BY_HOP, OPTIONS], 1, OPTIONS),
        (&[ROUTE], 1, 17),
        (&[OPTIONS, ROUTE], 2, 17),
        (&[HOP_BY_HOP, OPTIONS, ROUTE, OPTIONS], 3, OPTIONS),
        (&[HOP_BY_HOP, OPTIONS, ROUTE, FRAGMENT, OPTIONS], 4, OPTIONS),
        (&[OPTIONS, OPTIONS], 0, OPTIONS),
    ];
    for (kinds, in_front, next_header) in rows {
        let place = Place::for_esp(&chain(kinds)).expect("a place");
        let found = (place.at(), place.next_header);
        assert_eq!(found, (40 + 8 * in_front, next_header), "{kinds:?}");
        assert_eq!(place.is_plain(), in_front == 0, "{kinds:?}");
    }
}

/// RFC 4303 section 3.1.1: behind the IPv4 header "and any options that it contains".
#[test]
fn the_place_in_ipv4() {
    let plain = Place::for_esp(&v4(6, &[], &[1; 20])).expect("a place");
    assert_eq!(
        (plain.at(), plain.next_header, plain.is_plain()),
        (20, 6, true)
    );
    let place = Place::for_esp(&v4(6, &[1; 8], &[1; 20])).expect("a place");
    assert_eq!(
        (place.at(), place.next_header, place.is_plain()),
        (28, 6, false)
    );
}

/// RFC 4303 section 3.3.4: "transport mode ESP is applied only to whole IP datagrams".
#[test]
fn fragments_have_no_place() {
    for word in [0x2000, 0x2001, 0x0001] {
        let mut packet = v4(17, &[], &[1; 20]);
        ipv4::Packet::new_unchecked(&mut packet[..]).set_fragment_word(word);
        assert_eq!(Place::for_esp(&packet), Err(Unfit::Fragment));
    }
    for offset in [1, 8, 9] {
        let packet = v6(
            FRAGMENT,
            &[17, 0, 0, offset, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8],
        );
        assert_eq!(Place::for_esp(&packet), Err(Unfit::Fragment));
    }
}

fn sealer(keys: &KeyMaterial, form: Form) -> Sealer {
    let esp = esp::Sealer::new(700, keys, Width::Bits64).expect("a suite");
    Sealer::new(esp, form)
}

fn opener(keys: &KeyMaterial) -> Opener {
    let esp = esp::Opener::new(keys, Width::Bits64).expect("a suite");
    Opener::new(esp)
}

fn seal(sealer: &Sealer, packet: &[u8], sequence: u64) -> Result<Vec<u8>, SealError> {
    let place = sealer.place(packet)?;
    let mut slot = vec![0xee; sealer.sealed_len(&place, packet.len())];
    let (start, skip) = (sealer.headroom(), sealer.skip(&place));
    slot[start..start + packet.len() - skip].copy_from_slice(&packet[skip..]);
    sealer.seal(&mut slot, &place, packet.len(), sequence)?;
    Ok(slot)
}

fn accept() -> Result<(), OpenError> {
    Ok(())
}

/// RFC 3602 section 4, case 5: the packet before and after, but for the ICV, which the case has not.
#[test]
fn the_ping_of_rfc3602() {
    let key = unhex("90d382b410eeba7ad938c46cec1a82bf");
    let keys = KeyMaterial::new(12, 128, &key, 12, &[7; 32]);
    let before = unhex(
        "4500005408f200004001f9fec0a87b03c0a87b6408000ebda70a00008e9c083db95b0700
         08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
         202122232425262728292a2b2c2d2e2f3031323334353637",
    );
    let mut after = seal(&sealer(&keys, Form::Whole), &before, 1).expect("sealed");
    let ip = ipv4::Packet::new_checked(&after[..]).expect("a packet");
    assert_eq!((ip.total_len(), ip.protocol()), (0x7c + 16, 50));
    assert_eq!((ip.identification(), ip.is_header_intact()), (0x08f2, true));
    let opened = opener(&keys).open(&mut after, Form::Whole, 1, accept);
    let opened = opened.expect("opened");
    assert_eq!((&after[opened.range], opened.next_header), (&before[..], 1));
}

/// Options and extension headers come back, and the headers announce ESP in between.
#[test]
fn headers_come_back() {
    for keys in suites::esp() {
        let packets = [
            v4(6, &[], &[1; 20]),
            v4(17, &[148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0], &[2; 33]),
            v4(17, &[], &[]),
            chain(&[]),
            chain(&[HOP_BY_HOP, OPTIONS, ROUTE, FRAGMENT, OPTIONS]),
            chain(&[OPTIONS]),
        ];
        for packet in packets {
            let mut sealed = seal(&sealer(&keys, Form::Whole), &packet, 5).expect("sealed");
            let inner = Inner::parse(&sealed).expect("a packet");
            assert_eq!((inner.protocol, inner.length), (50, sealed.len()));
            let place = Place::of(&sealed, 50).expect("a place");
            assert_eq!(Place::for_esp(&packet).map(|it| it.at()), Ok(place.at()));
            let opened = opener(&keys).open(&mut sealed, Form::Whole, 5, accept);
            assert_eq!(sealed[opened.expect("opened").range], packet, "{keys:?}");
        }
    }
}

/// What a socket gives may be longer than the packet.
#[test]
fn octets_behind_the_packet_do_not_count() {
    let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
    let packet = v4(17, &[], &[1; 20]);
    let mut sealed = seal(&sealer(&keys, Form::Whole), &packet, 5).expect("sealed");
    sealed.extend([9; 7]);
    let opened = opener(&keys).open(&mut sealed, Form::Whole, 5, accept);
    assert_eq!(sealed[opened.expect("opened").range], packet);
}

/// RFC 3948 section 3.2: behind a header of the socket's making, UDP perhaps in between, only plain ones can be
/// carried.
#[test]
fn bare_packets() {
    for keys in suites::esp() {
        for packet in [v4(6, &[], &[1; 20]), chain(&[]), chain(&[OPTIONS])] {
            let mut sealed = seal(&sealer(&keys, Form::Bare), &packet, 5).expect("sealed");
            let opened = opener(&keys).open(&mut sealed, Form::Bare, 5, accept);
            let opened = opened.expect("opened");
            let at = if packet[0] >> 4 == 6 { 40 } else { 20 };
            assert_eq!(sealed[opened.range], packet[at..], "{keys:?}");
            let field = if at == 40 { packet[6] } else { packet[9] };
            assert_eq!(opened.next_header, field);
        }
        for packet in [v4(6, &[1; 4], &[1; 20]), chain(&[HOP_BY_HOP])] {
            let sealed = seal(&sealer(&keys, Form::Bare), &packet, 5);
            assert_eq!(sealed, Err(SealError::NotPlain));
        }
    }
}

/// A dummy (RFC 4303 section 2.6) is found in transport mode too.
#[test]
fn dummies_are_told() {
    let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
    let esp = esp::Sealer::new(700, &keys, Width::Bits64).expect("a suite");
    let mut dummy = vec![0; esp.sealed_len(9)];
    assert_eq!(esp.seal_dummy(&mut dummy, 9, 5), Ok(()));
    let mut whole = v4(50, &[], &dummy);
    let opened = opener(&keys).open(&mut dummy, Form::Bare, 5, accept);
    assert_eq!(opened.map(|it| it.next_header), Ok(59));
    let opened = opener(&keys).open(&mut whole, Form::Whole, 5, accept);
    assert_eq!(opened.map(|it| it.next_header), Ok(59));
}

/// RFC 791 section 3.1: a total length has 16 bits.
#[test]
fn packets_that_grow_too_long_are_refused() {
    let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
    let whole = sealer(&keys, Form::Whole);
    let esp = esp::Sealer::new(700, &keys, Width::Bits64).expect("a suite");
    let longest = esp.max_payload_len(65535 - 20).expect("a payload");
    let sealed = seal(&whole, &v4(17, &[], &vec![1; longest]), 5);
    assert!(sealed.expect("sealed").len() <= 65535);
    let sealed = seal(&whole, &v4(17, &[], &vec![1; longest + 1]), 5);
    assert_eq!(sealed, Err(SealError::TooLong));
    let sealed = seal(&whole, &v4(17, &[], &vec![1; 65535 - 20]), 5);
    assert_eq!(sealed, Err(SealError::TooLong));
}

/// RFC 4303 section 3.4.2: a packet of another protocol has no SA here.
#[test]
fn other_protocols_are_refused() {
    let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
    for packet in [v4(51, &[], &[1; 60]), v6(17, &[1; 60])] {
        let opened = opener(&keys).open(&mut packet.clone(), Form::Whole, 5, accept);
        assert!(matches!(opened, Err(OpenError::Malformed(_))));
    }
}

/// A header for what came in bare, in the room in front of it.
#[test]
fn a_plain_header_is_written() {
    let rows = [
        ("192.0.2.1", "192.0.2.2", 20),
        ("2001:db8::1", "2001:db8::2", 40),
    ];
    for (source, destination, length) in rows {
        let header = PlainHeader {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
            traffic_class: 0xb9,
            hop_limit: 61,
        };
        assert_eq!(header.length(), length);
        let mut buffer = vec![7; 80];
        let range = header.prepend(&mut buffer, 45..70, 17).expect("room");
        assert_eq!(range, 45 - length..70);
        let packet = &buffer[range];
        let inner = Inner::parse(packet).expect("a packet");
        assert_eq!(
            (inner.source, inner.destination),
            (header.source, header.destination)
        );
        assert_eq!((inner.protocol, inner.length), (17, packet.len()));
        assert_eq!(crate::ecn::traffic_class(packet), 0xb9);
        let ip = ipv4::Packet::new_unchecked(packet);
        assert!(inner.is_v6() || ip.is_header_intact());
        assert!(inner.is_v6() || ip.fragment_word() == ipv4::DONT_FRAGMENT);
        assert_eq!(packet[length..], [7; 25]);
        assert_eq!(header.prepend(&mut buffer, length - 1..70, 17), None);
        assert_eq!(header.prepend(&mut buffer, 45..81, 17), None);
    }
    let mixed = PlainHeader {
        source: "192.0.2.1".parse().expect("an address"),
        destination: "2001:db8::2".parse().expect("an address"),
        traffic_class: 0,
        hop_limit: 1,
    };
    assert_eq!(mixed.prepend(&mut [0; 80], 45..70, 17), None);
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let payload = || proptest::collection::vec(any::<u8>(), 0..200);
    let v4 = (0usize..=10, payload())
        .prop_map(|(options, payload)| v4(17, &[1; 40][..options * 4], &payload));
    let kinds = proptest::collection::vec(
        proptest::sample::select(&[HOP_BY_HOP, ROUTE, FRAGMENT, OPTIONS][..]),
        0..6,
    );
    prop_oneof![v4, kinds.prop_map(|kinds| chain(&kinds))]
}

proptest! {
    #[test]
    fn round_trip(keys in proptest::sample::select(suites::esp()), packet in any_packet(), sequence: u64) {
        let mut sealed = seal(&sealer(&keys, Form::Whole), &packet, sequence).expect("sealed");
        let opened = opener(&keys).open(&mut sealed, Form::Whole, sequence, accept);
        let opened = opened.expect("opened");
        prop_assert_eq!(&sealed[opened.range], &packet[..]);
    }

    #[test]
    fn junk_never_panics(mut junk in proptest::collection::vec(any::<u8>(), 0..200), six: bool, next in 0u8..61, sequence: u64) {
        if junk.len() > 60 {
            junk[0] = if six { 0x60 } else { 0x45 };
            (junk[4], junk[6]) = (0, next);
            (junk[2], junk[9]) = (0, 50);
        }
        let keys = KeyMaterial::new(11, 0, &[], 2, &[1; 20]);
        let _ = Place::for_esp(&junk);
        let _ = Place::for_ah(&junk);
        prop_assert!(opener(&keys).open(&mut junk, Form::Whole, sequence, accept).is_err());
    }
}
