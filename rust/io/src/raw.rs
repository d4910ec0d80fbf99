//! A raw socket of protocol 50: ESP right behind IP (RFC 4303).
//!
//! The system knows no trains here: each packet goes through its stack alone, which is some three times the cost of ESP in
//! UDP. What is saved is the system calls: one for up to 64 packets.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use caponier_packet::ipv4;
use caponier_plane::{Arrival, Tunnel};

use crate::address::SocketAddress;
use crate::control::Control;
use crate::error::IoError;
use crate::message::send_message;
use crate::mmsg::{send_many, Slots, BATCH};
use crate::patience::Patience;
use crate::socket::{self, local_address, prepare};

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
        prepare(&fd, is_v6, mark)?;
        Ok(Self { fd, is_v6 })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Packets that came while the socket's buffer was full.
    pub(crate) fn drops(&self) -> u64 {
        socket::drops(&self.fd)
    }

    /// Whether packets of this tunnel leave here.
    pub(crate) fn carries(&self, tunnel: &Tunnel) -> bool {
        tunnel.local_port == 0 && tunnel.remote.is_ipv6() == self.is_v6
    }

    /// Send a train packet by packet; returns how many the system did not take.
    pub(crate) fn send(
        &self,
        tunnel: &Tunnel,
        octets: &[u8],
        segment: usize,
        patience: &mut Patience,
    ) -> usize {
        let segment = segment.max(1);
        octets
            .chunks(segment * BATCH)
            .map(|batch| self.send_batch(tunnel, batch, segment, patience))
            .sum()
    }

    fn send_batch(
        &self,
        tunnel: &Tunnel,
        batch: &[u8],
        segment: usize,
        patience: &mut Patience,
    ) -> usize {
        let mut to = SocketAddress::new(tunnel.remote, 0);
        let mut control = Control::new();
        control.push_source(tunnel.local);
        let count = batch.len().div_ceil(segment);
        let mut sent = send_many(self.fd(), batch, segment, &mut to, &mut control);
        let mut lost = 0;
        // The system took a part: the next packet is tried by itself, which waits or tells an error.
        while sent < count {
            let packet = &batch[sent * segment..batch.len().min((sent + 1) * segment)];
            let done = send_message(self.fd(), packet, &mut to, &mut control, patience);
            lost += usize::from(done.is_err());
            sent += 1;
            let rest = &batch[batch.len().min(sent * segment)..];
            sent += send_many(self.fd(), rest, segment, &mut to, &mut control);
        }
        lost
    }

    /// Receive what is there; how many packets, None when there is none.
    pub(crate) fn receive(&self, slots: &mut Slots) -> io::Result<Option<usize>> {
        slots.receive(self.fd(), self.is_v6)
    }

    /// The packets that were received, without their IP headers, and where they came from.
    pub(crate) fn packets<'s>(
        &self,
        slots: &'s mut Slots,
    ) -> impl Iterator<Item = (&'s mut [u8], Arrival)> {
        let is_v6 = self.is_v6;
        let packets = slots.packets().filter_map(move |(octets, from, received)| {
            if !is_v6 {
                return behind_ipv4(octets);
            }
            let (remote, _) = from.read()?;
            Some((octets, arrival(received.local, remote)))
        });
        packets.filter(|(esp, _)| !esp.is_empty())
    }
}

/// An IPv4 raw socket gives the header too (raw(7)), which the system has checked and reassembled.
fn behind_ipv4(octets: &mut [u8]) -> Option<(&mut [u8], Arrival)> {
    let packet = ipv4::Packet::new_checked(&*octets).ok()?;
    let (local, remote) = (packet.destination().into(), packet.source().into());
    let header_len = packet.header_len();
    let esp = octets.get_mut(header_len..)?;
    Some((esp, arrival(Some(local), remote)))
}

fn arrival(local: Option<IpAddr>, remote: IpAddr) -> Arrival {
    Arrival {
        local,
        remote,
        remote_port: 0,
        encapsulated: false,
    }
}
