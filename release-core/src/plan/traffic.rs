//! What steps ask of routers: shares that add up, rules that make sense.

use std::collections::BTreeMap;

use super::{Action, Deployment, Plan, PlanError, Step, Undo, Weight, graph};
use crate::ids::{EnvironmentId, RegionId, ServiceId, StepId};
use crate::model::{Digest, Target, TrafficRules};

/// Where a version gets traffic, on whichever track its instances are.
type Here<'a> = (&'a EnvironmentId, &'a RegionId, &'a ServiceId);

const fn here(target: &Target) -> Here<'_> {
    (&target.environment, &target.region, &target.service)
}

/// A version in such a place.
const fn key(deployment: &Deployment) -> (Here<'_>, Digest) {
    (here(&deployment.target), deployment.artifact.digest())
}

/// What happens to a version in a target.
#[derive(Default)]
struct Way {
    /// Where it is started, or looked for: before that, it was there if it served anybody.
    brought: Vec<u32>,
    /// Where so many of it shall run, be it more or fewer than before: nothing is undone that would say so.
    run: Vec<u32>,
    /// Whether all of it is stopped in the end, as is what was there before.
    stopped: bool,
    measured: Vec<u32>,
    /// Where it answers users: those of a share, or those whose requests say so.
    served: Vec<u32>,
}

impl Plan {
    /// The steps that give a new version its first traffic though nothing was measured of it before: that its instances are ready is
    /// all that is known then. Stated before anything runs; a stage's [`before_traffic`](crate::model::Stage::before_traffic) is what
    /// takes a step off the list, and a [`Planner`](super::Planner::measured_before_traffic) refuses plans with any in production
    /// where the stage does not say why.
    ///
    /// New is what a step starts, or looks for, unless it served users before. Traffic is what a version answers: a share of it, or the
    /// users that a header route sends to it whatever its share. Copies of requests are none, since nobody gets what is answered to
    /// them. What is measured of a version on one track is known of it on all; a [dry run](crate::model::Analysis::dry_run) measures
    /// nothing, since nothing follows of it.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let definition: release_core::model::Definition = serde_json::from_str("{}")?;
    /// for step in release_core::plan::plan(&definition)?.unmeasured_before_traffic() {
    ///     println!("{step} serves users with a version of which no sample was seen");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn unmeasured_before_traffic(&self) -> Vec<&StepId> {
        self.unmeasured().map(|step| &step.id).collect()
    }

    /// The same, as steps.
    pub(super) fn unmeasured(&self) -> impl Iterator<Item = &Step> {
        let mut ways: BTreeMap<(Here<'_>, Digest), Way> = BTreeMap::new();
        for (step, index) in self.steps().iter().zip(0_u32..) {
            match &step.action {
                Action::Probe { deployment, .. } => {
                    ways.entry(key(deployment)).or_default().brought.push(index);
                }
                Action::Scale { deployment, replicas, .. } => {
                    let way = ways.entry(key(deployment)).or_default();
                    match (*replicas, &step.undo) {
                        (0, _) => way.stopped |= deployment.target.track.is_none(),
                        (_, Undo::PointOfNoReturn { .. }) => way.run.push(index),
                        _ if ran(step, deployment) => {}
                        _ => way.brought.push(index),
                    }
                }
                // Of a dry run nothing follows, whatever it finds.
                Action::Analyze { deployment, analysis, .. } if !analysis.dry_run => {
                    ways.entry(key(deployment)).or_default().measured.push(index);
                }
                Action::Route { target, weights, rules } => {
                    for version in answering(weights, rules.as_deref()) {
                        ways.entry((here(target), version)).or_default().served.push(index);
                    }
                }
                _ => {}
            }
        }
        for way in ways.values_mut().filter(|way| !way.stopped) {
            way.brought.append(&mut way.run);
        }
        let mut found: Vec<u32> = Vec::new();
        // There is one for every plan that was checked.
        if let Ok(order) = self.order() {
            let ancestors = graph::Ancestors::new(&order, self.edges());
            let after =
                |step: u32, any: &[u32]| any.iter().any(|before| ancestors.has(step, *before));
            for (version, way) in ways.iter().filter(|(_, way)| !way.brought.is_empty()) {
                // Before a plan starts a version or looks for its instances, that version was there.
                let brought = way.served.iter().filter(|step| after(**step, &way.brought));
                let first = brought.filter(|step| !after(**step, &way.served));
                let unmeasured = first.filter(|step| !after(**step, &way.measured));
                found.extend(unmeasured.filter(|step| {
                    self.steps().get(**step as usize).is_none_or(|step| !served(step, *version))
                }));
            }
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(move |index| self.steps().get(index as usize))
    }
}

/// Whether instances ran already before a step that says how many shall: what undoes the step runs some of them again.
fn ran(step: &Step, deployment: &Deployment) -> bool {
    step.undo.compensations().iter().any(|undo| match &undo.action {
        Action::Scale { deployment: of, replicas, .. } => {
            *replicas > 0 && (&of.target, key(of)) == (&deployment.target, key(deployment))
        }
        _ => false,
    })
}

/// Whether a version served users before a step that changes who does: what undoes the step gives them back to it.
fn served(step: &Step, (place, version): (Here<'_>, Digest)) -> bool {
    step.undo.compensations().iter().any(|undo| match &undo.action {
        Action::Route { target, weights, rules } => {
            here(target) == place && answering(weights, rules.as_deref()).any(|to| to == version)
        }
        _ => false,
    })
}

/// The versions that users get to: by shares, and by what their requests say.
fn answering<'a>(
    weights: &'a [Weight],
    rules: Option<&'a TrafficRules>,
) -> impl Iterator<Item = Digest> + 'a {
    let shares = weights.iter().filter(|weight| weight.percent > 0).map(|weight| weight.digest);
    shares.chain(rules.into_iter().flat_map(|rules| &rules.headers).map(|route| route.to))
}

/// Finds what no router could do, in a step and in what undoes it.
pub(super) fn check_step(step: &Step, errors: &mut Vec<PlanError>) {
    let undo = step.undo.compensations().iter().map(|undo| &undo.action);
    for action in std::iter::once(&step.action).chain(undo) {
        let (Action::Route { weights, rules, .. } | Action::Confirm { weights, rules, .. }) =
            action
        else {
            continue;
        };
        if let Some(problem) = problem(weights, rules.as_deref()) {
            errors.push(PlanError::BadTraffic { step: step.id.clone(), problem });
        }
    }
}

fn problem(weights: &[Weight], rules: Option<&TrafficRules>) -> Option<String> {
    if let Some(problem) = Weight::problem(weights) {
        return Some(problem);
    }
    let rules = rules?;
    if weights.is_empty() {
        return Some("it has rules where nobody is served; leave them out".into());
    }
    rules.problem().or_else(|| {
        // A copy for who answers would be answered twice; a version without a share has to be told by somebody.
        let all = |digest: Digest| {
            weights.iter().any(|weight| weight.digest == digest && weight.percent == 100)
        };
        let mirrored = rules.mirror.as_ref().is_some_and(|mirror| all(mirror.to));
        mirrored.then(|| {
            "it copies requests to the version that gets all of them; leave that out".into()
        })
    })
}
