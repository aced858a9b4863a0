//! What judges saw at each look, for reports.

use std::collections::BTreeMap;

use crate::analysis::{Conclusion, Finding, Power, power};
use crate::ids::StepId;
use crate::model::{Analysis, Judge, Threshold, Unit};
use crate::plan::Action;
use crate::run::{Event, RunState};
use crate::time::Timestamp;

/// A step that judges, look by look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The step's id.
    pub step: String,
    /// What was measured.
    pub metric: String,
    /// What it was planned to be able to find, where that could be told beforehand.
    pub planned: Option<String>,
    /// The looks, in order; those of an attempt that was asked for anew follow on.
    pub looks: Vec<Look>,
    /// Whether the step ended with its last look, whatever that came to.
    pub ended: bool,
    /// Whether each look is held against a limit, alone.
    pub limit: bool,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// What was found.
    pub finding: Finding,
}

impl Compared {
    /// What it came to; without looks it was not evaluated.
    pub fn conclusion(&self) -> Conclusion {
        self.looks.last().map_or(Conclusion::NotEvaluated, |look| look.finding.conclusion)
    }
}

/// All steps that judge, without looks yet.
pub(super) fn steps(state: &RunState) -> Vec<Compared> {
    let promised: BTreeMap<&StepId, Power> = state.plan().plan().power().into_iter().collect();
    let all = (0..).map_while(|index| state.plan().get(index));
    all.filter_map(|step| {
        let Action::Analyze { analysis, beside, .. } = &step.action else { return None };
        let metric = match &analysis.judge {
            Judge::Scorecard(card) => {
                format!("{}, a score of {} metrics", analysis.id, card.metrics.len())
            }
            Judge::Objectives(rule) => {
                format!("{}, a score of {} objectives", analysis.id, rule.of.len())
            }
            Judge::Threshold(Threshold { unit, .. }) => named(analysis, *unit),
            Judge::Sequential(rule) => named(analysis, Some(rule.unit)),
            Judge::Cusum(rule) => named(analysis, Some(rule.unit)),
            Judge::BurnRate(_) => named(analysis, None),
        };
        let limit = matches!(analysis.judge, Judge::Threshold(_));
        let share = beside.as_ref().map(|beside| beside.share);
        // Of what a plan brings that the run migrated to, nothing is known of what comes before its looks.
        let planned = promised.get(&step.id).copied();
        let planned =
            planned.or_else(|| share.and_then(|share| power(analysis, share).ok().flatten()));
        let (step, planned) = (step.id.to_string(), planned.map(|power| power.to_string()));
        Some(Compared { step, metric, planned, looks: Vec::new(), ended: false, limit })
    })
    .collect()
}

/// What is measured, and in which unit.
fn named(analysis: &Analysis, unit: Option<Unit>) -> String {
    let unit = unit.map_or_else(String::new, |unit| format!(", in {}", unit.name()));
    format!("{}, a {}{unit}", analysis.id, analysis.metric.kind())
}

/// Leaves limits out that have nothing to show: what they said stands with their steps, and of runs from before limits told
/// findings nothing else is known.
pub(super) fn with_something_to_show(mut compared: Vec<Compared>) -> Vec<Compared> {
    compared.retain(|one| !one.limit || !one.looks.is_empty());
    compared
}

/// Adds what an event found to the step that it is about.
pub(super) fn add(compared: &mut [Compared], at: Timestamp, event: &Event) {
    let (Event::StepMeasured { step, finding: Some(finding), .. }
    | Event::StepSucceeded { step, finding: Some(finding), .. }
    | Event::StepFailed { step, finding: Some(finding), .. }) = event
    else {
        return;
    };
    if let Some(one) = compared.iter_mut().find(|one| one.step == step.id.as_str()) {
        one.looks.push(Look { at, finding: Finding::clone(finding) });
        one.ended = !matches!(event, Event::StepMeasured { .. });
    }
}
