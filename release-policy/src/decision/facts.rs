//! What is known of a run besides the request: numbers, words, and what approvals came to.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, Timestamp};
use release_core::port::{Decision, Reason};
use serde::{Deserialize, Serialize};

use super::case::Case;
use super::set::Asked;
use crate::all_of::as_one;
use crate::approval::{ApprovalOutcome, Subject};
use crate::cab::BoardOutcome;
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

/// What a case came to when it was last decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) decision: Decision,
    /// When that was.
    pub(super) at: Timestamp,
    /// From then on it may be otherwise.
    pub(super) until: Option<Timestamp>,
    /// It is worth nothing for anything else; `None`: it is about no one thing.
    pub(super) subject: Option<Subject>,
}

impl Answered {
    pub(super) fn of(outcome: &ApprovalOutcome) -> Self {
        let ApprovalOutcome { at, next_change: until, subject, .. } = *outcome;
        Self { decision: outcome.decision(), at, until, subject: Some(subject) }
    }

    fn write(&self, all: Canonical) -> Canonical {
        let answer = match self.decision {
            Decision::Permit { .. } => "met",
            Decision::Wait { .. } => "open",
            Decision::Deny { .. } => "denied",
        };
        all.text(answer)
            .maybe(self.subject, |all, subject| all.digest(&subject.digest()))
            .number(self.at.as_micros())
            .maybe(self.until, |all, at| all.number(at.as_micros()))
            .list(self.decision.reasons().iter(), |all, reason| {
                let Reason { rule, text, lifted_by, .. } = reason;
                all.text(rule).text(text).text(lifted_by)
            })
    }
}

/// What is known of a case: all of it, or what it came to elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Case(Box<Case>),
    Answer(Box<Answered>),
}

/// What is known of a run. What is not in it is not known, and no rule takes it for anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    pub(super) values: BTreeMap<String, Fact>,
    cases: BTreeMap<String, Known>,
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
        self.cases.insert(name.into(), Known::Case(Box::new(case.into())));
        self
    }

    /// Adds what an approval came to elsewhere, as [`case`](Self::case) adds one that is decided here. It holds
    /// until [`ApprovalOutcome::next_change`], and for the plan and the rules of its subject alone.
    #[must_use]
    pub fn approval(self, name: impl Into<String>, outcome: &ApprovalOutcome) -> Self {
        let stamp = outcome.directory;
        self.answer(name.into(), stamp.map(|stamp| stamp.digest), Answered::of(outcome))
    }

    /// Adds what a board came to elsewhere about `subject`, likewise. What it asks for besides is for the host to
    /// see to ([`BoardOutcome::gates`]); of a [case](Self::case), it is seen to here.
    #[must_use]
    pub fn board(self, name: impl Into<String>, outcome: &BoardOutcome, subject: Subject) -> Self {
        let (at, until) = (outcome.at, outcome.next_change);
        let decision = if outcome.subject == subject.digest() {
            outcome.decision()
        } else {
            let text = "the board was asked about something else";
            Decision::wait(None, vec![Reason::new("board/other", text, "the board, asked anew")])
        };
        let answered = Answered { decision, at, until, subject: Some(subject) };
        self.answer(name.into(), outcome.directory.map(|stamp| stamp.digest), answered)
    }

    fn answer(mut self, name: String, directory: Option<Digest>, answered: Answered) -> Self {
        self.directories.extend(directory);
        self.cases.insert(name, Known::Answer(Box::new(answered)));
        self
    }

    /// What a case comes to now, if there is one of that name.
    pub(super) fn answered<'a>(
        &'a self,
        name: &'a str,
        asked: &Asked<'a>,
    ) -> Option<Cow<'a, Answered>> {
        Some(match self.cases.get(name)? {
            Known::Answer(answered) => Cow::Borrowed(&**answered),
            Known::Case(case) => {
                let mut decided = asked.decided.borrow_mut();
                let answered = decided.entry(name).or_insert_with(|| case.answer(asked));
                Cow::Owned(answered.clone())
            }
        })
    }

    /// Adds the digest of a directory that people and roles were taken from.
    #[must_use]
    pub fn directory(mut self, digest: Digest) -> Self {
        self.directories.insert(digest);
        self
    }

    /// The digest of all directories that they were taken from; cases are decided by `directory`.
    pub(super) fn directories(&self, directory: Option<Digest>) -> Option<Digest> {
        let decides = self.cases.values().any(|known| matches!(known, Known::Case(_)));
        match directory.filter(|_| decides) {
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
        let cases = values.list(self.cases.iter(), |all, (name, known)| match known {
            Known::Case(case) => all.text(name).text("case").digest(&case.digest()),
            Known::Answer(answered) => answered.write(all.text(name)),
        });
        cases.list(self.directories.iter(), Canonical::digest).finish()
    }
}
