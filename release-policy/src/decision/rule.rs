//! A rule: what it does, when it applies, and what it needs.

use std::collections::BTreeSet;

use release_core::model::Timestamp;
use serde::{Deserialize, Serialize};

use super::admit::Asked;
use super::facts::{Fact, Facts};
use crate::canonical::Canonical;
use crate::directory::{DirectoryFault, DirectoryState};
use crate::window::{ActionClass, Invokers, Overlap, Scope};

/// The most rules of a set.
pub const MAX_RULES: usize = 10_000;
/// How deep conditions can be nested.
pub const MAX_DEPTH: usize = 16;
/// The most conditions of one rule.
pub const MAX_CONDITIONS: usize = 256;

/// What a rule does where it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It allows, once all that it needs is there.
    Allow,
    /// It denies.
    Deny,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which no other rule of the set has.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// When it applies.
    pub when: Condition,
    /// What has to be there before it allows. A rule that denies needs nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// Who answers for it and can change it.
    pub owner: String,
    /// Why there is such a rule.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}

impl Rule {
    /// A rule that allows.
    pub fn allow(name: impl Into<String>, when: Condition, owner: impl Into<String>) -> Self {
        Self::new(name.into(), Effect::Allow, when, owner.into())
    }

    /// A rule that denies.
    pub fn deny(name: impl Into<String>, when: Condition, owner: impl Into<String>) -> Self {
        Self::new(name.into(), Effect::Deny, when, owner.into())
    }

    const fn new(name: String, effect: Effect, when: Condition, owner: String) -> Self {
        Self { name, effect, when, needs: Vec::new(), owner, because: String::new() }
    }

    /// Adds something that it needs.
    #[must_use]
    pub fn needs(mut self, need: Need) -> Self {
        self.needs.push(need);
        self
    }

    /// Says why there is such a rule.
    #[must_use]
    pub fn because(mut self, text: impl Into<String>) -> Self {
        self.because = text.into();
        self
    }

    pub(super) fn check(&self) -> Result<(), RuleProblem> {
        if self.name.trim().is_empty() {
            return Err(RuleProblem::NoName);
        }
        if self.owner.trim().is_empty() {
            return Err(RuleProblem::NoOwner);
        }
        if self.effect == Effect::Deny && !self.needs.is_empty() {
            return Err(RuleProblem::DenyNeeds);
        }
        if self.needs.iter().any(|need| matches!(need, Need::Case { name } if name.is_empty())) {
            return Err(RuleProblem::NamelessFact);
        }
        let mut count = 0;
        self.when.check(1, &mut count)
    }

    pub(super) fn write(&self, all: Canonical) -> Canonical {
        let effect = if self.effect == Effect::Allow { "allow" } else { "deny" };
        let all = self.when.write(all.text(&self.name).text(effect));
        let all = all.list(self.needs.iter(), |all, need| match need {
            Need::Case { name } => all.text("case").text(name),
            Need::NotBefore { at } => all.text("not_before").number(at.as_micros()),
        });
        all.text(&self.owner).text(&self.because)
    }
}

/// What a rule needs before it allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Need {
    /// A case that is decided in favour, by the name under which [`Facts::case`] has it: people who approve, a board,
    /// the criteria of a stage, reviews that are owed.
    Case {
        /// Its name.
        name: String,
    },
    /// An instant that has come.
    NotBefore {
        /// The instant.
        at: Timestamp,
    },
}

/// When a rule applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "of", rename_all = "snake_case")]
pub enum Condition {
    /// Always.
    Always,
    /// In a place. A rule that allows, allows only what lies in it as a whole; one that denies, denies
    /// whatever touches it.
    In(Scope),
    /// For steps and commands of these classes.
    Action(BTreeSet<ActionClass>),
    /// For these commands, by name.
    Command(BTreeSet<String>),
    /// For whoever asks. Who has which role, the directory of the day says, where there is one: a rule that allows
    /// asks for a role over all of the place, one that denies for one over any part of it.
    By(Invokers),
    /// If something is known to be so. If nothing is known of it, the rule cannot be applied.
    Fact {
        /// What.
        name: String,
        /// What it has to be.
        is: Test,
    },
    /// All of these.
    All(Vec<Self>),
    /// One of these.
    Any(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
}

/// What a fact has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "of", rename_all = "snake_case")]
pub enum Test {
    /// This very thing.
    Equals(Fact),
    /// A number, at least this.
    AtLeast(i64),
    /// A number, at most this.
    AtMost(i64),
    /// One of these words.
    OneOf(BTreeSet<String>),
}

/// Why a rule could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("nothing is known of `{0}`")]
    Unknown(String),
    #[error("`{0}` is of another type than the rule asks for")]
    OtherType(String),
    #[error("nobody can tell who has which role: {0}")]
    Directory(DirectoryFault),
}

impl Condition {
    /// Whether it holds. `whole` asks for all of a place to lie in a scope, as a rule that allows does. With
    /// unknowns it is decided as far as the rest decides it: one true part makes «any» true, whatever the
    /// others are, in any order.
    pub(super) fn holds(
        &self,
        asked: &Asked<'_>,
        facts: &Facts,
        whole: bool,
    ) -> Result<bool, Fault> {
        Ok(match self {
            Self::Always => true,
            Self::In(scope) => match scope.overlap(asked.place) {
                Overlap::Whole => true,
                Overlap::Part => !whole,
                Overlap::Apart => false,
            },
            Self::Action(classes) => asked.action.is_some_and(|class| classes.contains(&class)),
            Self::Command(names) => asked.command.is_some_and(|name| names.contains(name)),
            Self::By(invokers) => return is_by(invokers, asked, whole),
            Self::Fact { name, is } => {
                let fact = facts.values.get(name).ok_or_else(|| Fault::Unknown(name.clone()))?;
                return is.passes(fact).ok_or_else(|| Fault::OtherType(name.clone()));
            }
            Self::All(parts) => return every(parts, true, asked, facts, whole),
            Self::Any(parts) => return every(parts, false, asked, facts, whole),
            // What must not touch a scope, must lie outside of it as a whole.
            Self::Not(part) => !part.holds(asked, facts, !whole)?,
        })
    }

    fn check(&self, depth: usize, count: &mut usize) -> Result<(), RuleProblem> {
        *count = count.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(RuleProblem::TooDeep(MAX_DEPTH));
        }
        if *count > MAX_CONDITIONS {
            return Err(RuleProblem::TooManyConditions(MAX_CONDITIONS));
        }
        match self {
            Self::Action(all) if all.is_empty() => Err(RuleProblem::Empty("action")),
            Self::Command(all) if all.is_empty() => Err(RuleProblem::Empty("command")),
            Self::Fact { name, .. } if name.trim().is_empty() => Err(RuleProblem::NamelessFact),
            Self::Fact { is: Test::OneOf(all), .. } if all.is_empty() => {
                Err(RuleProblem::Empty("one_of"))
            }
            Self::Always
            | Self::In(_)
            | Self::By(_)
            | Self::Action(_)
            | Self::Command(_)
            | Self::Fact { .. } => Ok(()),
            Self::All(parts) if parts.is_empty() => Err(RuleProblem::Empty("all")),
            Self::Any(parts) if parts.is_empty() => Err(RuleProblem::Empty("any")),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().try_for_each(|part| part.check(depth + 1, count))
            }
            Self::Not(part) => part.check(depth + 1, count),
        }
    }

    fn write(&self, all: Canonical) -> Canonical {
        match self {
            Self::Always => all.text("always"),
            Self::In(scope) => {
                let Scope { services, teams, environments, regions } = scope;
                let all = all.text("in").list(services.iter(), |all, id| all.text(id.as_str()));
                let all = all.list(teams.iter(), |all, id| all.text(id.as_str()));
                let all = all.list(environments.iter(), |all, id| all.text(id.as_str()));
                all.list(regions.iter(), |all, id| all.text(id.as_str()))
            }
            Self::Action(classes) => {
                all.text("action").list(classes.iter(), |all, class| all.text(class.name()))
            }
            Self::Command(names) => {
                all.text("command").list(names.iter(), |all, name| all.text(name))
            }
            Self::By(Invokers { kinds, principals, roles }) => {
                let mut kinds: Vec<_> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
                kinds.sort();
                let all = all.text("by").list(kinds.iter(), |all, kind| all.text(kind));
                let all = all.list(principals.iter(), |all, id| all.text(id.as_str()));
                all.list(roles.iter(), |all, id| all.text(id.as_str()))
            }
            Self::Fact { name, is } => is.write(all.text("fact").text(name)),
            Self::All(parts) => all.text("all").list(parts.iter(), |all, part| part.write(all)),
            Self::Any(parts) => all.text("any").list(parts.iter(), |all, part| part.write(all)),
            Self::Not(part) => part.write(all.text("not")),
        }
    }
}

/// Whether these concern who asks.
fn is_by(invokers: &Invokers, asked: &Asked<'_>, whole: bool) -> Result<bool, Fault> {
    let Invokers { kinds, principals, roles } = invokers;
    let by = asked.by;
    let vouched = matches!(asked.directory, DirectoryState::Unread);
    if vouched || roles.is_empty() {
        return Ok(invokers.concerns(by));
    }
    if kinds.contains(&by.kind) || principals.contains(&by.id) {
        return Ok(true);
    }
    let directory = asked.directory.fresh(asked.now, asked.max_age).map_err(Fault::Directory)?;
    Ok(directory.has_one(&by.id, roles, (&asked.scope, whole), asked.now))
}

/// Whether all parts are true, or (`all` is false) one is. A fault stands only where nothing else decides;
/// of several, the least by its text, so that their order does not matter.
fn every(
    parts: &[Condition],
    all: bool,
    asked: &Asked<'_>,
    facts: &Facts,
    whole: bool,
) -> Result<bool, Fault> {
    let mut fault: Option<Fault> = None;
    for part in parts {
        match part.holds(asked, facts, whole) {
            Ok(holds) if holds != all => return Ok(holds),
            Ok(_) => {}
            Err(other) => {
                let least =
                    fault.as_ref().is_none_or(|fault| other.to_string() < fault.to_string());
                if least {
                    fault = Some(other);
                }
            }
        }
    }
    fault.map_or(Ok(all), Err)
}

impl Test {
    /// `None` where the fact is of another type.
    fn passes(&self, fact: &Fact) -> Option<bool> {
        match (self, fact) {
            (Self::Equals(Fact::Flag(want)), Fact::Flag(is)) => Some(want == is),
            (Self::Equals(Fact::Number(want)), Fact::Number(is)) => Some(want == is),
            (Self::Equals(Fact::Text(want)), Fact::Text(is)) => Some(want == is),
            (Self::AtLeast(least), Fact::Number(is)) => Some(is >= least),
            (Self::AtMost(most), Fact::Number(is)) => Some(is <= most),
            (Self::OneOf(words), Fact::Text(is)) => Some(words.contains(is)),
            _ => None,
        }
    }

    fn write(&self, all: Canonical) -> Canonical {
        match self {
            Self::Equals(Fact::Flag(flag)) => all.text("flag").number(u8::from(*flag)),
            Self::Equals(Fact::Number(number)) => all.text("number").number(*number),
            Self::Equals(Fact::Text(text)) => all.text("text").text(text),
            Self::AtLeast(least) => all.text("at_least").number(*least),
            Self::AtMost(most) => all.text("at_most").number(*most),
            Self::OneOf(words) => all.text("one_of").list(words.iter(), |all, word| all.text(word)),
        }
    }
}

/// Rules that cannot be used: which one, what is wrong with it, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule `{rule}` (number {number}): {problem}")]
pub struct PolicyError {
    /// The rule, by its name as it was given, cut to 80 characters.
    pub rule: String,
    /// Its place in the list, from 1.
    pub number: usize,
    /// What is wrong.
    pub problem: RuleProblem,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// It has no name.
    #[error("it has no name; decisions name the rules that they stand on, so give it one")]
    NoName,
    /// It has no owner.
    #[error("it has no owner; say who can change it")]
    NoOwner,
    /// Another rule has its name.
    #[error("rule number {0} has the same name; rename one")]
    Duplicate(usize),
    /// It denies, and yet needs something.
    #[error(
        "it denies and names `needs`, which only a rule that allows has; move them into `when`"
    )]
    DenyNeeds,
    /// A list is empty where something has to stand.
    #[error("`{0}` lists nothing; name something, or take it out")]
    Empty(&'static str),
    /// A fact or an approval has no name.
    #[error("a fact or an approval has no name; name it as the host does")]
    NamelessFact,
    /// Its conditions are nested too deep.
    #[error("its conditions are nested deeper than {0}; split the rule")]
    TooDeep(usize),
    /// It has too many conditions.
    #[error("it has more than {0} conditions; split the rule")]
    TooManyConditions(usize),
    /// There are too many rules; this is the first too many.
    #[error("a set has at most {0} rules; merge some")]
    TooManyRules(usize),
}
