//! Why the plane refuses a call of the control side.

use caponier_packet::ah::OuterError;
use caponier_packet::esp::KeyError;

use crate::parameters::Protocol;

/// A refused call.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaneError {
    /// SPIs 0 to 255 are reserved (RFC 4303 section 2.1).
    #[error("SPI {0} is reserved; SPIs start at 256")]
    ReservedSpi(u32),
    /// An inbound SA with this SPI exists.
    #[error("there is an inbound SA of {1} with SPI {0:#010x} already")]
    DuplicateSpi(u32, Protocol),
    /// No inbound SA has this SPI.
    #[error("there is no inbound SA of {1} with SPI {0:#010x}")]
    UnknownSpi(u32, Protocol),
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
    /// RFC 3948 section 1.1: "the IPsec AH protocol" is not encapsulated, for it covers the addresses that a NAT changes.
    #[error("AH is not carried in UDP; ports 0 and 0 are allowed, got {0} and {1}")]
    AhInUdp(u16, u16),
    /// Without UDP, the packets of transport mode have their own IP header.
    #[error(
        "an SA in transport mode without UDP does not move: its packets have addresses of its own"
    )]
    TransportMoves,
    /// AH in tunnel mode seals the outer header too.
    #[error("AH in tunnel mode needs the tunnel's addresses")]
    NoAddresses,
    /// A path MTU that no path has.
    #[error("a path MTU of {0} octets; it must be 0 or at least {1}")]
    PathMtu(u32, u32),
    /// TFC padding has its end found by the inner packet's length (RFC 4303 section 2.7).
    #[error("TFC padding up to {0} octets; it is for ESP in tunnel mode only")]
    Tfc(u16),
    /// A sequence number that a new SA cannot start from.
    #[error("the first sequence number is {0}; it must be from 1 to the last one of the SA")]
    Sequence(u64),
    /// The algorithms or the lengths of their keys are wrong.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The outer header of AH in tunnel mode cannot be sealed.
    #[error(transparent)]
    Outer(#[from] OuterError),
}
