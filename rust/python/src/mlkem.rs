//! ML-KEM for Python.

use caponier_mlkem::{decapsulate, encapsulate, generate, Error, Set};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

type Octets<'py> = Bound<'py, PyBytes>;

fn refused(error: Error) -> PyErr {
    match error {
        Error::Failed => PyRuntimeError::new_err(error.to_string()),
        Error::UnknownSet(_) | Error::BadEncapsulationKey | Error::BadLength => {
            PyValueError::new_err(error.to_string())
        }
    }
}

/// Encapsulation key and decapsulation key of a seed of 64 octets.
#[pyfunction]
pub fn mlkem_generate<'py>(
    py: Python<'py>,
    method: u16,
    seed: &[u8],
) -> PyResult<(Octets<'py>, Octets<'py>)> {
    let (public, secret) = generate(Set::new(method).map_err(refused)?, seed).map_err(refused)?;
    Ok((PyBytes::new(py, &public), PyBytes::new(py, &secret)))
}

/// Ciphertext and shared secret, by 32 random octets; raises ValueError where the key is none.
#[pyfunction]
#[pyo3(signature = (method, key, message))]
pub fn mlkem_encapsulate<'py>(
    py: Python<'py>,
    method: u16,
    key: &[u8],
    message: &[u8],
) -> PyResult<(Octets<'py>, Octets<'py>)> {
    let set = Set::new(method).map_err(refused)?;
    let (ciphertext, shared) = encapsulate(set, key, message).map_err(refused)?;
    Ok((PyBytes::new(py, &ciphertext), PyBytes::new(py, &shared)))
}

/// The shared secret of a ciphertext.
#[pyfunction]
#[pyo3(signature = (method, key, ciphertext))]
pub fn mlkem_decapsulate<'py>(
    py: Python<'py>,
    method: u16,
    key: &[u8],
    ciphertext: &[u8],
) -> PyResult<Octets<'py>> {
    let set = Set::new(method).map_err(refused)?;
    let shared = decapsulate(set, key, ciphertext).map_err(refused)?;
    Ok(PyBytes::new(py, &shared))
}
