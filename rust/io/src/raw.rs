//! Raw sockets: ESP and AH right behind IP (RFC 4303, RFC 4302).
//!
//! Of protocols 50 and 51, which are read; through the former leaves ESP that wants an IP header. Of IPPROTO_RAW, through
//! which packets leave that bring theirs: AH, which covers it, and ESP in transport mode.
//!
//! The system knows no trains here: each packet goes through its stack alone, which is some three times the cost of ESP in
//! UDP. What is saved is the system calls: one for up to 64 packets.
//!
//! A socket of IPv4 gives the IP header too (raw(7)). One of IPv6 does not, nor the extension headers: a plain header is
//! made of what the control messages tell. For AH, which covers the headers, that is right where there was nothing but a
//! plain header. Packets with extension headers in front of AH fail their integrity check: they are dropped, and counted
//! as `bad-icv`.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use caponier_packet::fragment::Fragments;
use caponier_packet::transport::PlainHeader;
use caponier_packet::{ipv4, protocol};
use caponier_plane::{Arrival, Form, Protocol, Train};

use crate::address::SocketAddress;
use crate::control::{Control, Received};
use crate::discovery::Discovery;
use crate::error::IoError;
use crate::lost::{is_too_big, Lost};
use crate::message::{forget_errors, send_message};
use crate::mmsg::{send_many, Slots, BATCH, HEADROOM};
use crate::paths::Paths;
use crate::patience::Patience;
use crate::socket::{self, ask_for_errors, ask_for_header, local_address, prepare};

/// A raw socket.
#[derive(Debug)]
pub(crate) struct RawPort {
    fd: OwnedFd,
    is_v6: bool,
    kind: Kind,
    discovery: Discovery,
}

/// What a raw socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Packets of this protocol.
    Protocol(Protocol),
    /// Packets that bring their IP header; nothing is received.
    Headers,
}

/// Where packets go, and how.
struct Way<'a> {
    to: SocketAddress,
    control: Control,
    paths: &'a Paths,
    patience: &'a mut Patience,
}

impl Way<'_> {
    fn send(&mut self, fd: RawFd, packet: &[u8]) -> io::Result<()> {
        send_message(fd, packet, &mut self.to, &mut self.control, self.patience)
    }
}

impl RawPort {
    /// Take over a duplicate of a raw socket.
    pub(crate) fn attach(fd: OwnedFd, mark: u32) -> Result<Self, IoError> {
        let is_v6 = local_address(&fd)?.0.is_ipv6();
        let kind = match socket::protocol(&fd)? {
            found if found == libc::c_int::from(protocol::ESP) => Kind::Protocol(Protocol::Esp),
            found if found == libc::c_int::from(protocol::AH) => Kind::Protocol(Protocol::Ah),
            libc::IPPROTO_RAW => Kind::Headers,
            _ => return Err(IoError::NotTheSocket("one of protocol 50, 51 or 255")),
        };
        prepare(&fd, mark)?;
        if is_v6 {
            ask_for_header(&fd, is_v6)?;
            ask_for_errors(&fd)?;
        }
        Ok(Self {
            discovery: Discovery::new(&fd, is_v6)?,
            fd,
            is_v6,
            kind,
        })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Packets that came while the socket's buffer was full.
    pub(crate) fn drops(&self) -> u64 {
        socket::drops(&self.fd)
    }

    /// Whether a train leaves here.
    pub(crate) fn carries(&self, train: &Train) -> bool {
        let kind = match train.form {
            Form::Whole => Kind::Headers,
            Form::Bare => Kind::Protocol(Protocol::Esp),
        };
        let tunnel = &train.tunnel;
        self.kind == kind && tunnel.local_port == 0 && tunnel.remote.is_ipv6() == self.is_v6
    }

    /// Send a train packet by packet; returns what the system did not take.
    pub(crate) fn send(
        &self,
        train: &Train,
        octets: &[u8],
        paths: &Paths,
        patience: &mut Patience,
    ) -> Lost {
        let mut way = Way {
            to: SocketAddress::new(train.tunnel.remote, 0),
            control: Control::new(),
            paths,
            patience,
        };
        if train.form == Form::Bare {
            self.discovery.set(&self.fd, train.dont_fragment);
            way.control.push_source(train.tunnel.local);
            way.control
                .push_traffic_class(train.traffic_class, self.is_v6);
        }
        let segment = train.segment.max(1);
        let mut lost = Lost::default();
        for batch in octets.chunks(segment * BATCH) {
            lost += self.send_batch(batch, segment, &mut way);
        }
        lost
    }

    fn send_batch(&self, batch: &[u8], segment: usize, way: &mut Way<'_>) -> Lost {
        let count = batch.len().div_ceil(segment);
        let mut sent = send_many(self.fd(), batch, segment, &mut way.to, &mut way.control);
        let mut lost = Lost::default();
        // The system took a part: the next packet is tried by itself, which waits or tells an error.
        while sent < count {
            let packet = &batch[sent * segment..batch.len().min((sent + 1) * segment)];
            lost.count(&self.send_one(packet, way));
            sent += 1;
            let rest = &batch[batch.len().min(sent * segment)..];
            sent += send_many(self.fd(), rest, segment, &mut way.to, &mut way.control);
        }
        lost
    }

    /// Send one packet. One that brings its own IP header and is too long for the interface is fragmented here, if it
    /// allows it: the system would not do it (raw(7)).
    fn send_one(&self, packet: &[u8], way: &mut Way<'_>) -> io::Result<()> {
        match way.send(self.fd(), packet) {
            Err(error) if self.kind == Kind::Headers && is_too_big(&error) => {
                let remote = way.to.read().map(|(remote, _)| remote);
                let mtu = remote.and_then(|remote| way.paths.mtu(remote));
                self.send_fragments(packet, mtu.unwrap_or(0) as usize, way)
                    .unwrap_or(Err(error))
            }
            done => done,
        }
    }

    /// None if it is not to be fragmented.
    fn send_fragments(
        &self,
        packet: &[u8],
        mtu: usize,
        way: &mut Way<'_>,
    ) -> Option<io::Result<()>> {
        let fragments = Fragments::new(packet, mtu).ok()?;
        if fragments.count() == 1 {
            return None; // it should have fitted
        }
        let mut fragment = Vec::new();
        let mut send = |index| {
            fragment.resize(fragments.length(index), 0);
            fragments.write(index, &mut fragment);
            way.send(self.fd(), &fragment)
        };
        Some((0..fragments.count()).try_for_each(&mut send))
    }

    /// Receive what is there; how many packets, None when there is none.
    pub(crate) fn receive(&self, slots: &mut Slots) -> io::Result<Option<usize>> {
        let received = slots.receive(self.fd(), self.is_v6);
        match received {
            Ok(Some(_)) => received,
            Ok(None) | Err(_) if self.is_v6 && forget_errors(self.fd()) => Ok(None),
            _ => received,
        }
    }

    /// The packets that were received, and where they came from.
    pub(crate) fn packets<'s>(
        &self,
        slots: &'s mut Slots,
    ) -> impl Iterator<Item = (&'s mut [u8], Arrival)> {
        let (is_v6, protocol) = (self.is_v6, self.protocol());
        slots.packets().filter_map(move |(slot, from, received)| {
            if !is_v6 {
                return with_ipv4(&mut slot[HEADROOM..], protocol);
            }
            let (remote, _) = from.read()?;
            match protocol {
                Protocol::Esp => Some((&mut slot[HEADROOM..], esp_arrival(remote, received))),
                Protocol::Ah => behind_ipv6(slot, remote, received),
            }
        })
    }

    fn protocol(&self) -> Protocol {
        match self.kind {
            Kind::Protocol(protocol) => protocol,
            Kind::Headers => Protocol::Esp, // which never receives
        }
    }
}

/// An IPv4 raw socket gives the header, which the system has checked, and whose packet it has reassembled.
fn with_ipv4(octets: &mut [u8], protocol: Protocol) -> Option<(&mut [u8], Arrival)> {
    let packet = ipv4::Packet::new_checked(&*octets).ok()?;
    let arrival = Arrival {
        protocol,
        form: Form::Whole,
        local: Some(packet.destination().into()),
        remote: packet.source().into(),
        remote_port: 0,
        encapsulated: false,
        traffic_class: packet.type_of_service(),
        hop_limit: packet.time_to_live(),
    };
    Some((octets, arrival))
}

fn esp_arrival(remote: IpAddr, received: &Received) -> Arrival {
    Arrival {
        protocol: Protocol::Esp,
        form: Form::Bare,
        local: received.local,
        remote,
        remote_port: 0,
        encapsulated: false,
        traffic_class: received.traffic_class,
        hop_limit: received.hop_limit,
    }
}

/// AH with a plain IPv6 header in front, as it had if it had no extension headers.
fn behind_ipv6<'s>(
    slot: &'s mut [u8],
    remote: IpAddr,
    received: &Received,
) -> Option<(&'s mut [u8], Arrival)> {
    let header = PlainHeader {
        source: remote,
        destination: received.local?,
        traffic_class: received.traffic_class,
        hop_limit: received.hop_limit,
    };
    let payload = HEADROOM..slot.len();
    let packet = header.prepend(slot, payload, protocol::AH)?;
    let arrival = Arrival {
        protocol: Protocol::Ah,
        form: Form::Whole,
        ..esp_arrival(remote, received)
    };
    Some((&mut slot[packet], arrival))
}
