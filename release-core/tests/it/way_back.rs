//! The way back does no harm of its own: no two versions where there may be one, no traffic to the dead, no old version
//! removed before its time, and flags that go with what needs them.

use release_core::model::{
    Canary, CanaryStep, Definition, FlagChange, Other, RollbackScope, RollbackTrigger, Rolling,
    Span, Strategy, Tier, VersionSet,
};
use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
use release_core::plan::{Action, Planner, Reach, Touched, plan, rollback};
use release_core::run::{Awaiting, Command, Event, Outcome, Phase, Status};

use super::expansion::table;
use super::support::drive::{End, Run};
use super::support::samples::{approval, environment, id, one_service};
use super::support::words::{retry, started};

const ARTIFACTS: [&str; 2] = ["artifacts/api/new", "artifacts/api/previous"];

fn canary(keep_old: Span) -> Strategy {
    let steps = vec![CanaryStep::new(50, Span::ZERO)];
    Strategy::Canary(Canary { keep_old, ..Canary::new(steps) })
}

/// What the rollback of a release that was carried out does, each step as a line.
fn undoing(definition: &Definition) -> Vec<String> {
    let plan = plan(definition).unwrap().freeze();
    let extension = rollback(&plan, |_| Touched::Done, &Reach::Release).unwrap();
    extension.steps.iter().map(|step| step.action.to_string()).collect()
}

/// Where nothing served before there are no shares to look for, and what failed is kept all the same.
#[test]
fn a_first_version_that_is_taken_back_is_kept_for_a_while_too() {
    let steps = vec![CanaryStep::new(50, Span::ZERO)];
    let kept = Canary { keep_new_after_abort: Span::secs(300).into(), ..Canary::new(steps) };
    let mut first = one_service(Strategy::Canary(kept));
    first.release.previous = VersionSet::new();
    assert_eq!(undoing(&first), ["route nobody", "bake 5m", "scale 2.0.0 to 0"]);
}

#[test]
fn batches_go_back_one_by_one_where_there_is_no_room_for_more() {
    let rolling = |missing: u32, surge: Option<u32>| {
        let (max_unavailable, max_surge) = (missing.into(), surge.map(Into::into));
        let rolling = Rolling { max_unavailable, max_surge, ..Rolling::new(2) };
        undoing(&one_service(Strategy::Rolling(rolling)))
    };
    assert_eq!(
        rolling(0, Some(2)),
        [
            "scale 1.0.0 to 2",
            "2 × 1.0.0 ready",
            "route 50%→1.0.0 50%→2.0.0",
            "scale 2.0.0 to 2",
            "scale 1.0.0 to 4",
            "4 × 1.0.0 ready",
            "route 100%→1.0.0",
            "scale 2.0.0 to 0",
        ]
    );
    assert_eq!(
        rolling(2, Some(0)),
        [
            "scale 2.0.0 to 2",
            "scale 1.0.0 to 2",
            "2 × 1.0.0 ready",
            "route 50%→1.0.0 50%→2.0.0",
            "route 100%→1.0.0",
            "scale 2.0.0 to 0",
            "scale 1.0.0 to 4",
            "4 × 1.0.0 ready",
        ]
    );
    // With room for all, the old version comes back at once.
    let at_once = ["scale 1.0.0 to 4", "4 × 1.0.0 ready", "route 100%→1.0.0", "scale 2.0.0 to 0"];
    assert_eq!(rolling(0, None), at_once);
}

/// A version that was live a short while ago comes back at once, but not beside one that it cannot bear.
#[test]
fn a_recent_version_comes_back_as_its_strategy_lets_it() {
    let limited = Rolling { max_surge: Some(1.into()), ..Rolling::new(1) };
    for strategy in [Strategy::Recreate, Strategy::Rolling(limited)] {
        let mut definition = one_service(strategy);
        let fresh = plan(&definition).unwrap();
        definition.release.recent = vec![definition.release.versions.clone()];
        definition.stages[0].rollback_window = 1;
        assert_eq!(plan(&definition).unwrap().steps(), fresh.steps());
    }
}

/// Requests may still be under way in what it replaces: that is kept as long as the stage's own strategy says.
#[test]
fn what_a_recent_version_replaces_is_kept_as_its_strategy_says() {
    let bakes = |keep_old| -> Vec<String> {
        let mut definition = one_service(canary(keep_old));
        definition.release.recent = vec![definition.release.versions.clone()];
        definition.stages[0].rollback_window = 1;
        let rows = table(&plan(&definition).unwrap()).into_iter();
        rows.filter(|row| row.contains("bake")).collect()
    };
    assert_eq!(bakes(Span::secs(600)), ["prod/eu/api/keep-old: bake 10m"]);
    assert_eq!(bakes(Span::ZERO), [""; 0]);
}

/// All at once, and the old version is kept for five minutes.
#[derive(Debug)]
struct Own;

impl RolloutStrategy for Own {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", all)?];
        steps.push(site.route("all", 100)?);
        steps.extend(site.judge("all/", &[], &steps)?);
        Ok(Rollout { finale: site.retire(Span::secs(300))?, ..Rollout::of(steps) })
    }
}

/// A strategy of a host's own need not say it: that is seen in its steps.
#[test]
fn what_a_recent_version_replaces_is_kept_as_a_hosts_own_strategy_does() {
    let other = Other { name: "own".into(), with: serde_json::Value::Null };
    let mut definition = one_service(Strategy::Other(other));
    definition.release.recent = vec![definition.release.versions.clone()];
    definition.stages[0].rollback_window = 1;
    let planner = Planner::new().measured_before_traffic(false);
    let rows = table(&planner.strategy("own", |_| Ok(Box::new(Own))).plan(&definition).unwrap());
    assert!(rows.iter().any(|row| row.contains("preview")), "{rows:#?}");
    let bakes: Vec<_> = rows.iter().filter(|row| row.contains("bake")).collect();
    assert_eq!(bakes, ["prod/eu/api/keep-old: bake 5m"]);
}

/// A canary that is cancelled while it gets half of the traffic.
fn cancelled_at_half() -> Run {
    let mut definition = one_service(canary(Span::ZERO));
    definition.notify = vec![id("ops")];
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for step in ARTIFACTS {
        run.end(step, End::Good);
    }
    for step in ["start", "ready"] {
        run.end(&format!("prod/eu/api/{step}"), End::Good);
    }
    run.command(Command::Cancel, "bob").unwrap();
    run.end("prod/eu/api/weight-50", End::Good);
    assert!(matches!(run.state.phase(), Phase::RollingBack(_)), "{:?}", run.state.phase());
    run
}

/// <https://github.com/fluxcd/flagger/issues/1898>: an abort sent all of the traffic to a version that was dead, and removed
/// the one that was alive.
#[test]
fn flagger_1898_an_abort_sends_nobody_to_an_old_version_that_is_dead() {
    const PROBE: &str = "rollback/prod/eu/api/weight-50/probe";
    let mut run = cancelled_at_half();
    let route = "rollback/prod/eu/api/weight-50/route";
    let probe = run.state.plan().find(&id(PROBE)).unwrap();
    let wanted = |run: &Run| match &run.state.plan().get(probe).unwrap().action {
        Action::Probe { deployment, min_ready } => (deployment.version.to_string(), *min_ready),
        other => panic!("{other}"),
    };
    assert_eq!(wanted(&run), ("1.0.0".to_owned(), 4));
    for needed in [4, 1] {
        assert_eq!(wanted(&run).1, needed, "all of its instances, or at least one");
        for _ in 0..5 {
            run.end(PROBE, End::Transient);
            run.next_effect();
        }
    }
    // Nobody was moved and nothing removed: half of the users are served by the version that lives, and people are called.
    assert!(run.state.awaiting().contains(&Awaiting::Operator(id(PROBE))), "{:?}", run.state);
    assert!(started(&run).contains(&"rollback/page/ops 1".to_owned()), "{:?}", started(&run));
    let changes = |run: &Run| {
        let back = started(run).into_iter().filter(|step| step.starts_with("rollback/prod"));
        back.filter(|step| !step.starts_with(PROBE)).collect::<Vec<_>>()
    };
    assert_eq!(changes(&run), [""; 0]);
    run.command(retry(PROBE), "bob").unwrap();
    run.end(PROBE, End::Good);
    assert_eq!(changes(&run), [format!("{route} 1")]);
    assert!(matches!(run.heal(20), Outcome::RolledBack { .. }));
}

/// How an old version goes elsewhere that is kept for a while.
const KEPT: [&str; 4] = [
    "keep-old/bake",
    "keep-old/still-ready/probe",
    "remove-old/still-routed/confirm",
    "remove-old/scale",
];

/// Two environments of which the first is done, and its old version kept for a while.
fn first_of_two(scope: RollbackScope, gated: bool) -> Run {
    let mut definition = one_service(canary(Span::secs(3600)));
    definition.release.rollback.as_mut().unwrap().scope = scope;
    definition.environments.push(environment("live", Tier::Production, &["eu"]));
    let mut live = definition.stages[0].clone();
    live.environment = id("live");
    definition.stages.push(if gated { live.gate(approval("go")) } else { live });
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for step in ARTIFACTS {
        run.end(step, End::Good);
    }
    let steps = ["start", "ready", "weight-50", "weight-50/errors", "weight-50/still-routed"];
    for step in steps.into_iter().chain(["weight-50/still-ready", "promote", "still-ready"]) {
        run.end(&format!("prod/eu/api/{step}"), End::Good);
    }
    run
}

#[test]
fn an_old_version_is_kept_as_long_as_it_was_to_be_when_another_place_goes_back() {
    let mut run = first_of_two(RollbackScope::Environment, false);
    run.end("live/eu/api/start", End::Permanent);
    let begun = run.now;
    run.end("rollback/live/eu/api/start/scale", End::Good);
    assert!(run.effects.is_empty(), "the old version is kept: {:?}", started(&run));
    assert!(run.pass_to_next());
    assert_eq!(run.now.since(begun), Span::secs(3600), "as long as it was to be");
    // What it would return to is removed only if what it is removed for is well.
    run.end("rollback/prod/eu/api/keep-old/still-ready/probe", End::Permanent);
    let look = "rollback/prod/eu/api/keep-old/still-ready/probe";
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id(look))]);
    run.command(retry(look), "bob").unwrap();
    run.end(look, End::Good);
    run.end("rollback/prod/eu/api/remove-old/still-routed/confirm", End::Good);
    run.end("rollback/prod/eu/api/remove-old/scale", End::Good);
    assert!(matches!(run.state.outcome(), Some(Outcome::RolledBack { .. })));
}

/// Found here: people were called only once what is kept elsewhere had been kept long enough.
#[test]
fn a_stuck_rollback_calls_people_while_an_old_version_is_kept_elsewhere() {
    const BACK: &str = "rollback/live/eu/api/start/scale";
    let mut run = first_of_two(RollbackScope::Environment, false);
    run.end("live/eu/api/start", End::Permanent);
    run.end(BACK, End::Permanent);
    let stuck = run.last(|event| matches!(event, Event::RollbackStuck { .. }));
    let Some(Event::RollbackStuck { steps }) = stuck else { panic!("{:?}", run.state) };
    assert_eq!(steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), [BACK]);
}

/// Who is told that a release went back hears of it when it did, and not when the last old version is gone elsewhere.
#[test]
fn nobody_waits_for_the_tidying_up_elsewhere() {
    let mut definition = one_service(canary(Span::secs(3600)));
    definition.environments[0].regions = vec![id("eu"), id("us")];
    definition.release.rollback.as_mut().unwrap().scope = RollbackScope::Region;
    definition.notify = vec![id("ops")];
    let plan = plan(&definition).unwrap().freeze();
    let is_in =
        |index: u32, region: &str| plan.get(index).unwrap().scope.region() == Some(&id(region));
    let touched = |index: u32| {
        let step = plan.get(index).unwrap();
        if is_in(index, "eu") && !step.finale || step.id.as_str() == "prod/us/api/start" {
            Touched::Done
        } else {
            Touched::No
        }
    };
    let reach = Reach::Region(Some(id("prod")), Some(id("us")));
    let extension = rollback(&plan, touched, &reach).unwrap();
    let at = |name: &str| {
        let found = extension.steps.iter().position(|step| step.id.as_str() == name);
        u32::try_from(found.unwrap_or_else(|| panic!("no {name}"))).unwrap()
    };
    let kept = KEPT.map(|name| at(&format!("rollback/prod/eu/api/{name}")));
    let mut edges: Vec<_> = extension.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    edges.sort_unstable();
    let mut wanted = vec![
        (at("rollback/prod/us/api/start/scale"), at("rollback/notify/ops")),
        (kept[0], kept[1]),
        (kept[1], kept[2]),
        (kept[2], kept[3]),
    ];
    wanted.sort_unstable();
    assert_eq!(edges, wanted);
}

#[test]
fn a_rejected_gate_of_a_stage_takes_back_what_the_scope_says() {
    use RollbackScope::{Environment, Region, Release, Wave};
    for scope in [Region, Wave, Environment] {
        let mut run = first_of_two(scope, true);
        run.command(Command::Reject { gate: id("live/go") }, "bob").unwrap();
        // Nothing was begun behind the gate, and all is well before it: only the old version is still to be removed.
        let outcome = run.heal(20);
        assert!(matches!(outcome, Outcome::Failed { .. }), "{scope:?}: {outcome}");
        assert_eq!(run.status("prod/eu/api/promote"), Status::Succeeded);
        let back = started(&run).into_iter().filter(|step| step.starts_with("rollback/"));
        let wanted = KEPT.map(|step| format!("rollback/prod/eu/api/{step} 1"));
        assert_eq!(back.collect::<Vec<_>>(), wanted, "{scope:?}");
    }
    let mut run = first_of_two(Release, true);
    run.command(Command::Reject { gate: id("live/go") }, "bob").unwrap();
    assert!(matches!(run.heal(20), Outcome::RolledBack { .. }));
    assert_eq!(run.status("prod/eu/api/promote"), Status::Compensated);
}

/// A flag before the rollouts of two regions and one after them, whose gate is open if it has one.
fn flagged(scope: RollbackScope, gated: bool) -> Run {
    let mut definition = one_service(canary(Span::ZERO));
    definition.environments[0].regions = vec![id("eu"), id("us")];
    definition.release.rollback.as_mut().unwrap().scope = scope;
    let after = FlagChange::new(id("new-checkout"), vec![50]);
    let after = if gated { after.gate(approval("go")) } else { after };
    definition.stages[0].flags = vec![FlagChange::new(id("dual-write"), vec![100]).before(), after];
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for _ in 0..200 {
        let held = run.effects.keys().next().copied().filter(|step| {
            run.state.plan().get(*step).unwrap().id.as_str().ends_with("new-checkout/share-50")
        });
        if held.is_some() || run.effects.is_empty() && run.state.next_wakeup().is_none() {
            return run;
        }
        run.help();
    }
    panic!("never there: {:?}", started(&run));
}

/// Found in review: with the scope of a region, the flags were restored and the new version stayed, without them.
#[test]
fn a_flag_that_fails_takes_back_what_it_was_set_for_under_every_scope() {
    use RollbackScope::{Environment, Region, Release, Wave};
    for scope in [Region, Wave, Environment, Release] {
        for gated in [false, true] {
            let mut run = flagged(scope, gated);
            if gated {
                let gate = id("prod/flags/new-checkout/go");
                run.command(Command::Reject { gate }, "bob").unwrap();
            } else {
                run.end("prod/flags/new-checkout/share-50", End::Permanent);
            }
            let outcome = run.heal(60);
            assert!(matches!(outcome, Outcome::RolledBack { .. }), "{scope:?}: {outcome}");
            let performed = started(&run);
            let place = |step: &str| {
                let found = performed.iter().position(|one| one.starts_with(step));
                found.unwrap_or_else(|| panic!("{scope:?}: no {step} in {performed:?}"))
            };
            let before = place("rollback/prod/flags/dual-write/share-100/restore_flag");
            for region in ["eu", "us"] {
                let name = format!("prod/{region}/api/promote");
                assert_eq!(run.status(&name), Status::Compensated, "{scope:?}");
                let back = place(&format!("rollback/{name}/route"));
                assert!(back < before, "{scope:?}: what needs it goes first");
            }
        }
    }
}

/// Whoever says that failures are for people to decide is asked about a rejection too.
#[test]
fn a_rejection_waits_for_people_where_failures_do() {
    let mut definition = one_service(canary(Span::ZERO));
    let errors = RollbackTrigger::Analysis(id("errors"));
    definition.release.rollback.as_mut().unwrap().triggers = vec![errors];
    definition.stages[0] = definition.stages[0].clone().gate(approval("go"));
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    for step in ARTIFACTS {
        run.end(step, End::Good);
    }
    run.command(Command::Reject { gate: id("prod/go") }, "bob").unwrap();
    assert_eq!(run.state.awaiting(), [Awaiting::Operator(id("prod/enter"))]);
}
