//! Soft and hard lifetimes (RFC 4301 section 4.4.2.1).

use caponier_plane::{
    Event, InboundParameters, Inbox, Lifetime, OutboundParameters, Outbox, Plane, Protocol,
};

use crate::packets;

const SPI: u32 = 0x1001;
/// Octets of a packet of the tests.
const LENGTH: u64 = 29;

fn left(lifetime: Lifetime) -> (Plane, u64) {
    let plane = Plane::new();
    let sa = OutboundParameters {
        lifetime,
        ..packets::outbound(SPI)
    };
    let handle = plane.install_outbound(sa).expect("an SA");
    packets::protect_everything(&plane, handle);
    (plane, handle)
}

fn right(lifetime: Lifetime) -> Plane {
    let plane = Plane::new();
    let sa = InboundParameters {
        lifetime,
        ..packets::inbound(SPI)
    };
    plane.install_inbound(sa).expect("an SA");
    plane
}

fn lifetimes() -> [Lifetime; 2] {
    let by_packets = Lifetime {
        soft_packets: 3,
        hard_packets: 5,
        ..Lifetime::default()
    };
    let by_octets = Lifetime {
        soft_octets: 2 * LENGTH + 1,
        hard_octets: 5 * LENGTH,
        ..Lifetime::default()
    };
    [by_packets, by_octets]
}

/// The events of each of ten steps.
fn steps(plane: &Plane, mut step: impl FnMut(u8)) -> Vec<Vec<Event>> {
    let one = |number| {
        step(number);
        packets::told(plane)
    };
    (0..10).map(one).collect()
}

fn expected(soft: Event, hard: Event) -> Vec<Vec<Event>> {
    let mut events = vec![Vec::new(); 10];
    events[2] = vec![soft];
    events[4] = vec![hard];
    events
}

/// "a soft lifetime that warns the implementation [...], and a hard lifetime when the current SA ends"
#[test]
fn an_outbound_sa_ends() {
    for lifetime in lifetimes() {
        let (plane, handle) = left(lifetime);
        let mut out = Outbox::new();
        let told = steps(&plane, |number| {
            plane.seal(&packets::frame(number), &mut out)
        });
        assert_eq!(
            told,
            expected(Event::Expiring { handle }, Event::Expired { handle })
        );
        assert_eq!(packets::sent(SPI, &out), [0, 1, 2, 3, 4]);
        let counters = plane.outbound_counters(handle).expect("an SA");
        assert_eq!(
            (counters.packets, counters.drops),
            (5, vec![("expired", 5)])
        );
        assert_eq!(plane.drops(), []);
    }
}

#[test]
fn an_inbound_sa_ends() {
    for lifetime in lifetimes() {
        let (left, right) = (left(Lifetime::default()).0, right(lifetime));
        let (mut out, mut inbox) = (Outbox::new(), Inbox::new());
        let told = steps(&right, |number| {
            left.seal(&packets::frame(number), &mut out);
            let mut octets = out.octets(&out.trains()[0]).to_vec();
            right.open(&mut octets, 9000, &packets::arrival(), &mut inbox);
            out.clear();
        });
        let (protocol, spi) = (Protocol::Esp, SPI);
        let soft = Event::InboundExpiring { protocol, spi };
        assert_eq!(
            told,
            expected(soft, Event::InboundExpired { protocol, spi })
        );
        let counters = right.inbound_counters(protocol, spi).expect("an SA");
        assert_eq!(
            (counters.packets, counters.drops),
            (5, vec![("expired", 5)])
        );
    }
}

/// What one call takes up may overshoot; the next call finds the SA ended.
#[test]
fn a_batch_may_overshoot() {
    let (plane, handle) = left(lifetimes()[0]);
    let frames: Vec<_> = (0..8).map(packets::frame).collect();
    let mut out = Outbox::new();
    for _ in 0..2 {
        plane.seal_each(frames.iter().map(Vec::as_slice), &mut out);
    }
    let counters = plane.outbound_counters(handle).expect("an SA");
    assert_eq!(
        (counters.packets, counters.drops),
        (8, vec![("expired", 8)])
    );
    let told = packets::told(&plane);
    assert_eq!(
        told,
        [Event::Expiring { handle }, Event::Expired { handle }]
    );
}
