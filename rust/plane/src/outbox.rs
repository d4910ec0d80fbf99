//! The arena of sealed packets on their way to the sockets.

use crate::parameters::Tunnel;

/// A run of ESP packets to one peer, ready for one `UDP_SEGMENT` send.
///
/// All packets have `segment` octets but the last, which may be shorter: `octets(train).chunks(segment)`
/// gives them one by one, `chunks(segment * n)` in sends of n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Train {
    /// Where the packets go.
    pub tunnel: Tunnel,
    /// Octets of every packet but the last, which has as many or fewer.
    pub segment: usize,
    /// Number of packets.
    pub count: usize,
    start: usize,
    end: usize,
}

impl Train {
    /// True when a packet may follow: none so far was shorter than the first.
    fn takes(&self, tunnel: &Tunnel, length: usize) -> bool {
        let is_full_length = self.end - self.start == self.segment * self.count;
        is_full_length && length <= self.segment && self.tunnel == *tunnel
    }
}

/// ESP packets, back to back, in trains. It keeps its memory when it is cleared.
///
/// The arena is longer than what is in use and never cleared or filled in between: packets are written once.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    used: usize,
    trains: Vec<Train>,
}

impl Outbox {
    /// Make an empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forget all packets; the memory is kept.
    pub fn clear(&mut self) {
        self.used = 0;
        self.trains.clear();
    }

    /// The trains in the order of their packets.
    pub fn trains(&self) -> &[Train] {
        &self.trains
    }

    /// The packets of a train, back to back.
    pub fn octets(&self, train: &Train) -> &[u8] {
        self.arena.get(train.start..train.end).unwrap_or(&[])
    }

    /// Add a packet of `length` octets, written by `fill`, to the last train or to a new one. If `fill` fails, nothing
    /// is added.
    pub(crate) fn push<E>(
        &mut self,
        tunnel: &Tunnel,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (start, end) = (self.used, self.used + length);
        if self.arena.len() < end {
            self.arena.resize(end.next_power_of_two(), 0);
        }
        fill(&mut self.arena[start..end])?;
        self.used = end;
        match self.trains.last_mut() {
            Some(train) if train.takes(tunnel, length) => {
                train.count += 1;
                train.end = end;
            }
            _ => self.trains.push(Train {
                tunnel: *tunnel,
                segment: length,
                count: 1,
                start,
                end,
            }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn tunnel(remote_port: u16) -> Tunnel {
        Tunnel {
            local: IpAddr::from([192, 0, 2, 1]),
            local_port: 4500,
            remote: IpAddr::from([192, 0, 2, 2]),
            remote_port,
        }
    }

    fn push(out: &mut Outbox, port: u16, length: usize, octet: u8) {
        let filled = out.push(&tunnel(port), length, |slot| {
            slot.fill(octet);
            Ok::<(), ()>(())
        });
        assert_eq!(filled, Ok(()));
    }

    fn shape(out: &Outbox) -> Vec<(usize, usize, usize)> {
        let shape = |train: &Train| (train.segment, train.count, out.octets(train).len());
        out.trains().iter().map(shape).collect()
    }

    /// A train has one peer and one size; a shorter packet ends it.
    #[test]
    fn makes_trains() {
        let mut out = Outbox::new();
        for (length, octet) in [(100, 1), (100, 2), (60, 3), (60, 4), (100, 5)] {
            push(&mut out, 4500, length, octet);
        }
        push(&mut out, 4501, 100, 6);
        assert_eq!(
            shape(&out),
            [(100, 3, 260), (60, 1, 60), (100, 1, 100), (100, 1, 100)]
        );
        let first = out.octets(&out.trains()[0]);
        let lengths: Vec<_> = first.chunks(100).map(|c| (c.len(), c[0])).collect();
        assert_eq!(lengths, [(100, 1), (100, 2), (60, 3)]);
        out.clear();
        assert!(out.trains().is_empty());
    }

    /// What could not be sealed does not stay in the arena in clear.
    #[test]
    fn a_failed_packet_is_not_sent() {
        let mut out = Outbox::new();
        assert_eq!(out.push(&tunnel(1), 10, |_| Err("refused")), Err("refused"));
        assert!(out.trains().is_empty());
        push(&mut out, 1, 10, 7);
        assert_eq!(out.octets(&out.trains()[0]), [7; 10]);
    }
}
