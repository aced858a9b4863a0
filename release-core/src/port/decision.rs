//! What a policy answers: yes, not yet or no, with its reasons and the digests of all that it went by.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Digest;
use crate::time::Timestamp;

/// A policy's answer. Exhaustive on purpose: a forgotten case would be a hole.
///
/// Where several policies speak, deny beats wait beats permit. `inputs` are the digests of all that the
/// answer depends on; a policy that has nothing to tell of them, says nothing and costs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may happen.
    Permit {
        /// By whose leave, how long each holds, and for what.
        grants: Vec<Grant>,
        /// What it was made from.
        inputs: Option<Box<Inputs>>,
    },
    /// Not now; ask again at `until`, or when something changes.
    Wait {
        /// The earliest instant at which the answer can change; `None` when only an input can.
        until: Option<Timestamp>,
        /// What is required.
        reasons: Vec<Reason>,
        /// What it was made from.
        inputs: Option<Box<Inputs>>,
    },
    /// No.
    Deny {
        /// Why: which rules say so, which leave is missing, which rules failed. [`Reason::kind`] tells
        /// them apart.
        reasons: Vec<Reason>,
        /// What it was made from.
        inputs: Option<Box<Inputs>>,
    },
}

impl Decision {
    /// It may happen, and there is no more to say.
    pub const fn permit() -> Self {
        Self::Permit { grants: Vec::new(), inputs: None }
    }

    /// Not now.
    pub const fn wait(until: Option<Timestamp>, reasons: Vec<Reason>) -> Self {
        Self::Wait { until, reasons, inputs: None }
    }

    /// No.
    pub const fn deny(reasons: Vec<Reason>) -> Self {
        Self::Deny { reasons, inputs: None }
    }

    /// The same answer, with what it was made from.
    #[must_use]
    pub fn from_inputs(self, made_from: Inputs) -> Self {
        let inputs = Some(Box::new(made_from));
        match self {
            Self::Permit { grants, .. } => Self::Permit { grants, inputs },
            Self::Wait { until, reasons, .. } => Self::Wait { until, reasons, inputs },
            Self::Deny { reasons, .. } => Self::Deny { reasons, inputs },
        }
    }

    /// What both come to: deny over wait over permit, with all reasons or all grants.
    pub(crate) fn and(self, other: Self) -> Self {
        let both = |one: Option<Box<Inputs>>, two: Option<Box<Inputs>>| match (one, two) {
            (Some(one), Some(two)) => Some(Box::new(one.or(&two))),
            (one, two) => one.or(two),
        };
        let joined = |mut one: Vec<Reason>, two: Vec<Reason>| {
            let new = two.into_iter().filter(|why| !one.contains(why)).collect::<Vec<_>>();
            one.extend(new);
            one
        };
        match (self, other) {
            (
                Self::Permit { mut grants, inputs },
                Self::Permit { grants: others, inputs: theirs },
            ) => {
                grants.extend(others);
                Self::Permit { grants, inputs: both(inputs, theirs) }
            }
            (
                Self::Wait { until, reasons, inputs },
                Self::Wait { until: later, reasons: others, inputs: theirs },
            ) => {
                // What only an input can change, no instant does.
                let until = until.zip(later).map(|(one, two)| one.max(two));
                let inputs = both(inputs, theirs);
                Self::Wait { until, reasons: joined(reasons, others), inputs }
            }
            (Self::Deny { reasons, inputs }, other) | (other, Self::Deny { reasons, inputs }) => {
                let theirs = other.inputs().copied().map(Box::new);
                let reasons = joined(reasons, other.reasons().to_vec());
                Self::Deny { reasons, inputs: both(inputs, theirs) }
            }
            (Self::Wait { until, reasons, inputs }, Self::Permit { inputs: theirs, .. })
            | (Self::Permit { inputs: theirs, .. }, Self::Wait { until, reasons, inputs }) => {
                Self::Wait { until, reasons, inputs: both(inputs, theirs) }
            }
        }
    }

    /// Whether it may happen.
    pub const fn is_permit(&self) -> bool {
        matches!(self, Self::Permit { .. })
    }

    /// Whether it is denied.
    pub const fn is_deny(&self) -> bool {
        matches!(self, Self::Deny { .. })
    }

    /// Why not; a permit has no reasons.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Permit { .. } => &[],
            Self::Wait { reasons, .. } | Self::Deny { reasons, .. } => reasons,
        }
    }

    /// What it was made from, as far as it says.
    pub fn inputs(&self) -> Option<&Inputs> {
        match self {
            Self::Permit { inputs, .. } | Self::Wait { inputs, .. } | Self::Deny { inputs, .. } => {
                inputs.as_deref()
            }
        }
    }
}

/// The digests of what an answer was made from, besides the request. Whoever keeps what they are of can
/// give the same answer years later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Inputs {
    /// The rules as they were then: all that deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// The rules that the run pins, where those are others: all that allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Digest>,
    /// Which roles may do what, and what is forbidden to whom; always those of the day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Digest>,
    /// Windows, holidays, waivers and the database of time zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Digest>,
    /// Who is who, and who has which role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Digest>,
    /// What was known besides, for example approvals and risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Digest>,
}

impl Inputs {
    /// What one names, and else the other.
    fn or(&self, other: &Self) -> Self {
        Self {
            policy: self.policy.or(other.policy),
            pinned: self.pinned.or(other.pinned),
            rights: self.rights.or(other.rights),
            calendar: self.calendar.or(other.calendar),
            directory: self.directory.or(other.directory),
            facts: self.facts.or(other.facts),
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, pinned, rights, calendar, directory, facts } = self;
        let all = [
            ("policy", policy),
            ("pinned policy", pinned),
            ("rights", rights),
            ("calendar", calendar),
            ("directory", directory),
            ("facts", facts),
        ];
        let known = all.iter().filter_map(|(name, digest)| digest.map(|digest| (name, digest)));
        known.enumerate().try_for_each(|(index, (name, digest))| {
            write!(f, "{}{name} {digest}", if index == 0 { "" } else { ", " })
        })
    }
}

/// A leave, as a lease: it is good for what it is bound to, until it ends. The engine takes none that has
/// ended or that was given for something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The rule that gives it.
    pub rule: String,
    /// The first instant at which it no longer holds; `None`: it holds until the rules change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Binding::is_free")]
    pub bound_to: Binding,
}

impl Grant {
    /// A leave of `rule`, without an end and for anything.
    pub fn of(rule: impl Into<String>) -> Self {
        Self { rule: rule.into(), valid_until: None, bound_to: Binding::default() }
    }

    /// The same leave, until an instant.
    #[must_use]
    pub const fn until(mut self, at: Timestamp) -> Self {
        self.valid_until = Some(at);
        self
    }

    /// The same leave, for this alone.
    #[must_use]
    pub const fn bound_to(mut self, bound_to: Binding) -> Self {
        self.bound_to = bound_to;
        self
    }
}

/// What a leave is for; what is not named does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Binding {
    /// This plan, which names each artifact and each environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Digest>,
    /// Under these rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
}

impl Binding {
    fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// What a permit stood on: the part of it that is journaled with what it permitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// By whose leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// What the answer was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Box<Inputs>>,
}

impl Basis {
    /// What a permit stood on; nothing, where it says nothing.
    pub(crate) fn of(grants: Vec<Grant>, inputs: Option<Box<Inputs>>) -> Option<Box<Self>> {
        (!grants.is_empty() || inputs.is_some()).then(|| Box::new(Self { grants, inputs }))
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Grant { rule, valid_until, .. }) in self.grants.iter().enumerate() {
            write!(f, "{}{rule}", if index == 0 { "by leave of " } else { ", " })?;
            valid_until.map_or(Ok(()), |at| write!(f, " until {at}"))?;
        }
        match &self.inputs {
            Some(inputs) if self.grants.is_empty() => write!(f, "from {inputs}"),
            Some(inputs) => write!(f, " ({inputs})"),
            None => Ok(()),
        }
    }
}

/// Why something may not happen, or not yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The rule, as its owner calls it, for example `freeze/black-friday`.
    pub rule: String,
    /// What it says.
    pub text: String,
    /// What would lift it, and who can.
    pub lifted_by: String,
    /// Whether a rule says no, a leave is missing, or a rule failed.
    #[serde(default, skip_serializing_if = "ReasonKind::is_rule")]
    pub kind: ReasonKind,
}

/// What kind of obstacle a reason tells of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// A rule stands in the way.
    #[default]
    Rule,
    /// A leave is missing that this rule could give.
    Missing,
    /// The rule could not be applied: something that it asks for is not known.
    Error,
    /// A rule wants what has begun to be taken back. In a denial of a step that goes forward it ends the run's
    /// way forward: the run goes back as far as a failure of the step would take it, and at least in
    /// its region.
    Revert,
}

impl ReasonKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    const fn is_rule(&self) -> bool {
        matches!(self, Self::Rule)
    }
}

impl Reason {
    /// A reason of `rule`.
    pub fn new(
        rule: impl Into<String>,
        text: impl Into<String>,
        lifted_by: impl Into<String>,
    ) -> Self {
        let (rule, text, lifted_by) = (rule.into(), text.into(), lifted_by.into());
        Self { rule, text, lifted_by, kind: ReasonKind::Rule }
    }

    /// The same, of another kind.
    #[must_use]
    pub const fn kind(mut self, kind: ReasonKind) -> Self {
        self.kind = kind;
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (lifted by {})", self.rule, self.text, self.lifted_by)
    }
}
