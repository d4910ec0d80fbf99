//! Counters that many threads add to.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;

use crate::audit::Told;
use crate::drops::Drop;
use crate::parameters::Counters;

/// One counter for each reason to drop.
#[derive(Debug)]
pub(crate) struct DropCounters([AtomicU64; Drop::COUNT]);

impl DropCounters {
    pub(crate) fn new() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn add(&self, reason: Drop, n: u64) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The reasons that occurred.
    pub(crate) fn list(&self) -> Vec<(&'static str, u64)> {
        let counted = |(reason, counter): (&Drop, &AtomicU64)| {
            let n = counter.load(Ordering::Relaxed);
            (n > 0).then_some((reason.name(), n))
        };
        Drop::ALL.iter().zip(&self.0).filter_map(counted).collect()
    }
}

/// What one SA carried. By itself on its lines of the cache: as a rule one worker alone carries an SA's packets, and it
/// shall not wait for another that counts for the next SA.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct SaCounters {
    packets: AtomicU64,
    octets: AtomicU64,
    /// Made with the first drop: most SAs have none.
    dropped: OnceLock<Box<Dropped>>,
}

/// What was dropped under one SA, and what of it was told.
#[derive(Debug)]
struct Dropped {
    counters: DropCounters,
    told: Told,
}

impl SaCounters {
    pub(crate) fn new() -> Self {
        Self {
            packets: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            dropped: OnceLock::new(),
        }
    }

    /// Count what was carried; how many packets and octets it is in all.
    pub(crate) fn carried(&self, packets: u64, octets: u64) -> (u64, u64) {
        (
            self.packets.fetch_add(packets, Ordering::Relaxed) + packets,
            self.octets.fetch_add(octets, Ordering::Relaxed) + octets,
        )
    }

    /// Count what was dropped; what was told of it so far.
    pub(crate) fn dropped(&self, reason: Drop, n: u64) -> &Told {
        let dropped = self.dropped.get_or_init(|| {
            Box::new(Dropped {
                counters: DropCounters::new(),
                told: Told::default(),
            })
        });
        dropped.counters.add(reason, n);
        &dropped.told
    }

    pub(crate) fn read(&self) -> Counters {
        let dropped = self.dropped.get();
        Counters {
            packets: self.packets.load(Ordering::Relaxed),
            octets: self.octets.load(Ordering::Relaxed),
            drops: dropped.map_or_else(Vec::new, |dropped| dropped.counters.list()),
        }
    }
}
