//! Durations with which nothing could ever succeed, or nothing would ever end.

use super::check::strategic;
use super::strategy::Known;
use super::{Action, PlanError, Step};
use crate::model::{Analysis, Definition, Gate, Stage};
use crate::time::Span;

/// The shortest time in which anything can be done. Instants are kept in microseconds, so that less
/// would be none at all.
const SHORTEST: Span = Span::millis(1);

/// The longest: ten years of 365 days. Beyond is a slip of the pen.
const LONGEST: Span = Span::secs(10 * 365 * 24 * 60 * 60);

/// Finds the durations of `definition` that make no sense.
pub(super) fn check(
    definition: &Definition,
    strategies: &[Option<Known<'_>>],
    errors: &mut Vec<PlanError>,
) {
    for found in &definition.analyses {
        analysis(found, errors);
    }
    for found in &definition.stages {
        stage(found, errors);
    }
    for (_, stage, strategy) in strategic(definition, strategies) {
        let place = || format!("stage `{}`", stage.environment);
        for (field, span) in strategy.spans() {
            short(&place, field, span, errors);
        }
        soaks(&place, strategy.gates().into_iter().flatten(), errors);
    }
}

/// Finds the durations of `step`, which may be made by hand, that make no sense.
pub(super) fn check_step(step: &Step, errors: &mut Vec<PlanError>) {
    needed(&|| format!("step `{}`", step.id), "timeout", step.timeout, errors);
    if let Action::Bake { duration } = step.action {
        short(&|| format!("step `{}`", step.id), "duration", duration, errors);
    }
    soaks(&|| format!("step `{}`", step.id), &step.gates, errors);
    if let Action::Analyze { analysis: found, .. } = &step.action {
        analysis(found, errors);
        if found.count == 0 {
            errors.push(PlanError::EmptyAnalysis { analysis: found.id.clone() });
        }
    }
}

fn analysis(found: &Analysis, errors: &mut Vec<PlanError>) {
    let place = || format!("analysis `{}`", found.id);
    needed(&place, "interval", found.interval, errors);
    if let Some(fresh_for) = found.fresh_for {
        needed(&place, "fresh_for", fresh_for, errors);
    }
    if let Some(begin_after) = found.begin_after {
        short(&place, "begin_after", begin_after, errors);
    }
}

fn stage(stage: &Stage, errors: &mut Vec<PlanError>) {
    let place = || format!("stage `{}`", stage.environment);
    needed(&place, "step_timeout", stage.step_timeout, errors);
    soaks(&place, stage.gates.iter().chain(stage.wave_gates.iter().flatten()), errors);
    for change in &stage.flags {
        short(&place, "flags.bake", change.bake, errors);
        soaks(&place, &change.gates, errors);
    }
}

fn soaks<'a>(
    place: &dyn Fn() -> String,
    gates: impl IntoIterator<Item = &'a Gate>,
    errors: &mut Vec<PlanError>,
) {
    for gate in gates {
        if let Gate::Soak(span) = gate {
            short(place, "soak", *span, errors);
        }
    }
}

/// Something has to happen within it: not too short, and not too long.
fn needed(
    place: &dyn Fn() -> String,
    field: &'static str,
    span: Span,
    errors: &mut Vec<PlanError>,
) {
    if span < SHORTEST {
        errors.push(PlanError::TooShort { place: place(), field, span, shortest: SHORTEST });
    }
    short(place, field, span, errors);
}

/// Not too long.
fn short(place: &dyn Fn() -> String, field: &'static str, span: Span, errors: &mut Vec<PlanError>) {
    if span > LONGEST {
        errors.push(PlanError::TooLong { place: place(), field, span, longest: LONGEST });
    }
}
