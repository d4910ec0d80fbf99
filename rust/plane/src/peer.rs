//! Where the peer of an inbound SA in UDP is, and whether it moved (RFC 7296 section 2.23): a NAT may give it another
//! address or port at any time, and only its packets tell.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::parameters::Arrival;

/// The peer's address and port as the control side knows them.
#[derive(Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    /// 0: nobody wants to know.
    port: u16,
    /// It was reported, and nobody took the report yet.
    is_reported: AtomicBool,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            is_reported: AtomicBool::new(false),
        }
    }

    /// An authenticated packet, and a new one, came from `arrival`: true if the peer moved, once until [`Peer::clear`]. What
    /// came without UDP tells nothing.
    #[inline]
    pub(crate) fn has_moved(&self, arrival: &Arrival) -> bool {
        let is_elsewhere =
            self.port != arrival.remote_port || self.address != arrival.remote.to_canonical();
        is_elsewhere && self.port != 0 && arrival.encapsulated && self.raise()
    }

    #[cold]
    fn raise(&self) -> bool {
        // A load first: all packets come from there until somebody looks.
        !self.is_reported.load(Ordering::Relaxed) && !self.is_reported.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn clear(&self) {
        self.is_reported.store(false, Ordering::Relaxed);
    }
}
