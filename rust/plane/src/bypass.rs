//! Packets that leave as they are, for a BYPASS policy wants them to (RFC 4301 sections 4.4.1 and 5.1, step 3a).
//!
//! The kernel routed them into the TUN; they go out again through a raw socket, whose mark routes them past it. Super-packets
//! are cut and checksums completed, as for a wire. The TTL stays as it is: the kernel has decremented it.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use caponier_packet::inner::Inner;
use caponier_packet::segment::Plan;
use caponier_packet::transport::Form;

use crate::outbox::{Lane, Outbox};
use crate::parameters::Tunnel;
use crate::plane::Plane;
use crate::turns::Turns;

/// How many went by, and their turns, which nobody waits for: each flow has its worker.
pub(crate) struct Bypass {
    turns: Arc<Turns>,
    packets: AtomicU64,
}

impl Bypass {
    pub(crate) fn new() -> Self {
        Self {
            turns: Arc::new(Turns::new(u64::MAX)),
            packets: AtomicU64::new(0),
        }
    }
}

impl Plane {
    /// Packets that left as they were, by BYPASS policies.
    pub fn bypassed(&self) -> u64 {
        self.bypass.packets.load(Ordering::Relaxed)
    }

    /// Let the packets of a plan out.
    pub(crate) fn let_out(&self, inner: &Inner, plan: &Plan<'_>, out: &mut Outbox) {
        let tunnel = Tunnel {
            local: inner.source,
            local_port: 0,
            remote: inner.destination,
            remote_port: 0,
        };
        let lane = Lane {
            tunnel: &tunnel,
            turns: &self.bypass.turns,
            form: Form::Whole,
            handle: 0,
            dont_fragment: false,
            traffic_class: 0,
        };
        let first = out.next_number(&self.bypass.turns);
        for index in 0..plan.count() {
            let number = first.wrapping_add(index as u64);
            let written: Result<(), Infallible> =
                out.push(lane, number, plan.length(index), |slot| {
                    plan.write(index, slot);
                    Ok(())
                });
            let Ok(()) = written;
        }
        let count = plan.count() as u64;
        self.bypass.packets.fetch_add(count, Ordering::Relaxed);
    }
}
