//! The MODP groups for Python.

use caponier_modp::{public, shared, Error, Group};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

fn refused(error: Error) -> PyErr {
    match error {
        Error::OutOfMemory => PyMemoryError::new_err(error.to_string()),
        Error::UnknownGroup(_)
        | Error::PublicOutOfRange
        | Error::PublicOutOfSubgroup
        | Error::BadPrivate => PyValueError::new_err(error.to_string()),
    }
}

/// g^x mod p of an IKE MODP group, big-endian, as long as the prime.
#[pyfunction]
pub fn modp_public<'py>(
    py: Python<'py>,
    group: u16,
    private: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let group = Group::new(group).map_err(refused)?;
    let octets = public(group, private).map_err(refused)?;
    Ok(PyBytes::new(py, &octets))
}

/// y^x mod p; raises ValueError where y is not in 2 to p - 2, or not in the group's subgroup.
#[pyfunction]
#[pyo3(signature = (group, private, public))]
pub fn modp_shared<'py>(
    py: Python<'py>,
    group: u16,
    private: &[u8],
    public: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let group = Group::new(group).map_err(refused)?;
    let octets = shared(group, private, public).map_err(refused)?;
    Ok(PyBytes::new(py, &octets))
}
