//! When an SA has carried enough (RFC 4301 section 4.4.2.1, "Lifetime of this SA").
//!
//! Looked at where the counters are added to, once for each run of packets. So an SA may carry a run more than its hard
//! lifetime allows: what one worker took up in one batch.

use std::sync::atomic::{AtomicU8, Ordering};

use caponier_packet::sequence::Width;

use crate::events::Events;
use crate::parameters::{Event, Lifetime, Protocol};

/// A 32-bit sequence number by which there must be another SA: 90 % of them. A rekey takes round trips, and a fast SA
/// uses what is left in minutes.
const LAST_TENTH: u64 = u32::MAX as u64 / 10 * 9;

/// A limit that an SA passes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// To be replaced: the soft lifetime.
    Soft,
    /// Carries nothing more: the hard lifetime.
    Hard,
}

impl Limit {
    const ALL: [Self; 2] = [Self::Soft, Self::Hard];

    fn passed(self) -> u8 {
        match self {
            Self::Soft => 0x01,
            Self::Hard => 0x02,
        }
    }

    fn told(self) -> u8 {
        self.passed() << 4
    }
}

/// Whose lifetime it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The outbound SA of this handle.
    Outbound(u64),
    /// The inbound SA of this protocol and SPI.
    Inbound(Protocol, u32),
}

impl Owner {
    fn event(self, limit: Limit) -> Event {
        match (self, limit) {
            (Self::Outbound(handle), Limit::Soft) => Event::Expiring { handle },
            (Self::Outbound(handle), Limit::Hard) => Event::Expired { handle },
            (Self::Inbound(protocol, spi), Limit::Soft) => Event::InboundExpiring { protocol, spi },
            (Self::Inbound(protocol, spi), Limit::Hard) => Event::InboundExpired { protocol, spi },
        }
    }
}

/// The lifetime of an SA, and how far it is gone.
#[derive(Debug)]
pub(crate) struct Watch {
    owner: Owner,
    limits: Lifetime,
    last_number: u64,
    /// Of each limit, whether it is passed, and whether that was told.
    state: AtomicU8,
}

impl Watch {
    pub(crate) fn new(owner: Owner, limits: Lifetime) -> Self {
        // No limit is one that is never reached.
        let or_none = |limit: u64| if limit == 0 { u64::MAX } else { limit };
        Self {
            owner,
            limits: Lifetime {
                soft_octets: or_none(limits.soft_octets),
                hard_octets: or_none(limits.hard_octets),
                soft_packets: or_none(limits.soft_packets),
                hard_packets: or_none(limits.hard_packets),
            },
            last_number: u64::MAX,
            state: AtomicU8::new(0),
        }
    }

    /// Have it end with the sequence numbers too, if they are few.
    pub(crate) fn with_numbers(mut self, width: Width) -> Self {
        if width == Width::Bits32 {
            self.last_number = LAST_TENTH;
        }
        self
    }

    /// The SA carried so much in all, and used sequence numbers up to `number`: tell of the limits that this passes.
    #[inline]
    pub(crate) fn pass(&self, packets: u64, octets: u64, number: u64, events: &Events) {
        let limits = &self.limits;
        let is_soft = packets >= limits.soft_packets
            || octets >= limits.soft_octets
            || number >= self.last_number;
        let is_hard = packets >= limits.hard_packets || octets >= limits.hard_octets;
        if is_soft {
            self.tell(Limit::Soft, events);
        }
        if is_hard {
            self.tell(Limit::Hard, events);
        }
    }

    /// Whether the hard lifetime is over. If that could not be told before, it is now.
    #[inline]
    pub(crate) fn is_over(&self, events: &Events) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let is_over = state & Limit::Hard.passed() != 0;
        if is_over {
            let is_passed = |limit: &Limit| state & limit.passed() != 0;
            let passed = Limit::ALL.into_iter().filter(is_passed);
            passed.for_each(|limit| self.tell(limit, events));
        }
        is_over
    }

    /// Tell once; again only if there was no room for it.
    fn tell(&self, limit: Limit, events: &Events) {
        let both = limit.passed() | limit.told();
        // A load first: once told, this is asked for every run.
        let is_first = self.state.load(Ordering::Relaxed) & both != both
            && self.state.fetch_or(both, Ordering::Relaxed) & limit.told() == 0;
        if is_first && !events.push(self.owner.event(limit)) {
            self.state.fetch_and(!limit.told(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner::Outbound(7);
    const EXPIRING: Event = Event::Expiring { handle: 7 };
    const EXPIRED: Event = Event::Expired { handle: 7 };

    fn told(watch: &Watch, packets: u64, octets: u64, number: u64) -> Vec<Event> {
        let events = Events::default();
        watch.pass(packets, octets, number, &events);
        events.take()
    }

    /// RFC 4301 section 4.4.2.1: "a soft lifetime that warns the implementation", "a hard lifetime when the current SA
    /// ends", by octets and by packets, "with the first lifetime to expire taking precedence".
    #[test]
    fn each_limit_is_told_once() {
        let limits = Lifetime {
            soft_octets: 1000,
            hard_octets: 2000,
            soft_packets: 5,
            hard_packets: 50,
        };
        let (watch, none) = (Watch::new(OWNER, limits), Events::default());
        assert_eq!(told(&watch, 4, 999, 4), []);
        assert_eq!(told(&watch, 5, 999, 5), [EXPIRING]);
        assert_eq!(told(&watch, 6, 1000, 6), []);
        assert!(!watch.is_over(&none));
        assert_eq!(told(&watch, 7, 2000, 7), [EXPIRED]);
        assert!(watch.is_over(&none));
        assert_eq!(told(&watch, 50, 3000, 50), []);
        assert_eq!(none.take(), []);
        let both = Watch::new(OWNER, limits);
        assert_eq!(told(&both, 50, 0, 50), [EXPIRING, EXPIRED]);
    }

    #[test]
    fn what_could_not_be_told_is_told_again() {
        let limits = Lifetime {
            hard_packets: 1,
            ..Lifetime::default()
        };
        let (watch, full) = (
            Watch::new(Owner::Inbound(Protocol::Ah, 300), limits),
            Events::default(),
        );
        while full.push(EXPIRING) {}
        watch.pass(1, 1, 0, &full);
        let events = Events::default();
        assert!(watch.is_over(&full));
        assert!(watch.is_over(&events) && watch.is_over(&events));
        let (protocol, spi) = (Protocol::Ah, 300);
        assert_eq!(events.take(), [Event::InboundExpired { protocol, spi }]);
    }

    #[test]
    fn no_limit_is_none() {
        let watch = Watch::new(OWNER, Lifetime::default()).with_numbers(Width::Bits64);
        assert_eq!(told(&watch, u64::MAX - 1, u64::MAX - 1, u64::MAX - 1), []);
        assert!(!watch.is_over(&Events::default()));
    }

    /// RFC 4303 section 3.3.3: before the numbers run out there must be another SA.
    #[test]
    fn short_sequence_numbers_are_a_soft_lifetime() {
        let watch = Watch::new(OWNER, Lifetime::default()).with_numbers(Width::Bits32);
        assert_eq!(told(&watch, 1, 1, LAST_TENTH - 1), []);
        assert_eq!(told(&watch, 1, 1, LAST_TENTH), [EXPIRING]);
        assert!(!watch.is_over(&Events::default()));
    }
}
