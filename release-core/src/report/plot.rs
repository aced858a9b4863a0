//! Draws what judges saw: the metric of both versions, the interval of harm, and the moment of decision.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::looks::{Compared, Look};
use super::timeline::{micros, rounded};
use crate::analysis::{Conclusion, Harm, Scale, Seen};
use crate::model::Finite;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 18.0;
const HEIGHT: f64 = 96.0;
const BETWEEN: f64 = 34.0;

/// All that judges saw in a run, each with its plot.
pub(super) fn plots(compared: &[Compared]) -> Markup {
    html! {
        @for one in compared {
            details open[one.conclusion() == Conclusion::Regressed] {
                summary {
                    code { (one.step) } ": " (one.conclusion().name()) ", "
                    (one.looks.len()) " looks"
                    @if let (Some(first), Some(last)) = (one.looks.first(), one.looks.last()) {
                        " in " (rounded(micros(first.at, last.at)))
                    }
                }
                @if let Some(planned) = &one.planned {
                    p class="hint" { "As planned, it " (planned) "." }
                }
                @if one.looks.is_empty() {
                    p class="hint" { "Nothing was measured." }
                } @else {
                    (plot(one))
                    (parts(one))
                }
            }
        }
    }
}

fn plot(compared: &Compared) -> Markup {
    let looks = &compared.looks;
    // What is made of several metrics has no value of its own.
    let has_values = looks.iter().any(|look| look.finding.canary.is_some());
    let top = if has_values { TOP + HEIGHT + BETWEEN } else { TOP };
    let values = Panel::new(TOP, &range(looks.iter().flat_map(both)));
    let harms = Panel::new(top, &harm_range(looks));
    let x = |at: usize| place(at, looks.len());
    let line = |panel: &Panel, of: &dyn Fn(&Look) -> Option<f64>| {
        let points = looks.iter().enumerate();
        path(points.filter_map(|(at, look)| Some((x(at), panel.y(of(look)?)))))
    };
    let value = |seen: Option<Seen>| seen.map(|seen| seen.value.get());
    let harm = |look: &Look| look.finding.harm;
    let height = top + HEIGHT + 22.0;
    let when = |look: Option<&Look>| {
        let since = looks.first().zip(look);
        since.map_or_else(String::new, |(first, look)| {
            rounded(micros(first.at, look.at)).to_string()
        })
    };
    html! {
        svg width=(WIDTH) height=(height) role="img" aria-label={ (compared.metric) ", and how bad the new version is" } {
            @if has_values {
                (values.frame(&format!("{}: new (solid) and old (dashed)", compared.metric)))
                path class="old" d=(line(&values, &|look| value(look.finding.baseline))) {}
                path class="new" d=(line(&values, &|look| value(look.finding.canary))) {}
            }
            (harms.frame(title(looks)))
            path class="band" d=(band(looks, &harms)) {}
            path class="new" d=(line(&harms, &|look| Some(harm(look)?.estimate?.get()))) {}
            path class="limit" d=(line(&harms, &|look| Some(harm(look)?.tolerated.get()))) {}
            text class="dim" x=(LEFT) y=(height - 8.0) { "look 1" }
            @if looks.len() > 1 {
                text class="dim" x=(WIDTH - RIGHT) y=(height - 8.0) text-anchor="end" {
                    "look " (looks.len()) ", " (when(looks.last())) " later"
                }
            }
            @if compared.ended {
                @let at = x(looks.len().saturating_sub(1));
                line class={ "decided " (class(compared.conclusion())) } x1=(at) x2=(at) y1=(TOP) y2=(height - 22.0) {}
                text class="place" x=(at - 4.0) y=(TOP + 8.0) text-anchor="end" { (compared.conclusion().name()) }
            }
        }
    }
}

/// What the harm of these looks is.
fn title(looks: &[Look]) -> &'static str {
    match looks.iter().rev().find_map(|look| look.finding.harm).map(|harm| harm.scale) {
        Some(Scale::Burn) => {
            "how many times as fast as allowed the error budget burns, and how many are tolerated"
        }
        Some(Scale::Sum) => {
            "the cumulative sum of how much worse it is than usual, and what is tolerated"
        }
        Some(Scale::Missing) => {
            "how many points of a hundred are missing of the score, and what is tolerated"
        }
        Some(Scale::Beyond) => {
            "how far the value is beyond its limit, in its interval, and what is tolerated"
        }
        Some(Scale::Ratio | Scale::Difference) | None => {
            "how bad the new version is: the best guess in its interval, and what is tolerated"
        }
    }
}

/// What the last look was put together from.
fn parts(compared: &Compared) -> Markup {
    let last = compared.looks.iter().rev().find(|look| !look.finding.parts.is_empty());
    let number = |value: Option<Finite>| value.map_or_else(|| "–".to_owned(), |v| label(v.get()));
    html! {
        @if let Some(last) = last {
            table {
                thead { tr { th { "of what" } th { "says" } th { "estimate" } th { "from" } th { "to" } th { "samples, new" } th { "old" } } }
                tbody {
                    @for part in &last.finding.parts {
                        tr {
                            td { (part.name) }
                            td { (part.says) }
                            td { (number(part.estimate)) }
                            td { (number(part.low)) }
                            td { (number(part.high)) }
                            td { (part.samples) }
                            td { (number(part.baseline_samples)) }
                        }
                    }
                }
            }
        }
    }
}

/// What is concluded colours the moment in which it was; of what was left open, that is grey.
const fn class(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Regressed => "bad",
        Conclusion::Healthy => "ok",
        _ => "open",
    }
}

fn both(look: &Look) -> impl Iterator<Item = f64> {
    [look.finding.canary, look.finding.baseline].into_iter().flatten().map(|seen| seen.value.get())
}

/// From where to where values lie, zero included.
fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([0.0_f64, 0.0_f64], |[low, high], value| [low.min(value), high.max(value)])
}

/// What the harm's panel shows: all guesses, what is tolerated, and of the intervals what does not dwarf these.
fn harm_range(looks: &[Look]) -> [f64; 2] {
    let harms = || looks.iter().filter_map(|look| look.finding.harm);
    let of =
        |harm: Harm| [harm.estimate, Some(harm.tolerated)].into_iter().flatten().map(Finite::get);
    let [low, high] = range(harms().flat_map(of));
    let last = looks.last().and_then(|look| look.finding.harm);
    let decisive = last.and_then(|harm| harm.low).map_or(0.0, Finite::get);
    let most = (2.0 * high.max(-low)).max(1.25 * decisive).max(f64::MIN_POSITIVE);
    let ends = harms().flat_map(|harm| [harm.low, harm.high]).flatten().map(Finite::get);
    range(ends.map(|end| end.clamp(-most, most)).chain([low, high]))
}

/// Where a look stands from the left to the right.
fn place(at: usize, all: usize) -> f64 {
    let part = |count: usize| u32::try_from(count).map_or(0.0, f64::from);
    let span = WIDTH - LEFT - RIGHT;
    LEFT + span * part(at) / part(all.saturating_sub(1).max(1))
}

/// The interval over all looks: along its upper end, and back along its lower. An open end goes as far as the panel.
fn band(looks: &[Look], panel: &Panel) -> String {
    let ends = looks.iter().enumerate().filter_map(|(at, look)| {
        let harm = look.finding.harm?;
        let low = harm.low.map_or(panel.low, Finite::get).max(panel.low);
        let high = harm.high.map_or(panel.high, Finite::get).min(panel.high);
        Some((place(at, looks.len()), panel.y(low), panel.y(high)))
    });
    let ends: Vec<_> = ends.collect();
    let there = ends.iter().map(|(x, _, high)| (*x, *high));
    let back = ends.iter().rev().map(|(x, low, _)| (*x, *low));
    let mut whole = path(there.chain(back));
    if !whole.is_empty() {
        whole.push('Z');
    }
    whole
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (x, y) in points {
        let command = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a string cannot fail.
        let _ = write!(path, "{command}{x:.1} {y:.1}");
    }
    path
}

/// A part of the picture with its own scale.
struct Panel {
    top: f64,
    low: f64,
    high: f64,
}

impl Panel {
    fn new(top: f64, [low, high]: &[f64; 2]) -> Self {
        let high = if high > low { *high } else { low + 1.0 };
        Self { top, low: *low, high }
    }

    fn y(&self, value: f64) -> f64 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        HEIGHT.mul_add(1.0 - part, self.top)
    }

    fn frame(&self, title: &str) -> Markup {
        let (right, bottom) = (WIDTH - RIGHT, self.top + HEIGHT);
        html! {
            text class="dim" x=(LEFT) y=(self.top - 6.0) { (title) }
            line class="edge" x1=(LEFT) x2=(right) y1=(bottom) y2=(bottom) {}
            line class="edge" x1=(LEFT) x2=(LEFT) y1=(self.top) y2=(bottom) {}
            text class="dim" x=(LEFT - 6.0) y=(self.top + 8.0) text-anchor="end" { (label(self.high)) }
            text class="dim" x=(LEFT - 6.0) y=(bottom) text-anchor="end" { (label(self.low)) }
        }
    }
}

/// A number in three digits.
fn label(value: f64) -> String {
    let short = format!("{value:.2e}").parse::<f64>().unwrap_or(value);
    format!("{short}")
}
