//! The frames on their way into the TUN interface.

use std::net::IpAddr;
use std::ops::Range;

use caponier_packet::coalesce::{Segment, SuperPacket};
use caponier_packet::inner::Inner;
use caponier_packet::{protocol, virtio};

/// How many flows are coalesced at a time.
const MAX_OPEN: usize = 16;
/// A closed super-packet below this size is copied to the arena, so that its 64 KiB can be used again at once.
const SMALL: usize = 16384;

/// Inner packets, coalesced into super-packets, each behind a virtio header. It keeps its memory when it is cleared.
///
/// The packets of one flow stay in their order: a packet that cannot be merged closes what is open of its flow before it
/// goes by itself. Packets of different flows may overtake each other.
///
/// A frame that is closed should be written soon, while its octets are in the processor's cache, and given back with
/// [`Inbox::recycle`]: then two or three buffers of 64 KiB are all that is ever touched. What is under construction stays,
/// and may grow with the next train, until [`Inbox::finish`] at the end of the reader's turn.
#[derive(Debug)]
pub struct Inbox {
    merges_datagrams: bool,
    /// Single packets and small super-packets, back to back; longer than what is in use.
    arena: Vec<u8>,
    used: usize,
    /// Buffers for super-packets: open, closed and listed in `frames`, or free.
    pool: Vec<SuperPacket>,
    /// Under construction, the oldest first: the flow's key, and which buffer.
    open: Vec<(u64, usize)>,
    free: Vec<usize>,
    frames: Vec<Frame>,
    /// Where a packet is put together that came without its IP header.
    scratch: Vec<u8>,
}

/// The inboxes of several TUN interfaces.
pub trait Inboxes {
    /// That of the interface of this number, if there is one.
    fn of(&mut self, interface: u32) -> Option<&mut Inbox>;
}

/// One for all.
impl Inboxes for Inbox {
    #[inline]
    fn of(&mut self, _: u32) -> Option<&mut Inbox> {
        Some(self)
    }
}

#[derive(Debug)]
enum Frame {
    /// In the arena.
    Single(Range<usize>),
    /// In the pool: which, and how many octets.
    Super(usize, usize),
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// Make an empty inbox.
    pub fn new() -> Self {
        Self {
            merges_datagrams: true,
            arena: Vec::new(),
            used: 0,
            pool: Vec::new(),
            open: Vec::new(),
            free: Vec::new(),
            frames: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// As [`Inbox::new`], for an interface that takes no super-packets of UDP.
    pub fn without_datagrams() -> Self {
        Self {
            merges_datagrams: false,
            ..Self::new()
        }
    }

    /// Forget all frames, also those under construction; the memory is kept.
    pub fn clear(&mut self) {
        self.finish();
        self.recycle();
    }

    /// Forget the closed frames, which were written; what is under construction stays, and so does the memory.
    pub fn recycle(&mut self) {
        self.used = 0;
        for frame in self.frames.drain(..) {
            if let Frame::Super(at, _) = frame {
                self.free.push(at);
            }
        }
    }

    /// Close the super-packets under construction, so that [`Inbox::frames`] gives them too.
    pub fn finish(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    /// The closed frames, each a virtio_net_hdr of 10 octets and an IP packet.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|frame| match frame {
            Frame::Single(range) => &self.arena[range.clone()],
            Frame::Super(at, length) => self.pool[*at].frame(*length),
        })
    }

    /// Room to put a packet together in; to be given back, so that its memory is used again.
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    /// Give the room back.
    pub(crate) fn give_back(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    /// Take a packet, which `inner` was parsed from.
    pub(crate) fn push(&mut self, inner: &Inner, packet: &[u8]) {
        let key = flow_key(inner, packet);
        let same_flow = self
            .open
            .iter()
            .rposition(|(open, at)| *open == key && self.pool[*at].is_same_flow(inner, packet));
        let segment = if self.merges(inner) {
            Segment::verify(inner, packet)
        } else {
            None
        };
        match (segment, same_flow) {
            (Some(segment), Some(open)) => self.append(open, key, &segment),
            (Some(segment), None) => self.begin(key, &segment),
            (None, Some(open)) => {
                self.close(open);
                self.single(&[0; virtio::HEADER_LEN], packet);
            }
            (None, None) => self.single(&[0; virtio::HEADER_LEN], packet),
        }
    }

    fn merges(&self, inner: &Inner) -> bool {
        self.merges_datagrams || inner.protocol != protocol::UDP
    }

    fn append(&mut self, open: usize, key: u64, segment: &Segment<'_>) {
        let building = &mut self.pool[self.open[open].1];
        if !building.append(segment) {
            self.close(open);
            return self.begin(key, segment);
        }
        if building.is_complete() {
            self.close(open);
        }
    }

    fn begin(&mut self, key: u64, segment: &Segment<'_>) {
        if self.open.len() == MAX_OPEN {
            self.close(0);
        }
        let at = self.free.pop().unwrap_or_else(|| {
            self.pool.push(SuperPacket::new());
            self.pool.len() - 1
        });
        self.pool[at].begin(segment);
        self.open.push((key, at));
        if self.pool[at].is_complete() {
            self.close(self.open.len() - 1);
        }
    }

    fn close(&mut self, open: usize) {
        let (_, at) = self.open.remove(open);
        let Some(frame) = self.pool[at].close() else {
            return self.free.push(at);
        };
        let length = frame.len();
        if length < SMALL {
            let range = claim(&mut self.arena, &mut self.used, length);
            self.arena[range.clone()].copy_from_slice(frame);
            self.frames.push(Frame::Single(range));
            self.free.push(at);
        } else {
            self.frames.push(Frame::Super(at, length));
        }
    }

    fn single(&mut self, header: &[u8], packet: &[u8]) {
        let range = claim(&mut self.arena, &mut self.used, header.len() + packet.len());
        let (head, body) = self.arena[range.clone()].split_at_mut(header.len());
        head.copy_from_slice(header);
        body.copy_from_slice(packet);
        self.frames.push(Frame::Single(range));
    }
}

/// The same for all packets of a flow, and rarely for those of two: the ends of the addresses, and the ports.
fn flow_key(inner: &Inner, packet: &[u8]) -> u64 {
    let (source, destination) = match (inner.source, inner.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => (source.to_bits(), destination.to_bits()),
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            (source.to_bits() as u32, destination.to_bits() as u32)
        }
        _ => (0, 0),
    };
    let ports = packet.get(inner.transport..).and_then(<[u8]>::first_chunk);
    let ports = u32::from_ne_bytes(*ports.unwrap_or(&[0; 4]));
    (u64::from(source) << 32 | u64::from(destination)) ^ u64::from(ports).rotate_left(20)
}

fn claim(arena: &mut Vec<u8>, used: &mut usize, length: usize) -> Range<usize> {
    let range = *used..*used + length;
    if arena.len() < range.end {
        arena.resize(range.end.next_power_of_two(), 0);
    }
    *used = range.end;
    range
}

#[cfg(test)]
mod tests {
    use super::*;
    use caponier_packet::checksum::Checksum;

    /// A UDP datagram of this flow, over IPv4.
    fn datagram(flow: u16, length: usize) -> Vec<u8> {
        let total = 28 + length as u16;
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol::UDP, 0, 0];
        packet.extend([10, 1, 0, 1, 10, 2, 0, 1]);
        packet[2..4].copy_from_slice(&total.to_be_bytes());
        let sum = Checksum::new().plus(&packet).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(flow.to_be_bytes());
        packet.extend([0, 9]);
        packet.extend((8 + length as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.resize(28 + length, 7);
        let pseudo = Checksum::pseudo_header(&packet[12..20], protocol::UDP, 8 + length);
        let sum = pseudo.plus(&packet[20..]).finish_udp();
        packet[26..28].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn push(inbox: &mut Inbox, packet: &[u8]) {
        let inner = Inner::parse(packet).expect("a packet");
        inbox.push(&inner, packet);
    }

    fn lengths(inbox: &Inbox) -> Vec<usize> {
        let ip = |frame: &[u8]| frame.len() - virtio::HEADER_LEN;
        inbox.frames().map(ip).collect()
    }

    #[test]
    fn what_is_under_construction_outlives_what_was_written() {
        let mut inbox = Inbox::new();
        push(&mut inbox, &datagram(1, 100));
        push(&mut inbox, &datagram(1, 100));
        inbox.recycle();
        assert!(lengths(&inbox).is_empty());
        push(&mut inbox, &datagram(1, 50));
        assert_eq!(lengths(&inbox), [28 + 250]); // shorter: complete
        inbox.recycle();
        inbox.finish();
        assert!(lengths(&inbox).is_empty());
    }

    #[test]
    fn buffers_are_used_again() {
        let mut inbox = Inbox::new();
        for _ in 0..1000 {
            push(&mut inbox, &datagram(1, 1400));
            inbox.recycle();
        }
        assert!(inbox.pool.len() <= 2, "{}", inbox.pool.len());
        assert!(inbox.arena.len() < 4096, "{}", inbox.arena.len());
    }

    /// A packet that cannot be merged follows what came before it of its flow, and other flows may wait.
    #[test]
    fn a_flow_keeps_its_order() {
        let mut inbox = Inbox::new();
        push(&mut inbox, &datagram(1, 100));
        push(&mut inbox, &datagram(2, 100));
        let mut corrupted = datagram(1, 30);
        corrupted[40] ^= 1;
        push(&mut inbox, &corrupted);
        assert_eq!(lengths(&inbox), [128, 58]);
        push(&mut inbox, &datagram(1, 40));
        inbox.finish();
        assert_eq!(lengths(&inbox), [128, 58, 128, 68]);
    }

    #[test]
    fn the_oldest_flow_makes_room() {
        let mut inbox = Inbox::new();
        for flow in 0..=MAX_OPEN as u16 {
            push(&mut inbox, &datagram(flow, 100 + usize::from(flow)));
        }
        assert_eq!(lengths(&inbox), [128]);
    }

    #[test]
    fn datagrams_stay_apart_where_the_interface_wants_it() {
        let mut inbox = Inbox::without_datagrams();
        push(&mut inbox, &datagram(1, 100));
        push(&mut inbox, &datagram(1, 100));
        assert_eq!(lengths(&inbox), [128, 128]);
    }

    /// Keys of two flows may be equal; the headers decide.
    #[test]
    fn equal_keys_are_not_enough() {
        let to = |second_octet: u8, flow: u16| {
            let mut packet = datagram(flow, 100);
            packet[17] = second_octet;
            packet[10..12].fill(0);
            let sum = Checksum::new().plus(&packet[..20]).finish();
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            let inner = Inner::parse(&packet).expect("a packet");
            (flow_key(&inner, &packet), packet)
        };
        let ((first_key, first), (second_key, second)) = (to(2, 0), to(2 ^ 16, 0x0100));
        assert_eq!(first_key == second_key, cfg!(target_endian = "little"));
        let mut inbox = Inbox::new();
        push(&mut inbox, &first);
        push(&mut inbox, &second);
        inbox.finish();
        assert_eq!(lengths(&inbox), [128, 128]);
    }
}
