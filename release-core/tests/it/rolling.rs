//! Rolling rollouts of many instances: what each version gets of the traffic, and what nobody is served by is not judged.

use release_core::model::{Definition, Rolling, Strategy};
use release_core::plan::{Action, Plan, plan};
use release_core::port::Evidence;
use release_core::run::Outcome;

use super::support::drive::Run;
use super::support::looks::{go, part};
use super::support::samples::{artifact, id, one_service};

fn definition(replicas: u32, surge: u32) -> Definition {
    let spec = Rolling { max_surge: Some(surge.into()), ..Rolling::new(1) };
    let mut definition = one_service(Strategy::Rolling(spec));
    definition.services[0].replicas = replicas;
    definition
}

/// How many instances of the old version and of the new one there are, and the new one's share.
#[derive(Clone, Copy)]
struct Site {
    old: u32,
    new: u32,
    share: u32,
}

impl Site {
    fn follow(&mut self, action: &Action) {
        match action {
            Action::Scale { deployment, replicas, .. } if deployment.version == id("1.0.0") => {
                self.old = *replicas;
            }
            Action::Scale { replicas, .. } => self.new = *replicas,
            Action::Route { weights, .. } => {
                let new = artifact("api", "2.0.0").digest();
                let of_new = weights.iter().filter(|weight| weight.digest == new);
                self.share = of_new.map(|weight| u32::from(weight.percent)).sum();
            }
            _ => {}
        }
    }
}

/// The site after each step, with the step's name.
fn course(plan: &Plan, replicas: u32) -> Vec<(&str, Site)> {
    let mut site = Site { old: replicas, new: 0, share: 0 };
    let after = plan.steps().iter().map(|step| {
        site.follow(&step.action);
        (step.id.as_str(), site)
    });
    after.collect()
}

#[test]
fn rolling_keeps_to_its_surge() {
    let spec = Rolling { max_surge: Some(1.into()), max_unavailable: 1.into(), ..Rolling::new(1) };
    let plan = plan(&one_service(Strategy::Rolling(spec))).unwrap();
    let (mut old, mut new) = (4, 0);
    for step in plan.steps() {
        let Action::Scale { deployment, replicas, .. } = &step.action else { continue };
        *(if deployment.version.major == 1 { &mut old } else { &mut new }) = *replicas;
        assert!((3..=5).contains(&(old + new)), "{}: {old} and {new}", step.id);
    }
    assert_eq!((old, new), (0, 4));
}

#[test]
fn no_version_gets_more_than_its_instances_carry() {
    for (replicas, surge) in [(3, 1), (101, 1), (200, 1), (250, 3), (999, 2), (1000, 1)] {
        let plan = plan(&definition(replicas, surge)).unwrap();
        let course = course(&plan, replicas);
        for (step, Site { old, new, share }) in &course {
            for (instances, share) in [(*new, *share), (*old, 100 - share)] {
                // Fewer than half of the instances get their part at the most, others 1.02 times as much.
                let most = if 2 * instances < replicas { 100 } else { 102 };
                let carried = share * replicas <= most * instances;
                assert!(carried, "{step}: {share} % on {instances} of {replicas}");
            }
        }
        let (_, last) = course.last().unwrap();
        assert_eq!((last.old, last.new, last.share), (0, replicas, 100));
    }
}

#[test]
fn a_batch_with_less_than_a_percent_serves_nobody_and_is_not_judged() {
    let of = |replicas: u32| {
        let plan = plan(&definition(replicas, 1)).unwrap();
        let last = |step: &str| step.rsplit('/').next().unwrap().to_owned();
        let in_batch = |batch: u32| {
            let batch = format!("/batch-{batch}/");
            let steps = plan.steps().iter().filter(|step| step.id.as_str().contains(&batch));
            steps.map(|step| last(step.id.as_str())).collect::<Vec<_>>()
        };
        [in_batch(1), in_batch(2)]
    };
    let served = ["start", "ready", "serve", "stop-old", "errors", "still-routed"];
    assert_eq!(of(100), [served, served]);
    assert_eq!(of(150)[0], ["start", "ready", "stop-old"]);
    assert_eq!(of(150)[1], served);
}

#[test]
fn a_rollout_of_many_instances_comes_to_its_end_or_back() {
    let plan = plan(&definition(150, 1)).unwrap().freeze();
    for (bad, back) in [(0.0, false), (50.0, true)] {
        let mut run = Run::start(&plan);
        let mut looks = 0;
        let outcome = go(&mut run, "/batch-2/errors", |_, _| {
            looks += 1;
            Evidence::Measurement(part(artifact("api", "2.0.0").digest(), bad, 100.0))
        });
        assert_eq!(looks, 1);
        assert_eq!(outcome == Outcome::Succeeded, !back, "{outcome}");
        assert_eq!(matches!(outcome, Outcome::RolledBack { .. }), back, "{outcome}");
    }
}
