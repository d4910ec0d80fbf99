//! Why the plane refuses a call of the control side.

use caponier_packet::esp::KeyError;

/// A refused call.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaneError {
    /// SPIs 0 to 255 are reserved (RFC 4303 section 2.1).
    #[error("SPI {0} is reserved; SPIs start at 256")]
    ReservedSpi(u32),
    /// An inbound SA with this SPI exists.
    #[error("there is an inbound SA with SPI {0:#010x} already")]
    DuplicateSpi(u32),
    /// No inbound SA has this SPI.
    #[error("there is no inbound SA with SPI {0:#010x}")]
    UnknownSpi(u32),
    /// No outbound SA has this handle.
    #[error("there is no outbound SA with handle {0}")]
    UnknownHandle(u64),
    /// No policy has this number.
    #[error("there is no policy {0}")]
    UnknownPolicy(u64),
    /// The replay window is too small or too large.
    #[error("a replay window of {0} packets; it must be from 32 to 4096")]
    ReplayWindow(u32),
    /// A selector is not a range.
    #[error("selector {0}: the addresses are not a range of one family")]
    Selector(String),
    /// The outer addresses are of different families.
    #[error("the tunnel's addresses {0} and {1} are of different families")]
    MixedFamilies(std::net::IpAddr, std::net::IpAddr),
    /// One of the ports is 0 and the other is not.
    #[error("ESP in UDP needs both ports, raw ESP none; got {0} and {1}")]
    Ports(u16, u16),
    /// A sequence number that a new SA cannot start from.
    #[error("the first sequence number is {0}; it must be from 1 to the last one of the SA")]
    Sequence(u64),
    /// The algorithms or the lengths of their keys are wrong.
    #[error(transparent)]
    Keys(#[from] KeyError),
}
