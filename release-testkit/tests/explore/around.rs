//! What stands around a strategy takes time, in which whoever is about to get more traffic may die: the fresh instances of an
//! experiment, and the version from before, too.

use release_core::model::{
    CanaryScale, CanaryStep, Definition, Experiment, ExperimentTemplate, Hook, HookPoint, Strategy,
    TemplateVersion,
};
use release_testkit::explore::Exploration;
use release_testkit::fixtures::{literal, one_service};

use super::{REPLICAS, by_header, canary, explored, minute, step};

fn planned(steps: Vec<CanaryStep>) -> Definition {
    one_service(Strategy::Canary(canary(steps)), REPLICAS)
}

/// The same, with a hook before each increase: while it is called, time passes.
fn asked(steps: Vec<CanaryStep>) -> Definition {
    let mut definition = planned(steps);
    for stage in &mut definition.stages {
        let (at, input) = (HookPoint::BeforeIncrease, serde_json::json!({}));
        stage.hooks = vec![Hook::new(literal("may-it"), at, "webhook", input)];
    }
    definition
}

#[test]
fn f30_fresh_instances_are_looked_at_again_behind_a_hook() {
    let (scale, experiment) = (Some(CanaryScale::Replicas(2)), Experiment::new(30, 2, minute()));
    let step = CanaryStep { scale, experiment: Some(experiment), ..step(10) };
    explored("an experiment behind a hook", Exploration::new().old_lives(), &asked(vec![step]));
}

#[test]
fn f30_a_set_is_looked_at_again_behind_what_is_measured_before_traffic() {
    let fresh = ExperimentTemplate::new(literal("fresh"), TemplateVersion::New, 1).share(25);
    let experiment = Some(Experiment::of([fresh], minute()));
    let mut definition = planned(vec![CanaryStep { experiment, ..step(0) }]);
    // Between its two looks, time passes.
    let analysis = &mut definition.analyses[0];
    (analysis.count, analysis.interval) = (2, minute());
    definition.stages[0].before_traffic = vec![analysis.id.clone()];
    explored("a set behind an analysis", Exploration::new().old_lives(), &definition);
}

#[test]
fn f30_the_old_version_is_looked_at_again_before_it_gets_more_beside_headers() {
    let steered = CanaryStep { headers: by_header(), ..step(20) };
    explored("back to fewer, by a header", Exploration::new(), &asked(vec![step(50), steered]));
}
