//! What would come of plans, before they come.

use proptest::prelude::*;
use release_core::explain::{Assumptions, Course, WhatIfError, what_if, what_if_from};
use release_core::model::{Approval, Gate, RollbackScope, Span};
use release_core::plan::{
    Action, EdgeKind, FrozenPlan, OnFailure, RetryPolicy, Step, plan as expand,
};
use release_core::port::{
    Admission, CommandRequest, Decision, EffectError, PermitAll, Policy, Reason,
};
use release_core::run::{Command, Directive, Outcome, RunState, Status};
use release_core::time::Timestamp;

use super::support::random;
use super::support::samples::{approval, builder, chain, change, id, person, side_by_side};
use super::support::world::START;

/// Friday 2026-11-27, all of it.
#[derive(Debug)]
struct FridayFreeze;

fn friday() -> (Timestamp, Timestamp) {
    (id("2026-11-27T00:00:00Z"), id("2026-11-28T00:00:00Z"))
}

impl Policy for FridayFreeze {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let (from, until) = friday();
        if request.now < from || request.now >= until {
            return Decision::permit();
        }
        let reasons = vec![Reason::new("freeze/friday", "nothing on Fridays", "team-web")];
        Decision::wait(Some(until), reasons)
    }
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let reasons = vec![Reason::new("rbac", "eve may do nothing", "whoever grants roles")];
        if request.by.id.as_str() == "eve" { Decision::deny(reasons) } else { Decision::permit() }
    }
}

fn from(start: Timestamp) -> Assumptions {
    Assumptions::new(id("run-1"), person("ann"), start)
}

fn ask(plan: &FrozenPlan, assumptions: &Assumptions) -> Course {
    what_if(plan, assumptions, &FridayFreeze).unwrap()
}

fn minutes(minutes: u64) -> Timestamp {
    START.plus(Span::secs(60 * minutes))
}

#[test]
fn a_freeze_on_friday_is_seen_before_friday() {
    let night: Timestamp = id("2026-11-26T23:59:30Z");
    let plan = chain(vec![change("a"), change("b")]);
    let course = ask(&plan, &from(night));
    let held: Vec<_> = course.held_by("freeze/").collect();
    let [(step, held)] = held[..] else { panic!("{course}") };
    assert_eq!(step.id.as_str(), "b");
    assert_eq!((held.from, held.until), (night.plus(Span::secs(60)), Some(friday().1)));
    assert_eq!(
        (&course.outcome, course.until),
        (&Some(Outcome::Succeeded), friday().1.plus(Span::secs(60)))
    );
    assert_eq!(course.rules().into_iter().collect::<Vec<_>>(), [("freeze/friday", 1)]);
    // A day earlier nothing would hold it.
    let course = ask(&plan, &from(START));
    assert_eq!(course.held_by("").count(), 0, "{course}");
    assert_eq!(course.until, START.plus(Span::secs(120)));
    let json = serde_json::to_string(&course).unwrap();
    let read: Course = serde_json::from_str(&json).unwrap();
    assert_eq!(read, Course { facts: vec![], ..course });
}

#[test]
fn the_course_says_when_each_step_starts_and_ends() {
    let mut plan = builder();
    plan.max_parallel(2);
    let last = plan.step(Step::new(id("bake"), Action::Bake { duration: Span::secs(600) }));
    for name in ["a", "b", "c"] {
        let step = plan.step(change(name));
        plan.edge(step, last, EdgeKind::Order);
    }
    let plan = plan.build().unwrap().freeze();
    let course = ask(&plan, &from(START).step_takes(id("b"), Span::secs(300)));
    let times = |name| course.step(name).map(|step| (step.began, step.ended)).unwrap();
    let at = |n| Some(minutes(n));
    // `b` takes longer than its timeout of a minute, and has not taken effect when it is looked for.
    assert_eq!((times("a"), times("c")), ((at(0), at(1)), (at(1), at(2))), "{course}");
    assert_eq!(course.step("b").unwrap().status, Status::Failed, "{course}");
    let patient = chain(vec![change("a").timeout(Span::secs(600))]);
    let course = ask(&patient, &from(START).step_takes(id("a"), Span::secs(300)));
    assert_eq!(course.step("a").unwrap().ended, Some(minutes(5)), "{course}");
    // Looking on is worth the while: the second look finds it.
    let looked_for = chain(vec![change("a").retry(RetryPolicy {
        max_attempts: 3,
        backoff: Span::secs(2),
        max_backoff: Span::secs(2),
    })]);
    let course = ask(&looked_for, &from(START).step_takes(id("a"), Span::secs(61)));
    assert_eq!(course.outcome, Some(Outcome::Succeeded), "{course}");
}

#[test]
fn a_failure_is_followed_to_the_end_of_its_rollback() {
    let mut steps = vec![change("a"), change("b")];
    steps[1].on_failure = OnFailure::RollBack(RollbackScope::Release);
    let plan = chain(steps);
    let course = ask(&plan, &from(START).step_fails(id("b")));
    assert!(matches!(course.outcome, Some(Outcome::RolledBack { .. })), "{course}");
    let undone: Vec<_> = course.steps.iter().filter(|step| step.rollback).collect();
    assert!(undone.iter().all(|step| step.status == Status::Succeeded), "{course}");
    assert_eq!(course.step("a").unwrap().status, Status::Compensated);
    // What if the way back fails too? Somebody would be called, and the run would wait for them.
    let undo = undone[0].step.id.clone();
    let course = ask(&plan, &from(START).step_fails(id("b")).step_fails(undo));
    assert_eq!(course.outcome, None);
    assert!(course.to_string().contains("(lifted by whoever retries it)"), "{course}");
    let busy = EffectError::transient("busy", "try later");
    let course = ask(&plan, &from(START).step_fails_with(id("a"), busy));
    assert!(course.to_string().contains("step `a` failed: try later"), "{course}");
}

#[test]
fn approvals_come_when_they_are_assumed_to() {
    let roles = Approval { quorum: 2, roles: vec![id("cab")], ..Approval::new(id("cab")) };
    let plan =
        chain(vec![change("a").gate(approval("go")), change("b").gate(Gate::Approval(roles))]);
    let alone = ask(&plan, &from(START));
    assert_eq!((alone.outcome.clone(), alone.waiting.len()), (None, 1));
    assert_eq!(alone.waiting[0].obstacles[0].kind.name(), "approval", "{alone}");
    let at = START.plus(Span::secs(600));
    let one = ask(&plan, &from(START).approve(id("go"), person("bob"), at));
    assert_eq!((one.step("a").unwrap().began, one.waiting.len()), (Some(at), 1), "{one}");
    assert_eq!(one.waiting[0].step.id.as_str(), "b");
    let all = ask(&plan, &from(START).approvals_take(Span::secs(120)));
    assert_eq!(
        (all.step("a").unwrap().began, all.step("b").unwrap().began),
        (Some(minutes(2)), Some(minutes(5)))
    );
    assert_eq!(all.outcome, Some(Outcome::Succeeded));
    // Who may not, may not in a simulation either.
    let eve = ask(&plan, &from(START).approve(id("go"), person("eve"), at));
    assert_eq!((eve.outcome, eve.refused), (None, vec![]));
}

#[test]
fn commands_come_at_their_instants_and_senseless_ones_are_told() {
    let plan = chain(vec![change("a"), change("b"), change("c")]);
    let say = |command| Directive::new(command, person("bob"), "because");
    let paused = from(START)
        .command(minutes(60), say(Command::Resume))
        .command(START.plus(Span::secs(90)), say(Command::Pause))
        .command(START.plus(Span::secs(95)), say(Command::Retry { step: id("a") }));
    let course = ask(&plan, &paused);
    assert_eq!(course.step("c").unwrap().began, Some(minutes(60)), "{course}");
    assert_eq!(course.refused.len(), 1);
    assert!(course.refused[0].why.contains("needs a step that waits for it"), "{course:?}");
    let course =
        ask(&plan, &from(START).command(START, say(Command::Pause)).horizon(Span::secs(3_600)));
    assert_eq!((&course.outcome, course.waiting.len()), (&None, 1), "{course}");
    assert_eq!(course.waiting[0].obstacles[0].kind.name(), "paused", "{course}");
}

#[test]
fn what_has_no_answer_says_so() {
    let plan = side_by_side(vec![change("a").gate(approval("go")), change("b")]);
    let error = |assumptions: Assumptions| what_if(&plan, &assumptions, &PermitAll).unwrap_err();
    assert_eq!(error(from(START).limit(2)), WhatIfError::TooManyEvents { limit: 2 });
    assert_eq!(error(from(START).step_fails(id("c"))), WhatIfError::UnknownStep { step: id("c") });
    let unknown = error(from(START).approve(id("no"), person("bob"), START));
    assert_eq!(unknown, WhatIfError::UnknownGate { gate: id("no") });
    assert_eq!(
        unknown.to_string(),
        "an approval of gate `no` is assumed, which the plan does not have; mend the name"
    );
}

/// Denies for a day, and names no instant.
#[derive(Debug)]
struct Closed;

impl Policy for Closed {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let reasons = vec![Reason::new("closed", "closed", "whoever opens")];
        if request.now < START.plus(Span::secs(86_400)) {
            Decision::deny(reasons)
        } else {
            Decision::permit()
        }
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

#[test]
fn a_policy_that_names_no_instant_is_asked_again_as_by_the_engine() {
    let plan = chain(vec![change("a")]);
    let course = what_if(&plan, &from(START.plus(Span::secs(7))), &Closed).unwrap();
    let began = course.step("a").unwrap().began.unwrap();
    let opens = START.plus(Span::secs(86_400));
    assert!(began >= opens && began.since(opens) <= Span::secs(30), "{course}");
    assert_eq!(course.step("a").unwrap().holds.len(), 1, "{course}");
    let short = from(START).horizon(Span::secs(3_600));
    let course = what_if(&plan, &short, &Closed).unwrap();
    assert_eq!(course.waiting[0].obstacles[0].kind.name(), "policy", "{course}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A course is a run: its facts fold to its end. And asking at any point on the way gives the rest of it.
    #[test]
    fn a_forecast_from_any_point_on_the_way_is_the_rest_of_the_course(
        definition in random::definition(), which in 0_usize..64,
    ) {
        let plan = expand(&definition).unwrap().freeze();
        let assumptions = from(START).approvals_take(Span::ZERO).effects_take(Span::secs(20));
        let course = what_if(&plan, &assumptions, &PermitAll).unwrap();
        prop_assert_eq!(&course.outcome, &Some(Outcome::Succeeded), "{}", course);
        let whole = RunState::replay(id("run-1"), plan.clone(), &course.facts).unwrap();
        prop_assert_eq!(whole.outcome(), course.outcome.as_ref());
        // Between two instants, so that nothing of one instant is cut off.
        let instants: std::collections::BTreeSet<_> = course.facts.iter().map(|f| f.at).collect();
        let at = instants.iter().nth(which % (instants.len() - 1).max(1)).copied().unwrap();
        let until = course.facts.iter().take_while(|fact| fact.at <= at);
        let state = RunState::replay(id("run-1"), plan, until).unwrap();
        if state.outcome().is_none() {
            let rest = what_if_from(state, &assumptions, &PermitAll).unwrap();
            prop_assert_eq!(rest.until, course.until);
            let left: Vec<_> = course.facts.iter().filter(|fact| fact.at > at).collect();
            prop_assert_eq!(rest.facts.iter().collect::<Vec<_>>(), left);
        }
    }
}
