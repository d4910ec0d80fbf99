//! What is told of a packet that came from elsewhere, or is dropped: the auditable events of RFC 4301 section 9, RFC 4303 section 4 and RFC 4302
//! section 4.

use std::net::IpAddr;

use caponier_packet::inner::Inner;
use caponier_packet::transform;
use caponier_packet::virtio::Header;

use crate::audit::Told;
use crate::drops::Drop;
use crate::parameters::{Arrival, Direction, Dropped, Event, Protocol};
use crate::plane::Plane;
use crate::sad::{Inbound, Outbound};

impl Plane {
    /// Drop packets that an outbound SA should have sealed.
    pub(crate) fn drop_outbound(&self, sa: &Outbound, reason: Drop, n: u64, inner: &Inner) {
        let told = sa.counters.dropped(reason, n);
        self.report_drop(told, reason, || Dropped {
            number: sa.handle,
            protocol: Some(sa.protocol),
            source: Some(inner.source),
            destination: Some(inner.destination),
            sequence: Some(sa.sealer.used() as u32),
            ..Dropped::outbound(reason)
        });
    }

    /// Drop a frame that no SA is for.
    pub(crate) fn drop_frame(&self, reason: Drop, frame: &[u8]) {
        self.drops.add(reason, 1);
        self.report_drop(&self.told, reason, || {
            let inner = Header::decode(frame).and_then(|(_, packet)| Inner::parse(packet));
            let inner = inner.ok();
            Dropped {
                source: inner.as_ref().map(|inner| inner.source),
                destination: inner.as_ref().map(|inner| inner.destination),
                ..Dropped::outbound(reason)
            }
        });
    }

    /// Drop a packet that an inbound SA did not let through.
    pub(crate) fn drop_inbound(
        &self,
        sa: &Inbound,
        refused: Refused,
        (spi, sequence): (u32, u32),
        arrival: &Arrival,
    ) {
        let told = sa.counters.dropped(refused.reason, 1);
        self.report_drop(told, refused.reason, || Dropped {
            number: u64::from(spi),
            sequence: Some(sequence),
            inner: refused.inner,
            ..Dropped::inbound(refused.reason, arrival)
        });
    }

    /// Drop a packet that came without an SA that it could be for.
    pub(crate) fn drop_stray(&self, reason: Drop, octets: &[u8], arrival: &Arrival) {
        self.drops.add(reason, 1);
        self.report_drop(&self.told, reason, || {
            let numbers = match arrival.protocol {
                Protocol::Esp => transform::peek_esp(octets, arrival.form),
                Protocol::Ah => transform::peek_ah(octets, arrival.form),
            };
            let numbers = numbers.ok();
            Dropped {
                number: numbers.map_or(0, |(spi, _)| u64::from(spi)),
                sequence: numbers.map(|(_, sequence)| sequence),
                ..Dropped::inbound(reason, arrival)
            }
        });
    }

    /// The peer of an inbound SA moved.
    #[cold]
    pub(crate) fn report_move(&self, sa: &Inbound, spi: u32, arrival: &Arrival) {
        let event = Event::PeerMoved {
            protocol: arrival.protocol,
            spi,
            address: arrival.remote.to_canonical(),
            port: arrival.remote_port,
        };
        if !self.events.push(event) {
            sa.peer.clear(); // the queue is full: a later packet tries again
        }
    }

    #[inline]
    fn report_drop(&self, told: &Told, reason: Drop, details: impl FnOnce() -> Dropped) {
        if told.is_first(reason, &self.round) && !self.events.push(Event::Dropped(details())) {
            told.untell(reason);
        }
    }
}

/// Why a packet does not pass its SA.
pub(crate) struct Refused {
    pub(crate) reason: Drop,
    /// Source and destination of what came out of it.
    pub(crate) inner: Option<(IpAddr, IpAddr)>,
}

impl Refused {
    /// What came out is not what the SA may carry.
    pub(crate) fn mismatch(inner: &Inner) -> Self {
        Self {
            reason: Drop::SelectorMismatch,
            inner: Some((inner.source, inner.destination)),
        }
    }
}

impl<T: Into<Drop>> From<T> for Refused {
    fn from(reason: T) -> Self {
        Self {
            reason: reason.into(),
            inner: None,
        }
    }
}

impl Dropped {
    fn outbound(reason: Drop) -> Self {
        Self {
            reason,
            direction: Direction::Out,
            number: 0,
            protocol: None,
            source: None,
            destination: None,
            sequence: None,
            inner: None,
        }
    }

    fn inbound(reason: Drop, arrival: &Arrival) -> Self {
        Self {
            direction: Direction::In,
            protocol: Some(arrival.protocol),
            source: Some(arrival.remote.to_canonical()),
            destination: arrival.local,
            ..Self::outbound(reason)
        }
    }
}
