//! How many instances of a new version have to be ready: fewer than all where a strategy says so, and never fewer than its
//! traffic needs.

use release_core::model::{
    Approval, BlueGreen, Canary, CanaryReady, CanaryScale, CanaryStep, Experiment, Gate,
    HeaderRule, SessionAffinity, Span, Strategy,
};
use release_core::plan::{Reach, Touched, plan, rollback};

use super::expansion::{REMOVED, around, check, table};
use super::strategies::{minute, refused, step};
use super::support::samples::{id, one_service, set};

#[expect(clippy::unnecessary_wraps, reason = "fields have options")]
fn percent(percent: u8) -> Option<CanaryReady> {
    Some(CanaryReady::Percent(percent))
}

#[expect(clippy::unnecessary_wraps, reason = "fields have options")]
fn replicas(count: u32) -> Option<CanaryReady> {
    Some(CanaryReady::Replicas(count))
}

fn scaled(weight: u8, replicas: u32) -> CanaryStep {
    CanaryStep { scale: Some(CanaryScale::Replicas(replicas)), ..step(weight) }
}

/// Steps of which none has to be whole, unless it says so itself.
fn canary(ready: Option<CanaryReady>, steps: Vec<CanaryStep>) -> Canary {
    Canary { ready, ..Canary::new(steps) }
}

/// What the plan looks for of the new version, in order.
#[track_caller]
fn looks(strategy: Strategy) -> Vec<String> {
    let all = table(&plan(&one_service(strategy)).unwrap());
    let looks = all.iter().filter_map(|step| step.strip_suffix(" × 2.0.0 ready"));
    looks.filter_map(|step| step.strip_prefix("prod/eu/api/")).map(ToOwned::to_owned).collect()
}

#[test]
fn a_step_goes_on_once_enough_of_its_instances_are_ready_and_all_are_for_all_of_the_traffic() {
    let steps = vec![step(10), CanaryStep { ready: replicas(3), ..step(50) }];
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 2 × 2.0.0 ready",
        "prod/eu/api/weight-10: route 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/errors: errors of 2.0.0",
        "prod/eu/api/weight-10/still-routed: routed 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/still-ready: 2 × 2.0.0 ready",
        "prod/eu/api/weight-50/ready: 3 × 2.0.0 ready",
        "prod/eu/api/weight-50: route 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/weight-50/errors: errors of 2.0.0",
        "prod/eu/api/weight-50/still-routed: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/weight-50/still-ready: 3 × 2.0.0 ready",
        "prod/eu/api/promote/ready: 4 × 2.0.0 ready",
        "prod/eu/api/promote: route 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    let definition = one_service(Strategy::Canary(canary(percent(50), steps)));
    check(&definition, &around(&rollout, &REMOVED));
}

#[test]
fn it_is_never_fewer_than_the_requests_need() {
    let headers = vec![HeaderRule::exact("x-canary", "yes")];
    for (first, want) in [
        (step(75), 3),
        (step(51), 3),
        (step(1), 1),
        (CanaryStep { headers, ..step(0) }, 1),
        (scaled(50, 2), 2),
        (step(100), 4),
    ] {
        let (weight, strategy) = (first.weight, canary(percent(1), vec![first]));
        let looks = looks(Strategy::Canary(strategy));
        assert_eq!(looks[0], format!("ready: {want}"), "{weight} %: {looks:?}");
    }
    // Clients stay with it, whatever its share.
    let affinity = Some(SessionAffinity::new("stay"));
    let kept = Canary { affinity, ..canary(percent(25), vec![step(10)]) };
    assert_eq!(looks(Strategy::Canary(kept))[0], "ready: 4");
}

/// What stops may be just those that are ready.
#[test]
fn before_a_new_version_gives_up_instances_so_many_more_are_ready() {
    let steps = [scaled(10, 4), scaled(25, 2)];
    let steps = steps.map(|step| CanaryStep { ready: replicas(1), ..step }).to_vec();
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 1 × 2.0.0 ready",
        "prod/eu/api/weight-10: route 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/errors: errors of 2.0.0",
        "prod/eu/api/weight-10/still-routed: routed 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/still-ready: 1 × 2.0.0 ready",
        "prod/eu/api/weight-25/ready: 3 × 2.0.0 ready",
        "prod/eu/api/weight-25: route 75%→1.0.0 25%→2.0.0",
        "prod/eu/api/weight-25/shrink: scale 2.0.0 to 2",
        "prod/eu/api/weight-25/errors: errors of 2.0.0",
        "prod/eu/api/weight-25/still-routed: routed 75%→1.0.0 25%→2.0.0",
        "prod/eu/api/weight-25/still-ready: 1 × 2.0.0 ready",
        "prod/eu/api/promote/scale: scale 2.0.0 to 4",
        "prod/eu/api/promote/ready: 4 × 2.0.0 ready",
        "prod/eu/api/promote: route 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    let definition = one_service(Strategy::Canary(canary(None, steps)));
    check(&definition, &around(&rollout, &REMOVED));
}

#[test]
fn of_what_an_experiment_compares_none_is_missing() {
    let experiment = Experiment::new(20, 2, minute());
    let compared = CanaryStep { experiment: Some(experiment), ..scaled(10, 2) };
    let steps = vec![scaled(5, 2), compared.clone()];
    let looks = looks(Strategy::Canary(canary(percent(50), steps)));
    let want = ["ready: 1", "weight-5/still-ready: 1", "weight-10/ready: 2"];
    assert_eq!(looks[..3], want);
    let both = CanaryStep { ready: percent(50), ..compared };
    refused(Strategy::Canary(Canary::new(vec![both])), "leave out `ready`, or the experiment");
}

#[test]
fn all_of_them_is_what_is_meant_where_nothing_is_said() {
    let steps = || vec![scaled(10, 1), scaled(50, 3), step(50), scaled(25, 1)];
    let plain = plan(&one_service(Strategy::Canary(Canary::new(steps())))).unwrap();
    for ready in [percent(100), replicas(4), replicas(u32::MAX)] {
        let said = one_service(Strategy::Canary(canary(ready, steps())));
        assert_eq!(plan(&said).unwrap().steps(), plain.steps(), "{ready:?}");
    }
    // Of what nobody was served before, all have to be ready, too.
    let mut first = one_service(Strategy::Canary(canary(percent(25), steps())));
    first.release.previous = set(&[]);
    assert!(table(&plan(&first).unwrap()).contains(&"prod/eu/api/ready: 4 × 2.0.0 ready".into()));
}

#[test]
fn thresholds_of_nobody_are_refused_with_what_is_one() {
    let with = |ready| Strategy::Canary(Canary::new(vec![CanaryStep { ready, ..step(10) }]));
    refused(with(percent(0)), "canary step 1: `ready.percent` is 0; write a whole number");
    refused(with(percent(101)), "canary step 1: `ready.percent` is 101; write a whole number");
    refused(with(replicas(0)), "canary step 1: `ready.replicas` is 0; set 1 or more");
    let all = Strategy::Canary(canary(replicas(0), vec![step(10)]));
    refused(all, "canary: `ready.replicas` is 0; set 1 or more");
}

#[test]
fn blue_green_switches_once_all_are_ready_but_those_that_may_be_missing() {
    let spec = BlueGreen {
        max_unavailable: 1.into(),
        bake: minute(),
        keep_old: minute(),
        ..BlueGreen::default()
    };
    let rollout = [
        "prod/eu/api/preview: scale 2.0.0 to 4",
        "prod/eu/api/ready: 3 × 2.0.0 ready",
        "prod/eu/api/switch: route 100%→2.0.0",
        "prod/eu/api/bake: bake 1m",
        "prod/eu/api/errors: errors of 2.0.0",
        "prod/eu/api/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 3 × 2.0.0 ready",
    ];
    let finale = [
        "prod/eu/api/keep-old: bake 1m",
        "prod/eu/api/keep-old/still-ready: 3 × 2.0.0 ready",
        "prod/eu/api/remove-old/still-routed: routed 100%→2.0.0",
        "prod/eu/api/remove-old: scale 1.0.0 to 0",
    ];
    check(&one_service(Strategy::BlueGreen(spec)), &around(&rollout, &finale));
}

#[test]
fn a_preview_of_some_waits_for_no_more_than_the_switch_does() {
    let gates = vec![Gate::Approval(Approval::new(id("go")))];
    for (preview, max_unavailable, want) in [(1, 1, [1, 3, 3, 3, 3]), (3, 2, [2, 2, 2, 2, 2])] {
        let (preview_replicas, gates) = (Some(preview), gates.clone());
        let max_unavailable = u32::into(max_unavailable);
        let spec = BlueGreen { preview_replicas, max_unavailable, gates, ..BlueGreen::default() };
        let names =
            ["ready", "grow/ready", "switch/ready-again", "still-ready", "remove-old/still-ready"];
        let want = names.iter().zip(want).map(|(name, ready)| format!("{name}: {ready}"));
        assert_eq!(looks(Strategy::BlueGreen(spec)), want.collect::<Vec<_>>());
    }
}

#[test]
fn the_way_back_is_to_all_instances_of_the_old_version() {
    let spec = BlueGreen { max_unavailable: 3.into(), ..BlueGreen::default() };
    let small = canary(percent(25), vec![step(10)]);
    for strategy in [Strategy::BlueGreen(spec), Strategy::Canary(small)] {
        let plan = plan(&one_service(strategy)).unwrap().freeze();
        let back = rollback(&plan, |_| Touched::Done, &Reach::Release).unwrap();
        let actions: Vec<_> = back.steps.iter().map(|step| step.action.to_string()).collect();
        let want = ["scale 1.0.0 to 4", "4 × 1.0.0 ready", "route 100%→1.0.0", "scale 2.0.0 to 0"];
        assert_eq!(actions, want);
    }
}

#[test]
fn a_switch_to_nobody_is_refused_with_how_many_may_be_missing() {
    for max_unavailable in [4, 9, u32::MAX] {
        let max_unavailable = u32::into(max_unavailable);
        let spec = BlueGreen { max_unavailable, ..BlueGreen::default() };
        refused(Strategy::BlueGreen(spec), "has 4; set `max_unavailable` to 0 to 3");
    }
    let spec = BlueGreen { max_unavailable: 3.into(), bake: Span::ZERO, ..BlueGreen::default() };
    assert_eq!(looks(Strategy::BlueGreen(spec))[0], "ready: 1");
}
