//! A train as a policy, where runs leave parts behind, where plans go another way, and where things are told again.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{
    Definition, Principal, RollbackCriteria, RollbackScope, RollbackTrigger,
};
use release_core::plan::{Action, Part, Plan, plan};
use release_core::port::{Admission, Policy as _};
use release_core::run::{Command, Directive, Input, Outcome, Phase};
use release_policy::train::departure::{
    Blocker, Conductor, Event, Next, PlanFault, TellError, TrainSpec, Why,
};

use super::conducted::{Run, blocked, cleared, conductor, definition, spec};
use super::support::{id, minute};

/// Up to two regions may fail, which go back alone.
fn lenient(waves: &[&[&str]]) -> Definition {
    let mut definition = definition();
    let triggers = vec![RollbackTrigger::StepFailed];
    definition.release.rollback = Some(RollbackCriteria { scope: RollbackScope::Region, triggers });
    let stage = &mut definition.stages[0];
    stage.stop_after_failed_regions = Some(2);
    stage.waves = waves.iter().map(|wave| wave.iter().map(|region| id(region)).collect()).collect();
    definition
}

fn planned(definition: &Definition) -> Plan {
    plan(definition).unwrap()
}

const APART: &[&[&str]] = &[&["eu"], &["us", "ap"]];
const TOGETHER: &[&[&str]] = &[&["eu", "us", "ap"]];

#[test]
fn a_train_goes_on_without_a_stop_that_failed_where_its_plan_lets_it() {
    for waves in [APART, TOGETHER] {
        let conductor = conductor(spec());
        let mut run = Run::of(&lenient(waves), conductor.clone());
        run.fails = |step| {
            let routes = matches!(step.action, Action::Route { .. });
            routes && step.scope.region().is_some_and(|region| region.as_str() == "eu")
        };
        let left = vec![Part::Region { environment: id("production"), region: id("eu") }];
        let without = Outcome::SucceededWithout { left };
        let ended = run.go(60).clone();
        assert_eq!(ended, Phase::Finished(without), "{}", run.reasons());
        assert!(!run.began("us").is_empty() && !run.began("ap").is_empty());
        assert_eq!(conductor.next(Some(&run.state), run.now), Next::Through);
    }
}

/// What a conductor remembers of a run only spares it to look again: one that never saw the run says the same, of each state of it, and so
/// does one that saw another history of a run of that name.
#[test]
fn who_has_followed_a_run_says_the_same_of_it_as_who_sees_it_for_the_first_time() {
    let follows = conductor(spec());
    for fails in [false, true] {
        let mut run = Run::of(&lenient(TOGETHER), follows.clone());
        if fails {
            run.fails = |step| {
                let routes = matches!(step.action, Action::Route { .. });
                routes && step.scope.region().is_some_and(|region| region.as_str() == "eu")
            };
        }
        let mut entered = BTreeSet::new();
        for minutes in 0..60 {
            run.go(minutes);
            let fresh = conductor(spec());
            for _ in 0..2 {
                let next = [&follows, &fresh].map(|one| one.next(Some(&run.state), run.now));
                assert_eq!(next[0], next[1], "at {}", run.now);
            }
            let ann = Principal::human(id("ann"));
            for (index, _) in run.state.all_active() {
                let step = run.state.plan().get(index).unwrap();
                let mut asked = Admission::new(run.state.run(), &ann, step, run.now);
                asked.at = Some((&run.state, index));
                assert_eq!(follows.admit(&asked), fresh.admit(&asked), "{}", step.id);
            }
            entered.insert(run.state.entered(&id("production")).count());
        }
        assert!(entered.len() > 1, "it was asked on the way: {entered:?}");
    }
}

#[test]
fn a_train_goes_on_without_a_service_that_is_left_behind() {
    for waves in [APART, TOGETHER] {
        let conductor = conductor(spec());
        let mut run = Run::of(&lenient(waves), conductor.clone());
        run.go(11);
        let waits = conductor.next(Some(&run.state), run.now);
        assert!(matches!(waits, Next::Waits { why: Why::Stop { .. }, .. }), "{waits:?}");
        let descope = Command::Descope { service: id("web") };
        let descope = Directive::new(descope, Principal::human(id("ann")), "500s in checkout");
        run.input(Some(&Input::Directive(descope)));
        let left = vec![Part::Service { service: id("web") }];
        let without = Outcome::SucceededWithout { left };
        let ended = run.go(60).clone();
        assert_eq!(ended, Phase::Finished(without), "{}", run.reasons());
        assert!(!run.began("us").is_empty() && !run.began("ap").is_empty());
    }
}

#[test]
fn what_was_seen_of_a_later_state_says_nothing_of_an_earlier_one() {
    let conductor = conductor(spec());
    let mut run = Run::of(&definition(), conductor.clone());
    run.go(11);
    let before = run.state.clone();
    assert_eq!(run.go(60), &Phase::Finished(Outcome::Succeeded));
    for _ in 0..2 {
        assert_eq!(conductor.next(Some(&run.state), run.now), Next::Through);
        let waits = conductor.next(Some(&before), minute(11));
        assert!(matches!(waits, Next::Waits { why: Why::Stop { .. }, .. }), "{waits:?}");
    }
}

#[test]
fn a_plan_in_another_order_than_the_train_is_denied_at_once() {
    let conductor = conductor(spec());
    for waves in [APART, TOGETHER] {
        assert_eq!(conductor.fits(&planned(&lenient(waves))), Ok(()));
    }
    let backwards = lenient(&[&["us"], &["eu"], &["ap"]]);
    let mismatch = conductor.fits(&planned(&backwards)).unwrap_err();
    let order =
        PlanFault::Order { stop: id("few"), region: id("eu"), later: id("rest"), before: id("us") };
    assert_eq!(mismatch.all(), [order]);
    assert!(mismatch.contradicts());
    let mut run = Run::of(&backwards, conductor);
    assert_eq!(run.go(60), &Phase::Forward);
    assert!(["eu", "us", "ap"].into_iter().all(|region| run.began(region).is_empty()));
    assert!(run.reasons().contains(&mismatch.to_string()), "{}", run.reasons());
}

#[test]
fn a_plan_that_brings_a_part_of_a_stop_waits_until_it_is_told_of_the_rest_and_says_so() {
    let mut wide = spec();
    wide.stops[0].regions.insert(id("sa"));
    let conductor = conductor(wide);
    let mismatch = conductor.fits(&planned(&definition())).unwrap_err();
    let lacks =
        PlanFault::Lacks { stop: id("few"), count: 2, service: id("api"), region: id("sa") };
    assert_eq!(mismatch.all(), [lacks]);
    assert!(!mismatch.contradicts());
    let mut run = Run::of(&definition(), conductor.clone());
    assert_eq!(run.go(40), &Phase::Forward);
    assert!(!run.began("eu").is_empty() && run.began("us").is_empty());
    assert!(run.reasons().contains(&mismatch.to_string()), "{}", run.reasons());
    assert_eq!(conductor.tell(Event::Done { stop: id("few"), at: minute(41) }), Ok(true));
    assert_eq!(run.go(90), &Phase::Finished(Outcome::Succeeded));
    assert!(run.began("us")[0] >= minute(41));
}

/// What others brought has departed; what others left behind has not.
#[test]
fn a_stop_that_is_told_of_as_left_behind_is_passed_and_nothing_goes_back_for_it() {
    let mut spec = spec();
    spec.straddle_rule.closed = vec![(minute(50), minute(60))];
    let (few, at) = (id("few"), minute(20));
    let left = Event::LeftBehind { stop: id("few"), at };
    let waits = Next::Waits { until: Some(minute(60)), why: Why::Closed };
    let back = Next::GoesBack { before: minute(50) };
    for (event, next) in [(left, waits), (Event::Done { stop: few, at }, back)] {
        let told = conductor(spec.clone());
        assert_eq!(told.tell(event.clone()), Ok(true));
        assert_eq!(told.tell(event), Ok(false));
        assert_eq!(told.next(None, minute(30)), Next::Begins { stop: id("rest") });
        assert_eq!(told.next(None, minute(45)), next);
    }
    let nowhere = Event::LeftBehind { stop: id("all"), at };
    assert_eq!(conductor(spec).tell(nowhere), Err(TellError::NoStop(id("all"))));
}

#[test]
fn nothing_is_mended_before_it_held_and_of_one_instant_the_last_word_counts() {
    let conductor = conductor(spec());
    assert_eq!(conductor.tell(blocked(10)), Ok(true));
    let (blocker, at, since) = (id("bug-1"), minute(9), minute(10));
    assert_eq!(conductor.tell(cleared(9)), Err(TellError::TooEarly { blocker, at, since }));
    assert_eq!(conductor.told(), [blocked(10)]);
    let halts = Next::Halts { blockers: [id("bug-1")].into() };
    assert_eq!(conductor.next(None, minute(10)), halts);
    assert_eq!(conductor.tell(cleared(10)), Ok(true));
    assert_eq!(conductor.next(None, minute(10)), Next::Begins { stop: id("few") });
    let (blocker, by) = (id("bug-1"), id("bob"));
    let again = Event::Blocked { blocker, by, reason: "still there".into(), at: minute(10) };
    assert_eq!(conductor.tell(again), Ok(true));
    assert_eq!(conductor.next(None, minute(10)), halts);
}

fn specified() -> TrainSpec {
    let bug = Blocker { id: id("bug-1"), by: id("eve"), reason: "known".into(), since: minute(12) };
    TrainSpec { blockers: vec![bug], ..spec() }
}

#[test]
fn a_step_is_told_what_was_said_last_of_a_blocker() {
    let conductor = conductor(specified());
    for event in [blocked(10), cleared(10)] {
        assert_eq!(conductor.tell(event), Ok(true));
    }
    let mut run = Run::of(&definition(), conductor);
    run.go(10);
    assert!(!run.began("eu").is_empty());
    run.go(40);
    let known = format!("`bug-1` holds `weekly-1`: known (eve, at {})", minute(12));
    assert!(run.reasons().contains(&known), "{}", run.reasons());
}

/// What decisions are made from, and what the train does, minute by minute.
fn seen(conductor: &Conductor) -> Vec<String> {
    let (run, ann, definition) = (id("run-1"), Principal::human(id("ann")), definition());
    let plan = planned(&definition);
    let is_own = |action: &Action| matches!(action, Action::Scale { .. });
    let step = plan.steps().iter().find(|step| is_own(&step.action)).unwrap();
    let at = |minutes| {
        let now = minute(minutes);
        let made = conductor.admit(&Admission::new(&run, &ann, step, now));
        format!("{:?} {:?}", made.inputs(), conductor.next(None, now))
    };
    (0..20).map(at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_told_can_be_told_again_and_says_the_same(
        tells in proptest::collection::vec((0..4_usize, 0..3_u64, 6..16_u64, any::<bool>()), 0..12),
    ) {
        let one = conductor(specified());
        let mut accepted = 0;
        for (kind, nth, at, ann) in tells {
            let (blocker, at) = (id(&format!("bug-{nth}")), minute(at));
            let by = id(if ann { "ann" } else { "bob" });
            let event = match kind {
                0 => Event::Done { stop: id("few"), at },
                1 | 2 => Event::Blocked { blocker, by, reason: "500s".into(), at },
                _ => Event::Cleared { blocker, by, at },
            };
            accepted += usize::from(one.tell(event) == Ok(true));
        }
        let told = one.told();
        prop_assert_eq!(told.len(), accepted);
        prop_assert!(told.is_sorted_by_key(Event::at));
        let other = conductor(specified());
        for event in &told {
            prop_assert_eq!(other.tell(event.clone()), Ok(true));
        }
        prop_assert_eq!(&other.told(), &told);
        prop_assert_eq!(seen(&other), seen(&one));
        // What counts no more is left out, and that changes nothing.
        for at in 0..20 {
            prop_assert_eq!(one.next(None, minute(at)), one.train().next(&told, minute(at)));
        }
    }
}
