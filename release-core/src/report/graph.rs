//! Draws the plan of a run: one layer a row, by the longest way to each step.

use maud::{Markup, html};

use super::RunReport;
use crate::run::Status;

const WIDTH: usize = 210;
const HEIGHT: usize = 34;
const GAP_X: usize = 16;
const GAP_Y: usize = 22;

/// The plan as inline SVG, each step in the colour of how it stands.
pub(super) fn graph(report: &RunReport) -> Markup {
    let layers = layers(report);
    let mut columns = Vec::<usize>::new();
    let places: Vec<(usize, usize)> = layers
        .iter()
        .map(|layer| {
            if columns.len() <= *layer {
                columns.resize(layer + 1, 0);
            }
            let column =
                columns.get_mut(*layer).map_or(0, |count| std::mem::replace(count, *count + 1));
            (12 + column * (WIDTH + GAP_X), 12 + layer * (HEIGHT + GAP_Y))
        })
        .collect();
    let widest = columns.iter().max().copied().unwrap_or(0);
    let (width, height) = (24 + widest * (WIDTH + GAP_X), 24 + columns.len() * (HEIGHT + GAP_Y));
    html! {
        svg width=(width) height=(height) role="img" aria-label="The plan's steps and their order" {
            @for edge in &report.edges {
                @if let (Some(from), Some(to)) = (places.get(edge.from as usize), places.get(edge.to as usize)) {
                    path class="edge" d=(curve(*from, *to)) {}
                }
            }
            @for (step, (x, y)) in report.steps.iter().zip(&places) {
                g class=(class(step.status)) {
                    title { (step.id) ": " (step.action) " — " (step.status.name()) " " (step.finding) }
                    rect x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx="5" {}
                    text x=(x + 8) y=(y + 14) { (end_of(&step.id, 34)) }
                    text class="dim" x=(x + 8) y=(y + 27) { (step.action.chars().take(36).collect::<String>()) }
                }
            }
        }
    }
}

/// The style of a step that stands like this.
pub(super) const fn class(status: Status) -> &'static str {
    match status {
        Status::Succeeded => "ok",
        Status::Failed => "bad",
        Status::Compensated => "undone",
        Status::Cancelled => "off",
        Status::Pending | Status::Ready | Status::Waiting | Status::Running => "open",
    }
}

/// For each step, the length of the longest way to it. A rollback begins below everything else.
fn layers(report: &RunReport) -> Vec<usize> {
    let mut layers = vec![0; report.steps.len()];
    let mut indegree = vec![0_usize; report.steps.len()];
    let mut next = vec![Vec::new(); report.steps.len()];
    for edge in &report.edges {
        if let (Some(list), Some(count)) =
            (next.get_mut(edge.from as usize), indegree.get_mut(edge.to as usize))
        {
            list.push(edge.to as usize);
            *count += 1;
        }
    }
    let mut forward = 0;
    // Steps before the rollback come first, and its steps do not depend on them by edges.
    for rollback in [false, true] {
        let mine =
            |index: &usize| report.steps.get(*index).is_some_and(|step| step.rollback == rollback);
        let roots = (0..layers.len()).filter(|index| indegree.get(*index) == Some(&0)).filter(mine);
        let mut queue: std::collections::VecDeque<usize> = roots.collect();
        if rollback {
            for root in &queue {
                if let Some(layer) = layers.get_mut(*root) {
                    *layer = forward + 1;
                }
            }
        }
        while let Some(at) = queue.pop_front() {
            let layer = layers.get(at).copied().unwrap_or(0);
            forward = forward.max(if rollback { 0 } else { layer });
            for to in next.get(at).into_iter().flatten() {
                if let Some(other) = layers.get_mut(*to) {
                    *other = (*other).max(layer + 1);
                }
                if let Some(count) = indegree.get_mut(*to) {
                    *count -= 1;
                    if *count == 0 {
                        queue.push_back(*to);
                    }
                }
            }
        }
    }
    layers
}

fn curve((x1, y1): (usize, usize), (x2, y2): (usize, usize)) -> String {
    let (x1, y1, x2) = (x1 + WIDTH / 2, y1 + HEIGHT, x2 + WIDTH / 2);
    let middle = usize::midpoint(y1, y2);
    format!("M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2}")
}

/// The last `count` characters, which tell more of a path than the first.
fn end_of(text: &str, count: usize) -> String {
    let skip = text.chars().count().saturating_sub(count);
    let end: String = text.chars().skip(skip).collect();
    if skip == 0 { end } else { format!("…{end}") }
}
