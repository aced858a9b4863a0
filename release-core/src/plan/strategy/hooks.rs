//! What every strategy has around its own steps: what must be known before traffic comes, what is called outside, and a
//! look whether whoever gets more traffic is still ready where time may have passed before.

use std::time::Duration;

use super::looked::Looked;
use super::shares::{distributed, distributes, share_after};
use super::{Rollout, Site, StrategyError};
use crate::ids::{AnalysisId, HookId, IdError};
use crate::model::{Digest, Hook, HookPoint, StepCall};
use crate::plan::{Action, Compensation, OnFailure, RetryPolicy, Step, Undo, UndoPhase};
use crate::time::Span;

/// What the look is called, below the name of the step before which it stands.
pub(in crate::plan) const READY_AGAIN: &str = "ready-again";
/// The same of the look at the version from before.
pub(in crate::plan) const OLD_READY_AGAIN: &str = "old-ready-again";
/// The same of the look whether the traffic is still distributed as it was set.
pub(in crate::plan) const ROUTED_AGAIN: &str = "routed-again";
/// How often it is asked again, while a hook that may take its time says that it does not know yet: at the most…
const OFTEN: Span = Span::secs(1);
/// …and at the least.
const SELDOM: Span = Span::secs(300);

/// Puts the analyses that have to pass before the first traffic, and the hooks, around the steps of a rollout.
pub(super) fn weave(
    rollout: &mut Rollout,
    site: &Site<'_>,
    before_traffic: &[AnalysisId],
    hooks: &[Hook],
) -> Result<(), StrategyError> {
    if hooks.is_empty() && before_traffic.is_empty() && !rollout.steps.iter().any(takes_time) {
        return Ok(()); // nothing stands around its own steps
    }
    let mut weaver = Weaver {
        site,
        before_traffic,
        hooks,
        woven: Vec::with_capacity(rollout.steps.len()),
        reach: Reach::default(),
        reached: false,
        looked: Looked::before(site),
        met: false,
        unlooked: false,
    };
    weaver.call(HookPoint::BeforeRollout, "")?;
    for step in std::mem::take(&mut rollout.steps) {
        weaver.add(step)?;
    }
    weaver.call(HookPoint::AfterRollout, "")?;
    after_rollback(&mut weaver.woven, site, hooks)?;
    rollout.steps = weaver.woven;
    Ok(())
}

/// Who gets to the new version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reach {
    /// Its share of the traffic in percent.
    share: u8,
    /// Whether headers or copies bring requests to it besides.
    rules: bool,
}

impl Reach {
    /// After a change of shares; `None` for everything else.
    fn after(action: &Action, new: Digest) -> Option<Self> {
        let share = share_after(action, new)?;
        let Action::Route { rules, .. } = action else { return None };
        let rules = rules.iter().flat_map(|rules| rules.targets()).any(|to| to == new);
        Some(Self { share, rules })
    }

    const fn is_more_than(self, before: Self) -> bool {
        self.share > before.share || (self.rules && !before.rules)
    }
}

struct Weaver<'a> {
    site: &'a Site<'a>,
    before_traffic: &'a [AnalysisId],
    hooks: &'a [Hook],
    woven: Vec<Step>,
    reach: Reach,
    /// Whether anybody got to the new version yet.
    reached: bool,
    /// Who was seen to be ready.
    looked: Looked,
    /// Whether anybody has looked at the new version yet.
    met: bool,
    /// Whether time may have passed since the traffic was last distributed, or looked at.
    unlooked: bool,
}

impl Weaver<'_> {
    fn add(&mut self, step: Step) -> Result<(), StrategyError> {
        match Reach::after(&step.action, self.site.new.artifact.digest()) {
            Some(after) => self.shift(step, after),
            None => self.beside(step),
        }
    }

    /// A step that is no change of shares.
    fn beside(&mut self, step: Step) -> Result<(), StrategyError> {
        let new = self.site.new_version();
        let meets = !self.met
            && matches!(&step.action, Action::Probe { deployment, .. } if deployment == new);
        let passes = takes_time(&step);
        if passes {
            self.looked.age();
        }
        self.unlooked = (self.unlooked || passes) && !distributes(&step);
        self.looked.note(&step.action);
        self.woven.push(step);
        if meets {
            self.met = true;
            self.call(HookPoint::WhenReady, "")?;
        }
        Ok(())
    }

    /// A change of shares. Where the new version gets more: what has to be known is known, and has to be as it was known, when it
    /// comes. Whoever gets more, also on a track or of the version from before, has to be as ready as it was seen to be. What the
    /// step waits for stands before all of that, so that no answer is older than the wait.
    fn shift(&mut self, mut step: Step, after: Reach) -> Result<(), StrategyError> {
        let (begin, path) = (self.woven.len(), format!("{}/", name_in(self.site, &step)));
        let more = after.is_more_than(self.reach);
        let gates = std::mem::take(&mut step.gates);
        if more {
            self.before_more(&path, after)?;
        }
        if !gates.is_empty() {
            self.looked.age();
            self.unlooked = true;
        }
        if more && self.unlooked {
            self.look_at_traffic(&path)?;
        }
        for look in self.looked.again(self.site, &path, &step.action, more)? {
            self.looked.note(&look.action);
            self.woven.push(look);
        }
        let first = self.woven.get_mut(begin).unwrap_or(&mut step);
        first.gates = gates.into_iter().chain(std::mem::take(&mut first.gates)).collect();
        (self.reach, self.unlooked) = (after, false);
        self.looked.note(&step.action);
        self.woven.push(step);
        if more { self.call(HookPoint::AfterIncrease, &path) } else { Ok(()) }
    }

    /// What stands before the new version gets more of the traffic.
    fn before_more(&mut self, path: &str, after: Reach) -> Result<(), StrategyError> {
        if !std::mem::replace(&mut self.reached, true) && !self.before_traffic.is_empty() {
            let analyses = self.before_traffic.iter();
            self.woven.extend(self.site.judge_by("before-traffic/", analyses, None, &[])?);
            self.looked.age();
            self.unlooked = true;
        }
        self.call(HookPoint::BeforeIncrease, path)?;
        if after.share == 100 {
            self.call(HookPoint::BeforePromotion, path)?;
        }
        Ok(())
    }

    /// Looks whether the traffic is still distributed as it was set last, where anything was.
    fn look_at_traffic(&mut self, path: &str) -> Result<(), StrategyError> {
        if let Some(set) = distributed(&self.woven) {
            self.woven.push(self.site.confirm(&format!("{path}{ROUTED_AGAIN}"), set)?);
        }
        Ok(())
    }

    fn call(&mut self, at: HookPoint, path: &str) -> Result<(), StrategyError> {
        for hook in self.hooks.iter().filter(|hook| hook.at == at) {
            self.woven.push(step(self.site, hook, path)?);
            self.looked.age();
            self.unlooked = true;
        }
        Ok(())
    }
}

/// Whether what was seen before a step may not be so after it.
pub(super) fn takes_time(step: &Step) -> bool {
    let lasts = matches!(
        step.action,
        Action::Bake { .. } | Action::Analyze { .. } | Action::Custom { .. } | Action::Sync
    );
    lasts || step.is_gated()
}

/// What the step is called below its target.
fn name_in<'a>(site: &Site<'_>, step: &'a Step) -> &'a str {
    let id = step.id.as_str();
    id.strip_prefix(&site.path).map_or(id, |rest| rest.trim_start_matches('/'))
}

fn step(site: &Site<'_>, hook: &Hook, path: &str) -> Result<Step, IdError> {
    let step = site.step(&format!("hooks/{path}{}", hook.id), call(hook))?;
    // What it did, nobody takes back: a hook for that stands after the rollback.
    Ok(tried(site, step, &Called::from(hook)).undo(Undo::Nothing))
}

/// What one step of a strategy calls, below `prefix`: those that say how are undone by another call.
pub(super) fn calls(
    site: &Site<'_>,
    prefix: &str,
    calls: &[StepCall],
) -> Result<Vec<Step>, IdError> {
    let step = |call: &StepCall| {
        let of = |input: &serde_json::Value| {
            let (capability, input) = (call.capability.clone(), input.clone());
            Action::Custom { capability, input }
        };
        let undo = if call.undo.is_null() {
            Undo::Nothing
        } else {
            let (action, phase) = (of(&call.undo), UndoPhase::Remove);
            Undo::Compensate(vec![Compensation { action, phase }])
        };
        let step = site.step(&format!("{prefix}calls/{}", call.id), of(&call.input))?;
        Ok(tried(site, step, &Called::from(call)).undo(undo))
    };
    calls.iter().map(step).collect()
}

/// Each of its looks is a few records in the journal.
const LONGEST_WAIT: Duration = Duration::from_hours(30 * 24);

/// How something outside is called, whatever calls it.
pub(in crate::plan) struct Called<'a> {
    id: &'a HookId,
    capability: &'a str,
    attempts: Option<u32>,
    wait: Option<Span>,
    optional: bool,
}

impl<'a> From<&'a Hook> for Called<'a> {
    fn from(hook: &'a Hook) -> Self {
        let Hook { id, at: _, capability, input: _, attempts, wait, optional } = hook;
        Self { id, capability, attempts: *attempts, wait: *wait, optional: *optional }
    }
}

impl<'a> From<&'a StepCall> for Called<'a> {
    fn from(call: &'a StepCall) -> Self {
        let StepCall { id, capability, input: _, undo: _, attempts, wait, optional } = call;
        Self { id, capability, attempts: *attempts, wait: *wait, optional: *optional }
    }
}

impl Called<'_> {
    /// What is wrong with it, which is called `what`, and how to mend it.
    pub(in crate::plan) fn problem(&self, what: &str) -> Option<String> {
        let Self { id, capability, attempts, wait, .. } = self;
        if *attempts == Some(0) {
            Some(format!("{what} `{id}` has 0 `attempts` and would not be called; set 1 or more"))
        } else if wait.is_some() && attempts.is_some() {
            Some(format!("{what} `{id}` has `attempts` and `wait`; say one of them"))
        } else if wait.is_some_and(|wait| wait.as_duration() > LONGEST_WAIT) {
            Some(format!("{what} `{id}` may take more than 30 days of `wait`; set less"))
        } else if capability.is_empty() {
            Some(format!("{what} `{id}` has no `capability`; name what calls it"))
        } else {
            None
        }
    }
}

/// As often as it is to be called, with what follows when it fails.
fn tried(site: &Site<'_>, step: Step, called: &Called<'_>) -> Step {
    let retry = match called.wait {
        Some(wait) => patient(wait),
        None => RetryPolicy::attempts(called.attempts.unwrap_or(site.attempts)),
    };
    let step = if called.optional { step.on_failure(OnFailure::Continue) } else { step };
    step.retry(retry)
}

/// As many attempts as fit into `wait`, whose pauses are half of what they may be on average.
fn patient(wait: Span) -> RetryPolicy {
    let wait = wait.as_duration();
    let pause = (wait / 100).clamp(OFTEN.as_duration(), SELDOM.as_duration());
    let attempts = (2 * wait.as_micros()).div_ceil(pause.as_micros());
    let max_attempts = u32::try_from(attempts).unwrap_or(u32::MAX).max(1);
    RetryPolicy { max_attempts, backoff: pause.into(), max_backoff: pause.into() }
}

fn call(hook: &Hook) -> Action {
    Action::Custom { capability: hook.capability.clone(), input: hook.input.clone() }
}

/// What is called once all is taken back belongs to the first step of the rollout: it is undone last, and whatever
/// was begun. Before one of which everything stays, a step stands for it that does nothing.
fn after_rollback(steps: &mut Vec<Step>, site: &Site<'_>, hooks: &[Hook]) -> Result<(), IdError> {
    let called = hooks.iter().filter(|hook| hook.at == HookPoint::AfterRollback);
    let tell = |hook: &Hook| Compensation { action: call(hook), phase: UndoPhase::Tell };
    let called: Vec<_> = called.map(tell).collect();
    if called.is_empty() {
        return Ok(());
    }
    let undone = |undo: &Undo| match undo {
        Undo::Compensate(_) | Undo::Nothing | Undo::Stays => true,
        Undo::Undeclared | Undo::PointOfNoReturn { .. } => false,
    };
    let Some(at) = steps.iter().position(|step| undone(&step.undo)) else { return Ok(()) };
    if steps.get(at).is_some_and(|step| step.undo == Undo::Stays) {
        steps.insert(at, site.step("hooks/begun", Action::Sync)?.undo(Undo::Compensate(called)));
    } else if let Some(step) = steps.get_mut(at) {
        let own = step.undo.compensations().iter().cloned();
        step.undo = Undo::Compensate(own.chain(called).collect());
    }
    Ok(())
}
