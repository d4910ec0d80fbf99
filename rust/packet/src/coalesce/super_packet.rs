//! The super-packet.

use super::segment::Segment;
use crate::checksum::Checksum;
use crate::inner::Inner;
use crate::virtio::{self, Header};
use crate::{ipv4, ipv6, protocol, tcp, udp};

/// The largest IP packet.
pub const MAX_PACKET: usize = 65535;

/// The most UDP datagrams in one super-packet: what Linux cuts a send into (`UDP_MAX_SEGMENTS`).
const MAX_DATAGRAMS: u16 = 64;

/// A super-packet under construction, behind its virtio header. Keeps its 64 KiB when it is emptied.
#[derive(Debug)]
pub struct SuperPacket {
    frame: Vec<u8>,
    /// Octets of the IP packet in `frame`; 0 for none.
    length: usize,
    is_v6: bool,
    is_udp: bool,
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
            is_udp: false,
            transport: 0,
            payload: 0,
            size: 0,
            count: 0,
            next_sequence: 0,
            is_complete: false,
        }
    }

    /// True when nothing may follow: the last segment was shorter or carried PSH, or there is no room.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Begin with this segment; what was there is forgotten.
    pub fn begin(&mut self, segment: &Segment<'_>) {
        self.length = segment.packet.len();
        self.is_v6 = segment.is_v6;
        self.is_udp = segment.is_udp;
        self.transport = segment.transport;
        self.payload = segment.payload;
        self.size = segment.payload_len();
        self.count = 1;
        self.next_sequence = segment.sequence().wrapping_add(self.size as u32);
        self.is_complete = segment.has_push();
        self.body_mut()[..segment.packet.len()].copy_from_slice(segment.packet);
    }

    /// True when the packet belongs to the flow under construction: same addresses, protocol and ports.
    pub fn is_same_flow(&self, inner: &Inner, packet: &[u8]) -> bool {
        let ports = packet.get(inner.transport..inner.transport + 4);
        self.length > 0
            && self.is_v6 == inner.is_v6()
            && inner.protocol == self.protocol()
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
        let has_push = segment.has_push();
        if has_push {
            let at = self.transport;
            let mut tcp = tcp::Packet::new_unchecked(&mut self.body_mut()[at..]);
            tcp.set_flags(tcp.flags() | tcp::PSH);
        }
        self.is_complete = has_push || payload.len() < self.size || self.is_full();
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

    /// No second segment as long as the first would fit.
    fn is_full(&self) -> bool {
        self.length + self.size > MAX_PACKET || (self.is_udp && self.count == MAX_DATAGRAMS)
    }

    fn continues(&self, segment: &Segment<'_>) -> bool {
        let body = self.body();
        !self.is_complete
            && self.length > 0
            && segment.is_v6 == self.is_v6
            && segment.is_udp == self.is_udp
            && segment.payload == self.payload
            && segment.payload_len() <= self.size
            && self.length + segment.payload_len() <= MAX_PACKET
            && self.has_same_ip_header(body, segment.packet)
            && self.continues_transport(body, segment)
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

    fn continues_transport(&self, body: &[u8], segment: &Segment<'_>) -> bool {
        let ours = &body[self.transport..self.payload];
        let theirs = &segment.packet[self.transport..self.payload];
        let has_same_ports = ours[..4] == theirs[..4];
        if self.is_udp {
            return has_same_ports; // length and checksum are all that is left
        }
        has_same_ports
            && segment.sequence() == self.next_sequence
            && ours[8..13] == theirs[8..13] // acknowledgement, data offset
            && (ours[13] ^ theirs[13]) & !tcp::PSH == 0
            && ours[14..16] == theirs[14..16] // window
            && ours[18..] == theirs[18..] // urgent pointer, options
    }

    /// Lengths and checksums of the whole, which the kernel (or a network card) cuts again.
    fn fill_headers(&mut self) -> Header {
        self.fill_ip();
        let (transport, length) = (self.transport, self.length - self.transport);
        let sum = Checksum::pseudo_header(self.addresses(), self.protocol(), length).partial();
        let (is_udp, is_v6) = (self.is_udp, self.is_v6);
        let octets = &mut self.body_mut()[transport..];
        if is_udp {
            let mut udp = udp::Packet::new_unchecked(octets);
            udp.set_length(length as u16);
            udp.set_checksum(sum);
        } else {
            tcp::Packet::new_unchecked(octets).set_checksum(sum);
        }
        let (gso_type, csum_offset) = match (is_udp, is_v6) {
            (true, _) => (virtio::GSO_UDP_L4, udp::CHECKSUM_AT),
            (false, true) => (virtio::GSO_TCPV6, tcp::CHECKSUM_AT),
            (false, false) => (virtio::GSO_TCPV4, tcp::CHECKSUM_AT),
        };
        Header {
            flags: virtio::NEEDS_CSUM,
            gso_type,
            header_len: self.payload as u16,
            gso_size: self.size as u16,
            csum_start: transport as u16,
            csum_offset: csum_offset as u16,
        }
    }

    fn fill_ip(&mut self) {
        let (length, is_v6) = (self.length, self.is_v6);
        let body = &mut self.frame[virtio::HEADER_LEN..][..length];
        if is_v6 {
            let mut ip = ipv6::Packet::new_unchecked(body);
            ip.set_payload_len((length - ipv6::HEADER_LEN) as u16);
        } else {
            let mut ip = ipv4::Packet::new_unchecked(body);
            ip.set_total_len(length as u16);
            ip.fill_checksum();
        }
    }

    fn protocol(&self) -> u8 {
        if self.is_udp {
            protocol::UDP
        } else {
            protocol::TCP
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
