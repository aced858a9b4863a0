//! What needs what, by numbers: neighbours lie side by side, so that walking them costs what reading them costs.

use std::collections::BTreeSet;
use std::fmt;

use crate::plan::graph;

/// The most things of one graph, and the most needs of all of them together.
pub const MAX_NEEDS: usize = 4_000_000;

/// Something with a name that needs others.
pub(super) trait Needing {
    type Id: Ord + Clone;
    fn id(&self) -> &Self::Id;
    fn needs(&self) -> &BTreeSet<Self::Id>;
}

/// Why things that need each other are no graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NeedsError<Id: fmt::Display> {
    /// Two have one name.
    #[error("`{0}` stands there twice; give one of them another name")]
    Twice(Id),
    /// One needs something that is not there.
    #[error("`{of}` needs `{needs}`, which is not there; add it, or mend the name")]
    Unknown {
        /// Which one.
        of: Id,
        /// What it needs.
        needs: Id,
    },
    /// Some need each other: each the next, and the last the first.
    #[error("none of {} can be the first, since each needs the next: {}; take one of these needs out", .0.len(), circle(.0))]
    Circle(Vec<Id>),
    /// It is too much.
    #[error("there are more than {MAX_NEEDS} of them, or needs of them; divide them")]
    TooMany,
}

fn circle<Id: fmt::Display>(all: &[Id]) -> String {
    let names = all.iter().chain(all.first()).map(|id| format!("`{id}`"));
    names.collect::<Vec<_>>().join(" → ")
}

/// The number of a thing among all that there are, sorted by their names.
pub(super) fn position<T: Needing>(all: &[T], id: &T::Id) -> Option<u32> {
    let found = all.binary_search_by(|one| one.id().cmp(id)).ok()?;
    u32::try_from(found).ok()
}

/// Sorts things by their names, and finds out what needs what.
pub(super) fn compile<T: Needing<Id: fmt::Display>>(
    things: impl IntoIterator<Item = T>,
) -> Result<(Vec<T>, Dag), NeedsError<T::Id>> {
    let mut all: Vec<T> = things.into_iter().take(MAX_NEEDS + 1).collect();
    let needs: usize = all.iter().map(|one| one.needs().len()).sum();
    if all.len() > MAX_NEEDS || needs > MAX_NEEDS {
        return Err(NeedsError::TooMany);
    }
    all.sort_by(|a, b| a.id().cmp(b.id()));
    if let Some([twice, _]) = all.array_windows().find(|[a, b]| a.id() == b.id()) {
        return Err(NeedsError::Twice(twice.id().clone()));
    }
    let mut pairs = Vec::with_capacity(needs);
    for (one, number) in all.iter().zip(0..) {
        for need in one.needs() {
            let Some(found) = position(&all, need) else {
                return Err(NeedsError::Unknown { of: one.id().clone(), needs: need.clone() });
            };
            pairs.push((found, number));
        }
    }
    let dag = Dag::new(all.len(), &pairs).map_err(|mut circle| {
        circle.reverse(); // each needs the next
        let ids = circle.iter().filter_map(|number| all.get(*number as usize));
        NeedsError::Circle(ids.map(|one| one.id().clone()).collect())
    })?;
    Ok((all, dag))
}

/// Numbers that need others, without circles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dag {
    before: Neighbours,
    after: Neighbours,
    /// All of them, each after what it needs.
    order: Vec<u32>,
    /// Where each stands in `order`.
    place: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Neighbours {
    /// Where those of each number begin; one more than there are numbers.
    begins: Vec<u32>,
    all: Vec<u32>,
}

impl Neighbours {
    /// Of pairs (whose, which).
    fn new(nodes: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut begins = vec![0_u32; nodes + 1];
        for (whose, _) in pairs.clone() {
            if let Some(count) = begins.get_mut(whose as usize + 1) {
                *count += 1;
            }
        }
        let mut sum = 0;
        for begin in &mut begins {
            sum += *begin;
            *begin = sum;
        }
        let mut next = begins.clone();
        let mut all = vec![0; sum as usize];
        for (whose, which) in pairs {
            let Some(place) = next.get_mut(whose as usize) else { continue };
            if let Some(slot) = all.get_mut(*place as usize) {
                *slot = which;
            }
            *place += 1;
        }
        Self { begins, all }
    }

    fn of(&self, node: u32) -> &[u32] {
        let node = node as usize;
        let range = self.begins.get(node).zip(self.begins.get(node + 1));
        range.and_then(|(from, to)| self.all.get(*from as usize..*to as usize)).unwrap_or_default()
    }
}

impl Dag {
    /// Of pairs (what is needed, by whom), each once; or else the shortest circle (of very many a short one), each needed by the next.
    /// At most `u32::MAX` of both.
    pub(super) fn new(nodes: usize, pairs: &[(u32, u32)]) -> Result<Self, Vec<u32>> {
        let order = graph::order(nodes, pairs)
            .map_err(|circles| circles.into_iter().next().unwrap_or_default())?;
        let mut place = vec![0; nodes];
        for (node, at) in order.iter().zip(0..) {
            if let Some(slot) = place.get_mut(*node as usize) {
                *slot = at;
            }
        }
        let after = Neighbours::new(nodes, pairs.iter().copied());
        let before = Neighbours::new(nodes, pairs.iter().map(|(from, to)| (*to, *from)));
        Ok(Self { before, after, order, place })
    }

    pub(super) const fn len(&self) -> usize {
        self.order.len()
    }

    /// How many numbers and needs there are.
    pub(super) const fn size(&self) -> usize {
        self.order.len() + self.before.all.len()
    }

    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// What a number needs.
    pub(super) fn before(&self, node: u32) -> &[u32] {
        self.before.of(node)
    }

    /// What needs a number.
    pub(super) fn after(&self, node: u32) -> &[u32] {
        self.after.of(node)
    }

    /// These and all that needs them, directly or not, in order. Costs what there is of them, and one bit for each number.
    pub(super) fn reached(&self, from: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut seen = vec![0_u64; self.len().div_ceil(64)];
        let mut new = |node: u32| {
            let bit = 1 << (node % 64);
            let word = seen.get_mut(node as usize / 64);
            word.is_some_and(|word| {
                *word & bit == 0 && {
                    *word |= bit;
                    true
                }
            })
        };
        let mut found: Vec<u32> = from.into_iter().filter(|node| new(*node)).collect();
        let mut at = 0;
        while let Some(node) = found.get(at).copied() {
            found.extend(self.after.of(node).iter().copied().filter(|next| new(*next)));
            at += 1;
        }
        self.sort(&mut found);
        found
    }

    /// Puts each after what it needs.
    pub(super) fn sort(&self, nodes: &mut [u32]) {
        nodes.sort_unstable_by_key(|node| self.place.get(*node as usize));
    }

    /// For each number the weight of the heaviest way that begins with it.
    pub(super) fn tails(&self, weights: &[u64]) -> Vec<u64> {
        let mut tails = weights.to_vec();
        for node in self.order.iter().rev() {
            let longest = self.after(*node).iter().filter_map(|next| tails.get(*next as usize));
            let longest = longest.max().copied().unwrap_or(0);
            if let Some(tail) = tails.get_mut(*node as usize) {
                *tail = tail.saturating_add(longest);
            }
        }
        tails
    }

    /// The heaviest way, and its weight; of several the one whose numbers are smaller.
    pub(super) fn heaviest(&self, weights: &[u64]) -> (Vec<u32>, u64) {
        let tails = self.tails(weights);
        let tail = |node: &u32| tails.get(*node as usize).copied().unwrap_or(0);
        let heaviest = |nodes: &mut dyn Iterator<Item = u32>| {
            nodes.max_by_key(|node| (tail(node), std::cmp::Reverse(*node)))
        };
        let roots = &mut (0..).take(self.len()).filter(|node| self.before(*node).is_empty());
        let first = heaviest(roots);
        let next = |node: &u32| heaviest(&mut self.after(*node).iter().copied());
        (std::iter::successors(first, next).collect(), first.map_or(0, |first| tail(&first)))
    }
}
