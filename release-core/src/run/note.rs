//! What hosts keep with a run: statements of people and systems that policies go by, in the run's own
//! journal.

use serde_json::Value;

use super::command::{Directive, Rejected};
use super::digest::Mix;
use super::event::Event;
use super::state::RunState;
use crate::bounds;
use crate::ids::TopicId;
use crate::model::Principal;
use crate::time::Timestamp;

/// The most notes of one run.
pub const MAX_NOTES: usize = 1_000;

/// Something that somebody said of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// What it is about.
    pub topic: TopicId,
    /// What was said, as the host writes it.
    pub content: Value,
    /// Who said it.
    pub by: Principal,
    /// When it was journaled.
    pub at: Timestamp,
}

/// The notes of a run in order, with a sum over them for the digest of its state.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    all: Vec<Note>,
    pub(super) sum: u64,
}

impl Notes {
    pub(super) fn add(&mut self, note: Note) {
        self.sum = add(self.sum, &note);
        self.all.push(note);
    }

    pub(super) fn recount(&self) -> u64 {
        self.all.iter().fold(0, add)
    }
}

fn add(sum: u64, note: &Note) -> u64 {
    let Note { topic, content, by, at } = note;
    Mix::new(sum)
        .text(topic.as_str())
        .text(&bounds::sorted(content).to_string())
        .principal(by)
        .at(*at)
        .end()
}

impl RunState {
    /// What was said of the run, in the order in which it was.
    pub fn notes(&self) -> &[Note] {
        &self.notes.all
    }
}

/// Keeps a note, if it can be kept.
pub(super) fn note(
    state: &RunState,
    topic: &TopicId,
    content: &Value,
    directive: &Directive,
) -> Result<Event, Rejected> {
    bounds::json(content).map_err(|problem| Rejected::BadNote { topic: topic.clone(), problem })?;
    if state.notes.all.len() >= MAX_NOTES {
        return Err(Rejected::TooManyNotes { limit: MAX_NOTES });
    }
    let (topic, content) = (topic.clone(), content.clone());
    let Directive { by, reason, .. } = directive;
    Ok(Event::Noted { topic, content, by: by.clone(), reason: reason.clone() })
}
