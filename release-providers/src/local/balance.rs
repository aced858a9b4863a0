//! Which version, and which of its instances, serves the next request. Pure: no I/O, no clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::plan::Weight;

use super::backend::Backend;
use crate::shares::Pool;

/// The shares of the versions and whose turn it is.
///
/// Smooth weighted round robin: every version gains its share of credit at each turn, the richest
/// is chosen and pays the whole. The shares add up to 100, so the choices repeat after 100 turns at
/// the latest, and any 100 turns in a row hold exactly the shares.
#[derive(Debug, Default)]
pub(super) struct Shares {
    weights: Vec<Weight>,
    credit: Vec<i64>,
}

impl Shares {
    pub(super) fn new(weights: Vec<Weight>) -> Self {
        let credit = vec![0; weights.len()];
        Self { weights, credit }
    }

    pub(super) fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// Whose turn it is; `None` when nobody has a share.
    pub(super) fn turn(&mut self) -> Option<Pool> {
        let mut richest: Option<(&Weight, &mut i64)> = None;
        let mut whole = 0;
        for (weight, credit) in self.weights.iter().zip(&mut self.credit) {
            *credit += i64::from(weight.percent);
            whole += i64::from(weight.percent);
            if richest.as_ref().is_none_or(|(_, most)| *credit > **most) {
                richest = Some((weight, credit));
            }
        }
        let (weight, credit) = richest?;
        *credit -= whole;
        Some(Pool::of(weight))
    }
}

/// The ready instances of each version, those on tracks apart.
#[derive(Debug, Default)]
pub(super) struct Backends {
    pools: BTreeMap<Pool, Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    backends: Vec<Arc<Backend>>,
    next: usize,
}

impl Backends {
    /// Adds an instance; nothing happens if it is there already.
    pub(super) fn add(&mut self, backend: Arc<Backend>) {
        let ring = self.pools.entry(backend.pool.clone()).or_default();
        if ring.backends.iter().all(|known| known.id != backend.id) {
            ring.backends.push(backend);
        }
    }

    pub(super) fn remove(&mut self, backend: &Backend) {
        if let Some(ring) = self.pools.get_mut(&backend.pool) {
            ring.backends.retain(|known| known.id != backend.id);
        }
    }

    /// The next instance of `pool` that is not among `tried`.
    pub(super) fn next(&mut self, pool: &Pool, tried: &[String]) -> Option<Arc<Backend>> {
        let ring = self.pools.get_mut(pool)?;
        let count = ring.backends.len();
        for _ in 0..count {
            let at = ring.next % count;
            ring.next = at + 1;
            let backend = ring.backends.get(at)?;
            if !tried.contains(&backend.id) {
                return Some(Arc::clone(backend));
            }
        }
        None
    }

    /// All instances.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.pools.values().flat_map(|ring| &ring.backends)
    }
}

#[cfg(test)]
mod tests {
    use release_core::model::Digest;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::from_bytes([n; 32])
    }

    fn pool(n: u8) -> Pool {
        Pool { digest: digest(n), track: None }
    }

    fn shares(percents: &[u8]) -> Shares {
        let weight = |(n, percent): (usize, &u8)| {
            Weight::new(digest(u8::try_from(n).unwrap()), semver::Version::new(1, 0, 0), *percent)
        };
        Shares::new(percents.iter().enumerate().map(weight).collect())
    }

    #[track_caller]
    fn check(percents: &[u8]) {
        let mut shares = shares(percents);
        let turns: Vec<Pool> = (0..300).filter_map(|_| shares.turn()).collect();
        for window in turns.windows(100) {
            for (n, percent) in percents.iter().enumerate() {
                let version = pool(u8::try_from(n).unwrap());
                let count = window.iter().filter(|turn| **turn == version).count();
                assert_eq!(count, usize::from(*percent), "{percents:?}, version {n}");
            }
        }
    }

    #[test]
    fn any_hundred_turns_hold_exactly_the_shares() {
        check(&[100]);
        check(&[50, 50]);
        check(&[90, 10]);
        check(&[99, 1]);
        check(&[33, 33, 34]);
        check(&[70, 20, 7, 3]);
        assert_eq!(shares(&[]).turn(), None);
    }

    #[test]
    fn a_small_share_is_spread_and_not_served_in_a_bunch() {
        let mut shares = shares(&[90, 10]);
        let turns: Vec<usize> = (0..100).filter(|_| shares.turn() == Some(pool(1))).collect();
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == 10), "{turns:?}");
    }

    #[test]
    fn instances_take_turns_and_tried_ones_are_passed_over() {
        let address = "127.0.0.1:1".parse().unwrap();
        let mut backends = Backends::default();
        for id in ["a", "b", "c", "c"] {
            backends.add(Arc::new(Backend::new(id.into(), pool(0), address)));
        }
        let mut next = |tried: &[&str]| {
            let tried: Vec<String> = tried.iter().map(|id| (*id).to_owned()).collect();
            backends.next(&pool(0), &tried).map(|backend| backend.id.clone())
        };
        let round: Vec<_> = (0..4).filter_map(|_| next(&[])).collect();
        assert_eq!(round, ["a", "b", "c", "a"]);
        assert_eq!(next(&["b", "c"]).as_deref(), Some("a"));
        assert_eq!(next(&["a", "b", "c"]), None);
    }
}
