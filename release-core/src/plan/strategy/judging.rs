//! The steps by which a new version is judged.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::shares::{share_of_both, steered};
use super::{Site, StrategyError};
use crate::ids::{AnalysisId, IdError, StepId};
use crate::model::{Analysis, Gate};
use crate::plan::{Action, Beside, Deployment, Step};

impl Site<'_> {
    /// Judges the new version by the analyses named and by the release's criteria, each once: naming
    /// more is no way past the criteria. All of them measure from the start of the last of the steps
    /// `before` that begins a window: the bake or, without one, the change of shares. Those criteria that compare
    /// versions have nothing to say where one gets all of the traffic.
    ///
    /// # Errors
    /// A name that is none, and an analysis that is not defined.
    pub fn judge(
        &self,
        prefix: &str,
        named: &[AnalysisId],
        before: &[Step],
    ) -> Result<Vec<Step>, StrategyError> {
        self.judge_by(
            prefix,
            named.iter().chain(self.criteria),
            self.beside(before).as_ref(),
            before,
        )
    }

    /// As [`Site::judge`], by the analyses named alone: for the time before the new version gets any traffic.
    ///
    /// # Errors
    /// As [`Site::judge`].
    pub fn preview(
        &self,
        prefix: &str,
        named: &[AnalysisId],
        before: &[Step],
    ) -> Result<Vec<Step>, StrategyError> {
        self.judge_by(prefix, named.iter(), self.beside(before).as_ref(), before)
    }

    pub(super) fn judge_by<'n>(
        &self,
        prefix: &str,
        named: impl Iterator<Item = &'n AnalysisId>,
        beside: Option<&Beside>,
        before: &[Step],
    ) -> Result<Vec<Step>, StrategyError> {
        self.judge_of(&self.new, prefix, named, (beside, before))
    }

    /// As [`Site::judge_by`], of instances of the new version that are kept apart.
    pub(super) fn judge_of<'n>(
        &self,
        of: &Arc<Deployment>,
        prefix: &str,
        named: impl Iterator<Item = &'n AnalysisId>,
        (beside, before): (Option<&Beside>, &[Step]),
    ) -> Result<Vec<Step>, StrategyError> {
        let window = before.iter().rfind(|step| step.action.begins_a_window());
        let from = window.map(|step| step.id.clone());
        let mut seen = BTreeSet::new();
        let mut steps = Vec::new();
        for id in named.filter(|id| seen.insert(*id)) {
            let analysis = self.analysis(id)?;
            if analysis.compares() && beside.is_none() {
                continue;
            }
            let beside = beside.filter(|_| analysis.compares()).cloned().map(Box::new);
            let name = format!("{prefix}{id}");
            steps.push(self.analyze((of, &name), analysis, from.clone(), beside)?);
        }
        Ok(steps)
    }

    pub(super) fn analysis(&self, id: &AnalysisId) -> Result<&Arc<Analysis>, StrategyError> {
        self.analyses.get(id).ok_or_else(|| {
            let text =
                format!("names the analysis `{id}`, which is not defined; add it to `analyses`");
            StrategyError::Refused(text)
        })
    }

    pub(super) fn analyze(
        &self,
        (of, name): (&Arc<Deployment>, &str),
        analysis: &Arc<Analysis>,
        from: Option<StepId>,
        beside: Option<Box<Beside>>,
    ) -> Result<Step, IdError> {
        let (deployment, until) = (of.clone(), None);
        let action =
            Action::Analyze { deployment, analysis: Arc::clone(analysis), from, beside, until };
        let mut step = self.step(name, action)?.on_failure(self.on_failure(Some(&analysis.id)));
        step.gates.extend(analysis.begin_after.map(Gate::Soak));
        Ok(step)
    }

    /// The version from before, with the new one's share, where both get requests after the steps `before`: each its share,
    /// or the new one copies of what the old one answers.
    fn beside(&self, before: &[Step]) -> Option<Beside> {
        let baseline = self.old.clone()?;
        let new = self.new.artifact.digest();
        let routed = before.iter().rev().map(|step| &step.action);
        let (share, rules) = routed.into_iter().find_map(|action| {
            let Action::Route { rules, .. } = action else { return None };
            Some((share_of_both(action, new)?, rules.as_deref()))
        })?;
        let found = Beside { steered: steered(rules), ..Beside::new(baseline, share) };
        (1..100).contains(&share).then_some(found)
    }
}
