//! BYPASS (RFC 4301 sections 4.4.1 and 5.1): what leaves is what would have left without IPsec.

use caponier_packet::inner::Inner;
use caponier_packet::segment::Plan;
use caponier_packet::virtio::{self, Header};
use caponier_plane::{Action, Form, Outbox, Plane, PolicyParameters, Selector};
use proptest::prelude::*;

use crate::packets;

/// Packets to 10.2.0.1 go by; the others are protected.
fn plane() -> Plane {
    let plane = Plane::new();
    let handle = packets::install_outbound(&plane, 0x1001);
    packets::protect_everything(&plane, handle);
    let policy = PolicyParameters {
        policy: 2,
        interface: 0,
        order: -1,
        local: packets::everything(),
        remote: vec![Selector {
            first: [10, 2, 0, 1].into(),
            last: [10, 2, 0, 1].into(),
            ..packets::everything()[0]
        }],
        action: Action::Bypass,
    };
    plane.install_policy(policy).expect("a policy");
    plane
}

fn super_packet(destination: u8, payload: usize, size: u16) -> Vec<u8> {
    let (source, destination) = ([10, 1, 0, 1].into(), [10, 2, 0, destination].into());
    let packet = packets::tcp(source, destination, (4000, 80), 77, 0x10, &vec![5; payload]);
    let header = Header {
        flags: virtio::NEEDS_CSUM,
        gso_type: virtio::GSO_TCPV4,
        gso_size: size,
        csum_start: 20,
        csum_offset: 16,
        header_len: 0,
    };
    [&header.encode()[..], &packet].concat()
}

/// The packets that a frame is cut into.
fn cut(frame: &[u8]) -> Vec<Vec<u8>> {
    let (header, packet) = Header::decode(frame).expect("a frame");
    let inner = Inner::parse(packet).expect("a packet");
    let plan = Plan::new(&header, packet, &inner).expect("a plan");
    let write = |index| {
        let mut packet = vec![0; plan.length(index)];
        plan.write(index, &mut packet);
        packet
    };
    (0..plan.count()).map(write).collect()
}

proptest! {
    #[test]
    fn packets_leave_as_they_are(reads in proptest::collection::vec((1u8..3, 1usize..9000, 100u16..1400), 1..12)) {
        let (plane, mut out) = (plane(), Outbox::new());
        let frames: Vec<_> = reads.iter().map(|(to, payload, size)| super_packet(*to, *payload, *size)).collect();
        plane.seal_each(frames.iter().map(Vec::as_slice), &mut out);
        let clear = frames.iter().zip(&reads).filter(|(_, (to, ..))| *to == 1);
        let expected: Vec<_> = clear.flat_map(|(frame, _)| cut(frame)).collect();
        let mut found = Vec::new();
        for train in out.trains().iter().filter(|train| train.form == Form::Whole) {
            let _turn = train.turn();
            prop_assert_eq!(train.tunnel.remote, std::net::IpAddr::from([10, 2, 0, 1]));
            found.extend(out.octets(train).chunks(train.segment).map(<[u8]>::to_vec));
        }
        prop_assert_eq!(plane.bypassed(), expected.len() as u64);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(plane.drops(), []);
    }
}

/// Packets of one size to one host leave together.
#[test]
fn they_make_trains() {
    let (plane, mut out) = (plane(), Outbox::new());
    for _ in 0..3 {
        plane.seal(&packets::frame(1), &mut out);
    }
    plane.seal(&super_packet(2, 10, 100), &mut out);
    let counts: Vec<_> = out.trains().iter().map(|train| train.count).collect();
    assert_eq!(counts, [3, 1]);
}

/// What the system refuses of them is counted too, though no SA is there to count it.
#[test]
fn what_does_not_fit_is_counted() {
    let (plane, mut out) = (plane(), Outbox::new());
    plane.seal(&packets::frame(1), &mut out);
    plane.count_oversize(out.trains()[0].handle, 1);
    assert_eq!(plane.drops(), [("too-big", 1)]);
    plane.count_oversize(1, 2);
    assert_eq!(
        plane.outbound_counters(1).expect("an SA").drops,
        [("too-big", 2)]
    );
}
