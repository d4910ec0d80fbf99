//! Many packets in one system call: sendmmsg and recvmmsg.

use std::io;
use std::mem;
use std::os::fd::RawFd;

use crate::address::SocketAddress;
use crate::control::{Control, Received};
use crate::tun::would_block_is_none;

/// Packets in one call.
pub(crate) const BATCH: usize = 64;
/// From one slot to the next: the largest packet, and a little, so that the beginnings of the slots, which is all that
/// most packets need, do not fall on the same lines of the cache. What is never written to takes no memory.
const STRIDE: usize = 65_536 + 2048;
/// Octets of a slot in front of the packet: for an IP header that the system does not give.
pub(crate) const HEADROOM: usize = 40;

/// What one recvmmsg brought: each packet in a slot of its own.
pub(crate) struct Slots {
    octets: Vec<u8>,
    lengths: [usize; BATCH],
    addresses: Vec<SocketAddress>,
    controls: Vec<Control>,
    /// As the control messages say.
    received: [Received; BATCH],
    count: usize,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            octets: vec![0; BATCH * STRIDE],
            lengths: [0; BATCH],
            addresses: vec![SocketAddress::empty(); BATCH],
            controls: vec![Control::new(); BATCH],
            received: [Received::default(); BATCH],
            count: 0,
        }
    }

    /// Receive as many packets as there are, at most [`BATCH`]; None when there is none. `asks_addresses`: whether the
    /// system shall tell each packet's addresses and more of its header, which costs some 50 ns a packet; an IPv4 raw socket gives the header,
    /// which has them.
    pub(crate) fn receive(&mut self, fd: RawFd, asks_addresses: bool) -> io::Result<Option<usize>> {
        self.count = 0;
        // SAFETY: all zeros is a valid iovec and a valid mmsghdr.
        let (mut vectors, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        for (at, slot) in self.octets.chunks_exact_mut(STRIDE).enumerate() {
            vectors[at] = libc::iovec {
                iov_base: slot[HEADROOM..].as_mut_ptr().cast(),
                iov_len: slot.len() - HEADROOM,
            };
            let header = &mut messages[at].msg_hdr;
            header.msg_iov = &raw mut vectors[at];
            header.msg_iovlen = 1;
            if asks_addresses {
                header.msg_name = (&raw mut self.addresses[at].storage).cast();
                header.msg_namelen = SocketAddress::capacity();
                header.msg_control = self.controls[at].as_mut_ptr();
                header.msg_controllen = Control::capacity() as _;
            }
        }
        // SAFETY: the headers point at slots, addresses and control buffers that live until after the call, with the lengths
        // that are given.
        let count = unsafe {
            libc::recvmmsg(
                fd,
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return would_block_is_none(io::Error::last_os_error());
        };
        for (at, message) in messages[..count].iter().enumerate() {
            self.lengths[at] = message.msg_len as usize;
            // SAFETY: recvmmsg filled this header in, and its control buffer is still here.
            self.received[at] = unsafe { Received::read(&message.msg_hdr) };
        }
        self.count = count;
        Ok(Some(count))
    }

    /// The packets: octets with [`HEADROOM`] in front, source, and what the control messages say.
    pub(crate) fn packets(
        &mut self,
    ) -> impl Iterator<Item = (&mut [u8], &SocketAddress, &Received)> {
        let slots = self.octets.chunks_exact_mut(STRIDE).zip(&self.lengths);
        let octets = slots.map(|(slot, length)| &mut slot[..HEADROOM + *length]);
        octets
            .zip(&self.addresses)
            .zip(&self.received)
            .take(self.count)
            .map(|((octets, address), received)| (octets, address, received))
    }
}

/// Send packets of `segment` octets, the last perhaps shorter, in one call; returns how many the system took.
pub(crate) fn send_many(
    fd: RawFd,
    packets: &[u8],
    segment: usize,
    to: &mut SocketAddress,
    control: &mut Control,
) -> usize {
    // SAFETY: all zeros is a valid iovec and a valid mmsghdr.
    let (mut vectors, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut count = 0;
    for (packet, (vector, message)) in packets
        .chunks(segment)
        .zip(vectors.iter_mut().zip(messages.iter_mut()))
    {
        *vector = libc::iovec {
            iov_base: packet.as_ptr().cast_mut().cast(),
            iov_len: packet.len(),
        };
        message.msg_hdr.msg_name = (&raw mut to.storage).cast();
        message.msg_hdr.msg_namelen = to.length;
        message.msg_hdr.msg_iov = vector;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_controllen = control.len() as _;
        message.msg_hdr.msg_control = control.as_mut_ptr();
        count += 1;
    }
    if count == 0 {
        return 0;
    }
    // SAFETY: `count` headers are filled in, and what they point at lives until after the call and is only read.
    let taken = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, libc::MSG_NOSIGNAL) };
    usize::try_from(taken).unwrap_or(0)
}
