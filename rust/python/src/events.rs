//! Events as Python sees them: what happened, to what, and its details.

use caponier_plane::{Event, Protocol};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// (kind, number, details)
pub type EventTuple<'py> = (&'static str, u64, Bound<'py, PyDict>);

pub fn tuple(py: Python<'_>, event: Event) -> PyResult<EventTuple<'_>> {
    let details = PyDict::new(py);
    let (kind, number) = match event {
        Event::Acquire { policy } => ("acquire", policy),
        Event::SequenceExhausted { handle } => ("sequence-exhausted", handle),
        Event::Expiring { handle } => ("expiring", handle),
        Event::Expired { handle } => ("expired", handle),
        Event::InboundExpiring { protocol, spi } => {
            details.set_item("protocol", name(protocol))?;
            ("inbound-expiring", u64::from(spi))
        }
        Event::InboundExpired { protocol, spi } => {
            details.set_item("protocol", name(protocol))?;
            ("inbound-expired", u64::from(spi))
        }
        Event::PortFailed { errno } => ("port-failed", u64::from(errno.unsigned_abs())),
    };
    Ok((kind, number, details))
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Esp => "esp",
        Protocol::Ah => "ah",
    }
}
