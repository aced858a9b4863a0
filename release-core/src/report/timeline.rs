//! Draws when each step ran.

use maud::{Markup, html};

use super::graph::{class, culprits, end_of, shown};
use super::{RunReport, StepReport};
use crate::time::{Span, Timestamp};

const NAMES: u64 = 340;
/// Characters of a name that fit.
const CHARACTERS: usize = 48;
const WIDTH: u64 = 740;
const ROW: u64 = 17;
const TOP: u64 = 24;
/// Into how many parts the scale is divided.
const PARTS: u64 = 4;

/// A bar for each step that ran, on a common scale, as inline SVG.
pub(super) fn timeline(report: &RunReport) -> Markup {
    let ran: Vec<&StepReport> = report.steps.iter().filter(|step| step.began.is_some()).collect();
    let culprits = culprits(report);
    let whole = micros(report.began, report.last).max(1);
    let x = |at: Timestamp| NAMES + share(WIDTH, micros(report.began, at).min(whole), whole);
    let height = TOP + 8 + ROW * ran.len() as u64;
    html! {
        svg width=(NAMES + WIDTH + 100) height=(height) role="img" aria-label="When each step ran" {
            @for part in 0..=PARTS {
                @let at = NAMES + share(WIDTH, part, PARTS);
                line class="edge" x1=(at) y1=(TOP - 6) x2=(at) y2=(height) {}
                text class="dim" x=(at) y="12" text-anchor="middle" { (rounded(share(whole, part, PARTS))) }
            }
            @for (step, row) in ran.iter().zip(0_u64..) {
                @let y = TOP + row * ROW;
                @let from = x(step.began.unwrap_or(report.began));
                @let to = x(step.ended.unwrap_or(report.last));
                g class=(class(shown(step, &culprits))) {
                    title { (step.id) " " (step.finding) }
                    text x=(NAMES - 8) y=(y + 10) text-anchor="end" { (end_of(&step.id, CHARACTERS)) }
                    rect x=(from) y=(y) width=((to - from).max(2)) height=(ROW - 5) rx="2" {}
                    @if step.attempts > 1 {
                        text class="dim" x=(to + 6) y=(y + 10) { (step.attempts) " attempts" }
                    }
                }
            }
        }
    }
}

/// `part` / `whole` of `all`.
fn share(all: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(all) * u128::from(part) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(all)
}

/// A length of time with as many digits as people read.
pub(super) fn rounded(micros: u64) -> Span {
    match micros / 1000 {
        0 => Span::from(std::time::Duration::from_micros(micros)),
        millis @ 1..60_000 => Span::millis(millis),
        millis => Span::secs(millis / 1000),
    }
}

pub(super) fn micros(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_duration().as_micros()).unwrap_or(u64::MAX)
}
