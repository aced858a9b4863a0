//! Draws plans and rollbacks for people: Mermaid and Graphviz DOT.

use std::fmt::Write as _;

use super::{Edge, EdgeKind, Extension, Plan, Step};

impl Plan {
    /// The plan as a Mermaid flowchart (<https://mermaid.js.org>).
    pub fn to_mermaid(&self) -> String {
        mermaid(self.steps(), self.edges())
    }

    /// The plan as a Graphviz graph (<https://graphviz.org>).
    pub fn to_dot(&self) -> String {
        dot(self.steps(), self.edges())
    }
}

impl Extension {
    /// The rollback as a Mermaid flowchart, as [`Plan::to_mermaid`] draws plans.
    pub fn to_mermaid(&self) -> String {
        mermaid(&self.steps, &self.edges)
    }

    /// The rollback as a Graphviz graph, as [`Plan::to_dot`] draws plans.
    pub fn to_dot(&self) -> String {
        dot(&self.steps, &self.edges)
    }
}

fn mermaid(steps: &[Step], edges: &[Edge]) -> String {
    let mut out = String::from("flowchart TD\n");
    for (index, step) in steps.iter().enumerate() {
        let (open, close) = if step.action.is_pure() { ("([", "])") } else { ("[", "]") };
        let (id, action) = (mermaid_text(step.id.as_str()), mermaid_text(&step.action.to_string()));
        line(&mut out, format_args!("  s{index}{open}\"{id}<br/>{action}\"{close}"));
    }
    for Edge { from, to, why } in edges {
        let arrow = match why {
            EdgeKind::Order => "-->",
            EdgeKind::Dependency => "==>",
            EdgeKind::Sync => "-.->",
        };
        line(&mut out, format_args!("  s{from} {arrow} s{to}"));
    }
    out
}

fn dot(steps: &[Step], edges: &[Edge]) -> String {
    let mut out = String::from("digraph plan {\n  rankdir=TB;\n  node [shape=box];\n");
    for (index, step) in steps.iter().enumerate() {
        let shape = if step.action.is_pure() { ", shape=ellipse" } else { "" };
        let (id, action) = (dot_text(step.id.as_str()), dot_text(&step.action.to_string()));
        line(&mut out, format_args!("  s{index} [label=\"{id}\\n{action}\"{shape}];"));
    }
    for Edge { from, to, why } in edges {
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

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Mermaid has no escapes in quoted text but entities, written `#name;` or `#number;`, and reads a
/// good deal even there: Markdown between backticks, formulas between `$$`, directives after `%%`.
fn mermaid_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = ' ';
    for c in text.chars() {
        match c {
            '&' => out.push_str("#amp;"),
            '"' => out.push_str("#quot;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '\n' => out.push_str("<br/>"),
            '%' if last != '%' => out.push('%'), // one alone is harmless, and common in routes
            '#' | '`' | '%' | '$' | '[' | ']' | '{' | '}' | '|' | '\\' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        last = c;
    }
    out
}

/// Quoted text of DOT: backslashes and quotes are escaped, and what would be read as an HTML entity.
fn dot_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '&' if rest.peek().is_some_and(|next| next.is_ascii_alphanumeric() || *next == '#') => {
                out.push_str("&amp;");
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
