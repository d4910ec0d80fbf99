//! One SA by itself, without I/O: for tests and tools.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{parse, refused};

/// One outbound SA.
#[pyclass(frozen, module = "caponier._plane")]
pub struct Sealer(caponier_plane::Sealer);

#[pymethods]
impl Sealer {
    #[new]
    #[pyo3(signature = (*, spi, encryption, key_length, encryption_key, integrity, integrity_key, esn = false,
        sequence = 1, tfc = 0))]
    #[allow(clippy::too_many_arguments)] // an SA has as many parameters as RFC 4301 section 4.4.2.1 gives it
    fn new(
        spi: u32,
        encryption: u16,
        key_length: u16,
        encryption_key: &[u8],
        integrity: u16,
        integrity_key: &[u8],
        esn: bool,
        sequence: u64,
        tfc: u16,
    ) -> PyResult<Self> {
        let keys = parse::keys(
            encryption,
            key_length,
            encryption_key,
            integrity,
            integrity_key,
        );
        caponier_plane::Sealer::new(spi, &keys, parse::width(esn), sequence)
            .map(|sealer| Self(sealer.with_tfc(tfc)))
            .map_err(refused)
    }

    /// From an inner IP packet to an ESP packet.
    fn seal<'py>(&self, py: Python<'py>, inner: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        self.0
            .seal(inner)
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
    #[pyo3(signature = (*, spi, encryption, key_length, encryption_key, integrity, integrity_key, esn = false,
        replay_window = 64))]
    #[allow(clippy::too_many_arguments)] // as above
    fn new(
        spi: u32,
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
        caponier_plane::Opener::new(spi, &keys, parse::width(esn), replay_window)
            .map(Self)
            .map_err(refused)
    }

    /// From an ESP packet to the inner IP packet; the error is the drop's name.
    fn open<'py>(&self, py: Python<'py>, esp: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        self.0
            .open(esp)
            .map(|octets| PyBytes::new(py, &octets))
            .map_err(refused)
    }
}
