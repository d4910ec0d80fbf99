//! Several TUN interfaces: each has an SPD of its own, and what comes out of an SA goes to the SA's interface.

use caponier_plane::{
    Action, InboundParameters, Inbox, Inboxes, Outbox, Plane, PolicyParameters, Protocol,
};

use crate::packets;

const SPIS: [u32; 3] = [0x1001, 0x1002, 0x1003];

/// An inbox for interface 0 and 2 each; there is no interface 1.
#[derive(Default)]
struct TwoOfThree([Inbox; 2]);

impl Inboxes for TwoOfThree {
    fn of(&mut self, interface: u32) -> Option<&mut Inbox> {
        match interface {
            0 => Some(&mut self.0[0]),
            2 => Some(&mut self.0[1]),
            _ => None,
        }
    }
}

/// For each interface an SA and a policy, which leave nothing over: the same for all.
fn left() -> Plane {
    let plane = Plane::new();
    for (interface, spi) in (0..).zip(SPIS) {
        let handle = packets::install_outbound(&plane, spi);
        let policy = PolicyParameters {
            policy: handle,
            interface,
            order: 0,
            local: packets::everything(),
            remote: packets::everything(),
            action: Action::Protect(Some(handle)),
        };
        plane.install_policy(policy).expect("a policy");
    }
    plane
}

fn right() -> Plane {
    let plane = Plane::new();
    for (interface, spi) in (0..).zip(SPIS) {
        let sa = InboundParameters {
            interface,
            ..packets::inbound(spi)
        };
        plane.install_inbound(sa).expect("an SA");
    }
    plane
}

/// Also packets of one flow, one after the other.
#[test]
fn an_interface_leads_to_its_sa_and_back() {
    let (left, right) = (left(), right());
    let (mut out, mut inboxes) = (Outbox::new(), TwoOfThree::default());
    for interface in [0, 1, 2, 2, 3] {
        let frame = packets::frame(interface as u8);
        left.seal_from(interface, std::iter::once(&*frame), &mut out);
    }
    assert_eq!(left.drops(), [("no-policy", 1)]);
    for train in out.trains() {
        let mut octets = out.octets(train).to_vec();
        right.open(
            &mut octets,
            train.segment,
            &packets::arrival(),
            &mut inboxes,
        );
    }
    let numbers = inboxes.0.each_mut().map(|inbox| {
        inbox.finish();
        inbox
            .frames()
            .map(|frame| frame.last().copied())
            .collect::<Vec<_>>()
    });
    assert_eq!(numbers[0], [Some(0)]);
    assert_eq!(numbers[1], [Some(2), Some(2)]);
    let dropped = right.inbound_counters(Protocol::Esp, SPIS[1]);
    assert_eq!(dropped.expect("an SA").drops, [("no-interface", 1)]);
}

/// What waits for an SA comes back to its interface's policies, and is lost with the interface.
#[test]
fn a_packet_waits_for_its_interface() {
    let plane = left();
    for handle in 1..=3 {
        plane.remove_outbound(handle).expect("an SA");
    }
    let mut out = Outbox::new();
    for interface in [1, 2] {
        let frame = packets::frame(interface as u8);
        plane.seal_from(interface, std::iter::once(&*frame), &mut out);
    }
    plane.forget_interface(1);
    assert_eq!(plane.drops(), [("no-sa", 1)]);
    let handle = packets::install_outbound(&plane, SPIS[2]);
    let policy = PolicyParameters {
        policy: 3,
        interface: 2,
        order: 0,
        local: packets::everything(),
        remote: packets::everything(),
        action: Action::Protect(Some(handle)),
    };
    plane.install_policy(policy).expect("a policy");
    plane.seal_released(&mut out);
    assert_eq!(packets::sent(SPIS[2], &out), [2]);
}
