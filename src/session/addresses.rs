//! The order in which a connection tries the addresses of the exchange.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;

/// The maximum number of addresses tried per look-up. The exchange's name has about six.
const ADDRESSES_MAX: usize = 16;

/// What a connection has learned about addresses.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// The last address whose socket worked, unless it has failed since.
    good: Option<SocketAddr>,
    /// The addresses that have failed since they last worked, the newest failure last.
    failed: Vec<SocketAddr>,
}

impl Addresses {
    /// Returns the order in which to try resolved addresses. The last good one is first. Those that have failed are
    /// last, the oldest failure first: otherwise an address that accepts TCP and fails later would always hide others.
    /// The rest keep the resolver's order, except that the two families alternate (RFC 8305 section 4).
    pub fn order(&self, resolved: &[SocketAddr]) -> VecDeque<SocketAddr> {
        let mut ordered = alternate_families(resolved);
        ordered.sort_by_key(|address| self.rank(address));
        let mut seen = HashSet::new();
        ordered.retain(|address| seen.insert(*address));
        ordered.truncate(ADDRESSES_MAX);
        ordered.into()
    }

    fn rank(&self, address: &SocketAddr) -> usize {
        match self.failed.iter().position(|failed| failed == address) {
            Some(place) => 2 + place,
            None => usize::from(self.good != Some(*address)),
        }
    }

    /// Records that a socket to this address has worked.
    pub fn worked(&mut self, address: SocketAddr) {
        self.failed.retain(|failed| *failed != address);
        self.good = Some(address);
    }

    /// Records that no socket to this address could be opened, or that it ended too soon.
    pub fn failed(&mut self, address: SocketAddr) {
        self.good.take_if(|good| *good == address);
        self.failed.retain(|failed| *failed != address);
        if self.failed.len() == ADDRESSES_MAX {
            self.failed.remove(0);
        }
        self.failed.push(address);
    }
}

/// Returns the addresses with the two families in turn, beginning with the family of the first.
fn alternate_families(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == is_first_v6);
    let places = 0..first.len().max(second.len());
    places.flat_map(|place| first.get(place).into_iter().chain(second.get(place))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        format!("{text}:443").parse().unwrap()
    }

    #[track_caller]
    fn assert_order(addresses: &Addresses, resolved: &[&str], expected: &[&str]) {
        let resolved: Vec<_> = resolved.iter().map(|text| address(text)).collect();
        let expected: Vec<_> = expected.iter().map(|text| address(text)).collect();
        assert_eq!(addresses.order(&resolved), expected);
    }

    #[test]
    fn the_families_alternate_beginning_with_the_first() {
        let none = Addresses::default();
        assert_order(&none, &[], &[]);
        assert_order(&none, &["[::1]", "[::2]", "[::3]", "1.1.1.1"], &["[::1]", "1.1.1.1", "[::2]", "[::3]"]);
        assert_order(&none, &["1.1.1.1", "1.1.1.2", "[::1]"], &["1.1.1.1", "[::1]", "1.1.1.2"]);
        assert_order(&none, &["1.1.1.1", "1.1.1.2", "1.1.1.1"], &["1.1.1.1", "1.1.1.2"]);
    }

    #[test]
    fn the_last_good_address_is_first_and_failed_ones_are_last() {
        let all = ["[::1]", "1.1.1.1", "[::2]"];
        let mut addresses = Addresses::default();
        addresses.worked(address("1.1.1.1"));
        assert_order(&addresses, &all, &["1.1.1.1", "[::1]", "[::2]"]);
        addresses.failed(address("[::1]"));
        assert_order(&addresses, &all, &["1.1.1.1", "[::2]", "[::1]"]);
        addresses.failed(address("1.1.1.1"));
        assert_order(&addresses, &all, &["[::2]", "[::1]", "1.1.1.1"]);
        // The name has new addresses.
        assert_order(&addresses, &["[::1]", "[::9]"], &["[::9]", "[::1]"]);
        addresses.failed(address("[::2]"));
        addresses.failed(address("[::1]"));
        assert_order(&addresses, &all, &["1.1.1.1", "[::2]", "[::1]"]);
        addresses.worked(address("[::1]"));
        assert_order(&addresses, &all, &["[::1]", "1.1.1.1", "[::2]"]);
    }

    #[test]
    fn what_is_kept_and_tried_is_bounded() {
        let many: Vec<_> = (0..100).map(|n| address(&format!("10.0.0.{n}"))).collect();
        let mut addresses = Addresses::default();
        assert_eq!(addresses.order(&many), &many[..ADDRESSES_MAX]);
        many.iter().for_each(|address| addresses.failed(*address));
        assert_eq!(addresses.failed.len(), ADDRESSES_MAX);
        assert_eq!(addresses.order(&many[84..]), &many[84..], "the oldest failure first");
    }
}
