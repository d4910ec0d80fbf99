//! Segmentation: a super-packet of the TUN interface, cut into the packets that the path can carry.
//!
//! With `IFF_VNET_HDR` the kernel hands over TCP and UDP super-packets of up to 64 KiB uncut, and checksums
//! uncomputed. [`Plan`] says into how many packets one falls and how long each is, and writes each straight to
//! where it is wanted, in front of the cipher. What a sender's own stack would have sent is what comes out:
//! RFC 9293 section 3.7 for TCP, RFC 768 for UDP, RFC 791 and RFC 6864 for the IPv4 identification.

use crate::checksum::Checksum;
use crate::inner::{Fragment, Inner};
use crate::virtio::{self, Header};
use crate::{ipv4, ipv6, protocol, tcp, udp, Malformed};

/// The most segments that one super-packet may fall into.
///
/// A super-packet has 64 KiB and TCP's smallest segment on Linux is 48 octets with options, so honest ones have
/// fewer than 8192; a header that asks for more is a lie that would cost memory and sequence numbers.
pub const MAX_SEGMENTS: usize = 8192;

/// How one frame of the TUN interface is cut into packets.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    packet: &'a [u8],
    cut: Cut,
    count: usize,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    /// One packet, whose checksum may have to be completed.
    Whole(Option<Completion>),
    /// Several, each with a copy of the headers.
    Segments(Segments),
}

/// A checksum to be completed: what the field holds already is the sum of the pseudo-header.
#[derive(Clone, Copy, Debug)]
struct Completion {
    start: usize,
    field: usize,
    is_udp: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segments {
    is_v6: bool,
    is_udp: bool,
    /// Where the transport header begins, and where the payload.
    transport: usize,
    payload: usize,
    /// Octets of payload in each segment but the last.
    size: usize,
}

impl<'a> Plan<'a> {
    /// Plan the cut of `packet`, which `inner` was parsed from.
    pub fn new(header: &Header, packet: &'a [u8], inner: &Inner) -> Result<Self, Malformed> {
        let packet = &packet[..inner.length];
        if header.segmentation() == virtio::GSO_NONE {
            let completion = Completion::new(header, packet, inner)?;
            let cut = Cut::Whole(completion);
            return Ok(Self {
                packet,
                cut,
                count: 1,
            });
        }
        let segments = Segments::new(header, packet, inner)?;
        let count = (packet.len() - segments.payload).div_ceil(segments.size);
        if count > MAX_SEGMENTS {
            return Err(Malformed::new(
                "virtio_net_hdr.gso_size",
                "too many segments",
            ));
        }
        let (cut, count) = (Cut::Segments(segments), count.max(1));
        Ok(Self { packet, cut, count })
    }

    /// Number of packets, at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Octets of the packet at `index`. All but the last have the length of the first.
    pub fn length(&self, index: usize) -> usize {
        match self.cut {
            Cut::Whole(_) => self.packet.len(),
            Cut::Segments(cut) => {
                let begin = cut.payload + index * cut.size;
                cut.payload + cut.size.min(self.packet.len() - begin)
            }
        }
    }

    /// Octets of all packets together.
    pub fn total_len(&self) -> usize {
        match self.cut {
            Cut::Whole(_) => self.packet.len(),
            Cut::Segments(cut) => self.packet.len() + (self.count - 1) * cut.payload,
        }
    }

    /// Write the packet at `index` into `out`.
    ///
    /// # Panics
    /// If `index` is not below [`Plan::count`] or `out` has not [`Plan::length`] octets.
    pub fn write(&self, index: usize, out: &mut [u8]) {
        match self.cut {
            Cut::Whole(completion) => {
                out.copy_from_slice(self.packet);
                if let Some(completion) = completion {
                    completion.complete(out);
                }
            }
            Cut::Segments(cut) => cut.write(self.packet, index, index + 1 == self.count, out),
        }
    }
}

impl Completion {
    fn new(header: &Header, packet: &[u8], inner: &Inner) -> Result<Option<Self>, Malformed> {
        if !header.needs_checksum() {
            return Ok(None);
        }
        let start = usize::from(header.csum_start);
        let field = start + usize::from(header.csum_offset);
        if field + 2 > packet.len() {
            return Err(Malformed::new(
                "virtio_net_hdr.csum_start",
                "outside the packet",
            ));
        }
        let is_udp =
            inner.protocol == protocol::UDP && usize::from(header.csum_offset) == udp::CHECKSUM_AT;
        Ok(Some(Self {
            start,
            field,
            is_udp,
        }))
    }

    fn complete(&self, packet: &mut [u8]) {
        let sum = Checksum::new().plus(&packet[self.start..]);
        let sum = if self.is_udp {
            sum.finish_udp()
        } else {
            sum.finish()
        };
        packet[self.field..self.field + 2].copy_from_slice(&sum.to_be_bytes());
    }
}

impl Segments {
    fn new(header: &Header, packet: &[u8], inner: &Inner) -> Result<Self, Malformed> {
        let is_udp = gso_is_udp(header, inner)?;
        if inner.fragment != Fragment::Whole {
            return Err(Malformed::new("virtio_net_hdr.gso_type", "on a fragment"));
        }
        if inner.is_routed {
            // The checksums count the last address of the Routing header (RFC 8200 section 8.1); the kernel
            // hands such packets over cut.
            return Err(Malformed::new(
                "virtio_net_hdr.gso_type",
                "on a routed packet",
            ));
        }
        if header.gso_size == 0 {
            return Err(Malformed::new("virtio_net_hdr.gso_size", "0"));
        }
        let transport = &packet[inner.transport..];
        let transport_header_len = if is_udp {
            udp::Packet::new_checked(transport).map(|_| udp::HEADER_LEN)?
        } else {
            tcp::Packet::new_checked(transport)?.header_len()
        };
        Ok(Self {
            is_v6: inner.is_v6(),
            is_udp,
            transport: inner.transport,
            payload: inner.transport + transport_header_len,
            size: usize::from(header.gso_size),
        })
    }

    fn write(&self, packet: &[u8], index: usize, is_last: bool, out: &mut [u8]) {
        let (headers, payload) = out.split_at_mut(self.payload);
        headers.copy_from_slice(&packet[..self.payload]);
        let begin = self.payload + index * self.size;
        payload.copy_from_slice(&packet[begin..begin + payload.len()]);
        self.fill_ip(index, out);
        if self.is_udp {
            self.fill_udp(out);
        } else {
            self.fill_tcp(index, is_last, out);
        }
    }

    fn fill_ip(&self, index: usize, out: &mut [u8]) {
        let length = out.len();
        if self.is_v6 {
            let mut ip = ipv6::Packet::new_unchecked(out);
            ip.set_payload_len((length - ipv6::HEADER_LEN) as u16);
        } else {
            let mut ip = ipv4::Packet::new_unchecked(out);
            ip.set_total_len(length as u16);
            ip.set_identification(ip.identification().wrapping_add(index as u16));
            ip.fill_checksum();
        }
    }

    /// The flags of a cut segment: FIN and PSH belong to the last, CWR to the first (RFC 3168 section 6.1.2).
    fn fill_tcp(&self, index: usize, is_last: bool, out: &mut [u8]) {
        let mut segment = tcp::Packet::new_unchecked(&mut out[self.transport..]);
        let offset = (index * self.size) as u32;
        segment.set_sequence(segment.sequence().wrapping_add(offset));
        let mut flags = segment.flags();
        if !is_last {
            flags &= !(tcp::FIN | tcp::PSH);
        }
        if index > 0 {
            flags &= !tcp::CWR;
        }
        segment.set_flags(flags);
        segment.set_checksum(0);
        let sum = self.checksum(protocol::TCP, out).finish();
        tcp::Packet::new_unchecked(&mut out[self.transport..]).set_checksum(sum);
    }

    fn fill_udp(&self, out: &mut [u8]) {
        let mut datagram = udp::Packet::new_unchecked(&mut out[self.transport..]);
        datagram.set_checksum(0);
        let length = (out.len() - self.transport) as u16;
        udp::Packet::new_unchecked(&mut out[self.transport..]).set_length(length);
        let sum = self.checksum(protocol::UDP, out).finish_udp();
        udp::Packet::new_unchecked(&mut out[self.transport..]).set_checksum(sum);
    }

    fn checksum(&self, protocol: u8, out: &[u8]) -> Checksum {
        let addresses = if self.is_v6 {
            &out[8..40]
        } else {
            &out[12..20]
        };
        let transport = &out[self.transport..];
        Checksum::pseudo_header(addresses, protocol, transport.len()).plus(transport)
    }
}

/// True for UDP; an error where type and packet do not agree.
fn gso_is_udp(header: &Header, inner: &Inner) -> Result<bool, Malformed> {
    match (header.segmentation(), inner.is_v6(), inner.protocol) {
        (virtio::GSO_TCPV4, false, protocol::TCP) | (virtio::GSO_TCPV6, true, protocol::TCP) => {
            Ok(false)
        }
        (virtio::GSO_UDP_L4, _, protocol::UDP) => Ok(true),
        _ => Err(Malformed::new(
            "virtio_net_hdr.gso_type",
            "does not fit the packet",
        )),
    }
}
