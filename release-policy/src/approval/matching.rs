//! Gives every slot of a quorum a person of its own, if there are enough.
//!
//! Never greedily: somebody with two roles must not take the slot that nobody else can fill.

use std::collections::{BTreeSet, VecDeque};

use petgraph::algo::maximum_matching;
use petgraph::graph::{NodeIndex, UnGraph};

/// Which voice fits into which slot: of each slot, the voices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fits(Vec<Vec<usize>>);

/// Who fills which slot.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    fits: Fits,
    by_slot: Vec<Option<usize>>,
    slot_of: Vec<Option<usize>>,
}

impl Fits {
    pub(crate) fn new(slots: usize, voices: usize, fits: impl Fn(usize, usize) -> bool) -> Self {
        Self(
            (0..slots)
                .map(|slot| (0..voices).filter(|voice| fits(slot, *voice)).collect())
                .collect(),
        )
    }

    /// An assignment that fills as many slots as possible, the same for the same input.
    pub(crate) fn assign(self, voices: usize) -> Assignment {
        let slots = self.0.len();
        let edges: usize = self.0.iter().map(Vec::len).sum();
        let mut graph = UnGraph::<(), ()>::with_capacity(slots + voices, edges);
        let nodes: Vec<NodeIndex> = (0..slots + voices).map(|_| graph.add_node(())).collect();
        for (slot, fitting) in self.0.iter().enumerate() {
            for voice in fitting {
                if let (Some(slot), Some(voice)) = (nodes.get(slot), nodes.get(slots + voice)) {
                    graph.add_edge(*slot, *voice, ());
                }
            }
        }
        let matching = maximum_matching(&graph);
        let mate = |node: &NodeIndex| matching.mate(*node).map(NodeIndex::index);
        let by_slot = nodes.iter().take(slots).map(|node| mate(node).map(|mate| mate - slots));
        let by_slot = by_slot.collect();
        let slot_of = nodes.iter().skip(slots).map(mate).collect();
        Assignment { fits: self, by_slot, slot_of }
    }
}

impl Assignment {
    /// Of each slot, who fills it.
    pub(crate) fn by_slot(&self) -> &[Option<usize>] {
        &self.by_slot
    }

    /// How many slots are filled.
    pub(crate) fn filled(&self) -> usize {
        self.by_slot.iter().flatten().count()
    }

    /// The slots into any of which one more person must fit for the empty `slot` to be filled: itself, and
    /// those whose people can move on towards it.
    pub(crate) fn reachable(&self, slot: usize) -> BTreeSet<usize> {
        let (mut seen, mut queue) = (BTreeSet::from([slot]), VecDeque::from([slot]));
        while let Some(empty) = queue.pop_front() {
            for voice in self.fits.0.get(empty).into_iter().flatten() {
                if let Some(other) = self.slot_of.get(*voice).copied().flatten()
                    && seen.insert(other)
                {
                    queue.push_back(other);
                }
            }
        }
        seen
    }
}
