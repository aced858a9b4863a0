//! What other rules would have cost, counted by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;
use release_core::journal::{History, Sealer};
use release_core::model::{Principal, RunId, Span, Timestamp};
use release_core::plan::{Action, EdgeKind, FrozenPlan, Place, Plan, Step, StepScope, Undo};
use release_core::port::{Evidence, PermitAll};
use release_core::run::{Event, Mode, Outcome, StepRef};
use release_policy::Windows;
use release_policy::decision::{Change, Comparison, Condition, PolicySet, Recorded, Rule, compare};
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

/// What a policy forbids: freezes, in production or in staging, and rules that deny one of them for good.
#[derive(Debug, Clone)]
struct Forbids {
    /// From and until, in seconds, and whether in production.
    freezes: Vec<(i64, i64, bool)>,
    denied: Vec<bool>,
}

fn forbids() -> impl Strategy<Value = Forbids> {
    let freeze = (90_i64..420, 1_i64..200, any::<bool>());
    let freezes = proptest::collection::vec(freeze, 0..5).prop_map(|all| {
        all.into_iter().map(|(from, lasts, there)| (from, from + lasts, there)).collect()
    });
    let denied = proptest::collection::vec(any::<bool>(), 0..3);
    let denied = prop_oneof![2 => Just(Vec::new()), 1 => denied];
    (freezes, denied).prop_map(|(freezes, denied)| Forbids { freezes, denied })
}

const fn environment(production: bool) -> &'static str {
    if production { "production" } else { "staging" }
}

impl Forbids {
    /// The policy, of rules and windows in this order: by numbers that are drawn for each.
    fn policy(&self, lots: &[u32]) -> PolicySet {
        let lot = |nth: usize| lots[nth % lots.len()].wrapping_mul(u32::try_from(nth).unwrap() + 1);
        let freeze = |(nth, (from, until, production)): (usize, &(i64, i64, bool))| {
            let when = When::Between { from: at(*from), until: at(*until) };
            let spec = WindowSpec::freeze(id(&format!("f-{nth}")), when, id("sre"), "peak");
            (lot(nth), spec.in_environment(id(environment(*production))).build().unwrap())
        };
        let mut freezes: Vec<_> = self.freezes.iter().enumerate().map(freeze).collect();
        freezes.sort_by_key(|(lot, _)| *lot);
        let deny = |(nth, production): (usize, &bool)| {
            let environments = [id(environment(*production))].into();
            let there = Condition::In(Scope { environments, ..Scope::default() });
            let rule = Rule::deny(format!("never-{nth}"), there, "sre").because("never");
            (lot(nth + 7), rule)
        };
        let denied = self.denied.iter().enumerate().map(deny);
        let mut rules: Vec<_> = denied.chain([(lot(3), anything())]).collect();
        rules.sort_by_key(|(lot, _)| *lot);
        let rules: Vec<_> = rules.into_iter().map(|(_, rule)| rule).collect();
        let windows = Windows::new(freezes.into_iter().map(|(_, window)| window)).unwrap();
        PolicySet::new(rules).unwrap().windows(windows)
    }

    /// The rule that decides what is asked then, and whether it denies; none where nothing is in the way.
    fn decides(&self, second: i64, production: bool) -> Option<(String, bool)> {
        let denied = self.denied.iter().position(|there| *there == production);
        let holds = |(from, until, there): &(i64, i64, bool)| {
            (*from..*until).contains(&second) && *there == production
        };
        let denied = denied.map(|nth| (format!("deny/never-{nth}"), true));
        let frozen = self.freezes.iter().position(holds);
        denied.or_else(|| frozen.map(|nth| (format!("freeze/f-{nth}"), false)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// The same inputs, in whatever order they were put together, give the same report to the byte; and each change names the rule that
    /// decides it, as it is reckoned here second by second.
    #[test]
    fn the_same_inputs_give_the_same_report_and_each_change_its_rule(
        before in forbids(),
        after in forbids(),
        runs in proptest::collection::vec((100_i64..400, any::<bool>()), 0..8),
        lots in proptest::collection::vec(any::<u32>(), 9),
        turn in any::<prop::sample::Index>(),
    ) {
        let plan = plan();
        let by = Principal::human(id("ann"));
        let history = |(nth, (second, good)): (usize, &(i64, bool))| {
            let abandoned = Outcome::Abandoned { by: by.clone(), reason: "no".into() };
            let outcome = if *good { Outcome::Succeeded } else { abandoned };
            recorded(&format!("r-{nth}"), &plan, *second, outcome)
        };
        let histories: Vec<_> = runs.iter().enumerate().map(history).collect();
        let mut journals: Vec<_> =
            histories.iter().map(|history| Recorded { history, plan: &plan }).collect();
        let found = compare(&before.policy(&[1]), &after.policy(&[1]), &journals).unwrap();
        let bytes = |found: &Comparison| (serde_json::to_vec(found).unwrap(), found.to_string());
        // Turned and shuffled, and read back.
        if !journals.is_empty() {
            let middle = turn.index(journals.len());
            journals.rotate_left(middle);
            let last = journals.len() - 1;
            journals.swap(0, last);
        }
        let (one, two) = (before.policy(&lots), after.policy(&lots));
        for _ in 0..2 {
            prop_assert_eq!(bytes(&compare(&one, &two, &journals).unwrap()), bytes(&found));
        }
        let read: Comparison = serde_json::from_slice(&bytes(&found).0).unwrap();
        prop_assert_eq!(bytes(&read), bytes(&found));
        // Each step of each run, and what decides it.
        let (mut blocked, mut freed) = (BTreeMap::new(), BTreeMap::new());
        for (nth, (second, _)) in runs.iter().enumerate() {
            for (step, production) in [("a", false), ("b", true)] {
                let second = second + 10 * i64::from(production);
                let asked = (format!("r-{nth}"), step.to_owned());
                match [&before, &after].map(|policy| policy.decides(second, production)) {
                    [None, Some(rule)] => drop(blocked.insert(asked, rule)),
                    [Some(rule), None] => drop(freed.insert(asked, rule)),
                    _ => {}
                }
            }
        }
        let told = |changes: &[Change]| -> BTreeMap<_, _> {
            let told = |change: &Change| {
                let asked = (change.run.to_string(), change.step.to_string());
                (asked, (change.rule.clone(), change.denied))
            };
            changes.iter().map(told).collect()
        };
        prop_assert_eq!(found.decisions, 2 * runs.len() as u64);
        prop_assert_eq!((found.blocked.len(), found.freed.len()), (blocked.len(), freed.len()));
        prop_assert_eq!(told(&found.blocked), blocked);
        prop_assert_eq!(told(&found.freed), freed);
        prop_assert!(found.blocked.iter().chain(&found.freed).all(|change| !change.text.is_empty()));
    }
}
