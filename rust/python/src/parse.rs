//! From Python's values to the plane's.

use std::net::IpAddr;

use caponier_plane::ecn::{Dscp, Encapsulation, Marking};
use caponier_plane::{
    DontFragment, KeyMaterial, Lifetime, Mode, Protocol, RealAddresses, Selector, Width,
};
use pyo3::prelude::*;

use crate::refused;

/// (protocol, start port, end port, first address, last address)
pub type SelectorTuple = (u8, u16, u16, String, String);

pub fn address(text: &str) -> PyResult<IpAddr> {
    text.parse()
        .map_err(|_| refused(format!("{text:?} is no IP address")))
}

pub fn selectors(tuples: Vec<SelectorTuple>) -> PyResult<Vec<Selector>> {
    tuples
        .into_iter()
        .map(|(protocol, start_port, end_port, first, last)| {
            Ok(Selector {
                protocol,
                start_port,
                end_port,
                first: address(&first)?,
                last: address(&last)?,
            })
        })
        .collect()
}

/// (soft octets, hard octets, soft packets, hard packets)
pub type LifetimeTuple = (u64, u64, u64, u64);

pub fn lifetime((soft_octets, hard_octets, soft_packets, hard_packets): LifetimeTuple) -> Lifetime {
    Lifetime {
        soft_octets,
        hard_octets,
        soft_packets,
        hard_packets,
    }
}

pub fn protocol(text: &str) -> PyResult<Protocol> {
    match text {
        "esp" => Ok(Protocol::Esp),
        "ah" => Ok(Protocol::Ah),
        _ => Err(refused(format!("{text:?} is no protocol: esp or ah"))),
    }
}

pub fn mode(text: &str) -> PyResult<Mode> {
    match text {
        "tunnel" => Ok(Mode::Tunnel),
        "transport" => Ok(Mode::Transport),
        _ => Err(refused(format!("{text:?} is no mode: tunnel or transport"))),
    }
}

pub fn dont_fragment(text: &str) -> PyResult<DontFragment> {
    match text {
        "copy" => Ok(DontFragment::Copy),
        "set" => Ok(DontFragment::Set),
        "clear" => Ok(DontFragment::Clear),
        _ => Err(refused(format!("df {text:?}: copy, set or clear"))),
    }
}

/// DSCP: that of the inner header, or 0 to 63. ECN: whether it is copied.
pub fn marking(dscp: Option<u8>, ecn: bool) -> PyResult<Marking> {
    let dscp = match dscp {
        None => Dscp::Copied,
        Some(fixed @ 0..=63) => Dscp::Fixed(fixed),
        Some(other) => return Err(refused(format!("DSCP {other}; 0 to 63 are allowed"))),
    };
    let ecn = if ecn {
        Encapsulation::Normal
    } else {
        Encapsulation::Compatibility
    };
    Ok(Marking { dscp, ecn })
}

/// The addresses that a peer's checksums counted: source and destination.
pub fn nat(addresses: Option<(String, String)>) -> PyResult<Option<RealAddresses>> {
    let Some((source, destination)) = addresses else {
        return Ok(None);
    };
    Ok(Some(RealAddresses {
        source: address(&source)?,
        destination: address(&destination)?,
    }))
}

/// Whether sequence numbers have 64 bits (ESN).
pub fn width(esn: bool) -> Width {
    if esn {
        Width::Bits64
    } else {
        Width::Bits32
    }
}

pub fn keys(
    encryption: u16,
    key_length: u16,
    encryption_key: &[u8],
    integrity: u16,
    integrity_key: &[u8],
) -> KeyMaterial {
    KeyMaterial::new(
        encryption,
        key_length,
        encryption_key,
        integrity,
        integrity_key,
    )
}
