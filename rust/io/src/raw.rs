//! A raw socket of protocol 50: ESP right behind IP (RFC 4303).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use caponier_plane::{Arrival, Tunnel};

use crate::address::SocketAddress;
use crate::control::Control;
use crate::error::IoError;
use crate::udp::{local_address, prepare, receive_message, send_message, set_nonblocking};

/// Packets in one sendmmsg.
const BATCH: usize = 64;

/// A raw socket.
#[derive(Debug)]
pub(crate) struct RawPort {
    fd: OwnedFd,
    is_v6: bool,
}

impl RawPort {
    /// Take over a duplicate of a raw socket.
    pub(crate) fn attach(fd: OwnedFd, mark: u32) -> Result<Self, IoError> {
        let is_v6 = local_address(&fd)?.0.is_ipv6();
        set_nonblocking(&fd)?;
        prepare(&fd, is_v6, mark)?;
        Ok(Self { fd, is_v6 })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Whether packets of this tunnel leave here.
    pub(crate) fn carries(&self, tunnel: &Tunnel) -> bool {
        tunnel.local_port == 0 && tunnel.remote.is_ipv6() == self.is_v6
    }

    /// Send a train packet by packet; returns how many the system did not take.
    pub(crate) fn send(&self, tunnel: &Tunnel, octets: &[u8], segment: usize) -> usize {
        let segment = segment.max(1);
        octets
            .chunks(segment * BATCH)
            .map(|batch| self.send_batch(tunnel, batch, segment))
            .sum()
    }

    fn send_batch(&self, tunnel: &Tunnel, batch: &[u8], segment: usize) -> usize {
        let mut to = SocketAddress::new(tunnel.remote, 0);
        let mut control = Control::new();
        control.push_source(tunnel.local);
        let count = batch.len().div_ceil(segment);
        let mut sent = send_many(self.fd(), batch, segment, &mut to, &mut control);
        let mut lost = 0;
        // The system took a part: the next packet is tried by itself, which waits or tells an error.
        while sent < count {
            let packet = &batch[sent * segment..batch.len().min((sent + 1) * segment)];
            lost += usize::from(send_message(self.fd(), packet, &mut to, &mut control).is_err());
            sent += 1;
            sent += send_many(
                self.fd(),
                &batch[batch.len().min(sent * segment)..],
                segment,
                &mut to,
                &mut control,
            );
        }
        lost
    }

    /// Receive one packet without its IP header: where it starts and ends in the buffer, and where it came from.
    pub(crate) fn receive(
        &self,
        buffer: &mut [u8],
    ) -> io::Result<Option<(usize, usize, Option<Arrival>)>> {
        let Some((count, from, received)) = receive_message(self.fd(), buffer)? else {
            return Ok(None);
        };
        // An IPv4 raw socket gives the header too; its length is in 32-bit words.
        let start = if self.is_v6 {
            0
        } else {
            buffer
                .first()
                .map_or(0, |first| usize::from(first & 0x0f) * 4)
        };
        let arrival = from.filter(|_| start <= count).map(|(remote, _)| Arrival {
            local: received.local,
            remote,
            remote_port: 0,
            encapsulated: false,
        });
        Ok(Some((start.min(count), count, arrival)))
    }
}

/// One sendmmsg of packets of `segment` octets; returns how many the system took.
fn send_many(
    fd: RawFd,
    batch: &[u8],
    segment: usize,
    to: &mut SocketAddress,
    control: &mut Control,
) -> usize {
    // SAFETY: all zeros is a valid iovec and a valid mmsghdr.
    let (mut vectors, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let mut count = 0;
    for (packet, (vector, message)) in batch
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
