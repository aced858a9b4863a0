//! Explanations of runs that a person would ask about.

use release_core::explain::{Explanation, Lifter, ObstacleKind, explain, explain_step};
use release_core::model::{Gate, Span};
use release_core::plan::{Action, EdgeKind, FrozenPlan, OnFailure, RetryPolicy, Step};
use release_core::port::{Admission, CommandRequest, Decision, PermitAll, Policy, Reason};
use release_core::run::{Command, Status};
use release_core::time::Timestamp;

use super::support::drive::{End, Run};
use super::support::samples::{approval, builder, chain, change, id};
use super::support::world::START;

/// Frozen until an instant.
#[derive(Debug, Clone, Copy)]
struct Freeze(Timestamp);

impl Policy for Freeze {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        if request.now >= self.0 {
            return Decision::permit();
        }
        let reasons = vec![Reason::new("freeze/sale", "no changes during the sale", "team-sale")];
        Decision::wait(Some(self.0), reasons)
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

fn bake(name: &str, secs: u64) -> Step {
    Step::new(id(name), Action::Bake { duration: Span::secs(secs) })
}

fn sync(name: &str) -> Step {
    Step::new(id(name), Action::Sync)
}

#[track_caller]
fn ask(run: &Run, step: &str, policy: &dyn Policy) -> Explanation {
    explain_step(&run.state, &id(step), run.now, policy).unwrap()
}

fn kinds(found: &Explanation) -> Vec<&'static str> {
    found.obstacles.iter().map(|obstacle| obstacle.kind.name()).collect()
}

fn after(secs: u64) -> Timestamp {
    START.plus(Span::secs(secs))
}

/// `last` waits for three steps, a pause, a gate and a freeze.
fn three_before_one() -> FrozenPlan {
    let mut plan = builder();
    let last = plan.step(change("last").gate(approval("go")).gate(Gate::NotBefore(after(90))));
    for step in [bake("soak", 60), change("db"), change("api").gate(approval("api-go"))] {
        let step = plan.step(step);
        plan.edge(step, last, EdgeKind::Order);
    }
    plan.build().unwrap().freeze()
}

#[test]
fn all_reasons_are_told_not_the_first() {
    let mut run = Run::start(&three_before_one());
    run.command(Command::Pause, "bob").unwrap();
    let found = ask(&run, "last", &Freeze(after(3_600)));
    let all =
        ["dependency", "dependency", "dependency", "paused", "approval", "not_before", "policy"];
    assert_eq!(kinds(&found), all);
    assert_eq!(found.earliest(), Some(after(3_600)));
    let roots: Vec<_> = found.roots.iter().map(|root| root.step.id.as_str()).collect();
    assert_eq!(roots, ["soak", "db", "api"]);
    let text = "\
`last` is pending at 2026-11-23T14:00:00.000000Z
- it waits for `soak`, which is waiting (lifted by `soak` being done; not before 2026-11-23T14:01:00.000000Z)
- it waits for `db`, which is running (lifted by `db` being done)
- it waits for `api`, which is waiting (lifted by `api` being done; not before 2026-11-23T15:00:00.000000Z)
- the run is paused (lifted by whoever resumes the run)
- gate `go` has 0 of 1 approvals (lifted by 1 more by anybody but whoever requested the run)
- it may not start before 2026-11-23T14:01:30.000000Z (lifted by time; not before 2026-11-23T14:01:30.000000Z)
- the policy holds it: freeze/sale: no changes during the sale (lifted by team-sale; not before 2026-11-23T15:00:00.000000Z)
`soak` is waiting
- it bakes until 2026-11-23T14:01:00.000000Z (lifted by time; not before 2026-11-23T14:01:00.000000Z)
`db` is running
- attempt 1 is under way (lifted by the provider's answer; given up at 2026-11-23T14:01:00.000000Z and looked for)
`api` is waiting
- the run is paused (lifted by whoever resumes the run)
- gate `api-go` has 0 of 1 approvals (lifted by 1 more by anybody but whoever requested the run)
- the policy holds it: freeze/sale: no changes during the sale (lifted by team-sale; not before 2026-11-23T15:00:00.000000Z)";
    assert_eq!(found.to_string(), text);
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&json).unwrap(), found);
}

#[test]
fn the_earliest_instant_counts_what_is_still_to_come_on_the_way() {
    let steps = vec![
        bake("first", 10),
        sync("soaked").gate(Gate::Soak(Span::secs(20))),
        change("effect"),
        bake("second", 30),
        change("last"),
    ];
    let run = Run::start(&chain(steps));
    let found = ask(&run, "last", &PermitAll);
    assert_eq!((kinds(&found), found.earliest()), (vec!["dependency"], Some(after(60))));
    assert_eq!(found.roots.len(), 1, "{found}");
    // A step whose failure nobody minds is done as soon as its gate is rejected.
    let gated = sync("gated").gate(Gate::Soak(Span::secs(20))).gate(approval("go"));
    let steps = vec![bake("first", 10), gated.on_failure(OnFailure::Continue), change("last")];
    let run = Run::start(&chain(steps));
    assert_eq!(ask(&run, "last", &PermitAll).earliest(), Some(after(10)));
}

#[test]
fn the_future_can_be_asked_about() {
    let run =
        Run::start(&chain(vec![bake("bake", 10), change("a").gate(Gate::NotBefore(after(30)))]));
    let at = |step, secs| explain(&run.state, step, after(secs), &Freeze(after(40))).unwrap();
    assert_eq!(kinds(&at(0, 9)), ["bake"]);
    assert!(at(0, 10).is_free());
    assert_eq!(kinds(&at(1, 29)), ["dependency", "not_before", "policy"]);
    assert_eq!(kinds(&at(1, 39)), ["dependency", "policy"]);
    assert_eq!(kinds(&at(1, 40)), ["dependency"]);
    // The past is another state; it is not made up.
    assert_eq!(explain(&run.state, 0, Timestamp::from_micros(0), &PermitAll).unwrap().at, START);
}

#[test]
fn who_waits_for_a_place_is_told_how_many_come_first() {
    let mut plan = builder();
    plan.max_parallel(2);
    for name in ["a", "b", "c", "d"] {
        plan.step(change(name));
    }
    let mut run = Run::start(&plan.build().unwrap().freeze());
    let places = |run: &Run, step| match &ask(run, step, &PermitAll).obstacles[..] {
        [only] => match only.kind {
            ObstacleKind::Places { limit, in_flight, ahead } => (limit, in_flight, ahead),
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!((places(&run, "c"), places(&run, "d")), ((2, 2, 0), (2, 2, 1)));
    run.end("a", End::Good);
    assert_eq!(places(&run, "d"), (2, 2, 0));
}

#[test]
fn what_went_wrong_is_told_until_it_is_tried_again() {
    let steps = vec![change("a").retry(RetryPolicy::attempts(2)).on_failure(OnFailure::Hold)];
    let mut run = Run::start(&chain(steps));
    run.end("a", End::Transient);
    let found = ask(&run, "a", &PermitAll);
    assert_eq!(kinds(&found), ["retry"]);
    assert!(found.obstacles[0].text.ends_with(": busy: try later"), "{found}");
    run.pass_to_next();
    assert_eq!(kinds(&ask(&run, "a", &PermitAll)), ["under_way"]);
    run.end("a", End::Unknown);
    let found = ask(&run, "a", &PermitAll);
    assert!(found.obstacles[0].text.ends_with(": lost: no answer"), "{found}");
    run.pass_to_next();
    run.end("a", End::Permanent);
    run.pass_to_next();
    while run.status("a") == Status::Running {
        run.end("a", End::Permanent);
        run.pass_to_next();
    }
    let found = ask(&run, "a", &PermitAll);
    assert!(matches!(found.obstacles[0].who, Lifter::Person { .. }), "{found}");
    assert!(found.obstacles[0].text.contains(": no: never"), "{found}");
}

#[test]
fn a_step_that_the_plan_does_not_have_is_an_error() {
    let run = Run::start(&chain(vec![change("a")]));
    let error = explain_step(&run.state, &id("b"), START, &PermitAll).unwrap_err().to_string();
    assert_eq!(
        error,
        "the plan of run `run-1` has no step `b`; mend the name, and mind that a rollback's steps are there only once it began"
    );
    assert!(explain(&run.state, 1, START, &PermitAll).unwrap_err().to_string().contains("at 1"));
}

/// 17 layers of 8 steps, each behind all of the layer before: 8^17 ways lead back.
#[test]
fn many_ways_back_are_walked_once() {
    let mut plan = builder();
    let mut before: Vec<u32> = vec![];
    for layer in 0..17 {
        let now: Vec<_> = (0..8).map(|n| plan.step(change(&format!("s-{layer}-{n}")))).collect();
        for (from, to) in before.iter().flat_map(|from| now.iter().map(move |to| (*from, *to))) {
            plan.edge(from, to, EdgeKind::Order);
        }
        before = now;
    }
    let run = Run::start(&plan.build().unwrap().freeze());
    let found = ask(&run, "s-16-7", &PermitAll);
    assert_eq!((found.obstacles.len(), found.roots.len(), found.complete), (8, 8, true));
}

/// On a small stack, so that recursion would show.
#[test]
fn a_long_way_back_is_walked_as_far_as_it_is_bounded() {
    let walk = || {
        let steps = |count| (0..count).map(|n| bake(&format!("s-{n}"), 1)).collect();
        let run = Run::start(&chain(steps(4_000)));
        let found = ask(&run, "s-3999", &PermitAll);
        assert_eq!((found.earliest(), found.complete), (Some(after(3_999)), true));
        let run = Run::start(&chain(steps(5_000)));
        let found = ask(&run, "s-4999", &PermitAll);
        assert_eq!((found.obstacles.len(), found.complete), (1, false));
        // As much as was seen of the way bounds it all the same.
        assert_eq!(found.earliest(), Some(after(4_096)));
        assert!(found.to_string().ends_with("and there are more steps before it"), "{found}");
    };
    let small = std::thread::Builder::new().stack_size(256 << 10);
    small.spawn(walk).unwrap().join().unwrap();
}
