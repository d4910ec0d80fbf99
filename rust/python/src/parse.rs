//! From Python's values to the plane's.

use std::net::IpAddr;

use caponier_plane::{KeyMaterial, Selector, Width};
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
