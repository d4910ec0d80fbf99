//! From trains of packets of ESP or AH to TUN frames (RFC 4301 section 5.2, RFC 4303 section 3.4, RFC 4302 section 3.4).

use caponier_packet::ecn;
use caponier_packet::inner::Inner;
use caponier_packet::transform::{self, Opened};
use caponier_packet::transport::Form;

use crate::drops::Drop;
use crate::events::Events;
use crate::inbox::{Inbox, Inboxes};
use crate::parameters::{Arrival, Mode, Protocol};
use crate::plane::{Plane, Tables};
use crate::report::Refused;
use crate::sad::Inbound;
use crate::standalone::tunnelled;

/// What keeps a NAT's mapping alive (RFC 3948 section 2.3).
const KEEPALIVE: [u8; 1] = [0xff];

/// The SA of the last packet, and what it carried since it was counted.
#[derive(Default)]
struct Run<'a> {
    sa: Option<(Protocol, u32, &'a Inbound)>,
    packets: u64,
    octets: u64,
}

impl<'a> Run<'a> {
    /// The SA of this SPI, looked up only where it is not the last packet's.
    fn sa(
        &mut self,
        tables: &'a Tables,
        protocol: Protocol,
        spi: u32,
        events: &Events,
    ) -> Option<&'a Inbound> {
        let is_last = |(of, last, _): &(Protocol, u32, _)| *last == spi && *of == protocol;
        if let Some((.., sa)) = self.sa.filter(is_last) {
            return Some(sa);
        }
        self.count(events);
        let sa = tables.sad.inbound(protocol, spi)?;
        self.sa = Some((protocol, spi, sa));
        Some(sa)
    }

    fn count(&mut self, events: &Events) {
        let sa = self.sa.take();
        if let Some((.., sa)) = sa.filter(|_| self.packets > 0) {
            sa.carried(self.packets, self.octets, events);
        }
        (self.packets, self.octets) = (0, 0);
    }
}

impl Plane {
    /// Open a train of packets, of `segment` octets each but the last, which may be shorter; the octets are
    /// overwritten. What comes out goes to the inbox of its SA's interface.
    pub fn open(
        &self,
        train: &mut [u8],
        segment: usize,
        arrival: &Arrival,
        inboxes: &mut impl Inboxes,
    ) {
        let packets = train.chunks_mut(segment.max(1));
        self.open_each(packets.map(|packet| (packet, *arrival)), inboxes);
    }

    /// Open packets, each with where it came from; the octets are overwritten. What comes out goes to the inbox of its SA's interface.
    ///
    /// The whole batch costs one lock, and each run of packets of one SA one look-up and two counter updates.
    pub fn open_each<'a>(
        &self,
        packets: impl Iterator<Item = (&'a mut [u8], Arrival)>,
        inboxes: &mut impl Inboxes,
    ) {
        let tables = self.read();
        let mut run = Run::default();
        for (packet, arrival) in packets {
            if let Err(reason) = self.open_one(&tables, &mut run, packet, &arrival, inboxes) {
                self.drop_stray(reason, packet, &arrival);
            }
        }
        run.count(&self.events);
    }

    /// Open one packet. An error has no SA to be counted with.
    fn open_one<'a>(
        &self,
        tables: &'a Tables,
        run: &mut Run<'a>,
        octets: &mut [u8],
        arrival: &Arrival,
        inboxes: &mut impl Inboxes,
    ) -> Result<(), Drop> {
        if arrival.encapsulated && octets == KEEPALIVE {
            return Err(Drop::Keepalive);
        }
        let numbers = match arrival.protocol {
            Protocol::Esp => transform::peek_esp(octets, arrival.form)?,
            Protocol::Ah => transform::peek_ah(octets, arrival.form)?,
        };
        let sa = run.sa(tables, arrival.protocol, numbers.0, &self.events);
        let sa = sa.ok_or(Drop::UnknownSpi)?;
        if sa.watch.is_over(&self.events) {
            self.drop_inbound(sa, Drop::Expired.into(), numbers, arrival);
            return Ok(());
        }
        let admitted = match inboxes.of(sa.interface) {
            Some(inbox) => admit(sa, octets, arrival, inbox),
            None => Err(Drop::NoInterface.into()),
        };
        match admitted {
            Ok(octets) => {
                run.packets += 1;
                run.octets += octets as u64;
                if sa.peer.has_moved(arrival) {
                    self.report_move(sa, numbers.0, arrival);
                }
            }
            Err(refused) => self.drop_inbound(sa, refused, numbers, arrival),
        }
        Ok(())
    }
}

/// Open a packet under its SA and check that the SA may carry what comes out (RFC 4301 section 5.2, step 4). Returns the
/// octets of what comes out.
fn admit(
    sa: &Inbound,
    octets: &mut [u8],
    arrival: &Arrival,
    inbox: &mut Inbox,
) -> Result<usize, Refused> {
    if !sa.fits(arrival) {
        return Err(Drop::WrongEncapsulation.into());
    }
    let Opened { range, next_header } = sa.opener.open_in_place(octets, arrival.form)?;
    let opened = &mut octets[range];
    match (sa.mode, arrival.form) {
        (Mode::Tunnel, _) => admit_tunnelled(sa, opened, next_header, arrival, inbox),
        (Mode::Transport, Form::Whole) => admit_transported(sa, opened, inbox),
        (Mode::Transport, Form::Bare) => admit_bare(sa, opened, next_header, arrival, inbox),
    }
}

fn admit_tunnelled(
    sa: &Inbound,
    payload: &mut [u8],
    next_header: u8,
    arrival: &Arrival,
    inbox: &mut Inbox,
) -> Result<usize, Refused> {
    let inner = tunnelled(payload, next_header)?;
    let packet = &mut payload[..inner.length];
    if !sa.admits(&inner) {
        return Err(Refused::mismatch(&inner));
    }
    if inner.overlaps_transport(packet) {
        return Err(Drop::FragmentOverlap.into());
    }
    if sa.ecn && !ecn::take_over(packet, arrival.traffic_class) {
        return Err(Drop::Congestion.into());
    }
    sa.clamp_segment(packet, &inner);
    inbox.push(&inner, packet);
    Ok(packet.len())
}

/// The packet as it was before ESP or AH, with the addresses that it came with.
fn admit_transported(sa: &Inbound, packet: &mut [u8], inbox: &mut Inbox) -> Result<usize, Refused> {
    let inner = Inner::parse(packet)?;
    if !sa.admits(&inner) {
        return Err(Refused::mismatch(&inner));
    }
    if let Some(real) = &sa.nat {
        real.correct(packet, &inner); // what counts no addresses is right as it is
    }
    sa.clamp_segment(packet, &inner);
    inbox.push(&inner, packet);
    Ok(packet.len())
}

/// What stood behind an IP header that the socket removed: it gets one like it.
fn admit_bare(
    sa: &Inbound,
    payload: &[u8],
    next_header: u8,
    arrival: &Arrival,
    inbox: &mut Inbox,
) -> Result<usize, Refused> {
    let header = sa.plain_header(arrival);
    let mut scratch = inbox.take_scratch();
    let packet = header.write_packet(&mut scratch, payload, next_header);
    let admitted = packet
        .ok_or(Drop::MalformedInner.into())
        .and_then(|range| admit_transported(sa, &mut scratch[range], inbox));
    inbox.give_back(scratch);
    admitted
}
