//! Writes reports as one page that needs nothing else: no script, no font, no network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::RunReport;
use super::fold::FAILED;
use super::graph::{graph, sign};
use super::plot::plots;
use super::timeline::{micros, rounded, timeline};
use crate::run::{Outcome, Status};
use crate::time::Timestamp;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8888; --ok: #2e7d32; --bad: #c62828; --undone: #a35f00; --off: #777; --open: #1565c0 }
@media (prefers-color-scheme: dark) { :root { --ok: #6fbf73; --bad: #ff7b72; --undone: #e0a040; --off: #999; --open: #6cb0ff } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1280px; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1.5rem }
h3 { margin: 1.6rem 0 .5rem; font-size: 1rem } a { color: var(--open) } .hint { font-size: 13px; opacity: .75; margin: 0 0 .5rem }
.scroll { overflow: auto; max-height: 80vh; border: 1px solid var(--line); border-radius: 6px }
table { border-collapse: collapse; width: 100%; min-width: 860px; font-size: 13px }
td, th { text-align: left; padding: 3px 8px; border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap }
th { position: sticky; top: 0; background: Canvas } td.why { white-space: normal; overflow-wrap: anywhere; width: 50% }
tr.bad td { color: var(--bad); font-weight: 600 } tr.undone td { color: var(--undone); font-weight: 600 }
code { font-size: 12px } dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px } dt { opacity: .75 } dd { margin: 0; overflow-wrap: anywhere }
svg { display: block } svg text { font: 11px ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: CanvasText; white-space: pre }
svg .dim { opacity: .75 } svg .place { font-weight: 600 } svg .edge { fill: none; stroke: var(--line) } svg .card { fill: Canvas; stroke: var(--line) }
svg g rect { fill: var(--open); fill-opacity: .15; stroke: var(--open) }
svg .ok rect { fill: var(--ok); stroke: var(--ok) } svg .bad rect { fill: var(--bad); stroke: var(--bad); fill-opacity: .35 }
svg .new, svg .old, svg .limit, svg .decided { fill: none; stroke: var(--open); stroke-width: 1.5 } svg .old { stroke: var(--off); stroke-dasharray: 4 3 }
svg .limit { stroke: var(--bad); stroke-dasharray: 2 3 } svg .band { fill: var(--open); fill-opacity: .18; stroke: none } svg .decided.ok { stroke: var(--ok) } svg .decided.bad { stroke: var(--bad) } svg .decided.open { stroke: var(--off) }
svg .undone rect { fill: var(--undone); stroke: var(--undone) } svg .off rect { fill: var(--off); stroke: var(--off); stroke-dasharray: 3 3 }
.badge { padding: 1px 9px; border-radius: 9px; color: Canvas; background: var(--open); font-size: .8em; white-space: nowrap }
.badge.succeeded { background: var(--ok) } .badge.rolled_back { background: var(--undone) } .badge.failed, .badge.cancelled, .badge.abandoned { background: var(--bad) }
@media print { .scroll { max-height: none; overflow: visible } svg { max-width: 100%; height: auto } }
";

/// One self-contained HTML page: for each run its plan, when each step ran, every decision with its
/// reasons, and the verified hash chain. `notes` are lines of the host's own, shown first. Characters that XML 1.0 does not allow,
/// such as an escape that a provider colours its messages with, are shown as U+FFFD.
pub fn html(title: &str, notes: &[String], runs: &[RunReport]) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                @if !notes.is_empty() { ul { @for note in notes { li { (note) } } } }
                @if runs.len() > 1 {
                    ul { @for report in runs { li {
                        a href={ "#" (report.run) } { (report.run) } " " (badge(report)) " " (outcome(report))
                    } } }
                }
                @for report in runs { (run(report)) }
            }
        }
    };
    readable(page.into_string())
}

/// A page as all programs read it: characters that neither HTML nor XML 1.0 allows, however they are escaped, become the one for what cannot
/// be shown.
fn readable(page: String) -> String {
    let none = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    if page.contains(none) { page.replace(none, "\u{fffd}") } else { page }
}

fn badge(report: &RunReport) -> Markup {
    let name = report.outcome.as_ref().map_or("open", Outcome::name);
    html! { span class={ "badge " (name) } { (name.replace('_', " ")) } }
}

/// What there is to say beyond the badge.
fn outcome(report: &RunReport) -> String {
    match &report.outcome {
        None | Some(Outcome::Succeeded) => String::new(),
        Some(outcome) => outcome.to_string(),
    }
}

fn run(report: &RunReport) -> Markup {
    html! {
        h2 id=(report.run) { "Run " (report.run) " " (badge(report)) }
        dl {
            @let outcome = outcome(report);
            @if !outcome.is_empty() { dt { "outcome" } dd { (outcome) } }
            dt { "train, release" } dd { (report.train) ", " (report.release) }
            dt { "asked for by" } dd { (report.requester) }
            dt { "began, took" } dd { (report.began) ", " (rounded(micros(report.began, report.last))) }
            dt { "plan" } dd { code { (report.plan) } }
            @for (environment, word) in &report.unmeasured {
                dt { "unmeasured in " (environment) } dd { (word.reason) }
            }
            dt { "journal" } dd { (report.timeline.len()) " records, chain verified, head " code { (report.head) } }
        }
        h3 { "Plan" }
        p class="hint" {
            "Steps on one card follow one another; each card waits for those above that it is linked to. "
            @for status in [Status::Succeeded, Status::Failed, Status::Compensated, Status::Cancelled, Status::Pending] {
                (sign(status)) " " (status.name()) " "
            }
        }
        div class="scroll" { (graph(report)) }
        @if !report.compared.is_empty() {
            h3 { "Judgements" }
            (plots(&report.compared))
        }
        h3 { "Timeline" }
        div class="scroll" { (timeline(report)) }
        h3 { "Decisions" }
        div class="scroll" { (decisions(report)) }
    }
}

fn decisions(report: &RunReport) -> Markup {
    html! {
        table {
            thead { tr { th { "#" } th { "when (UTC)" } th { "what" } th { "step or gate" } th { "why" } th { "record hash" } } }
            tbody {
                @for entry in &report.timeline {
                    tr class=[emphasis(&entry.what)] {
                        td { (entry.seq) }
                        td { time datetime=(entry.at) { (to_millis(entry.at)) } }
                        td { (entry.what) }
                        td { (entry.subject) }
                        td class="why" { (entry.why) }
                        td { code { (entry.hash.short()) } }
                    }
                }
            }
        }
    }
}

/// How a decision stands out that people look for first.
fn emphasis(what: &str) -> Option<&'static str> {
    if what == FAILED {
        Some("bad")
    } else if what.starts_with("rollback") {
        Some("undone")
    } else {
        None
    }
}

/// An instant as people read it; the table holds the exact one too.
fn to_millis(at: Timestamp) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, rest)) => {
            let millis: String = rest.chars().take(3).collect();
            format!("{}.{millis}", seconds.replace('T', " "))
        }
        None => text,
    }
}
