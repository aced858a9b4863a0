//! The flags of a stage: read, then set by degrees, in groups that say in which order they are restored.

use super::{Expansion, prefixed, sync};
use crate::flags::FlagState;
use crate::ids::{EnvironmentId, IdError, ServiceId, StepId};
use crate::model::{Environment, FlagChange, FlagMoment, RollbackTrigger, Stage};
use crate::plan::{Action, EdgeKind, FlagStep, OnFailure, Place, RetryPolicy, Step, StepScope};
use crate::time::Span;

/// The changes of flags of a stage that come before its rollouts: for which service each is, if for one, its last step
/// and its group.
#[derive(Debug, Default)]
pub(super) struct Before<'a>(Vec<(Option<&'a ServiceId>, u32, u32)>);

impl Before<'_> {
    /// The last step of all, whoever waits for it.
    pub(super) fn last(&self) -> Option<u32> {
        self.0.last().map(|(_, last, _)| *last)
    }

    /// What the rollout of a service waits for besides its stage, with the groups that it depends on.
    pub(super) fn of(&self, service: &ServiceId) -> impl Iterator<Item = (u32, u32)> {
        let concerned = self.0.iter().filter(move |(of, ..)| of.is_none_or(|of| of == service));
        concerned.map(|(_, last, group)| (*last, *group))
    }
}

/// A rollout that is done: its service, its last steps, its group.
pub(super) type Done<'a> = (&'a ServiceId, Vec<u32>, u32);

/// How many steps a change of a flag has.
fn size(change: &FlagChange) -> usize {
    let bakes = if change.bake == Span::ZERO { 0 } else { change.shares.len() };
    1 + usize::from(!change.gates.is_empty()) + change.shares.len() + bakes
}

impl<'a> Expansion<'a> {
    /// Changes the flags that come before the rollouts, behind the step `gate`, one after the other.
    pub(super) fn flags_before(
        &mut self,
        (stage, environment): (&'a Stage, &Environment),
        gate: u32,
    ) -> Result<Before<'a>, IdError> {
        let mut before = Before::default();
        let changes = stage.flags.iter().filter(|change| change.when == FlagMoment::Before);
        for change in changes {
            let (last, after) = before
                .0
                .last()
                .map_or((gate, Vec::new()), |(_, last, group)| (*last, vec![*group]));
            let (last, group) = self.flag((stage, environment), change, &[last], after)?;
            before.0.push((change.service.as_ref(), last, group));
        }
        Ok(before)
    }

    /// Changes the flags that come after the rollouts `done`, one after the other: each behind those that it waits for,
    /// which for one of the whole stage is the step `gate` where all meet. Returns what is then to be waited for.
    pub(super) fn flags_after(
        &mut self,
        (stage, environment): (&'a Stage, &Environment),
        gate: u32,
        done: &[Done<'a>],
    ) -> Result<Vec<u32>, IdError> {
        let mut before: Option<(u32, u32)> = None;
        let changes = stage.flags.iter().filter(|change| change.when == FlagMoment::After);
        for change in changes {
            let concerns = |of: &ServiceId| change.service.as_ref().is_none_or(|own| own == of);
            let rollouts = || done.iter().filter(|(of, ..)| concerns(of));
            let ends = rollouts().flat_map(|(_, last, _)| last).copied();
            let mut waits: Vec<u32> = ends.filter(|_| change.service.is_some()).collect();
            if waits.is_empty() {
                waits.push(gate); // of the whole stage, or of a service that does not change
            }
            let mut after: Vec<u32> = rollouts().map(|(_, _, group)| *group).collect();
            if let Some((last, group)) = before {
                waits.push(last);
                after.push(group);
            }
            before = Some(self.flag((stage, environment), change, &waits, after)?);
        }
        let last = before.map(|(last, _)| last);
        Ok([gate].into_iter().chain(last).collect())
    }

    /// Adds the steps of one change, behind all of `waits`, in a group that depends on `after`. Returns the last of them
    /// and the group.
    fn flag(
        &mut self,
        (stage, environment): (&Stage, &Environment),
        change: &FlagChange,
        waits: &[u32],
        after: Vec<u32>,
    ) -> Result<(u32, u32), IdError> {
        let (place, flag) = (&environment.id, &change.flag);
        let path = path(place, change);
        let group = self.builder.group(path.clone(), after);
        let named = |name: &str| StepId::new(format!("{path}/{name}"));
        let (mut steps, on_failure) = (Vec::with_capacity(size(change)), self.on_failure());
        if !change.gates.is_empty() {
            let mut enter = sync(format!("{path}/enter"), environment)?.on_failure(on_failure);
            enter.gates = prefixed(&path, &change.gates)?;
            steps.push(enter);
        }
        let step = |id: StepId, action: Action| Step {
            scope: StepScope::of(Place::new(place.clone())),
            retry: RetryPolicy::attempts(stage.attempts),
            timeout: stage.step_timeout,
            on_failure,
            group: Some(group),
            ..Step::new(id, action)
        };
        let read = named("read")?;
        let reads = FlagStep::read(place.clone(), flag.clone());
        steps.push(step(read.clone(), Action::Flag(reads)));
        for share in &change.shares {
            // Shares were checked.
            let wanted = FlagState::share(*share).unwrap_or_default();
            let set = FlagStep::set(place.clone(), flag.clone(), wanted);
            let undo = set.restored_from(&read);
            steps.push(step(named(&format!("share-{share}"))?, Action::Flag(set)).undo(undo));
            if change.bake != Span::ZERO {
                let bake = Action::Bake { duration: change.bake };
                steps.push(step(named(&format!("share-{share}/bake"))?, bake));
            }
        }
        let waits: Vec<_> = waits.iter().map(|from| (*from, EdgeKind::Sync)).collect();
        // INVARIANT: there are steps.
        let last = self.chain(&mut steps, &waits).unwrap_or_default();
        Ok((last, group))
    }

    /// What the release's criteria say of a step that fails, also of one whose gate was rejected.
    ///
    /// The steps that ask this belong to no region: what a scope of a region or a wave takes back is their environment
    /// ([`Reach::of`](crate::plan::Reach::of)). So the rejected gate of a stage takes nothing back of the environments
    /// before it, where all is well, unless the scope is the whole release.
    pub(super) fn on_failure(&self) -> OnFailure {
        let Some(criteria) = &self.definition.release.rollback else { return OnFailure::Fail };
        if criteria.triggers.contains(&RollbackTrigger::StepFailed) {
            OnFailure::RollBack(criteria.scope)
        } else {
            OnFailure::Hold
        }
    }
}

/// What the steps of a change are called: ids of steps have no capital letters.
fn path(environment: &EnvironmentId, change: &FlagChange) -> String {
    format!("{environment}/flags/{}", change.flag.as_str().to_ascii_lowercase())
}

/// How many steps the flags of a stage have.
pub(super) fn sizes(stage: &Stage) -> usize {
    stage.flags.iter().map(size).fold(0, usize::saturating_add)
}
