//! From TUN frames to trains of ESP packets (RFC 4301 section 5.1, RFC 4303 section 3.3).

use caponier_packet::inner::Inner;
use caponier_packet::segment::Plan;
use caponier_packet::virtio::Header;

use crate::drops::Drop;
use crate::outbox::Outbox;
use crate::parameters::{Action, Event};
use crate::plane::{Plane, Tables};
use crate::sad::Outbound;
use crate::spd::Policy;

impl Plane {
    /// Seal what one read of the TUN interface gave: a virtio_net_hdr and an IP packet, perhaps a super-packet.
    ///
    /// The policy is looked up once: all segments belong to one flow. The TTL stays as it is: the kernel, which routed
    /// the packet into the TUN, has decremented it (RFC 4301 section 5.1.2.1).
    pub fn seal(&self, frame: &[u8], out: &mut Outbox) {
        if let Err(reason) = self.seal_frame(frame, out) {
            self.count_drop(reason, 1);
        }
    }

    fn seal_frame(&self, frame: &[u8], out: &mut Outbox) -> Result<(), Drop> {
        let (header, packet) = Header::decode(frame)?;
        let inner = Inner::parse(packet)?;
        let plan = Plan::new(&header, packet, &inner)?;
        let tables = self.read();
        let sa = self.outbound_sa(&tables, &inner)?;
        self.seal_plan(sa, &plan, inner.tunnel_next_header(), out);
        Ok(())
    }

    /// The SA that the policies want for the packet.
    fn outbound_sa<'a>(&self, tables: &'a Tables, inner: &Inner) -> Result<&'a Outbound, Drop> {
        let policy = tables.spd.lookup(inner).ok_or(Drop::NoPolicy)?;
        match policy.action() {
            Action::Discard => Err(Drop::DiscardPolicy),
            Action::Protect(handle) => {
                let sa = handle.and_then(|handle| tables.sad.outbound(handle));
                sa.ok_or_else(|| self.acquire(policy))
            }
        }
    }

    /// Report that a packet wants an SA, once until the event is taken.
    fn acquire(&self, policy: &Policy) -> Drop {
        let event = Event::Acquire {
            policy: policy.number(),
        };
        if policy.raise_acquire() && !self.events.push(event) {
            policy.clear_acquire(); // the queue is full: a later packet tries again
        }
        Drop::NoSa
    }

    fn seal_plan(&self, sa: &Outbound, plan: &Plan<'_>, next_header: u8, out: &mut Outbox) {
        let count = plan.count() as u64;
        if sa.sealer.sealed_len(plan.length(0)) > sa.max_packet() {
            return sa.counters.dropped(Drop::TooBig, count);
        }
        let numbers = sa.sealer.reserve(plan.count());
        let missing = count - numbers.len() as u64;
        let mut octets = 0;
        let mut packets = 0;
        for (index, number) in numbers.enumerate() {
            let length = plan.length(index);
            let sealed = out.push(&sa.tunnel, sa.sealer.sealed_len(length), |slot| {
                sa.sealer
                    .seal_segment(plan, index, next_header, number, slot)
            });
            match sealed {
                Ok(()) => {
                    packets += 1;
                    octets += length as u64;
                }
                Err(reason) => sa.counters.dropped(reason, 1),
            }
        }
        sa.counters.carried(packets, octets);
        if missing > 0 {
            self.exhaust(sa, missing);
        }
    }

    /// Count what found no sequence number, and report it once for the SA.
    fn exhaust(&self, sa: &Outbound, missing: u64) {
        sa.counters.dropped(Drop::SequenceExhausted, missing);
        let event = Event::SequenceExhausted { handle: sa.handle };
        if sa.raise_exhausted() && !self.events.push(event) {
            sa.clear_exhausted();
        }
    }
}
