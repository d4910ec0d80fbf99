//! What does not fit its way once it is sealed (RFC 4301 section 8.2.1).
//!
//! ```text
//! inner packet        | tunnel mode                               | transport mode
//! IPv4 with DF        | its sender is told, and it is dropped     | the same
//! IPv4 without DF     | it is cut, and each fragment is sealed    | it is sealed, and fragmented behind that
//! IPv6 over 1280      | its sender is told, and it is dropped     | the same
//! IPv6 up to 1280     | it is sealed, and fragmented behind that  | the same
//! ```
//!
//! The last row is for a way that carries less than IPv6's minimum MTU, which must be helped by fragmentation below it (RFC
//! 8200 section 5). And an IPv4 packet is not cut where its later fragments, which have no ports, would belong to another SA
//! than this one: the peer would drop them (RFC 4301 section 7.3).

use std::time::Instant;

use caponier_packet::fragment::Fragments;
use caponier_packet::icmp;
use caponier_packet::inner::{Fragment, Inner, Ports};
use caponier_packet::segment::Plan;
use caponier_packet::transform::Shape;

use crate::drops::Drop;
use crate::outbox::Outbox;
use crate::parameters::{Action, Mode};
use crate::plane::{Plane, View};
use crate::sad::Outbound;

/// The least MTU of IPv6 (RFC 8200 section 5).
const MIN_MTU_V6: usize = 1280;

/// What becomes of a packet that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Its sender hears which MTU would fit.
    Tell(u16),
    /// It is cut into fragments of so many octets.
    Cut(usize),
    /// It is sealed as it is, and what comes of it is fragmented.
    Send,
}

impl Plane {
    /// Deal with a plan whose first packet is too long for `sa`; how many packets were sealed, and their octets.
    ///
    /// Super-packets are of one size but for the last segment: what is done with the first is done with all.
    #[cold]
    pub(crate) fn seal_oversize(
        &self,
        view: View<'_>,
        sa: &Outbound,
        inner: &Inner,
        plan: &Plan<'_>,
        shape: &Shape,
        out: &mut Outbox,
    ) -> (u64, u64) {
        if sa.path.has_aged(Instant::now()) && sa.fits(shape, plan.length(0)) {
            return self.seal_pieces(sa, plan, &sa.outer(shape), inner, out);
        }
        match remedy(view, sa, inner, shape, plan.length(0)) {
            Remedy::Tell(mtu) => self.tell(sa, inner, plan, mtu, out),
            Remedy::Cut(mtu) => self.seal_fragments(sa, inner, plan, &sa.outer(shape), mtu, out),
            Remedy::Send if sa.can_be_sent(shape, plan.length(0)) => {
                let mut outer = sa.outer(shape);
                outer.dont_fragment = false;
                self.seal_pieces(sa, plan, &outer, inner, out)
            }
            Remedy::Send => {
                self.drop_outbound(sa, Drop::TooBig, plan.count() as u64, inner);
                (0, 0)
            }
        }
    }

    /// Drop the plan, and put a message about its first packet into the outbox, if there shall be one.
    fn tell(
        &self,
        sa: &Outbound,
        inner: &Inner,
        plan: &Plan<'_>,
        mtu: u16,
        out: &mut Outbox,
    ) -> (u64, u64) {
        self.drop_outbound(sa, Drop::TooBig, plan.count() as u64, inner);
        let mut first = out.take_scratch();
        first.resize(plan.length(0), 0);
        plan.write(0, &mut first);
        if let Ok(inner) = Inner::parse(&first) {
            let mut message = [0; icmp::MAX_LEN];
            let length = icmp::too_big(&first, &inner, mtu, &mut message);
            if let Some(length) = length.ok().filter(|_| self.messages.take(Instant::now())) {
                out.push_notice(inner.source, &message[..length]);
            }
        }
        out.give_back(first);
        (0, 0)
    }

    /// Cut every packet of the plan into fragments, and seal these.
    fn seal_fragments(
        &self,
        sa: &Outbound,
        inner: &Inner,
        plan: &Plan<'_>,
        outer: &Shape,
        mtu: usize,
        out: &mut Outbox,
    ) -> (u64, u64) {
        let mut whole = out.take_scratch();
        let (mut packets, mut octets) = (0, 0);
        for index in 0..plan.count() {
            whole.resize(plan.length(index), 0);
            plan.write(index, &mut whole);
            match Fragments::new(&whole, mtu) {
                Ok(fragments) => {
                    let sealed = self.seal_pieces(sa, &fragments, outer, inner, out);
                    (packets, octets) = (packets + sealed.0, octets + sealed.1);
                }
                Err(_) => self.drop_outbound(sa, Drop::TooBig, 1, inner),
            }
        }
        out.give_back(whole);
        (packets, octets)
    }
}

/// What becomes of a packet of `length` octets, whose shape is as its own header says.
fn remedy(view: View<'_>, sa: &Outbound, inner: &Inner, shape: &Shape, length: usize) -> Remedy {
    let Some(fitting) = sa.max_packet_len(shape) else {
        return Remedy::Send; // TFC padding alone is too long: no packet is so short
    };
    let told = u16::try_from(fitting).unwrap_or(u16::MAX);
    match (inner.is_v6(), shape.dont_fragment) {
        (true, _) if length <= MIN_MTU_V6 => Remedy::Send,
        (true, _) => Remedy::Tell(told.max(MIN_MTU_V6 as u16)),
        (false, true) => Remedy::Tell(told),
        (false, false) if carries_fragments(view, sa, inner) => Remedy::Cut(fitting),
        (false, false) => Remedy::Send,
    }
}

/// Whether the SA may carry the packet's fragments, also those without ports (RFC 4301 sections 4.1 and 7).
fn carries_fragments(view: View<'_>, sa: &Outbound, inner: &Inner) -> bool {
    let later = Inner {
        ports: Ports::Unavailable,
        fragment: Fragment::Later,
        ..*inner
    };
    let policy = view.policy(&later);
    sa.mode == Mode::Tunnel
        && policy.is_some_and(|policy| policy.action() == Action::Protect(Some(sa.handle)))
}
