//! Whatever is read from the interface or from a socket: nothing panics, and each packet is carried or counted.

use caponier_plane::{Inbox, Outbox, Plane, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::packets;

const SPI: u32 = 0x1001;

/// A plane whose outbound SA leads to its own inbound SA.
fn plane() -> (Plane, u64) {
    let plane = Plane::new();
    packets::install_inbound(&plane, SPI);
    let handle = packets::install_outbound(&plane, SPI);
    packets::protect_everything(&plane, handle);
    (plane, handle)
}

/// Sealed packets of one size, one behind the other.
fn sealed(plane: &Plane, count: usize, payload: usize) -> (Vec<u8>, usize) {
    let mut out = Outbox::new();
    for _ in 0..count {
        let inner = packets::ip(
            [10, 1, 0, 2].into(),
            [10, 2, 0, 2].into(),
            17,
            &vec![0; payload],
        );
        plane.seal(&[&[0u8; 10], &inner[..]].concat(), &mut out);
    }
    let octets: Vec<u8> = out
        .trains()
        .iter()
        .flat_map(|train| out.octets(train).to_vec())
        .collect();
    let size = octets.len() / count;
    (octets, size)
}

proptest! {
    /// A frame of junk is dropped and counted, or sealed.
    #[test]
    fn frames_of_junk(frames in vec(vec(any::<u8>(), 0..120), 1..20), honest in any::<bool>()) {
        let (plane, handle) = plane();
        let mut out = Outbox::new();
        let count = frames.len() as u64;
        for mut frame in frames {
            if honest && frame.len() > 60 {
                frame[..10].fill(0);
                frame[10] = 0x45;
                frame[12] = 0;
            }
            plane.seal(&frame, &mut out);
        }
        let sealed: usize = out.trains().iter().map(|train| train.count).sum();
        let drops: u64 = plane.drops().iter().map(|(_, count)| count).sum();
        prop_assert_eq!(plane.outbound_counters(handle).map(|counters| counters.packets), Ok(sealed as u64));
        prop_assert!(sealed as u64 + drops >= count); // a junk super-packet may fall into several
    }

    /// RFC 4303 section 3.4: each packet of a train is carried, or counted under one reason.
    #[test]
    fn trains_of_junk(
        count in 1usize..20,
        payload in 0usize..100,
        changes in vec((any::<usize>(), any::<u8>()), 0..10),
        cut in any::<usize>(),
        segment in prop_oneof![3 => Just(None), 1 => (0usize..200).prop_map(Some)],
    ) {
        let (plane, _) = plane();
        let (mut train, size) = sealed(&plane, count, payload);
        for (at, octet) in changes {
            let at = at % train.len();
            train[at] = octet;
        }
        train.truncate(cut % train.len() + 1);
        let segment = segment.unwrap_or(size);
        let expected = train.len().div_ceil(segment.max(1)) as u64;
        let mut inbox = Inbox::default();
        plane.open(&mut train, segment, &packets::arrival(), &mut inbox);
        inbox.finish();
        let carried = plane.inbound_counters(Protocol::Esp, SPI).expect("an SA").packets;
        prop_assert_eq!(carried + packets::dropped(&plane, SPI), expected);
        prop_assert!(inbox.frames().count() as u64 <= carried);
    }

    /// Junk alone is carried by nobody.
    #[test]
    fn nothing_but_junk(mut train in vec(any::<u8>(), 0..400), segment in 0usize..100, with_spi in any::<bool>()) {
        let (plane, _) = plane();
        if with_spi {
            for packet in train.chunks_mut(segment.max(1)).filter(|packet| packet.len() >= 4) {
                packet[..4].copy_from_slice(&SPI.to_be_bytes());
            }
        }
        let expected = train.len().div_ceil(segment.max(1)) as u64;
        let mut inbox = Inbox::default();
        plane.open(&mut train, segment, &packets::arrival(), &mut inbox);
        inbox.finish();
        prop_assert_eq!(packets::dropped(&plane, SPI), expected);
        prop_assert_eq!(inbox.frames().count(), 0);
    }
}
