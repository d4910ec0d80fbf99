//! From TUN frames to trains of packets of ESP or AH (RFC 4301 section 5.1, RFC 4303 section 3.3, RFC 4302 section 3.3).

use std::net::IpAddr;

use caponier_packet::inner::{Inner, Ports};
use caponier_packet::mss;
use caponier_packet::segment::Plan;
use caponier_packet::transform::Shape;
use caponier_packet::virtio::Header;

use crate::drops::Drop;
use crate::events::Events;
use crate::outbox::Outbox;
use crate::parameters::{Action, Event};
use crate::pieces::Pieces;
use crate::plane::{Plane, View};
use crate::sad::Outbound;
use crate::spd::Policy;
use crate::waiting::Waiter;

/// The flow of the last packet, what the policies want for it, and what its SA carried since that was counted.
#[derive(Default)]
struct Run<'a> {
    last: Option<(Flow, Verdict<'a>)>,
    packets: u64,
    octets: u64,
}

/// What selectors see of a packet: packets that agree in it have one policy.
#[derive(PartialEq, Eq)]
struct Flow(u32, IpAddr, IpAddr, u8, Ports);

impl Flow {
    fn new(interface: u32, inner: &Inner) -> Self {
        let (source, destination) = (inner.source, inner.destination);
        Self(interface, source, destination, inner.protocol, inner.ports)
    }
}

impl<'a> Run<'a> {
    fn verdict(&self, flow: &Flow) -> Option<Verdict<'a>> {
        self.last
            .as_ref()
            .filter(|(last, _)| last == flow)
            .map(|(_, verdict)| *verdict)
    }

    fn turn_to(&mut self, flow: Flow, verdict: Verdict<'a>, events: &Events) {
        self.count(events);
        self.last = Some((flow, verdict));
    }

    fn count(&mut self, events: &Events) {
        if let Some((_, Verdict::Seal(sa))) = self.last.as_ref().filter(|_| self.packets > 0) {
            sa.carried(self.packets, self.octets, events);
        }
        (self.packets, self.octets) = (0, 0);
    }
}

/// What the policies want for a packet that is not to be dropped.
#[derive(Clone, Copy)]
enum Verdict<'a> {
    Seal(&'a Outbound),
    /// As it is.
    Bypass,
    /// Until the policy has an SA.
    Wait(&'a Policy),
}

impl Plane {
    /// Seal what one read of the TUN interface gave: a virtio_net_hdr and an IP packet, perhaps a super-packet.
    pub fn seal(&self, frame: &[u8], out: &mut Outbox) {
        self.seal_each(std::iter::once(frame), out);
    }

    /// Seal what several reads of the first interface gave, in their order.
    pub fn seal_each<'f>(&self, frames: impl Iterator<Item = &'f [u8]>, out: &mut Outbox) {
        self.seal_from(0, frames, out);
    }

    /// Seal what several reads of a TUN interface gave, in their order.
    ///
    /// The whole batch costs one lock; each run of packets of one flow, and all segments of a super-packet are one, costs
    /// one look-up of the policy and two counter updates. The TTL stays as it is: the kernel, which routed the packet into
    /// the TUN, has decremented it (RFC 4301 section 5.1.2.1). What waited for its SA goes before the others.
    pub fn seal_from<'f>(
        &self,
        interface: u32,
        frames: impl Iterator<Item = &'f [u8]>,
        out: &mut Outbox,
    ) {
        let tables = self.read();
        let view = |interface| View {
            tables: &tables,
            interface,
        };
        let mut run = Run::default();
        for waiter in self.acquisition.take_released() {
            self.seal_or_drop(view(waiter.interface), &mut run, &waiter.octets, out);
        }
        for frame in frames {
            self.seal_or_drop(view(interface), &mut run, frame, out);
        }
        run.count(&self.events);
    }

    /// Seal the packets that waited for an SA that is there now.
    pub fn seal_released(&self, out: &mut Outbox) {
        self.seal_each(std::iter::empty(), out);
    }

    fn seal_or_drop<'a>(&self, view: View<'a>, run: &mut Run<'a>, frame: &[u8], out: &mut Outbox) {
        if let Err(reason) = self.seal_frame(view, run, frame, out) {
            self.drop_frame(reason, frame);
        }
    }

    fn seal_frame<'a>(
        &self,
        view: View<'a>,
        run: &mut Run<'a>,
        frame: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Drop> {
        let (header, packet) = Header::decode(frame)?;
        let inner = Inner::parse(packet)?;
        let plan = Plan::new(&header, packet, &inner)?;
        let flow = Flow::new(view.interface, &inner);
        let wanted = match run.verdict(&flow) {
            Some(verdict) => verdict,
            None => {
                let verdict = verdict(view, &inner)?;
                run.turn_to(flow, verdict, &self.events);
                verdict
            }
        };
        let sa = match wanted {
            Verdict::Seal(sa) => sa,
            Verdict::Bypass => {
                self.let_out(&inner, &plan, out);
                return Ok(());
            }
            Verdict::Wait(policy) => {
                let waiter = Waiter {
                    interface: view.interface,
                    octets: frame.into(),
                };
                return self.acquire(policy, waiter);
            }
        };
        if sa.watch.is_over(&self.events) {
            self.drop_outbound(sa, Drop::Expired, plan.count() as u64, &inner);
            return Ok(());
        }
        let (packets, octets) = if sa.clamp > 0 && plan.count() == 1 && mss::is_syn(packet, &inner)
        {
            self.seal_clamped(view, sa, &inner, &plan, out)
        } else {
            self.seal_plan(view, sa, (&inner, packet), &plan, out)
        };
        run.packets += packets;
        run.octets += octets;
        Ok(())
    }

    /// Seal a SYN segment with a lower Maximum Segment Size: it is written to a place of its own first, with its checksum.
    fn seal_clamped(
        &self,
        view: View<'_>,
        sa: &Outbound,
        inner: &Inner,
        plan: &Plan<'_>,
        out: &mut Outbox,
    ) -> (u64, u64) {
        let mut packet = out.take_scratch();
        packet.resize(plan.length(0), 0);
        plan.write(0, &mut packet);
        mss::clamp(&mut packet, inner, mss::for_mtu(sa.clamp, inner.is_v6()));
        let sealed = match Plan::new(&Header::default(), &packet, inner) {
            Ok(plan) => self.seal_plan(view, sa, (inner, &packet), &plan, out),
            Err(_) => (0, 0),
        };
        out.give_back(packet);
        sealed
    }

    /// Seal a plan, which was made for this packet; how many packets were sealed, and their octets.
    fn seal_plan(
        &self,
        view: View<'_>,
        sa: &Outbound,
        (inner, packet): (&Inner, &[u8]),
        plan: &Plan<'_>,
        out: &mut Outbox,
    ) -> (u64, u64) {
        match sa.sealer.shape(inner, packet) {
            Ok(shape) if sa.fits(&shape, plan.length(0)) => {
                self.seal_pieces(sa, plan, &sa.outer(&shape), inner, out)
            }
            Ok(shape) => self.seal_oversize(view, sa, inner, plan, &shape, out),
            Err(error) => {
                self.drop_outbound(sa, error.into(), plan.count() as u64, inner);
                (0, 0)
            }
        }
    }

    /// Seal every piece; how many were sealed, and their octets.
    pub(crate) fn seal_pieces(
        &self,
        sa: &Outbound,
        pieces: &impl Pieces,
        shape: &Shape,
        inner: &Inner,
        out: &mut Outbox,
    ) -> (u64, u64) {
        let numbers = sa.sealer.reserve(pieces.count());
        let missing = (pieces.count() - numbers.len()) as u64;
        let lane = sa.lane(shape);
        let mut octets = 0;
        let mut packets = 0;
        for (index, number) in numbers.enumerate() {
            let length = pieces.length(index);
            let sealed = out.push(lane, number, sa.sealer.sealed_len(shape, length), |slot| {
                sa.sealer.seal_piece(pieces, index, shape, number, slot)
            });
            match sealed {
                Ok(()) => {
                    packets += 1;
                    octets += length as u64;
                }
                Err(reason) => self.drop_outbound(sa, reason, 1, inner),
            }
        }
        if missing > 0 {
            self.exhaust(sa, missing, inner);
        }
        (packets, octets)
    }

    /// Count what found no sequence number, and report it once for the SA.
    fn exhaust(&self, sa: &Outbound, missing: u64, inner: &Inner) {
        self.drop_outbound(sa, Drop::SequenceExhausted, missing, inner);
        let event = Event::SequenceExhausted { handle: sa.handle };
        if sa.raise_exhausted() && !self.events.push(event) {
            sa.clear_exhausted();
        }
    }
}

fn verdict<'a>(view: View<'a>, inner: &Inner) -> Result<Verdict<'a>, Drop> {
    let policy = view.policy(inner).ok_or(Drop::NoPolicy)?;
    match policy.action() {
        Action::Discard => Err(Drop::DiscardPolicy),
        Action::Bypass => Ok(Verdict::Bypass),
        Action::Protect(handle) => {
            let Some(sa) = handle.and_then(|handle| view.tables.sad.outbound(handle)) else {
                return Ok(Verdict::Wait(policy));
            };
            let fits = sa.admits(inner).then_some(Verdict::Seal(sa));
            fits.ok_or(Drop::SelectorMismatch)
        }
    }
}
