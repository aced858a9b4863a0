//! What strategies can say beyond shares: scale, rules, experiments, hooks, what watches in the background.

use release_core::analysis::Conclusion;
use release_core::model::{
    Approval, Background, BlueGreen, Canary, CanaryScale, CanaryStep, Copies, Definition,
    Experiment, Gate, HeaderRule, Hook, HookPoint, Other, Rolling, SessionAffinity, Shadow, Span,
    Strategy,
};
use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
use release_core::plan::{
    Action, EdgeKind, OnFailure, Plan, PlanError, Planner, Reach, Touched, plan, rollback,
};
use release_core::run::{Event, Outcome, Status};
use serde_json::{Value, json};

use super::expansion::{REMOVED, around, check, edge, index, table};
use super::support::drive::{End, Run};
use super::support::samples::{id, one_service};

pub(super) fn minute() -> Span {
    Span::secs(60)
}

pub(super) fn step(weight: u8) -> CanaryStep {
    CanaryStep::new(weight, Span::ZERO)
}

fn canary(steps: Vec<CanaryStep>) -> Definition {
    one_service(Strategy::Canary(Canary::new(steps)))
}

fn approval(name: &str) -> Gate {
    Gate::Approval(Approval::new(id(name)))
}

/// The problems of a definition, as people read them.
pub(super) fn problems(definition: &Definition) -> Vec<String> {
    let errors = plan(definition).unwrap_err().0;
    errors.iter().map(ToString::to_string).collect()
}

#[track_caller]
pub(super) fn refused(strategy: Strategy, why: &str) {
    let problems = problems(&one_service(strategy));
    assert!(problems.len() == 1 && problems[0].contains(why), "{why}: {problems:?}");
}

#[test]
fn a_canary_has_instances_rules_and_gates_of_its_own_at_each_step() {
    let definition = one_service(Strategy::Canary(Canary {
        shrink_old: true,
        ..Canary::new(vec![
            CanaryStep {
                scale: Some(CanaryScale::Replicas(1)),
                headers: vec![HeaderRule::exact("x-canary", "yes")],
                mirror: Some(Copies::of(10)),
                bake: minute(),
                ..step(0)
            },
            CanaryStep {
                scale: Some(CanaryScale::MatchTraffic),
                gates: vec![approval("go")],
                ..step(50)
            },
        ])
    }));
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 1",
        "prod/eu/api/ready: 1 × 2.0.0 ready",
        "prod/eu/api/weight-0: route 100%→1.0.0, by `x-canary`, 10% mirrored",
        "prod/eu/api/weight-0/shrink-old: scale 1.0.0 to 4",
        "prod/eu/api/weight-0/bake: bake 1m",
        "prod/eu/api/weight-0/errors: errors of 2.0.0",
        "prod/eu/api/weight-0/still-routed: routed 100%→1.0.0, by `x-canary`, 10% mirrored",
        "prod/eu/api/weight-0/still-ready: 1 × 2.0.0 ready",
        "prod/eu/api/weight-50/scale: scale 2.0.0 to 2",
        "prod/eu/api/weight-50/ready: 2 × 2.0.0 ready",
        "prod/eu/api/weight-50/routed-again: routed 100%→1.0.0, by `x-canary`, 10% mirrored",
        "prod/eu/api/weight-50: route 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/weight-50/shrink-old: scale 1.0.0 to 2",
        "prod/eu/api/weight-50/errors: errors of 2.0.0",
        "prod/eu/api/weight-50/still-routed: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/weight-50/still-ready: 2 × 2.0.0 ready",
        "prod/eu/api/promote/scale: scale 2.0.0 to 4",
        "prod/eu/api/promote/ready: 4 × 2.0.0 ready",
        "prod/eu/api/promote: route 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&definition, &around(&rollout, &REMOVED));
    let plan = plan(&definition).unwrap();
    let gated: Vec<_> = plan.steps().iter().filter(|step| step.is_gated()).collect();
    let [gated] = gated[..] else { panic!("{gated:?}") };
    assert_eq!(gated.id, id("prod/eu/api/weight-50/scale"), "before anything of the step is done");
    assert_eq!(gated.gates[0].approval().unwrap().id, id("prod/eu/api/weight-50/go"));
}

#[test]
fn a_share_that_falls_gives_the_old_version_its_instances_back_first() {
    let definition = one_service(Strategy::Canary(Canary {
        shrink_old: true,
        ..Canary::new(vec![step(75), step(25), step(100)])
    }));
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-75: route 25%→1.0.0 75%→2.0.0",
        "prod/eu/api/weight-75/shrink-old: scale 1.0.0 to 1",
        "prod/eu/api/weight-75/errors: errors of 2.0.0",
        "prod/eu/api/weight-75/still-routed: routed 25%→1.0.0 75%→2.0.0",
        "prod/eu/api/weight-75/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-25/grow-old: scale 1.0.0 to 3",
        "prod/eu/api/weight-25/old-ready: 3 × 1.0.0 ready",
        "prod/eu/api/weight-25: route 75%→1.0.0 25%→2.0.0",
        "prod/eu/api/weight-25/errors: errors of 2.0.0",
        "prod/eu/api/weight-25/still-routed: routed 75%→1.0.0 25%→2.0.0",
        "prod/eu/api/weight-25/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-100: route 100%→2.0.0",
        "prod/eu/api/weight-100/errors: errors of 2.0.0",
        "prod/eu/api/weight-100/still-routed: routed 100%→2.0.0",
        "prod/eu/api/weight-100/still-ready: 4 × 2.0.0 ready",
    ];
    check(&definition, &around(&rollout, &REMOVED));
}

#[test]
fn steps_of_the_same_weight_have_names_of_their_own_and_change_nothing_twice() {
    let definition = canary(vec![step(20), CanaryStep { bake: minute(), ..step(20) }]);
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-20: route 80%→1.0.0 20%→2.0.0",
        "prod/eu/api/weight-20/errors: errors of 2.0.0",
        "prod/eu/api/weight-20/still-routed: routed 80%→1.0.0 20%→2.0.0",
        "prod/eu/api/weight-20/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/weight-20-2/bake: bake 1m",
        "prod/eu/api/weight-20-2/errors: errors of 2.0.0",
        "prod/eu/api/weight-20-2/still-routed: routed 80%→1.0.0 20%→2.0.0",
        "prod/eu/api/weight-20-2/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/promote: route 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&definition, &around(&rollout, &REMOVED));
}

#[test]
fn an_experiment_compares_with_as_many_fresh_instances() {
    let experiment = Experiment::new(20, 1, minute());
    let definition = canary(vec![CanaryStep {
        scale: Some(CanaryScale::Replicas(1)),
        experiment: Some(experiment),
        ..step(10)
    }]);
    let plan = plan(&definition).unwrap();
    let steps = table(&plan);
    let begin = steps.iter().position(|step| step.contains("experiment/start")).unwrap();
    assert_eq!(
        steps[begin..begin + 10],
        [
            "prod/eu/api/weight-10/experiment/start: scale 1.0.0 to 1",
            "prod/eu/api/weight-10/experiment/ready: 1 × 1.0.0 ready",
            "prod/eu/api/weight-10/experiment/ready-again: 1 × 2.0.0 ready",
            "prod/eu/api/weight-10/experiment: route 60%→1.0.0 20%→1.0.0@baseline 20%→2.0.0",
            "prod/eu/api/weight-10/experiment/bake: bake 1m",
            "prod/eu/api/weight-10/experiment/errors: errors of 2.0.0",
            "prod/eu/api/weight-10/experiment/still-routed: routed 60%→1.0.0 20%→1.0.0@baseline 20%→2.0.0",
            "prod/eu/api/weight-10/experiment/old-ready: 4 × 1.0.0 ready",
            "prod/eu/api/weight-10/experiment/over: route 90%→1.0.0 10%→2.0.0",
            "prod/eu/api/weight-10/experiment/stop: scale 1.0.0 to 0",
        ]
    );
    let start = plan.steps().iter().find(|s| s.id.as_str().ends_with("experiment/start")).unwrap();
    let Action::Scale { deployment, .. } = &start.action else { panic!("{start:?}") };
    assert_eq!(deployment.target.to_string(), "prod/eu/api@baseline");
}

#[test]
fn blue_green_is_previewed_and_grows_before_the_switch() {
    let definition = one_service(Strategy::BlueGreen(BlueGreen {
        preview_replicas: Some(1),
        preview_headers: vec![HeaderRule::exact("x-preview", "yes")],
        preview: minute(),
        preview_analyses: vec![id("errors")],
        gates: vec![approval("go")],
        keep_new_after_abort: Span::secs(300).into(),
        ..BlueGreen::default()
    }));
    let rollout = [
        "prod/eu/api/preview: scale 2.0.0 to 1",
        "prod/eu/api/ready: 1 × 2.0.0 ready",
        "prod/eu/api/preview/route: route 100%→1.0.0, by `x-preview`",
        "prod/eu/api/preview/bake: bake 1m",
        "prod/eu/api/preview/errors: errors of 2.0.0",
        "prod/eu/api/preview/still-routed: routed 100%→1.0.0, by `x-preview`",
        "prod/eu/api/grow: scale 2.0.0 to 4",
        "prod/eu/api/grow/ready: 4 × 2.0.0 ready",
        "prod/eu/api/switch/routed-again: routed 100%→1.0.0, by `x-preview`",
        "prod/eu/api/switch/ready-again: 4 × 2.0.0 ready",
        "prod/eu/api/switch: route 100%→2.0.0",
        "prod/eu/api/errors: errors of 2.0.0",
        "prod/eu/api/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&definition, &around(&rollout, &REMOVED));
    // Taken back, the new version is kept for a while, without traffic.
    let plan = plan(&definition).unwrap().freeze();
    let back = rollback(&plan, |_| Touched::Done, &Reach::Release).unwrap();
    let actions: Vec<_> = back.steps.iter().map(|step| step.action.to_string()).collect();
    let want = "scale 1.0.0 to 4, 4 × 1.0.0 ready, route 100%→1.0.0, bake 5m, routed 100%→1.0.0, scale 2.0.0 to 0";
    assert_eq!(actions.join(", "), want);
}

#[test]
fn a_shadow_gets_copies_before_it_gets_requests() {
    let shadow = Shadow { replicas: Some(2), ..Shadow::new(50, minute()) };
    let rollout = [
        "prod/eu/api/start: scale 2.0.0 to 2",
        "prod/eu/api/ready: 2 × 2.0.0 ready",
        "prod/eu/api/mirror: route 100%→1.0.0, 50% mirrored",
        "prod/eu/api/mirror/bake: bake 1m",
        "prod/eu/api/mirror/errors: errors of 2.0.0",
        "prod/eu/api/mirror/still-routed: routed 100%→1.0.0, 50% mirrored",
        "prod/eu/api/mirror/still-ready: 2 × 2.0.0 ready",
        "prod/eu/api/unmirror: route 100%→1.0.0",
        "prod/eu/api/grow: scale 2.0.0 to 4",
        "prod/eu/api/grow/ready: 4 × 2.0.0 ready",
        "prod/eu/api/switch: route 100%→2.0.0",
        "prod/eu/api/errors: errors of 2.0.0",
        "prod/eu/api/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&one_service(Strategy::Shadow(shadow)), &around(&rollout, &REMOVED));
}

/// A canary with one step, watched by `errors` while it goes on.
fn watched() -> Definition {
    let background = vec![Background { analysis: id("errors"), from_step: 1 }];
    let spec =
        Canary { background, ..Canary::new(vec![CanaryStep { bake: minute(), ..step(50) }]) };
    let mut definition = one_service(Strategy::Canary(spec));
    definition.analyses[0].count = 1000;
    definition.analyses[0].inconclusive_limit = 1000;
    // Only what watches judges: one that is among the criteria does at each step too.
    let triggers = &mut definition.release.rollback.as_mut().unwrap().triggers;
    triggers.retain(|trigger| *trigger == release_core::model::RollbackTrigger::StepFailed);
    definition
}

#[test]
fn what_watches_in_the_background_begins_with_its_step_and_holds_up_what_follows() {
    let plan = plan(&watched()).unwrap();
    let watch = "prod/eu/api/background/errors";
    assert_eq!(edge(&plan, "prod/eu/api/weight-50", watch), Some(EdgeKind::Order));
    assert_eq!(edge(&plan, watch, "prod/eu/verified"), Some(EdgeKind::Sync));
    assert_eq!(edge(&plan, watch, "prod/eu/api/promote"), None);
    let step = &plan.steps()[index(&plan, watch) as usize];
    let Action::Analyze { from, until, .. } = &step.action else { panic!("{step:?}") };
    assert_eq!(*from, Some(id("prod/eu/api/weight-50")));
    assert_eq!(*until, Some(id("prod/eu/api/still-ready")));
}

/// Ends all effects well until the rollout is through and what watches looks again.
fn through(mut run: Run, watch: &str) -> Run {
    for _ in 0..100 {
        run.next_effect();
        let over = run.status("prod/eu/api/still-ready") == Status::Succeeded;
        if over && run.status(watch) == Status::Running {
            return run;
        }
        let step = *run.effects.keys().next().unwrap();
        run.outcome(step, End::Good);
    }
    panic!("the rollout does not end");
}

#[test]
fn what_watches_ends_with_the_rollout_and_never_passes_without_evidence() {
    let watch = "prod/eu/api/background/errors";
    let plan = plan(&watched()).unwrap().freeze();
    // One good measurement while it goes on, and the next one when it is through.
    let mut run = through(Run::start(&plan), watch);
    assert_eq!(run.status(watch), Status::Running);
    run.end(watch, End::Good);
    assert_eq!(run.status(watch), Status::Succeeded);
    assert_eq!(run.heal(100), Outcome::Succeeded);
    // Nothing but too few requests.
    let mut silent = watched();
    silent.analyses[0].min_samples = 1_000_000;
    let silent = release_core::plan::plan(&silent).unwrap().freeze();
    let mut run = through(Run::start(&silent), watch);
    run.end(watch, End::Good);
    let failed = run.last(|event| matches!(event, Event::StepFailed { .. })).unwrap();
    let Event::StepFailed { error, finding, .. } = failed else { panic!("{failed:?}") };
    assert_eq!(error.kind, "not_evaluated", "{error}");
    let concluded = finding.as_ref().map(|finding| finding.conclusion);
    assert_eq!(concluded, Some(Conclusion::NotEvaluated));
    // Harm ends the rollout, wherever it is.
    let mut run = Run::start(&plan);
    while run.status(watch) != Status::Running {
        run.next_effect();
        let step = *run.effects.keys().next().unwrap();
        run.outcome(step, End::Good);
    }
    run.end(watch, End::Bad);
    assert!(matches!(run.heal(100), Outcome::Failed { .. } | Outcome::RolledBack { .. }));
    assert_eq!(run.status("prod/eu/api/promote"), Status::Cancelled);
}

#[test]
fn hooks_are_called_at_their_points_and_traffic_waits_for_what_must_be_known() {
    let mut definition = canary(vec![step(50)]);
    let hook = |name: &str, at| Hook::new(id(name), at, "webhook", json!({ "url": "http://x" }));
    let stage = &mut definition.stages[0];
    stage.before_traffic = vec![id("errors")];
    stage.hooks = vec![
        hook("tell", HookPoint::AfterRollback),
        hook("may-it", HookPoint::BeforeRollout),
        Hook { wait: Some(Span::secs(3600)), ..hook("test", HookPoint::WhenReady) },
        hook("more", HookPoint::BeforeIncrease),
        hook("load", HookPoint::AfterIncrease),
        hook("all", HookPoint::BeforePromotion),
        Hook { attempts: Some(7), optional: true, ..hook("done", HookPoint::AfterRollout) },
    ];
    let rollout = [
        "prod/eu/api/hooks/may-it: webhook",
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/hooks/test: webhook",
        "prod/eu/api/before-traffic/errors: errors of 2.0.0",
        "prod/eu/api/hooks/weight-50/more: webhook",
        "prod/eu/api/weight-50/ready-again: 4 × 2.0.0 ready",
        "prod/eu/api/weight-50: route 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/hooks/weight-50/load: webhook",
        "prod/eu/api/weight-50/errors: errors of 2.0.0",
        "prod/eu/api/weight-50/still-routed: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/weight-50/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/hooks/promote/more: webhook",
        "prod/eu/api/hooks/promote/all: webhook",
        "prod/eu/api/promote/routed-again: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/promote/ready-again: 4 × 2.0.0 ready",
        "prod/eu/api/promote: route 100%→2.0.0",
        "prod/eu/api/hooks/promote/load: webhook",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
        "prod/eu/api/hooks/done: webhook",
    ];
    check(&definition, &around(&rollout, &REMOVED));
    let plan = plan(&definition).unwrap();
    let attempts = |name: &str| plan.steps()[index(&plan, name) as usize].retry.max_attempts;
    assert_eq!((attempts("prod/eu/api/hooks/may-it"), attempts("prod/eu/api/hooks/done")), (3, 7));
    // An hour, with pauses that are half of 36 s on average.
    assert_eq!(attempts("prod/eu/api/hooks/test"), 200);
    let of = |name: &str| plan.steps()[index(&plan, name) as usize].on_failure;
    assert_eq!(of("prod/eu/api/hooks/done"), OnFailure::Continue);
    assert_ne!(of("prod/eu/api/hooks/test"), OnFailure::Continue);
    // After a rollback, whatever was begun, and after all that is undone; its failure changes nothing.
    let may_it = index(&plan, "prod/eu/api/hooks/may-it");
    let plan = plan.freeze();
    let only = |index: u32| if index == may_it { Touched::Yes } else { Touched::No };
    for touched in [&only as &dyn Fn(u32) -> Touched, &|_| Touched::Done] {
        let back = rollback(&plan, touched, &Reach::Release).unwrap();
        let last = back.steps.last().unwrap();
        let Action::Custom { capability, .. } = &last.action else { panic!("{last:?}") };
        assert_eq!((&**capability, last.on_failure), ("webhook", OnFailure::Continue));
    }
}

#[test]
fn a_version_that_was_live_a_short_while_ago_comes_back_at_once() {
    let mut definition = canary(vec![step(10), step(50)]);
    definition.release.recent = vec![definition.release.versions.clone()];
    assert_eq!(table(&plan(&definition).unwrap()).len(), 19, "no window, no short cut");
    definition.stages[0].rollback_window = 1;
    let rollout = [
        "prod/eu/api/preview: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/switch: route 100%→2.0.0",
        "prod/eu/api/errors: errors of 2.0.0",
        "prod/eu/api/still-routed: routed 100%→2.0.0",
        "prod/eu/api/still-ready: 4 × 2.0.0 ready",
    ];
    check(&definition, &around(&rollout, &REMOVED));
    // Further back than the window.
    definition.release.recent.insert(0, definition.release.previous.clone());
    assert_eq!(table(&plan(&definition).unwrap()).len(), 19);
}

#[test]
fn settings_that_make_no_sense_are_refused_with_what_would() {
    let one = |step: CanaryStep| Strategy::Canary(Canary::new(vec![step]));
    let scale = |replicas| Some(CanaryScale::Replicas(replicas));
    let rule = |name: &str| vec![HeaderRule::exact(name, "yes")];
    for (strategy, why) in [
        (one(CanaryStep { scale: scale(1), ..step(50) }), "set `scale` to 2 to 4"),
        (one(CanaryStep { scale: scale(5), ..step(50) }), "set `scale` to 2 to 4"),
        (one(CanaryStep { scale: scale(0), headers: rule("x"), ..step(0) }), "set `scale` to 1 to"),
        (one(CanaryStep { headers: rule("X y"), ..step(10) }), "header `X y` is no name"),
        (one(CanaryStep { mirror: Some(Copies::of(101)), ..step(10) }), "`mirror` is 101"),
        (one(CanaryStep { mirror: Some(Copies::of(10)), ..step(100) }), "leave them out"),
        (
            Strategy::Canary(Canary {
                shrink_old: true,
                affinity: Some(SessionAffinity::new("stay")),
                ..Canary::new(vec![step(10)])
            }),
            "leave out `scale` and `shrink_old`",
        ),
        (
            Strategy::Rolling(Rolling { max_surge: Some(0.into()), ..Rolling::new(1) }),
            "no instance could be replaced",
        ),
        (
            Strategy::BlueGreen(BlueGreen { preview_replicas: Some(9), ..BlueGreen::default() }),
            "set 1 to 4",
        ),
        (Strategy::Shadow(Shadow::new(0, minute())), "`shadow.percent` is 0"),
        (
            Strategy::Canary(Canary {
                background: vec![Background { analysis: id("errors"), from_step: 2 }],
                ..Canary::new(vec![step(10)])
            }),
            "begins with step 2, and there are 1",
        ),
        (
            Strategy::Canary(Canary {
                affinity: Some(SessionAffinity::new("no cookie")),
                ..Canary::new(vec![step(10)])
            }),
            "cookie `no cookie` is no name",
        ),
        (
            Strategy::Other(Other { name: "mine".into(), with: Value::Null }),
            "the planner knows none",
        ),
    ] {
        refused(strategy, why);
    }
    let mut definition = canary(vec![step(10)]);
    let hook =
        Hook { attempts: Some(0), ..Hook::new(id("a"), HookPoint::AfterRollout, "", json!(1)) };
    let both = Hook { id: id("b"), attempts: Some(1), wait: Some(minute()), ..hook.clone() };
    let ever =
        Hook { id: id("c"), attempts: None, wait: Some(Span::secs(40 * 86_400)), ..hook.clone() };
    definition.stages[0].hooks = vec![hook.clone(), hook, both, ever];
    definition.stages[0].before_traffic = vec![id("nobody")];
    let all = problems(&definition);
    for why in [
        "0 `attempts`",
        "say one of them",
        "30 days",
        "prod/a` stands twice",
        "`before_traffic` of stage `prod`",
    ] {
        assert!(all.iter().any(|problem| problem.contains(why)), "{why}: {all:?}");
    }
}

/// As many steps as it is told, each with an equal share.
#[derive(Debug)]
struct Stairs(u8);

impl RolloutStrategy for Stairs {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", all)?];
        for stair in 1..=self.0 {
            let percent = u8::try_from(100 * u32::from(stair) / u32::from(self.0)).unwrap_or(100);
            steps.push(site.route(&format!("stair-{stair}"), percent)?);
            steps.extend(site.judge(&format!("stair-{stair}/"), &[], &steps)?);
        }
        Ok(Rollout { finale: site.retire(Span::ZERO)?, ..Rollout::of(steps) })
    }
}

fn stairs(with: Value) -> Result<Plan, Vec<PlanError>> {
    let all = Planner::new().measured_before_traffic(false);
    let by = all.strategy("stairs", |with| match with.as_u64() {
        Some(count @ 1..=100) => Ok(Box::new(Stairs(u8::try_from(count).unwrap_or(1)))),
        _ => Err(format!("`with` is {with}; write a whole number from 1 to 100")),
    });
    let other = Other { name: "stairs".into(), with };
    by.plan(&one_service(Strategy::Other(other))).map_err(|errors| errors.0)
}

#[test]
fn a_host_adds_strategies_of_its_own() {
    let plan = stairs(json!(2)).unwrap();
    let want = [
        "prod/eu/api/start: scale 2.0.0 to 4",
        "prod/eu/api/ready: 4 × 2.0.0 ready",
        "prod/eu/api/stair-1: route 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/stair-1/errors: errors of 2.0.0",
        "prod/eu/api/stair-2/routed-again: routed 50%→1.0.0 50%→2.0.0",
        "prod/eu/api/stair-2/ready-again: 4 × 2.0.0 ready",
        "prod/eu/api/stair-2: route 100%→2.0.0",
        "prod/eu/api/stair-2/errors: errors of 2.0.0",
    ];
    assert_eq!(table(&plan)[3..11], want);
    let errors = stairs(json!("many")).unwrap_err();
    let [PlanError::BadStrategy { problem, .. }] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!(problem, "`stairs`: `with` is \"many\"; write a whole number from 1 to 100");
}
