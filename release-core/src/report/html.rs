//! Writes reports as one page that needs nothing else: no script, no font, no network.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::RunReport;
use super::graph::graph;
use super::timeline::timeline;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8886; --ok: #2e7d32; --bad: #c62828; --undone: #b26a00; --off: #8888; --open: #1565c0 }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1280px; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1.5rem }
.scroll { overflow: auto; max-height: 640px; border: 1px solid var(--line); border-radius: 6px }
table { border-collapse: collapse; width: 100%; font-size: 13px } td, th { text-align: left; padding: 3px 8px; border-bottom: 1px solid var(--line); vertical-align: top }
th { position: sticky; top: 0; background: Canvas } code { font-size: 12px } dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px } dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere }
svg { display: block } svg text { font: 11px system-ui, sans-serif; fill: CanvasText } svg .dim { opacity: .65 }
svg rect { fill: var(--open); fill-opacity: .15; stroke: var(--open) } svg .edge { fill: none; stroke: var(--line) }
svg .ok rect { fill: var(--ok); stroke: var(--ok) } svg .bad rect { fill: var(--bad); stroke: var(--bad); fill-opacity: .45 }
svg .undone rect { fill: var(--undone); stroke: var(--undone) } svg .off rect { fill: var(--off); stroke: var(--off) }
.badge { padding: 1px 9px; border-radius: 9px; color: #fff; background: var(--open) } .badge.succeeded { background: var(--ok) } .badge.rolled_back { background: var(--undone) } .badge.failed, .badge.cancelled, .badge.abandoned { background: var(--bad) }
";

/// One self-contained HTML page: for each run its plan, when each step ran, every decision with its
/// reasons, and the verified hash chain. `notes` are lines of the host's own, shown first.
pub fn html(title: &str, notes: &[String], runs: &[RunReport]) -> String {
    let page: Markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                @if !notes.is_empty() { ul { @for note in notes { li { (note) } } } }
                @for report in runs { (run(report)) }
            }
        }
    };
    page.into_string()
}

fn run(report: &RunReport) -> Markup {
    let (name, text) = match &report.outcome {
        Some(outcome) => (outcome.name(), outcome.to_string()),
        None => ("open", "not over yet".to_owned()),
    };
    html! {
        h2 { "Run " (report.run) " " span class={ "badge " (name) } { (name.replace('_', " ")) } }
        dl {
            dt { "outcome" } dd { (text) }
            dt { "train, release" } dd { (report.train) ", " (report.release) }
            dt { "asked for by" } dd { (report.requester) }
            dt { "began, took" } dd { (report.began) ", " (report.took()) }
            dt { "plan" } dd { code { (report.plan) } }
            dt { "journal" } dd { (report.timeline.len()) " records, chain verified, head " code { (report.head) } }
        }
        h3 { "Plan" }
        div class="scroll" { (graph(report)) }
        h3 { "Timeline" }
        div class="scroll" { (timeline(report)) }
        h3 { "Decisions" }
        div class="scroll" {
            table {
                thead { tr { th { "#" } th { "when" } th { "what" } th { "step or gate" } th { "why" } th { "record hash" } } }
                tbody {
                    @for entry in &report.timeline {
                        tr {
                            td { (entry.seq) }
                            td { (entry.at) }
                            td { (entry.what) }
                            td { (entry.subject) }
                            td { (entry.why) }
                            td { code { (entry.hash.short()) } }
                        }
                    }
                }
            }
        }
    }
}
