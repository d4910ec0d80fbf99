//! The plane with its interface, its sockets and its threads.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caponier_io::{EventFd, Runner};
use caponier_plane::{
    Action, Counters, InboundParameters, OutboundParameters, PolicyParameters, Tunnel,
};
use pyo3::prelude::*;

use crate::events::{self, EventTuple};
use crate::parse::{self, LifetimeTuple, SelectorTuple};
use crate::refused;

type CounterTuple = (u64, u64, HashMap<&'static str, u64>);

/// One TUN interface, its SAD and SPD, and the threads that carry packets between them and the sockets.
#[pyclass(frozen, module = "caponier._plane")]
pub struct Plane {
    plane: Arc<caponier_plane::Plane>,
    runner: Mutex<Runner>,
    interface: String,
    woken: Arc<EventFd>,
}

impl Plane {
    fn runner(&self) -> MutexGuard<'_, Runner> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Plane {
    #[new]
    #[pyo3(signature = (*, interface, mark, workers = 1))]
    fn new(interface: &str, mark: u32, workers: usize) -> PyResult<Self> {
        if !(1..=64).contains(&workers) {
            return Err(refused(format!("{workers} workers; 1 to 64 are allowed")));
        }
        let plane = Arc::new(caponier_plane::Plane::new());
        let runner = Runner::new(Arc::clone(&plane), interface, mark, workers).map_err(refused)?;
        let woken = Arc::new(EventFd::new().map_err(refused)?);
        let raised = Arc::clone(&woken);
        plane.set_waker(Box::new(move || raised.raise()));
        let interface = runner.interface().to_owned();
        Ok(Self {
            plane,
            runner: Mutex::new(runner),
            interface,
            woken,
        })
    }

    /// The interface's name.
    #[getter]
    fn interface(&self) -> &str {
        &self.interface
    }

    /// Create another TUN interface.
    fn add_interface(&self, name: &str) -> PyResult<(u32, String)> {
        self.runner().add_interface(name).map_err(refused)
    }

    /// Remove a TUN interface that was added.
    fn remove_interface(&self, py: Python<'_>, number: u32) -> PyResult<()> {
        py.detach(|| self.runner().remove_interface(number))
            .map_err(refused)
    }

    /// Use a bound UDP socket.
    fn attach_udp(&self, fd: RawFd) -> PyResult<()> {
        self.runner().attach_udp(fd).map_err(refused)
    }

    /// Use a raw socket of protocol 50, 51 or 255.
    fn attach_raw(&self, fd: RawFd) -> PyResult<()> {
        self.runner().attach_raw(fd).map_err(refused)
    }

    /// Start the threads.
    fn start(&self) -> PyResult<()> {
        self.runner().start().map_err(refused)
    }

    /// Stop the threads, remove the interface, wipe all keys.
    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            self.runner().close();
            self.plane.clear();
        });
    }

    /// Add an inbound SA.
    #[pyo3(signature = (*, spi, protocol = "esp", mode = "tunnel", encryption, key_length, encryption_key, integrity,
        integrity_key, esn = false, replay_window, local, remote, local_address, remote_address, remote_port = 0,
        interface = 0, nat = None, ecn = true, clamp = 0, lifetime = (0, 0, 0, 0)))]
    #[allow(clippy::too_many_arguments)] // an SA has as many parameters as RFC 4301 section 4.4.2.1 gives it
    fn install_inbound(
        &self,
        spi: u32,
        protocol: &str,
        mode: &str,
        encryption: u16,
        key_length: u16,
        encryption_key: &[u8],
        integrity: u16,
        integrity_key: &[u8],
        esn: bool,
        replay_window: u32,
        local: Vec<SelectorTuple>,
        remote: Vec<SelectorTuple>,
        local_address: &str,
        remote_address: &str,
        remote_port: u16,
        interface: u32,
        nat: Option<(String, String)>,
        ecn: bool,
        clamp: u16,
        lifetime: LifetimeTuple,
    ) -> PyResult<()> {
        let parameters = InboundParameters {
            spi,
            protocol: parse::protocol(protocol)?,
            mode: parse::mode(mode)?,
            keys: parse::keys(
                encryption,
                key_length,
                encryption_key,
                integrity,
                integrity_key,
            ),
            width: parse::width(esn),
            replay_window,
            local: parse::selectors(local)?,
            remote: parse::selectors(remote)?,
            local_address: parse::address(local_address)?,
            remote_address: parse::address(remote_address)?,
            remote_port,
            interface,
            nat: parse::nat(nat)?,
            ecn,
            clamp,
            lifetime: parse::lifetime(lifetime),
        };
        self.plane.install_inbound(parameters).map_err(refused)
    }

    /// Add an outbound SA; returns its handle.
    #[pyo3(signature = (*, spi, protocol = "esp", mode = "tunnel", encryption, key_length, encryption_key, integrity,
        integrity_key, esn = false, tfc = 0, local_address, local_port, remote_address, remote_port, dscp = None,
        ecn = true, df = "copy", path_mtu = 0, clamp = 0, lifetime = (0, 0, 0, 0)))]
    #[allow(clippy::too_many_arguments)] // as above
    fn install_outbound(
        &self,
        spi: u32,
        protocol: &str,
        mode: &str,
        encryption: u16,
        key_length: u16,
        encryption_key: &[u8],
        integrity: u16,
        integrity_key: &[u8],
        esn: bool,
        tfc: u16,
        local_address: &str,
        local_port: u16,
        remote_address: &str,
        remote_port: u16,
        dscp: Option<u8>,
        ecn: bool,
        df: &str,
        path_mtu: u32,
        clamp: u16,
        lifetime: LifetimeTuple,
    ) -> PyResult<u64> {
        let parameters = OutboundParameters {
            spi,
            protocol: parse::protocol(protocol)?,
            mode: parse::mode(mode)?,
            keys: parse::keys(
                encryption,
                key_length,
                encryption_key,
                integrity,
                integrity_key,
            ),
            width: parse::width(esn),
            tfc,
            tunnel: Tunnel {
                local: parse::address(local_address)?,
                local_port,
                remote: parse::address(remote_address)?,
                remote_port,
            },
            marking: parse::marking(dscp, ecn)?,
            df: parse::dont_fragment(df)?,
            path_mtu,
            clamp,
            lifetime: parse::lifetime(lifetime),
        };
        self.plane.install_outbound(parameters).map_err(refused)
    }

    /// Send what an outbound SA seals elsewhere.
    #[pyo3(signature = (handle, *, local_address, local_port, remote_address, remote_port))]
    fn move_outbound(
        &self,
        handle: u64,
        local_address: &str,
        local_port: u16,
        remote_address: &str,
        remote_port: u16,
    ) -> PyResult<()> {
        let (local, remote) = (
            parse::address(local_address)?,
            parse::address(remote_address)?,
        );
        self.plane
            .move_outbound(
                handle,
                Tunnel {
                    local,
                    local_port,
                    remote,
                    remote_port,
                },
            )
            .map_err(refused)
    }

    /// Tell where the peer of an inbound SA is now.
    #[pyo3(signature = (spi, *, protocol = "esp", remote_address, remote_port))]
    fn move_inbound(
        &self,
        spi: u32,
        protocol: &str,
        remote_address: &str,
        remote_port: u16,
    ) -> PyResult<()> {
        let protocol = parse::protocol(protocol)?;
        let address = parse::address(remote_address)?;
        self.plane
            .move_inbound(protocol, spi, address, remote_port)
            .map_err(refused)
    }

    /// Tell the path MTU of an outbound SA.
    fn set_path_mtu(&self, handle: u64, path_mtu: u32) -> PyResult<()> {
        self.plane.set_path_mtu(handle, path_mtu).map_err(refused)
    }

    /// Remove an inbound SA.
    #[pyo3(signature = (spi, protocol = "esp"))]
    fn remove_inbound(&self, spi: u32, protocol: &str) -> PyResult<()> {
        let protocol = parse::protocol(protocol)?;
        self.plane.remove_inbound(protocol, spi).map_err(refused)
    }

    /// Remove an outbound SA.
    fn remove_outbound(&self, handle: u64) -> PyResult<()> {
        self.plane.remove_outbound(handle).map_err(refused)
    }

    /// Add or replace a policy.
    #[pyo3(signature = (*, policy, order, interface = 0, local, remote, action, outbound))]
    #[allow(clippy::too_many_arguments)] // as above
    fn install_policy(
        &self,
        policy: u64,
        order: i64,
        interface: u32,
        local: Vec<SelectorTuple>,
        remote: Vec<SelectorTuple>,
        action: &str,
        outbound: Option<u64>,
    ) -> PyResult<()> {
        let action = match action {
            "protect" => Action::Protect(outbound),
            "discard" => Action::Discard,
            "bypass" => Action::Bypass,
            other => {
                return Err(refused(format!(
                    "{other:?} is no action: protect, discard or bypass"
                )))
            }
        };
        let (local, remote) = (parse::selectors(local)?, parse::selectors(remote)?);
        self.plane
            .install_policy(PolicyParameters {
                policy,
                interface,
                order,
                local,
                remote,
                action,
            })
            .map_err(refused)
    }

    /// Remove a policy.
    fn remove_policy(&self, policy: u64) -> PyResult<()> {
        self.plane.remove_policy(policy).map_err(refused)
    }

    /// Packets, inner octets, drops by reason.
    #[pyo3(signature = (spi, protocol = "esp"))]
    fn inbound_counters(&self, spi: u32, protocol: &str) -> PyResult<CounterTuple> {
        self.plane
            .inbound_counters(parse::protocol(protocol)?, spi)
            .map(counters)
            .map_err(refused)
    }

    /// Packets, inner octets, drops by reason.
    fn outbound_counters(&self, handle: u64) -> PyResult<CounterTuple> {
        self.plane
            .outbound_counters(handle)
            .map(counters)
            .map_err(refused)
    }

    /// Packets dropped outside of any SA, by reason.
    fn drops(&self) -> HashMap<&'static str, u64> {
        let overruns = self.runner().overruns().into_iter();
        let overruns = overruns.map(|(reason, count)| (reason.name(), count));
        self.plane.drops().into_iter().chain(overruns).collect()
    }

    /// Packets that left as they were.
    fn bypassed(&self) -> u64 {
        self.plane.bypassed()
    }

    /// Report dropped packets anew.
    fn audit_again(&self) {
        self.plane.audit_again();
    }

    /// A descriptor that is readable while there are events.
    fn event_fd(&self) -> RawFd {
        self.woken.fd()
    }

    /// Take the events.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<EventTuple<'py>>> {
        self.woken.lower(); // before taking: an event that comes in between raises it again
        let events = self.plane.take_events().into_iter();
        events.map(|event| events::tuple(py, event)).collect()
    }
}

fn counters(found: Counters) -> CounterTuple {
    (
        found.packets,
        found.octets,
        found.drops.into_iter().collect(),
    )
}
