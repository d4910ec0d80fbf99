//! ICMP messages to the hosts on our side, whose packets did not fit (RFC 1191, RFC 8201, RFC 4301 section 8.2.1).
//!
//! They go out by sockets of the system, which gives them the source address that a router's would have: of the interface
//! by which the sender is reached (RFC 1812 section 4.3.2.4, RFC 4443 section 2.2). Written into the TUN interface they
//! would come in there with an address of this machine as their source, which Linux drops as a martian; and an outer
//! address, which the sender need not know, may be of the other family anyway.
//!
//! For a packet of this machine's own the message goes by its loopback interface. The mark keeps it out of the tunnel.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::address::SocketAddress;
use crate::control::Control;
use crate::error::IoError;
use crate::message::send_message;
use crate::patience::Patience;
use crate::socket::{self, set_option};

/// DSCP CS6, for messages of the network itself (RFC 1812 section 4.3.2.5: "precedence 6").
const INTERNETWORK_CONTROL: libc::c_int = 0xc0;
/// ICMP_FILTER of linux/icmp.h, on SOL_RAW; ICMPV6_FILTER of linux/icmpv6.h. A bit that is set keeps a type away.
const SOL_RAW: libc::c_int = 255;
const ICMP_FILTER: libc::c_int = 1;
const ICMPV6_FILTER: libc::c_int = 1;

/// Two raw sockets; one that the system refuses, for it has not the family or we not the privilege, sends nothing.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
}

impl Notices {
    /// Call it in the namespace of the TUN interface.
    pub(crate) fn open(mark: u32) -> Self {
        Self {
            v4: open(false, mark).ok(),
            v6: open(true, mark).ok(),
        }
    }

    /// Send a message without IP header. What cannot be sent is lost: the sender tries again.
    pub(crate) fn send(&self, to: IpAddr, message: &[u8], patience: &mut Patience) {
        let socket = if to.is_ipv6() { &self.v6 } else { &self.v4 };
        if let Some(socket) = socket {
            let mut to = SocketAddress::new(to, 0);
            let _ = send_message(
                socket.as_raw_fd(),
                message,
                &mut to,
                &mut Control::new(),
                patience,
            );
        }
    }
}

fn open(is_v6: bool, mark: u32) -> Result<OwnedFd, IoError> {
    let (protocol, what) = if is_v6 {
        (libc::IPPROTO_ICMPV6, "a socket of ICMPv6")
    } else {
        (libc::IPPROTO_ICMP, "a socket of ICMP")
    };
    let socket = socket::open(is_v6, libc::SOCK_RAW, protocol, what)?;
    // All that comes in for others would come in here too, up to its buffer.
    if is_v6 {
        let nothing = [u32::MAX; 8];
        set_option(&socket, protocol, ICMPV6_FILTER, nothing, "ICMPV6_FILTER")?;
        let (level, option) = (libc::IPPROTO_IPV6, libc::IPV6_TCLASS);
        set_option(&socket, level, option, INTERNETWORK_CONTROL, "IPV6_TCLASS")?;
    } else {
        set_option(&socket, SOL_RAW, ICMP_FILTER, u32::MAX, "ICMP_FILTER")?;
        let (level, option) = (libc::IPPROTO_IP, libc::IP_TOS);
        set_option(&socket, level, option, INTERNETWORK_CONTROL, "IP_TOS")?;
    }
    socket::mark(&socket, mark)?;
    Ok(socket)
}
