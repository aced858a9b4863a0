//! What a platform allows: limits of concurrency and quotas, and which steps they concern.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::event::{Unit, Want};
use crate::ids::{EnvironmentId, LimitId, RegionId, SemaphoreId, TeamId};
use crate::plan::{Action, Step};
use crate::time::{Span, Timestamp};

/// The limits and quotas of a platform, checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "LimitsFile", into = "LimitsFile")]
pub struct Limits(LimitsFile);

/// Limits and quotas as people write them; [`Limits::new`] checks them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// How much there may be at once.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// How much there may be in a time.
    #[serde(default)]
    pub quotas: Vec<Quota>,
    /// How long a step waits until nobody may pass it any more, and until it counts as much as a hotfix.
    #[serde(default = "half_an_hour")]
    pub patience: Span,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self { limits: Vec::new(), quotas: Vec::new(), patience: half_an_hour() }
    }
}

const fn half_an_hour() -> Span {
    Span::secs(1800)
}

/// How much of something there may be at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its name.
    pub id: LimitId,
    /// The steps that it concerns.
    #[serde(default)]
    pub scope: Scope,
    /// What is counted, and for how long.
    #[serde(default)]
    pub per: Per,
    /// How many permits there are; at least one.
    pub capacity: u32,
    /// How many there are besides that only rollbacks may take. Capacity and reserve together are the
    /// safety floor of the platform: nobody gets beyond them.
    #[serde(default)]
    pub rollback_reserve: u32,
    /// What teams have of it. Others have the weight 1 and no guarantee.
    #[serde(default)]
    pub shares: Vec<Share>,
    /// Whether what a team is guaranteed and does not use may be lent to others. It comes back with the
    /// next permit that is given back: an effect under way is not stopped for it.
    #[serde(default = "yes")]
    pub lend: bool,
}

const fn yes() -> bool {
    true
}

impl Limit {
    /// A limit of `capacity` steps at once, everywhere; refine with the fields.
    pub fn new(id: LimitId, capacity: u32) -> Self {
        let (scope, per, shares) = (Scope::default(), Per::Step, Vec::new());
        Self { id, scope, per, capacity, rollback_reserve: 0, shares, lend: true }
    }

    /// The most that there may be at once, rollbacks included.
    pub const fn most(&self) -> u32 {
        self.capacity.saturating_add(self.rollback_reserve)
    }

    /// A team's weight: how much it gets of what is fought over, beside the weights of others.
    pub(super) fn weight(&self, team: Option<&TeamId>) -> u32 {
        self.share(team).map_or(1, |share| share.weight)
    }

    /// What a team is sure to get.
    pub(super) fn guaranteed(&self, team: Option<&TeamId>) -> u32 {
        self.share(team).map_or(0, |share| share.guaranteed)
    }

    fn share(&self, team: Option<&TeamId>) -> Option<&Share> {
        self.shares.iter().find(|share| Some(&share.team) == team)
    }
}

/// What a team has of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The team.
    pub team: TeamId,
    /// How much it gets of what is fought over, beside the weights of others; at least 1.
    #[serde(default = "one")]
    pub weight: u32,
    /// How many permits it is sure to get.
    #[serde(default)]
    pub guaranteed: u32,
}

const fn one() -> u32 {
    1
}

/// How much of something there may be in a time. Rollbacks use up no quota, and none stops them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Its name; no limit has the same.
    pub id: LimitId,
    /// The steps that it concerns.
    #[serde(default)]
    pub scope: Scope,
    /// What is counted: each once, when it begins.
    #[serde(default)]
    pub per: Per,
    /// How many may begin in the time; at least one.
    pub amount: u32,
    /// The time.
    pub window: Window,
}

/// The time in which a quota is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// The last so long, at any instant.
    Rolling(Span),
    /// Each day, from midnight in UTC.
    Day,
    /// Each week, from Monday's midnight in UTC.
    Week,
}

impl Window {
    const DAY: i64 = 86_400_000_000;
    /// 1970-01-05 was a Monday.
    const MONDAY: i64 = 4 * Self::DAY;

    /// When what is counted at `now` begins: what was charged before does not count any more.
    pub fn start(self, now: Timestamp) -> Timestamp {
        let micros = now.as_micros();
        let floor = |origin: i64, length: i64| {
            let into = micros.saturating_sub(origin).rem_euclid(length);
            Timestamp::from_micros(micros.saturating_sub(into))
        };
        match self {
            Self::Rolling(span) => {
                // A charge that is exactly as old as the window is over.
                let length = Timestamp::default().plus(span).as_micros();
                Timestamp::from_micros(micros.saturating_sub(length).saturating_add(1))
            }
            Self::Day => floor(0, Self::DAY),
            Self::Week => floor(Self::MONDAY, 7 * Self::DAY),
        }
    }

    /// When a charge made at `at` does not count any more.
    pub fn end(self, at: Timestamp) -> Timestamp {
        let days = |n: u64| self.start(at).plus(Span::secs(n * 86_400));
        match self {
            Self::Rolling(span) => at.plus(span),
            Self::Day => days(1),
            Self::Week => days(7),
        }
    }
}

/// What is counted as one, and so how long a permit lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// A step, from its start until it is over, with all its attempts.
    #[default]
    Step,
    /// A region in a run: from its first step until its last is over. What only tidies up behind a
    /// rollout, once all regions are verified, is counted on its own.
    Region,
    /// A run: from its first step in an environment (or, for a limit of everywhere, from its first step
    /// at all) until its last there is over.
    Run,
}

/// Which steps a limit concerns: those that have all that is named here; all, when nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// In this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// In this region, of whatever environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// Of a service of this team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
    /// Performed by this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Of a service that names this semaphore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub semaphore: Option<SemaphoreId>,
}

impl Scope {
    fn concerns(&self, subject: &Subject<'_>) -> bool {
        let place = subject.step.scope.place();
        let Self { environment, region, team, provider, semaphore } = self;
        is(environment.as_ref(), place.map(|place| &place.environment))
            && is(region.as_ref(), place.and_then(|place| place.region.as_ref()))
            && is(team.as_ref(), place.and_then(|place| place.team.as_ref()))
            && is(provider.as_deref(), subject.provider)
            && semaphore.as_ref().is_none_or(|wanted| {
                place.is_some_and(|place| place.semaphores.iter().any(|other| other == wanted))
            })
    }
}

fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, given: Option<&T>) -> bool {
    wanted.is_none() || wanted == given
}

/// A step, as limits see it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The step.
    pub step: &'a Step,
    /// Who performs it, if that is known.
    pub provider: Option<&'a str>,
    /// How often it was asked for anew by hand.
    pub generation: u32,
    /// Whether it is part of a rollback.
    pub rollback: bool,
}

impl Limits {
    /// Checks limits and quotas.
    ///
    /// # Errors
    /// [`LimitErrors`] with everything that is wrong.
    pub fn new(file: LimitsFile) -> Result<Self, LimitErrors> {
        let mut errors = Vec::new();
        let mut names = BTreeSet::new();
        for limit in &file.limits {
            let mut fault = |problem| errors.push(LimitError { id: limit.id.clone(), problem });
            if !names.insert(&limit.id) {
                fault("is there twice; rename one");
            }
            if limit.capacity == 0 {
                fault("has no capacity, so that nothing would ever start; give it at least 1");
            }
            let guaranteed =
                limit.shares.iter().fold(0_u32, |sum, s| sum.saturating_add(s.guaranteed));
            if guaranteed > limit.capacity {
                fault("guarantees more than its capacity; raise the capacity, or guarantee less");
            }
            if guaranteed == limit.capacity && !limit.lend && guaranteed > 0 {
                fault(
                    "guarantees all and lends none: other teams would never start; lend, or keep some",
                );
            }
            if limit.shares.iter().any(|share| share.weight == 0) {
                fault("has a share of weight 0, which would never get anything; use at least 1");
            }
            let teams: BTreeSet<_> = limit.shares.iter().map(|share| &share.team).collect();
            if teams.len() < limit.shares.len() {
                fault("has two shares of one team; keep one");
            }
            limit.scope.check(limit.per, &mut fault);
        }
        for quota in &file.quotas {
            let mut fault = |problem| errors.push(LimitError { id: quota.id.clone(), problem });
            if !names.insert(&quota.id) {
                fault("is there twice; rename one");
            }
            if quota.amount == 0 {
                fault("has no amount, so that nothing would ever start; give it at least 1");
            }
            if quota.window == Window::Rolling(Span::ZERO) {
                fault("is counted over no time; give its window a length");
            }
            quota.scope.check(quota.per, &mut fault);
        }
        if errors.is_empty() { Ok(Self(file)) } else { Err(LimitErrors(errors)) }
    }

    /// The limits.
    pub fn limits(&self) -> &[Limit] {
        &self.0.limits
    }

    /// The quotas.
    pub fn quotas(&self) -> &[Quota] {
        &self.0.quotas
    }

    /// How long a step waits until nobody may pass it any more, and until it counts as much as a hotfix.
    pub const fn patience(&self) -> Span {
        self.0.patience
    }

    /// The limit of this name.
    pub fn limit(&self, id: &LimitId) -> Option<&Limit> {
        self.0.limits.iter().find(|limit| limit.id == *id)
    }

    /// The quota of this name.
    pub fn quota(&self, id: &LimitId) -> Option<&Quota> {
        self.0.quotas.iter().find(|quota| quota.id == *id)
    }

    /// Whether who performs a step matters to any.
    pub fn asks_for_providers(&self) -> bool {
        let limits = self.0.limits.iter().map(|limit| &limit.scope);
        limits.chain(self.0.quotas.iter().map(|q| &q.scope)).any(|scope| scope.provider.is_some())
    }

    /// What a step needs before it may start; empty when nothing limits it. Nothing limits what has no
    /// effect, nor telling people.
    pub fn wants(&self, subject: &Subject<'_>) -> Vec<Want> {
        let mut wants: Vec<Want> = Vec::new();
        let action = &subject.step.action;
        if action.is_pure() || matches!(action, Action::Notify { .. }) {
            return wants;
        }
        let mut add = |unit: Unit, limit: Option<&LimitId>, quota: Option<&LimitId>| {
            let at = wants.iter().position(|want| want.unit == unit).unwrap_or_else(|| {
                wants.push(Want { unit, limits: Vec::new(), quotas: Vec::new() });
                wants.len() - 1
            });
            if let Some(want) = wants.get_mut(at) {
                want.limits.extend(limit.cloned());
                want.quotas.extend(quota.cloned());
            }
        };
        for limit in self.0.limits.iter().filter(|limit| limit.scope.concerns(subject)) {
            if let Some(unit) = unit(limit.per, &limit.scope, subject) {
                add(unit, Some(&limit.id), None);
            }
        }
        let quotas = self.0.quotas.iter().filter(|quota| quota.scope.concerns(subject));
        for quota in quotas.filter(|_| !subject.rollback) {
            if let Some(unit) = unit(quota.per, &quota.scope, subject) {
                add(unit, None, Some(&quota.id));
            }
        }
        wants
    }
}

/// What a step is counted as, if it is at all: what belongs to no region is part of none.
fn unit(per: Per, scope: &Scope, subject: &Subject<'_>) -> Option<Unit> {
    let step = subject.step;
    match per {
        Per::Step => Some(Unit::Step { step: step.id.clone(), generation: subject.generation }),
        Per::Region => {
            let place = step.scope.place()?;
            let (environment, region) = (place.environment.clone(), place.region.clone()?);
            Some(Unit::Region { environment, region, finale: step.finale })
        }
        Per::Run => Some(Unit::Run { environment: scope.environment.clone() }),
    }
}

impl Scope {
    /// What lasts longer than a step is had by all steps of it: it must concern all of them or none.
    fn check(&self, per: Per, fault: &mut impl FnMut(&'static str)) {
        let narrow = self.team.is_some() || self.provider.is_some() || self.semaphore.is_some();
        match per {
            Per::Region if narrow => {
                fault(
                    "counts regions, but not all of their steps; name only places, or count steps",
                );
            }
            Per::Run if narrow || self.region.is_some() => fault(
                "counts runs, but not all of their steps; name only an environment, or count steps",
            ),
            Per::Step | Per::Region | Per::Run => {}
        }
    }
}

impl TryFrom<LimitsFile> for Limits {
    type Error = LimitErrors;
    fn try_from(file: LimitsFile) -> Result<Self, LimitErrors> {
        Self::new(file)
    }
}

impl From<Limits> for LimitsFile {
    fn from(limits: Limits) -> Self {
        limits.0
    }
}

/// A limit or a quota that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limit `{id}` {problem}")]
pub struct LimitError {
    /// Which.
    pub id: LimitId,
    /// What is wrong with it, and how to mend it.
    pub problem: &'static str,
}

/// Everything that is wrong with limits and quotas.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct LimitErrors(pub Vec<LimitError>);
