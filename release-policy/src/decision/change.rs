//! Rules that change only when people agree to just these: who guards the guards.

use release_core::model::{ChangeScope, Timestamp};

use super::book::PolicyBook;
use super::case::ApprovalCase;
use super::set::PolicySet;
use crate::approval::{ApprovalOutcome, Part, Subject, evaluate};
use crate::canonical::Canonical;

/// Why other rules are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPublished {
    /// Nobody is said to agree to other rules.
    #[error("the rules of the day do not say who agrees to others; see `PolicySet::guarded_by`")]
    Unguarded,
    /// What was asked about is something else than these rules in the place of those of the day.
    #[error("the question is about another change; ask about `PolicyBook::change_to`")]
    OtherSubject {
        /// Where it differs.
        changed: Vec<Part>,
    },
    /// It was asked about some place alone, and rules are for everywhere.
    #[error(
        "the question is about a part of what the rules are for; ask about `ChangeScope::everywhere`, so that those \
         agree who may everywhere"
    )]
    OtherScope,
    /// They are not approved.
    #[error("these rules are not approved: {}", reasons(.0))]
    NotApproved(Box<ApprovalOutcome>),
}

fn reasons(outcome: &ApprovalOutcome) -> String {
    let decision = outcome.decision();
    decision.reasons().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl PolicySet {
    fn write(&self, all: Canonical) -> Canonical {
        all.digest(&self.digest()).maybe(self.calendar(), |all, digest| all.digest(&digest))
    }
}

impl PolicyBook {
    /// The change from the rules of the day to these, as something to be approved: rules, definitions, windows,
    /// rights and rules in Cedar of both, but not who holds which role; and how many changes the book has seen. So
    /// an approval is good for one change alone, and brings nothing back later. The count begins anew with each book: after a
    /// restart, old approvals should have expired.
    pub fn change_to(&self, head: &PolicySet) -> Subject {
        let (count, today) = self.today();
        change(count, &today, head)
    }

    /// Sets other rules for the day, as [`publish`](Self::publish) does, if those who are said to agree
    /// ([`PolicySet::guarded_by`] of the rules of the day) approve of just this change at `now`, by the directory of
    /// the day, who have to be asked about [everywhere](ChangeScope::everywhere). A directory that comes with the
    /// rights of `head` is not gone by: nobody approved that. A host that changes rules in no other way lets nobody
    /// change them alone.
    ///
    /// # Errors
    /// [`NotPublished`] says what is missing; then nothing changes.
    pub fn publish_approved(
        &self,
        head: PolicySet,
        case: &ApprovalCase,
        now: Timestamp,
    ) -> Result<ApprovalOutcome, NotPublished> {
        let ApprovalCase { question, facts } = case;
        let (count, today) = self.today();
        let changed: Vec<_> = question.subject.changed(&change(count, &today, &head)).collect();
        if !changed.is_empty() {
            return Err(NotPublished::OtherSubject { changed });
        }
        if !question.scope.contains(&ChangeScope::everywhere()) {
            return Err(NotPublished::OtherScope);
        }
        let quorum = today.guard().ok_or(NotPublished::Unguarded)?;
        let outcome =
            self.by_directory(|directory| evaluate(quorum, question, facts, directory, now));
        if !outcome.is_met() {
            return Err(NotPublished::NotApproved(Box::new(outcome)));
        }
        if !self.publish_after(count, head) {
            return Err(NotPublished::OtherSubject { changed: Part::ALL.to_vec() });
        }
        Ok(outcome)
    }
}

fn change(changes: u64, from: &PolicySet, to: &PolicySet) -> Subject {
    let begun = Canonical::new("release/rules-change/1").number(changes);
    let whole = to.write(from.write(begun)).finish();
    let (plan, artifacts, environment) = (whole, whole, whole);
    Subject { plan, artifacts, environment, policy: whole, evidence: whole }
}
