//! What is known of a run besides the request: numbers, words, and cases.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, Timestamp};
use release_core::port::Decision;
use serde::{Deserialize, Serialize};

use super::admit::Asked;
use super::case::{Case, GlassCase};
use super::set::PolicySet;
use crate::all_of::as_one;
use crate::approval::{ApprovalOutcome, Subject};
use crate::canonical::Canonical;

/// One thing that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum Fact {
    /// Whether something is so.
    Flag(bool),
    /// How much.
    Number(i64),
    /// Which.
    Text(String),
}

/// What a case comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) decision: Decision,
    /// When it was decided.
    pub(super) at: Timestamp,
    /// From then on it may be otherwise.
    pub(super) until: Option<Timestamp>,
    /// It is worth nothing for anything else; `None`: it is about no one thing.
    pub(super) about: Option<About>,
}

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct About {
    pub(super) plan: Digest,
    /// The rules under which it was given.
    pub(super) policy: Option<Digest>,
}

impl From<&Subject> for About {
    fn from(subject: &Subject) -> Self {
        Self { plan: subject.plan, policy: Some(subject.policy) }
    }
}

impl Answered {
    pub(super) fn of(outcome: &ApprovalOutcome) -> Self {
        let ApprovalOutcome { at, next_change: until, subject, .. } = outcome;
        let about = Some(About::from(subject));
        Self { decision: outcome.decision(), at: *at, until: *until, about }
    }

    /// About no one thing.
    pub(super) const fn free(decision: Decision, at: Timestamp, until: Option<Timestamp>) -> Self {
        Self { decision, at, until, about: None }
    }
}

/// What is known of a run. What is not in it is not known, and no rule takes it for anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    pub(super) values: BTreeMap<String, Fact>,
    cases: BTreeMap<String, Case>,
    directories: BTreeSet<Digest>,
}

impl Facts {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a fact; the last of one name counts.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, fact: Fact) -> Self {
        self.values.insert(name.into(), fact);
        self
    }

    /// What is known under a name.
    pub fn value(&self, name: &str) -> Option<&Fact> {
        self.values.get(name)
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, name: impl Into<String>, number: i64) -> Self {
        self.with(name, Fact::Number(number))
    }

    /// Adds a case, under the name that rules ask for it by; the last of one name counts. It is decided anew for
    /// each request, by the directory of [`PolicyBook::publish_directory`](super::PolicyBook::publish_directory).
    #[must_use]
    pub fn case(mut self, name: impl Into<String>, case: impl Into<Case>) -> Self {
        self.cases.insert(name.into(), case.into());
        self
    }

    /// What a case comes to now, by what `rules` define, if there is one of that name.
    pub(super) fn answered<'a>(
        &'a self,
        name: &'a str,
        rules: &PolicySet,
        asked: &Asked<'a>,
    ) -> Option<Answered> {
        let case = self.cases.get(name)?;
        let mut decided = asked.decided.borrow_mut();
        let answered = decided.entry(name).or_insert_with(|| case.answer(name, rules, asked));
        Some(answered.clone())
    }

    /// The cases about broken glass, by name.
    pub(super) fn glasses(&self) -> impl Iterator<Item = (&str, &GlassCase)> {
        self.cases.iter().filter_map(|(name, case)| match case {
            Case::Glass(glass) => Some((name.as_str(), &**glass)),
            _ => None,
        })
    }

    /// Adds the digest of a directory that people and roles were taken from.
    #[must_use]
    pub fn directory(mut self, digest: Digest) -> Self {
        self.directories.insert(digest);
        self
    }

    /// The digest of all directories that an answer is made from: those of the facts, and the one of the day.
    pub(super) fn directories(&self, directory: Option<Digest>) -> Option<Digest> {
        match directory {
            None => as_one(&self.directories),
            Some(directory) => {
                as_one(&self.directories.iter().copied().chain([directory]).collect())
            }
        }
    }

    /// The digest of all of them.
    pub fn digest(&self) -> Digest {
        let values =
            Canonical::new("release/facts/1").list(self.values.iter(), |all, (name, fact)| {
                let all = all.text(name);
                match fact {
                    Fact::Flag(flag) => all.text("flag").number(u8::from(*flag)),
                    Fact::Number(number) => all.text("number").number(*number),
                    Fact::Text(text) => all.text("text").text(text),
                }
            });
        let cases = values
            .list(self.cases.iter(), |all, (name, case)| all.text(name).digest(&case.digest()));
        cases.list(self.directories.iter(), Canonical::digest).finish()
    }
}
