//! Socket addresses, between Rust's and the system's.

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Room for an address of either family.
#[derive(Clone, Copy)]
pub(crate) struct SocketAddress {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) length: libc::socklen_t,
}

impl SocketAddress {
    /// Room for an address that the system fills in.
    pub(crate) fn empty() -> Self {
        // SAFETY: all zeros is a valid sockaddr_storage: of no family.
        let storage = unsafe { mem::zeroed() };
        Self {
            storage,
            length: Self::capacity(),
        }
    }

    /// Octets of room.
    pub(crate) const fn capacity() -> libc::socklen_t {
        mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t
    }

    pub(crate) fn new(address: IpAddr, port: u16) -> Self {
        let mut room = Self::empty();
        match address {
            IpAddr::V4(v4) => {
                let value = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: port.to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.octets()),
                    },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_storage is larger than, and aligned for, every sockaddr.
                unsafe { std::ptr::write((&raw mut room.storage).cast(), value) };
                room.length = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            IpAddr::V6(v6) => {
                let value = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: port.to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr {
                        s6_addr: v6.octets(),
                    },
                    sin6_scope_id: 0,
                };
                // SAFETY: as above.
                unsafe { std::ptr::write((&raw mut room.storage).cast(), value) };
                room.length = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        room
    }

    /// Address and port; None for another family.
    pub(crate) fn read(&self) -> Option<(IpAddr, u16)> {
        match libc::c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the storage holds a sockaddr_in.
                let value: libc::sockaddr_in =
                    unsafe { std::ptr::read((&raw const self.storage).cast()) };
                let address = Ipv4Addr::from(value.sin_addr.s_addr.to_ne_bytes());
                Some((IpAddr::V4(address), u16::from_be(value.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the storage holds a sockaddr_in6.
                let value: libc::sockaddr_in6 =
                    unsafe { std::ptr::read((&raw const self.storage).cast()) };
                Some((
                    IpAddr::V6(Ipv6Addr::from(value.sin6_addr.s6_addr)),
                    u16::from_be(value.sin6_port),
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for (text, port) in [("192.0.2.1", 4500), ("2001:db8::1", 500), ("0.0.0.0", 0)] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(
                SocketAddress::new(address, port).read(),
                Some((address, port))
            );
        }
        assert_eq!(SocketAddress::empty().read(), None);
    }
}
