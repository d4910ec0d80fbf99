//! A UDP socket that carries ESP (RFC 3948): trains of datagrams by UDP_SEGMENT and UDP_GRO.
//!
//! A train of 64 KiB costs one system call on each side, where its 44 packets would cost 88: without it a tunnel is
//! three to four times slower.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use caponier_plane::{Arrival, Form, Protocol, Train};

use crate::address::SocketAddress;
use crate::control::{Control, UDP_GRO};
use crate::discovery::Discovery;
use crate::error::IoError;
use crate::lost::{is_too_big, Lost};
use crate::message::{receive_message, send_message};
use crate::patience::Patience;
use crate::socket::{self, ask_for_header, local_address, prepare, set_option};

/// What the kernel takes in one send: UDP_MAX_SEGMENTS, and the payload of the largest datagram.
const MAX_SEGMENTS: usize = 64;
const MAX_DATAGRAM: usize = 65_507;

/// A bound UDP socket.
#[derive(Debug)]
pub(crate) struct UdpPort {
    fd: OwnedFd,
    port: u16,
    is_v6: bool,
    discovery: Discovery,
    /// Cleared when the system turns out to have no segmentation on the way.
    segments: AtomicBool,
}

impl UdpPort {
    /// Take over a duplicate of a bound socket.
    pub(crate) fn attach(fd: OwnedFd, mark: u32) -> Result<Self, IoError> {
        let (address, port) = local_address(&fd)?;
        let is_v6 = address.is_ipv6();
        set_option(&fd, libc::SOL_UDP, UDP_GRO, 1, "UDP_GRO")?;
        prepare(&fd, mark)?;
        ask_for_header(&fd, is_v6)?;
        Ok(Self {
            discovery: Discovery::new(&fd, is_v6)?,
            fd,
            port,
            is_v6,
            segments: AtomicBool::new(true),
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Packets that came while the socket's buffer was full.
    pub(crate) fn drops(&self) -> u64 {
        socket::drops(&self.fd)
    }

    /// Whether a train leaves here.
    pub(crate) fn carries(&self, train: &Train) -> bool {
        let tunnel = &train.tunnel;
        tunnel.local_port == self.port && tunnel.remote.is_ipv6() == self.is_v6
    }

    /// Send a train; returns what the system did not take.
    pub(crate) fn send(&self, train: &Train, octets: &[u8], patience: &mut Patience) -> Lost {
        self.discovery.set(&self.fd, train.dont_fragment);
        let segment = train.segment.max(1);
        let most = (MAX_DATAGRAM / segment).clamp(1, MAX_SEGMENTS);
        let mut lost = Lost::default();
        for batch in octets.chunks(segment * most) {
            lost += self.send_batch(train, batch, segment, patience);
        }
        lost
    }

    fn send_batch(
        &self,
        train: &Train,
        batch: &[u8],
        segment: usize,
        patience: &mut Patience,
    ) -> Lost {
        if batch.len() > segment && self.segments.load(Ordering::Relaxed) {
            match self.send_one(train, batch, Some(segment), patience) {
                Ok(()) => return Lost::default(),
                // EIO: no checksum offload on the way, for good. EINVAL, EMSGSIZE: the packets must be fragmented, here and
                // now, or are refused one by one.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    self.segments.store(false, Ordering::Relaxed)
                }
                Err(error) if is_too_big(&error) || error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(_) => return Lost::others(batch.len().div_ceil(segment)),
            }
        }
        let mut lost = Lost::default();
        for packet in batch.chunks(segment) {
            lost.count(&self.send_one(train, packet, None, patience));
        }
        lost
    }

    fn send_one(
        &self,
        train: &Train,
        octets: &[u8],
        segment: Option<usize>,
        patience: &mut Patience,
    ) -> io::Result<()> {
        let (mut control, tunnel) = (Control::new(), &train.tunnel);
        control.push_source(tunnel.local);
        control.push_traffic_class(train.traffic_class, self.is_v6);
        if let Some(size) = segment.and_then(|size| u16::try_from(size).ok()) {
            control.push_segment(size);
        }
        let mut to = SocketAddress::new(tunnel.remote, tunnel.remote_port);
        send_message(self.fd(), octets, &mut to, &mut control, patience)
    }

    /// Receive a train: its octets, the octets of each packet, and where it came from. None when there is none.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, usize, Arrival)>> {
        let Some((count, from, received)) = receive_message(self.fd(), buffer)? else {
            return Ok(None);
        };
        let (remote, remote_port) = from.ok_or(io::ErrorKind::InvalidData)?;
        let arrival = Arrival {
            protocol: Protocol::Esp,
            form: Form::Bare,
            local: received.local,
            remote,
            remote_port,
            encapsulated: true,
            traffic_class: received.traffic_class,
            hop_limit: received.hop_limit,
        };
        Ok(Some((count, received.segment.unwrap_or(count), arrival)))
    }
}
