//! Error-budget policies: where the budget of a service level objective is nearly used up, nothing new begins.
//!
//! After the Site Reliability Workbook, chapter 4 and appendix B: releases stop while too little is left, but what takes harm
//! away goes on. A rollback is never held, nor is a kill switch, nor a hotfix unless a budget says so. A rollout that is under
//! way goes on to its next safe point.
//!
//! Like everything here it asks nobody: [`BudgetReading`]s are handed in by whoever measures, for example from the notes of a
//! run ([`Command::Note`](release_core::run::Command::Note)) or by a host that asks its metrics source. What is not known, or
//! not known any more, holds as what is used up does.
//!
//! ```
//! use release_core::model::{Finite, Reach, Span, Timestamp};
//! use release_policy::budget::{BudgetReading, ErrorBudget, ErrorBudgets, Standing};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let reach = Reach::environment("production".parse()?);
//! let budget = ErrorBudget::new("checkout", reach, Finite::new(0.999)?, Finite::new(0.1)?);
//! let now: Timestamp = "2026-11-23T14:00:00Z".parse()?;
//! // Of ten million requests in thirty days ten thousand may fail, and 9,500 did.
//! let reading = BudgetReading::new(Finite::new(9_500.0)?, Finite::new(1e7)?, now);
//! let budgets = ErrorBudgets::new([budget])?.read("checkout", reading);
//! let (_, standing) = budgets.standings(now).next().ok_or("no budget")?;
//! assert!(matches!(standing, Standing::Short { left } if (left - 0.05).abs() < 1e-9));
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{ChangeScope, Digest, Finite, Priority, Reach, Span, Timestamp};
use release_core::plan::Place;
use release_core::port::{
    Admission, CommandRequest, Decision, Grant, Inputs, Policy, Reason, ReasonKind,
};
use release_core::stats::burn;
use serde::{Deserialize, Serialize};

use crate::rbac::resource;
use crate::window::{ActionClass, Classes, MidFlight, OnStart, Standing as InFlight, mid_flight};

/// The error budget of one service level objective, and how much of it has to be left for something new to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBudget {
    /// What readings and reasons call it by.
    pub name: String,
    /// Which changes it holds.
    #[serde(default)]
    pub reach: Reach,
    /// The share of events that are to be good; above 0 and below 1.
    pub objective: Finite,
    /// In which time the budget is counted.
    #[serde(default = "month")]
    pub period: Span,
    /// The part of the budget that has to be left, from 0 to 1.
    pub floor: Finite,
    /// From which age on a reading says nothing.
    #[serde(default = "quarter_of_an_hour")]
    pub max_age: Span,
    /// Whether hotfixes are held as well.
    #[serde(default)]
    pub holds_hotfixes: bool,
}

impl ErrorBudget {
    /// A budget of thirty days, read every quarter of an hour at least, that holds no hotfix.
    pub fn new(name: impl Into<String>, reach: Reach, objective: Finite, floor: Finite) -> Self {
        Self {
            name: name.into(),
            reach,
            objective,
            period: month(),
            floor,
            max_age: quarter_of_an_hour(),
            holds_hotfixes: false,
        }
    }

    fn problem(&self) -> Option<&'static str> {
        let Self { name, objective, floor, period, max_age, .. } = self;
        if name.trim().is_empty() {
            return Some("has no `name`; readings could not be told apart");
        }
        if !(objective.get() > 0.0 && objective.get() < 1.0) {
            return Some(
                "needs an `objective` between 0 and 1; 0.999 is one bad event in a thousand",
            );
        }
        if !(0.0..=1.0).contains(&floor.get()) {
            return Some("needs a `floor` from 0 to 1; 0.1 is a tenth of the budget");
        }
        let never = *period == Span::ZERO || *max_age == Span::ZERO;
        never.then_some("needs a `period` and a `max_age` above 0")
    }
}

const fn month() -> Span {
    burn::MONTH
}
const fn quarter_of_an_hour() -> Span {
    Span::secs(900)
}

/// How much of a budget was used, as somebody measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetReading {
    /// Events that were bad, in the last period.
    pub failed: Finite,
    /// Events that are expected in a whole period.
    pub expected: Finite,
    /// When it was measured.
    pub at: Timestamp,
}

impl BudgetReading {
    /// So many bad events of as many as are expected in a period.
    pub const fn new(failed: Finite, expected: Finite, at: Timestamp) -> Self {
        Self { failed, expected, at }
    }
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// As much as is needed is left.
    Enough {
        /// Which part of the budget; 1 is all of it.
        left: f64,
    },
    /// Too little is left.
    Short {
        /// Which part of the budget; below 0, more was used than there was.
        left: f64,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        why: String,
    },
}

/// A budget that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// Numbers that are none.
    #[error("error budget `{name}` {problem}")]
    Bad {
        /// Which.
        name: String,
        /// What is wrong with it, and how to mend it.
        problem: &'static str,
    },
    /// Two of one name.
    #[error("error budget `{name}` is there twice; rename one")]
    Twice {
        /// The name.
        name: String,
    },
}

/// All error budgets, and what is known of them: a policy that holds what is new where too little is left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ErrorBudgets {
    budgets: Vec<ErrorBudget>,
    classes: Classes,
    readings: BTreeMap<String, BudgetReading>,
}

impl ErrorBudgets {
    /// These budgets, of which nothing is known yet.
    ///
    /// # Errors
    /// [`BudgetError`] names the first that makes no sense.
    pub fn new(budgets: impl IntoIterator<Item = ErrorBudget>) -> Result<Self, BudgetError> {
        let budgets: Vec<_> = budgets.into_iter().collect();
        let mut names = BTreeSet::new();
        for budget in &budgets {
            let name = || budget.name.clone();
            if let Some(problem) = budget.problem() {
                return Err(BudgetError::Bad { name: name(), problem });
            }
            if !names.insert(&budget.name) {
                return Err(BudgetError::Twice { name: name() });
            }
        }
        Ok(Self { budgets, ..Self::default() })
    }

    /// Says of which class a host's own actions are, so that kill switches are known.
    #[must_use]
    pub fn classes(mut self, classes: Classes) -> Self {
        self.classes = classes;
        self
    }

    /// Takes up what was measured of a budget; the newer of two readings counts, whenever it comes.
    #[must_use]
    pub fn read(mut self, name: impl Into<String>, reading: BudgetReading) -> Self {
        let known = self.readings.entry(name.into()).or_insert(reading);
        if reading.at > known.at {
            *known = reading;
        }
        self
    }

    /// How each budget stands.
    pub fn standings(&self, now: Timestamp) -> impl Iterator<Item = (&ErrorBudget, Standing)> {
        self.budgets.iter().map(move |budget| (budget, self.standing(budget, now)))
    }

    fn standing(&self, budget: &ErrorBudget, now: Timestamp) -> Standing {
        let unknown = |why: String| Standing::Unknown { why };
        let Some(reading) = self.readings.get(&budget.name) else {
            return unknown("nobody has measured it".into());
        };
        if reading.at > now {
            return unknown(format!("it was measured at {}, after now", reading.at));
        }
        let age = now.since(reading.at);
        if age > budget.max_age {
            return unknown(format!(
                "it was measured {age} ago, at most {} is told",
                budget.max_age
            ));
        }
        let BudgetReading { failed, expected, .. } = reading;
        match burn::budget_left(failed.get(), expected.get(), budget.objective.get()) {
            Ok(left) if left >= budget.floor.get() => Standing::Enough { left },
            Ok(left) => Standing::Short { left },
            Err(error) => unknown(error.to_string()),
        }
    }

    /// What stands in the way of something new in a place, and by whose leave it goes on all the same.
    fn obstacles(
        &self,
        scope: &ChangeScope,
        hotfix: bool,
        now: Timestamp,
    ) -> (Vec<Reason>, Vec<Grant>) {
        let (mut reasons, mut grants) = (Vec::new(), Vec::new());
        for (budget, standing) in self.standings(now).filter(|(b, _)| b.reach.touches(scope)) {
            let Some(reason) = reason(budget, &standing) else { continue };
            if hotfix && !budget.holds_hotfixes {
                grants.push(Grant::of(format!("{}/hotfix", reason.rule)));
            } else {
                reasons.push(reason);
            }
        }
        (reasons, grants)
    }

    /// The digest of the budgets and of all that is known of them.
    fn known(&self) -> Digest {
        // INVARIANT: every key of every map in it is text, so that it can always be written.
        let written =
            serde_json::to_vec(self).unwrap_or_else(|error| error.to_string().into_bytes());
        Digest::of(&written)
    }
}

/// Why a budget holds what is new.
fn reason(budget: &ErrorBudget, standing: &Standing) -> Option<Reason> {
    let rule = format!("error-budget/{}", budget.name);
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let (text, lifted_by, kind) = match standing {
        Standing::Enough { .. } => return None,
        Standing::Short { left } => (
            format!(
                "{} of the error budget of {} are left, at least {} are needed for anything new",
                percent(*left),
                budget.period,
                percent(budget.floor.get())
            ),
            "time without failures; a hotfix; or whoever owns the objective",
            ReasonKind::Rule,
        ),
        Standing::Unknown { why } => (
            format!("nobody knows how much of the error budget is left: {why}"),
            "whoever measures it",
            ReasonKind::Missing,
        ),
    };
    Some(Reason::new(rule, text, lifted_by).kind(kind))
}

impl Policy for ErrorBudgets {
    /// Waits while too little of a budget that reaches here is left, or nobody knows how much. What only looks or tells is
    /// nobody's business here.
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let class = self.classes.of_step(request.step, request.rollback);
        let free = matches!(class, ActionClass::Rollback | ActionClass::KillSwitch);
        if free || !request.step.action.mutates() {
            return Decision::permit();
        }
        let place: Option<&Place> = request.step.scope.place();
        let mut scope = place.map_or_else(ChangeScope::everywhere, resource);
        scope.train = request.train().cloned();
        let plan = request.at.map(|(state, _)| state.plan().plan());
        let hotfix = plan.is_some_and(|plan| plan.priority() == Priority::Hotfix);
        let (reasons, mut grants) = self.obstacles(&scope, hotfix, request.now);
        let inputs = Inputs { facts: Some(self.known()), ..Inputs::default() };
        if reasons.is_empty() {
            return Decision::Permit { grants, inputs: None }.from_inputs(inputs);
        }
        let becomes = request.at.map(|(state, index)| {
            let standing = InFlight::of(state, index);
            mid_flight(state.plan(), index, standing, OnStart::HoldAtSafePoint)
        });
        if becomes == Some(MidFlight::GoOn) {
            let on = |reason: &Reason| Grant::of(format!("mid-flight/{}", reason.rule));
            grants.extend(reasons.iter().map(on));
            return Decision::Permit { grants, inputs: None }.from_inputs(inputs);
        }
        Decision::wait(None, reasons).from_inputs(inputs)
    }

    /// No command is held: what people do about a budget that is used up begins with one.
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
