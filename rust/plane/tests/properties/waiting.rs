//! The first packets of a connection on demand (RFC 4301 section 5.1).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use caponier_plane::{Action, Event, Outbox, Plane, PolicyParameters};

use crate::packets;

const SPI: u32 = 0x1001;

fn install(plane: &Plane, action: Action) {
    let policy = PolicyParameters {
        policy: 1,
        interface: 0,
        order: 0,
        local: packets::everything(),
        remote: packets::everything(),
        action,
    };
    plane.install_policy(policy).expect("a policy");
}

#[test]
fn packets_without_an_sa_wait_for_it() {
    let (plane, woken) = (Plane::new(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&woken);
    plane.set_worker_waker(Box::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    install(&plane, Action::Protect(None));
    let mut out = Outbox::new();
    for number in 0..20 {
        plane.seal(&packets::frame(number), &mut out);
    }
    assert!(out.trains().is_empty());
    assert_eq!(packets::told(&plane), [Event::Acquire { policy: 1 }]);
    assert_eq!(plane.drops(), [("no-sa", 4)]); // what is kept is not dropped
    install(&plane, Action::Protect(None)); // the same again changes nothing
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    let handle = packets::install_outbound(&plane, SPI);
    install(&plane, Action::Protect(Some(handle)));
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    plane.seal_released(&mut out);
    assert_eq!(packets::sent(SPI, &out), (0..16).collect::<Vec<_>>());
    plane.seal_released(&mut out);
    assert_eq!(plane.outbound_counters(handle).expect("an SA").packets, 16);
}

/// What a worker reads meanwhile does not overtake what waited.
#[test]
fn packets_that_waited_go_first() {
    let plane = Plane::new();
    install(&plane, Action::Protect(None));
    let mut out = Outbox::new();
    plane.seal(&packets::frame(1), &mut out);
    let handle = packets::install_outbound(&plane, SPI);
    install(&plane, Action::Protect(Some(handle)));
    plane.seal(&packets::frame(2), &mut out);
    assert_eq!(packets::sent(SPI, &out), [1, 2]);
}

/// The SA may go, and another come, while the policy stays.
#[test]
fn an_sa_that_is_removed_is_waited_for() {
    let plane = Plane::new();
    let first = packets::install_outbound(&plane, SPI);
    install(&plane, Action::Protect(Some(first)));
    plane.remove_outbound(first).expect("an SA");
    let mut out = Outbox::new();
    plane.seal(&packets::frame(1), &mut out);
    let second = packets::install_outbound(&plane, SPI);
    install(&plane, Action::Protect(Some(second)));
    plane.seal_released(&mut out);
    assert_eq!(packets::sent(SPI, &out), [1]);
}

/// The SPD decides again, and what is lost is counted.
#[test]
fn packets_whose_policy_goes_are_lost() {
    let plane = Plane::new();
    let mut out = Outbox::new();
    install(&plane, Action::Protect(None));
    plane.seal(&packets::frame(1), &mut out);
    install(&plane, Action::Discard);
    plane.seal_released(&mut out);
    assert_eq!(plane.drops(), [("discard-policy", 1)]);
    install(&plane, Action::Protect(None));
    plane.seal(&packets::frame(2), &mut out);
    plane.remove_policy(1).expect("a policy");
    assert_eq!(plane.drops(), [("discard-policy", 1), ("no-sa", 1)]);
    install(&plane, Action::Protect(None));
    plane.seal(&packets::frame(3), &mut out);
    plane.clear();
    assert_eq!(plane.drops(), [("discard-policy", 1), ("no-sa", 2)]);
    assert!(out.trains().is_empty());
}
