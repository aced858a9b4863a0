//! Experiments of sets that run side by side: of either version, with traffic and without.

use release_core::model::{
    Analysis, Canary, CanaryReady, CanaryStep, Definition, Experiment, ExperimentTemplate,
    Metadata, RollbackTrigger, Strategy, TemplateVersion,
};
use release_core::plan::{Action, Beside, Reach, Step, Touched, plan, rollback};

use super::comparing::{self, comparing};
use super::expansion::table;
use super::strategies::{minute, refused, step};
use super::support::samples::{error_rate, id, one_service};

fn template(name: &str, of: TemplateVersion, replicas: u32) -> ExperimentTemplate {
    ExperimentTemplate::new(id(name), of, replicas)
}

fn old(name: &str) -> ExperimentTemplate {
    template(name, TemplateVersion::Old, 1)
}

fn new(name: &str) -> ExperimentTemplate {
    template(name, TemplateVersion::New, 1)
}

/// What a step at `weight` runs beside its own share.
fn canary(weight: u8, experiment: Experiment) -> Strategy {
    let experiment = Some(experiment);
    Strategy::Canary(Canary::new(vec![CanaryStep { experiment, ..step(weight) }]))
}

/// The steps of the experiment, without the names of their places.
#[track_caller]
fn steps(definition: &Definition) -> Vec<String> {
    let all = table(&plan(definition).unwrap());
    let place = "prod/eu/api/";
    let own = all.iter().filter(|step| step.contains("/experiment"));
    own.map(|step| step.trim_start_matches(place).to_owned()).collect()
}

#[test]
fn sets_without_traffic_run_side_by_side_and_only_what_is_named_judges_them() {
    let sets = [template("stable", TemplateVersion::Old, 2), new("cold"), new("warm")];
    let experiment = Experiment { analyses: vec![id("errors")], ..Experiment::of(sets, minute()) };
    assert_eq!(
        steps(&one_service(canary(10, experiment.clone()))),
        [
            "weight-10/experiment/stable/start: scale 1.0.0 to 2",
            "weight-10/experiment/cold/start: scale 2.0.0 to 1",
            "weight-10/experiment/warm/start: scale 2.0.0 to 1",
            "weight-10/experiment/stable/ready: 2 × 1.0.0 ready",
            "weight-10/experiment/cold/ready: 1 × 2.0.0 ready",
            "weight-10/experiment/warm/ready: 1 × 2.0.0 ready",
            "weight-10/experiment/bake: bake 1m",
            "weight-10/experiment/cold/errors: errors of 2.0.0",
            "weight-10/experiment/warm/errors: errors of 2.0.0",
            "weight-10/experiment/stable/stop: scale 1.0.0 to 0",
            "weight-10/experiment/cold/stop: scale 2.0.0 to 0",
            "weight-10/experiment/warm/stop: scale 2.0.0 to 0",
        ]
    );
    // The criteria judge nobody who serves nobody.
    let silent = Experiment { analyses: Vec::new(), ..experiment };
    let silent = steps(&one_service(canary(10, silent)));
    assert!(!silent.iter().any(|step| step.contains("errors of")), "{silent:?}");
}

/// Each set is on a track of its own, and so is what measures it.
#[test]
fn each_set_is_on_a_track_of_its_own() {
    let experiment = Experiment {
        analyses: vec![id("errors")],
        ..Experiment::of([new("cold"), new("warm")], minute())
    };
    let plan = plan(&one_service(canary(10, experiment))).unwrap();
    let of = |step: &Step| match &step.action {
        Action::Scale { deployment, .. }
        | Action::Probe { deployment, .. }
        | Action::Analyze { deployment, .. } => Some(deployment.target.to_string()),
        _ => None,
    };
    for name in ["cold", "warm"] {
        let path = format!("/experiment/{name}/");
        let own = plan.steps().iter().filter(|step| step.id.as_str().contains(&path));
        let places: Vec<_> = own.filter_map(of).collect();
        assert_eq!(places, vec![format!("prod/eu/api@{name}"); 4]);
    }
}

#[test]
fn sets_with_a_share_take_it_from_the_old_version_and_give_it_back() {
    let sets = [old("stable").share(5), new("fresh").share(20), new("idle")];
    assert_eq!(
        steps(&one_service(canary(10, Experiment::of(sets, minute())))),
        [
            "weight-10/experiment/stable/start: scale 1.0.0 to 1",
            "weight-10/experiment/fresh/start: scale 2.0.0 to 1",
            "weight-10/experiment/idle/start: scale 2.0.0 to 1",
            "weight-10/experiment/stable/ready: 1 × 1.0.0 ready",
            "weight-10/experiment/fresh/ready: 1 × 2.0.0 ready",
            "weight-10/experiment/idle/ready: 1 × 2.0.0 ready",
            "weight-10/experiment/ready-again: 4 × 2.0.0 ready",
            "weight-10/experiment: route 65%→1.0.0 10%→2.0.0 5%→1.0.0@stable 20%→2.0.0@fresh",
            "weight-10/experiment/bake: bake 1m",
            "weight-10/experiment/fresh/errors: errors of 2.0.0",
            "weight-10/experiment/still-routed: routed 65%→1.0.0 10%→2.0.0 5%→1.0.0@stable 20%→2.0.0@fresh",
            "weight-10/experiment/old-ready: 4 × 1.0.0 ready",
            "weight-10/experiment/over: route 90%→1.0.0 10%→2.0.0",
            "weight-10/experiment/stable/stop: scale 1.0.0 to 0",
            "weight-10/experiment/fresh/stop: scale 2.0.0 to 0",
            "weight-10/experiment/idle/stop: scale 2.0.0 to 0",
        ]
    );
}

/// The same where the new version has no share of its own yet, and where some of its instances may be missing.
#[test]
fn the_steps_own_instances_are_as_the_step_says() {
    let experiment = Experiment::of([new("fresh").share(25)], minute());
    let ready = Some(CanaryReady::Replicas(1));
    let spec = CanaryStep { experiment: Some(experiment), ready, ..step(0) };
    let definition = one_service(Strategy::Canary(Canary::new(vec![spec])));
    let all = table(&plan(&definition).unwrap());
    assert!(all.contains(&"prod/eu/api/ready: 1 × 2.0.0 ready".to_owned()), "{all:?}");
    let route = "prod/eu/api/weight-0/experiment: route 75%→1.0.0 25%→2.0.0@fresh";
    assert!(all.contains(&route.to_owned()), "{all:?}");
}

/// A plan whose only analysis compares versions, and is named by an experiment alone.
fn compared(sets: impl IntoIterator<Item = ExperimentTemplate>) -> Vec<(String, Beside)> {
    let experiment = Experiment { analyses: vec![id("errors")], ..Experiment::of(sets, minute()) };
    let analysis = Analysis { id: id("errors"), ..comparing(|_| {}) };
    let mut definition = comparing::definition(canary(0, experiment), analysis);
    let own = Analysis { id: id("limits"), ..error_rate() };
    definition.analyses.push(own);
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = vec![RollbackTrigger::Analysis(id("limits"))];
    let plan = plan(&definition).unwrap();
    let found = plan.steps().iter().filter_map(|step| match &step.action {
        Action::Analyze { beside: Some(beside), deployment, .. } => {
            Some((deployment.target.to_string(), Beside::clone(beside)))
        }
        _ => None,
    });
    found.collect()
}

#[test]
fn what_compares_goes_by_the_first_set_of_the_old_version() {
    let found = compared([new("fresh").share(20), old("stable").share(20), old("other")]);
    let [(judged, beside)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(judged, "prod/eu/api@fresh");
    assert_eq!(beside.baseline.target.to_string(), "prod/eu/api@stable");
    assert_eq!((beside.share, beside.steered), (50, false));
    // Without shares, whoever brings requests decides what each gets.
    let found = compared([
        template("fresh", TemplateVersion::New, 1),
        template("stable", TemplateVersion::Old, 3),
    ]);
    let [(_, beside)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((beside.share, beside.steered), (25, true));
}

#[test]
fn a_rollback_leaves_no_set_behind() {
    let sets = || [old("stable").share(5), new("fresh").share(20)];
    let plan = plan(&one_service(canary(10, Experiment::of(sets(), minute())))).unwrap().freeze();
    let back = rollback(&plan, |_| Touched::Done, &Reach::Release).unwrap();
    let place = |action: &Action| match action {
        Action::Scale { deployment, .. } => format!("{}: {action}", deployment.target),
        _ => action.to_string(),
    };
    let back: Vec<_> = back.steps.iter().map(|step| place(&step.action)).collect();
    let want = [
        "prod/eu/api: scale 1.0.0 to 4",
        "4 × 1.0.0 ready",
        "route 100%→1.0.0",
        "prod/eu/api@fresh: scale 2.0.0 to 0",
        "prod/eu/api@stable: scale 1.0.0 to 0",
        "prod/eu/api: scale 2.0.0 to 0",
    ];
    assert_eq!(back, want);
}

#[test]
fn what_a_set_carries_it_carries_from_its_start() {
    let labelled =
        ExperimentTemplate { metadata: Metadata::new().label("role", "fresh"), ..new("fresh") };
    let steps = steps(&one_service(canary(10, Experiment::of([labelled], minute()))));
    assert_eq!(steps[0], "weight-10/experiment/fresh/start: scale 2.0.0 to 1, carrying role=fresh");
    assert_eq!(steps[3], "weight-10/experiment/fresh/stop: scale 2.0.0 to 0");
}

#[test]
fn sets_that_make_no_sense_are_refused_with_what_would() {
    let of = |sets: Vec<ExperimentTemplate>| Experiment::of(sets, minute());
    let odd = Metadata::new().label("a b", "c");
    let silent = Experiment { bake: release_core::model::Span::ZERO, ..of(vec![new("a")]) };
    for (experiment, why) in [
        (Experiment { share: 10, ..of(vec![new("a")]) }, "leave these out beside them"),
        (Experiment { replicas: 1, ..of(vec![new("a")]) }, "leave these out beside them"),
        (of(vec![new("a"), old("a")]), "has `a` twice; rename one"),
        (of(vec![template("a", TemplateVersion::New, 0)]), "the template `a` has 0 `replicas`"),
        (of(vec![new("a").share(60), old("b").share(31)]), "a weight of 10 leaves 90"),
        (of(vec![ExperimentTemplate { metadata: odd, ..new("a") }]), "`a b` is no name"),
        (
            of(vec![new("a").share(30)]),
            "needs 2 instances, and it has 1; set `replicas` to 2 or more",
        ),
        (silent, "nobody would look; set `bake` or `analyses`"),
        (Experiment::default(), "write a whole number from 10 to 49, or `templates` for instances"),
    ] {
        refused(canary(10, experiment), why);
    }
}
