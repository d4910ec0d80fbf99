//! Auditable events (RFC 4301 section 9, RFC 4303 section 4, RFC 4302 section 4).

use caponier_plane::{
    Action, Direction, Drop, Dropped, Event, InboundParameters, Inbox, OutboundParameters, Outbox,
    Plane, PolicyParameters, Protocol, Selector, Width,
};

use crate::packets;

const SPI: u32 = 0x1001;

/// A datagram as the left sends it.
fn sealed(number: u8) -> Vec<u8> {
    let (left, mut out) = (Plane::new(), Outbox::new());
    let handle = packets::install_outbound(&left, SPI);
    packets::protect_everything(&left, handle);
    for before in 0..=number {
        out.clear();
        left.seal(&packets::frame(before), &mut out);
    }
    out.octets(&out.trains()[0]).to_vec()
}

fn receive(plane: &Plane, mut packet: Vec<u8>) {
    let mut inbox = Inbox::new();
    plane.open(&mut packet, 9000, &packets::arrival(), &mut inbox);
}

/// What the right tells of a packet from the left.
fn from_left(reason: Drop, spi: u32, sequence: u32) -> Dropped {
    Dropped {
        reason,
        direction: Direction::In,
        number: u64::from(spi),
        protocol: Some(Protocol::Esp),
        source: Some(packets::LEFT.into()),
        destination: Some(packets::RIGHT.into()),
        sequence: Some(sequence),
        inner: None,
    }
}

/// RFC 4303 section 4: "The audit log entry [...] SHOULD include the SPI value, date/time received, Source Address,
/// Destination Address, the Sequence Number".
#[test]
fn each_kind_of_drop_is_told_once() {
    let plane = Plane::new();
    packets::install_inbound(&plane, SPI);
    let mut forged = sealed(1);
    *forged.last_mut().expect("an octet") ^= 1;
    for _ in 0..2 {
        for _ in 0..100 {
            receive(&plane, sealed(0));
            receive(&plane, forged.clone());
            receive(&plane, [&(SPI + 1).to_be_bytes(), &forged[4..]].concat());
            receive(&plane, vec![0xff]); // a keepalive is no fault
        }
        let told = [
            Event::Dropped(from_left(Drop::BadIcv, SPI, 2)),
            Event::Dropped(from_left(Drop::UnknownSpi, SPI + 1, 2)),
            Event::Dropped(from_left(Drop::Replayed, SPI, 1)),
        ];
        let mut found = plane.take_events();
        assert_eq!(found.len(), 3);
        found.retain(|event| !told.contains(event));
        assert_eq!(found, []);
        plane.audit_again();
    }
    assert_eq!(plane.drops(), [("unknown-spi", 200), ("keepalive", 200)]);
}

/// RFC 4301 section 5.2, step 4: "[...] source and destination of the packet".
#[test]
fn a_packet_that_should_not_come_out_is_told_with_its_addresses() {
    let plane = Plane::new();
    let elsewhere = Selector {
        first: [10, 9, 0, 0].into(),
        last: [10, 9, 0, 255].into(),
        ..packets::everything()[0]
    };
    let sa = InboundParameters {
        remote: vec![elsewhere],
        ..packets::inbound(SPI)
    };
    plane.install_inbound(sa).expect("an SA");
    receive(&plane, sealed(0));
    let told = Dropped {
        inner: Some(([10, 1, 0, 1].into(), [10, 2, 0, 1].into())),
        ..from_left(Drop::SelectorMismatch, SPI, 1)
    };
    assert_eq!(plane.take_events(), [Event::Dropped(told)]);
}

/// RFC 4301 section 5.1.1: "The reason SHOULD be recorded in the audit log."
#[test]
fn packets_that_may_not_leave_are_told() {
    let (plane, mut out) = (Plane::new(), Outbox::new());
    let outbound = |reason| Dropped {
        reason,
        direction: Direction::Out,
        number: 0,
        protocol: None,
        source: Some([10, 1, 0, 1].into()),
        destination: Some([10, 2, 0, 1].into()),
        sequence: None,
        inner: None,
    };
    plane.seal(&packets::frame(0), &mut out);
    plane.seal(&packets::frame(0), &mut out);
    let policy = PolicyParameters {
        policy: 1,
        interface: 0,
        order: 0,
        local: packets::everything(),
        remote: packets::everything(),
        action: Action::Discard,
    };
    plane.install_policy(policy).expect("a policy");
    plane.seal(&packets::frame(0), &mut out);
    let nothing = Dropped {
        source: None,
        destination: None,
        ..outbound(Drop::MalformedInner)
    };
    plane.seal(&[0; 30], &mut out);
    let told = [
        outbound(Drop::NoPolicy),
        outbound(Drop::DiscardPolicy),
        nothing,
    ];
    assert_eq!(plane.take_events(), told.map(Event::Dropped));
}

/// RFC 4303 section 3.3.3: the overflow of the sequence number is an auditable event. The SA of a packet is named.
#[test]
fn an_sa_that_drops_is_named_by_its_handle() {
    let (plane, mut out) = (Plane::new(), Outbox::new());
    let sa = OutboundParameters {
        width: Width::Bits32,
        lifetime: caponier_plane::Lifetime {
            hard_packets: 1,
            ..Default::default()
        },
        ..packets::outbound(SPI)
    };
    let handle = plane.install_outbound(sa).expect("an SA");
    packets::protect_everything(&plane, handle);
    plane.seal(&packets::frame(0), &mut out);
    assert_eq!(plane.take_events(), [Event::Expired { handle }]);
    plane.seal(&packets::frame(1), &mut out);
    let told = plane.take_events();
    let [Event::Dropped(dropped)] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!((dropped.number, dropped.reason), (handle, Drop::Expired));
    assert_eq!(
        (dropped.protocol, dropped.sequence),
        (Some(Protocol::Esp), Some(1))
    );
}
