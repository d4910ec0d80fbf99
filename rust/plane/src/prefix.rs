//! Longest-prefix structure of the SPD: addresses to what was filed under the prefixes that hold them.

use std::collections::HashMap;
use std::net::IpAddr;

/// A prefix: family, length in bits, and the address with the other bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Prefix {
    is_v6: bool,
    length: u8,
    bits: u128,
}

/// Values filed under prefixes. One hash table, and for each family the lengths that are in use: a look-up costs one
/// probe for each such length, whatever the number of prefixes, and an update costs one.
#[derive(Debug)]
pub(crate) struct PrefixMap<V> {
    values: HashMap<Prefix, Vec<V>>,
    /// For each family, how many prefixes there are of each length in use.
    lengths: [Vec<(u8, usize)>; 2],
}

impl<V> PrefixMap<V> {
    pub(crate) fn new() -> Self {
        Self {
            values: HashMap::new(),
            lengths: [Vec::new(), Vec::new()],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values of every prefix that holds the address; one item for each prefix.
    pub(crate) fn covering(&self, address: IpAddr) -> impl Iterator<Item = &[V]> {
        let (is_v6, bits) = number(address);
        let lengths = &self.lengths[usize::from(is_v6)];
        lengths.iter().filter_map(move |&(length, _)| {
            let prefix = Prefix::new(is_v6, bits, length);
            self.values.get(&prefix).map(Vec::as_slice)
        })
    }

    /// File a value under a prefix, at the place that `before` finds in what is there.
    pub(crate) fn insert(&mut self, prefix: Prefix, value: V, before: impl Fn(&V) -> bool) {
        let values = self.values.entry(prefix).or_default();
        let at = values.partition_point(before);
        values.insert(at, value);
        if values.len() == 1 {
            self.count_length(prefix);
        }
    }

    /// Keep only the values that `keep` wants.
    pub(crate) fn retain(&mut self, prefix: Prefix, keep: impl Fn(&V) -> bool) {
        let Some(values) = self.values.get_mut(&prefix) else {
            return;
        };
        values.retain(keep);
        if values.is_empty() {
            self.values.remove(&prefix);
            self.forget_length(prefix);
        }
    }

    fn count_length(&mut self, prefix: Prefix) {
        let lengths = &mut self.lengths[usize::from(prefix.is_v6)];
        match lengths
            .iter_mut()
            .find(|(length, _)| *length == prefix.length)
        {
            Some((_, count)) => *count += 1,
            None => lengths.push((prefix.length, 1)),
        }
    }

    fn forget_length(&mut self, prefix: Prefix) {
        let lengths = &mut self.lengths[usize::from(prefix.is_v6)];
        if let Some((_, count)) = lengths
            .iter_mut()
            .find(|(length, _)| *length == prefix.length)
        {
            *count -= 1;
        }
        lengths.retain(|(_, count)| *count > 0);
    }
}

impl Prefix {
    fn new(is_v6: bool, bits: u128, length: u8) -> Self {
        let free = width(is_v6) - u32::from(length);
        let bits = bits
            .checked_shr(free)
            .unwrap_or(0)
            .checked_shl(free)
            .unwrap_or(0);
        Self {
            is_v6,
            length,
            bits,
        }
    }
}

/// The fewest prefixes that make up a range: at most 62 for IPv4, 254 for IPv6. None unless both ends are of one family
/// and in order.
pub(crate) fn decompose(first: IpAddr, last: IpAddr) -> Vec<Prefix> {
    let ((is_v6, mut first), (last_is_v6, last)) = (number(first), number(last));
    let mut prefixes = Vec::new();
    while is_v6 == last_is_v6 && first <= last {
        let room = (last - first).checked_add(1).map_or(128, u128::ilog2);
        let free = room.min(first.trailing_zeros()).min(width(is_v6));
        prefixes.push(Prefix {
            is_v6,
            length: (width(is_v6) - free) as u8,
            bits: first,
        });
        let next = 1u128
            .checked_shl(free)
            .and_then(|size| first.checked_add(size));
        match next {
            Some(next) => first = next,
            None => break,
        }
    }
    prefixes
}

fn width(is_v6: bool) -> u32 {
    if is_v6 {
        128
    } else {
        32
    }
}

fn number(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (false, u128::from(u32::from(address))),
        IpAddr::V6(address) => (true, u128::from(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    fn v6(number: u128) -> IpAddr {
        Ipv6Addr::from(number).into()
    }

    #[test]
    fn whole_families_are_one_prefix() {
        assert_eq!(decompose(v4(0), v4(u32::MAX)).len(), 1);
        assert_eq!(decompose(v6(0), v6(u128::MAX)).len(), 1);
        assert_eq!(decompose(v4(1), v4(u32::MAX - 1)).len(), 62);
        assert_eq!(decompose(v6(1), v6(u128::MAX - 1)).len(), 254);
        assert!(decompose(v4(2), v4(1)).is_empty());
        assert!(decompose(v4(2), v6(3)).is_empty());
    }

    proptest! {
        /// An address is covered by exactly one prefix of a range that holds it, by none otherwise.
        #[test]
        fn covers_the_range_exactly(a: u32, b: u32, probe: u32, near in 0u32..3) {
            let (first, last) = (a.min(b), a.max(b));
            let mut map = PrefixMap::new();
            for prefix in decompose(v4(first), v4(last)) {
                map.insert(prefix, (), |()| false);
            }
            for probe in [probe, first.wrapping_sub(near), first.saturating_add(near), last.wrapping_add(near)] {
                let holds = first <= probe && probe <= last;
                prop_assert_eq!(map.covering(v4(probe)).count(), usize::from(holds));
            }
            prop_assert_eq!(map.covering(v6(u128::from(first))).count(), 0);
            for prefix in decompose(v4(first), v4(last)) {
                map.retain(prefix, |()| false);
            }
            prop_assert!(map.values.is_empty() && map.lengths[0].is_empty());
        }

        #[test]
        fn covers_ipv6_ranges_exactly(a: u128, b: u128, probe: u128) {
            let (first, last) = (a.min(b), a.max(b));
            let mut map = PrefixMap::new();
            for prefix in decompose(v6(first), v6(last)) {
                map.insert(prefix, (), |()| false);
            }
            for probe in [probe, first, last, first.wrapping_sub(1), last.wrapping_add(1)] {
                let holds = first <= probe && probe <= last;
                prop_assert_eq!(map.covering(v6(probe)).count(), usize::from(holds));
            }
        }
    }
}
