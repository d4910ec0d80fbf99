//! Coalescing: consecutive TCP segments of one flow, put together into one super-packet for the TUN interface.
//!
//! Only what the receiver may see as one is merged, so that cutting the super-packet again gives the very
//! segments that came in: the same addresses, ports, TTL, DSCP, ECN, flow label, acknowledgement, window and
//! TCP options (timestamps too); consecutive sequence numbers; equal payloads but for the last, which may be
//! shorter; no flag but ACK and ECE, and PSH at the end. The checksums of every segment are verified first: the
//! kernel trusts those of a super-packet, and a corrupted segment must not become a valid one by being merged.
//! Whatever is not such a segment passes by itself, its checksum untouched.

use crate::checksum::Checksum;
use crate::inner::{Fragment, Inner};
use crate::virtio::{self, Header};
use crate::{ipv4, ipv6, protocol, tcp};

/// The largest IP packet.
pub const MAX_PACKET: usize = 65535;

/// A TCP segment that may be merged: evidence that its form and its checksums were verified.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    packet: &'a [u8],
    is_v6: bool,
    transport: usize,
    payload: usize,
}

impl<'a> Segment<'a> {
    /// Verify that `packet`, which `inner` was parsed from, may become part of a super-packet.
    pub fn verify(inner: &Inner, packet: &'a [u8]) -> Option<Self> {
        let packet = packet.get(..inner.length)?;
        if inner.protocol != protocol::TCP || !has_plain_ip_header(inner) {
            return None;
        }
        let transport = packet.get(inner.transport..)?;
        let tcp = tcp::Packet::new_checked(transport).ok()?;
        let payload = inner.transport + tcp.header_len();
        let flags = tcp.flags() & !(tcp::PSH | tcp::ECE);
        if flags != tcp::ACK || payload == packet.len() || !is_intact(inner, packet, transport) {
            return None;
        }
        Some(Self {
            packet,
            is_v6: inner.is_v6(),
            transport: inner.transport,
            payload,
        })
    }

    fn payload_len(&self) -> usize {
        self.packet.len() - self.payload
    }

    fn tcp(&self) -> tcp::Packet<&'a [u8]> {
        tcp::Packet::new_unchecked(&self.packet[self.transport..])
    }
}

/// No IP options, no extension headers, no fragment.
fn has_plain_ip_header(inner: &Inner) -> bool {
    let plain = if inner.is_v6() {
        ipv6::HEADER_LEN
    } else {
        ipv4::HEADER_LEN
    };
    inner.fragment == Fragment::Whole && inner.transport == plain
}

fn is_intact(inner: &Inner, packet: &[u8], transport: &[u8]) -> bool {
    let ip = inner.is_v6() || ipv4::Packet::new_unchecked(packet).is_header_intact();
    let addresses = inner.addresses(packet);
    ip && Checksum::pseudo_header(addresses, protocol::TCP, transport.len())
        .plus(transport)
        .is_intact()
}

/// A super-packet under construction, behind its virtio header. Keeps its 64 KiB when it is emptied.
#[derive(Debug)]
pub struct SuperPacket {
    frame: Vec<u8>,
    /// Octets of the IP packet in `frame`; 0 for none.
    length: usize,
    is_v6: bool,
    transport: usize,
    payload: usize,
    /// Octets of payload in each segment but the last.
    size: usize,
    count: u16,
    next_sequence: u32,
    is_complete: bool,
}

impl Default for SuperPacket {
    fn default() -> Self {
        Self::new()
    }
}

impl SuperPacket {
    /// Make an empty one.
    pub fn new() -> Self {
        Self {
            frame: vec![0; virtio::HEADER_LEN + MAX_PACKET],
            length: 0,
            is_v6: false,
            transport: 0,
            payload: 0,
            size: 0,
            count: 0,
            next_sequence: 0,
            is_complete: false,
        }
    }

    /// True when nothing may follow: the last segment was shorter or carried PSH.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Begin with this segment; what was there is forgotten.
    pub fn begin(&mut self, segment: &Segment<'_>) {
        self.length = segment.packet.len();
        self.is_v6 = segment.is_v6;
        self.transport = segment.transport;
        self.payload = segment.payload;
        self.size = segment.payload_len();
        self.count = 1;
        self.next_sequence = segment.tcp().sequence().wrapping_add(self.size as u32);
        self.is_complete = segment.tcp().flags() & tcp::PSH != 0;
        self.body_mut()[..segment.packet.len()].copy_from_slice(segment.packet);
    }

    /// True when the packet belongs to the flow under construction: same addresses, protocol and ports.
    pub fn is_same_flow(&self, inner: &Inner, packet: &[u8]) -> bool {
        let ports = packet.get(inner.transport..inner.transport + 4);
        self.length > 0
            && self.is_v6 == inner.is_v6()
            && inner.protocol == protocol::TCP
            && inner.addresses(packet) == self.addresses()
            && ports == Some(&self.body()[self.transport..self.transport + 4])
    }

    /// Append the segment if it continues the flow; false when it does not fit.
    pub fn append(&mut self, segment: &Segment<'_>) -> bool {
        if !self.continues(segment) {
            return false;
        }
        let at = self.length;
        let payload = &segment.packet[segment.payload..];
        self.body_mut()[at..at + payload.len()].copy_from_slice(payload);
        self.length += payload.len();
        self.count += 1;
        self.next_sequence = self.next_sequence.wrapping_add(payload.len() as u32);
        let has_push = segment.tcp().flags() & tcp::PSH != 0;
        if has_push {
            let at = self.transport;
            let mut tcp = tcp::Packet::new_unchecked(&mut self.body_mut()[at..]);
            tcp.set_flags(tcp.flags() | tcp::PSH);
        }
        self.is_complete = has_push || payload.len() < self.size;
        true
    }

    /// Complete the headers and empty the super-packet: the frame is valid until the next [`SuperPacket::begin`].
    /// `None` if nothing was begun.
    pub fn close(&mut self) -> Option<&[u8]> {
        if self.length == 0 {
            return None;
        }
        let header = if self.count > 1 {
            self.fill_headers()
        } else {
            Header::default() // as it came in
        };
        self.frame[..virtio::HEADER_LEN].copy_from_slice(&header.encode());
        let end = virtio::HEADER_LEN + self.length;
        self.length = 0;
        self.frame.get(..end)
    }

    /// The first `length` octets of the frame that was closed.
    pub fn frame(&self, length: usize) -> &[u8] {
        self.frame.get(..length).unwrap_or(&[])
    }

    fn continues(&self, segment: &Segment<'_>) -> bool {
        let body = self.body();
        !self.is_complete
            && self.length > 0
            && segment.is_v6 == self.is_v6
            && segment.payload == self.payload
            && segment.payload_len() <= self.size
            && self.length + segment.payload_len() <= MAX_PACKET
            && segment.tcp().sequence() == self.next_sequence
            && self.has_same_ip_header(body, segment.packet)
            && self.has_same_tcp_header(body, segment.packet)
    }

    fn has_same_ip_header(&self, ours: &[u8], theirs: &[u8]) -> bool {
        if self.is_v6 {
            // version, class and flow label; next header, hop limit, addresses
            return ours[..4] == theirs[..4] && ours[6..40] == theirs[6..40];
        }
        let (first, next) = (
            ipv4::Packet::new_unchecked(ours),
            ipv4::Packet::new_unchecked(theirs),
        );
        // Without DF the identification may still be needed for reassembly (RFC 6864 section 4.1), and a cut of
        // the super-packet counts it up from the first.
        let identification = first.identification().wrapping_add(self.count);
        ours[..2] == theirs[..2]
            && ours[6..10] == theirs[6..10]
            && ours[12..20] == theirs[12..20]
            && (first.fragment_word() & ipv4::DONT_FRAGMENT != 0
                || next.identification() == identification)
    }

    fn has_same_tcp_header(&self, ours: &[u8], theirs: &[u8]) -> bool {
        let ours = &ours[self.transport..self.payload];
        let theirs = &theirs[self.transport..self.payload];
        ours[..4] == theirs[..4] // ports
            && ours[8..13] == theirs[8..13] // acknowledgement, data offset
            && (ours[13] ^ theirs[13]) & !tcp::PSH == 0
            && ours[14..16] == theirs[14..16] // window
            && ours[18..] == theirs[18..] // urgent pointer, options
    }

    /// Lengths and checksums of the whole, which the kernel (or a network card) cuts again.
    fn fill_headers(&mut self) -> Header {
        let (length, transport) = (self.length, self.transport);
        let is_v6 = self.is_v6;
        let body = &mut self.frame[virtio::HEADER_LEN..][..length];
        if is_v6 {
            let mut ip = ipv6::Packet::new_unchecked(&mut *body);
            ip.set_payload_len((length - ipv6::HEADER_LEN) as u16);
        } else {
            let mut ip = ipv4::Packet::new_unchecked(&mut *body);
            ip.set_total_len(length as u16);
            ip.fill_checksum();
        }
        let addresses = if is_v6 { &body[8..40] } else { &body[12..20] };
        let sum = Checksum::pseudo_header(addresses, protocol::TCP, length - transport).partial();
        tcp::Packet::new_unchecked(&mut body[transport..]).set_checksum(sum);
        Header {
            flags: virtio::NEEDS_CSUM,
            gso_type: if is_v6 {
                virtio::GSO_TCPV6
            } else {
                virtio::GSO_TCPV4
            },
            header_len: self.payload as u16,
            gso_size: self.size as u16,
            csum_start: transport as u16,
            csum_offset: tcp::CHECKSUM_AT as u16,
        }
    }

    fn body(&self) -> &[u8] {
        &self.frame[virtio::HEADER_LEN..]
    }

    fn body_mut(&mut self) -> &mut [u8] {
        &mut self.frame[virtio::HEADER_LEN..]
    }

    fn addresses(&self) -> &[u8] {
        let body = self.body();
        if self.is_v6 {
            &body[8..40]
        } else {
            &body[12..20]
        }
    }
}
