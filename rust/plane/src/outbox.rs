//! The arena of sealed packets on their way to the sockets.

use std::net::IpAddr;
use std::sync::Arc;

use caponier_packet::transport::Form;

use crate::parameters::Tunnel;
use crate::turns::{Turn, Turns};

/// A run of packets of one SA, ready for one `UDP_SEGMENT` send.
///
/// All packets have `segment` octets but the last, which may be shorter: `octets(train).chunks(segment)`
/// gives them one by one, `chunks(segment * n)` in sends of n.
#[derive(Clone, Debug)]
pub struct Train {
    /// Where the packets go.
    pub tunnel: Tunnel,
    /// Whether the packets bring their own IP header, all of it; else the socket makes one.
    pub form: Form,
    /// DSCP and ECN of the header that the socket makes.
    pub traffic_class: u8,
    /// Whether the header that the socket makes forbids to fragment the packet, and the socket too.
    pub dont_fragment: bool,
    /// Of the SA.
    pub handle: u64,
    /// Octets of every packet but the last, which has as many or fewer.
    pub segment: usize,
    /// Number of packets.
    pub count: usize,
    start: usize,
    end: usize,
    /// The first sequence number, and the one behind the last.
    first: u64,
    after: u64,
    turns: Arc<Turns>,
}

/// The way of one SA's packets: where to, and in which order.
#[derive(Clone, Copy)]
pub(crate) struct Lane<'a> {
    pub(crate) tunnel: &'a Tunnel,
    pub(crate) turns: &'a Arc<Turns>,
    pub(crate) form: Form,
    pub(crate) handle: u64,
    /// False where the packets bring their own IP header, as below.
    pub(crate) dont_fragment: bool,
    /// 0 where the packets bring their own IP header: they need no train for each.
    pub(crate) traffic_class: u8,
}

impl Train {
    /// Wait until the SA's earlier packets are on their way. Ask for the turn of each train in the order of
    /// [`Outbox::trains`], also of one without packets, and keep it while sending.
    pub fn turn(&self) -> Turn<'_> {
        self.turns.await_turn(self.first, self.after)
    }

    /// True when the packet of this number may follow: the one before is ours, and none so far was shorter than the first.
    fn takes(&self, lane: Lane<'_>, number: u64, length: usize) -> bool {
        let is_full_length = self.end - self.start == self.segment * self.count;
        is_full_length && length <= self.segment && self.is_continued_by(lane, number)
    }

    fn is_continued_by(&self, lane: Lane<'_>, number: u64) -> bool {
        self.after == number
            && self.traffic_class == lane.traffic_class
            && self.dont_fragment == lane.dont_fragment
            && Arc::ptr_eq(&self.turns, lane.turns)
            && self.form == lane.form
            && self.tunnel == *lane.tunnel
    }
}

/// Packets, back to back, in trains. It keeps its memory when it is cleared.
///
/// The arena is longer than what is in use and never cleared or filled in between: packets are written once.
#[derive(Debug, Default)]
pub struct Outbox {
    arena: Vec<u8>,
    used: usize,
    trains: Vec<Train>,
    /// Messages to senders, back to back: to whom, and where they end.
    messages: Vec<u8>,
    notices: Vec<(IpAddr, usize)>,
    /// A packet that is changed or cut before it is sealed.
    scratch: Vec<u8>,
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
        self.messages.clear();
        self.notices.clear();
    }

    /// ICMP messages without IP header, and the senders that they go to: hosts on our side, whose packets did not fit.
    pub fn notices(&self) -> impl Iterator<Item = (IpAddr, &[u8])> {
        let mut start = 0;
        self.notices.iter().map(move |(to, end)| {
            let message = self.messages.get(start..*end).unwrap_or(&[]);
            start = *end;
            (*to, message)
        })
    }

    pub(crate) fn push_notice(&mut self, to: IpAddr, message: &[u8]) {
        self.messages.extend_from_slice(message);
        self.notices.push((to, self.messages.len()));
    }

    /// Memory for a packet, which is empty. To be given back.
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(crate) fn give_back(&mut self, mut scratch: Vec<u8>) {
        scratch.clear();
        self.scratch = scratch;
    }

    /// The trains in the order of their packets.
    pub fn trains(&self) -> &[Train] {
        &self.trains
    }

    /// The packets of a train, back to back.
    pub fn octets(&self, train: &Train) -> &[u8] {
        self.arena.get(train.start..train.end).unwrap_or(&[])
    }

    /// Add a packet of `length` octets, written by `fill`, to the last train or to a new one. If `fill` fails, no packet is
    /// added, but the number counts as used: nobody shall wait for its turn.
    pub(crate) fn push<E>(
        &mut self,
        lane: Lane<'_>,
        number: u64,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (start, end) = (self.used, self.used + length);
        if self.arena.len() < end {
            self.arena.resize(end.next_power_of_two(), 0);
        }
        if let Err(error) = fill(&mut self.arena[start..end]) {
            self.skip(lane, number);
            return Err(error);
        }
        self.used = end;
        match self.trains.last_mut() {
            Some(train) if train.takes(lane, number, length) => {
                train.count += 1;
                train.end = end;
                train.after = number.wrapping_add(1);
            }
            _ => self.begin(lane, number, length, 1),
        }
        Ok(())
    }

    /// A number that continues the last train, if that has these turns; for packets that have no numbers.
    pub(crate) fn next_number(&self, turns: &Arc<Turns>) -> u64 {
        let last = self.trains.last();
        let own = last.filter(|train| Arc::ptr_eq(&train.turns, turns));
        own.map_or(0, |train| train.after)
    }

    fn skip(&mut self, lane: Lane<'_>, number: u64) {
        match self.trains.last_mut() {
            Some(train) if train.is_continued_by(lane, number) => {
                train.after = number.wrapping_add(1);
            }
            _ => self.begin(lane, number, 0, 0),
        }
    }

    fn begin(&mut self, lane: Lane<'_>, number: u64, length: usize, count: usize) {
        self.trains.push(Train {
            tunnel: *lane.tunnel,
            form: lane.form,
            traffic_class: lane.traffic_class,
            dont_fragment: lane.dont_fragment,
            handle: lane.handle,
            segment: length,
            count,
            start: self.used - length,
            end: self.used,
            first: number,
            after: number.wrapping_add(1),
            turns: Arc::clone(lane.turns),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(remote_port: u16) -> Tunnel {
        Tunnel {
            local: IpAddr::from([192, 0, 2, 1]),
            local_port: 4500,
            remote: IpAddr::from([192, 0, 2, 2]),
            remote_port,
        }
    }

    fn push(out: &mut Outbox, lane: Lane<'_>, number: u64, length: usize) {
        let filled = out.push(lane, number, length, |slot| {
            slot.fill(number as u8);
            Ok::<(), ()>(())
        });
        assert_eq!(filled, Ok(()));
    }

    fn shape(out: &Outbox) -> Vec<(usize, usize, usize)> {
        let shape = |train: &Train| (train.segment, train.count, out.octets(train).len());
        out.trains().iter().map(shape).collect()
    }

    fn numbers(out: &Outbox) -> Vec<(u64, u64)> {
        let numbers = |train: &Train| (train.first, train.after);
        out.trains().iter().map(numbers).collect()
    }

    /// A train has one SA, one peer, one traffic class and one size; a shorter packet ends it.
    #[test]
    fn makes_trains() {
        let (first, second) = (Arc::new(Turns::new(1)), Arc::new(Turns::new(6)));
        let here = Lane {
            tunnel: &tunnel(4500),
            turns: &first,
            form: Form::Bare,
            traffic_class: 0,
            dont_fragment: false,
            handle: 1,
        };
        let mut out = Outbox::new();
        for (number, length) in [(1, 100), (2, 100), (3, 60), (4, 60), (5, 100)] {
            push(&mut out, here, number, length);
        }
        let there = Lane {
            tunnel: &tunnel(4501),
            ..here
        };
        push(&mut out, there, 6, 100);
        let other = Lane {
            turns: &second,
            ..there
        };
        push(&mut out, other, 7, 100);
        let marked = Lane {
            traffic_class: 0xb8,
            ..other
        };
        push(&mut out, marked, 8, 100);
        let whole = Lane {
            dont_fragment: true,
            ..marked
        };
        push(&mut out, whole, 9, 100);
        assert_eq!(shape(&out)[..2], [(100, 3, 260), (60, 1, 60)]);
        assert_eq!(shape(&out)[2..], [(100, 1, 100); 5]);
        let expected = [(1, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9), (9, 10)];
        assert_eq!(numbers(&out), expected);
        let classes: Vec<_> = out.trains().iter().map(|t| t.traffic_class).collect();
        assert_eq!(classes, [0, 0, 0, 0, 0, 0xb8, 0xb8]);
        let octets = out.octets(&out.trains()[0]);
        let lengths: Vec<_> = octets.chunks(100).map(|c| (c.len(), c[0])).collect();
        assert_eq!(lengths, [(100, 1), (100, 2), (60, 3)]);
        out.clear();
        assert!(out.trains().is_empty());
    }

    /// Between two numbers of ours another worker's packets go out.
    #[test]
    fn a_train_has_consecutive_numbers() {
        let turns = Arc::new(Turns::new(1));
        let lane = Lane {
            tunnel: &tunnel(4500),
            turns: &turns,
            form: Form::Bare,
            traffic_class: 0,
            dont_fragment: false,
            handle: 1,
        };
        let mut out = Outbox::new();
        for number in [1, 2, 10, 11] {
            push(&mut out, lane, number, 100);
        }
        assert_eq!(numbers(&out), [(1, 3), (10, 12)]);
    }

    /// What could not be sealed does not stay in the arena in clear, and its number does not hold up the others.
    #[test]
    fn a_failed_packet_is_not_sent() {
        let turns = Arc::new(Turns::new(1));
        let lane = Lane {
            tunnel: &tunnel(4500),
            turns: &turns,
            form: Form::Bare,
            traffic_class: 0,
            dont_fragment: false,
            handle: 1,
        };
        let mut out = Outbox::new();
        let refused = |_: &mut [u8]| Err("refused");
        assert_eq!(out.push(lane, 1, 10, refused), Err("refused"));
        assert_eq!(shape(&out), [(0, 0, 0)]);
        push(&mut out, lane, 2, 10);
        assert_eq!(out.push(lane, 3, 10, refused), Err("refused"));
        push(&mut out, lane, 4, 10);
        assert_eq!(shape(&out), [(0, 0, 0), (10, 2, 20)]);
        assert_eq!(numbers(&out), [(1, 2), (2, 5)]);
        assert_eq!(out.octets(&out.trains()[1])[10..], [4; 10]);
    }
}
