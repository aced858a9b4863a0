//! Rules as they are read: parsed, named and validated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::str::FromStr as _;

use cedar_policy::{
    Authorizer, Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use release_core::model::Digest;
use serde::{Deserialize, Serialize};

use super::places::{Group, groups};
use crate::canonical::Canonical;
use crate::rbac::Action;

/// The longest source that is read, in bytes.
const MAX_SOURCE: usize = 1 << 20;

/// What a fact is, that rules can ask for as `context.facts.<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactType {
    /// Whether something is so: Cedar's `Bool`.
    Flag,
    /// How much: Cedar's `Long`.
    Number,
    /// Which: Cedar's `String`.
    Text,
}

impl FactType {
    const fn in_cedar(self) -> &'static str {
        match self {
            Self::Flag => "Bool",
            Self::Number => "Long",
            Self::Text => "String",
        }
    }
}

/// Rules that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CedarError {
    /// The source is too long.
    #[error("the rules have {0} bytes, more than {MAX_SOURCE}; split them")]
    TooLong(usize),
    /// It is no Cedar.
    #[error("the rules cannot be read: {0}")]
    Parse(String),
    /// A rule has no name to be told by.
    #[error(
        "rule number {number} has no @id; decisions name the rules that they stand on, so give it one"
    )]
    NoId {
        /// Its place in the source, from 1.
        number: usize,
    },
    /// Two rules have one name.
    #[error("there are two rules @id(\"{id}\"); rename one")]
    Duplicate {
        /// The name.
        id: String,
    },
    /// Nobody answers for a rule.
    #[error("rule `{id}` has no @owner; say who answers for it and can change it")]
    NoOwner {
        /// The rule.
        id: String,
    },
    /// A template stands for no one rule until it is filled in.
    #[error(
        "rule `{id}` is a template (it has ?principal or ?resource); write the rules themselves"
    )]
    Template {
        /// The template.
        id: String,
    },
    /// A fact's name is no identifier of Cedar.
    #[error(
        "the fact `{name}` cannot be declared; name it with letters, digits and `_`, a letter first"
    )]
    FactName {
        /// The name.
        name: String,
    },
    /// With this rule, rules would have to be asked too often for what leaves open where it is.
    #[error(
        "rule `{id}` names places of so many kinds that it would take too long to ask it for each of \
         them together; write a rule for each kind, or for fewer places"
    )]
    TooManyPlaces {
        /// The rule.
        id: String,
    },
    /// Rules do not fit the schema.
    #[error("rule `{id}` does not fit the schema: {problem}")]
    Invalid {
        /// The rule.
        id: String,
        /// What is wrong with it, as Cedar says it.
        problem: String,
    },
}

/// A rule, as far as it is told of.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) effect: Effect,
    pub(super) owner: String,
    pub(super) because: Option<String>,
}

/// Rules in Cedar, ready to be asked. Without a `permit` that applies, they deny.
#[derive(Debug, Clone)]
pub struct CedarRules {
    pub(super) set: PolicySet,
    /// Those of them that name places.
    pub(super) groups: Vec<Group>,
    pub(super) schema: Schema,
    pub(super) told: BTreeMap<String, Told>,
    pub(super) facts: BTreeMap<String, FactType>,
    pub(super) authorizer: Authorizer,
    digest: Digest,
}

impl CedarRules {
    /// Reads rules that may ask for these facts.
    ///
    /// # Errors
    /// [`CedarError`] names the rule that cannot be used, and why.
    pub fn new<'a>(
        source: &str,
        facts: impl IntoIterator<Item = (&'a str, FactType)>,
    ) -> Result<Self, CedarError> {
        if source.len() > MAX_SOURCE {
            return Err(CedarError::TooLong(source.len()));
        }
        let facts: BTreeMap<_, _> =
            facts.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
        let written = schema(&facts)?;
        let read = PolicySet::from_str(source).map_err(|e| CedarError::Parse(e.to_string()))?;
        let (set, told) = named(&read)?;
        let (schema, _) = Schema::from_cedarschema_str(&written)
            .map_err(|error| CedarError::Parse(error.to_string()))?;
        let found = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
        if let Some(error) = found.validation_errors().next() {
            let id = error.policy_id().to_string();
            return Err(CedarError::Invalid { id, problem: error.to_string() });
        }
        let groups = groups(&set)?;
        let rules: BTreeMap<_, _> =
            set.policies().map(|rule| (rule.id().to_string(), rule.to_string())).collect();
        let digest = Canonical::new("release/cedar/1")
            .text(&written)
            .list(rules.iter(), |all, (id, rule)| all.text(id).text(rule))
            .finish();
        Ok(Self { set, groups, schema, told, facts, authorizer: Authorizer::new(), digest })
    }

    /// The schema that rules are validated against, with these facts: for editors and for `cedar validate`.
    ///
    /// # Errors
    /// [`CedarError::FactName`].
    pub fn schema<'a>(
        facts: impl IntoIterator<Item = (&'a str, FactType)>,
    ) -> Result<String, CedarError> {
        schema(&facts.into_iter().map(|(name, of)| (name.to_owned(), of)).collect())
    }

    /// The digest of the rules and of the facts that they may ask for; their order and their layout do not
    /// matter.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The names of all rules.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        self.told.keys().map(String::as_str)
    }
}

/// The rules under the names that they give themselves.
fn named(read: &PolicySet) -> Result<(PolicySet, BTreeMap<String, Told>), CedarError> {
    if let Some(template) = read.templates().next() {
        let id = template.annotation("id").map_or_else(|| template.id().to_string(), str::to_owned);
        return Err(CedarError::Template { id });
    }
    // Cedar numbers them as `policy0` and so on.
    let number = |rule: &Policy| {
        rule.id().to_string().strip_prefix("policy").and_then(|n| n.parse().ok()).unwrap_or(0_usize)
    };
    let mut rules: Vec<_> = read.policies().collect();
    rules.sort_by_key(|rule| number(rule));
    let (mut set, mut told, mut ids) = (PolicySet::new(), BTreeMap::new(), BTreeSet::new());
    for (number, rule) in (1..).zip(rules) {
        let text = |name| rule.annotation(name).filter(|text| !text.trim().is_empty());
        let id = text("id").ok_or(CedarError::NoId { number })?.to_owned();
        let owner = text("owner").ok_or_else(|| CedarError::NoOwner { id: id.clone() })?.to_owned();
        if !ids.insert(id.clone()) {
            return Err(CedarError::Duplicate { id });
        }
        let because = text("because").map(str::to_owned);
        told.insert(id.clone(), Told { effect: rule.effect(), owner, because });
        set.add(rule.new_id(PolicyId::new(&id))).map_err(|e| CedarError::Parse(e.to_string()))?;
    }
    Ok((set, told))
}

fn schema(facts: &BTreeMap<String, FactType>) -> Result<String, CedarError> {
    let mut known = String::new();
    for (name, of) in facts {
        let mut letters = name.chars();
        let fits = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !fits {
            return Err(CedarError::FactName { name: name.clone() });
        }
        let written = write!(known, "\"{name}\"?: {}, ", of.in_cedar());
        debug_assert!(written.is_ok(), "text takes all that is written to it");
    }
    // Nobody asks here whether they may request a run.
    let asked = Action::ALL.iter().filter(|action| **action != Action::Request);
    let actions: Vec<_> = asked.map(|action| format!("\"{action}\"")).collect();
    let actions = actions.join(", ");
    Ok(format!(
        "namespace Release {{
  entity Role;
  entity Person in [Role] {{ id: String }};
  entity Machine in [Role] {{ id: String }};
  entity Environment;
  entity Region;
  entity Service;
  entity Team;
  entity Train;
  entity Run in [Train, Environment, Region, Service, Team] {{ id: String, requester: String }};
  entity Step in [Run, Train, Environment, Region, Service, Team] {{
    id: String, capability: String, rollback: Bool,
    environment?: String, region?: String, service?: String, team?: String,
  }};
  action {actions} appliesTo {{
    principal: [Person, Machine], resource: [Step, Run],
    context: {{ now: Long, facts: {{ {known} }} }},
  }};
}}
"
    ))
}
