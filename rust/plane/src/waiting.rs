//! Frames that wait for an SA (RFC 4301 section 5.1): the first packets of a connection on demand, such as a TCP SYN or
//! a DNS query, whose loss would cost its sender a second.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What one policy may keep: the beginnings of several connections, or one super-packet behind its header.
const POLICY_FRAMES: usize = 16;
const POLICY_OCTETS: usize = (64 << 10) + 1024;
/// What all policies together may keep.
const MAX_OCTETS: usize = 4 << 20;
/// Longer than IKE needs for a slow peer; who has not got its answer by then has sent its packet again, or given up.
const LONGEST: Duration = Duration::from_secs(30);

/// A frame as the TUN interface gave it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    /// The number of that interface.
    pub(crate) interface: u32,
    pub(crate) octets: Box<[u8]>,
}

/// The frames of one policy, the oldest first.
#[derive(Debug, Default)]
struct Queue {
    waiters: VecDeque<(Instant, Waiter)>,
    octets: usize,
}

/// All frames that wait, by policy. Whatever leaves it in another way than [`Waiting::release`] is counted in what the
/// functions return: these packets are lost.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queues: HashMap<u64, Queue>,
    octets: usize,
}

impl Waiting {
    /// Keep a frame until its policy has an SA; false when there is no room: the packets that came first have it.
    pub(crate) fn keep(&mut self, policy: u64, waiter: Waiter, now: Instant) -> bool {
        let length = waiter.octets.len();
        if self.octets + length > MAX_OCTETS {
            return false;
        }
        let queue = self.queues.entry(policy).or_default();
        if queue.waiters.len() == POLICY_FRAMES || queue.octets + length > POLICY_OCTETS {
            return false;
        }
        queue.octets += length;
        queue.waiters.push_back((now, waiter));
        self.octets += length;
        true
    }

    /// The frames that this policy kept, in their order.
    pub(crate) fn release(&mut self, policy: u64) -> Vec<Waiter> {
        let queue = self.queues.remove(&policy).unwrap_or_default();
        self.octets -= queue.octets;
        let waiters = queue.waiters.into_iter();
        waiters.map(|(_, waiter)| waiter).collect()
    }

    /// Forget what has waited too long.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let mut lost = 0;
        for queue in self.queues.values_mut() {
            let is_late = |(kept, _): &(Instant, _)| now.duration_since(*kept) > LONGEST;
            while queue.waiters.front().is_some_and(is_late) {
                if let Some((_, waiter)) = queue.waiters.pop_front() {
                    queue.octets -= waiter.octets.len();
                    self.octets -= waiter.octets.len();
                    lost += 1;
                }
            }
        }
        self.queues.retain(|_, queue| !queue.waiters.is_empty());
        lost
    }

    /// Forget everything.
    pub(crate) fn clear(&mut self) -> usize {
        let lost = self.queues.values().map(|queue| queue.waiters.len()).sum();
        *self = Self::default();
        lost
    }

    /// Forget what came from an interface that is no more.
    pub(crate) fn forget_interface(&mut self, interface: u32) -> usize {
        let mut lost = 0;
        for queue in self.queues.values_mut() {
            queue.waiters.retain(|(_, waiter)| {
                let stays = waiter.interface != interface;
                if !stays {
                    queue.octets -= waiter.octets.len();
                    self.octets -= waiter.octets.len();
                    lost += 1;
                }
                stays
            });
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waiter(length: usize) -> Waiter {
        Waiter {
            interface: 0,
            octets: vec![7; length].into(),
        }
    }

    #[test]
    fn the_first_frames_are_kept_in_their_order() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        for number in 0..20 {
            assert_eq!(waiting.keep(1, waiter(100 + number), now), number < 16);
        }
        assert!(waiting.keep(2, waiter(90), now));
        let lengths: Vec<_> = waiting
            .release(1)
            .iter()
            .map(|each| each.octets.len())
            .collect();
        assert_eq!(lengths, (100..116).collect::<Vec<_>>());
        assert_eq!(waiting.release(1).len(), 0);
        assert_eq!(waiting.octets, 90);
    }

    /// Neither one policy nor all of them make memory grow.
    #[test]
    fn octets_are_bounded() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let super_packet = 65_536 + 10;
        assert!(waiting.keep(0, waiter(super_packet), now));
        assert!(!waiting.keep(0, waiter(super_packet), now));
        let kept = (1..100).filter(|policy| waiting.keep(*policy, waiter(super_packet), now));
        assert_eq!(kept.count(), 4 * 1024 / 64 - 2);
        assert!(waiting.octets <= MAX_OCTETS);
    }

    #[test]
    fn what_waited_too_long_is_lost() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.keep(1, waiter(100), now);
        waiting.keep(1, waiter(50), now + LONGEST);
        assert_eq!(waiting.expire(now + LONGEST), 0);
        assert_eq!(waiting.expire(now + LONGEST * 3 / 2), 1);
        assert_eq!(waiting.octets, 50);
        assert_eq!(waiting.clear(), 1);
        assert_eq!(waiting.clear(), 0);
    }

    #[test]
    fn what_an_interface_gave_goes_with_it() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        for interface in [0, 1, 1] {
            let octets = vec![0; 10].into();
            waiting.keep(5, Waiter { interface, octets }, now);
        }
        assert_eq!(waiting.forget_interface(1), 2);
        assert_eq!(waiting.octets, 10);
        assert_eq!(waiting.release(5).len(), 1);
    }

    proptest! {
        /// Whatever is kept, released and forgotten: the octets are those of what is there.
        #[test]
        fn octets_are_what_is_there(steps in proptest::collection::vec((0u64..4, 0usize..20_000, 0u8..5), 0..100)) {
            let (mut waiting, mut now) = (Waiting::default(), Instant::now());
            for (policy, length, what) in steps {
                match what {
                    0 => drop(waiting.release(policy)),
                    1 => { waiting.expire(now); }
                    2 => now += Duration::from_secs(9),
                    _ => { waiting.keep(policy, waiter(length), now); }
                }
                let there = waiting.queues.values().flat_map(|queue| &queue.waiters);
                prop_assert_eq!(waiting.octets, there.map(|(_, each)| each.octets.len()).sum::<usize>());
            }
        }
    }
}
