//! The Python module `caponier._plane`: the packet core's face.

use pyo3::prelude::*;

mod modp;

/// The packet core of Caponier.
#[pymodule]
mod _plane {
    #[pymodule_export]
    use super::modp::{modp_public, modp_shared};

    /// The version of the packet core.
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
