//! Events as Python sees them: what happened, to what, and its details.

use caponier_plane::{Direction, Dropped, Event, Protocol};
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
        Event::PeerMoved {
            protocol,
            spi,
            address,
            port,
        } => {
            details.set_item("protocol", name(protocol))?;
            details.set_item("address", address.to_string())?;
            details.set_item("port", port)?;
            ("peer-moved", u64::from(spi))
        }
        Event::Dropped(dropped) => {
            describe(&details, &dropped)?;
            ("dropped", dropped.number)
        }
        Event::PortFailed { errno, interface } => {
            if let Some(interface) = interface {
                details.set_item("interface", interface)?;
            }
            ("port-failed", u64::from(errno.unsigned_abs()))
        }
    };
    Ok((kind, number, details))
}

/// What is known of a packet that was dropped.
fn describe(details: &Bound<'_, PyDict>, dropped: &Dropped) -> PyResult<()> {
    let direction = match dropped.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    details.set_item("direction", direction)?;
    details.set_item("reason", dropped.reason.name())?;
    if let Some(protocol) = dropped.protocol {
        details.set_item("protocol", name(protocol))?;
    }
    if let Some(sequence) = dropped.sequence {
        details.set_item("sequence", sequence)?;
    }
    let inner = dropped.inner.unzip();
    for (key, address) in [
        ("source", dropped.source),
        ("destination", dropped.destination),
        ("inner_source", inner.0),
        ("inner_destination", inner.1),
    ] {
        if let Some(address) = address {
            details.set_item(key, address.to_string())?;
        }
    }
    Ok(())
}

fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Esp => "esp",
        Protocol::Ah => "ah",
    }
}
