//! The SAD (RFC 4301 section 4.4.2): inbound SAs by protocol and SPI, outbound SAs by handle.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use caponier_packet::inner::Inner;
use caponier_packet::mss;
use caponier_packet::replay;
use caponier_packet::transform::Shape;
use caponier_packet::transport::nat::RealAddresses;
use caponier_packet::transport::{Form, PlainHeader};

use crate::counters::SaCounters;
use crate::error::PlaneError;
use crate::events::Events;
use crate::handles::Handles;
use crate::lifetime::{Owner, Watch};
use crate::mix::Mix;
use crate::outbox::Lane;
use crate::parameters::{
    Arrival, DontFragment, InboundParameters, Mode, OutboundParameters, Protocol, Tunnel,
};
use crate::path::{self, Path};
use crate::peer::Peer;
use crate::selector::Sides;
use crate::standalone::{Opener, Sealer};
use crate::transforms::Association;
use crate::turns::Turns;

/// The first sequence number of an SA (RFC 4303 section 3.3.3).
const FIRST: u64 = 1;

/// An inbound SA.
pub(crate) struct Inbound {
    pub(crate) opener: Opener,
    pub(crate) mode: Mode,
    pub(crate) nat: Option<RealAddresses>,
    /// Whether the outer header's ECN is taken over.
    pub(crate) ecn: bool,
    /// Octets of the packets that TCP's segments shall fit, or 0.
    pub(crate) clamp: u16,
    pub(crate) counters: SaCounters,
    pub(crate) watch: Watch,
    pub(crate) peer: Peer,
    /// The TUN interface that what comes out goes to.
    pub(crate) interface: u32,
    selectors: Sides,
    local_address: IpAddr,
    remote_address: IpAddr,
}

impl Inbound {
    fn new(p: &InboundParameters, least_window: u32) -> Result<Self, PlaneError> {
        same_family(p.local_address, p.remote_address)?;
        let association = Association {
            protocol: p.protocol,
            mode: p.mode,
            spi: p.spi,
            keys: &p.keys,
            width: p.width,
        };
        if !replay::SIZES.contains(&p.replay_window) {
            return Err(PlaneError::ReplayWindow(p.replay_window));
        }
        let window = p.replay_window.max(least_window);
        Ok(Self {
            opener: Opener::new(association, window)?,
            mode: p.mode,
            nat: p.nat,
            ecn: p.ecn,
            clamp: p.clamp,
            counters: SaCounters::new(),
            watch: Watch::new(Owner::Inbound(p.protocol, p.spi), p.lifetime),
            peer: Peer::new(p.remote_address, p.remote_port),
            interface: p.interface,
            selectors: Sides::new(&p.local, &p.remote)?,
            local_address: p.local_address,
            remote_address: p.remote_address,
        })
    }

    /// The peer is elsewhere now, perhaps at an address of the other family. In transport mode what comes out has the
    /// addresses that it had before.
    fn move_to(&mut self, address: IpAddr, port: u16) -> Result<(), PlaneError> {
        match self.mode {
            Mode::Tunnel => self.remote_address = address,
            Mode::Transport => same_family(self.local_address, address)?,
        }
        self.peer = Peer::new(address, port);
        Ok(())
    }

    /// Whether a packet may come out of it (RFC 4301 section 5.2, step 4). In transport mode its addresses are those of the
    /// SA (section 4.1), unless a NAT changes them.
    pub(crate) fn admits(&self, inner: &Inner) -> bool {
        let has_addresses = self.mode == Mode::Tunnel
            || self.nat.is_some()
            || (inner.source == self.remote_address && inner.destination == self.local_address);
        has_addresses && self.selectors.admit_in(inner)
    }

    /// Lower the Maximum Segment Size of a SYN segment, where the SA wants it.
    pub(crate) fn clamp_segment(&self, packet: &mut [u8], inner: &Inner) {
        if self.clamp > 0 {
            mss::clamp(packet, inner, mss::for_mtu(self.clamp, inner.is_v6()));
        }
    }

    /// The IP header of a packet of transport mode that came without: as it came, but behind a NAT, which may change the
    /// address as it likes, as the SA has it: a connection of the host's has one address all the time.
    pub(crate) fn plain_header(&self, arrival: &Arrival) -> PlainHeader {
        let came = self.nat.is_none();
        let local = arrival.local.filter(|_| came);
        PlainHeader {
            source: if came {
                arrival.remote
            } else {
                self.remote_address
            },
            destination: local.unwrap_or(self.local_address),
            traffic_class: arrival.traffic_class,
            hop_limit: arrival.hop_limit,
        }
    }

    /// False when the outer family is not the SA's.
    ///
    /// Neither the peer's address and port nor the choice between ESP in UDP and raw ESP count: NATs move the former
    /// (RFC 7296 section 2.23), and peers may change to the latter when the path does. The ICV authenticates the packet,
    /// and the SPI alone names a unicast SA (RFC 4301 section 4.1).
    pub(crate) fn fits(&self, arrival: &Arrival) -> bool {
        arrival.remote.to_canonical().is_ipv4() == self.remote_address.is_ipv4()
    }

    /// Count what was carried.
    pub(crate) fn carried(&self, packets: u64, octets: u64, events: &Events) {
        let (packets, octets) = self.counters.carried(packets, octets);
        self.watch.pass(packets, octets, 0, events);
    }
}

/// An outbound SA.
pub(crate) struct Outbound {
    pub(crate) handle: u64,
    pub(crate) sealer: Sealer,
    pub(crate) tunnel: Tunnel,
    pub(crate) counters: SaCounters,
    pub(crate) watch: Watch,
    pub(crate) protocol: Protocol,
    pub(crate) path: Path,
    pub(crate) mode: Mode,
    pub(crate) form: Form,
    pub(crate) df: DontFragment,
    /// Octets of the packets that TCP's segments shall fit, or 0.
    pub(crate) clamp: u16,
    /// Of transport mode: the addresses of its packets, source and destination. They stay when the tunnel moves: the
    /// connections of the host do not.
    addresses: Option<(IpAddr, IpAddr)>,
    turns: Arc<Turns>,
    is_exhausted: AtomicBool,
}

impl Outbound {
    fn new(handle: u64, p: &OutboundParameters) -> Result<Self, PlaneError> {
        check_tunnel(p.protocol, &p.tunnel)?;
        check_path_mtu(p.path_mtu, &p.tunnel)?;
        let association = Association {
            protocol: p.protocol,
            mode: p.mode,
            spi: p.spi,
            keys: &p.keys,
            width: p.width,
        };
        let sealer = Sealer::new(association, Some(&p.tunnel), FIRST)?;
        let sealer = sealer.with_tfc(p.tfc)?.with_marking(p.marking);
        let ends = (p.tunnel.local, p.tunnel.remote);
        Ok(Self {
            handle,
            form: sealer.form(&p.tunnel),
            sealer,
            tunnel: p.tunnel,
            counters: SaCounters::new(),
            watch: Watch::new(Owner::Outbound(handle), p.lifetime).with_numbers(p.width),
            path: Path::new(p.path_mtu),
            mode: p.mode,
            df: p.df,
            clamp: p.clamp,
            protocol: p.protocol,
            addresses: (p.mode == Mode::Transport).then_some(ends),
            turns: Arc::new(Turns::new(FIRST)),
            is_exhausted: AtomicBool::new(false),
        })
    }

    /// The way of its packets of this shape.
    pub(crate) fn lane(&self, shape: &Shape) -> Lane<'_> {
        Lane {
            tunnel: &self.tunnel,
            turns: &self.turns,
            form: self.form,
            handle: self.handle,
            traffic_class: match self.form {
                Form::Bare => shape.traffic_class,
                Form::Whole => 0,
            },
            dont_fragment: self.form == Form::Bare && shape.dont_fragment,
        }
    }

    /// Whether a packet may go into it, which the policy says: in transport mode its addresses must be those of the SA (RFC
    /// 4301 section 4.1). With a Routing header the last destination is not in the IP header.
    pub(crate) fn admits(&self, inner: &Inner) -> bool {
        self.addresses.is_none_or(|(source, destination)| {
            inner.source == source && (inner.destination == destination || inner.is_routed)
        })
    }

    fn move_to(&mut self, tunnel: Tunnel) -> Result<(), PlaneError> {
        check_tunnel(self.protocol, &tunnel)?;
        let form = self.sealer.form(&tunnel);
        let stays = self
            .addresses
            .is_none_or(|own| own == (tunnel.local, tunnel.remote));
        if form == Form::Whole && !stays {
            return Err(PlaneError::TransportMoves);
        }
        self.sealer.move_to(&tunnel)?;
        self.form = form;
        self.tunnel = tunnel;
        self.path.forget();
        Ok(())
    }

    /// Count what was carried.
    pub(crate) fn carried(&self, packets: u64, octets: u64, events: &Events) {
        let (packets, octets) = self.counters.carried(packets, octets);
        let number = self.sealer.used();
        self.watch.pass(packets, octets, number, events);
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
    inbound: HashMap<(Protocol, u32), Box<Inbound>, Mix>,
    outbound: Handles<Outbound>,
}

impl Sad {
    pub(crate) fn new() -> Self {
        Self {
            inbound: HashMap::default(),
            outbound: Handles::new(),
        }
    }

    pub(crate) fn inbound(&self, protocol: Protocol, spi: u32) -> Option<&Inbound> {
        self.inbound.get(&(protocol, spi)).map(Box::as_ref)
    }

    pub(crate) fn outbound(&self, handle: u64) -> Option<&Outbound> {
        self.outbound.get(handle)
    }

    /// `least_window`: packets that its replay window has at least, whatever the parameters say.
    pub(crate) fn install_inbound(
        &mut self,
        p: &InboundParameters,
        least_window: u32,
    ) -> Result<(), PlaneError> {
        let key = (p.protocol, p.spi);
        if self.inbound.contains_key(&key) {
            return Err(PlaneError::DuplicateSpi(p.spi, p.protocol));
        }
        self.inbound
            .insert(key, Inbound::new(p, least_window)?.into());
        Ok(())
    }

    pub(crate) fn install_outbound(&mut self, p: &OutboundParameters) -> Result<u64, PlaneError> {
        let handle = self.outbound.next().ok_or(PlaneError::Handles)?;
        let sa = Outbound::new(handle, p)?;
        self.outbound.insert_next(Box::new(sa));
        Ok(handle)
    }

    pub(crate) fn move_outbound(&mut self, handle: u64, tunnel: Tunnel) -> Result<(), PlaneError> {
        let sa = self.outbound.get_mut(handle);
        sa.ok_or(PlaneError::UnknownHandle(handle))?.move_to(tunnel)
    }

    pub(crate) fn move_inbound(
        &mut self,
        protocol: Protocol,
        spi: u32,
        address: IpAddr,
        port: u16,
    ) -> Result<(), PlaneError> {
        let sa = self.inbound.get_mut(&(protocol, spi));
        let sa = sa.ok_or(PlaneError::UnknownSpi(spi, protocol))?;
        sa.move_to(address, port)
    }

    pub(crate) fn remove_inbound(
        &mut self,
        protocol: Protocol,
        spi: u32,
    ) -> Result<(), PlaneError> {
        let removed = self.inbound.remove(&(protocol, spi));
        let gone = removed.map(|_| ());
        gone.ok_or(PlaneError::UnknownSpi(spi, protocol))
    }

    pub(crate) fn set_path_mtu(&self, handle: u64, mtu: u32) -> Result<(), PlaneError> {
        let sa = self.outbound(handle);
        let sa = sa.ok_or(PlaneError::UnknownHandle(handle))?;
        check_path_mtu(mtu, &sa.tunnel)?;
        sa.path.configure(mtu);
        Ok(())
    }

    pub(crate) fn remove_outbound(&mut self, handle: u64) -> Result<(), PlaneError> {
        let removed = self.outbound.remove(handle);
        removed.map(|_| ()).ok_or(PlaneError::UnknownHandle(handle))
    }
}

fn check_tunnel(protocol: Protocol, tunnel: &Tunnel) -> Result<(), PlaneError> {
    same_family(tunnel.local, tunnel.remote)?;
    let ports = (tunnel.local_port, tunnel.remote_port);
    match protocol {
        Protocol::Ah if ports != (0, 0) => Err(PlaneError::AhInUdp(ports.0, ports.1)),
        Protocol::Esp if (ports.0 == 0) != (ports.1 == 0) => {
            Err(PlaneError::Ports(ports.0, ports.1))
        }
        _ => Ok(()),
    }
}

fn check_path_mtu(mtu: u32, tunnel: &Tunnel) -> Result<(), PlaneError> {
    let least = path::floor(tunnel.remote);
    if mtu == 0 || mtu >= least {
        return Ok(());
    }
    Err(PlaneError::PathMtu(mtu, least))
}

fn same_family(local: IpAddr, remote: IpAddr) -> Result<(), PlaneError> {
    if local.is_ipv4() == remote.is_ipv4() {
        return Ok(());
    }
    Err(PlaneError::MixedFamilies(local, remote))
}
