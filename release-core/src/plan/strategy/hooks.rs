//! What every strategy has around its own steps: what must be known before traffic comes, and what is called outside.

use super::site::share_after;
use super::{Rollout, Site, StrategyError};
use crate::ids::AnalysisId;
use crate::model::{Hook, HookPoint};
use crate::plan::{Action, Compensation, RetryPolicy, Step, Undo, UndoPhase};

/// Puts the analyses that have to pass before the first traffic, and the hooks, around the steps of a rollout.
pub(super) fn weave(
    rollout: &mut Rollout,
    site: &Site<'_>,
    before_traffic: &[AnalysisId],
    hooks: &[Hook],
) -> Result<(), StrategyError> {
    let new = site.new.artifact.digest();
    let mut woven = hooks_at(site, hooks, HookPoint::BeforeRollout, "")?;
    let (mut share, mut waits) = (0, !before_traffic.is_empty());
    for step in std::mem::take(&mut rollout.steps) {
        let to = share_after(&step.action, new).unwrap_or(share);
        if to <= share {
            woven.push(step);
            share = to;
            continue;
        }
        if std::mem::take(&mut waits) {
            let steps = site.judge_by("before-traffic/", before_traffic.iter(), None, &[])?;
            woven.extend(steps);
        }
        let path = format!("{}/", name_in(site, &step));
        woven.extend(hooks_at(site, hooks, HookPoint::BeforeIncrease, &path)?);
        if to == 100 {
            woven.extend(hooks_at(site, hooks, HookPoint::BeforePromotion, &path)?);
        }
        woven.push(step);
        woven.extend(hooks_at(site, hooks, HookPoint::AfterIncrease, &path)?);
        share = to;
    }
    woven.extend(hooks_at(site, hooks, HookPoint::AfterRollout, "")?);
    after_rollback(&mut woven, hooks);
    rollout.steps = woven;
    Ok(())
}

/// What the step is called below its target.
fn name_in<'a>(site: &Site<'_>, step: &'a Step) -> &'a str {
    let id = step.id.as_str();
    id.strip_prefix(&site.new.target.to_string()).map_or(id, |rest| rest.trim_start_matches('/'))
}

fn hooks_at(
    site: &Site<'_>,
    hooks: &[Hook],
    at: HookPoint,
    path: &str,
) -> Result<Vec<Step>, StrategyError> {
    let mut steps = Vec::new();
    for hook in hooks.iter().filter(|hook| hook.at == at) {
        let step = site.step(&format!("hooks/{path}{}", hook.id), call(hook))?;
        let attempts = hook.attempts.unwrap_or(site.attempts);
        // What it did, nobody takes back: a hook for that stands after the rollback.
        steps.push(step.retry(RetryPolicy::attempts(attempts)).undo(Undo::Compensate(Vec::new())));
    }
    Ok(steps)
}

fn call(hook: &Hook) -> Action {
    Action::Custom { capability: hook.capability.clone(), input: hook.input.clone() }
}

/// What is called once all is taken back belongs to the first step that has something to take back: that is undone last.
fn after_rollback(steps: &mut [Step], hooks: &[Hook]) {
    let compensated =
        |step: &&mut Step| matches!(&step.undo, Undo::Compensate(undo) if !undo.is_empty());
    let Some(first) = steps.iter_mut().find(compensated) else { return };
    let Undo::Compensate(undo) = &mut first.undo else { return };
    let called = hooks.iter().filter(|hook| hook.at == HookPoint::AfterRollback);
    undo.extend(called.map(|hook| Compensation { action: call(hook), phase: UndoPhase::Remove }));
}
