//! The Python module `caponier._plane`: the packet core's face. It checks what Python hands over, turns it into the plane's
//! own types, and lets go of the interpreter's lock wherever it waits.

use pyo3::prelude::*;

mod events;
mod mlkem;
mod modp;
mod parse;
mod plane;
mod standalone;

pyo3::create_exception!(
    _plane,
    PlaneError,
    pyo3::exceptions::PyException,
    "The plane refused a call or the system refused the plane."
);

pub(crate) fn refused(error: impl std::fmt::Display) -> PyErr {
    PlaneError::new_err(error.to_string())
}

/// The packet core of Caponier.
#[pymodule]
mod _plane {
    #[pymodule_export]
    use super::mlkem::{mlkem_decapsulate, mlkem_encapsulate, mlkem_generate};
    #[pymodule_export]
    use super::modp::{modp_public, modp_shared};
    #[pymodule_export]
    use super::plane::Plane;
    #[pymodule_export]
    use super::standalone::{Opener, Sealer};
    #[pymodule_export]
    use super::PlaneError;

    /// The version of the packet core.
    #[pymodule_export]
    #[allow(non_upper_case_globals)] // Python spells it so
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
