//! The SPD (RFC 4301 section 4.4.1) for packets that leave: ordered policies, found by destination prefix.

use std::collections::hash_map::Entry;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use caponier_packet::inner::Inner;

use crate::error::PlaneError;
use crate::parameters::{Action, PolicyParameters};
use crate::prefix::{decompose, Prefix, PrefixMap};
use crate::selector::{self, Selector};

/// One policy.
#[derive(Debug)]
pub(crate) struct Policy {
    parameters: PolicyParameters,
    /// An acquire was reported and not taken yet.
    has_acquire: AtomicBool,
}

impl Policy {
    pub(crate) fn action(&self) -> Action {
        self.parameters.action
    }

    pub(crate) fn number(&self) -> u64 {
        self.parameters.policy
    }

    fn interface(&self) -> u32 {
        self.parameters.interface
    }

    /// True once until [`Policy::clear_acquire`].
    pub(crate) fn raise_acquire(&self) -> bool {
        // A load first: a flood of packets without an SA must not fight for the cache line.
        !self.has_acquire.load(Ordering::Relaxed) && !self.has_acquire.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn clear_acquire(&self) {
        self.has_acquire.store(false, Ordering::Relaxed);
    }

    fn rank(&self) -> (i64, u64) {
        (self.parameters.order, self.parameters.policy)
    }

    fn matches(&self, inner: &Inner) -> bool {
        selector::admit(&self.parameters.local, &self.parameters.remote, inner)
    }

    fn prefixes(&self) -> impl Iterator<Item = Prefix> + '_ {
        let ranges = self.parameters.remote.iter();
        ranges.flat_map(|remote| decompose(remote.first, remote.last))
    }
}

/// The ordered policies, those of each TUN interface by themselves: what was routed into one is not for another's.
#[derive(Debug)]
pub(crate) struct Spd {
    policies: HashMap<u64, Arc<Policy>>,
    /// Of each TUN interface, under each prefix of their remote ranges, by rank.
    by_destination: HashMap<u32, PrefixMap<Arc<Policy>>>,
}

impl Spd {
    pub(crate) fn new() -> Self {
        Self {
            policies: HashMap::new(),
            by_destination: HashMap::new(),
        }
    }

    /// The policy of lowest rank of this interface that matches.
    pub(crate) fn lookup(&self, interface: u32, inner: &Inner) -> Option<&Policy> {
        let mut best: Option<&Policy> = None;
        let own = self.by_destination.get(&interface)?;
        for candidates in own.covering(inner.destination) {
            let better = candidates
                .iter()
                .map(Arc::as_ref)
                .take_while(|policy| best.is_none_or(|best| policy.rank() < best.rank()))
                .find(|policy| policy.matches(inner));
            best = better.or(best);
        }
        best
    }

    /// The policy of this number.
    pub(crate) fn policy(&self, number: u64) -> Option<&Policy> {
        self.policies.get(&number).map(Arc::as_ref)
    }

    /// Add a policy, or replace the one of this number.
    pub(crate) fn install(&mut self, parameters: PolicyParameters) -> Result<(), PlaneError> {
        let mut selectors = parameters.local.iter().chain(&parameters.remote);
        selectors.try_for_each(Selector::validate)?;
        self.forget(parameters.policy);
        let policy = Arc::new(Policy {
            parameters,
            has_acquire: AtomicBool::new(false),
        });
        let own = self.by_destination.entry(policy.interface());
        let own = own.or_insert_with(PrefixMap::new);
        for prefix in policy.prefixes() {
            // Two ranges may share a prefix: file the policy there once.
            own.retain(prefix, |filed| !Arc::ptr_eq(filed, &policy));
            let rank = policy.rank();
            let value = Arc::clone(&policy);
            own.insert(prefix, value, |filed| filed.rank() < rank);
        }
        self.policies.insert(policy.number(), policy);
        Ok(())
    }

    /// Remove the policy of this number; false if there is none.
    pub(crate) fn forget(&mut self, number: u64) -> bool {
        let Some(policy) = self.policies.remove(&number) else {
            return false;
        };
        if let Entry::Occupied(mut own) = self.by_destination.entry(policy.interface()) {
            for prefix in policy.prefixes() {
                own.get_mut()
                    .retain(prefix, |filed| !Arc::ptr_eq(filed, &policy));
            }
            if own.get().is_empty() {
                own.remove();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use caponier_packet::inner::{Fragment, Ports};
    use proptest::prelude::*;
    use std::net::IpAddr;

    /// The definition: go through the policies in order (RFC 4301 section 4.4.1: "the SPD is ordered").
    fn scan(policies: &[PolicyParameters], interface: u32, inner: &Inner) -> Option<u64> {
        let own = policies
            .iter()
            .filter(|policy| policy.interface == interface);
        let mut ordered: Vec<_> = own.collect();
        ordered.sort_by_key(|policy| (policy.order, policy.policy));
        let matches =
            |policy: &&&PolicyParameters| selector::admit(&policy.local, &policy.remote, inner);
        ordered.iter().find(matches).map(|policy| policy.policy)
    }

    /// Addresses close together, so that ranges overlap often.
    fn address(is_v6: bool, number: u8) -> IpAddr {
        if is_v6 {
            IpAddr::from([
                0x20,
                1,
                0xd,
                0xb8,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                number >> 4,
                number << 4,
            ])
        } else {
            IpAddr::from([10, 0, number >> 4, number << 4])
        }
    }

    fn selectors() -> impl Strategy<Value = Selector> {
        let ports = prop_oneof![
            Just((0, 65535)),
            Just((65535, 0)),
            (0u16..4, 0u16..4).prop_map(|(a, b)| (a.min(b), a.max(b)))
        ];
        let protocol = prop_oneof![Just(0u8), Just(6), Just(17), Just(1)];
        (any::<bool>(), any::<u8>(), any::<u8>(), ports, protocol).prop_map(
            |(is_v6, a, b, (start_port, end_port), protocol)| Selector {
                protocol,
                start_port,
                end_port,
                first: address(is_v6, a.min(b)),
                last: address(is_v6, a.max(b)),
            },
        )
    }

    fn policies() -> impl Strategy<Value = PolicyParameters> {
        let some = || proptest::collection::vec(selectors(), 1..4);
        (0u64..12, 0i64..5, some(), some(), 0u32..3).prop_map(
            |(policy, order, local, remote, interface)| PolicyParameters {
                policy,
                interface,
                order,
                local,
                remote,
                action: Action::Discard,
            },
        )
    }

    fn inners() -> impl Strategy<Value = Inner> {
        let ports = prop_oneof![
            Just(Ports::Unavailable),
            (0u16..4).prop_map(Ports::Message),
            (0u16..4, 0u16..4).prop_map(|(source, destination)| Ports::Pair {
                source,
                destination
            })
        ];
        let protocol = prop_oneof![Just(6u8), Just(17), Just(1), Just(50)];
        (any::<bool>(), any::<u8>(), any::<u8>(), ports, protocol).prop_map(
            |(is_v6, source, destination, ports, protocol)| Inner {
                source: address(is_v6, source),
                destination: address(is_v6, destination),
                protocol,
                ports,
                fragment: Fragment::Whole,
                transport: 20,
                length: 40,
                is_routed: false,
            },
        )
    }

    proptest! {
        /// RFC 4301 section 4.4.1: whatever is installed, replaced and removed, the first policy in order decides.
        #[test]
        fn equals_a_linear_scan(
            installed in proptest::collection::vec(policies(), 0..20),
            removed in proptest::collection::vec(0u64..12, 0..4),
            packets in proptest::collection::vec(inners(), 1..30),
        ) {
            let mut spd = Spd::new();
            let mut oracle: HashMap<u64, PolicyParameters> = HashMap::new();
            for policy in installed {
                spd.install(policy.clone()).expect("valid selectors");
                oracle.insert(policy.policy, policy);
            }
            for number in removed {
                prop_assert_eq!(spd.forget(number), oracle.remove(&number).is_some());
            }
            let oracle: Vec<_> = oracle.into_values().collect();
            for inner in packets {
                for interface in 0..4 {
                    let found = spd.lookup(interface, &inner).map(Policy::number);
                    prop_assert_eq!(found, scan(&oracle, interface, &inner));
                }
            }
            for policy in &oracle {
                spd.forget(policy.policy);
            }
            prop_assert!(spd.by_destination.is_empty());
        }
    }

    #[test]
    fn an_acquire_is_raised_once_until_cleared() {
        let policy = Policy {
            parameters: PolicyParameters {
                policy: 1,
                interface: 0,
                order: 0,
                local: vec![],
                remote: vec![],
                action: Action::Protect(None),
            },
            has_acquire: AtomicBool::new(false),
        };
        assert!(policy.raise_acquire());
        assert!(!policy.raise_acquire());
        policy.clear_acquire();
        assert!(policy.raise_acquire());
    }
}
