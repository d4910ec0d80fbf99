//! Transport mode (RFC 4301 section 4.1): where ESP and AH stand in an IP packet, and what its headers say then.
//!
//! ```text
//! IPv4 | IP header, options |                                 ESP or AH | TCP, UDP, ... |
//! IPv6 | IP header | hop-by-hop, dest. options, routing, fragment | ESP or AH | dest. options | TCP, UDP, ... |
//! ```
//!
//! Destination options stay in front only where a Routing or a Fragment header follows, which a router on the way may
//! have to look behind; all others are protected (RFC 4303 section 3.1.1: "it generally will be desirable to place the
//! destination options header(s) after the ESP header"). Fragments are refused: transport mode is for whole datagrams
//! (RFC 4303 section 3.3.4).

mod esp;
pub mod nat;
mod place;
mod plain;

pub use esp::{Form, Opener, Sealer};
pub use place::{Place, Unfit};
pub use plain::PlainHeader;

pub(crate) use esp::open_whole;
pub(crate) use place::total_len;

#[cfg(test)]
mod round_trip;
