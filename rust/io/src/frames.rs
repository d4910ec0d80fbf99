//! A batch of frames from the TUN interface.

use std::ops::Range;

use crate::tun::MAX_FRAME;

/// Frames in one batch: as many small packets as fit one `UDP_SEGMENT` send.
const MAX_FRAMES: usize = 64;
/// A line of the cache.
const LINE: usize = 64;
/// Where the payload begins in the frames that have most of it: behind virtio_net_hdr, IPv4, and TCP with timestamps.
const PAYLOAD: usize = 10 + 20 + 32;
/// Octets of a batch: three super-packets, or many small packets. More make fewer short sends (each super-packet is one send and
/// a rest), but with what is sealed from them they shall stay in the second level of the cache.
const ROOM: usize = 3 * (MAX_FRAME + LINE) + LINE;

/// The frames of several reads.
///
/// Each stands so that its payload begins a line of the cache. The kernel copies with `rep movsb`, which some processors do
/// ten times slower where the target is up to 15 octets behind the source in their pages (AMD Zen 4: 3 instead of 42 to 56
/// octets a nanosecond); with both on lines of the cache, as the kernel's are, that never is.
#[derive(Debug)]
pub(crate) struct Frames {
    octets: Vec<u8>,
    /// How far behind the beginning of a line the octets start.
    skew: usize,
    frames: Vec<Range<usize>>,
}

impl Frames {
    pub(crate) fn new() -> Self {
        let octets = vec![0; ROOM];
        Self {
            skew: LINE - octets.as_ptr().align_offset(LINE),
            octets,
            frames: Vec::with_capacity(MAX_FRAMES),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|frame| &self.octets[frame.clone()])
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Room for the largest frame; None when the batch is full.
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        let start = self.next();
        let has_room = self.frames.len() < MAX_FRAMES && start + MAX_FRAME <= ROOM;
        has_room.then(|| &mut self.octets[start..])
    }

    /// `count` octets were read into the room.
    pub(crate) fn push(&mut self, count: usize) {
        let start = self.next();
        self.frames.push(start..start + count);
    }

    /// Where the next frame starts.
    fn next(&self) -> usize {
        let end = self.frames.last().map_or(0, |last| last.end);
        let payload = (self.skew + end + PAYLOAD).next_multiple_of(LINE);
        payload - PAYLOAD - self.skew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_begin_a_line() {
        let mut frames = Frames::new();
        for count in [50, 98, 1500, 60_000] {
            let room = frames.room().unwrap();
            assert!(room.len() >= MAX_FRAME);
            assert_eq!(room[PAYLOAD..].as_ptr().align_offset(LINE), 0);
            room[..count].fill(count as u8);
            frames.push(count);
        }
        let read: Vec<_> = frames.iter().map(|frame| (frame.len(), frame[0])).collect();
        assert_eq!(
            read,
            [50, 98, 1500, 60_000].map(|count| (count, count as u8))
        );
    }

    #[test]
    fn three_super_packets_or_many_small_ones_fill_it() {
        for (count, most) in [(MAX_FRAME, 3), (100, MAX_FRAMES)] {
            let mut frames = Frames::new();
            for _ in 0..most {
                assert!(frames.room().is_some());
                frames.push(count);
            }
            assert!(frames.room().is_none());
            frames.clear();
            assert!(frames.is_empty() && frames.room().is_some());
        }
    }
}
