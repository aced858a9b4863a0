//! Scopes, classes of action, invokers, holidays, and what the engine is told.

use release_core::model::{Approval, Gate, RunId, Span, Timestamp};
use release_core::plan::{Action, FlagStep, Place, Plan, Step, StepScope};
use release_core::port::{Admission, CommandRequest, Decision, Policy};
use release_core::run::{Command, Event, Fact, RunState};
use release_policy::window::{
    ActionClass, Classes, Holiday, HolidayCalendar, Invokers, Overlap, Query, Scope, Straddle,
    When, WindowRules, WindowSpec, Windows,
};

use super::support::{
    all, ann, at, between, deployment, freeze, march, may_deploy, name, place, robot,
};
use super::waivers::{waived, waiver};

const ALL: [ActionClass; 8] = [
    ActionClass::Deploy,
    ActionClass::Advance,
    ActionClass::Approve,
    ActionClass::Migrate,
    ActionClass::FlagChange,
    ActionClass::Rollback,
    ActionClass::KillSwitch,
    ActionClass::Cancel,
];

#[test]
fn a_freeze_never_holds_a_rollback_or_a_kill_switch_unless_it_names_it() {
    let ann = ann();
    let held = |windows: &Windows| {
        let ask = |class: &ActionClass| Query::new(*class, &ann, at("2026-03-05T00:00"));
        ALL.into_iter().filter(|class| !windows.is_open(&ask(class))).collect::<Vec<_>>()
    };
    assert_eq!(held(&all([march("f")])), ActionClass::USUAL);
    for class in ALL {
        assert_eq!(held(&all([march("f").actions([class])])), [class], "by name and alone");
    }
    // A closed deployment window does not either.
    let closed = deployment("d", between("2026-01-01T00:00", "2026-01-02T00:00"));
    assert_eq!(held(&all([closed])), ActionClass::USUAL);
    // There is no word for all of them.
    let written = r#"{"id":"f","kind":"freeze","when":{"type":"once","start":"2026-03-01","lasts":"1h"},
        "owner":"sre","reason":"","actions":["all"]}"#;
    assert!(serde_json::from_str::<WindowSpec>(written).unwrap_err().to_string().contains("all"));
}

type Narrow = fn(WindowSpec) -> WindowSpec;

#[test]
fn scopes_narrow_by_every_part() {
    let full = Place {
        region: Some(name("eu")),
        service: Some(name("api")),
        team: Some(name("shop")),
        ..Place::new(name("production"))
    };
    let narrow: [(Narrow, Narrow); 4] = [
        (|w| w.in_environment(name("production")), |w| w.in_environment(name("qa"))),
        (|w| w.in_region(name("eu")), |w| w.in_region(name("us"))),
        (|w| w.of_service(name("api")), |w| w.of_service(name("web"))),
        (|w| w.of_team(name("shop")), |w| w.of_team(name("data"))),
    ];
    for (here, elsewhere) in narrow {
        let overlap = |spec: &WindowSpec| spec.scope.overlap(Some(&full));
        assert_eq!(overlap(&here(march("f"))), Overlap::Whole);
        assert_eq!(overlap(&elsewhere(march("f"))), Overlap::Apart);
        assert_eq!(overlap(&elsewhere(here(march("f")))), Overlap::Whole, "any of those named");
        assert_eq!(here(march("f")).scope.overlap(None), Overlap::Part);
    }
    assert_eq!(Scope::default().overlap(None), Overlap::Whole);
    let both = march("f").in_environment(name("production")).in_region(name("us"));
    assert_eq!(both.scope.overlap(Some(&full)), Overlap::Apart, "all parts have to fit");
}

#[test]
fn what_concerns_all_regions_waits_for_the_windows_of_each() {
    let eu =
        deployment("eu", between("2026-03-01T08:00", "2026-03-01T12:00")).in_region(name("eu"));
    let us =
        deployment("us", between("2026-03-01T11:00", "2026-03-01T18:00")).in_region(name("us"));
    let windows = all([eu, us]);
    let ann = ann();
    let next = |region, text| {
        let place = place("production", region);
        windows.next_open(&Query::new(ActionClass::Deploy, &ann, at(text)).place(&place)).ok()
    };
    assert_eq!(next(Some("eu"), "2026-03-01T00:00"), Some(at("2026-03-01T08:00")));
    assert_eq!(next(Some("us"), "2026-03-01T00:00"), Some(at("2026-03-01T11:00")));
    assert_eq!(
        next(Some("ap"), "2026-03-01T00:00"),
        Some(at("2026-03-01T00:00")),
        "no window concerns it"
    );
    assert_eq!(next(None, "2026-03-01T00:00"), Some(at("2026-03-01T11:00")));
    assert_eq!(next(None, "2026-03-01T12:00"), None);
    // A freeze of one region holds what concerns all.
    let frozen = all([march("f").in_region(name("eu"))]);
    let place = place("production", None);
    assert!(
        !frozen
            .is_open(&Query::new(ActionClass::Deploy, &ann, at("2026-03-05T00:00")).place(&place))
    );
}

#[test]
fn invokers_say_whom_a_window_concerns() {
    let lead = ann().with_role(name("lead"));
    let named = Invokers { principals: [name("robot")].into(), ..Invokers::default() };
    let role = Invokers { roles: [name("lead")].into(), ..Invokers::default() };
    for (invokers, want) in [
        (Invokers::default(), [false, false, false]),
        (Invokers::humans(), [false, false, true]),
        (Invokers::automation(), [true, true, false]),
        (named, [true, true, false]),
        (role, [true, false, true]),
    ] {
        let windows = all([march("f").invokers(invokers.clone())]);
        let open = [ann(), lead.clone(), robot()]
            .map(|who| may_deploy(&windows, &who, "2026-03-05T00:00"));
        assert_eq!(open, want, "{invokers:?}");
    }
}

#[test]
fn windows_on_holidays_and_not_on_holidays() {
    let christmas = Holiday {
        days: 2,
        rule: Some("FREQ=YEARLY".into()),
        categories: vec!["public".into()],
        ..Holiday::new("Christmas", "2000-12-25".parse().unwrap())
    };
    let party = Holiday::new("Party", "2026-12-18".parse().unwrap());
    let calendar = HolidayCalendar::new(name("de"), [christmas, party]).unwrap();
    let on = When::Holidays {
        calendar: name("de"),
        categories: vec!["public".into()],
        start: "00:00".into(),
        lasts: "24h".into(),
    };
    let frozen = freeze("holidays", on).zone("Europe/Berlin").build().unwrap();
    let office = deployment("office", When::cron("0 9 * * *", "8h")).zone("Europe/Berlin");
    let office = office.except_holidays(name("de")).build().unwrap();
    let rules = |windows| WindowRules {
        windows,
        calendars: vec![calendar.clone()],
        ..WindowRules::default()
    };
    let frozen = Windows::try_from(rules(vec![frozen])).unwrap();
    for (text, want) in [
        ("2026-12-24T22:59", true),
        ("2026-12-24T23:00", false),
        ("2026-12-26T22:59", false),
        ("2026-12-26T23:00", true),
        ("2027-12-25T12:00", false),
        ("2026-12-18T12:00", true), // of another category
    ] {
        assert_eq!(may_deploy(&frozen, &ann(), text), want, "{text}");
    }
    let office = Windows::try_from(rules(vec![office])).unwrap();
    for (text, want) in
        [("2026-12-17T12:00", true), ("2026-12-18T12:00", false), ("2026-12-25T12:00", false)]
    {
        assert_eq!(may_deploy(&office, &ann(), text), want, "{text}");
    }
}

fn step(environment: Option<&str>, action: Action) -> Step {
    let step = Step::new(name("s"), action);
    match environment {
        Some(environment) => step.scope(StepScope::of(Place::new(name(environment)))),
        None => step,
    }
}

fn admit(windows: &Windows, step: &Step, now: Timestamp, rollback: bool) -> Decision {
    windows.admit(&Admission::new(&name("r"), &ann(), step, now).in_rollback(rollback))
}

#[test]
fn the_engine_is_told_until_when_and_why() {
    let office = When::cron("0 9 * * MON-FRI", "8h");
    let windows = all([
        march("peak").zone("Europe/Berlin").in_environment(name("production")),
        freeze("next", between("2026-03-31T20:00", "2026-04-01T04:00")),
        deployment("office", office).zone("Europe/Berlin"),
    ]);
    let production = step(Some("production"), Action::Sync);
    let Decision::Wait { until, reasons, .. } =
        admit(&windows, &production, at("2026-03-05T00:00"), false)
    else {
        panic!()
    };
    assert_eq!(until, Some(at("2026-04-01T07:00")));
    let shown: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    let tzdb = Windows::tzdb();
    let by = |text| format!("(lifted by time, at {text}:00.000000Z; a waiver; or team sre)");
    assert_eq!(
        shown,
        [
            format!(
                "freeze/peak: frozen from 2026-03-01 01:00 until 2026-04-01 02:00 Europe/Berlin (tzdb {tzdb}): quiet {}",
                by("2026-04-01T00:00")
            ),
            format!(
                "freeze/next: will be frozen from 2026-03-31 20:00 until 2026-04-01 04:00 UTC (tzdb {tzdb}): quiet {}",
                by("2026-04-01T04:00")
            ),
            format!(
                "deployment-window/office: closed, and next open from 2026-03-05 09:00 until 2026-03-05 17:00 Europe/Berlin (tzdb {tzdb}): quiet {}",
                by("2026-03-05T08:00")
            ),
        ]
    );
    assert!(admit(&windows, &production, at("2026-04-01T07:00"), false).is_permit());
    assert!(admit(&windows, &production, at("2026-03-05T00:00"), true).is_permit(), "a rollback");
    assert_eq!(
        admit(&windows, &step(None, Action::Sync), at("2026-03-05T00:00"), false),
        Decision::permit()
    );
    let over = all([deployment("past", between("2026-01-01T00:00", "2026-01-02T00:00"))]);
    let Decision::Wait { until: None, reasons, .. } =
        admit(&over, &production, at("2026-03-05T00:00"), false)
    else {
        panic!()
    };
    assert_eq!(reasons.len(), 2, "the window, and that it never opens: {reasons:?}");
}

#[test]
fn a_step_that_may_not_straddle_waits_for_room() {
    let rules = WindowRules {
        windows: vec![march("f").build().unwrap()],
        straddle: Straddle::Never,
        ..WindowRules::default()
    };
    let windows = Windows::try_from(rules).unwrap();
    let long = step(Some("production"), Action::Sync).timeout(Span::secs(3_600));
    assert!(admit(&windows, &long, at("2026-02-28T23:00"), false).is_permit());
    let Decision::Wait { until, reasons, .. } =
        admit(&windows, &long, at("2026-02-28T23:01"), false)
    else {
        panic!()
    };
    assert_eq!(until, Some(at("2026-04-01T00:00")));
    assert!(
        reasons[0].text.starts_with("will be frozen") && reasons[0].text.contains("this takes 1h"),
        "{reasons:?}"
    );
}

#[test]
fn classes_of_custom_actions_are_said_by_the_host() {
    let custom = |capability: &str| Action::Custom {
        capability: capability.into(),
        input: serde_json::Value::Null,
    };
    let classes = Classes::new()
        .with("db/migrate", ActionClass::Migrate)
        .with("kill", ActionClass::KillSwitch);
    let class = |action, rollback| classes.of_step(&step(None, action), rollback);
    assert_eq!(class(custom("db/migrate"), false), ActionClass::Migrate);
    assert_eq!(class(custom("db/migrate"), true), ActionClass::Rollback);
    assert_eq!(class(custom("kill"), true), ActionClass::KillSwitch);
    assert_eq!(class(custom("other"), false), ActionClass::Deploy);
    let target = release_core::model::Target::new(name("production"), name("eu"), name("api"));
    let flag = release_core::flags::FlagState::On;
    let flag = FlagStep::set("prod".parse().unwrap(), "dark-mode".parse().unwrap(), flag);
    assert_eq!(class(Action::Flag(flag.clone()), false), ActionClass::FlagChange);
    assert_eq!(class(Action::Flag(flag), true), ActionClass::Rollback);
    let route = Action::Route { target, weights: vec![], rules: None };
    assert_eq!(class(route, false), ActionClass::Advance);
}

#[test]
fn commands_wait_only_for_windows_that_name_them() {
    let (run, by): (RunId, _) = (name("r"), ann());
    let ask = |windows: &Windows, command: &Command| {
        windows.authorize(&CommandRequest::new(&run, &by, &by, command, at("2026-03-05T00:00")))
    };
    let approve = |gate: &str| Command::Approve { gate: name(gate) };
    let approvals = march("f")
        .actions([ActionClass::Approve, ActionClass::Cancel])
        .in_environment(name("production"));
    let windows = all([approvals]);
    let waits =
        |command: &Command| matches!(ask(&windows, command), Decision::Wait { until: Some(_), .. });
    assert!(waits(&approve("production/cab")));
    assert!(!waits(&approve("staging/cab")));
    assert!(waits(&Command::Cancel), "it concerns the whole release, and so production, too");
    for free in [Command::Pause, Command::Resume, Command::ForceAbandon] {
        assert_eq!(ask(&windows, &free), Decision::permit(), "{free:?}");
    }
    assert!(ask(&all([march("f")]), &approve("production/cab")).is_permit(), "not named");
}

#[test]
fn an_approval_waits_for_windows_over_the_places_behind_its_gate_whatever_it_is_called() {
    let windows =
        all([march("f").actions([ActionClass::Approve]).in_environment(name("production"))]);
    let ask = |environment: &str| {
        let mut step = step(Some(environment), Action::Sync);
        step.gates.push(Gate::Approval(Approval::new(name("staging/go"))));
        let mut plan = Plan::builder(name("web"), name("rel"));
        plan.step(step);
        let plan = plan.build().unwrap().freeze();
        let (definition, supersedes, policy) = (None, None, None);
        let (plan_digest, requester) = (plan.digest(), ann());
        let event =
            Event::RunCreated { plan: plan_digest, definition, requester, supersedes, policy };
        let created = Fact { at: at("2026-03-01T00:00"), event };
        let state = RunState::create(name("r"), plan, &created).unwrap();
        let command = Command::Approve { gate: name("staging/go") };
        let by = ann();
        let mut request =
            CommandRequest::new(state.run(), &by, &by, &command, at("2026-03-05T00:00"));
        request.state = Some(&state);
        windows.authorize(&request)
    };
    assert!(matches!(ask("production"), Decision::Wait { until: Some(_), .. }));
    assert!(ask("staging").is_permit());
}

#[test]
fn the_digest_changes_with_all_that_answers_depend_on() {
    let one = all([march("f")]);
    assert_eq!(one.digest(), all([march("f")]).digest());
    assert_ne!(one.digest(), all([march("g")]).digest());
    assert_ne!(one.digest(), waived([march("f")], waiver()).digest());
}
