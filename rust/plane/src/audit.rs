//! Which drops were reported (RFC 4301 section 9, RFC 4303 section 4, RFC 4302 section 4): the first one of each kind, of
//! each SA, until the control side asks again. All are counted, and a flood of them costs two loads for each.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::drops::Drop;

/// Bits for the reasons; what is above them tells for which round they are.
const REASONS: u32 = 40;
const _: () = assert!(Drop::COUNT <= REASONS as usize);

/// What was told of one SA, or of the packets of no SA.
#[derive(Debug, Default)]
pub(crate) struct Told(AtomicU64);

/// The number of times that the control side asked for all reports again. A new round clears what was told of every SA
/// without a walk through them.
#[derive(Debug, Default)]
pub(crate) struct Round(AtomicU64);

impl Round {
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & (u64::MAX >> REASONS)
    }
}

impl Told {
    /// True for the first drop of this kind in the round. Keepalives and dummies are no faults, and never told.
    #[inline]
    pub(crate) fn is_first(&self, reason: Drop, round: &Round) -> bool {
        let (bit, round) = (1 << reason as u32, round.number());
        let told = self.0.load(Ordering::Relaxed);
        let is_told = told >> REASONS == round && told & bit != 0;
        !is_told && reason.is_fault() && self.tell(bit, round)
    }

    #[cold]
    fn tell(&self, bit: u64, round: u64) -> bool {
        let mut is_first = false;
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |told| {
                let told = if told >> REASONS == round {
                    told
                } else {
                    round << REASONS
                };
                is_first = told & bit == 0;
                Some(told | bit)
            });
        is_first
    }

    /// The report found no room: the next drop of this kind is to be told.
    pub(crate) fn untell(&self, reason: Drop) {
        self.0.fetch_and(!(1 << reason as u32), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_a_round() {
        let (told, round) = (Told::default(), Round::default());
        for _ in 0..3 {
            for reason in Drop::ALL.iter().filter(|reason| reason.is_fault()) {
                assert!(told.is_first(*reason, &round));
                assert!(!told.is_first(*reason, &round));
            }
            told.untell(Drop::BadIcv);
            assert!(told.is_first(Drop::BadIcv, &round));
            round.begin();
        }
    }

    #[test]
    fn what_is_no_fault_is_never_told() {
        let (told, round) = (Told::default(), Round::default());
        assert!(!told.is_first(Drop::Keepalive, &round));
        assert!(!told.is_first(Drop::Dummy, &round));
    }
}
