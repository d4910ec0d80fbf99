//! A UDP socket that carries ESP (RFC 3948): trains of datagrams by UDP_SEGMENT and UDP_GRO.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use caponier_plane::{Arrival, Tunnel};

use crate::address::SocketAddress;
use crate::control::{Control, Received, UDP_GRO};
use crate::error::{checked, IoError};
use crate::tun::would_block_is_none;

/// What the kernel takes in one send: UDP_MAX_SEGMENTS, and the payload of the largest datagram.
const MAX_SEGMENTS: usize = 64;
const MAX_DATAGRAM: usize = 65_507;
/// Buffers of the socket: several super-packets' worth, for bursts.
const BUFFER: libc::c_int = 4 << 20;

/// A bound UDP socket.
#[derive(Debug)]
pub(crate) struct UdpPort {
    fd: OwnedFd,
    port: u16,
    is_v6: bool,
    /// Cleared when the system turns out to have no segmentation on the way.
    segments: AtomicBool,
}

impl UdpPort {
    /// Take over a duplicate of a bound socket.
    pub(crate) fn attach(fd: OwnedFd, mark: u32) -> Result<Self, IoError> {
        let (address, port) = local_address(&fd)?;
        let is_v6 = address.is_ipv6();
        set_nonblocking(&fd)?;
        set_option(&fd, libc::SOL_UDP, UDP_GRO, 1, "UDP_GRO")?;
        prepare(&fd, is_v6, mark)?;
        Ok(Self {
            fd,
            port,
            is_v6,
            segments: AtomicBool::new(true),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether packets of this tunnel leave here.
    pub(crate) fn carries(&self, tunnel: &Tunnel) -> bool {
        tunnel.local_port == self.port && tunnel.remote.is_ipv6() == self.is_v6
    }

    /// Send a train; returns how many packets the system did not take.
    pub(crate) fn send(&self, tunnel: &Tunnel, octets: &[u8], segment: usize) -> usize {
        let most = (MAX_DATAGRAM / segment.max(1)).clamp(1, MAX_SEGMENTS);
        let mut lost = 0;
        for batch in octets.chunks(segment.max(1) * most) {
            lost += self.send_batch(tunnel, batch, segment);
        }
        lost
    }

    fn send_batch(&self, tunnel: &Tunnel, batch: &[u8], segment: usize) -> usize {
        if batch.len() > segment && self.segments.load(Ordering::Relaxed) {
            match self.send_one(tunnel, batch, Some(segment)) {
                Ok(()) => return 0,
                // EIO: no checksum offload on the way, for good. EINVAL, EMSGSIZE: the packets must be fragmented, here and now.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    self.segments.store(false, Ordering::Relaxed)
                }
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EMSGSIZE)) => {}
                Err(_) => return batch.len().div_ceil(segment),
            }
        }
        batch
            .chunks(segment.max(1))
            .filter(|packet| self.send_one(tunnel, packet, None).is_err())
            .count()
    }

    fn send_one(&self, tunnel: &Tunnel, octets: &[u8], segment: Option<usize>) -> io::Result<()> {
        let mut control = Control::new();
        control.push_source(tunnel.local);
        if let Some(size) = segment.and_then(|size| u16::try_from(size).ok()) {
            control.push_segment(size);
        }
        let mut to = SocketAddress::new(tunnel.remote, tunnel.remote_port);
        send_message(self.fd(), octets, &mut to, &mut control)
    }

    /// Receive a train: its octets, the octets of each packet, and where it came from. None when there is none.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, usize, Arrival)>> {
        let Some((count, from, received)) = receive_message(self.fd(), buffer)? else {
            return Ok(None);
        };
        let Some((remote, remote_port)) = from else {
            return Ok(Some((0, 1, nowhere())));
        };
        let arrival = Arrival {
            local: received.local,
            remote,
            remote_port,
            encapsulated: true,
        };
        Ok(Some((count, received.segment.unwrap_or(count), arrival)))
    }
}

/// Stands in where the system tells no source; a train of no octets.
fn nowhere() -> Arrival {
    Arrival {
        local: None,
        remote: IpAddr::from([0, 0, 0, 0]),
        remote_port: 0,
        encapsulated: true,
    }
}

/// Options that both kinds of sockets want.
pub(crate) fn prepare(fd: &OwnedFd, is_v6: bool, mark: u32) -> Result<(), IoError> {
    if is_v6 {
        set_option(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_RECVPKTINFO,
            1,
            "IPV6_RECVPKTINFO",
        )?;
        // Our packets may be fragmented on their way: the inner ones were cut to fit already.
        set_option(
            fd,
            libc::IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IP_PMTUDISC_DONT,
            "IPV6_MTU_DISCOVER",
        )?;
    } else {
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1, "IP_PKTINFO")?;
        set_option(
            fd,
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DONT,
            "IP_MTU_DISCOVER",
        )?;
    }
    if mark != 0 {
        set_option(
            fd,
            libc::SOL_SOCKET,
            libc::SO_MARK,
            mark as libc::c_int,
            "SO_MARK",
        )?;
    }
    for (forced, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        // Without the privilege for the first the second gives what is allowed to everybody.
        if set_option(fd, libc::SOL_SOCKET, forced, BUFFER, "buffers").is_err() {
            set_option(fd, libc::SOL_SOCKET, plain, BUFFER, "buffers")?;
        }
    }
    Ok(())
}

pub(crate) fn set_option(
    fd: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
    what: &str,
) -> Result<(), IoError> {
    let size = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value is an int of the size that is given.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size,
        )
    };
    if done < 0 {
        return Err(IoError::last(format!("setting {what} on a socket")));
    }
    Ok(())
}

pub(crate) fn set_nonblocking(fd: &OwnedFd) -> Result<(), IoError> {
    let what = "making a socket non-blocking";
    // SAFETY: takes no pointers.
    let flags = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }, what)?;
    // SAFETY: takes no pointers.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    checked(done, what).map(|_| ())
}

pub(crate) fn local_address(fd: &OwnedFd) -> Result<(IpAddr, u16), IoError> {
    let mut room = SocketAddress::empty();
    // SAFETY: storage and length are the room that is there.
    let done = unsafe {
        libc::getsockname(
            fd.as_raw_fd(),
            (&raw mut room.storage).cast(),
            &raw mut room.length,
        )
    };
    if done < 0 {
        return Err(IoError::last("asking a socket for its address"));
    }
    room.read()
        .ok_or(IoError::NotTheSocket("an IPv4 or IPv6 socket"))
}

/// How long a full socket is waited for, in milliseconds, and how often.
const PATIENCE: (libc::c_int, u32) = (10, 10);

/// Send one message; a full socket is waited for a little.
pub(crate) fn send_message(
    fd: RawFd,
    octets: &[u8],
    to: &mut SocketAddress,
    control: &mut Control,
) -> io::Result<()> {
    let mut vector = libc::iovec {
        iov_base: octets.as_ptr().cast_mut().cast(),
        iov_len: octets.len(),
    };
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut to.storage).cast();
    message.msg_namelen = to.length;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_controllen = control.len() as _;
    message.msg_control = control.as_mut_ptr();
    for _ in 0..PATIENCE.1 {
        // SAFETY: everything the header points at lives until after the call; the octets are only read.
        if unsafe { libc::sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL) } >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => wait_until_writable(fd),
            Some(libc::EINTR | libc::ECONNREFUSED) => {} // the latter is an old ICMP error, told once
            _ => return Err(error),
        }
    }
    Err(io::Error::from(io::ErrorKind::WouldBlock))
}

fn wait_until_writable(fd: RawFd) {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one pollfd is given, and one is there.
    unsafe { libc::poll(&raw mut poll, 1, PATIENCE.0) };
}

/// Octets, source, and what the control messages say.
pub(crate) type Message = (usize, Option<(IpAddr, u16)>, Received);

/// Receive one message; None when there is none.
pub(crate) fn receive_message(fd: RawFd, buffer: &mut [u8]) -> io::Result<Option<Message>> {
    let mut from = SocketAddress::empty();
    let mut control = Control::new();
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut from.storage).cast();
    message.msg_namelen = from.length;
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_controllen = Control::capacity() as _;
    message.msg_control = control.as_mut_ptr();
    // SAFETY: everything the header points at lives until after the call, with the lengths that are given.
    let count = unsafe { libc::recvmsg(fd, &raw mut message, 0) };
    match usize::try_from(count) {
        Ok(count) => {
            // SAFETY: recvmsg filled the header in, and the control buffer is still here.
            let received = unsafe { Received::read(&message) };
            Ok(Some((count, from.read(), received)))
        }
        Err(_) => {
            let error = io::Error::last_os_error();
            if error.raw_os_error() == Some(libc::ECONNREFUSED) {
                return Ok(Some((0, None, Received::default()))); // an old ICMP error: there may be more behind it
            }
            would_block_is_none(error)
        }
    }
}
