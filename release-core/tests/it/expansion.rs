//! What strategies expand to, as tables: one line a step.

use release_core::model::{
    BlueGreen, Canary, CanaryStep, Definition, Release, Rolling, Span, Stage, Strategy, Tier,
};
use release_core::plan::{Action, EdgeKind, OnFailure, Plan, plan};

use super::support::samples::{any, approval, environment, id, one_service, set, shop};

/// Each step's id and what it does, without the parts that are always the same.
pub(super) fn table(plan: &Plan) -> Vec<String> {
    let steps = plan.steps().iter();
    steps.map(|step| format!("{}: {}", step.id, step.action)).collect()
}

#[track_caller]
pub(super) fn check(definition: &Definition, want: &[&str]) {
    let plan = plan(definition).unwrap();
    assert_eq!(table(&plan), want, "{:#?}", table(&plan));
}

const BEFORE: [&str; 3] = [
    "artifacts/api/new: verify api",
    "artifacts/api/previous: verify api",
    "prod/enter: wait for all",
];

/// How an old version goes that is not kept.
pub(super) const REMOVED: [&str; 3] = [
    "prod/eu/api/remove-old/still-ready: 4 × 2.0.0 ready",
    "prod/eu/api/remove-old/still-routed: routed 100%→2.0.0",
    "prod/eu/api/remove-old: scale 1.0.0 to 0",
];

pub(super) fn around(rollout: &[&'static str], finale: &[&'static str]) -> Vec<&'static str> {
    [&BEFORE[..], rollout, &["prod/eu/verified: wait for all"], finale].concat()
}

#[test]
fn recreate_stops_the_old_version_first() {
    let rollout = [
        "prod/eu/api/stop-old: scale 1.0.0 to 0",
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/serve: route 100%→2.0.0",
        "prod/eu/api/errors: errors of 2.0.0",
        "prod/eu/api/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&one_service(Strategy::Recreate), &around(&rollout, &[]));
}

#[test]
fn rolling_adds_before_it_removes() {
    let spec = Rolling { max_unavailable: 0.into(), bake: Span::secs(30), ..Rolling::new(2) };
    let rollout = [
        "prod/eu/api/batch-1/start: scale 2.0.0 to 2",
        "prod/eu/api/batch-1/ready: 2 × 2.0.0 ready",
        "prod/eu/api/batch-1/serve: route 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/batch-1/stop-old: scale 1.0.0 to 2",
        "prod/eu/api/batch-1/bake: bake 30s",
        "prod/eu/api/batch-1/errors: errors of 2.0.0",
        "prod/eu/api/batch-1/still-routed: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/batch-2/start: scale 2.0.0 to 4",
        "prod/eu/api/batch-2/ready: 4 × 2.0.0 ready",
        "prod/eu/api/batch-2/serve: route 100%→2.0.0",
        "prod/eu/api/batch-2/stop-old: scale 1.0.0 to 0",
        "prod/eu/api/batch-2/bake: bake 30s",
        "prod/eu/api/batch-2/errors: errors of 2.0.0",
        "prod/eu/api/batch-2/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&one_service(Strategy::Rolling(spec)), &around(&rollout, &[]));
}

#[test]
fn rolling_makes_room_where_instances_may_be_missing() {
    let spec = Rolling { max_unavailable: 9.into(), bake: Span::ZERO, ..Rolling::new(2) };
    let rollout = [
        "prod/eu/api/batch-1/make-room: scale 1.0.0 to 2",
        "prod/eu/api/batch-1/start: scale 2.0.0 to 2",
        "prod/eu/api/batch-1/ready: 2 × 2.0.0 ready",
        "prod/eu/api/batch-1/serve: route 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/batch-1/errors: errors of 2.0.0",
        "prod/eu/api/batch-1/still-routed: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/batch-2/drain/ready-again: 2 × 2.0.0 ready",
        "prod/eu/api/batch-2/drain: route 100%→2.0.0",
        "prod/eu/api/batch-2/make-room: scale 1.0.0 to 0",
        "prod/eu/api/batch-2/start: scale 2.0.0 to 4",
        "prod/eu/api/batch-2/ready: 4 × 2.0.0 ready",
        "prod/eu/api/batch-2/serve: route 100%→2.0.0",
        "prod/eu/api/batch-2/errors: errors of 2.0.0",
        "prod/eu/api/batch-2/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&one_service(Strategy::Rolling(spec)), &around(&rollout, &[]));
}

#[test]
fn rolling_has_no_more_batches_than_instances() {
    let batches = |replicas: u32, batches: u32| {
        let spec =
            Rolling { batches, max_unavailable: 0.into(), bake: Span::ZERO, ..Rolling::new(1) };
        let mut definition = one_service(Strategy::Rolling(spec));
        definition.services[0].replicas = replicas;
        let plan = plan(&definition).unwrap();
        let started = plan.steps().iter().filter_map(|step| match &step.action {
            Action::Scale { deployment, replicas, .. } if deployment.version == id("2.0.0") => {
                Some(*replicas)
            }
            _ => None,
        });
        started.collect::<Vec<_>>()
    };
    assert_eq!(batches(1, 9), [1]);
    assert_eq!(batches(3, 9), [1, 2, 3]);
    assert_eq!(batches(7, 3), [3, 5, 7]);
    assert_eq!(batches(3, 2), [2, 3]);
}

#[test]
fn blue_green_switches_at_once_and_keeps_the_old_version() {
    let spec = BlueGreen {
        gates: vec![approval("switch")],
        bake: Span::secs(60),
        analyses: vec![],
        keep_old: Span::secs(3600),
        ..BlueGreen::default()
    };
    let rollout = [
        "prod/eu/api/preview: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/switch/ready-again: 4 × 2.0.0 ready",
        "prod/eu/api/switch: route 100%→2.0.0",
        "prod/eu/api/bake: bake 1m",
        "prod/eu/api/errors: errors of 2.0.0",
        "prod/eu/api/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    let finale = [
        "prod/eu/api/keep-old: bake 1h",
        "prod/eu/api/keep-old/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/remove-old/still-routed: routed 100%→2.0.0",
        "prod/eu/api/remove-old: scale 1.0.0 to 0",
    ];
    let definition = one_service(Strategy::BlueGreen(spec));
    check(&definition, &around(&rollout, &finale));
    let plan = plan(&definition).unwrap();
    assert_eq!(plan.steps()[5].gates, [approval("prod/eu/api/switch")]);
}

#[test]
fn canary_grows_its_share_and_ends_with_all() {
    let steps = vec![CanaryStep::new(10, Span::secs(60)), CanaryStep::new(50, Span::ZERO)];
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-10: route 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/bake: bake 1m",
        "prod/eu/api/weight-10/errors: errors of 2.0.0",
        "prod/eu/api/weight-10/still-routed: routed 90%→1.0.0 10%→2.0.0",
        "prod/eu/api/weight-10/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-50: route 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/weight-50/errors: errors of 2.0.0",
        "prod/eu/api/weight-50/still-routed: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/weight-50/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/promote: route 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    let spec = Canary { keep_old: Span::ZERO, ..Canary::new(steps) };
    check(&one_service(Strategy::Canary(spec)), &around(&rollout, &REMOVED));
    let spec =
        Canary { keep_old: Span::ZERO, ..Canary::new(vec![CanaryStep::new(100, Span::ZERO)]) };
    let all = plan(&one_service(Strategy::Canary(spec))).unwrap();
    assert!(!table(&all).iter().any(|line| line.contains("promote")), "100% is all already");
}

#[test]
fn a_first_deploy_is_the_same_for_every_strategy() {
    let canary =
        Canary { keep_old: Span::ZERO, ..Canary::new(vec![CanaryStep::new(10, Span::ZERO)]) };
    for strategy in [Strategy::Recreate, Strategy::Canary(canary)] {
        let mut definition = one_service(strategy);
        definition.release.previous = set(&[]);
        check(
            &definition,
            &[
                "artifacts/api/new: verify api",
                "prod/enter: wait for all",
                "prod/eu/api/start: scale 2.0.0 to 4",
                "prod/eu/api/ready: 4 × 2.0.0 ready",
                "prod/eu/api/serve: route 100%→2.0.0",
                "prod/eu/api/still-ready: 4 × 2.0.0 ready",
                "prod/eu/verified: wait for all",
            ],
        );
    }
}

#[test]
fn a_first_deploy_waits_for_all_that_the_steps_wait_for() {
    let asked = |gates: &[&str]| CanaryStep {
        gates: gates.iter().map(|gate| approval(gate)).collect(),
        ..CanaryStep::new(50, Span::ZERO)
    };
    let canary = Canary::new(vec![asked(&["see"]), asked(&["see", "go"])]);
    let mut definition = one_service(Strategy::Canary(canary));
    definition.release.previous = set(&[]);
    let plan = plan(&definition).unwrap();
    let gates =
        plan.steps().iter().flat_map(|step| step.gates.iter().map(move |gate| (step, gate)));
    let approvals =
        gates.map(|(step, gate)| (step.id.as_str(), gate.approval().unwrap().id.as_str()));
    let want = ["prod/eu/api/step-1/see", "prod/eu/api/step-2/go"];
    assert_eq!(
        approvals.collect::<Vec<_>>(),
        want.map(|gate| ("prod/eu/api/serve/ready-again", gate))
    );
}

#[test]
fn services_that_do_not_change_get_no_steps() {
    let mut definition = shop();
    definition.release.versions = set(&[("db", "1.0.0"), ("api", "2.1.0"), ("web", "2.9.0")]);
    let plan = plan(&definition).unwrap();
    let of = |service: &str| {
        let scope = plan.steps().iter().filter_map(|step| step.scope.place()?.service.as_ref());
        scope.filter(|other| other.as_str() == service).count()
    };
    assert_eq!((of("db"), of("web")), (0, 0));
    assert!(of("api") > 0);
}

pub(super) fn index(plan: &Plan, name: &str) -> u32 {
    u32::try_from(plan.steps().iter().position(|step| step.id.as_str() == name).unwrap()).unwrap()
}

pub(super) fn edge(plan: &Plan, from: &str, to: &str) -> Option<EdgeKind> {
    let (from, to) = (index(plan, from), index(plan, to));
    plan.edges().iter().find(|edge| (edge.from, edge.to) == (from, to)).map(|edge| edge.why)
}

#[test]
fn stages_waves_and_dependencies_follow_each_other() {
    let plan = plan(&shop()).unwrap();
    for (from, to, why) in [
        ("artifacts/web/previous", "staging/enter", EdgeKind::Sync),
        ("staging/eu/db/still-ready", "staging/eu/api/stop-old", EdgeKind::Dependency),
        ("staging/eu/api/still-ready", "staging/eu/web/stop-old", EdgeKind::Dependency),
        ("staging/eu/web/still-ready", "staging/eu/verified", EdgeKind::Sync),
        ("staging/eu/verified", "production/enter", EdgeKind::Sync),
        ("production/enter", "production/eu/db/start", EdgeKind::Sync),
        ("production/eu/web/still-ready", "production/eu/verified", EdgeKind::Sync),
        ("production/eu/verified", "production/us/db/start", EdgeKind::Sync),
        ("production/ap/web/still-ready", "production/wave-2/verified", EdgeKind::Sync),
        ("production/wave-2/verified", "production/eu/db/keep-old", EdgeKind::Sync),
        ("production/ap/web/remove-old", "notify/ops", EdgeKind::Sync),
    ] {
        assert_eq!(edge(&plan, from, to), Some(why), "{from} -> {to}");
    }
    assert_eq!(edge(&plan, "production/us/db/still-ready", "production/ap/api/start"), None);
    let gates = &plan.steps()[index(&plan, "production/enter") as usize].gates;
    assert_eq!(gates.len(), 3);
    assert!(
        matches!(&gates[0], release_core::model::Gate::Approval(a) if a.id == id("production/cab"))
    );
}

/// `web` needs `api`, which does not change, which needs `db`, which does.
#[test]
fn a_need_reaches_through_services_that_do_not_change() {
    let mut definition = shop();
    definition.services[2].depends_on = vec![any("api")];
    definition.release.versions = set(&[("db", "1.1.0"), ("api", "2.0.0"), ("web", "3.0.0")]);
    let plan = plan(&definition).unwrap();
    let why = edge(&plan, "staging/eu/db/still-ready", "staging/eu/web/stop-old");
    assert_eq!(why, Some(EdgeKind::Dependency));
    let name = |name: &str| plan.groups().iter().position(|group| group.name == name).unwrap();
    let web = &plan.groups()[name("staging/eu/web")];
    assert_eq!(
        web.after,
        [u32::try_from(name("staging/eu/db")).unwrap()],
        "and so does its rollback"
    );
}

#[test]
fn without_criteria_a_failure_ends_the_run() {
    let mut release = Release::new(id("r-1"), set(&[("api", "2.0.0")]));
    release.previous = set(&[("api", "1.0.0")]);
    let mut definition = one_service(Strategy::Recreate);
    definition.release = release;
    definition.environments = vec![environment("prod", Tier::Staging, &["eu"])];
    definition.stages = vec![Stage::new(id("prod"), Strategy::Recreate)];
    let plan = plan(&definition).unwrap();
    let all = plan.steps().iter().all(|s| s.on_failure == OnFailure::Fail);
    assert!(all);
}
