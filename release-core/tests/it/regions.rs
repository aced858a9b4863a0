//! Regions that fail: others go on until the line is stopped, and healthy ones keep what they have.

use std::collections::BTreeSet;

use release_core::model::{BlueGreen, Definition, Gate, RollbackScope, Service, Span, Strategy};
use release_core::plan::{FrozenPlan, Part, PlanError, PlanErrors, Reach, plan};
use release_core::run::{Cause, Command, Event, Fact, Mode, Outcome, RunState, Status};
use release_core::time::Timestamp;

use super::descoped::until_fails;
use super::support::drive::{End, Run};
use super::support::samples::{any, approval, criteria, environment, id, one_service, set};
use super::support::words::started;

/// `api` in four regions, two a wave; the line stops after `stop` failed regions.
fn line(scope: RollbackScope, stop: Option<u32>) -> Definition {
    let mut definition = one_service(Strategy::BlueGreen(BlueGreen::default()));
    let tier = definition.environments.remove(0).tier;
    definition.environments = vec![environment("prod", tier, &["a", "b", "c", "d"])];
    definition.release.rollback = Some(criteria(scope));
    let stage = definition.stages.first_mut().expect("a stage");
    stage.waves = vec![vec![id("a"), id("b")], vec![id("c"), id("d")]];
    stage.stop_after_failed_regions = stop;
    definition
}

fn frozen(definition: &Definition) -> FrozenPlan {
    plan(definition).expect("a sound definition").freeze()
}

fn region(name: &str) -> Part {
    Part::Region { environment: id("prod"), region: id(name) }
}

/// The regions in which something was brought about going forward.
fn begun(run: &Run) -> Vec<&'static str> {
    let all = started(run);
    let has = |name: &str| all.iter().any(|step| step.starts_with(&format!("prod/{name}/")));
    ["a", "b", "c", "d"].into_iter().filter(|name| has(name)).collect()
}

/// Lets effects come to their ends; those of the regions named in `fail` fail at their probe.
fn go_on(run: &mut Run, fail: &[&str]) -> Outcome {
    for _ in 0..1_000 {
        if let Some(outcome) = run.state.outcome() {
            return outcome.clone();
        }
        let Some(step) = run.effects.keys().next().copied() else {
            assert!(run.pass_to_next(), "{:?}", run.state.awaiting());
            continue;
        };
        let name = run.state.plan().get(step).expect("a step").id.to_string();
        let fails = fail.iter().any(|region| name == format!("prod/{region}/api/ready"));
        run.outcome(step, if fails { End::Permanent } else { End::Good });
    }
    panic!("no end: {:?}", run.state.awaiting())
}

#[test]
fn f31_fewer_failed_regions_than_declared_stop_no_others() {
    let mut run = Run::start(&frozen(&line(RollbackScope::Environment, Some(2))));
    let outcome = go_on(&mut run, &["b"]);
    assert_eq!(outcome, Outcome::SucceededWithout { left: vec![region("b")] });
    assert_eq!(outcome.to_string(), "succeeded without region b of prod");
    for healthy in ["a", "c", "d"] {
        assert_eq!(run.status(&format!("prod/{healthy}/api/switch")), Status::Succeeded);
        assert_eq!(run.status(&format!("prod/{healthy}/api/remove-old")), Status::Succeeded);
    }
    assert_eq!(run.status("prod/b/api/preview"), Status::Compensated);
    let all = 0..u32::try_from(run.state.plan().base_len()).expect("few steps");
    assert!(all.clone().all(|index| run.state.is_settled(index)), "of `b`, too");
    assert!(!run.state.is_settled(all.end + 1_000), "there is no such step");
    let fresh = Run::start(&frozen(&line(RollbackScope::Environment, Some(2)))).state;
    let first = fresh.plan().find(&id("prod/b/api/preview")).expect("a step");
    assert!(!fresh.is_settled(first));
    assert_ne!(fresh.settled_mark(), run.state.settled_mark());
}

#[test]
fn f31_the_line_stops_after_so_many_failed_regions_and_healthy_ones_stay() {
    let mut run = Run::start(&frozen(&line(RollbackScope::Region, Some(1))));
    let outcome = go_on(&mut run, &["b"]);
    assert!(
        matches!(&outcome, Outcome::RolledBack { cause: Cause::StepFailed { step, .. } }
            if step.id.as_str() == "prod/b/api/ready"),
        "{outcome}"
    );
    assert_eq!(begun(&run), ["a", "b"], "no further region begins");
    assert_eq!(
        run.status("prod/a/api/switch"),
        Status::Succeeded,
        "it was on its way, and healthy"
    );
    assert_eq!(run.status("prod/b/api/preview"), Status::Compensated);
    let all = started(&run).into_iter();
    let finale = all.filter(|step| step.starts_with("rollback/prod/a/api/remove"));
    let finale: Vec<_> =
        finale.filter_map(|step| step.rsplit_once('/').map(|(_, did)| did.to_owned())).collect();
    assert_eq!(finale, ["probe 1", "confirm 1", "scale 1"], "what is done is tidied up");
    assert_eq!(run.status("prod/c/api/preview"), Status::Cancelled);
}

/// One behind the other: the second stops the line, the first was taken back long before.
#[test]
fn f31_failures_are_counted_over_all_waves() {
    let mut run = Run::start(&frozen(&line(RollbackScope::Region, Some(2))));
    let outcome = go_on(&mut run, &["a", "c"]);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    for (name, status) in [("a", Status::Compensated), ("c", Status::Compensated)] {
        assert_eq!(run.status(&format!("prod/{name}/api/preview")), status);
    }
    for name in ["b", "d"] {
        assert_eq!(run.status(&format!("prod/{name}/api/switch")), Status::Succeeded, "{name}");
    }
}

/// With the last failure, as much is taken back as the criteria say.
#[test]
fn f31_the_scope_says_what_is_taken_back_with_the_last() {
    let kept = |scope, fail: &[&str]| {
        let mut run = Run::start(&frozen(&line(scope, Some(1))));
        let outcome = go_on(&mut run, fail);
        assert!(matches!(outcome, Outcome::RolledBack { .. }), "{scope:?}: {outcome}");
        let has = |name: &&str| run.status(&format!("prod/{name}/api/switch")) == Status::Succeeded;
        ["a", "b", "c", "d"].into_iter().filter(has).collect::<Vec<_>>()
    };
    assert_eq!(kept(RollbackScope::Region, &["c"]), ["a", "b", "d"]);
    assert_eq!(kept(RollbackScope::Wave, &["c"]), ["a", "b"]);
    assert_eq!(kept(RollbackScope::Environment, &["c"]), [""; 0]);
    assert_eq!(kept(RollbackScope::Release, &["c"]), [""; 0]);
}

#[test]
fn f31_a_wave_is_what_a_rollback_reaches_also_where_no_line_is_declared() {
    let frozen = frozen(&line(RollbackScope::Wave, None));
    let step = frozen.get(frozen.find(&id("prod/c/api/ready")).expect("a step")).expect("a step");
    let reach = Reach::of(frozen.plan(), step, RollbackScope::Wave);
    let covered = |name: &&str| {
        let index = frozen.find(&id(&format!("prod/{name}/api/switch"))).expect("a step");
        reach.covers(frozen.get(index).expect("a step"))
    };
    assert_eq!(["a", "b", "c", "d"].into_iter().filter(covered).collect::<Vec<_>>(), ["c", "d"]);
}

/// As [`line`], where `web` is released with `api`, and needs it if it is said to.
fn pair(needs: bool) -> Definition {
    let mut definition = line(RollbackScope::Region, None);
    definition.release.versions = set(&[("api", "2.0.0"), ("web", "2.0.0")]);
    definition.release.previous = set(&[("api", "1.0.0"), ("web", "1.0.0")]);
    let mut web = Service::new(id("web"), id("team-b"));
    web.depends_on.extend(needs.then(|| any("api")));
    definition.services.push(web);
    definition
}

/// Lets effects whose names begin with `prefix` come to good ends, until that of `last` has.
fn until_done(run: &mut Run, prefix: &str, last: &str) {
    for _ in 0..100 {
        if run.status(last) == Status::Succeeded {
            return;
        }
        let named = |step: &&u32| {
            run.state.plan().get(**step).expect("a step").id.as_str().starts_with(prefix)
        };
        match run.effects.keys().find(named).copied() {
            Some(step) => drop(run.outcome(step, End::Good)),
            None => assert!(run.pass_to_next(), "{:?}", run.state.awaiting()),
        }
    }
    panic!("no end: {:?}", run.state.awaiting())
}

/// Found by releases at random: the region beside the one that failed kept the new `api`, with the old `web`, and nobody had
/// verified these together.
#[test]
fn f31_a_region_that_is_on_its_way_goes_back_as_a_whole() {
    let mut run = Run::start(&frozen(&pair(true)));
    until_done(&mut run, "artifacts/", "artifacts/web/previous");
    until_done(&mut run, "prod/a/api/", "prod/a/api/still-ready");
    assert_eq!(run.status("prod/a/web/preview"), Status::Running);
    run.end("prod/b/api/preview", End::Good);
    run.end("prod/b/api/ready", End::Permanent);
    let outcome = run.heal(200);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    for step in ["a/api/preview", "a/api/switch", "a/web/preview", "b/api/preview"] {
        assert_eq!(run.status(&format!("prod/{step}")), Status::Compensated, "{step}");
    }
    let back = started(&run);
    let place = |step: &str| back.iter().position(|one| one.starts_with(step)).expect(step);
    let (web, api) = ("rollback/prod/a/web/preview/scale", "rollback/prod/a/api/switch/route");
    assert!(place(api) > 0 && place(web) > 0, "{back:?}");
    assert_eq!(begun(&run), ["a", "b"]);
}

/// What people left behind is not on its way anywhere.
#[test]
fn f31_a_region_without_a_member_that_was_left_behind_is_done_without_it() {
    let mut run = Run::start(&frozen(&pair(false)));
    run.command(Command::Descope { service: id("web") }, "bob").expect("it can go without");
    let outcome = go_on(&mut run, &["c"]);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    for (name, status) in [("a", Status::Succeeded), ("b", Status::Succeeded)] {
        assert_eq!(run.status(&format!("prod/{name}/api/switch")), status, "{name}");
    }
    assert_eq!(run.status("prod/c/api/preview"), Status::Compensated);
}

/// Not declared, the first failure stops everything: what nobody asked for does not change.
#[test]
fn f31_without_a_declaration_the_first_failure_stops_the_run() {
    let mut run = Run::start(&frozen(&line(RollbackScope::Region, None)));
    until_fails(&mut run, "prod/a/api/ready");
    assert!(run.last(|event| matches!(event, Event::TakeBackStarted { .. })).is_none());
    assert!(matches!(run.heal(200), Outcome::RolledBack { .. }));
    assert_eq!(begun(&run), ["a", "b"]);
}

#[test]
fn f31_lines_that_cannot_be_say_why() {
    let problem = |stop, criteria: bool| {
        let mut definition = line(RollbackScope::Region, Some(stop));
        if !criteria {
            definition.release.rollback = None;
        }
        plan(&definition).expect_err("a fault").to_string()
    };
    assert!(problem(0, true).contains("`stop_after_failed_regions` is 0; set 1 or more"));
    assert!(problem(5, true).contains("is 5, and there are 4 regions; set 4 or fewer"));
    assert!(problem(1, false).contains("needs `release.rollback`"));
}

/// The second wave begins an hour after the first was verified, at its time, and when somebody has said so; the first at once.
#[test]
fn a_wave_begins_when_its_gates_are_open() {
    let hour = Span::secs(3_600);
    let mut definition = line(RollbackScope::Environment, None);
    let begins = Timestamp::default().plus(Span::secs(30));
    let gates = vec![Gate::NotBefore(begins), Gate::Soak(hour), approval("go")];
    definition.stages[0].wave_gates = vec![vec![], gates];
    let mut run = Run::start(&frozen(&definition));
    while run.state.outcome().is_none() && begun(&run) != ["a", "b", "c", "d"] {
        if let Some(step) = run.effects.keys().next().copied() {
            run.outcome(step, End::Good);
        } else if !run.pass_to_next() {
            assert_eq!(begun(&run), ["a", "b"], "nobody has said so");
            run.command(Command::Approve { gate: id("prod/wave-2/go") }, "lead").unwrap();
        }
    }
    let when = |name: &str| {
        let of = |fact: &&Fact| {
            let wanted = id(name);
            matches!(&fact.event, Event::StepSucceeded { step, .. } if step.id == wanted)
        };
        run.facts.iter().find(of).expect("it succeeded").at
    };
    assert!(when("prod/wave-2/enter").since(when("prod/wave-1/verified")) >= hour);
    assert_eq!(run.status("prod/wave-2/enter"), Status::Succeeded);
    assert_eq!(go_on(&mut run, &[]), Outcome::Succeeded);

    // A red wave: the gate of the next never opens, and no region of it begins.
    let mut run = Run::start(&frozen(&definition));
    let outcome = go_on(&mut run, &["b"]);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    assert_eq!(begun(&run), ["a", "b"]);

    definition.stages[0].wave_gates.push(vec![Gate::Soak(hour)]);
    let PlanErrors(errors) = plan(&definition).unwrap_err();
    let environment = id("prod");
    assert_eq!(errors, [PlanError::GatesOfNoWave { environment, gates: 3, waves: 2 }]);
}

#[test]
fn a_state_tells_in_which_regions_something_was_changed_and_since_when() {
    let plan = frozen(&line(RollbackScope::Environment, Some(2)));
    let mut run = Run::start(&plan);
    assert_eq!(run.state.entered(&id("prod")).count(), 0);
    let outcome = go_on(&mut run, &["a", "b"]);
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let mut expected: Vec<(String, Option<String>, Timestamp)> = Vec::new();
    for fact in &run.facts {
        let Event::StepStarted { step, mode: Mode::Perform, .. } = &fact.event else { continue };
        let Some(known) = plan.get(step.index).filter(|known| known.action.mutates()) else {
            continue; // it only looks, or takes back
        };
        let region = known.scope.region().expect("a region").to_string();
        let place = known.scope.place().expect("a place");
        let service = place.service.as_ref().map(ToString::to_string);
        if !expected.iter().any(|(other, of, _)| (other, of) == (&region, &service)) {
            expected.push((region, service, fact.at));
        }
    }
    let in_order = expected.clone();
    expected.sort();
    let entered = |state: &RunState, environment: &str| -> Vec<_> {
        let environment = id(environment);
        let all = state.entered(&environment);
        all.map(|(region, service, at)| (region.to_string(), service.map(ToString::to_string), at))
            .collect()
    };
    assert_eq!(entered(&run.state, "prod"), expected);
    let regions: BTreeSet<_> = expected.iter().map(|(region, ..)| &**region).collect();
    assert_eq!(regions, ["a", "b"].into());
    assert!(entered(&run.state, "staging").is_empty());
    let replayed = RunState::replay(run.state.run().clone(), plan, &run.facts).expect("its facts");
    assert_eq!(entered(&replayed, "prod"), expected);

    // In the order in which it came to be; a mark tells how much of it two states share.
    let environment = id("prod");
    let since = |state: &RunState, from: usize| -> Vec<_> {
        let all = state.entered_since(&environment, from);
        all.map(|(region, service, at)| (region.to_string(), service.map(ToString::to_string), at))
            .collect()
    };
    for from in 0..=in_order.len() {
        assert_eq!(since(&run.state, from), in_order[from..]);
        let mark = run.state.entered_mark(&environment, from);
        assert!(mark.is_some() && mark == replayed.entered_mark(&environment, from));
        assert_ne!(mark, run.state.entered_mark(&environment, from + 1));
    }
    assert_eq!(run.state.entered_mark(&environment, in_order.len() + 1), None);
    assert!(since(&run.state, in_order.len() + 1).is_empty());
    assert_eq!(run.state.entered_mark(&id("staging"), 0), Some(0));
    assert_eq!(run.state.entered_mark(&id("staging"), 1), None);
}

/// Two histories of one run that part: what they share has one mark, and what they do not share has two.
#[test]
fn what_was_entered_otherwise_has_another_mark() {
    let plan = frozen(&line(RollbackScope::Environment, Some(2)));
    let mut run = Run::start(&plan);
    assert_eq!(go_on(&mut run, &[]), Outcome::Succeeded);
    let environment = id("prod");
    let all = |state: &RunState| -> Vec<(String, Timestamp)> {
        let all = state.entered_since(&environment, 0);
        all.map(|(region, _, at)| (region.to_string(), at)).collect()
    };
    let usual = all(&run.state);
    let mut shared = BTreeSet::new();
    for part in 0..=run.facts.len() {
        let mut facts = run.facts.clone();
        for fact in facts.iter_mut().skip(part) {
            fact.at = fact.at.plus(Span::secs(1));
        }
        let plan = plan.clone();
        let later = RunState::replay(run.state.run().clone(), plan, &facts).expect("only later");
        let shifted = all(&later);
        assert_eq!(usual.len(), shifted.len());
        for count in 0..=usual.len() {
            let marks = [&run.state, &later].map(|state| state.entered_mark(&environment, count));
            assert_eq!(
                marks[0] == marks[1],
                usual[..count] == shifted[..count],
                "{count}: {usual:?}"
            );
        }
        shared.insert(usual.iter().zip(&shifted).take_while(|(one, other)| one == other).count());
    }
    assert!(shared.len() > 2, "some share some of {usual:?}: {shared:?}");
}
