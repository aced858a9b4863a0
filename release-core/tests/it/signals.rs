//! Signals from outside, error budgets and health: from what is told or seen to what is taken back.

use release_core::analysis::Conclusion;
use release_core::model::{
    Analysis, BlueGreen, BurnRate, BurnWindows, Canary, CanaryStep, Definition, Judge, OnSignal,
    RollbackScope, RollbackTrigger, Rolling, Signal, SignalKind, SignalResponse, Span, Stage,
    Strategy, Tier,
};
use release_core::plan::{
    Action, EdgeKind, OnFailure, Plan, PlanError, PlanErrors, SignalRule, plan,
};
use release_core::port::Evidence;
use release_core::run::{
    Cause, Command, Event, MAX_SIGNALS, Outcome, Phase, Rejected, SignalAnswer, Status,
};

use super::support::drive::{End, Run};
use super::support::looks::{findings, finite, go, page, part, repeat};
use super::support::samples::{
    artifact, builder, change, environment, error_rate, id, one_service, one_way, shop,
};

fn on(kind: SignalKind, source: Option<&str>, then: SignalResponse) -> RollbackTrigger {
    RollbackTrigger::Signal(OnSignal { kind, source: source.map(Into::into), then })
}

fn incident(reference: &str) -> Signal {
    Signal::new(SignalKind::Incident, "pager", reference)
}

fn tell(run: &mut Run, signal: Signal) -> Result<Vec<Event>, Rejected> {
    run.command(Command::Signal { signal: Box::new(signal) }, "bob")
}

fn canary() -> Strategy {
    Strategy::Canary(Canary::new(vec![CanaryStep::new(50, Span::secs(600))]))
}

/// One service, half of whose traffic has the new version.
fn half_way(triggers: &[RollbackTrigger]) -> Run {
    let mut definition = one_service(canary());
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = triggers.to_vec();
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    while run.status("prod/eu/api/weight-50") != Status::Succeeded {
        run.next_effect();
        let step = *run.effects.keys().next().unwrap();
        run.outcome(step, End::Good);
    }
    run
}

/// Lets a run go on to its end, all well.
fn finish(run: &mut Run) -> Outcome {
    run.heal(1_000)
}

#[test]
fn an_incident_takes_back_what_the_release_planned_for() {
    let planned = on(SignalKind::Incident, None, SignalResponse::RollBack);
    let mut run = half_way(&[planned]);
    let events = tell(&mut run, incident("INC-7")).unwrap();
    assert!(
        matches!(&events[0], Event::Signalled { answer: SignalAnswer::RollBack { .. }, by, .. } if by.id.as_str() == "bob")
    );
    let outcome = finish(&mut run);
    let Outcome::RolledBack { cause: cause @ Cause::Signalled { .. } } = &outcome else {
        panic!("{outcome}");
    };
    assert_eq!(cause.to_string(), "incident `INC-7` of pager, as bob told: because");
    // All of the traffic is the old version's again, and nothing of the new one runs.
    let undone = run.facts.iter().filter_map(|fact| match &fact.event {
        Event::RollbackStarted { extension, .. } => Some(extension.undoes.len()),
        _ => None,
    });
    assert_eq!(undone.collect::<Vec<_>>().len(), 1);
    assert_eq!(run.status("prod/eu/api/weight-50"), Status::Compensated);
    assert_eq!(run.state.signals().len(), 1);
}

#[test]
fn what_nobody_planned_for_is_recorded_with_the_reason_and_takes_nothing_back() {
    let planned = on(SignalKind::Incident, Some("pager"), SignalResponse::RollBack);
    let mut run = half_way(&[planned, RollbackTrigger::StepFailed]);
    let other_place = Signal { environment: Some(id("staging")), ..incident("INC-2") };
    let other_service = Signal { service: Some(id("web")), ..incident("INC-3") };
    for (why, signal) in [
        ("planned nothing for it", Signal::new(SignalKind::Incident, "rumours", "INC-1")),
        ("planned nothing for it", Signal::new(SignalKind::Alert, "pager", "A-1")),
        ("changes nothing there", other_place),
        ("changes nothing there", other_service),
    ] {
        let events = tell(&mut run, signal.clone()).unwrap();
        let [Event::Signalled { answer: SignalAnswer::Recorded { why: told }, .. }] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert!(told.contains(why), "{told}");
        // The same once more is nothing new.
        assert_eq!(tell(&mut run, signal).unwrap(), []);
    }
    assert_eq!(run.state.signals().len(), 4);
    assert_eq!(*run.state.phase(), Phase::Forward);
    assert_eq!(finish(&mut run), Outcome::Succeeded);
    let page = page(&run);
    for part in [
        "recorded only: the release planned nothing for it",
        "incident `INC-1` of rumours",
        "recorded only: the run changes nothing there",
        "incident `INC-2` of pager at staging",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The run is over, and says so to whoever tells more.
    assert!(matches!(tell(&mut run, incident("INC-9")), Err(Rejected::Finished { .. })));
}

#[test]
fn an_alert_may_hold_a_run_until_somebody_resumes_it() {
    let mut run = half_way(&[on(SignalKind::Alert, None, SignalResponse::Hold)]);
    let alert = Signal {
        environment: Some(id("prod")),
        region: Some(id("eu")),
        ..Signal::new(SignalKind::Alert, "watch", "A-1")
    };
    let events = tell(&mut run, alert).unwrap();
    assert!(matches!(events[0], Event::Signalled { answer: SignalAnswer::Hold, .. }));
    let Event::Paused { reason, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!(reason, "alert `A-1` of watch at prod/eu: because");
    assert!(run.state.is_paused());
    run.pass(Span::secs(3_600));
    assert!(run.effects.is_empty(), "nothing new starts");
    run.command(Command::Resume, "bob").unwrap();
    assert_eq!(finish(&mut run), Outcome::Succeeded);
}

#[test]
fn where_one_trigger_holds_and_another_takes_back_it_is_taken_back() {
    let mut run = half_way(&[
        on(SignalKind::Incident, None, SignalResponse::Hold),
        on(SignalKind::Incident, Some("pager"), SignalResponse::RollBack),
    ]);
    tell(&mut run, incident("INC-1")).unwrap();
    assert!(matches!(finish(&mut run), Outcome::RolledBack { .. }));
}

#[test]
fn a_signal_that_nobody_could_look_up_is_refused() {
    let mut run = half_way(&[RollbackTrigger::StepFailed]);
    let long = "x".repeat(3_000);
    for (part, signal) in [
        ("no `source`", Signal::new(SignalKind::Alert, " ", "A-1")),
        ("no `reference`", Signal::new(SignalKind::Alert, "watch", "")),
        ("`reference` of 3000 bytes", Signal::new(SignalKind::Alert, "watch", long)),
        (
            "region without its `environment`",
            Signal { region: Some(id("eu")), ..incident("INC-1") },
        ),
    ] {
        let Err(Rejected::BadSignal { problem }) = tell(&mut run, signal) else { panic!("{part}") };
        assert!(problem.contains(part), "{problem}");
    }
    for number in 0..MAX_SIGNALS {
        tell(&mut run, incident(&format!("INC-{number}"))).unwrap();
    }
    assert!(matches!(tell(&mut run, incident("more")), Err(Rejected::TooManySignals { .. })));
}

/// Two regions of which the second is under way.
fn two_regions(scope: RollbackScope) -> Run {
    let mut definition = one_service(Strategy::BlueGreen(BlueGreen::default()));
    definition.environments = vec![environment("prod", Tier::Production, &["eu", "us"])];
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.scope = scope;
    criteria.triggers =
        vec![on(SignalKind::Incident, None, SignalResponse::RollBack), RollbackTrigger::StepFailed];
    let mut run = Run::start(&plan(&definition).unwrap().freeze());
    while run.status("prod/us/api/switch") != Status::Running {
        run.next_effect();
        let step = *run.effects.keys().next().unwrap();
        if run.state.plan().get(step).unwrap().id.as_str() == "prod/us/api/switch" {
            break;
        }
        run.outcome(step, End::Good);
    }
    run
}

#[test]
fn a_rollback_reaches_as_far_as_the_criteria_say_from_where_the_signal_is_about() {
    let told = |scope, signal: Signal| {
        let mut run = two_regions(scope);
        tell(&mut run, signal).unwrap();
        assert!(matches!(finish(&mut run), Outcome::RolledBack { .. }));
        ["prod/eu/api/switch", "prod/us/api/switch"]
            .map(|step| run.status(step) == Status::Compensated)
    };
    let at = |region: Option<&str>| Signal {
        environment: Some(id("prod")),
        region: region.map(id),
        ..incident("INC-1")
    };
    // What is on its way goes back whatever happens.
    assert_eq!(told(RollbackScope::Region, at(Some("us"))), [false, true]);
    assert_eq!(told(RollbackScope::Region, at(Some("eu"))), [true, true]);
    assert_eq!(told(RollbackScope::Region, at(None)), [true, true]);
    assert_eq!(told(RollbackScope::Environment, at(Some("us"))), [true, true]);
    assert_eq!(told(RollbackScope::Region, incident("INC-1")), [true, true]);
}

#[test]
fn what_comes_while_a_run_is_stopping_makes_it_reach_further_and_never_less_far() {
    let at = |region: &str| Signal {
        environment: Some(id("prod")),
        region: Some(id(region)),
        ..incident(region)
    };
    let goes = |run: &Run| match run.state.phase() {
        Phase::Stopping(Cause::Signalled { scope, .. })
        | Phase::RollingBack(Cause::Signalled { scope, .. }) => *scope,
        other => panic!("{other:?}"),
    };
    let mut run = two_regions(RollbackScope::Region);
    tell(&mut run, at("us")).unwrap();
    assert_eq!(goes(&run), RollbackScope::Region);
    let again = tell(&mut run, Signal { reference: "more".into(), ..at("us") }).unwrap();
    assert!(matches!(&again[0], Event::Signalled { answer: SignalAnswer::Recorded { .. }, .. }));
    tell(&mut run, at("eu")).unwrap();
    assert_eq!(goes(&run), RollbackScope::Environment);
    tell(&mut run, incident("all")).unwrap();
    // Another that names no place is about everything.
    assert!(
        matches!(run.state.phase(), Phase::Stopping(Cause::Signalled { signal, .. }) if signal.reference == "all")
    );
    assert!(matches!(finish(&mut run), Outcome::RolledBack { .. }));
    assert_eq!(run.status("prod/eu/api/switch"), Status::Compensated);

    // A step that fails meanwhile widens it as well.
    let mut run = two_regions(RollbackScope::Region);
    tell(&mut run, at("eu")).unwrap();
    run.end("prod/us/api/switch", End::Permanent);
    assert_eq!(goes(&run), RollbackScope::Environment);
    assert!(matches!(finish(&mut run), Outcome::RolledBack { .. }));
}

#[test]
fn during_a_rollback_and_after_a_takeover_signals_are_recorded() {
    let mut run = two_regions(RollbackScope::Region);
    run.take_over();
    tell(&mut run, incident("INC-1")).unwrap();
    while !matches!(run.state.phase(), Phase::RollingBack(_)) {
        run.help();
    }
    let events = tell(&mut run, incident("INC-2")).unwrap();
    let [Event::Signalled { answer: SignalAnswer::Recorded { why }, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(why.contains("goes back that far already"), "{why}");
    assert!(matches!(finish(&mut run), Outcome::RolledBack { .. }));

    // One about what is not taken back is not said to be.
    let mut run = two_regions(RollbackScope::Region);
    run.end("prod/us/api/switch", End::Permanent);
    while !matches!(run.state.phase(), Phase::RollingBack(_)) {
        run.help();
    }
    let elsewhere =
        Signal { environment: Some(id("prod")), region: Some(id("eu")), ..incident("INC-3") };
    let events = tell(&mut run, elsewhere).unwrap();
    let [Event::Signalled { answer: SignalAnswer::Recorded { why }, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(why.contains("not that far"), "{why}");
}

#[test]
fn where_there_is_no_way_back_the_run_is_held_for_people() {
    let mut plan = builder();
    let steps = [one_way("a"), change("b"), change("c")].map(|step| plan.step(step));
    steps.windows(2).for_each(|pair| plan.edge(pair[0], pair[1], EdgeKind::Order));
    let on = OnSignal { kind: SignalKind::Alert, source: None, then: SignalResponse::RollBack };
    plan.signal(SignalRule { on, scope: RollbackScope::Release });
    let mut run = Run::start(&plan.build().unwrap().freeze());
    run.end("a", End::Good);
    tell(&mut run, Signal::new(SignalKind::Alert, "watch", "A-1")).unwrap();
    run.end("b", End::Good);
    let blocked = run.last(|event| matches!(event, Event::RollbackBlocked { .. })).unwrap();
    let Event::RollbackBlocked { cause: Cause::Signalled { .. }, justification, .. } = blocked
    else {
        panic!("{blocked:?}");
    };
    assert_eq!(justification, "rows are dropped");
    assert!(run.state.is_paused() && run.effects.is_empty());
    run.command(Command::Resume, "bob").unwrap();
    assert_eq!(finish(&mut run), Outcome::Succeeded);
}

fn slo() -> Analysis {
    let windows =
        BurnWindows { long: Span::secs(600), short: Span::secs(60), factor: finite(10.0) };
    let rule = BurnRate { windows: vec![windows], ..BurnRate::new(finite(0.99)) };
    Analysis {
        min_samples: 50,
        interval: Span::secs(30),
        ..Analysis::judged(id("slo"), error_rate().metric, Judge::BurnRate(rule))
    }
}

fn burning(strategy: Strategy) -> Definition {
    let mut definition = one_service(strategy);
    definition.analyses.push(slo());
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers = vec![RollbackTrigger::SloBurn(id("slo"))];
    definition
}

fn watches(plan: &Plan) -> Vec<(String, OnFailure)> {
    let watch = |step: &&release_core::plan::Step| {
        matches!(&step.action, Action::Analyze { until: Some(_), .. })
    };
    let told = plan.steps().iter().filter(watch);
    told.map(|step| (step.id.to_string(), step.on_failure)).collect()
}

#[test]
fn an_error_budget_is_watched_over_the_whole_of_every_rollout_and_takes_it_back() {
    let rolling = Rolling { bake: Span::secs(300), ..Rolling::new(2) };
    let blue = BlueGreen { bake: Span::secs(300), ..BlueGreen::default() };
    for strategy in [canary(), Strategy::Rolling(rolling), Strategy::BlueGreen(blue)] {
        let plan = plan(&burning(strategy)).unwrap();
        let back = OnFailure::RollBack(RollbackScope::Environment);
        assert_eq!(watches(&plan), [("prod/eu/api/background/slo".to_owned(), back)]);
        let plan = plan.freeze();
        let watch = "background/slo";
        let counted = |bad: f64, all: f64| {
            Evidence::Measurement(part(artifact("api", "2.0.0").digest(), bad, all))
        };
        let mut run = Run::start(&plan);
        let outcome = go(&mut run, watch, |look, _| counted(0.0, 100.0 * f64::from(look)));
        assert_eq!(outcome, Outcome::Succeeded);
        assert!(repeat(&run, watch) >= 5);

        let mut run = Run::start(&plan);
        let outcome = go(&mut run, watch, |look, _| {
            let bad = if look > 3 { 60.0 * f64::from(look - 3) } else { 0.0 };
            counted(bad, 100.0 * f64::from(look))
        });
        let Outcome::RolledBack { cause: Cause::StepFailed { step, .. } } = outcome else {
            panic!("{outcome}");
        };
        assert!(step.id.as_str().ends_with(watch));
        assert_eq!(findings(&run, watch).last().unwrap().conclusion, Conclusion::Regressed);
    }
}

#[test]
fn triggers_that_could_never_be_are_refused() {
    let refused = |change: fn(&mut Definition)| {
        let mut definition = burning(canary());
        change(&mut definition);
        let PlanErrors(errors) = plan(&definition).unwrap_err();
        errors
    };
    let unknown = refused(|definition| definition.analyses.retain(|a| a.id.as_str() != "slo"));
    assert!(matches!(&unknown[..], [PlanError::UnknownAnalysis { .. }]), "{unknown:?}");
    let other = refused(|definition| {
        let criteria = definition.release.rollback.as_mut().unwrap();
        criteria.triggers = vec![RollbackTrigger::SloBurn(id("errors"))];
    });
    let [PlanError::BadRule { problem, .. }] = &other[..] else { panic!("{other:?}") };
    assert!(problem.contains("not judged by `burn_rate`"), "{problem}");
    let nobody = refused(|definition| {
        let criteria = definition.release.rollback.as_mut().unwrap();
        criteria.triggers = vec![on(SignalKind::Health, Some(""), SignalResponse::RollBack)];
    });
    assert!(
        matches!(nobody[..], [PlanError::EmptySource { kind: SignalKind::Health }]),
        "{nobody:?}"
    );
}

#[test]
fn a_version_that_is_not_healthy_is_taken_back_where_other_failures_are_held() {
    let failing = |trigger: RollbackTrigger, step: &str| {
        let mut definition = one_service(canary());
        definition.release.rollback.as_mut().unwrap().triggers = vec![trigger];
        let mut run = Run::start(&plan(&definition).unwrap().freeze());
        loop {
            run.next_effect();
            let index = *run.effects.keys().next().unwrap();
            let here = run.state.plan().get(index).unwrap().id.as_str() == step;
            if here {
                run.outcome(index, End::Permanent);
                break;
            }
            run.outcome(index, End::Good);
        }
        run
    };
    let looked = "prod/eu/api/weight-50/still-ready";
    let mut run = failing(RollbackTrigger::Unhealthy, looked);
    let Outcome::RolledBack { cause: Cause::StepFailed { step, .. } } = finish(&mut run) else {
        panic!("{:?}", run.state.outcome());
    };
    assert_eq!(step.id.as_str(), looked);
    // A route that fails is another matter, and without the trigger so is health.
    for (trigger, step) in [
        (RollbackTrigger::Unhealthy, "prod/eu/api/weight-50"),
        (RollbackTrigger::Analysis(id("errors")), looked),
    ] {
        let run = failing(trigger, step);
        assert_eq!(*run.state.phase(), Phase::Forward, "{step}");
        assert!(run.state.outcome().is_none(), "{step}");
    }
}

#[test]
fn plans_say_what_is_done_about_signals_and_older_ones_say_nothing() {
    let mut definition = shop();
    let before = plan(&definition).unwrap();
    assert!(before.signals().is_empty());
    assert!(!serde_json::to_string(&before).unwrap().contains("signals"));
    let criteria = definition.release.rollback.as_mut().unwrap();
    criteria.triggers.push(on(SignalKind::Incident, Some("pager"), SignalResponse::RollBack));
    let plan = plan(&definition).unwrap();
    assert_eq!(plan.signals()[0].scope, RollbackScope::Environment);
    let json = serde_json::to_string(&plan).unwrap();
    assert!(json.contains(r#""signals":[{"on":{"kind":"incident","source":"pager","then":"roll_back"},"scope":"environment"}]"#), "{json}");
    assert_eq!(Plan::decode(json.as_bytes()).unwrap().plan(), &plan);
    let stage: &Stage = &definition.stages[0];
    assert_eq!(stage.environment.as_str(), "staging");
}
