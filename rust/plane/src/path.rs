//! The path MTU of an outbound SA (RFC 4301 section 8.2, RFC 1191, RFC 8201).

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long what was learned is believed (RFC 1191 section 6.3, RFC 8201 section 4: ten minutes).
const AGE: Duration = Duration::from_secs(600);
/// How often a path is asked for whose packets the system does not refuse when they are too long.
const ASKING: Duration = Duration::from_secs(1);
/// The least that is believed of a path: what every host takes (RFC 791 section 3.1), and what every link of IPv6 carries
/// (RFC 8200 section 5). ICMP messages are not authenticated, and may be forged to make the packets tiny (RFC 4301 section
/// 6.1.1).
const FLOOR_V4: u32 = 576;
const FLOOR_V6: u32 = 1280;
/// Stands for "unknown": no limit.
const UNKNOWN: u32 = u32::MAX;

/// The least path MTU that makes sense.
pub(crate) fn floor(remote: IpAddr) -> u32 {
    if remote.is_ipv6() {
        FLOOR_V6
    } else {
        FLOOR_V4
    }
}

/// What is known of the path: octets of the outer IP packets that it carries.
///
/// The lesser of what the control side says and of what was learned. For each packet one number is read; the lock is only
/// for what changes it.
pub(crate) struct Path {
    limit: AtomicU32,
    /// Whether packets may ask not to be fragmented.
    may_forbid: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// 0 for unknown.
    configured: u32,
    learned: Option<(u32, Instant)>,
    asked: Option<Instant>,
}

impl Path {
    /// `configured`: 0 for unknown.
    pub(crate) fn new(configured: u32) -> Self {
        let path = Self {
            limit: AtomicU32::new(UNKNOWN),
            may_forbid: AtomicBool::new(true),
            known: Mutex::default(),
        };
        path.configure(configured);
        path
    }

    /// The most octets of an outer packet.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed) as usize
    }

    /// False where the path turned out to be narrower than what is believed: its packets are fragmented rather than lost.
    pub(crate) fn may_forbid_fragments(&self) -> bool {
        self.may_forbid.load(Ordering::Relaxed)
    }

    /// The control side knows it; 0 for unknown.
    pub(crate) fn configure(&self, mtu: u32) {
        let mut known = self.known();
        known.configured = mtu;
        self.apply(&known);
    }

    /// The system says so, by which packets to `remote` were too long.
    pub(crate) fn learn(&self, mtu: u32, remote: IpAddr, now: Instant) {
        let mut known = self.known();
        let least = floor(remote);
        known.learned = Some((mtu.max(least), now));
        self.may_forbid.store(mtu >= least, Ordering::Relaxed);
        self.apply(&known);
    }

    /// Forget what was learned: the way is another.
    pub(crate) fn forget(&self) {
        let mut known = self.known();
        (known.learned, known.asked) = (None, None);
        self.may_forbid.store(true, Ordering::Relaxed);
        self.apply(&known);
    }

    /// Forget what was learned too long ago; true if there was something. The next packets find out again: the system has
    /// forgotten too, and a router or an interface that is as narrow as before says so again (RFC 1191 section 6.3).
    pub(crate) fn has_aged(&self, now: Instant) -> bool {
        let learned = self.known().learned;
        let is_old = learned.is_some_and(|(_, at)| now.saturating_duration_since(at) >= AGE);
        if is_old {
            self.forget();
        }
        is_old
    }

    /// True once a second.
    pub(crate) fn is_to_be_asked(&self, now: Instant) -> bool {
        let mut known = self.known();
        let is_due = known
            .asked
            .is_none_or(|at| now.saturating_duration_since(at) >= ASKING);
        if is_due {
            known.asked = Some(now);
        }
        is_due
    }

    fn apply(&self, known: &Known) {
        let learned = known.learned.map_or(UNKNOWN, |(mtu, _)| mtu);
        let limit = match known.configured {
            0 => learned,
            configured => configured.min(learned),
        };
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [u8; 4] = [192, 0, 2, 2];

    /// RFC 4301 section 8.2.1: the lesser counts, and without either there is no limit.
    #[test]
    fn the_lesser_of_both_counts() {
        let now = Instant::now();
        let path = Path::new(0);
        assert_eq!(path.limit(), UNKNOWN as usize);
        path.learn(1400, V4.into(), now);
        assert_eq!(path.limit(), 1400);
        path.configure(1300);
        assert_eq!(path.limit(), 1300);
        path.learn(1280, V4.into(), now);
        assert_eq!(path.limit(), 1280);
        path.learn(1500, V4.into(), now); // the route is another
        assert_eq!(path.limit(), 1300);
        path.configure(0);
        assert_eq!(path.limit(), 1500);
        path.forget();
        assert_eq!(path.limit(), UNKNOWN as usize);
    }

    /// RFC 4301 section 8.2.2, RFC 1191 section 6.3: what was learned ages, what is configured does not.
    #[test]
    fn what_was_learned_ages() {
        let now = Instant::now();
        let path = Path::new(1400);
        assert!(!path.has_aged(now + 2 * AGE));
        path.learn(1300, V4.into(), now);
        assert!(!path.has_aged(now + AGE - Duration::from_secs(1)));
        assert_eq!(path.limit(), 1300);
        assert!(path.has_aged(now + AGE));
        assert_eq!(path.limit(), 1400);
        assert!(!path.has_aged(now + AGE));
    }

    /// RFC 4301 section 6.1.1: a forged message makes no packet smaller than what every host takes.
    #[test]
    fn silly_values_are_not_believed() {
        let now = Instant::now();
        for (remote, least) in [(V4.into(), FLOOR_V4), (IpAddr::from([1_u16; 8]), FLOOR_V6)] {
            let path = Path::new(0);
            path.learn(least, remote, now);
            assert_eq!(path.limit(), least as usize);
            assert!(path.may_forbid_fragments());
            for mtu in [0, 68, least - 1] {
                path.learn(mtu, remote, now);
                assert_eq!(path.limit(), least as usize);
                assert!(!path.may_forbid_fragments());
            }
            assert!(path.has_aged(now + AGE));
            assert!(path.may_forbid_fragments());
        }
    }

    #[test]
    fn is_asked_once_a_second() {
        let (path, now) = (Path::new(0), Instant::now());
        assert!(path.is_to_be_asked(now));
        assert!(!path.is_to_be_asked(now + ASKING / 2));
        assert!(path.is_to_be_asked(now + ASKING));
        path.forget();
        assert!(path.is_to_be_asked(now + ASKING));
    }
}
