//! Leave from a window: for some people, some place and some time, granted by somebody else.

use std::collections::BTreeSet;

use release_core::model::{PrincipalId, RunId, Span, Timestamp, WaiverId, WindowId};
use serde::{Deserialize, Serialize};

use super::{ActionClass, Overlap, Query, Scope, WaiverError, WaiverProblem};

/// The longest waiver: 30 days.
const MAX: Span = Span::secs(30 * 86_400);

/// A waiver as it is written down, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaiverSpec {
    /// Its name.
    pub id: WaiverId,
    /// The window that it gives leave from; all others hold.
    pub window: WindowId,
    /// The people who have it. Roles cannot: a waiver is personal.
    pub principals: BTreeSet<PrincipalId>,
    /// Where it holds.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// What it is for; empty: whatever the window concerns.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub actions: BTreeSet<ActionClass>,
    /// Only for this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The first instant at which it holds.
    pub from: Timestamp,
    /// The first instant at which it no longer holds.
    pub until: Timestamp,
    /// Who granted it.
    pub granted_by: PrincipalId,
    /// Why.
    pub reason: String,
}

/// A waiver that is sound in itself: it is for somebody, ends within 30 days, says why, and nobody gave
/// it to themselves. That nobody did so by another account is looked at when it is used, by whoever knows
/// who is who ([`Query::knowing`]). Whether whoever granted it may do so is for roles to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WaiverSpec", into = "WaiverSpec")]
pub struct Waiver(WaiverSpec);

impl TryFrom<WaiverSpec> for Waiver {
    type Error = WaiverError;
    fn try_from(spec: WaiverSpec) -> Result<Self, WaiverError> {
        let WaiverSpec { principals, from, until, granted_by, reason, .. } = &spec;
        let problem = if principals.is_empty() {
            WaiverProblem::Nobody
        } else if principals.contains(granted_by) {
            WaiverProblem::SelfGranted(granted_by.clone())
        } else if reason.trim().is_empty() {
            WaiverProblem::NoReason
        } else if until <= from {
            WaiverProblem::Empty { from: *from, until: *until }
        } else if until.since(*from) > MAX {
            WaiverProblem::TooLong(MAX)
        } else {
            return Ok(Self(spec));
        };
        Err(WaiverError { waiver: spec.id, problem })
    }
}

impl From<Waiver> for WaiverSpec {
    fn from(waiver: Waiver) -> Self {
        waiver.0
    }
}

impl Waiver {
    /// As it is written.
    pub const fn spec(&self) -> &WaiverSpec {
        &self.0
    }

    /// Whether it holds at an instant, in microseconds.
    pub(super) fn holds(&self, at: i64) -> bool {
        (self.0.from.as_micros()..self.0.until.as_micros()).contains(&at)
    }

    /// Whether it gives leave for what is asked, at some time.
    pub(super) fn is_for(&self, query: &Query<'_>) -> bool {
        let WaiverSpec { principals, scope, actions, run, granted_by, .. } = &self.0;
        principals.contains(&query.by.id)
            && !query.is_by(granted_by)
            && (actions.is_empty() || actions.contains(&query.action))
            && run.as_ref().is_none_or(|run| query.run == Some(run))
            && scope.overlap(query.place) == Overlap::Whole
    }
}
