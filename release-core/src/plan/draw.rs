//! Draws plans for people: Mermaid and Graphviz DOT.

use std::fmt::Write as _;

use super::{Edge, EdgeKind, Plan, Step};

impl Plan {
    /// The plan as a Mermaid flowchart (<https://mermaid.js.org>).
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart TD\n");
        for (index, step) in self.steps().iter().enumerate() {
            let (open, close) = if step.action.is_pure() { ("([", "])") } else { ("[", "]") };
            line(
                &mut out,
                format_args!("  s{index}{open}\"{}\"{close}", mermaid(&label(step, "<br/>"))),
            );
        }
        for Edge { from, to, why } in self.edges() {
            let arrow = match why {
                EdgeKind::Order => "-->",
                EdgeKind::Dependency => "==>",
                EdgeKind::Sync => "-.->",
            };
            line(&mut out, format_args!("  s{from} {arrow} s{to}"));
        }
        out
    }

    /// The plan as a Graphviz graph (<https://graphviz.org>).
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph plan {\n  rankdir=TB;\n  node [shape=box];\n");
        for (index, step) in self.steps().iter().enumerate() {
            let shape = if step.action.is_pure() { ", shape=ellipse" } else { "" };
            line(
                &mut out,
                format_args!("  s{index} [label=\"{}\"{shape}];", dot(&label(step, "\n"))),
            );
        }
        for Edge { from, to, why } in self.edges() {
            let style = match why {
                EdgeKind::Order => "",
                EdgeKind::Dependency => " [style=bold]",
                EdgeKind::Sync => " [style=dashed]",
            };
            line(&mut out, format_args!("  s{from} -> s{to}{style};"));
        }
        out.push_str("}\n");
        out
    }
}

fn label(step: &Step, newline: &str) -> String {
    format!("{}{newline}{}", step.id, step.action)
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Mermaid has no escapes in quoted text but entities. Our own line break stays.
fn mermaid(text: &str) -> String {
    let text = text.replace("<br/>", "\n").replace('&', "#amp;").replace('"', "#quot;");
    text.replace('<', "#lt;").replace('>', "#gt;").replace('\n', "<br/>")
}

fn dot(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
