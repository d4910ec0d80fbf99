//! What the system knows of the paths to the peers: their MTU (RFC 4301 section 8.2, RFC 1191, RFC 8201).
//!
//! The ICMP messages about our packets come to the system, which finds the socket that they are about, and keeps the MTU
//! with its route for ten minutes. It takes less than 552 octets for a lie in IPv4 (min_pmtu of ip-sysctl.rst), less than
//! 1280 in IPv6. A connected socket tells what a packet to its peer would meet.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::address::SocketAddress;
use crate::error::{checked, IoError};
use crate::socket;

/// Where the scratch sockets are connected to; nothing is ever sent.
const ANY_PORT: u16 = 9;

/// A scratch socket for each family that the system has.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    v4: Option<Mutex<OwnedFd>>,
    v6: Option<Mutex<OwnedFd>>,
}

impl Paths {
    /// Call it in the namespace of the sockets. `mark`: as that of the packets, which decides on their route.
    pub(crate) fn open(mark: u32) -> Self {
        Self {
            v4: open(false, mark).ok().map(Mutex::new),
            v6: open(true, mark).ok().map(Mutex::new),
        }
    }

    /// Octets of the IP packets that the path to `remote` carries; None if the system does not know. Three system calls.
    pub(crate) fn mtu(&self, remote: IpAddr) -> Option<u32> {
        let socket = if remote.is_ipv6() { &self.v6 } else { &self.v4 };
        let socket = socket.as_ref()?.lock();
        let socket = socket.unwrap_or_else(PoisonError::into_inner);
        let (level, option) = if remote.is_ipv6() {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU)
        } else {
            (libc::IPPROTO_IP, libc::IP_MTU)
        };
        // A second connection would keep the source address of the first.
        let mut nowhere = SocketAddress::empty();
        connect(&socket, &mut nowhere, "leaving a path").ok()?;
        let mut there = SocketAddress::new(remote, ANY_PORT);
        connect(&socket, &mut there, "asking for a path").ok()?;
        let mtu = socket::option(&socket, level, option, "asking for a path's MTU").ok()?;
        u32::try_from(mtu).ok()
    }
}

fn open(is_v6: bool, mark: u32) -> Result<OwnedFd, IoError> {
    let what = "a socket to ask about paths";
    let socket = socket::open(is_v6, libc::SOCK_DGRAM, 0, what)?;
    socket::mark(&socket, mark)?;
    Ok(socket)
}

fn connect(socket: &OwnedFd, to: &mut SocketAddress, what: &str) -> Result<(), IoError> {
    let address = (&raw const to.storage).cast();
    // SAFETY: storage and length are those of an address; all zeros is AF_UNSPEC, which dissolves a connection.
    let done = unsafe { libc::connect(socket.as_raw_fd(), address, to.length) };
    checked(done, what).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_way_to_itself() {
        let paths = Paths::open(0);
        let first = paths.mtu([127, 0, 0, 1].into());
        assert!(first.is_some_and(|mtu| mtu >= 1500), "{first:?}");
        assert_eq!(paths.mtu([127, 0, 0, 2].into()), first);
    }

    #[test]
    fn no_way_is_no_mtu() {
        let nowhere = Paths::default();
        assert_eq!(nowhere.mtu([127, 0, 0, 1].into()), None);
        assert_eq!(nowhere.mtu(IpAddr::from([1_u16; 8])), None);
    }
}
