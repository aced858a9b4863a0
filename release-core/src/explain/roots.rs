//! What the steps that a step waits for wait for themselves, down to those that wait for no other.

use std::collections::{BTreeMap, VecDeque};

use super::find::{obstacles, unfinished};
use super::obstacle::Obstacle;
use super::view::View;
use crate::model::Gate;
use crate::plan::{Action, OnFailure, Step};
use crate::run::{RunState, Status, Wait};
use crate::time::{Span, Timestamp};

/// Most steps that are walked through behind one.
const MOST_VISITED: usize = 4_096;
/// Most of them that are explained.
pub(super) const MOST_ROOTS: usize = 64;

/// The unfinished steps behind one.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    /// Those that wait for no other step, in the order of the plan, with what holds them.
    pub(super) roots: Vec<(u32, Vec<Obstacle>)>,
    /// For each, the earliest instant at which it can be done.
    pub(super) done: BTreeMap<u32, Timestamp>,
    /// Whether all were seen.
    pub(super) complete: bool,
}

/// An unfinished step on the way back.
#[derive(Debug, Default)]
struct Node {
    /// Those that wait for it, as far as they were seen.
    behind: Vec<u32>,
    /// How many steps it waits for were seen.
    waits: u32,
    /// The earliest instant at which those are done.
    start: Timestamp,
}

/// Walks back from the step at `index`, each step once, without recursion.
pub(super) fn ancestry(state: &RunState, index: u32, view: &View<'_>) -> Ancestry {
    let mut all = Ancestry { complete: true, ..Ancestry::default() };
    let mut nodes: BTreeMap<u32, Node> = BTreeMap::new();
    let mut queue = VecDeque::from([index]);
    while let Some(next) = queue.pop_front() {
        if state.status(next) != Some(Status::Pending) {
            continue;
        }
        for other in unfinished(state, next) {
            if nodes.len() >= MOST_VISITED && !nodes.contains_key(&other) {
                all.complete = false;
                continue;
            }
            let node = nodes.entry(other).or_insert_with(|| {
                queue.push_back(other);
                Node { start: view.at, ..Node::default() }
            });
            node.behind.push(next);
            if let Some(waiting) = nodes.get_mut(&next) {
                waiting.waits += 1;
            }
        }
    }
    for root in nodes.keys().copied().filter(|i| state.status(*i) != Some(Status::Pending)) {
        if all.roots.len() == MOST_ROOTS {
            all.complete = false;
            break;
        }
        all.roots.push((root, obstacles(state, root, view)));
    }
    all.done = ends(state, nodes, &all.roots, view.at);
    all
}

/// The earliest ends, each computed once all of those before it are.
fn ends(
    state: &RunState,
    mut nodes: BTreeMap<u32, Node>,
    roots: &[(u32, Vec<Obstacle>)],
    now: Timestamp,
) -> BTreeMap<u32, Timestamp> {
    let mut done = BTreeMap::new();
    let mut free: VecDeque<u32> =
        nodes.iter().filter(|(_, node)| node.waits == 0).map(|(index, _)| *index).collect();
    while let Some(index) = free.pop_front() {
        let Some(Node { behind, start, .. }) = nodes.get_mut(&index) else { continue };
        let (behind, start) = (std::mem::take(behind), *start);
        let end = match roots.binary_search_by_key(&index, |(root, _)| *root) {
            Ok(at) => roots.get(at).map_or(now, |(_, found)| root_end(state, index, found, now)),
            Err(_) if state.status(index) == Some(Status::Pending) => {
                pending_end(state.plan().step(index), start)
            }
            Err(_) => now,
        };
        done.insert(index, end);
        for next in behind {
            if let Some(node) = nodes.get_mut(&next) {
                node.start = node.start.max(end);
                node.waits = node.waits.saturating_sub(1);
                if node.waits == 0 {
                    free.push_back(next);
                }
            }
        }
    }
    done
}

/// Whether the step counts as done as soon as somebody rejects one of its gates.
fn ends_by_rejection(step: &Step) -> bool {
    let votes = |gate: &Gate| matches!(gate, Gate::Approval(_));
    step.on_failure == OnFailure::Continue && step.gates.iter().any(votes)
}

/// When a step that can start at `start` is done at the earliest.
fn pending_end(step: &Step, start: Timestamp) -> Timestamp {
    if ends_by_rejection(step) {
        return start;
    }
    let begin = step.gates.iter().fold(start, |begin, gate| match gate {
        Gate::Soak(span) => begin.max(start.plus(*span)),
        Gate::NotBefore(at) => begin.max(*at),
        Gate::Approval(_) => begin,
    });
    begin.plus(shortest(step, 0))
}

/// How long a step takes at least, effects taking no time; `good` measurements were taken already.
fn shortest(step: &Step, good: u32) -> Span {
    match &step.action {
        Action::Bake { duration } => *duration,
        // A failure ends it sooner, and where nobody minds that, the steps behind it go on.
        Action::Analyze { analysis, .. } if step.on_failure != OnFailure::Continue => {
            let pauses = analysis.count.saturating_sub(good).saturating_sub(1);
            analysis.interval.as_duration().saturating_mul(pauses).into()
        }
        _ => Span::ZERO,
    }
}

/// When a step that waits for no other is done at the earliest.
fn root_end(state: &RunState, index: u32, found: &[Obstacle], now: Timestamp) -> Timestamp {
    let step = state.plan().step(index);
    let good = state.active(index).map_or(0, |active| active.measured.good);
    let begin = found.iter().filter_map(|obstacle| obstacle.earliest).fold(now, Timestamp::max);
    match state.active(index).map(|active| &active.wait) {
        // A person can say that it took effect, or it is found that it did.
        Some(Wait::Operator { .. }) => now,
        Some(Wait::Bake { .. } | Wait::Look { .. }) => begin,
        Some(Wait::Outcome { .. } | Wait::Measurement { .. }) => begin.plus(shortest(step, good)),
        _ if ends_by_rejection(step) => now,
        _ => begin.plus(shortest(step, good)),
    }
}
