//! What the system refused.

use std::io;

/// A refused system call, and what it was for.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// The system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was being done, with its object.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// An interface name that cannot be one.
    #[error("{0:?} is no name for an interface: 1 to 15 characters, without spaces and slashes")]
    InterfaceName(String),
    /// A descriptor that is not the socket it should be.
    #[error("the descriptor is not {0}")]
    NotTheSocket(&'static str),
    /// No interface that could be removed has this number.
    #[error("there is no interface {0} that was added")]
    NoInterface(u32),
    /// The threads run already, or were stopped.
    #[error("the plane {0}")]
    State(&'static str),
}

impl IoError {
    /// The last error of this thread.
    pub(crate) fn last(what: impl Into<String>) -> Self {
        Self::System {
            what: what.into(),
            source: io::Error::last_os_error(),
        }
    }
}

/// Turn the -1 of a system call into an error.
pub(crate) fn checked(result: libc::c_int, what: &str) -> Result<libc::c_int, IoError> {
    if result < 0 {
        Err(IoError::last(what))
    } else {
        Ok(result)
    }
}
