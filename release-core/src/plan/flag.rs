//! What a plan does to feature flags: read, set, and put back what was read.
//!
//! A flag is read by a step of its own before any other sets it. So what it was stands in the journal before it is
//! changed, and no crash between a change and its record loses it. What sets it is undone by [`FlagDeed::Restore`], which
//! names the step that read it. A rollback fills in what that step recorded ([`Extension::with_recorded`]); so it shows
//! beforehand what it will put back.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Action, Compensation, Edge, Extension, PlanError, Step, Undo, UndoPhase, graph};
use crate::flags::{FlagKey, FlagReading, FlagState};
use crate::ids::{EnvironmentId, StepId};

/// A step that reads, sets or restores a flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagStep {
    /// Where.
    pub environment: EnvironmentId,
    /// Which.
    pub flag: FlagKey,
    /// What is done to it.
    pub deed: FlagDeed,
}

/// What is done to a flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FlagDeed {
    /// Reads how it stands. What a rollback restores is what such a step read.
    #[serde(deserialize_with = "super::step::no_fields")]
    Read,
    /// Sets it. Where it was killed, this fails and changes nothing.
    Set {
        /// For whom it is to be on.
        state: FlagState,
    },
    /// Sets it to what a step read earlier. Where it was killed since, it stays off, and that is a success: a rollback
    /// turns nothing on that somebody switched off in an emergency.
    Restore {
        /// The step that read it.
        from: StepId,
        /// What that step read; nothing before a rollback was computed from a run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<FlagState>,
    },
}

impl FlagStep {
    /// Reads a flag.
    pub const fn read(environment: EnvironmentId, flag: FlagKey) -> Self {
        Self { environment, flag, deed: FlagDeed::Read }
    }

    /// Sets a flag.
    pub const fn set(environment: EnvironmentId, flag: FlagKey, state: FlagState) -> Self {
        Self { environment, flag, deed: FlagDeed::Set { state } }
    }

    /// Sets a flag to what the step `from` read.
    pub const fn restore(environment: EnvironmentId, flag: FlagKey, from: StepId) -> Self {
        Self { environment, flag, deed: FlagDeed::Restore { from, state: None } }
    }

    /// How a step that sets this flag is undone, where the step `from` read it.
    ///
    /// ```
    /// use release_core::flags::{FlagKey, FlagState};
    /// use release_core::plan::{Action, EdgeKind, FlagStep, Plan, Step};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (place, flag) = ("production".parse()?, FlagKey::new("new-checkout")?);
    /// let read = FlagStep::read(place, flag);
    /// let set = FlagStep { deed: release_core::plan::FlagDeed::Set { state: FlagState::On }, ..read.clone() };
    /// let mut plan = Plan::builder("shop".parse()?, "shop-2".parse()?);
    /// let first = Step::new("read".parse()?, Action::Flag(read));
    /// let undo = set.restored_from(&first.id);
    /// let first = plan.step(first);
    /// let second = plan.step(Step::new("set".parse()?, Action::Flag(set)).undo(undo));
    /// plan.edge(first, second, EdgeKind::Order);
    /// assert_eq!(plan.build()?.steps().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn restored_from(&self, from: &StepId) -> Undo {
        let (environment, flag) = (self.environment.clone(), self.flag.clone());
        let action = Action::Flag(Self::restore(environment, flag, from.clone()));
        // As traffic, what went wrong is tried once more as another operation before people are called.
        Undo::Compensate(vec![Compensation { action, phase: UndoPhase::RestoreTraffic }])
    }

    /// Whether it changes something that a rollback has to put back.
    pub const fn mutates(&self) -> bool {
        matches!(self.deed, FlagDeed::Set { .. } | FlagDeed::Restore { .. })
    }

    /// For whom it is to be on afterwards; nothing for one that reads, or that does not know yet what it restores.
    pub const fn wanted(&self) -> Option<FlagState> {
        match &self.deed {
            FlagDeed::Read => None,
            FlagDeed::Set { state } => Some(*state),
            FlagDeed::Restore { state, .. } => *state,
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self.deed {
            FlagDeed::Read => "read_flag",
            FlagDeed::Set { .. } => "set_flag",
            FlagDeed::Restore { .. } => "restore_flag",
        }
    }
}

impl fmt::Display for FlagStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = &self.flag;
        match &self.deed {
            FlagDeed::Read => write!(f, "read flag {flag}"),
            FlagDeed::Set { state } => write!(f, "flag {flag} {state}"),
            FlagDeed::Restore { state: Some(state), .. } => {
                write!(f, "flag {flag} back to {state}")
            }
            FlagDeed::Restore { from, .. } => write!(f, "flag {flag} back to what {from} read"),
        }
    }
}

impl Extension {
    /// The same with every flag that it restores set to what `recorded` says that a step of the plan read. What nobody
    /// read stays open; nobody can perform it, and a person has to say what it was.
    #[must_use]
    pub fn with_recorded<'a>(
        mut self,
        recorded: impl Fn(&StepId) -> Option<&'a FlagReading>,
    ) -> Self {
        let alternates = self.alternates.iter_mut().map(|alternate| &mut alternate.action);
        for action in self.steps.iter_mut().map(|step| &mut step.action).chain(alternates) {
            let Action::Flag(FlagStep { environment, flag, deed }) = action else { continue };
            let FlagDeed::Restore { from, state } = deed else { continue };
            let read = recorded(from);
            *state = read
                .filter(|read| read.flag == *flag && read.environment == *environment)
                .map(|read| read.state);
        }
        self
    }
}

/// Finds restorations of what no step before reads, and such as stand in a plan by themselves.
pub(super) fn check(steps: &[Step], edges: &[Edge], order: &[u32], errors: &mut Vec<PlanError>) {
    let mut reads = BTreeMap::new();
    for (step, index) in steps.iter().zip(0_u32..) {
        if let Action::Flag(FlagStep { environment, flag, deed: FlagDeed::Read }) = &step.action {
            reads.insert(&step.id, (index, environment, flag));
        }
    }
    let mut ancestors = None;
    for (step, index) in steps.iter().zip(0_u32..) {
        if let Action::Flag(FlagStep { deed: FlagDeed::Restore { .. }, .. }) = &step.action {
            errors.push(PlanError::FlagNotRead { step: step.id.clone(), from: None });
        }
        for compensation in step.undo.compensations() {
            let Action::Flag(FlagStep { environment, flag, deed }) = &compensation.action else {
                continue;
            };
            let FlagDeed::Restore { from, .. } = deed else { continue };
            let known = reads.get(from).is_some_and(|(before, at, which)| {
                let ancestors =
                    ancestors.get_or_insert_with(|| graph::Ancestors::new(order, edges));
                *at == environment && *which == flag && ancestors.has(index, *before)
            });
            if !known {
                let (step, from) = (step.id.clone(), Some(from.clone()));
                errors.push(PlanError::FlagNotRead { step, from });
            }
        }
    }
}
