//! What is known of a run besides the request: numbers, words, and what approvals came to.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, Timestamp};
use release_core::port::{Decision, Reason};
use serde::{Deserialize, Serialize};

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

/// What an approval came to when it was last asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Approved {
    pub(super) decision: Decision,
    /// When that was.
    pub(super) at: Timestamp,
    /// From then on it may be otherwise.
    pub(super) until: Option<Timestamp>,
    /// It is worth nothing for anything else.
    pub(super) subject: Subject,
}

/// What is known of a run. What is not in it is not known, and no rule takes it for anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    pub(super) values: BTreeMap<String, Fact>,
    pub(super) approvals: BTreeMap<String, Approved>,
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

    /// Adds a number.
    #[must_use]
    pub fn number(self, name: impl Into<String>, number: i64) -> Self {
        self.with(name, Fact::Number(number))
    }

    /// Adds what an approval came to, under the name that rules ask for it by; the last of one name counts.
    /// Whoever can, sets the approval anew for each decision. It holds until
    /// [`ApprovalOutcome::next_change`], and for the plan and the rules of its subject alone.
    #[must_use]
    pub fn approval(mut self, name: impl Into<String>, outcome: &ApprovalOutcome) -> Self {
        self.directories.extend(outcome.directory.as_ref().map(|stamp| stamp.digest));
        let ApprovalOutcome { at, next_change: until, subject, .. } = *outcome;
        let approved = Approved { decision: outcome.decision(), at, until, subject };
        self.approvals.insert(name.into(), approved);
        self
    }

    /// Adds what a board came to about `subject`, as an approval. It holds until `until`: whoever can, asks the
    /// board anew for each decision, since members may have left.
    #[must_use]
    pub fn board(
        mut self,
        name: impl Into<String>,
        outcome: &BoardOutcome,
        subject: Subject,
        until: Timestamp,
    ) -> Self {
        self.directories.extend(outcome.directory.as_ref().map(|stamp| stamp.digest));
        let (at, until) = (outcome.at, Some(until));
        let decision = if outcome.subject == subject.digest() {
            outcome.decision()
        } else {
            let text = "the board was asked about something else";
            Decision::wait(None, vec![Reason::new("board/other", text, "the board, asked anew")])
        };
        self.approvals.insert(name.into(), Approved { decision, at, until, subject });
        self
    }

    /// Adds the digest of a directory that people and roles were taken from.
    #[must_use]
    pub fn directory(mut self, digest: Digest) -> Self {
        self.directories.insert(digest);
        self
    }

    /// The digest of all directories that they were taken from.
    pub(super) fn directories(&self) -> Option<Digest> {
        as_one(&self.directories)
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
        let approvals = values.list(self.approvals.iter(), |all, (name, approved)| {
            let answer = match approved.decision {
                Decision::Permit { .. } => "met",
                Decision::Wait { .. } => "open",
                Decision::Deny { .. } => "denied",
            };
            all.text(name)
                .text(answer)
                .digest(&approved.subject.digest())
                .number(approved.at.as_micros())
                .maybe(approved.until, |all, at| all.number(at.as_micros()))
                .list(approved.decision.reasons().iter(), |all, reason| {
                    let Reason { rule, text, lifted_by, .. } = reason;
                    all.text(rule).text(text).text(lifted_by)
                })
        });
        approvals.list(self.directories.iter(), Canonical::digest).finish()
    }
}
