//! The Python module `caponier._plane`: the packet core's face.
use pyo3::prelude::*;

/// The packet core of Caponier.
#[pymodule]
mod _plane {
    /// The version of the packet core.
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
