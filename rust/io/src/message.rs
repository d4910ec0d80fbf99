//! One message at a time: sendmsg and recvmsg.

use std::io;
use std::net::IpAddr;
use std::os::fd::RawFd;

use crate::address::SocketAddress;
use crate::control::{Control, Received};
use crate::patience::Patience;
use crate::tun::would_block_is_none;

/// Errors taken from a socket at a time.
const MAX_ERRORS: usize = 64;

/// Octets, source, and what the control messages say.
pub(crate) type Message = (usize, Option<(IpAddr, u16)>, Received);

/// Send one message; a full socket is waited for as long as there is patience. A full queue behind it (ENOBUFS) is not:
/// its packets are lost, as in every router.
pub(crate) fn send_message(
    fd: RawFd,
    octets: &[u8],
    to: &mut SocketAddress,
    control: &mut Control,
    patience: &mut Patience,
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
    let mut is_retried = false;
    loop {
        // SAFETY: everything the header points at lives until after the call; the octets are only read.
        if unsafe { libc::sendmsg(fd, &raw const message, libc::MSG_NOSIGNAL) } >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN) if patience.wait_writable(fd) => {}
            Some(libc::EINTR) => {}
            // An ICMP error about an earlier packet, told once.
            Some(libc::ECONNREFUSED) if !is_retried => is_retried = true,
            _ => return Err(error),
        }
    }
}

/// Empty the queue of errors that ICMP messages made; true if there were any. One system call if not.
pub(crate) fn forget_errors(fd: RawFd) -> bool {
    let mut found = 0;
    // As many as there may be under a flood: the rest has its turn later.
    while found < MAX_ERRORS {
        // SAFETY: all zeros is a valid msghdr, of one without room for anything.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the header points at nothing, and says so.
        if unsafe { libc::recvmsg(fd, &raw mut message, flags) } < 0 {
            break;
        }
        found += 1;
    }
    found > 0
}

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
        Err(_) => would_block_is_none(io::Error::last_os_error()),
    }
}
