//! What instances carry by the role of their version, and the steps that change it.

use std::sync::Arc;

use super::Site;
use crate::ids::IdError;
use crate::model::{KeepNew, Metadata};
use crate::plan::{Action, Compensation, Deployment, Step, Undo, UndoPhase};

/// What instances carry: those of the version that comes, and those of the one that serves. A version has one role at a time, and the
/// version from before has none once the new one serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles {
    coming: Arc<Metadata>,
    serving: Arc<Metadata>,
}

impl Roles {
    /// These two; `None` where nothing is said of either.
    pub fn new(coming: &Metadata, serving: &Metadata) -> Option<Self> {
        let of = |metadata: &Metadata| Arc::new(metadata.clone());
        let some = !(coming.is_empty() && serving.is_empty());
        some.then(|| Self { coming: of(coming), serving: of(serving) })
    }
}

impl Site<'_> {
    /// So many of the new version, which comes; where there is no other, it serves. Where there is no other, there is nobody to keep
    /// away from either, and no more so where none run.
    pub(super) fn run_new(&self, replicas: u32) -> Action {
        let replaces = self.old.is_some();
        let role =
            |roles: &Roles| Arc::clone(if replaces { &roles.coming } else { &roles.serving });
        self.run_new_as(replicas, self.roles.as_ref().map(role))
    }

    fn run_new_as(&self, replicas: u32, metadata: Option<Arc<Metadata>>) -> Action {
        let some = replicas > 0;
        let apart = self.apart.filter(|_| some && self.old.is_some());
        let metadata = metadata.filter(|_| some);
        Action::Scale { deployment: self.new.clone(), replicas, apart, metadata }
    }

    /// So many of the old version, which serves.
    pub(super) fn run_old(&self, old: &Arc<Deployment>, replicas: u32) -> Action {
        let metadata = self.roles.as_ref().filter(|_| replicas > 0);
        let metadata = metadata.map(|roles| roles.serving.clone());
        Action::Scale { deployment: old.clone(), replicas, apart: None, metadata }
    }

    /// From now on the new version serves, and the old one, of which `old` instances run, has no role: what their instances carry
    /// is changed, one version after the other, and as many run as before. Undone with all else: the old version serves again, and the new
    /// one, where it is kept, comes. No steps where nothing is said of roles, and where the new version is the only one.
    ///
    /// # Errors
    /// A name that is none.
    pub fn promoted(&self, prefix: &str, old: u32) -> Result<Vec<Step>, IdError> {
        let (Some(roles), Some(_)) = (&self.roles, &self.old) else { return Ok(Vec::new()) };
        let all = self.replicas;
        let mut new = self.scale_new(&format!("{prefix}relabel"), all)?;
        new.action = self.run_new_as(all, Some(roles.serving.clone()));
        if self.keep_new != KeepNew::NOT {
            let back = Compensation { action: self.run_new(all), phase: UndoPhase::Remove };
            let rest = new.undo.compensations().iter().cloned();
            new.undo = Undo::Compensate(std::iter::once(back).chain(rest).collect());
        }
        let mut steps = vec![new];
        if let Some(mut step) = self.scale_old(&format!("{prefix}relabel-old"), old)? {
            if let Action::Scale { metadata, .. } = &mut step.action {
                *metadata = Some(Arc::default());
            }
            steps.push(step);
        }
        Ok(steps)
    }
}
