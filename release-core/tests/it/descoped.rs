//! Members of a train that are left behind: the others go on, and nobody goes on with what is missing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::explain::{Ground, explain_step, why};
use release_core::journal::History;
use release_core::model::{
    BlueGreen, Definition, Release, RollbackCriteria, RollbackScope, Service, Span, Stage,
    Strategy as Rollout, Tier,
};
use release_core::plan::{Action, FrozenPlan, Part, Reach, Step, plan};
use release_core::port::{Admission, CommandRequest, Decision, PermitAll, Policy, Reason};
use release_core::report::RunReport;
use release_core::run::{Command, Directive, Event, Input, Mode, Outcome, Rejected, Status};

use super::support::drive::{End, Run};
use super::support::samples::{change, environment, error_rate, id, one_way, person, set};
use super::support::words::started;

/// A train of three in two regions, whose failures wait for people: `api` needs a new `db`, `web` would
/// do with the old `api` too.
pub(super) fn train() -> Definition {
    let versions = [("db", "2.0.0"), ("api", "2.0.0"), ("web", "2.0.0")];
    let mut release = Release::new(id("r-1"), set(&versions));
    release.previous = set(&[("db", "1.0.0"), ("api", "1.9.0"), ("web", "1.0.0")]);
    let triggers = vec![release_core::model::RollbackTrigger::Analysis(id("errors"))];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Release, triggers });
    Definition::builder(id("shop"), release)
        .service(Service::new(id("db"), id("team-a")))
        .service(Service::new(id("api"), id("team-a")).needs(id("db"), id(">=1")))
        .service(Service::new(id("web"), id("team-b")).needs(id("api"), id(">=1.9")))
        .environment(environment("prod", Tier::Production, &["eu", "us"]))
        .analysis(error_rate())
        .stage(Stage::new(id("prod"), Rollout::BlueGreen(BlueGreen::default())))
        .notify(id("ops"))
        .build()
}

/// The same, but `api` needs the new `db`.
fn strict() -> Definition {
    let mut definition = train();
    definition.release.previous = set(&[("db", "1.0.0"), ("web", "1.0.0")]);
    definition.release.versions = set(&[("db", "2.0.0"), ("api", "2.0.0"), ("web", "2.0.0")]);
    definition.services[1].depends_on[0].version = id(">=2");
    definition
}

fn frozen(definition: &Definition) -> FrozenPlan {
    plan(definition).unwrap().freeze()
}

fn descope(service: &str) -> Command {
    Command::Descope { service: id(service) }
}

fn part(service: &str) -> Part {
    Part::Service { service: id(service) }
}

/// Everything goes well until the step called `name` is under way; that fails for good.
pub(super) fn until_fails(run: &mut Run, name: &str) {
    let failing = run.state.plan().find(&id(name)).unwrap();
    for _ in 0..10_000 {
        if run.effects.contains_key(&failing) {
            break;
        }
        match run.effects.keys().next().copied() {
            Some(step) => drop(run.outcome(step, End::Good)),
            None => assert!(run.pass_to_next(), "{name} is never under way"),
        }
    }
    run.outcome(failing, End::Permanent);
}

#[test]
fn f49_descoped_members_are_taken_back_while_the_train_goes_on() {
    let mut run = Run::start(&frozen(&train()));
    until_fails(&mut run, "prod/us/web/ready");
    run.command(descope("web"), "bob").unwrap();
    let Some(Event::TakeBackStarted { because, extension }) =
        run.last(|event| matches!(event, Event::TakeBackStarted { .. })).cloned()
    else {
        panic!("web is taken back")
    };
    assert_eq!(because, "bob: because");
    assert_eq!(extension.part, Some(part("web")));
    let restored = |place: &str| extension.steps.iter().any(|s| s.id.as_str().contains(place));
    assert!(restored("prod/eu/web/") && restored("prod/us/web/"), "{:?}", extension.steps);
    assert!(!restored("/api/") && !restored("/db/"), "{:?}", extension.steps);
    let outcome = run.heal(200);
    assert_eq!(outcome, Outcome::SucceededWithout { left: vec![part("web")] });
    assert_eq!(outcome.to_string(), "succeeded without service web");
    for step in ["prod/eu/api/switch", "prod/us/api/remove-old", "prod/us/db/switch"] {
        assert_eq!(run.status(step), Status::Succeeded, "{step}");
    }
    assert_eq!(run.status("prod/eu/web/switch"), Status::Compensated);
    assert_eq!(run.status("prod/us/web/switch"), Status::Cancelled);
    let removed = started(&run).into_iter().filter(|s| s.contains("web/remove-old")).count();
    assert_eq!(removed, 0, "the old version of who is left behind is kept");
}

/// I12: the sync point waits for a member until it is descoped, and no longer.
#[test]
fn f49_descoped_members_hold_no_sync_point_any_more() {
    let mut run = Run::start(&frozen(&train()));
    until_fails(&mut run, "prod/eu/web/ready");
    while let Some(step) = run.effects.keys().next().copied() {
        run.outcome(step, End::Good);
    }
    assert_eq!(run.status("prod/eu/verified"), Status::Pending, "it waits for web");
    assert!(run.state.needs_a_person());
    run.command(descope("web"), "bob").unwrap();
    assert_eq!(run.status("prod/eu/verified"), Status::Succeeded);
    assert!(started(&run).contains(&"prod/us/db/preview 1".to_owned()), "{:?}", started(&run));
}

#[test]
fn f49_descoped_is_refused_while_somebody_needs_the_new_version() {
    let mut run = Run::start(&frozen(&strict()));
    until_fails(&mut run, "prod/eu/db/ready");
    let refused = run.command(descope("db"), "bob").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`db` cannot be left behind, because `api` needs its new version; descope it first, or cancel the run"
    );
    assert_eq!(refused, Rejected::Needed { service: id("db"), dependents: vec![id("api")] });
    // `api` has no version from before, and `web` needs one.
    let refused = run.command(descope("api"), "bob").unwrap_err();
    assert_eq!(refused, Rejected::Needed { service: id("api"), dependents: vec![id("web")] });
    for service in ["web", "api"] {
        run.command(descope(service), "bob").unwrap();
    }
    let last = run.command(descope("db"), "bob").unwrap_err();
    assert_eq!(last, Rejected::LastMember { service: id("db") });
    let deployed = started(&run).into_iter().filter(|step| step.starts_with("prod/eu/"));
    let deployed: Vec<_> = deployed.filter(|step| !step.contains("/db/")).collect();
    assert_eq!(deployed, [""; 0], "dependents of what is missing");
}

/// What needs the new version goes before it on the way forward, and so after it on the way back, also where both are left
/// behind one right after the other.
#[test]
fn f49_descoped_members_are_taken_back_after_those_that_need_them() {
    in_order(BlueGreen::default());
}

/// What is kept for a while after an abort gets nothing any more, and holds up nobody's way back.
#[test]
fn f49_descoped_members_do_not_wait_for_what_others_keep() {
    in_order(BlueGreen { keep_new_after_abort: Span::secs(3_600).into(), ..BlueGreen::default() });
}

fn in_order(strategy: BlueGreen) {
    let kept = strategy.keep_new_after_abort != BlueGreen::default().keep_new_after_abort;
    let mut definition = strict();
    definition.stages[0].strategy = Rollout::BlueGreen(strategy);
    let mut run = Run::start(&frozen(&definition));
    until_fails(&mut run, "prod/us/web/ready");
    run.command(descope("web"), "bob").unwrap();
    run.command(descope("api"), "bob").unwrap();
    let begun = |run: &Run| match run.last(|event| matches!(event, Event::TakeBackStarted { .. })) {
        Some(Event::TakeBackStarted { extension, .. }) => extension.clone(),
        other => panic!("{other:?}"),
    };
    let web = begun(&run);
    assert_eq!(web.part, Some(part("web")));
    assert!(!web.steps.is_empty());
    // The last steps in each region are to keep the new version, and to stop it; and people are told.
    let mut keeping: BTreeSet<_> = BTreeSet::new();
    let mut before: Vec<&Step> = Vec::new();
    for step in &web.steps {
        if matches!(step.action, Action::Bake { .. }) {
            keeping.insert(step.scope.region());
        }
        let tells = matches!(step.action, Action::Notify { .. });
        if !tells && !keeping.contains(&step.scope.region()) {
            before.push(step);
        }
    }
    let done = |run: &Run, step: &Step| run.status(step.id.as_str()) == Status::Succeeded;
    let is_back = |run: &Run| before.iter().all(|step| done(run, step));
    let mut waited = 0;
    while begun(&run).part != Some(part("api")) {
        assert!(!is_back(&run), "nothing holds it any more");
        waited += 1;
        match run.effects.keys().next().copied() {
            Some(step) => drop(run.outcome(step, End::Good)),
            None => assert!(run.pass_to_next(), "api is never taken back"),
        }
    }
    assert!(is_back(&run) && waited > 0, "{waited}");
    let keeps = |step: &&Step| matches!(step.action, Action::Bake { .. }) && !done(&run, step);
    assert_eq!(web.steps.iter().filter(keeps).count() > 0, kept, "it was waited for what is kept");
    let left = vec![part("web"), part("api")];
    assert_eq!(run.heal(200), Outcome::SucceededWithout { left });
}

/// A member whose old version does as well is no reason to wait.
#[test]
fn f49_descoped_members_let_those_go_on_that_do_with_the_old_version() {
    let mut run = Run::start(&frozen(&train()));
    until_fails(&mut run, "prod/eu/db/ready");
    assert_eq!(run.status("prod/eu/api/preview"), Status::Pending);
    run.command(descope("db"), "bob").unwrap();
    assert_eq!(run.heal(200), Outcome::SucceededWithout { left: vec![part("db")] });
    assert_eq!(run.status("prod/us/api/switch"), Status::Succeeded);
}

/// What is under way is not forgotten: it comes to a known end before it is undone.
#[test]
fn f49_descoped_while_it_acts_is_taken_back_when_that_is_known() {
    let mut run = Run::start(&frozen(&train()));
    while !started(&run).contains(&"prod/eu/db/preview 1".to_owned()) {
        let step = *run.effects.keys().next().unwrap();
        run.outcome(step, End::Good);
    }
    run.command(descope("db"), "bob").unwrap();
    let begun = |run: &Run| run.last(|e| matches!(e, Event::TakeBackStarted { .. })).is_some();
    assert!(!begun(&run), "it is being deployed");
    run.end("prod/eu/db/preview", End::Unknown);
    assert!(run.pass_to_next());
    assert!(!begun(&run), "nobody knows whether it was");
    run.end("prod/eu/db/preview", End::Absent);
    assert!(begun(&run));
    assert_eq!(run.heal(200), Outcome::SucceededWithout { left: vec![part("db")] });
    let acts = run.facts.iter().filter(|fact| {
        matches!(&fact.event, Event::StepStarted { step, mode: Mode::Perform, .. }
            if step.id.as_str() == "prod/eu/db/preview")
    });
    assert_eq!(acts.count(), 1, "it is not tried again");
}

/// A pause holds what goes forward, not what is put back.
#[test]
fn f49_descoped_members_are_taken_back_in_a_paused_run_too() {
    let mut run = Run::start(&frozen(&train()));
    until_fails(&mut run, "prod/eu/web/ready");
    run.command(Command::Pause, "bob").unwrap();
    run.command(descope("web"), "bob").unwrap();
    while run.status("prod/eu/web/preview") != Status::Compensated {
        let back = run.effects.keys().copied().find(|step| run.state.plan().in_rollback(*step));
        match back {
            Some(step) => drop(run.outcome(step, End::Good)),
            None => assert!(run.pass_to_next(), "{:?}", run.state.awaiting()),
        }
    }
    assert!(run.state.is_paused());
    assert!(!started(&run).iter().any(|step| step.starts_with("prod/us/")));
}

/// A rollback of the whole takes over from what takes one member back.
#[test]
fn f49_a_rollback_takes_back_what_was_half_descoped_and_nothing_twice() {
    for done in [false, true] {
        let mut run = Run::start(&frozen(&train()));
        until_fails(&mut run, "prod/us/web/ready");
        run.command(descope("web"), "bob").unwrap();
        if done {
            while run.status("prod/eu/web/switch") != Status::Compensated {
                let back =
                    run.effects.keys().copied().find(|s| run.state.plan().in_rollback(*s)).unwrap();
                run.outcome(back, End::Good);
            }
        }
        let before = run.state.rollback_plan(&Reach::Release).unwrap();
        let web = |step: &Step| step.id.as_str().contains("/web/");
        assert_eq!(before.steps.iter().any(web), !done);
        run.command(Command::Cancel, "bob").unwrap();
        assert!(matches!(run.heal(300), Outcome::RolledBack { .. }));
        assert_eq!(run.status("prod/eu/web/switch"), Status::Compensated);
        assert_eq!(run.status("prod/eu/db/switch"), Status::Compensated);
    }
}

#[test]
fn f49_descoped_asks_for_a_known_member_a_reason_and_a_way_back() {
    let mut run = Run::start(&frozen(&train()));
    let refused = run.command(descope("mail"), "bob").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the plan changes no service `mail`; name one of: api, db, web"
    );
    let mute = Directive::new(descope("web"), person("bob"), " ");
    let refused = run.input(&Input::Directive(mute)).unwrap_err();
    assert_eq!(refused, Rejected::NoReason { command: "descope" });
    run.command(descope("web"), "bob").unwrap();
    assert_eq!(run.command(descope("web"), "bob").unwrap(), [], "decided once");
    run.command(Command::Cancel, "bob").unwrap();
    if run.state.outcome().is_none() {
        let refused = run.command(descope("db"), "bob").unwrap_err();
        assert!(matches!(refused, Rejected::WrongPhase { .. }), "{refused}");
    }
}

#[test]
fn f49_descoped_is_refused_behind_a_point_of_no_return() {
    let place = |service: &str| {
        let mut place = release_core::plan::Place::new(id("prod"));
        place.service = Some(id(service));
        release_core::plan::StepScope::of(place)
    };
    let steps = vec![one_way("contract").scope(place("db")), change("api").scope(place("api"))];
    let mut run = Run::start(&super::support::samples::side_by_side(steps));
    run.end("contract", End::Good);
    let refused = run.command(descope("db"), "bob").unwrap_err();
    let step = id("contract");
    let (service, justification) = (id("db"), "rows are dropped".to_owned());
    assert_eq!(refused, Rejected::NoWayBack { service, step, justification });
}

/// What everybody reads tells of it: explanations, reports, and why each step was taken.
#[test]
fn f49_descoped_members_are_told_of_by_explanations_and_reports() {
    let frozen = frozen(&train());
    let mut run = Run::start(&frozen);
    until_fails(&mut run, "prod/us/web/ready");
    run.command(descope("web"), "bob").unwrap();
    let held = explain_step(&run.state, &id("prod/us/web/switch"), run.now, &PermitAll).unwrap();
    assert!(held.is_final(), "{held}");
    assert!(held.to_string().contains("goes on without service web (bob: because)"), "{held}");
    run.heal(200);
    let history =
        History::verify(&id("run-1"), &super::journal::seal_with_digests(&frozen, &run)).unwrap();
    let report = RunReport::new(&history, frozen.clone()).unwrap();
    assert_eq!(report.outcome, run.state.outcome().cloned());
    let said = report.timeline.iter().find(|entry| entry.what == "left behind").unwrap();
    assert_eq!((&said.subject[..], &said.why[..]), ("web", "bob: because"));
    let back = report.steps.iter().filter(|step| step.rollback);
    assert!(back.clone().count() > 0 && back.clone().all(|s| s.status == Status::Succeeded));
    let begun = report.timeline.iter().find(|entry| entry.what.starts_with("service web is left"));
    let grounds = why(&history, frozen, begun.unwrap().seq).unwrap().grounds;
    assert!(
        matches!(&grounds[..], [Ground::Earlier { event, .. }] if event == "descoped"),
        "{grounds:?}"
    );
}

#[derive(Debug)]
struct OnlyAnn;

impl Policy for OnlyAnn {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let asked = matches!(request.command, Command::Descope { .. });
        if asked && request.by.id.as_str() == "ann" {
            return Decision::permit();
        }
        Decision::deny(vec![Reason::new("rbac", "not yours", "ann")])
    }
}

#[test]
fn f49_descoped_is_a_command_that_policy_is_asked_about() {
    let mut run = Run::start_with(&frozen(&train()), Box::new(OnlyAnn), 1_000);
    let denied = run.command(descope("web"), "bob").unwrap();
    assert!(
        matches!(&denied[..], [Event::CommandDenied { command, .. }] if command == "descope"),
        "{denied:?}"
    );
    let events = run.command(descope("web"), "ann").unwrap();
    assert!(matches!(&events[0], Event::Descoped { service, .. } if service.as_str() == "web"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails and whoever is left behind: who needs the new version of a member that is left
    /// behind is left behind too.
    #[test]
    fn f49_dependents_never_go_on_without_the_version_that_they_need(
        happenings in proptest::collection::vec(super::run_laws::happening(), 0..60),
        order in Just(vec!["db", "api", "web"]).prop_shuffle(),
    ) {
        let mut run = Run::start(&frozen(&strict()));
        for (nth, happening) in happenings.iter().enumerate() {
            super::run_laws::happen(&mut run, happening);
            if nth % 10 == 9 {
                drop(run.command(descope(order[nth / 10 % 3]), "bob"));
            }
        }
        run.heal(600);
        let left = |service: &str| run.state.left_behind().any(|other| *other == part(service));
        prop_assert!(!left("db") || left("api"));
        prop_assert!(!left("api") || left("web"));
        prop_assert!(!left("db"), "somebody goes on");
    }
}
