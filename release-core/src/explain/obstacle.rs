//! What can stand between a step and its end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{GateId, RoleId, StepId};
use crate::model::Approval;
use crate::port::{EffectError, Reason};
use crate::run::{Cause, Mode, Status, StepRef};
use crate::time::Timestamp;

/// One reason why a step has not started or not finished, and what would lift it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// What it is.
    pub kind: ObstacleKind,
    /// The same for people, in one line.
    pub text: String,
    /// What would lift it, for people.
    pub lifted_by: String,
    /// Who can.
    pub who: Lifter,
    /// The earliest instant at which it can change, as things stand. `None`: no instant binds it, it
    /// changes as soon as `who` acts.
    pub earliest: Option<Timestamp>,
}

/// Who or what can lift an obstacle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lifter {
    /// Time alone.
    Time,
    /// Other steps, by being done.
    Steps,
    /// The provider that performs the step, by answering; or the step's deadline.
    Provider,
    /// Effects under way, by ending.
    Effects,
    /// A person with one of these roles; anybody whom the policy lets, if there are none.
    Person {
        /// The roles of which one is needed.
        roles: Vec<RoleId>,
    },
    /// Whoever owns the rules that hold it; see their reasons.
    PolicyOwner,
    /// Those who have what it needs, by giving it back.
    Permits,
    /// The engine, which asks the policy again from time to time, or when it is told to.
    Engine,
    /// Nobody, in this run.
    Nobody,
}

/// What stands between a step and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ObstacleKind {
    /// A step that it waits for is not done.
    Dependency {
        /// That step.
        step: StepRef,
        /// How it stands.
        status: Status,
    },
    /// The run is paused.
    Paused,
    /// A gate lacks approvals.
    Approval {
        /// The gate.
        gate: GateId,
        /// Approvals that count so far.
        have: u32,
        /// How many are needed.
        quorum: u32,
    },
    /// A gate was rejected: the step fails when its turn comes.
    Rejected {
        /// The gate.
        gate: GateId,
        /// By whom, and why.
        text: String,
    },
    /// What came before must be in place for some time first.
    Soak {
        /// Until when, if the step were considered for the first time now and not earlier.
        until: Timestamp,
    },
    /// It may not start before an instant.
    NotBefore {
        /// The instant.
        at: Timestamp,
    },
    /// The policy does not let it start.
    Policy {
        /// Whether it denies, rather than having it wait.
        denied: bool,
        /// Why: all reasons.
        reasons: Vec<Reason>,
    },
    /// The platform's limits do not let it start.
    Permits {
        /// Why, as the ledger of permits says: all limits and quotas in the way. Where it was not asked,
        /// as it said to the step that waits.
        reasons: Vec<Reason>,
    },
    /// Nothing holds it any more, but it is only looked at later.
    AskedAgain {
        /// When, if an instant is set; else within half a minute while an engine drives the run.
        at: Option<Timestamp>,
    },
    /// As many effects are under way as may be.
    Places {
        /// How many may be under way.
        limit: u32,
        /// How many are.
        in_flight: u32,
        /// How many steps take a free place first, counted up to a thousand.
        ahead: u32,
    },
    /// An attempt failed without effect, and the next is due later.
    Retry {
        /// When.
        at: Timestamp,
        /// What failed.
        error: Option<EffectError>,
    },
    /// An analysis measures again later.
    Measurement {
        /// When.
        at: Timestamp,
        /// How many good measurements are still needed.
        left: u32,
    },
    /// Its effect is under way.
    UnderWay {
        /// Which attempt, from 1.
        attempt: u32,
        /// Whether it acts or only looks.
        mode: Mode,
        /// When it is given up, and looked for.
        deadline: Timestamp,
    },
    /// Its bake time is not over.
    Bake {
        /// When it is.
        until: Timestamp,
    },
    /// Nobody knows whether its effect took place; it is looked for later.
    OutcomeUnknown {
        /// When.
        at: Timestamp,
        /// Why it is unknown.
        error: Option<EffectError>,
    },
    /// It cannot be found out whether its effect took place: a person must say.
    NeedsReconcile {
        /// Why it is unknown.
        error: Option<EffectError>,
    },
    /// It failed for good.
    Failed {
        /// Whether somebody can retry it in this run.
        held: bool,
        /// What failed, as far as it is known.
        error: Option<EffectError>,
    },
    /// The run stops. It goes on only if its rollback meets a point of no return.
    Stopping {
        /// Why.
        cause: Cause,
    },
    /// It is not started any more: the run rolls back, was given up or is over.
    GivenUp {
        /// What the run does or how it ended, for people.
        run: String,
    },
    /// It calls people when a rollback cannot go on, and none needs them.
    NotCalled,
}

impl ObstacleKind {
    /// A stable word for it: the `type` of its serialised form.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dependency { .. } => "dependency",
            Self::Paused => "paused",
            Self::Approval { .. } => "approval",
            Self::Rejected { .. } => "rejected",
            Self::Soak { .. } => "soak",
            Self::NotBefore { .. } => "not_before",
            Self::Policy { .. } => "policy",
            Self::Permits { .. } => "permits",
            Self::AskedAgain { .. } => "asked_again",
            Self::Places { .. } => "places",
            Self::Retry { .. } => "retry",
            Self::Measurement { .. } => "measurement",
            Self::UnderWay { .. } => "under_way",
            Self::Bake { .. } => "bake",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::NeedsReconcile { .. } => "needs_reconcile",
            Self::Failed { .. } => "failed",
            Self::Stopping { .. } => "stopping",
            Self::GivenUp { .. } => "given_up",
            Self::NotCalled => "not_called",
        }
    }

    /// Whose reasons there are, of a policy or of limits.
    const fn whose(&self) -> &'static str {
        match self {
            Self::Policy { denied: true, .. } => "the policy denies it",
            Self::Policy { denied: false, .. } => "the policy holds it",
            _ => "it waits for permits",
        }
    }

    /// Who lifts it, what would, and when at the earliest.
    fn lift(&self) -> (Lifter, String, Option<Timestamp>) {
        let person = || Lifter::Person { roles: Vec::new() };
        let by_time = |at: &Timestamp| (Lifter::Time, "time".to_owned(), Some(*at));
        match self {
            Self::Dependency { step, .. } => {
                (Lifter::Steps, format!("`{}` being done", step.id), None)
            }
            Self::Paused => (person(), "whoever resumes the run".into(), None),
            Self::Approval { gate, .. } => (person(), format!("approvals of `{gate}`"), None),
            Self::Rejected { .. } => {
                (person(), "whoever retries it once it failed, and a new vote".into(), None)
            }
            Self::Soak { until: at }
            | Self::NotBefore { at }
            | Self::Retry { at, .. }
            | Self::Measurement { at, .. }
            | Self::Bake { until: at }
            | Self::OutcomeUnknown { at, .. } => by_time(at),
            Self::Policy { reasons, .. } => (Lifter::PolicyOwner, lifted_by(reasons), None),
            Self::Permits { reasons } => (Lifter::Permits, lifted_by(reasons), None),
            Self::AskedAgain { .. } => (Lifter::Engine, "asking the policy again".into(), None),
            Self::Places { .. } => {
                (Lifter::Effects, "effects under way coming to an end".into(), None)
            }
            Self::UnderWay { deadline, .. } => {
                let by = format!("the provider's answer; given up at {deadline} and looked for");
                (Lifter::Provider, by, None)
            }
            Self::NeedsReconcile { .. } => {
                (person(), "whoever finds out and reconciles it".into(), None)
            }
            Self::Failed { held: true, .. } => (person(), "whoever retries it".into(), None),
            Self::NotCalled => (Lifter::Nobody, "a rollback that gets stuck".into(), None),
            Self::Failed { held: false, .. } | Self::Stopping { .. } | Self::GivenUp { .. } => {
                (Lifter::Nobody, "nobody; start a new run".into(), None)
            }
        }
    }
}

fn lifted_by(reasons: &[Reason]) -> String {
    reasons.iter().map(|reason| reason.lifted_by.as_str()).collect::<Vec<_>>().join("; ")
}

impl Obstacle {
    pub(super) fn new(kind: ObstacleKind) -> Self {
        let (who, lifted_by, earliest) = kind.lift();
        Self { text: kind.to_string(), kind, lifted_by, who, earliest }
    }

    /// A gate that lacks approvals; of those that it has, the first ends at `until`.
    pub(super) fn approval(wanted: &Approval, have: u32, until: Option<Timestamp>) -> Self {
        let Approval { id, quorum, roles, requester_may_approve, valid_for } = wanted;
        let kind = ObstacleKind::Approval { gate: id.clone(), have, quorum: *quorum };
        let names: Vec<_> = roles.iter().map(ToString::to_string).collect();
        let who = if names.is_empty() { "anybody".to_owned() } else { names.join(" or ") };
        let but = if *requester_may_approve { "" } else { " but whoever requested the run" };
        let each = valid_for.map(|span| format!(", each of which holds for {span}"));
        let there = until.filter(|_| have > 0);
        let there = there.map(|at| format!("; what is there holds until {at}"));
        let (each, there) = (each.unwrap_or_default(), there.unwrap_or_default());
        let lacks = quorum.saturating_sub(have);
        let lifted_by = format!("{lacks} more by {who}{but}{each}{there}");
        Self { lifted_by, who: Lifter::Person { roles: roles.clone() }, ..Self::new(kind) }
    }

    pub(super) const fn not_before(mut self, at: Option<Timestamp>) -> Self {
        self.earliest = at;
        self
    }

    /// Whether nothing and nobody can lift it in this run.
    pub const fn is_final(&self) -> bool {
        matches!(self.who, Lifter::Nobody)
    }
}

impl fmt::Display for Obstacle {
    /// One line; several reasons of a policy or of limits stand on a line each, with what lifts each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = match &self.kind {
            ObstacleKind::Policy { reasons, .. } | ObstacleKind::Permits { reasons } => {
                Some(reasons).filter(|reasons| reasons.len() > 1)
            }
            _ => None,
        };
        let Some(reasons) = several else {
            write!(f, "{} (lifted by {}", self.text, self.lifted_by)?;
            if let Some(at) = self.earliest {
                write!(f, "; not before {at}")?;
            }
            return f.write_str(")");
        };
        f.write_str(self.kind.whose())?;
        if let Some(at) = self.earliest {
            write!(f, " (by time alone, not before {at})")?;
        }
        f.write_str(":")?;
        reasons.iter().try_for_each(|reason| write!(f, "\n  - {reason}"))
    }
}

/// What failed, behind what it led to.
struct Because<'a>(&'a Option<EffectError>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |error| write!(f, ": {}: {error}", error.kind))
    }
}

impl fmt::Display for ObstacleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dependency { step: StepRef { id, .. }, status } => dependency(f, id, *status),
            Self::Paused => f.write_str("the run is paused"),
            Self::Approval { gate, have, quorum } => {
                write!(f, "gate `{gate}` has {have} of {quorum} approvals")
            }
            Self::Rejected { text, .. } => write!(f, "{text}; the step fails when its turn comes"),
            Self::Soak { until } => {
                write!(f, "what came before must have been in place until {until}")
            }
            Self::NotBefore { at } => write!(f, "it may not start before {at}"),
            Self::Policy { reasons, .. } | Self::Permits { reasons } => {
                f.write_str(self.whose())?;
                list(f, reasons)
            }
            Self::AskedAgain { at: Some(at) } => {
                write!(f, "nothing holds it any more; it is looked at again at {at}")
            }
            Self::AskedAgain { at: None } => {
                f.write_str("nothing holds it any more; it is looked at again soon")
            }
            Self::Places { limit, in_flight, ahead } => {
                write!(f, "{in_flight} of {limit} effects are under way")?;
                if *ahead > 0 { write!(f, ", and {ahead} steps come first") } else { Ok(()) }
            }
            Self::Retry { at, error } => write!(f, "it is tried again at {at}{}", Because(error)),
            Self::Measurement { at, left } => {
                write!(f, "it measures again at {at}; {left} good measurements are needed")
            }
            Self::UnderWay { attempt, mode: Mode::Perform, .. } => {
                write!(f, "attempt {attempt} is under way")
            }
            Self::UnderWay { attempt, mode: Mode::Look, .. } => {
                write!(f, "it is being looked for, in attempt {attempt}")
            }
            Self::Bake { until } => write!(f, "it bakes until {until}"),
            Self::OutcomeUnknown { at, error } => {
                let because = Because(error);
                write!(f, "nobody knows whether it took effect; it is looked for at {at}{because}")
            }
            Self::NeedsReconcile { error } => {
                write!(f, "a person must say whether it took effect{}", Because(error))
            }
            Self::Failed { error, .. } => write!(f, "it failed{}", Because(error)),
            Self::Stopping { cause } => write!(f, "the run stops: {cause}"),
            Self::GivenUp { run } => write!(f, "it is not started any more: the run {run}"),
            Self::NotCalled => f.write_str("it calls people, and nobody is needed"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, reasons: &[Reason]) -> fmt::Result {
    let each = |(i, Reason { rule, text, .. }): (usize, &Reason)| {
        write!(f, "{} {rule}: {text}", if i == 0 { ":" } else { ";" })
    };
    reasons.iter().enumerate().try_for_each(each)
}

fn dependency(f: &mut fmt::Formatter<'_>, id: &StepId, status: Status) -> fmt::Result {
    write!(f, "it waits for `{id}`, which is {}", status.name())
}
