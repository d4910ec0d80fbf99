//! The SAD (RFC 4301 section 4.4.2): inbound SAs by SPI, outbound SAs by handle.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::counters::SaCounters;
use crate::error::PlaneError;
use crate::outbox::Lane;
use crate::parameters::{Arrival, InboundParameters, OutboundParameters, Tunnel};
use crate::selector::Selector;
use crate::standalone::{Opener, Sealer};
use crate::turns::Turns;

/// The first sequence number of an SA (RFC 4303 section 3.3.3).
const FIRST: u64 = 1;

/// An inbound SA.
pub(crate) struct Inbound {
    pub(crate) opener: Opener,
    pub(crate) local: Vec<Selector>,
    pub(crate) remote: Vec<Selector>,
    pub(crate) counters: SaCounters,
    remote_address: IpAddr,
}

impl Inbound {
    fn new(p: &InboundParameters) -> Result<Self, PlaneError> {
        same_family(p.local_address, p.remote_address)?;
        let mut selectors = p.local.iter().chain(&p.remote);
        selectors.try_for_each(Selector::validate)?;
        Ok(Self {
            opener: Opener::new(p.spi, &p.keys, p.width, p.replay_window)?,
            local: p.local.clone(),
            remote: p.remote.clone(),
            counters: SaCounters::new(),
            remote_address: p.remote_address,
        })
    }

    /// False when the outer family is not the SA's.
    ///
    /// Neither the peer's address and port nor the choice between ESP in UDP and raw ESP count: NATs move the former
    /// (RFC 7296 section 2.23), and peers may change to the latter when the path does. The ICV authenticates the packet,
    /// and the SPI alone names a unicast SA (RFC 4301 section 4.1).
    pub(crate) fn fits(&self, arrival: &Arrival) -> bool {
        arrival.remote.to_canonical().is_ipv4() == self.remote_address.is_ipv4()
    }
}

/// An outbound SA. What the outer header takes over from the inner one (DSCP and ECN, RFC 6040) belongs here: today
/// the sockets give every packet the same outer header.
pub(crate) struct Outbound {
    pub(crate) handle: u64,
    pub(crate) sealer: Sealer,
    pub(crate) tunnel: Tunnel,
    pub(crate) counters: SaCounters,
    turns: Arc<Turns>,
    is_exhausted: AtomicBool,
}

impl Outbound {
    fn new(handle: u64, p: &OutboundParameters) -> Result<Self, PlaneError> {
        check_tunnel(&p.tunnel)?;
        Ok(Self {
            handle,
            sealer: Sealer::new(p.spi, &p.keys, p.width, FIRST)?.with_tfc(p.tfc),
            tunnel: p.tunnel,
            counters: SaCounters::new(),
            turns: Arc::new(Turns::new(FIRST)),
            is_exhausted: AtomicBool::new(false),
        })
    }

    /// The way of its packets.
    pub(crate) fn lane(&self) -> Lane<'_> {
        Lane {
            tunnel: &self.tunnel,
            turns: &self.turns,
        }
    }

    /// The most octets that an ESP packet may have: a datagram's 65535 less the outer headers.
    pub(crate) fn max_packet(&self) -> usize {
        let ip = if self.tunnel.remote.is_ipv4() { 20 } else { 0 };
        let udp = if self.tunnel.remote_port == 0 { 0 } else { 8 };
        65535 - ip - udp
    }

    /// True the first time, until [`Outbound::clear_exhausted`].
    pub(crate) fn raise_exhausted(&self) -> bool {
        !self.is_exhausted.load(Ordering::Relaxed)
            && !self.is_exhausted.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn clear_exhausted(&self) {
        self.is_exhausted.store(false, Ordering::Relaxed);
    }
}

/// The SAs of both directions.
pub(crate) struct Sad {
    inbound: HashMap<u32, Box<Inbound>>,
    outbound: HashMap<u64, Box<Outbound>>,
    next_handle: u64,
}

impl Sad {
    pub(crate) fn new() -> Self {
        Self {
            inbound: HashMap::new(),
            outbound: HashMap::new(),
            next_handle: 1,
        }
    }

    pub(crate) fn inbound(&self, spi: u32) -> Option<&Inbound> {
        self.inbound.get(&spi).map(Box::as_ref)
    }

    pub(crate) fn outbound(&self, handle: u64) -> Option<&Outbound> {
        self.outbound.get(&handle).map(Box::as_ref)
    }

    pub(crate) fn install_inbound(&mut self, p: &InboundParameters) -> Result<(), PlaneError> {
        if self.inbound.contains_key(&p.spi) {
            return Err(PlaneError::DuplicateSpi(p.spi));
        }
        self.inbound.insert(p.spi, Inbound::new(p)?.into());
        Ok(())
    }

    pub(crate) fn install_outbound(&mut self, p: &OutboundParameters) -> Result<u64, PlaneError> {
        let handle = self.next_handle;
        self.outbound
            .insert(handle, Outbound::new(handle, p)?.into());
        self.next_handle += 1;
        Ok(handle)
    }

    pub(crate) fn move_outbound(&mut self, handle: u64, tunnel: Tunnel) -> Result<(), PlaneError> {
        check_tunnel(&tunnel)?;
        let sa = self
            .outbound
            .get_mut(&handle)
            .ok_or(PlaneError::UnknownHandle(handle))?;
        sa.tunnel = tunnel;
        Ok(())
    }

    pub(crate) fn remove_inbound(&mut self, spi: u32) -> Result<(), PlaneError> {
        let removed = self.inbound.remove(&spi);
        removed.map(|_| ()).ok_or(PlaneError::UnknownSpi(spi))
    }

    pub(crate) fn remove_outbound(&mut self, handle: u64) -> Result<(), PlaneError> {
        let removed = self.outbound.remove(&handle);
        removed.map(|_| ()).ok_or(PlaneError::UnknownHandle(handle))
    }
}

fn check_tunnel(tunnel: &Tunnel) -> Result<(), PlaneError> {
    same_family(tunnel.local, tunnel.remote)?;
    if (tunnel.local_port == 0) != (tunnel.remote_port == 0) {
        return Err(PlaneError::Ports(tunnel.local_port, tunnel.remote_port));
    }
    Ok(())
}

fn same_family(local: IpAddr, remote: IpAddr) -> Result<(), PlaneError> {
    if local.is_ipv4() == remote.is_ipv4() {
        return Ok(());
    }
    Err(PlaneError::MixedFamilies(local, remote))
}
