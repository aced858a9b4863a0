//! Rules that change only when people agree to just these: who guards the guards.

use release_core::model::{Digest, Timestamp};

use super::book::PolicyBook;
use super::case::ApprovalCase;
use super::set::PolicySet;
use crate::approval::{ApprovalOutcome, Part, Subject, evaluate};
use crate::canonical::Canonical;

/// Why other rules are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPublished {
    /// What was asked about is something else than these rules.
    #[error(
        "the question is about something else than these rules; ask about `PolicySet::as_subject`"
    )]
    OtherSubject {
        /// Where it differs.
        changed: Vec<Part>,
    },
    /// They are not approved.
    #[error("these rules are not approved: {}", reasons(.0))]
    NotApproved(Box<ApprovalOutcome>),
}

fn reasons(outcome: &ApprovalOutcome) -> String {
    let decision = outcome.decision();
    decision.reasons().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl PolicySet {
    /// The set as something to be approved: its rules, windows, rights and rules in Cedar, but not who holds
    /// which role.
    pub fn as_subject(&self) -> Subject {
        let of = |all: Canonical, digest: &Digest| all.digest(digest);
        let parts = self.parts();
        let all = Canonical::new("release/rules/1")
            .list(parts.iter(), |all, part| all.maybe(part.as_ref(), of));
        let whole = all.finish();
        Subject {
            plan: whole,
            artifacts: whole,
            environment: whole,
            policy: whole,
            evidence: whole,
        }
    }
}

impl PolicyBook {
    /// Sets other rules for the day, as [`publish`](Self::publish) does, if people approve of just these at `now`,
    /// by the directory of the day. A host that changes rules in no other way lets nobody change them alone.
    ///
    /// # Errors
    /// [`NotPublished`] says what is missing; then nothing changes.
    pub fn publish_approved(
        &self,
        head: PolicySet,
        case: &ApprovalCase,
        now: Timestamp,
    ) -> Result<ApprovalOutcome, NotPublished> {
        let ApprovalCase { policy, question, facts } = case;
        let changed: Vec<_> = question.subject.changed(&head.as_subject()).collect();
        if !changed.is_empty() {
            return Err(NotPublished::OtherSubject { changed });
        }
        let outcome =
            self.by_directory(|directory| evaluate(policy, question, facts, directory, now));
        if !outcome.is_met() {
            return Err(NotPublished::NotApproved(Box::new(outcome)));
        }
        self.publish(head);
        Ok(outcome)
    }
}
