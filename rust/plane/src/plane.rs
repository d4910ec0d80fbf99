//! The plane as the control side sees it. The data path is in `outbound` and `inbound`.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use caponier_packet::inner::Inner;

use crate::acquisition::Acquisition;
use crate::allowance::Allowance;
use crate::audit::{Round, Told};
use crate::bypass::Bypass;
use crate::counters::DropCounters;
use crate::drops::Drop;
use crate::error::PlaneError;
use crate::events::Events;
use crate::parameters::{
    Action, Counters, Event, InboundParameters, OutboundParameters, PolicyParameters, Protocol,
    Tunnel,
};
use crate::sad::Sad;
use crate::spd::{Policy, Spd};

/// SAD, SPD and the data path between TUN frames and ESP packets (RFC 4301 section 5), without I/O.
///
/// Shared by the worker threads and the control side. One lock holds both databases: a worker takes it for reading once
/// for each super-packet out and each train in, and keeps it until the batch is through (some 10 to 20 µs for 64 KiB);
/// that is two atomic operations on a shared cache line, against some 45 packets of 200 ns and more. The control side
/// takes it for writing, for work that does not grow with the number of SAs or policies. So when a call that removes
/// an SA returns, no packet is under way with its keys, and they are wiped.
pub struct Plane {
    least_window: AtomicU32,
    tables: RwLock<Tables>,
    pub(crate) drops: DropCounters,
    pub(crate) events: Events,
    /// Which drops of no SA were told.
    pub(crate) told: Told,
    pub(crate) round: Round,
    pub(crate) acquisition: Acquisition,
    pub(crate) bypass: Bypass,
    /// Of ICMP messages, a second and at once, as Linux's own (icmp_msgs_per_sec and icmp_msgs_burst of ip-sysctl.rst of
    /// its documentation).
    pub(crate) messages: Allowance,
}

pub(crate) struct Tables {
    pub(crate) sad: Sad,
    pub(crate) spd: Spd,
}

/// The tables, as packets of one TUN interface are to see them.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) interface: u32,
}

impl<'a> View<'a> {
    /// The policy that decides about a packet.
    pub(crate) fn policy(self, inner: &Inner) -> Option<&'a Policy> {
        self.tables.spd.lookup(self.interface, inner)
    }
}

impl Tables {
    /// Somebody took the event: what it tells of may be told again.
    fn took(&self, event: &Event) {
        match event {
            Event::Acquire { policy } => {
                if let Some(policy) = self.spd.policy(*policy) {
                    policy.clear_acquire();
                }
            }
            Event::PeerMoved { protocol, spi, .. } => {
                if let Some(sa) = self.sad.inbound(*protocol, *spi) {
                    sa.peer.clear();
                }
            }
            _ => {}
        }
    }
}

impl Default for Plane {
    fn default() -> Self {
        Self::new()
    }
}

impl Plane {
    /// Make a plane without SAs and policies: it drops everything.
    pub fn new() -> Self {
        Self {
            least_window: AtomicU32::new(0),
            tables: RwLock::new(Tables {
                sad: Sad::new(),
                spd: Spd::new(),
            }),
            drops: DropCounters::new(),
            events: Events::default(),
            told: Told::default(),
            round: Round::default(),
            acquisition: Acquisition::default(),
            bypass: Bypass::new(),
            messages: Allowance::new(1000, 50, Instant::now()),
        }
    }

    /// Have `waker` called after every event that was queued. It must not call the plane.
    pub fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        self.events.bell.set_waker(waker);
    }

    /// Add an inbound SA.
    ///
    /// # Errors
    /// A reserved or used SPI, or parameters that make no SA.
    pub fn install_inbound(&self, p: InboundParameters) -> Result<(), PlaneError> {
        let least_window = self.least_window.load(Ordering::Relaxed);
        self.write().sad.install_inbound(&p, least_window)
    }

    /// Give the inbound SAs that are installed from here on replay windows of so many packets at least: their packets are
    /// opened side by side, and less in order than they came. "The receiver ... may choose" a larger one (RFC 4303 section
    /// 3.4.3).
    pub fn widen_windows(&self, packets: u32) {
        self.least_window.store(packets, Ordering::Relaxed);
    }

    /// Add an outbound SA; returns its handle, which is never used again.
    ///
    /// # Errors
    /// A reserved SPI, or parameters that make no SA.
    pub fn install_outbound(&self, p: OutboundParameters) -> Result<u64, PlaneError> {
        self.write().sad.install_outbound(&p)
    }

    /// Send what an outbound SA seals elsewhere: the peer's NAT gave it another address or port.
    ///
    /// # Errors
    /// No SA has this handle, or the tunnel is none.
    pub fn move_outbound(&self, handle: u64, tunnel: Tunnel) -> Result<(), PlaneError> {
        self.write().sad.move_outbound(handle, tunnel)
    }

    /// Tell where the peer of an inbound SA is now.
    ///
    /// # Errors
    /// No SA has this SPI, or the address is of another family.
    pub fn move_inbound(
        &self,
        protocol: Protocol,
        spi: u32,
        address: IpAddr,
        port: u16,
    ) -> Result<(), PlaneError> {
        self.write().sad.move_inbound(protocol, spi, address, port)
    }

    /// Tell the path MTU of an outbound SA: octets of its outer packets; 0 for unknown, no limit.
    ///
    /// # Errors
    /// No SA has this handle, or no path has this MTU.
    pub fn set_path_mtu(&self, handle: u64, mtu: u32) -> Result<(), PlaneError> {
        self.read().sad.set_path_mtu(handle, mtu)
    }

    /// Learn the path MTU of an outbound SA from the system; what was learned is believed for ten minutes.
    pub fn learn_path_mtu(&self, handle: u64, mtu: u32) {
        if let Some(sa) = self.read().sad.outbound(handle) {
            sa.path.learn(mtu, sa.tunnel.remote, Instant::now());
        }
    }

    /// Count packets of an outbound SA that the system refused, for they were too long; of none if it is gone, or they left by
    /// a BYPASS policy.
    pub fn count_oversize(&self, handle: u64, count: u64) {
        match self.read().sad.outbound(handle) {
            Some(_) if count == 0 => {}
            Some(sa) => {
                sa.counters.dropped(Drop::TooBig, count);
            }
            None => self.count_drop(Drop::TooBig, count),
        }
    }

    /// Whether to ask the system for the path MTU of an outbound SA: at most once a second.
    pub fn asks_path_mtu(&self, handle: u64) -> bool {
        let tables = self.read();
        let sa = tables.sad.outbound(handle);
        sa.is_some_and(|sa| sa.path.is_to_be_asked(Instant::now()))
    }

    /// Remove an inbound SA and wipe its keys.
    ///
    /// # Errors
    /// No SA has this SPI.
    pub fn remove_inbound(&self, protocol: Protocol, spi: u32) -> Result<(), PlaneError> {
        self.write().sad.remove_inbound(protocol, spi)
    }

    /// Remove an outbound SA and wipe its keys. A policy that names it then reports acquires.
    ///
    /// # Errors
    /// No SA has this handle.
    pub fn remove_outbound(&self, handle: u64) -> Result<(), PlaneError> {
        self.write().sad.remove_outbound(handle)
    }

    /// Add a policy, or replace the one of the same number. The packets that waited for its SA leave first.
    ///
    /// # Errors
    /// A selector is not a range, or the policy names an SA that is not there.
    pub fn install_policy(&self, p: PolicyParameters) -> Result<(), PlaneError> {
        let mut tables = self.write();
        if let Action::Protect(Some(handle)) = p.action {
            tables
                .sad
                .outbound(handle)
                .ok_or(PlaneError::UnknownHandle(handle))?;
        }
        let (number, still_waits) = (p.policy, p.action == Action::Protect(None));
        tables.spd.install(&p)?;
        if !still_waits {
            self.release_waiting(number); // before a worker can find the policy
        }
        Ok(())
    }

    /// Remove a policy.
    ///
    /// # Errors
    /// No policy has this number.
    pub fn remove_policy(&self, policy: u64) -> Result<(), PlaneError> {
        let known = self.write().spd.forget(policy);
        self.forget_waiting(policy);
        known.then_some(()).ok_or(PlaneError::UnknownPolicy(policy))
    }

    /// Remove all SAs and policies, and wipe all keys.
    pub fn clear(&self) {
        *self.write() = Tables {
            sad: Sad::new(),
            spd: Spd::new(),
        };
        self.clear_waiting();
    }

    /// What an inbound SA carried.
    ///
    /// # Errors
    /// No SA has this SPI.
    pub fn inbound_counters(&self, protocol: Protocol, spi: u32) -> Result<Counters, PlaneError> {
        let tables = self.read();
        let sa = tables.sad.inbound(protocol, spi);
        let sa = sa.ok_or(PlaneError::UnknownSpi(spi, protocol))?;
        Ok(sa.counters.read())
    }

    /// What an outbound SA carried.
    ///
    /// # Errors
    /// No SA has this handle.
    pub fn outbound_counters(&self, handle: u64) -> Result<Counters, PlaneError> {
        let tables = self.read();
        let sa = tables
            .sad
            .outbound(handle)
            .ok_or(PlaneError::UnknownHandle(handle))?;
        Ok(sa.counters.read())
    }

    /// Packets dropped outside of any SA, by reason; reasons without drops are left out.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        self.expire_waiting();
        self.drops.list()
    }

    /// Take the events that were queued. A policy or SA reports again only after its event was taken.
    pub fn take_events(&self) -> Vec<Event> {
        let events = self.events.take();
        let tables = self.read();
        for event in &events {
            tables.took(event);
        }
        events
    }

    /// Report dropped packets anew: of each SA, and of none, the next one for each reason.
    pub fn audit_again(&self) {
        self.round.begin();
    }

    /// Queue an event that happened outside, such as [`Event::PortFailed`]. Lost if thousands are waiting.
    pub fn report(&self, event: Event) {
        self.events.push(event);
    }

    /// Count packets that were dropped outside of any SA.
    pub fn count_drop(&self, reason: Drop, n: u64) {
        self.drops.add(reason, n);
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}
