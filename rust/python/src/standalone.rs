//! One SA by itself, without I/O: for tests and tools.

use caponier_plane::{Association, Tunnel};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{parse, refused};

/// One outbound SA.
#[pyclass(frozen, module = "caponier._plane")]
pub struct Sealer(caponier_plane::Sealer);

#[pymethods]
impl Sealer {
    #[new]
    #[pyo3(signature = (*, spi, protocol = "esp", mode = "tunnel", encryption, key_length, encryption_key, integrity,
        integrity_key, esn = false, sequence = 1, tfc = 0, local_address = None, remote_address = None))]
    #[allow(clippy::too_many_arguments)] // an SA has as many parameters as RFC 4301 section 4.4.2.1 gives it
    fn new(
        spi: u32,
        protocol: &str,
        mode: &str,
        encryption: u16,
        key_length: u16,
        encryption_key: &[u8],
        integrity: u16,
        integrity_key: &[u8],
        esn: bool,
        sequence: u64,
        tfc: u16,
        local_address: Option<&str>,
        remote_address: Option<&str>,
    ) -> PyResult<Self> {
        let keys = parse::keys(
            encryption,
            key_length,
            encryption_key,
            integrity,
            integrity_key,
        );
        let association = Association {
            protocol: parse::protocol(protocol)?,
            mode: parse::mode(mode)?,
            spi,
            keys: &keys,
            width: parse::width(esn),
        };
        let tunnel = tunnel(local_address, remote_address)?;
        caponier_plane::Sealer::new(association, tunnel.as_ref(), sequence)
            .and_then(|sealer| sealer.with_tfc(tfc))
            .map(Self)
            .map_err(refused)
    }

    /// From an IP packet to what is sent: of ESP in tunnel mode the ESP packet, else all of the IP packet.
    fn seal<'py>(&self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        self.0
            .seal(packet)
            .map(|octets| PyBytes::new(py, &octets))
            .map_err(refused)
    }
}

/// One inbound SA.
#[pyclass(frozen, module = "caponier._plane")]
pub struct Opener(caponier_plane::Opener);

#[pymethods]
impl Opener {
    #[new]
    #[pyo3(signature = (*, spi, protocol = "esp", mode = "tunnel", encryption, key_length, encryption_key, integrity,
        integrity_key, esn = false, replay_window = 64))]
    #[allow(clippy::too_many_arguments)] // as above
    fn new(
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
    ) -> PyResult<Self> {
        let keys = parse::keys(
            encryption,
            key_length,
            encryption_key,
            integrity,
            integrity_key,
        );
        let association = Association {
            protocol: parse::protocol(protocol)?,
            mode: parse::mode(mode)?,
            spi,
            keys: &keys,
            width: parse::width(esn),
        };
        caponier_plane::Opener::new(association, replay_window)
            .map(Self)
            .map_err(refused)
    }

    /// The way back: the inner packet, in transport mode the packet as it was; the error is the drop's name.
    fn open<'py>(&self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        self.0
            .open(packet)
            .map(|octets| PyBytes::new(py, &octets))
            .map_err(refused)
    }
}

/// The ends of a tunnel without UDP; None where an address is missing.
fn tunnel(local: Option<&str>, remote: Option<&str>) -> PyResult<Option<Tunnel>> {
    let (Some(local), Some(remote)) = (local, remote) else {
        return Ok(None);
    };
    Ok(Some(Tunnel {
        local: parse::address(local)?,
        local_port: 0,
        remote: parse::address(remote)?,
        remote_port: 0,
    }))
}
