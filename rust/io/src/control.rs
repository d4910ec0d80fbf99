//! Control messages of sendmsg and recvmsg (cmsg(3)): the local address, the segment size, DSCP and ECN, the hop limit.

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// UDP_SEGMENT and UDP_GRO of linux/udp.h.
pub(crate) const UDP_SEGMENT: libc::c_int = 103;
pub(crate) const UDP_GRO: libc::c_int = 104;

/// Four of them, the longest with 20 octets.
const ROOM: usize = 128;

/// A buffer for control messages, aligned as their header wants it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct Control {
    octets: [u8; ROOM],
    used: usize,
}

impl Control {
    pub(crate) const fn new() -> Self {
        Self {
            octets: [0; ROOM],
            used: 0,
        }
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.octets.as_mut_ptr().cast()
    }

    /// Octets in use, for sending.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    pub(crate) const fn capacity() -> usize {
        ROOM
    }

    /// Send from this address of ours.
    pub(crate) fn push_source(&mut self, source: IpAddr) {
        match source {
            IpAddr::V4(v4) => self.push(
                libc::IPPROTO_IP,
                libc::IP_PKTINFO,
                libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                },
            ),
            IpAddr::V6(v6) => self.push(
                libc::IPPROTO_IPV6,
                libc::IPV6_PKTINFO,
                libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: v6.octets(),
                    },
                    ipi6_ifindex: 0,
                },
            ),
        }
    }

    /// Send with this DSCP and ECN; 0 is what a socket has by itself.
    pub(crate) fn push_traffic_class(&mut self, class: u8, is_v6: bool) {
        let (level, kind) = if is_v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
        } else {
            (libc::IPPROTO_IP, libc::IP_TOS)
        };
        if class != 0 {
            self.push(level, kind, libc::c_int::from(class));
        }
    }

    /// Cut the datagram into datagrams of `segment` octets.
    pub(crate) fn push_segment(&mut self, segment: u16) {
        self.push(libc::SOL_UDP, UDP_SEGMENT, segment);
    }

    fn push<T: Copy>(&mut self, level: libc::c_int, kind: libc::c_int, value: T) {
        let size = mem::size_of::<T>() as libc::c_uint;
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute.
        let (space, length) = unsafe {
            (
                libc::CMSG_SPACE(size) as usize,
                libc::CMSG_LEN(size) as usize,
            )
        };
        assert!(self.used + space <= ROOM, "the control messages fit");
        let header = libc::cmsghdr {
            cmsg_len: length as _,
            cmsg_level: level,
            cmsg_type: kind,
        };
        // SAFETY: there are `space` octets from `used` on, as was just checked; `used` is a multiple of the alignment, for
        // CMSG_SPACE is; CMSG_DATA lies `length` minus `size` octets behind the header.
        unsafe {
            let at = self
                .octets
                .as_mut_ptr()
                .add(self.used)
                .cast::<libc::cmsghdr>();
            std::ptr::write(at, header);
            std::ptr::write_unaligned(libc::CMSG_DATA(at).cast::<T>(), value);
        }
        self.used += space;
    }
}

/// What the system tells of a received datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// The address it was sent to.
    pub(crate) local: Option<IpAddr>,
    /// Octets of each datagram of a train; None for a single one.
    pub(crate) segment: Option<usize>,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// TTL or hop limit; 0 where the system did not tell.
    pub(crate) hop_limit: u8,
}

impl Received {
    /// Read the control messages of a message header that recvmsg filled in.
    ///
    /// # Safety
    /// `header` is as recvmsg left it, and its control buffer is still there.
    pub(crate) unsafe fn read(header: &libc::msghdr) -> Self {
        let mut found = Self::default();
        // SAFETY: the caller vouches for header and buffer; the macros stay within what recvmsg wrote, and each type is the
        // one that linux documents for its level and kind.
        unsafe {
            let mut at = libc::CMSG_FIRSTHDR(header);
            while !at.is_null() {
                let message = &*at;
                let data = libc::CMSG_DATA(at);
                match (message.cmsg_level, message.cmsg_type) {
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        let info: libc::in_pktinfo = std::ptr::read_unaligned(data.cast());
                        found.local = Some(IpAddr::V4(Ipv4Addr::from(
                            info.ipi_addr.s_addr.to_ne_bytes(),
                        )));
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        let info: libc::in6_pktinfo = std::ptr::read_unaligned(data.cast());
                        found.local = Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                    }
                    // One octet in IPv4 (ip(7)), an int in IPv6 (ipv6(7)).
                    (libc::IPPROTO_IP, libc::IP_TOS) => found.traffic_class = *data,
                    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                        let class: libc::c_int = std::ptr::read_unaligned(data.cast());
                        found.traffic_class = class as u8;
                    }
                    (libc::IPPROTO_IP, libc::IP_TTL)
                    | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                        let limit: libc::c_int = std::ptr::read_unaligned(data.cast());
                        found.hop_limit = limit as u8;
                    }
                    (libc::SOL_UDP, UDP_GRO) => {
                        let size: libc::c_int = std::ptr::read_unaligned(data.cast());
                        found.segment = usize::try_from(size).ok().filter(|size| *size > 0);
                    }
                    _ => {}
                }
                at = libc::CMSG_NXTHDR(header, at);
            }
        }
        found
    }
}
