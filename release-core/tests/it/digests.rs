//! Digests of states: a replay that comes to another state is found at the first record at which it does.

use proptest::prelude::*;
use release_core::journal::{DamageKind, History, Record, Sealer};
use release_core::model::{Digest, Principal, RunId};
use release_core::plan::{Action, FrozenPlan, Plan, Step, Undo};
use release_core::run::{Event, Fact, RunState, StateDigest};
use release_core::time::Span;

use super::journal::{course, forge, origin, seal_with_digests};
use super::support::drive::{Run, snapshot};
use super::support::random;
use super::support::samples::{id, person};

fn run_id() -> RunId {
    id("run-1")
}

/// The record and the kind of damage at which a replay stops.
fn stops(records: &[Record], plan: &FrozenPlan) -> Option<(u64, DamageKind)> {
    let history = History::verify(&run_id(), records).unwrap();
    history.state(plan.clone(), None).err().map(|damage| (damage.seq, damage.kind))
}

/// The states after each of the first facts.
fn states(plan: &FrozenPlan, facts: &[Fact]) -> Vec<RunState> {
    let replay = |count| RunState::replay(run_id(), plan.clone(), &facts[..count]).unwrap();
    (1..=facts.len()).map(replay).collect()
}

/// The same run as somebody would have written it whose code does otherwise: `edit` changes one event, and
/// the digests are those of the real one. The chain is sound.
fn written_otherwise(plan: &FrozenPlan, run: &Run, at: usize, event: &Event) -> Vec<Record> {
    let mut sealer = Sealer::new(&run_id());
    let facts = run.facts.iter().zip(states(plan, &run.facts)).enumerate();
    facts
        .map(|(place, (fact, state))| {
            let event = if place == at { event } else { &fact.event };
            sealer.seal_with(fact.at, event, Some(state.digest()))
        })
        .collect()
}

/// Another event of the same kind that is just as legal, where there is one.
fn otherwise(event: &Event) -> Option<Event> {
    let mut other = event.clone();
    let somebody: Principal = person("zoe");
    match &mut other {
        Event::StepStarted { attempt, .. } => *attempt += 1,
        Event::OutcomeUnknown { at, .. } | Event::StepRetried { at, .. } => {
            *at = at.plus(Span::from(std::time::Duration::from_micros(1)));
        }
        Event::StepBlocked { reasons, .. } => reasons[0].text.push('!'),
        Event::Approved { by, .. } | Event::CancelRequested { by, .. } => *by = somebody,
        _ => return None,
    }
    Some(other)
}

#[test]
fn the_first_divergence_is_named() {
    let (plan, run) = course();
    assert_eq!(stops(&seal_with_digests(&plan, &run), &plan), None);
    let mut kinds = std::collections::BTreeSet::new();
    for (place, fact) in run.facts.iter().enumerate() {
        let Some(event) = otherwise(&fact.event) else { continue };
        let seq = u64::try_from(place).unwrap() + 1;
        let (found, kind) = stops(&written_otherwise(&plan, &run, place, &event), &plan).unwrap();
        assert_eq!(found, seq, "{event:?}: {kind}");
        assert!(matches!(kind, DamageKind::Diverged { .. }), "{event:?}: {kind}");
        kinds.insert(fact.event.name());
    }
    assert_eq!(kinds.len(), 6, "{kinds:?}");
}

#[test]
fn a_divergence_says_what_was_stored_and_what_was_found() {
    let (plan, run) = course();
    let real = states(&plan, &run.facts)[2].digest();
    let stored = StateDigest::from_bits(real.bits() ^ 1);
    let mut sealer = Sealer::new(&run_id());
    let mut records: Vec<_> =
        run.facts[..2].iter().map(|fact| sealer.seal(fact.at, &fact.event)).collect();
    records.push(sealer.seal_with(run.facts[2].at, &run.facts[2].event, Some(stored)));
    let history = History::verify(&run_id(), &records).unwrap();
    assert_eq!(history.digests(), [(3, stored)]);
    let damage = history.state(plan.clone(), None).unwrap_err();
    assert_eq!(damage.kind, DamageKind::Diverged { stored, found: real });
    let text = format!(
        "record 3 of run `run-1` leads to the state {real} here, and led its writer to {stored}; \
         use the release that wrote it, and report this"
    );
    assert_eq!(damage.to_string(), text);
    // What comes before it can still be looked at.
    assert!(history.state(plan, Some(2)).is_ok());
}

#[test]
fn digests_are_written_in_one_way_alone() {
    let (_, run) = course();
    let record = |state: &str| {
        let event = serde_json::to_string(&run.facts[0].event).unwrap();
        let text = format!(
            r#"{{"v":1,"run":"run-1","seq":1,"epoch":1,"at":"2026-11-23T14:00:00.000000Z",{state}"event":{event}}}"#
        );
        [forge(origin(), 1, 1, text.into_bytes())]
    };
    let read = |state: &str| History::verify(&run_id(), &record(state));
    assert_eq!(read("").unwrap().digests(), []);
    let good = read(r#""state":"00ff00ff00ff00ff","#).unwrap();
    assert_eq!(good.digests(), [(1, StateDigest::from_bits(0x00ff_00ff_00ff_00ff))]);
    for bad in [
        r#""state":"00FF00FF00FF00FF","#,
        r#""state":"ff","#,
        r#""state":"+0ff00ff00ff00ff","#,
        r#""state":7,"#,
        // What a newer release adds is refused, never left out.
        r#""state2":"00ff00ff00ff00ff","#,
    ] {
        let damage = read(bad).unwrap_err();
        assert!(matches!(damage.kind, DamageKind::Unreadable { .. }), "{bad}: {damage}");
    }
}

/// Plans differ although their steps do not: a state belongs to its plan.
#[test]
fn the_digest_is_of_the_plan_too() {
    let (plan, run) = course();
    let state = RunState::create(run_id(), plan, &run.facts[0]).unwrap();
    let other = super::support::samples::chain(vec![super::support::samples::change("a")]);
    let Event::RunCreated { requester, .. } = run.facts[0].event.clone() else { panic!() };
    let event = Event::RunCreated {
        plan: other.digest(),
        definition: None,
        supersedes: None,
        policy: None,
        requester,
    };
    let fact = Fact { at: run.facts[0].at, event };
    let elsewhere = RunState::create(run_id(), other.clone(), &fact).unwrap();
    assert_ne!(state.digest(), elsewhere.digest());
    assert_ne!(Digest::of(b""), other.digest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_record_of_any_run_leads_to_its_digest(plan in random::dag()) {
        let mut run = Run::start(&plan);
        run.heal(200);
        prop_assert_eq!(stops(&seal_with_digests(&plan, &run), &plan), None);
        for pair in states(&plan, &run.facts).windows(2) {
            let same = snapshot(&pair[0]) == snapshot(&pair[1]);
            prop_assert_eq!(same, pair[0].digest() == pair[1].digest());
        }
    }
}

/// Another crate of the build may have `serde_json` keep the order of names, as Cedar's does.
#[test]
fn no_digest_depends_on_the_order_in_which_free_json_was_written() {
    let plan = |input: &str| {
        let mut plan = Plan::builder(id("t"), id("rel"));
        let input = serde_json::from_str(input).unwrap();
        let action = Action::Custom { capability: "run".into(), input };
        let kept = Undo::point_of_no_return("it is a test", "lead".parse().unwrap());
        plan.step(Step::new(id("s"), action).undo(kept));
        plan.build().unwrap().freeze().digest()
    };
    let one = plan(r#"{"b": 1, "a": {"d": [{"y": 1, "x": 2}], "c": 2}}"#);
    assert_eq!(one, plan(r#"{"a": {"c": 2, "d": [{"x": 2, "y": 1}]}, "b": 1}"#));
    assert_ne!(one, plan(r#"{"a": {"c": 3, "d": [{"x": 2, "y": 1}]}, "b": 1}"#));
}
