//! Scenarios as text: what is given, what happens when, and what must have come of it.
//!
//! A user tests a definition, a policy and its trains in a few lines:
//!
//! ```
//! use release_testkit::fixtures::Shop;
//! use release_testkit::sim::{Script, Sim, invariants};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let script = Script::parse(
//!     "
//!     given nobody answers
//!     given faults: crash engine 2%; provider: transient 3%
//!     at day 1 09:01: freeze production for 2h
//!     at day 1 10:30: approve production/cab
//!     when production/eu/web/promote starts: pause
//!     at day 1 15:00: resume
//!     then by day 1 11:00: production/eu/catalog/start never started
//!     then by day 1 14:00: run is not over
//!     then by day 2: run succeeded
//!     ",
//! )?;
//! let shop = Shop::new().approvals(1).regions(["eu"]);
//! let report = Sim::new(7)
//!     .definition(&shop.definition())?
//!     .check(invariants::all())
//!     .script(&script)
//!     .report();
//! assert!(report.is_green(), "{report}");
//!
//! let error = Script::parse("at day 1 09:01: freze production for 2h").unwrap_err();
//! assert!(error.to_string().contains("line 1"), "{error}");
//! # Ok(())
//! # }
//! ```
//!
//! One line says one thing; empty lines and lines that begin with `#` say nothing.
//!
//! | line | what it says |
//! |---|---|
//! | `given faults: PLAN` | what goes wrong, as a [`FaultPlan`] |
//! | `given nobody answers` | nobody approves or retries anything but as the script says |
//! | `at INSTANT: DEED` | somebody does something then |
//! | `when STEP fails: DEED` | or once the step `fails`, `starts`, `succeeds`, `blocks`, `retries`; the first time in each run. `STEP` is the id of a step, or what such ids begin with, up to a `/` |
//! | `then CLAIM`, `then by INSTANT: CLAIM` | what must be so in the end, or by then |
//!
//! An `INSTANT` is `day 3`, `day 3 10:00` (the third day, in UTC; the first is that on which it begins) or a
//! time behind the begin, such as `90m`. A `DEED` is `freeze WHERE for 2h` (where: `everything`, an
//! environment, or `environment/region`), `approve GATE`, `reject GATE`, `retry STEP`, `pause`, `resume`,
//! `cancel`, `abandon` or `crash engine`; behind it may stand `of run 2`. A `CLAIM` is `run succeeded`, `run 2
//! rolled back`, `failed`, `cancelled`, `abandoned`, `is over` or `is not over`; or `STEP started`, `never
//! started`, `succeeded`, `never succeeded`, `failed` or `blocked`.

mod claim;
mod deeds;
mod names;
mod parse;

use release_core::model::{GateId, Span, StepId, Timestamp};
use release_core::run::{Command, Event};

pub use parse::ScriptError;

use super::Sim;
use super::faults::FaultPlan;
use super::invariants::Invariant;

/// A scenario as text. See the [module](self) for how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Script {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Faults(FaultPlan),
    NobodyAnswers,
    At(Instant, Deed),
    When(When),
    Then { by: Option<Instant>, claim: claim::Claim, text: String },
}

/// A point on the calendar of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Instant {
    /// The day, from 1, and the seconds in it.
    Day(u64, u64),
    After(Span),
}

impl Instant {
    fn at(self, start: Timestamp) -> Timestamp {
        const DAY: i64 = 86_400_000_000;
        match self {
            Self::After(span) => start.plus(span),
            Self::Day(day, secs) => {
                let midnight = start.as_micros() - start.as_micros().rem_euclid(DAY);
                let after = (day - 1).saturating_mul(86_400).saturating_add(secs);
                Timestamp::from_micros(midnight).plus(Span::secs(after))
            }
        }
    }
}

/// Something that somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    Freeze { place: Option<String>, span: Span },
    Approve { run: usize, gate: GateId },
    Reject { run: usize, gate: GateId },
    Retry { run: usize, step: StepId },
    Give { run: usize, command: Command },
    CrashEngine,
}

/// What a step does that a script waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Starts,
    Succeeds,
    Fails,
    Blocks,
    Retries,
}

/// Once a step does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    step: String,
    how: How,
    deed: Deed,
}

/// Whether `id` is `named`, or begins with it up to a `/`.
fn is_of(id: &StepId, named: &str) -> bool {
    let rest = id.as_str().strip_prefix(named);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl When {
    fn is(&self, event: &Event) -> bool {
        let how = match event {
            Event::StepStarted { .. } => How::Starts,
            Event::StepSucceeded { .. } => How::Succeeds,
            Event::StepFailed { .. } => How::Fails,
            Event::StepBlocked { .. } => How::Blocks,
            Event::StepRetried { .. } => How::Retries,
            _ => return false,
        };
        how == self.how && event.step().is_some_and(|step| is_of(&step.id, &self.step))
    }
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`] names the line, and what could have stood there.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        parse::script(text)
    }
}

impl std::str::FromStr for Script {
    type Err = ScriptError;
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        Self::parse(text)
    }
}

impl Sim {
    /// Lets happen what a script says, and checks what it claims. Set before when the simulation begins.
    ///
    /// A script that names what is not there (a step, a gate, a place, a run) is a violation called `script`,
    /// which tells the names that are; and so is a deed that is refused, or comes when its run is over.
    pub fn script(mut self, script: &Script) -> Self {
        let start = self.setup.start;
        let lines = script.lines.clone();
        let check = move |course: &super::Course| {
            let unknown: Vec<_> = lines.iter().filter_map(|line| line.unknown(course)).collect();
            // What is said to nobody comes to nothing: once is enough.
            if unknown.is_empty() { course.undone.clone() } else { unknown }
        };
        let promise = "a script speaks of what there is, and is obeyed";
        self.invariants.push(Invariant::new("script", promise, check));
        for line in &script.lines {
            match line {
                Line::Faults(faults) => {
                    self.setup.faults.clauses.extend(faults.clauses.iter().cloned());
                }
                Line::NobodyAnswers => self.setup.humans.absent = true,
                Line::At(instant, deed) => {
                    let at = instant.at(start);
                    self.setup.span = self.setup.span.max(at.since(start));
                    self.setup.deeds.push((at, deed.clone()));
                }
                Line::When(when) => self.setup.whens.push(when.clone()),
                Line::Then { by, claim, text } => {
                    let by = by.map(|instant| instant.at(start));
                    if let Some(by) = by {
                        self.setup.span = self.setup.span.max(by.since(start));
                    }
                    let (claim, text) = (claim.clone(), text.clone());
                    let check = move |course: &super::Course| {
                        claim
                            .denied(course, by)
                            .map(|why| format!("`{text}`: {why}"))
                            .into_iter()
                            .collect()
                    };
                    self.invariants.push(Invariant::new("then", "it is as the script says", check));
                }
            }
        }
        self
    }
}

impl Deed {
    /// A deed that names no run is of the run in which something happened.
    const fn concerns(&mut self, of: usize) {
        match self {
            Self::Approve { run, .. }
            | Self::Reject { run, .. }
            | Self::Retry { run, .. }
            | Self::Give { run, .. } => {
                if *run == parse::NO_RUN {
                    *run = of;
                }
            }
            Self::Freeze { .. } | Self::CrashEngine => {}
        }
    }
}
