//! What every socket of the plane wants: options, and what the system tells of it.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::address::SocketAddress;
use crate::error::{checked, IoError};

/// Buffers of a socket: several super-packets' worth, for bursts.
const BUFFER: libc::c_int = 4 << 20;
/// Where SO_MEMINFO has the drops, and how many numbers it has (linux/sock_diag.h).
const SK_MEMINFO_DROPS: usize = 8;
const SK_MEMINFO_VARS: usize = 9;

/// Make it non-blocking, and mark what it sends.
pub(crate) fn prepare(fd: &OwnedFd, own_mark: u32) -> Result<(), IoError> {
    set_nonblocking(fd)?;
    mark(fd, own_mark)?;
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

/// Have what it sends marked; 0 for not at all.
pub(crate) fn mark(fd: &OwnedFd, mark: u32) -> Result<(), IoError> {
    if mark == 0 {
        return Ok(());
    }
    set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, mark, "SO_MARK")
}

/// Make a socket, which does not block. `what`: for the error.
pub(crate) fn open(
    is_v6: bool,
    kind: libc::c_int,
    protocol: libc::c_int,
    what: &str,
) -> Result<OwnedFd, IoError> {
    let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no pointers.
    let fd = checked(unsafe { libc::socket(family, kind, protocol) }, what)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Have the system tell of each message what its IP header said: where it was sent to, DSCP and ECN, TTL or hop limit.
///
/// Each is some 20 ns a message: nothing for a train, whose packets agree in all of it (the kernel does not merge others),
/// little for a packet of a raw socket of IPv6. That of IPv4 gives the header itself, and is not asked.
pub(crate) fn ask_for_header(fd: &OwnedFd, is_v6: bool) -> Result<(), IoError> {
    let (level, options) = if is_v6 {
        let options = [
            (libc::IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO"),
            (libc::IPV6_RECVTCLASS, "IPV6_RECVTCLASS"),
            (libc::IPV6_RECVHOPLIMIT, "IPV6_RECVHOPLIMIT"),
        ];
        (libc::IPPROTO_IPV6, options)
    } else {
        let options = [
            (libc::IP_PKTINFO, "IP_PKTINFO"),
            (libc::IP_RECVTOS, "IP_RECVTOS"),
            (libc::IP_RECVTTL, "IP_RECVTTL"),
        ];
        (libc::IPPROTO_IP, options)
    };
    options
        .into_iter()
        .try_for_each(|(option, name)| set_option(fd, level, option, 1, name))
}

/// Have the system learn path MTUs from the ICMPv6 messages about what this raw socket sends: it does so only for one that
/// wants to hear of errors (rawv6_err of net/ipv6/raw.c). What is told is not listened to, see
/// [`crate::message::forget_errors`].
pub(crate) fn ask_for_errors(fd: &OwnedFd) -> Result<(), IoError> {
    let (level, option) = (libc::IPPROTO_IPV6, libc::IPV6_RECVERR);
    set_option(fd, level, option, 1, "IPV6_RECVERR")
}

/// The protocol of a socket.
pub(crate) fn protocol(fd: &OwnedFd) -> Result<libc::c_int, IoError> {
    let what = "asking a socket for its protocol";
    option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL, what)
}

/// The value of an option that is an int. `what`: for the error.
pub(crate) fn option(
    fd: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    what: &str,
) -> Result<libc::c_int, IoError> {
    let mut value: libc::c_int = 0;
    let mut size = std::mem::size_of_val(&value) as libc::socklen_t;
    let room = (&raw mut value).cast();
    // SAFETY: value and size are the room that is there.
    let done = unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, room, &raw mut size) };
    checked(done, what)?;
    Ok(value)
}

/// Set an option; its value is a number, or several.
pub(crate) fn set_option<T: Copy>(
    fd: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: T,
    what: &str,
) -> Result<(), IoError> {
    let size = std::mem::size_of::<T>() as libc::socklen_t;
    let value = (&raw const value).cast();
    // SAFETY: the value has the size that is given, and is only read.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value, size) };
    if done < 0 {
        return Err(IoError::last(format!("setting {what} on a socket")));
    }
    Ok(())
}

fn set_nonblocking(fd: &OwnedFd) -> Result<(), IoError> {
    let what = "making a socket non-blocking";
    // SAFETY: takes no pointers.
    let flags = checked(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }, what)?;
    // SAFETY: takes no pointers.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) };
    checked(done, what).map(|_| ())
}

/// Our address and port.
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

/// Packets that the system dropped because the socket's buffer was full, since it was made.
pub(crate) fn drops(fd: &OwnedFd) -> u64 {
    let mut numbers = [0_u32; SK_MEMINFO_VARS];
    let mut size = std::mem::size_of_val(&numbers) as libc::socklen_t;
    let room = numbers.as_mut_ptr().cast();
    // SAFETY: numbers and size are the room that is there.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            room,
            &raw mut size,
        )
    };
    if done < 0 {
        return 0; // a kernel before 4.12
    }
    u64::from(numbers[SK_MEMINFO_DROPS])
}
