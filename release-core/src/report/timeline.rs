//! Draws when each step ran.

use maud::{Markup, html};

use super::graph::class;
use super::{RunReport, StepReport};
use crate::time::Timestamp;

const NAMES: u64 = 330;
const WIDTH: u64 = 760;
const ROW: u64 = 17;

/// A bar for each step that ran, on a common scale, as inline SVG.
pub(super) fn timeline(report: &RunReport) -> Markup {
    let ran: Vec<&StepReport> = report.steps.iter().filter(|step| step.began.is_some()).collect();
    let whole = micros(report.began, report.last).max(1);
    let x = |at: Timestamp| NAMES + micros(report.began, at).min(whole) * WIDTH / whole;
    let height = 30 + ROW * ran.len() as u64;
    html! {
        svg width=(NAMES + WIDTH + 90) height=(height) role="img" aria-label="When each step ran" {
            @for (step, row) in ran.iter().zip(0_u64..) {
                @let y = 8 + row * ROW;
                @let from = x(step.began.unwrap_or(report.began));
                @let to = x(step.ended.unwrap_or(report.last));
                g class=(class(step.status)) {
                    title { (step.id) " " (step.finding) }
                    text x=(NAMES - 8) y=(y + 11) text-anchor="end" { (step.id) }
                    rect x=(from) y=(y) width=((to - from).max(2)) height=(ROW - 5) rx="2" {}
                    @if step.attempts > 1 {
                        text class="dim" x=(to + 6) y=(y + 11) { (step.attempts) " attempts" }
                    }
                }
            }
            text class="dim" x=(NAMES) y=(height - 6) { "0 s" }
            text class="dim" x=(NAMES + WIDTH) y=(height - 6) text-anchor="end" { (report.took()) }
        }
    }
}

fn micros(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_duration().as_micros()).unwrap_or(u64::MAX)
}
