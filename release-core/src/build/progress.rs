//! Who may begin, who is under way, and what never begins because something that it needs failed.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::dag::Dag;

/// How far each number is.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    state: Vec<State>,
    /// How many of those that each needs are not over.
    waits: Vec<u32>,
    /// Those that may begin, the most urgent first.
    ready: BTreeSet<(Reverse<u64>, u32)>,
    urgency: Vec<u64>,
    /// How many are neither over nor cancelled.
    open: usize,
}

/// How far one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Something that it needs is not over.
    Waiting,
    Ready,
    Running,
    /// What needs it may begin.
    Over,
    Failed,
    /// It never begins: what stands here failed, which it needs, directly or not.
    Cancelled(u32),
}

impl Progress {
    /// The greater its urgency, the earlier one begins; of equals the one with the smaller number. Where they are `held`, each waits
    /// for something besides until it is [released](Self::release).
    pub(super) fn new(dag: &Dag, urgency: Vec<u64>, held: bool) -> Self {
        let nodes = || (0_u32..).take(dag.len());
        let count = |node| u32::try_from(dag.before(node).len()).unwrap_or(u32::MAX);
        let besides = u32::from(held);
        let mut progress = Self {
            state: vec![State::Waiting; dag.len()],
            waits: nodes().map(|node| count(node).saturating_add(besides)).collect(),
            ready: BTreeSet::new(),
            urgency,
            open: dag.len(),
        };
        for node in nodes() {
            progress.look(node);
        }
        progress
    }

    pub(super) fn state(&self, node: u32) -> State {
        self.state.get(node as usize).copied().unwrap_or(State::Waiting)
    }

    fn set(&mut self, node: u32, state: State) {
        if let Some(slot) = self.state.get_mut(node as usize) {
            *slot = state;
        }
    }

    /// Makes it ready if it is.
    fn look(&mut self, node: u32) {
        if self.state(node) == State::Waiting && self.waits.get(node as usize) == Some(&0) {
            self.set(node, State::Ready);
            let urgency = self.urgency.get(node as usize).copied().unwrap_or(0);
            self.ready.insert((Reverse(urgency), node));
        }
    }

    /// It no longer waits for something besides.
    pub(super) fn release(&mut self, node: u32) {
        if let Some(count) = self.waits.get_mut(node as usize) {
            *count = count.saturating_sub(1);
        }
        self.look(node);
    }

    /// The most urgent that may begin; it runs from now on.
    pub(super) fn begin(&mut self) -> Option<u32> {
        let (_, node) = self.ready.pop_first()?;
        self.set(node, State::Running);
        Some(node)
    }

    /// It is over, and what needs it may begin. False where it does not run.
    pub(super) fn over(&mut self, dag: &Dag, node: u32) -> bool {
        if self.state(node) != State::Running {
            return false;
        }
        self.set(node, State::Over);
        self.open -= 1;
        for next in dag.after(node) {
            if let Some(count) = self.waits.get_mut(*next as usize) {
                *count = count.saturating_sub(1);
            }
            self.look(*next);
        }
        true
    }

    /// It failed: what needs it never begins. Tells who that is, in order; `None` where it does not run.
    pub(super) fn failed(&mut self, dag: &Dag, node: u32) -> Option<Vec<u32>> {
        if self.state(node) != State::Running {
            return None;
        }
        self.set(node, State::Failed);
        self.open -= 1;
        Some(self.cancel(dag, node))
    }

    /// None of what needs it begins, and not it itself where it has not begun. Tells who that is, in order. What was cancelled before is
    /// not walked again: all that needs that was cancelled with it. So all calls together pass each need twice at most.
    pub(super) fn cancel(&mut self, dag: &Dag, node: u32) -> Vec<u32> {
        let mut lost = Vec::new();
        self.lose(&[node], node, &mut lost);
        if lost.is_empty() {
            self.lose(dag.after(node), node, &mut lost); // it was under way
        }
        let mut at = 0;
        while let Some(next) = lost.get(at).copied() {
            self.lose(dag.after(next), node, &mut lost);
            at += 1;
        }
        self.open -= lost.len();
        dag.sort(&mut lost);
        lost
    }

    /// Those of them that wait never begin.
    fn lose(&mut self, among: &[u32], because: u32, lost: &mut Vec<u32>) {
        for node in among {
            if self.state(*node) == State::Waiting {
                self.set(*node, State::Cancelled(because));
                lost.push(*node);
            }
        }
    }

    /// Whether nothing runs and nothing may begin any more.
    pub(super) const fn is_over(&self) -> bool {
        self.open == 0
    }
}
