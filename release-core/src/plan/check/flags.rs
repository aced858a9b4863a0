//! Finds what is wrong with the flags of a stage.

use std::collections::BTreeSet;

use crate::model::{Definition, FlagChange, Stage};
use crate::plan::PlanError;

pub(super) fn check(
    (stage, number): (&Stage, usize),
    definition: &Definition,
    errors: &mut Vec<PlanError>,
) {
    let mut seen = BTreeSet::new();
    for change in &stage.flags {
        // Ids of steps have no capital letters.
        if !seen.insert(change.flag.as_str().to_ascii_lowercase()) {
            let id = format!("{}/{}", stage.environment, change.flag);
            errors.push(PlanError::Duplicate { what: "flag in `flags`", id });
        }
        super::gates(&change.gates, errors);
        if let Some(service) = &change.service
            && !definition.services.iter().any(|known| known.id == *service)
        {
            let place = format!("flag `{}` of stage `{}`", change.flag, stage.environment);
            errors.push(PlanError::UnknownService { place, service: service.clone() });
        }
        if let Some(problem) = problem(change) {
            let environment = stage.environment.clone();
            errors.push(PlanError::BadStrategy { stage: number, environment, problem });
        }
    }
}

fn problem(change: &FlagChange) -> Option<String> {
    let FlagChange { flag, shares, .. } = change;
    if shares.is_empty() {
        return Some(format!("flag `{flag}` has no `shares`; give at least one, 100 is on"));
    }
    if let Some(share) = shares.iter().find(|share| **share > 100) {
        return Some(format!("flag `{flag}` has a share of {share} %; 100 is the most"));
    }
    let unique: BTreeSet<u8> = shares.iter().copied().collect();
    (unique.len() < shares.len())
        .then(|| format!("flag `{flag}` has one of its shares {shares:?} twice; once is enough"))
}
