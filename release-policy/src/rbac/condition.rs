//! What a rule asks of the facts of a request.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What is known about a request, by name.
pub type Facts = BTreeMap<String, Fact>;

/// One thing that is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A word.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// A test of one fact. A fact that is missing, or of another kind, is an error and never a no.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The fact's name.
    pub fact: String,
    /// What it must be.
    pub must: Test,
}

/// What a fact must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Exactly this.
    Be(Fact),
    /// A number that is no greater.
    BeAtMost(i64),
    /// A number that is no smaller.
    BeAtLeast(i64),
}

/// A condition that cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConditionError {
    /// Nobody said the fact.
    #[error("the fact `{fact}` is missing; whoever asks must supply it")]
    Missing {
        /// Its name.
        fact: String,
    },
    /// It is of another kind.
    #[error("the fact `{fact}` is {found}, but {wanted} is asked for")]
    Kind {
        /// Its name.
        fact: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
}

impl Fact {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number(_) => "a number",
            Self::Flag(_) => "a flag",
        }
    }
}

impl Condition {
    /// That `fact` is exactly this.
    pub fn is(fact: impl Into<String>, value: Fact) -> Self {
        Self { fact: fact.into(), must: Test::Be(value) }
    }

    /// Whether it is met.
    ///
    /// # Errors
    /// [`ConditionError`] when that cannot be told.
    pub fn holds(&self, facts: &Facts) -> Result<bool, ConditionError> {
        let name = || self.fact.clone();
        let Some(found) = facts.get(&self.fact) else {
            return Err(ConditionError::Missing { fact: name() });
        };
        let kind = |wanted: &str| {
            let (found, wanted) = (found.kind().into(), wanted.into());
            Err(ConditionError::Kind { fact: name(), found, wanted })
        };
        match (&self.must, found) {
            (Test::Be(Fact::Text(wanted)), Fact::Text(found)) => Ok(wanted == found),
            (Test::Be(Fact::Number(wanted)), Fact::Number(found)) => Ok(wanted == found),
            (Test::Be(Fact::Flag(wanted)), Fact::Flag(found)) => Ok(wanted == found),
            (Test::BeAtMost(most), Fact::Number(found)) => Ok(found <= most),
            (Test::BeAtLeast(least), Fact::Number(found)) => Ok(found >= least),
            (Test::Be(wanted), _) => kind(wanted.kind()),
            (Test::BeAtMost(_) | Test::BeAtLeast(_), _) => kind("a number"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fact, must } = self;
        match must {
            Test::Be(Fact::Text(value)) => write!(f, "`{fact}` is `{value}`"),
            Test::Be(Fact::Number(value)) => write!(f, "`{fact}` is {value}"),
            Test::Be(Fact::Flag(value)) => write!(f, "`{fact}` is {value}"),
            Test::BeAtMost(most) => write!(f, "`{fact}` is at most {most}"),
            Test::BeAtLeast(least) => write!(f, "`{fact}` is at least {least}"),
        }
    }
}

/// Whether all hold; an error of any one is an error of all, so that their order never matters.
pub(super) fn all_hold(conditions: &[Condition], facts: &Facts) -> Result<bool, ConditionError> {
    let mut all = true;
    for condition in conditions {
        all &= condition.holds(facts)?;
    }
    Ok(all)
}
