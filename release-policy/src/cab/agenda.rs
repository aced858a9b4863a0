//! What a board is to decide, for people and for machines.

use std::fmt::Write as _;

use release_core::model::{ChangeScope, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::approval::Subject;
use crate::change::{ChangeType, Routing};

/// The agenda of a meeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agenda {
    /// The meeting.
    pub meeting: String,
    /// When it is.
    pub at: Timestamp,
    /// What is to be decided.
    pub items: Vec<AgendaItem>,
}

/// One change on an agenda.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgendaItem {
    /// The change's id.
    pub change: String,
    /// What it does.
    pub title: String,
    /// What kind of change it is.
    pub kind: ChangeType,
    /// Who asked for it.
    pub requester: PrincipalId,
    /// Where.
    pub scope: ChangeScope,
    /// What exactly is to be decided.
    pub subject: Subject,
    /// Why it is here.
    pub routing: Routing,
    /// Until when to vote.
    pub deadline: Timestamp,
}

/// An agenda that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("agenda/write: the agenda cannot be written as JSON")]
pub struct RenderError(#[from] serde_json::Error);

impl Agenda {
    /// The agenda as JSON, indented; it can be read back.
    ///
    /// # Errors
    /// [`RenderError`] when it cannot be written.
    pub fn to_json(&self) -> Result<String, RenderError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// The agenda as Markdown, the riskiest change first. What people wrote is escaped, so that it shows as it
    /// was written and makes no headings, links or markup of its own.
    pub fn to_markdown(&self) -> String {
        let mut items: Vec<_> = self.items.iter().collect();
        items.sort_by(|a, b| {
            let score = |item: &AgendaItem| item.routing.assessment.score;
            score(b).cmp(&score(a)).then_with(|| a.change.cmp(&b.change))
        });
        let mut text = format!("# {}\n\n{}\n", escape(&self.meeting), self.at);
        for item in items {
            // Writing into a string never fails.
            let _ = write_item(&mut text, item);
        }
        text
    }
}

fn write_item(text: &mut String, item: &AgendaItem) -> std::fmt::Result {
    let AgendaItem { change, title, kind, requester, scope, subject, routing, deadline } = item;
    let services: Vec<_> = scope.services.iter().map(ToString::to_string).collect();
    let services = if services.is_empty() { "all services".into() } else { services.join(", ") };
    let region = scope.region.as_ref().map_or("all regions", |region| region.as_str());
    let assessment = &routing.assessment;
    writeln!(text, "\n## {}: {}\n", escape(change), escape(title))?;
    writeln!(text, "- {kind} change, asked for by {}", escape(requester.as_str()))?;
    let environment = scope.environment.as_ref().map_or("all environments", |id| id.as_str());
    let place = format!("{environment}, {services}, {region}");
    writeln!(text, "- in {}", escape(&place))?;
    writeln!(text, "- subject `{}`", subject.digest())?;
    writeln!(text, "- vote until {deadline}")?;
    let (score, worst, model) = (assessment.score, assessment.worst, assessment.model);
    writeln!(
        text,
        "- risk {score} of {worst} (model {model}; the board from {})\n",
        routing.cab_from
    )?;
    writeln!(text, "| factor | value | points | at worst |\n|---|---|---|---|")?;
    for given in &assessment.contributions {
        let value = given.value.map_or_else(|| "not known".to_owned(), |value| value.to_string());
        writeln!(text, "| {} | {value} | {} | {} |", given.factor, given.points, given.worst)?;
    }
    Ok(())
}

/// Keeps text on its line and from being markup.
fn escape(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            all.push(' ');
            continue;
        }
        if c.is_ascii_punctuation() && !matches!(c, ',' | '.' | ':' | '/' | '-' | '\'') {
            all.push('\\');
        }
        all.push(c);
    }
    all
}
