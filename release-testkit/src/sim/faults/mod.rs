//! What goes wrong in a simulation: plans of faults, written as text.
//!
//! ```
//! use release_testkit::sim::FaultPlan;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "crash engine@every-append; provider.deploy: apply-then-timeout 2%; clock: +1h@day 3";
//! let plan = FaultPlan::parse(text)?;
//! assert_eq!(plan.to_string(), text);
//! let error = FaultPlan::parse("provider.deploi: hang 1%").unwrap_err();
//! assert_eq!(error.column, 10);
//! assert!(error.to_string().contains("`deploy`"));
//! # Ok(())
//! # }
//! ```
//!
//! Clauses are separated by `;`. A `WHEN` is a chance a time (`2%`, `0.01%`), or behind `@` the instant of
//! its only time (`@day 3`, counted from 1; `@36h` behind the begin), or an append (`@append 7`, counted
//! from 1 over all engines; `@every-append`).
//!
//! | clause | what goes wrong |
//! |---|---|
//! | `crash engine WHEN` | the engine dies, and is there again within half a minute. At an append: before it (`before`), with a torn write (`torn`, `torn 12` after so many bytes), when it is stored and nobody was told (`written`), when it was told (`acked`), or when the effects have begun (`effect`); without a word, one of these. `@every-append` spares the first two of each life, so that there is progress |
//! | `pause engine 10m WHEN` | the engine stands still so long, as in a garbage collection, and does not know it |
//! | `takeover WHEN` | another engine takes the run over although the first lives |
//! | `journal: FAULT WHEN` | an append fails: `no-space`, `unavailable`, `unknown-stored`, `unknown-lost`, `unknown-late` (stored only later), `slow` (stored, told only later) |
//! | `journal: outage 2h @day 3` | nothing can be stored or read for so long |
//! | `provider: FAULT CHANCE`, `provider.deploy: FAULT CHANCE` | a call fails: [`ProviderFault`] has the words; of one [`Capability`], or of any |
//! | `clock: +1h@day 3` | the wall clock jumps, forward or back |

mod parse;

use std::fmt;

use release_core::model::Span;
use serde::{Deserialize, Serialize};

pub use parse::FaultError;

use super::provider::{Capability, ProviderFault};

/// What goes wrong, as clauses. See the [module](self) for how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FaultPlan {
    /// The clauses.
    pub clauses: Vec<Clause>,
}

/// One kind of fault, and when it strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// What goes wrong.
    pub fault: Fault,
    /// When.
    pub when: When,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An engine dies, at a boundary of an append if there is one; `None`: any.
    Crash(Option<Boundary>),
    /// An engine stands still.
    Pause(Span),
    /// Another engine takes a run over.
    TakeOver,
    /// An append fails.
    Journal(JournalFault),
    /// The journal is not there for so long.
    Outage(Span),
    /// A call fails, of one capability or of any.
    Provider(Option<Capability>, ProviderFault),
    /// The wall clock jumps by so many microseconds.
    Clock(i64),
}

/// Where in an append an engine dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Before anything is written.
    Before,
    /// In the middle of the write: after so many bytes, or after as many as chance says.
    Torn(Option<u32>),
    /// When everything is written, and before the engine is told.
    Written,
    /// When the engine was told, and before it did anything with it.
    Acked,
    /// When the effects have begun, and before any is observed.
    Effect,
}

/// How an append fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalFault {
    /// There is no room; nothing is stored.
    NoSpace,
    /// The store is not there; nothing is stored.
    Unavailable,
    /// It is stored, and nobody is told.
    UnknownStored,
    /// It is not stored, and nobody is told.
    UnknownLost,
    /// Nobody is told, and it is stored a little later, if it still can be.
    UnknownLate,
    /// It is stored, and the engine is told only some time later.
    Slow,
}

impl JournalFault {
    const ALL: [Self; 6] = [
        Self::NoSpace,
        Self::Unavailable,
        Self::UnknownStored,
        Self::UnknownLost,
        Self::UnknownLate,
        Self::Slow,
    ];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "no-space",
            Self::Unavailable => "unavailable",
            Self::UnknownStored => "unknown-stored",
            Self::UnknownLost => "unknown-lost",
            Self::UnknownLate => "unknown-late",
            Self::Slow => "slow",
        }
    }
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So many times in a million: of appends, or of calls.
    Chance(u32),
    /// Once, so long after the begin.
    At(Span),
    /// Once, at this append.
    Append(u64),
    /// At every append.
    EveryAppend,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self { clauses: Vec::new() }
    }

    /// Reads a plan of faults.
    ///
    /// # Errors
    /// [`FaultError`] with the column and what could have stood there.
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        parse::plan(text)
    }

    /// A plan with one more clause.
    #[must_use]
    pub fn and(mut self, fault: Fault, when: When) -> Self {
        self.clauses.push(Clause { fault, when });
        self
    }
}

impl std::str::FromStr for FaultPlan {
    type Err = FaultError;
    fn from_str(text: &str) -> Result<Self, FaultError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for FaultPlan {
    type Error = FaultError;
    fn try_from(text: String) -> Result<Self, FaultError> {
        Self::parse(&text)
    }
}

impl From<FaultPlan> for String {
    fn from(plan: FaultPlan) -> Self {
        plan.to_string()
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, clause) in self.clauses.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            clause.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = self.when;
        let gap = if matches!(when, When::Chance(_)) { " " } else { "" };
        match &self.fault {
            Fault::Crash(boundary) => {
                write!(f, "crash engine{gap}{when}")?;
                boundary.iter().try_for_each(|boundary| write!(f, " {boundary}"))
            }
            Fault::Pause(span) => {
                write!(f, "pause engine {}{gap}{when}", span.to_string().replace(' ', ""))
            }
            Fault::TakeOver => write!(f, "takeover{gap}{when}"),
            Fault::Journal(fault) => write!(f, "journal: {}{gap}{when}", fault.name()),
            Fault::Outage(span) => {
                write!(f, "journal: outage {}{gap}{when}", span.to_string().replace(' ', ""))
            }
            Fault::Provider(None, fault) => write!(f, "provider: {}{gap}{when}", fault.name()),
            Fault::Provider(Some(capability), fault) => {
                write!(f, "provider.{}: {}{gap}{when}", capability.name(), fault.name())
            }
            Fault::Clock(micros) => {
                let sign = if *micros < 0 { '-' } else { '+' };
                let span = Span::from(std::time::Duration::from_micros(micros.unsigned_abs()));
                write!(f, "clock: {sign}{}{gap}{when}", span.to_string().replace(' ', ""))
            }
        }
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before => f.write_str("before"),
            Self::Torn(None) => f.write_str("torn"),
            Self::Torn(Some(bytes)) => write!(f, "torn {bytes}"),
            Self::Written => f.write_str("written"),
            Self::Acked => f.write_str("acked"),
            Self::Effect => f.write_str("effect"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 60 * 60;
        match self {
            Self::Chance(ppm) => {
                let (whole, rest) = (ppm / 10_000, ppm % 10_000);
                if rest == 0 {
                    return write!(f, "{whole}%");
                }
                let rest = format!("{rest:04}");
                write!(f, "{whole}.{}%", rest.trim_end_matches('0'))
            }
            Self::At(span) if *span == Span::secs(span.as_duration().as_secs() / DAY * DAY) => {
                write!(f, "@day {}", span.as_duration().as_secs() / DAY + 1)
            }
            Self::At(span) => write!(f, "@{}", span.to_string().replace(' ', "")),
            Self::Append(append) => write!(f, "@append {append}"),
            Self::EveryAppend => f.write_str("@every-append"),
        }
    }
}
