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
        self.write_behind(index, 0, out);
    }

    /// Write the packet at `index` into `out`, without its first `skip` octets: 0, or the plain IP header, which
    /// another writes (RFC 4303 section 3.1.1: transport mode protects what follows it).
    ///
    /// # Panics
    /// If `index` is not below [`Plan::count`], `skip` is neither, or `out` has not [`Plan::length`] less `skip`
    /// octets.
    pub fn write_behind(&self, index: usize, skip: usize, out: &mut [u8]) {
        match self.cut {
            Cut::Whole(completion) => {
                out.copy_from_slice(&self.packet[skip..]);
                if let Some(completion) = completion {
                    completion.complete(out, skip);
                }
            }
            Cut::Segments(cut) => {
                let is_last = index + 1 == self.count;
                cut.write(self.packet, index, is_last, skip, out);
            }
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

    /// Complete it in a packet that is written without its first `skip` octets. One that begins there is a lie.
    fn complete(&self, out: &mut [u8], skip: usize) {
        let (Some(start), Some(field)) =
            (self.start.checked_sub(skip), self.field.checked_sub(skip))
        else {
            return;
        };
        let sum = Checksum::new().plus(&out[start..]);
        let sum = if self.is_udp {
            sum.finish_udp()
        } else {
            sum.finish()
        };
        out[field..field + 2].copy_from_slice(&sum.to_be_bytes());
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

    fn write(&self, packet: &[u8], index: usize, is_last: bool, skip: usize, out: &mut [u8]) {
        let (headers, payload) = out.split_at_mut(self.payload - skip);
        headers.copy_from_slice(&packet[skip..self.payload]);
        let begin = self.payload + index * self.size;
        payload.copy_from_slice(&packet[begin..begin + payload.len()]);
        if skip == 0 {
            self.fill_ip(index, out);
        }
        let (addresses, transport) = (self.addresses(packet), &mut out[self.transport - skip..]);
        if self.is_udp {
            fill_udp(addresses, transport);
        } else {
            self.fill_tcp(index, is_last, addresses, transport);
        }
    }

    fn addresses<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        if self.is_v6 {
            &packet[8..40]
        } else {
            &packet[12..20]
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
    fn fill_tcp(&self, index: usize, is_last: bool, addresses: &[u8], transport: &mut [u8]) {
        let mut segment = tcp::Packet::new_unchecked(&mut *transport);
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
        let sum = checksum(addresses, protocol::TCP, transport).finish();
        tcp::Packet::new_unchecked(transport).set_checksum(sum);
    }
}

fn fill_udp(addresses: &[u8], transport: &mut [u8]) {
    let length = transport.len() as u16;
    let mut datagram = udp::Packet::new_unchecked(&mut *transport);
    datagram.set_checksum(0);
    datagram.set_length(length);
    let sum = checksum(addresses, protocol::UDP, transport).finish_udp();
    udp::Packet::new_unchecked(transport).set_checksum(sum);
}

fn checksum(addresses: &[u8], protocol: u8, transport: &[u8]) -> Checksum {
    Checksum::pseudo_header(addresses, protocol, transport.len()).plus(transport)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A TCP or UDP super-packet and its virtio header.
    fn super_packet(is_v6: bool, is_udp: bool, payload: usize, size: u16) -> (Header, Vec<u8>) {
        let transport_len = if is_udp { 8 } else { 32 };
        let (ip_len, protocol) = (if is_v6 { 40 } else { 20 }, if is_udp { 17 } else { 6 });
        let total = ip_len + transport_len + payload;
        let mut packet = vec![0; total];
        if is_v6 {
            packet[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, protocol, 64]);
            packet[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
            packet[8..40].fill(0x21);
        } else {
            packet[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0]);
            packet[2..4].copy_from_slice(&(total as u16).to_be_bytes());
            packet[12..20].copy_from_slice(&[10, 1, 0, 1, 10, 2, 0, 2]);
        }
        if !is_udp {
            packet[ip_len + 12] = 0x80;
            packet[ip_len + 13] = tcp::ACK | tcp::PSH;
        }
        for (at, octet) in packet[ip_len + transport_len..].iter_mut().enumerate() {
            *octet = (at * 11) as u8;
        }
        let gso_type = match (is_udp, is_v6) {
            (true, _) => virtio::GSO_UDP_L4,
            (false, true) => virtio::GSO_TCPV6,
            (false, false) => virtio::GSO_TCPV4,
        };
        let header = Header {
            flags: virtio::NEEDS_CSUM,
            gso_type,
            header_len: (ip_len + transport_len) as u16,
            gso_size: size,
            csum_start: ip_len as u16,
            csum_offset: if is_udp { 6 } else { 16 },
        };
        (header, packet)
    }

    proptest! {
        /// RFC 9293 section 3.7, RFC 768: every segment is a valid packet, and they hold the payload in order. What is
        /// written without the IP header is what stands behind it.
        #[test]
        fn segments_are_valid_packets(is_v6: bool, is_udp: bool, payload in 1usize..5000, size in 100u16..1500) {
            let (header, packet) = super_packet(is_v6, is_udp, payload, size);
            let inner = Inner::parse(&packet).expect("a packet");
            let plan = Plan::new(&header, &packet, &inner).expect("a plan");
            let mut payloads = Vec::new();
            for index in 0..plan.count() {
                let mut out = vec![0xee; plan.length(index)];
                plan.write(index, &mut out);
                let cut = Inner::parse(&out).expect("a packet");
                prop_assert_eq!(cut.length, out.len());
                let sum = Checksum::pseudo_header(cut.addresses(&out), cut.protocol, out.len() - cut.transport);
                prop_assert!(sum.plus(&out[cut.transport..]).is_intact());
                prop_assert!(is_v6 || ipv4::Packet::new_unchecked(&out[..]).is_header_intact());
                payloads.extend_from_slice(&out[header.header_len.into()..]);
                let mut behind = vec![0xdd; out.len() - inner.transport];
                plan.write_behind(index, inner.transport, &mut behind);
                prop_assert_eq!(&behind[..], &out[inner.transport..]);
            }
            prop_assert_eq!(&payloads[..], &packet[header.header_len.into()..]);
        }

        /// A packet that is not cut, with a checksum to complete, written with and without its IP header.
        #[test]
        fn whole_packets_are_completed(is_v6: bool, is_udp: bool, payload in 0usize..200) {
            let (mut header, packet) = super_packet(is_v6, is_udp, payload, 0);
            header.gso_type = virtio::GSO_NONE;
            let inner = Inner::parse(&packet).expect("a packet");
            let plan = Plan::new(&header, &packet, &inner).expect("a plan");
            let mut out = vec![0; packet.len()];
            plan.write(0, &mut out);
            prop_assert!(Checksum::new().plus(&out[inner.transport..]).is_intact());
            let mut behind = vec![0; packet.len() - inner.transport];
            plan.write_behind(0, inner.transport, &mut behind);
            prop_assert_eq!(&behind[..], &out[inner.transport..]);
        }

        /// A checksum that begins in the IP header is a lie; what is left out of the slot stays out.
        #[test]
        fn lies_about_the_checksum_do_not_panic(start in 0u16..60, offset in 0u16..60) {
            let (mut header, packet) = super_packet(false, false, 20, 0);
            (header.gso_type, header.csum_start, header.csum_offset) = (virtio::GSO_NONE, start, offset);
            let inner = Inner::parse(&packet).expect("a packet");
            if let Ok(plan) = Plan::new(&header, &packet, &inner) {
                plan.write_behind(0, 20, &mut vec![0; packet.len() - 20]);
            }
        }
    }
}
