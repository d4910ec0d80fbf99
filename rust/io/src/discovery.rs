//! Whether a socket's packets may be fragmented (RFC 4301 section 8.1; ip(7), IP_MTU_DISCOVER).

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::IoError;
use crate::socket::set_option;

/// What a socket has last been told: the system has DF for all of its packets, not for each.
///
/// It is told again, by one system call, only before a train that wants another: a train has one DF, and so has nearly all
/// that hosts send. Workers that send by one socket at a time may each find what the other wanted: then a train goes with
/// the other's DF, and is fragmented where it should have been refused, or the other way round.
#[derive(Debug)]
pub(crate) struct Discovery {
    is_v6: bool,
    forbids: AtomicBool,
}

impl Discovery {
    /// Allow it.
    pub(crate) fn new(fd: &OwnedFd, is_v6: bool) -> Result<Self, IoError> {
        let discovery = Self {
            is_v6,
            forbids: AtomicBool::new(false),
        };
        discovery.tell(fd, false)?;
        Ok(discovery)
    }

    /// Have what is sent from now on fragmented, or refused.
    pub(crate) fn set(&self, fd: &OwnedFd, forbids: bool) {
        if self.forbids.load(Ordering::Relaxed) != forbids && self.tell(fd, forbids).is_ok() {
            self.forbids.store(forbids, Ordering::Relaxed);
        }
    }

    /// With IP_PMTUDISC_DO the system sets DF and refuses what is longer than the path's MTU as it knows it, by EMSGSIZE:
    /// so we learn of it (RFC 4301 section 8.2.1). IP_PMTUDISC_PROBE would only look at the interface. With
    /// IP_PMTUDISC_DONT it clears DF, and fragments. In IPv6, which has the same numbers and no DF, it fragments, or not.
    fn tell(&self, fd: &OwnedFd, forbids: bool) -> Result<(), IoError> {
        let (level, option) = if self.is_v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
        } else {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)
        };
        let value = if forbids {
            libc::IP_PMTUDISC_DO
        } else {
            libc::IP_PMTUDISC_DONT
        };
        set_option(fd, level, option, value, "the path MTU discovery")
    }
}
