//! What other rules would have cost, counted by hand.

use release_core::journal::{History, Sealer};
use release_core::model::{Principal, RunId, Span, Timestamp};
use release_core::plan::{Action, EdgeKind, FrozenPlan, Place, Plan, Step, StepScope, Undo};
use release_core::port::{Evidence, PermitAll};
use release_core::run::{Event, Mode, Outcome, StepRef};
use release_policy::Windows;
use release_policy::decision::{Condition, PolicySet, Recorded, Rule, compare};
use release_policy::window::{Scope, When, WindowSpec};

use super::support::{at, id};

/// `a` in staging, then `b` in production: ten seconds each.
fn plan() -> FrozenPlan {
    let mut plan = Plan::builder(id("t"), id("rel"));
    let mut place = |name: &str, environment: &str| {
        let action = Action::Custom { capability: "change".into(), input: serde_json::Value::Null };
        let kept = Undo::point_of_no_return("it is a test", "lead".parse().unwrap());
        let mut step = Step::new(id(name), action).undo(kept);
        step.scope = StepScope::of(Place::new(id(environment)));
        plan.step(step)
    };
    let (a, b) = (place("a", "staging"), place("b", "production"));
    plan.edge(a, b, EdgeKind::Order);
    plan.build().unwrap().freeze()
}

/// A run that began at `second`.
fn recorded(name: &str, plan: &FrozenPlan, second: i64, outcome: Outcome) -> History {
    let run: RunId = id(name);
    let requester = Principal::human(id("ann"));
    let (definition, supersedes, policy) = (None, None, None);
    let created =
        Event::RunCreated { plan: plan.digest(), definition, requester, supersedes, policy };
    let mut events = vec![(second, created)];
    for (index, step) in [(0, "a"), (1, "b")] {
        let step = StepRef { index, id: id(step) };
        let begin = second + i64::from(index) * 10;
        let started =
            Event::StepStarted { step: step.clone(), attempt: 1, mode: Mode::Perform, basis: None };
        events.push((begin, started));
        let done = Event::StepSucceeded {
            step,
            evidence: Evidence::Done,
            because: None,
            basis: None,
            finding: None,
        };
        events.push((begin + 10, done));
    }
    events.push((second + 20, Event::RunFinished { outcome }));
    let mut sealer = Sealer::new(&run);
    let records: Vec<_> =
        events.iter().map(|(when, event)| sealer.seal(at(*when), event)).collect();
    History::verify(&run, &records).unwrap()
}

fn anything() -> Rule {
    Rule::allow("anything", Condition::Always, "platform")
}

fn freeze(from: Timestamp, until: Timestamp) -> Windows {
    let spec = WindowSpec::freeze(id("peak"), When::Between { from, until }, id("sre"), "peak");
    Windows::new([spec.in_environment(id("production")).build().unwrap()]).unwrap()
}

#[test]
fn what_is_blocked_is_named_with_its_rule_and_lead_times_follow_the_plan() {
    let plan = plan();
    // Their steps in production begin at 110, 210 and 310.
    let runs = [("r1", 100), ("r2", 200), ("r3", 300)]
        .map(|(name, second)| recorded(name, &plan, second, Outcome::Succeeded));
    let journals: Vec<_> = runs.iter().map(|history| Recorded { history, plan: &plan }).collect();
    let open = PolicySet::new([anything()]).unwrap();
    let frozen = open.clone().windows(freeze(at(205), at(260)));
    let found = compare(&open, &frozen, &journals).unwrap();
    assert_eq!((found.decisions, found.freed.len()), (6, 0));
    let blocked: Vec<_> = found
        .blocked
        .iter()
        .map(|c| (c.run.as_str(), c.step.as_str(), &*c.rule, c.denied, c.at))
        .collect();
    assert_eq!(blocked, [("r2", "b", "freeze/peak", false, at(210))]);
    // Twenty seconds each; r2 waits from 210 until 260.
    let secs = |n| Some(Span::secs(n));
    assert_eq!((found.before.median, found.before.p95), (secs(20), secs(20)));
    assert_eq!((found.after.median, found.after.p95), (secs(20), secs(70)));
    assert_eq!((found.median_change(), found.p95_change()), (Some(0), Some(50_000_000)));
    assert_eq!((found.after.runs, found.after.held), (3, 0));

    // The other way round it is freed, by the same rule.
    let back = compare(&frozen, &open, &journals).unwrap();
    assert_eq!((&back.freed, back.blocked.len()), (&found.blocked, 0));
    assert_eq!((&back.before, &back.after), (&found.after, &found.before));

    // The same to the byte, in whatever order the journals come.
    let mut turned = journals.clone();
    turned.reverse();
    let bytes = |journals: &[Recorded<'_>]| {
        let found = compare(&open, &frozen, journals).unwrap();
        (serde_json::to_string(&found).unwrap(), found.to_string())
    };
    assert_eq!(bytes(&journals), bytes(&turned));
}

/// A wait moves what comes after it, and what it moves may run into a freeze that it missed before.
#[test]
fn a_wait_moves_all_that_comes_after_it() {
    let plan = plan();
    let history = recorded("r", &plan, 100, Outcome::Succeeded);
    let journals = [Recorded { history: &history, plan: &plan }];
    let staging = WindowSpec::freeze(
        id("staging"),
        When::Between { from: at(90), until: at(130) },
        id("sre"),
        "works",
    );
    let peak = WindowSpec::freeze(
        id("peak"),
        When::Between { from: at(135), until: at(200) },
        id("sre"),
        "peak",
    );
    let both = Windows::new([
        staging.in_environment(id("staging")).build().unwrap(),
        peak.in_environment(id("production")).build().unwrap(),
    ]);
    let frozen = PolicySet::new([anything()]).unwrap().windows(both.unwrap());
    let found = compare(&PermitAll, &frozen, &journals).unwrap();
    // At its recorded instant, 110, `b` was free: only `a` is blocked. But `a` ends at 140, so `b` begins at
    // 200 and ends at 210.
    assert_eq!(found.blocked.iter().map(|c| c.step.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(found.after.median, Some(Span::secs(110)));
}

#[test]
fn what_is_held_for_ever_has_no_lead_time_and_runs_that_failed_do_not_count() {
    let plan = plan();
    let good = recorded("good", &plan, 100, Outcome::Succeeded);
    let by = Principal::human(id("ann"));
    let bad = recorded("bad", &plan, 100, Outcome::Abandoned { by, reason: "no".into() });
    let journals = [&good, &bad].map(|history| Recorded { history, plan: &plan });
    let production =
        Condition::In(Scope { environments: [id("production")].into(), ..Scope::default() });
    let never = Rule::deny("never", production, "sre").because("nothing goes there");
    let denied = PolicySet::new([anything(), never]).unwrap();
    let found = compare(&PermitAll, &denied, &journals).unwrap();
    assert_eq!((found.before.runs, found.before.held), (1, 0));
    assert_eq!((found.after.runs, found.after.held, found.after.median), (0, 1, None));
    assert_eq!((found.blocked.len(), found.median_change()), (2, None));
    assert!(found.blocked.iter().all(|change| change.denied && change.rule == "deny/never"));
    let text = found.to_string();
    assert!(text.contains("blocked: `b` of `bad` at 1970-01-01T00:01:50"), "{text}");
    assert!(text.ends_with("held for ever: 0, then 1"), "{text}");
}

#[test]
fn a_journal_of_another_plan_is_refused() {
    let one = plan();
    let mut other = Plan::builder(id("t"), id("rel"));
    other.step(Step::new(id("x"), Action::Sync));
    let other = other.build().unwrap().freeze();
    let history = recorded("r", &one, 100, Outcome::Succeeded);
    let error = compare(&PermitAll, &PermitAll, &[Recorded { history: &history, plan: &other }]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "run `r` cannot be replayed with its plan; give the plan that it pins"
    );
}
