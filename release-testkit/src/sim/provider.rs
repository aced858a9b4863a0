//! How the simulated providers behave: how long they take, what they can tell, and how they fail.

use release_core::model::Span;
use release_core::plan::Action;
use serde::{Deserialize, Serialize};

use super::chance::Chance;

/// What a provider is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Checking artifacts.
    Artifacts,
    /// Running instances.
    Deploy,
    /// Asking instances whether they are ready.
    Health,
    /// Distributing traffic.
    Traffic,
    /// Measuring.
    Metrics,
    /// Telling people.
    Notify,
    /// Anything that a host registers itself.
    Custom,
}

impl Capability {
    pub(super) const ALL: [Self; 7] = [
        Self::Artifacts,
        Self::Deploy,
        Self::Health,
        Self::Traffic,
        Self::Metrics,
        Self::Notify,
        Self::Custom,
    ];

    /// Its word in plans of faults.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Artifacts => "artifacts",
            Self::Deploy => "deploy",
            Self::Health => "health",
            Self::Traffic => "traffic",
            Self::Metrics => "metrics",
            Self::Notify => "notify",
            Self::Custom => "custom",
        }
    }

    /// The one that performs `action`.
    pub(super) const fn of(action: &Action) -> Self {
        match action {
            Action::VerifyArtifact { .. } => Self::Artifacts,
            Action::Scale { .. } => Self::Deploy,
            Action::Probe { .. } => Self::Health,
            Action::Route { .. } | Action::Confirm { .. } => Self::Traffic,
            Action::Analyze { .. } => Self::Metrics,
            Action::Notify { .. } => Self::Notify,
            _ => Self::Custom,
        }
    }
}

/// What a provider can do about an operation whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nature {
    /// What was done under a key is not done again.
    Idempotent,
    /// It does again what it is asked again, and can be asked what it did.
    Queryable,
    /// It does again what it is asked again, and cannot tell what it did.
    Opaque,
}

/// How one call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProviderFault {
    /// It fails without effect; later it may succeed.
    Transient,
    /// It fails without effect, for good.
    Permanent,
    /// It answers that it does not know; half of the time it took effect.
    Unknown,
    /// It takes effect, and never answers.
    ApplyThenTimeout,
    /// It does not answer in time, and takes effect only then.
    TimeoutThenApply,
    /// It never answers, and nothing happens.
    Hang,
    /// Its answer comes twice, the second time late.
    Duplicate,
    /// Its answer comes after its deadline.
    Late,
    /// It answers for another artifact than it was asked for.
    WrongDigest,
    /// It succeeds, and some time later what it did is undone by somebody else.
    Revert,
    /// It answers what was not asked.
    Garbage,
    /// It takes nine tenths of its deadline.
    Slow,
    /// Metrics: there is no data. Elsewhere as `transient`.
    NoData,
    /// Metrics: nothing of nothing, which is no number. Elsewhere as `transient`.
    Nan,
    /// Metrics: a measurement beyond the limit. Elsewhere as `permanent`.
    Bad,
}

impl ProviderFault {
    pub(super) const ALL: [Self; 15] = [
        Self::Transient,
        Self::Permanent,
        Self::Unknown,
        Self::ApplyThenTimeout,
        Self::TimeoutThenApply,
        Self::Hang,
        Self::Duplicate,
        Self::Late,
        Self::WrongDigest,
        Self::Revert,
        Self::Garbage,
        Self::Slow,
        Self::NoData,
        Self::Nan,
        Self::Bad,
    ];

    /// Its word in plans of faults.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Unknown => "unknown",
            Self::ApplyThenTimeout => "apply-then-timeout",
            Self::TimeoutThenApply => "timeout-then-apply",
            Self::Hang => "hang",
            Self::Duplicate => "duplicate",
            Self::Late => "late",
            Self::WrongDigest => "wrong-digest",
            Self::Revert => "revert",
            Self::Garbage => "garbage",
            Self::Slow => "slow",
            Self::NoData => "no-data",
            Self::Nan => "nan",
            Self::Bad => "bad",
        }
    }
}

/// The providers of a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Providers {
    pub(super) latency: (Span, Span),
    natures: [Nature; Capability::ALL.len()],
    /// Whether fakes forget what they did under which key.
    pub(super) forgets: bool,
}

impl Default for Providers {
    fn default() -> Self {
        Self::new()
    }
}

impl Providers {
    /// Answers within 1 to 20 s, evenly. Notifiers are idempotent, all others can be asked what they did.
    pub fn new() -> Self {
        let natures = [Nature::Queryable; Capability::ALL.len()];
        let latency = (Span::secs(1), Span::secs(20));
        Self { latency, natures, forgets: false }.nature(Capability::Notify, Nature::Idempotent)
    }

    /// Sets how long an answer takes, evenly between two spans.
    pub const fn latency(mut self, least: Span, most: Span) -> Self {
        self.latency = (least, most);
        self
    }

    /// Sets what the provider of `capability` can do about unknown outcomes.
    pub fn nature(mut self, capability: Capability, nature: Nature) -> Self {
        if let Some(slot) = self.natures.get_mut(capability as usize) {
            *slot = nature;
        }
        self
    }

    /// Fakes that forget what they did under which key, although they promise to remember it: whoever is asked
    /// again does it again.
    pub const fn forgetful(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// What the provider of `capability` can do about unknown outcomes.
    pub fn nature_of(&self, capability: Capability) -> Nature {
        self.natures.get(capability as usize).copied().unwrap_or(Nature::Queryable)
    }

    pub(super) fn delay(&self, chance: &mut Chance) -> Span {
        chance.span(self.latency.0, self.latency.1)
    }
}
