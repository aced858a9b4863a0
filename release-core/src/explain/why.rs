//! Why was it decided so? The inputs of any event, found in the records before it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::grounds::Search;
use super::travel::{Position, TravelError, records, state_at};
use crate::ids::{GateId, RunId};
use crate::journal::History;
use crate::model::Principal;
use crate::plan::FrozenPlan;
use crate::port::{Basis, EffectError, Evidence, Inputs, Reason};
use crate::run::{Event, Fact, Mode, Status, StepRef};
use crate::time::Timestamp;

/// An event, the state that it was decided in, and what decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "an explanation that nobody reads explains nothing"]
pub struct Why {
    /// The run.
    pub run: RunId,
    /// The event's place in the run, from 1.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
    /// How things stood just before; nothing for the run's creation. All of that state is
    /// [`state_at`] the record before.
    pub before: Option<Before>,
    /// What decided it, in the order of the journal where it stands there.
    pub grounds: Vec<Ground>,
}

/// How things stood just before an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What the run as a whole did: [`Phase::name`](crate::run::Phase::name).
    pub phase: String,
    /// Whether it was paused.
    pub paused: bool,
    /// How many effects were under way.
    pub in_flight: u32,
    /// How the step stood that the event is about.
    pub step: Option<Status>,
}

/// One input of a decision. `seq` is the record in which it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ground {
    /// Somebody asked for it.
    Asked {
        /// Who.
        by: Principal,
        /// Why, if they said.
        reason: Option<String>,
    },
    /// An engine did it by itself when it took the run over.
    Engine {
        /// The engine, as its host calls it.
        engine: String,
    },
    /// An attempt ended.
    Answer {
        /// The record that started it.
        seq: u64,
        /// Whether it acted or only looked.
        mode: Mode,
        /// What was observed.
        evidence: Option<Evidence>,
        /// What went wrong.
        error: Option<EffectError>,
    },
    /// An attempt had no answer by its deadline.
    Deadline {
        /// The record that started it.
        seq: u64,
        /// The deadline.
        at: Timestamp,
    },
    /// An instant came.
    Time {
        /// The record that set it.
        seq: u64,
        /// The instant.
        at: Timestamp,
    },
    /// A step before it was done.
    Done {
        /// The record.
        seq: u64,
        /// The step.
        step: StepRef,
    },
    /// Somebody voted on one of the step's gates.
    Vote {
        /// The record.
        seq: u64,
        /// The gate.
        gate: GateId,
        /// Who.
        by: Principal,
        /// Whether they approved.
        approves: bool,
    },
    /// Something that happened before led to it.
    Earlier {
        /// The record.
        seq: u64,
        /// What: [`Event::name`].
        event: String,
    },
    /// What gates and policy answered, or why a person may not do something.
    Reasons {
        /// All of them.
        reasons: Vec<Reason>,
    },
    /// Gates and policy, all asked at that instant, let the step start.
    Permitted {
        /// What the policy's permit stood on, if it said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        basis: Option<Box<Basis>>,
    },
    /// What the policy's answer was made from.
    MadeFrom {
        /// The digests.
        inputs: Box<Inputs>,
    },
}

/// Why the event in record `seq` was decided. `plan` is the one that the run pins.
///
/// # Errors
/// As [`state_at`].
pub fn why(history: &History, plan: FrozenPlan, seq: u64) -> Result<Why, TravelError> {
    let count = records(history, Position::Seq(seq))?;
    let (past, rest) = history.facts().split_at_checked(count - 1).unwrap_or_default();
    let state = match past.len() as u64 {
        0 => None,
        last => Some(state_at(history, plan, Position::Seq(last))?),
    };
    let none = || TravelError::NoSuchRecord { run: history.run().clone(), seq, last: 0 };
    let Fact { at, event } = rest.first().ok_or_else(none)?;
    let before = state.as_ref().map(|state| Before {
        phase: state.phase().name().to_owned(),
        paused: state.is_paused(),
        in_flight: state.in_flight(),
        step: event.step().and_then(|step| state.status(step.index)),
    });
    let mut grounds = match (&state, event) {
        (Some(state), event) => Search { past, state, now: *at }.grounds(event),
        (None, Event::RunCreated { requester, .. }) => vec![asked(requester, None)],
        (None, _) => Vec::new(),
    };
    grounds.sort_by_key(|ground| ground.seq().unwrap_or(seq));
    let (run, at, event) = (history.run().clone(), *at, event.clone());
    Ok(Why { run, seq, at, event, before, grounds })
}

pub(super) fn asked(by: &Principal, reason: Option<&String>) -> Ground {
    Ground::Asked { by: by.clone(), reason: reason.cloned() }
}

impl Ground {
    /// The record in which it stands, if it is one.
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Answer { seq, .. }
            | Self::Deadline { seq, .. }
            | Self::Time { seq, .. }
            | Self::Done { seq, .. }
            | Self::Vote { seq, .. }
            | Self::Earlier { seq, .. } => Some(*seq),
            Self::Asked { .. }
            | Self::Engine { .. }
            | Self::Reasons { .. }
            | Self::Permitted { .. }
            | Self::MadeFrom { .. } => None,
        }
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { by, reason: Some(reason) } => write!(f, "{by} asked for it: {reason}"),
            Self::Asked { by, reason: None } => write!(f, "{by} asked for it"),
            Self::Engine { engine } => write!(f, "engine {engine} took the run over"),
            Self::Answer { seq, error: Some(error), .. } => {
                write!(f, "the attempt of record {seq} ended: {}: {error}", error.kind)
            }
            Self::Answer { seq, evidence, .. } => {
                let seen = evidence.as_ref().map(serde_json::to_string).and_then(Result::ok);
                write!(f, "the attempt of record {seq} observed {}", seen.unwrap_or_default())
            }
            Self::Deadline { seq, at } => {
                write!(f, "the attempt of record {seq} gave no answer until {at}")
            }
            Self::Time { seq, at } => write!(f, "{at} had come, which record {seq} set"),
            Self::Done { seq, step } => write!(f, "`{}` was done in record {seq}", step.id),
            Self::Vote { seq, gate, by, approves } => {
                let did = if *approves { "approved" } else { "rejected" };
                write!(f, "{by} {did} `{gate}` in record {seq}")
            }
            Self::Earlier { seq, event } => {
                write!(f, "{} in record {seq}", event.replace('_', " "))
            }
            Self::Reasons { reasons } => {
                let all: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                f.write_str(&all.join("; "))
            }
            Self::Permitted { basis: None } => f.write_str("gates and policy let it start"),
            Self::Permitted { basis: Some(basis) } => {
                write!(f, "gates and policy let it start, {basis}")
            }
            Self::MadeFrom { inputs } => write!(f, "the policy's answer was made from {inputs}"),
        }
    }
}

/// A line for the event and the state before it, and one for each ground.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, at, event, before, grounds, .. } = self;
        write!(f, "record {seq}, {at}: {}", event.name().replace('_', " "))?;
        if let Some(step) = event.step() {
            write!(f, " `{}`", step.id)?;
        }
        if let Some(Before { phase, paused, in_flight, step }) = before {
            write!(f, "; before, the run was {phase}{}", if *paused { " and paused" } else { "" })?;
            write!(f, " with {in_flight} effects under way")?;
            step.map_or(Ok(()), |status| write!(f, ", and the step {}", status.name()))?;
        }
        grounds.iter().try_for_each(|ground| write!(f, "\n- {ground}"))
    }
}
