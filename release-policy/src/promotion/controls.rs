//! Which controls a change needs before it can be made, from the policy alone: nobody is asked, and nothing has
//! happened yet.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{
    ChangeScope, EnvironmentId, GateId, Principal, RoleId, ServiceId, Span, Timestamp, WindowId,
};
use release_core::plan::Place;
use serde::{Deserialize, Serialize};

use super::pipeline::{Condition, Criterion, Pipeline, StageSpec};
use crate::approval::ApprovalPolicy;
use crate::cab::Board;
use crate::change::{ChangeType, RiskInputs, RiskModel, Route, Routing, Standing};
use crate::emergency::Duty;
use crate::window::{ActionClass, Kind, NeverOpens, Query, Windows};

/// Who must agree on each route, and what is owed afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ControlPolicy(Written);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    risk: RiskModel,
    approvals: BTreeMap<Route, ApprovalPolicy>,
    board: Board,
    review: ReviewRule,
}

/// Who looks at an emergency afterwards, and by when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewRule {
    /// The role of the reviewer.
    pub reviewer: RoleId,
    /// How long after the change it is due.
    pub within: Span,
}

/// A control policy that leaves a route open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlPolicyError {
    /// A route needs approvals and has none.
    #[error(
        "controls/approvals: the {0:?} route has no quorum; name who approves, so that it is not open to anybody"
    )]
    NoApprovals(Route),
    /// What is owed would be overdue at once.
    #[error("controls/review: the review is due at once; give it time")]
    ReviewAtOnce,
}

impl ControlPolicy {
    /// A model of risk, who approves on each route, the board, and the review of emergencies.
    ///
    /// # Errors
    /// [`ControlPolicyError`] names the route without approvals: all need some but the standard one, which may.
    pub fn new(
        risk: RiskModel,
        approvals: BTreeMap<Route, ApprovalPolicy>,
        board: Board,
        review: ReviewRule,
    ) -> Result<Self, ControlPolicyError> {
        Written { risk, approvals, board, review }.try_into()
    }
}

impl TryFrom<Written> for ControlPolicy {
    type Error = ControlPolicyError;
    fn try_from(written: Written) -> Result<Self, ControlPolicyError> {
        let needed = [Route::Normal, Route::Cab, Route::Emergency];
        if let Some(open) = needed.iter().find(|route| !written.approvals.contains_key(route)) {
            return Err(ControlPolicyError::NoApprovals(*open));
        }
        if written.review.within == Span::ZERO {
            return Err(ControlPolicyError::ReviewAtOnce);
        }
        Ok(Self(written))
    }
}

impl From<ControlPolicy> for Written {
    fn from(policy: ControlPolicy) -> Self {
        policy.0
    }
}

/// A change that somebody thinks of making.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// What it is asked for as.
    pub kind: ChangeType,
    /// Where.
    pub scope: &'a ChangeScope,
    /// What is done there.
    pub action: ActionClass,
    /// Who would make it.
    pub by: &'a Principal,
    /// What is known of its risk.
    pub risk: &'a RiskInputs,
    /// How its template stands.
    pub template: &'a Standing,
}

/// One control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Control {
    /// People agree.
    Approval {
        /// The criterion that asks for it; `None` when the route does.
        gate: Option<GateId>,
        /// Who, and for how long.
        policy: Box<ApprovalPolicy>,
    },
    /// The board agrees.
    Board {
        /// The board.
        board: Board,
    },
    /// A freeze must be over, or a deployment window open, when it begins.
    Window {
        /// Which.
        window: WindowId,
        /// Whether it denies or permits.
        kind: Kind,
    },
    /// Evidence must be there.
    Evidence {
        /// The criterion.
        criterion: Box<Criterion>,
    },
    /// Somebody else looks at it afterwards.
    Review {
        /// What is owed.
        duty: Duty,
        /// By whom, and by when.
        rule: ReviewRule,
    },
}

/// Everything that a change needs, and how that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "controls that nobody reads control nothing"]
pub struct Controls {
    /// The route, with the score that led to it.
    pub routing: Routing,
    /// What is needed, in the order: people, evidence, windows, what is owed.
    pub needed: Vec<Control>,
    /// The first instant at which windows let it begin, or why they never do.
    pub opens: Result<Timestamp, NeverOpens>,
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approval { gate: Some(gate), .. } => write!(f, "the approvals of `{gate}`"),
            Self::Approval { gate: None, .. } => f.write_str("the approvals of its route"),
            Self::Board { .. } => f.write_str("the decision of the board"),
            Self::Window { window, kind: Kind::Freeze } => write!(f, "no freeze `{window}`"),
            Self::Window { window, kind: Kind::Deployment } => {
                write!(f, "deployment window `{window}` or another")
            }
            Self::Evidence { criterion } => write!(f, "the evidence of `{}`", criterion.id),
            Self::Review { rule, .. } => {
                write!(f, "a review by `{}` within {}", rule.reviewer, rule.within)
            }
        }
    }
}

/// Which controls a change needs before it can be made at `now`, or at the first opening after.
///
/// It is what admission will ask for, seen beforehand: the approvals of its route and, on the board's route, the
/// board; the entry criteria of its environment's stage; every window that concerns it; and what an emergency owes.
/// Controls are never fewer because something is not known: what is not known of a risk counts as the worst.
pub fn required_controls(
    policy: &ControlPolicy,
    pipeline: &Pipeline,
    windows: &Windows,
    change: &Change<'_>,
    now: Timestamp,
) -> Controls {
    let ControlPolicy(Written { risk, approvals, board, review }) = policy;
    let routing = risk.route(change.risk, change.kind, change.template);
    let mut needed = Vec::new();
    if let Some(policy) = approvals.get(&routing.route) {
        needed.push(Control::Approval { gate: None, policy: Box::new(policy.clone()) });
    }
    if routing.route == Route::Cab {
        needed.push(Control::Board { board: board.clone() });
    }
    // What concerns the whole release concerns every stage.
    let environment = change.scope.environment.as_ref();
    let here = |stage: &&StageSpec| environment.is_none_or(|one| stage.environment == *one);
    for criterion in pipeline.stages().filter(here).flat_map(|stage| &stage.entry) {
        needed.push(match &criterion.condition {
            Condition::Approval(policy) => {
                Control::Approval { gate: Some(criterion.id.clone()), policy: policy.clone() }
            }
            _ => Control::Evidence { criterion: Box::new(criterion.clone()) },
        });
    }
    let places = places(change.scope, pipeline);
    let concerned = windows.iter().map(crate::window::Window::spec).filter(|spec| {
        let here = places
            .iter()
            .any(|place| spec.scope.overlap(Some(place)) != crate::window::Overlap::Apart);
        here && spec.actions.contains(&change.action) && spec.invokers.concerns(change.by)
    });
    needed
        .extend(concerned.map(|spec| Control::Window { window: spec.id.clone(), kind: spec.kind }));
    if routing.route == Route::Emergency {
        needed.push(Control::Review { duty: Duty::EmergencyReviewed, rule: review.clone() });
    }
    Controls { routing, needed, opens: opens(windows, change, &places, now) }
}

/// The places of a change: each of its services, or all of them, in its environment or in every stage.
fn places(scope: &ChangeScope, pipeline: &Pipeline) -> Vec<Place> {
    let environments: Vec<_> = match &scope.environment {
        Some(environment) => vec![environment],
        None => pipeline.stages().map(|stage| &stage.environment).collect(),
    };
    let services: Vec<_> = if scope.services.is_empty() {
        vec![None]
    } else {
        scope.services.iter().cloned().map(Some).collect()
    };
    let of = |environment: &EnvironmentId, service: &Option<ServiceId>| {
        let mut place = Place::new(environment.clone());
        place.region.clone_from(&scope.region);
        place.service.clone_from(service);
        place
    };
    let pairs = environments.iter().flat_map(|one| services.iter().map(move |two| (*one, two)));
    pairs.map(|(environment, service)| of(environment, service)).collect()
}

/// The first instant at which all places are open at once.
fn opens(
    windows: &Windows,
    change: &Change<'_>,
    places: &[Place],
    now: Timestamp,
) -> Result<Timestamp, NeverOpens> {
    let mut at = now;
    for _ in 0..MAX_LOOKS {
        let before = at;
        for place in places {
            let query = Query::new(change.action, change.by, at).place(place);
            at = windows.next_open(&query)?;
        }
        if at == before {
            return Ok(at);
        }
    }
    Err(NeverOpens::GivenUp { until: at })
}

/// How often openings of several services are compared for one answer.
const MAX_LOOKS: usize = 10_000;
