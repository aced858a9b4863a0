//! Arranges the steps of a run for a picture: steps that follow one another in one place are a
//! chain, and chains stand in rows, each below all that it waits for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{RunReport, StepReport};

/// Beyond so many chains, links that others imply are drawn too: finding them takes too long.
const REDUCED: usize = 2000;

/// Steps of one place, each of which waits for the one before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Their place, such as `production/eu/payments`.
    pub(super) place: String,
    /// The steps, by their index in the report.
    pub(super) steps: Vec<usize>,
    /// Counted from the top.
    pub(super) row: usize,
    /// Whether they belong to a rollback, which is below everything else.
    pub(super) rollback: bool,
}

/// Chains in the order of their rows, and which of them waits for which: `(before, after)`.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) chains: Vec<Chain>,
    pub(super) links: BTreeSet<(usize, usize)>,
}

/// The place of a step, and what is left of its path within it.
pub(super) fn place(step: &str) -> (String, String) {
    let parts: Vec<_> = step.split('/').collect();
    let prefix = usize::from(parts.first() == Some(&"rollback"));
    let length = parts.len() - prefix;
    let depth = if length > 3 { 3 } else { length.saturating_sub(1) };
    let (place, rest) = parts.split_at((prefix + depth).clamp(1, parts.len()));
    let rest = if rest.is_empty() { place.join("/") } else { rest.join("/") };
    (place.join("/"), rest)
}

/// Every step is in exactly one chain, and every link leads downwards.
pub(super) fn arrange(report: &RunReport) -> Layout {
    let count = report.steps.len();
    let mut before = vec![Vec::new(); count];
    let mut after = vec![Vec::new(); count];
    for edge in &report.edges {
        let (from, to) = (edge.from as usize, edge.to as usize);
        if let (Some(after), Some(before)) = (after.get_mut(from), before.get_mut(to)) {
            after.push(to);
            before.push(from);
        }
    }
    let depths = depths(&before, &after);
    let mut order: Vec<usize> = (0..count).collect();
    let rollback = |step: usize| report.steps.get(step).is_some_and(|step| step.rollback);
    order.sort_by_key(|step| (rollback(*step), depths.get(*step).copied(), *step));
    let mut builder =
        Builder { steps: &report.steps, depths, chain_of: vec![None; count], chains: Vec::new() };
    for step in order {
        builder.add(step, before.get(step).map_or(&[], Vec::as_slice));
    }
    let chain_of = |step: u32| builder.chain_of.get(step as usize).copied().flatten();
    let links = report.edges.iter().filter_map(|edge| {
        let (from, to) = (chain_of(edge.from)?, chain_of(edge.to)?);
        (from != to).then_some((from, to))
    });
    let mut layout = Layout { links: links.collect(), chains: builder.chains };
    assign_rows(&mut layout);
    reduce(&mut layout);
    layout
}

/// For each step, the length of the longest way to it.
fn depths(before: &[Vec<usize>], after: &[Vec<usize>]) -> Vec<usize> {
    let mut depths = vec![0; before.len()];
    let mut open: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut queue: VecDeque<usize> =
        (0..before.len()).filter(|step| open.get(*step) == Some(&0)).collect();
    while let Some(step) = queue.pop_front() {
        let depth = depths.get(step).copied().unwrap_or(0);
        for next in after.get(step).into_iter().flatten() {
            if let (Some(other), Some(open)) = (depths.get_mut(*next), open.get_mut(*next)) {
                *other = (*other).max(depth + 1);
                *open = open.saturating_sub(1);
                if *open == 0 {
                    queue.push_back(*next);
                }
            }
        }
    }
    depths
}

struct Builder<'a> {
    steps: &'a [StepReport],
    depths: Vec<usize>,
    chain_of: Vec<Option<usize>>,
    chains: Vec<Chain>,
}

impl Builder<'_> {
    /// Steps are added in the order of their depth.
    fn add(&mut self, step: usize, before: &[usize]) {
        let Some(report) = self.steps.get(step) else { return };
        let (place, _) = place(&report.id);
        let chain = before.iter().find_map(|last| self.continued(*last, step, &place, before));
        let chain = chain.unwrap_or(self.chains.len());
        if let Some(chain) = self.chains.get_mut(chain) {
            chain.steps.push(step);
        } else {
            let (steps, rollback) = (vec![step], report.rollback);
            self.chains.push(Chain { place, steps, row: 0, rollback });
        }
        if let Some(of) = self.chain_of.get_mut(step) {
            *of = Some(chain);
        }
    }

    /// The chain that ends with `last`, if `step` can be its next: what else the step waits for is
    /// above the whole chain, for otherwise a link would lead into the middle of it from below.
    fn continued(&self, last: usize, step: usize, place: &str, before: &[usize]) -> Option<usize> {
        let index = self.chain_of.get(last).copied().flatten()?;
        let chain = self.chains.get(index)?;
        let top = self.depths.get(*chain.steps.first()?)?;
        let next = self.depths.get(last)? + 1 == *self.depths.get(step)?;
        let above = |other: &usize| *other == last || self.depths.get(*other) < Some(top);
        let fits = chain.steps.last() == Some(&last) && chain.place == place && next;
        (fits && before.iter().all(above)).then_some(index)
    }
}

/// Each chain goes below all that it waits for, and a rollback below everything else.
fn assign_rows(layout: &mut Layout) {
    let mut rows = vec![0; layout.chains.len()];
    // Links lead from earlier chains to later ones, so that each row is known when it is read.
    for (from, to) in &layout.links {
        let above = rows.get(*from).copied().unwrap_or(0);
        if let Some(row) = rows.get_mut(*to) {
            *row = (*row).max(above + 1);
        }
    }
    let forward = layout.chains.iter().zip(&rows).filter(|(chain, _)| !chain.rollback);
    let below = forward.map(|(_, row)| row + 1).max().unwrap_or(0);
    for (chain, row) in layout.chains.iter_mut().zip(rows) {
        chain.row = if chain.rollback { below + row } else { row };
    }
}

/// Removes links that a longer way implies, which would only clutter the picture.
fn reduce(layout: &mut Layout) {
    if layout.chains.len() > REDUCED {
        return;
    }
    let mut after = BTreeMap::<usize, Vec<usize>>::new();
    for (from, to) in &layout.links {
        after.entry(*from).or_default().push(*to);
    }
    layout.links.retain(|(from, to)| {
        let mut seen = BTreeSet::new();
        let mut stack: Vec<_> =
            after.get(from).into_iter().flatten().filter(|n| *n != to).collect();
        while let Some(at) = stack.pop() {
            if at == to {
                return false;
            }
            // Chains beyond the goal cannot lead back to it.
            if at < to && seen.insert(at) {
                stack.extend(after.get(at).into_iter().flatten());
            }
        }
        true
    });
}
