//! Sealed records: every change to them is found, and old ones always replay.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::journal::{Damage, DamageKind, History, Record, Sealer};
use release_core::model::{Approval, Digest, Gate, RunId, Span, Timestamp};
use release_core::plan::{FrozenPlan, Plan, plan};
use release_core::run::{Command, Event, Mode, Outcome, RunState, StepRef};
use sha2::{Digest as _, Sha256};

use super::support::drive::{End, Run, snapshot};
use super::support::random;
use super::support::samples::{approval, chain, change, id, person, shop};
use super::support::world::START;

pub(super) fn run_id() -> RunId {
    id("run-1")
}

fn seal(run: &Run) -> Vec<Record> {
    let mut sealer = Sealer::new(&run_id());
    run.facts.iter().map(|fact| sealer.seal(fact.at, &fact.event)).collect()
}

/// A run with one event of most kinds.
pub(crate) fn course() -> (FrozenPlan, Run) {
    let plan = chain(vec![change("a"), change("b").gate(approval("go")), change("c")]);
    let mut run = Run::start(&plan);
    run.end("a", End::Unknown);
    run.next_effect();
    run.end("a", End::Good);
    run.command(Command::Approve { gate: id("go") }, "ann").unwrap();
    run.command(Command::Approve { gate: id("go") }, "bob").unwrap();
    run.take_over();
    run.end("b", End::Absent);
    run.command(Command::Pause, "bob").unwrap();
    run.command(Command::Resume, "bob").unwrap();
    run.end("b", End::Good);
    run.command(Command::Cancel, "eve").unwrap();
    run.heal(20);
    (plan, run)
}

/// Seals bytes of any content, as somebody could who knows the format but not the history.
pub(crate) fn forge(prev: Digest, seq: u64, epoch: u64, bytes: Vec<u8>) -> Record {
    let mut hasher = Sha256::new();
    hasher.update(prev.as_bytes());
    hasher.update(&bytes);
    Record { seq, epoch, hash: Digest::from_bytes(hasher.finalize().into()), bytes: bytes.into() }
}

pub(crate) fn origin() -> Digest {
    Digest::of(b"release.journal.v1\n")
}

fn envelope(v: u16, run: &str, seq: u64, epoch: u64, event: &str) -> Vec<u8> {
    let at = "2026-11-23T14:00:00.000000Z";
    format!(r#"{{"v":{v},"run":"{run}","seq":{seq},"epoch":{epoch},"at":"{at}","event":{event}}}"#)
        .into_bytes()
}

#[track_caller]
fn damage(records: &[Record]) -> Damage {
    History::verify(&run_id(), records).expect_err("damage")
}

#[test]
fn what_was_sealed_verifies_and_replays() {
    let (plan, run) = course();
    let records = seal(&run);
    let history = History::verify(&run_id(), &records).unwrap();
    assert_eq!(history.facts(), run.facts);
    assert_eq!(history.plan(), Ok(plan.digest()));
    assert_eq!(history.head(), records.last().unwrap().hash);
    let state = history.state(plan.clone(), None).unwrap();
    assert_eq!(snapshot(&state), snapshot(&run.state));
    // Time travel: before the cancel nothing was stopping.
    let cancel =
        run.facts.iter().position(|fact| matches!(fact.event, Event::CancelRequested { .. }));
    let before = history.state(plan, cancel).unwrap();
    assert_eq!(before.phase().name(), "going forward");
}

/// The documented recipe, followed without this library's code.
#[test]
fn anybody_can_verify_with_sha_256_alone() {
    let (_, run) = course();
    let mut prev = Sha256::digest(b"release.journal.v1\n").to_vec();
    for record in seal(&run) {
        let _: serde_json::Value = serde_json::from_slice(&record.bytes).unwrap();
        prev = Sha256::digest([&prev[..], &record.bytes[..]].concat()).to_vec();
        assert_eq!(prev, record.hash.as_bytes());
    }
}

#[test]
fn f3_every_flipped_byte_is_found_in_its_record() {
    let (_, run) = course();
    let records = seal(&run);
    let flips = [0x01_u8, 0x20, 0x80];
    for index in 0..records.len() {
        let seq = records[index].seq;
        let mut changed = records.clone();
        for at in 0..records[index].bytes.len() {
            let flip = flips[at % flips.len()];
            let mut bytes = records[index].bytes.to_vec();
            bytes[at] ^= flip;
            changed[index].bytes = bytes.into();
            let Damage { seq: found, kind, .. } = damage(&changed);
            assert_eq!(found, seq);
            assert!(matches!(kind, DamageKind::Changed { .. }), "{kind}");
        }
        changed[index].bytes = records[index].bytes.clone();
        for at in 0..32 {
            let mut hash = *records[index].hash.as_bytes();
            hash[at] ^= 1;
            changed[index].hash = Digest::from_bytes(hash);
            assert_eq!(damage(&changed).seq, seq);
        }
        changed[index].hash = records[index].hash;
        for (record, epoch) in [(seq + 1, 1), (0, 1), (seq, 2), (seq, 0)] {
            (changed[index].seq, changed[index].epoch) = (record, epoch);
            assert_eq!(damage(&changed).seq, seq);
        }
    }
}

#[test]
fn f3_removed_inserted_and_reordered_records_are_found() {
    let (_, run) = course();
    let records = seal(&run);
    for at in 1..records.len() {
        let seq = u64::try_from(at).unwrap();
        let mut removed = records.clone();
        removed.remove(at - 1);
        assert_eq!((damage(&removed).seq, damage(&removed).kind), (seq, DamageKind::Unchained));
        let mut doubled = records.clone();
        doubled.insert(at, records[at - 1].clone());
        assert_eq!((damage(&doubled).seq, damage(&doubled).kind), (seq + 1, DamageKind::Unchained));
        let mut swapped = records.clone();
        swapped.swap(at - 1, at);
        assert_eq!((damage(&swapped).seq, damage(&swapped).kind), (seq, DamageKind::Unchained));
    }
    assert_eq!(damage(&[]).kind, DamageKind::Empty);
}

/// What a chain alone cannot find: a cut end. Whoever knows the head finds it.
#[test]
fn a_cut_end_shows_in_the_head_alone() {
    let (_, run) = course();
    let records = seal(&run);
    let whole = History::verify(&run_id(), &records).unwrap();
    let cut = History::verify(&run_id(), &records[..records.len() - 1]).unwrap();
    assert_ne!(cut.head(), whole.head());
    assert_eq!(cut.facts().len() + 1, whole.facts().len());
}

#[test]
fn records_of_others_are_misplaced() {
    let (_, run) = course();
    let records = seal(&run);
    let other = History::verify(&id("run-2"), &records).unwrap_err();
    assert_eq!(other.seq, 1);
    assert!(matches!(other.kind, DamageKind::Misplaced { .. }), "{other}");
    let last = records.last().unwrap();
    let seq = last.seq + 1;
    let denied = r#"{"type":"taken_over","engine":"x"}"#;
    let with = |record: Record| [&records[..], &[record]].concat();
    // The head of this run, but the record says that it is another run's, or another number.
    for (run, own) in [("run-2", seq), ("run-1", seq + 1)] {
        let bytes = envelope(1, run, own, 1, denied);
        let found = damage(&with(forge(last.hash, seq, 1, bytes)));
        assert_eq!(found.seq, seq);
        assert!(matches!(found.kind, DamageKind::Misplaced { .. }), "{found}");
    }
}

#[test]
fn a_fenced_epoch_after_a_newer_one_is_found() {
    let (_, run) = course();
    let mut old = Sealer::new(&run_id());
    let first = old.seal(START, &run.facts[0].event);
    let event = Event::TakenOver { engine: "other".into() };
    let taken = Sealer::after(&run_id(), 1, 2, first.hash).seal(START, &event);
    let late = Sealer::after(&run_id(), 2, 1, taken.hash).seal(START, &event);
    let found = damage(&[first, taken, late]);
    assert_eq!(
        found.to_string(),
        "record 3 of run `run-1` is not at its place: it says it is of the fenced epoch 1"
    );
}

#[test]
fn an_epoch_begins_with_a_take_over() {
    let (_, run) = course();
    let mut sealer = Sealer::new(&run_id());
    let first = sealer.seal(START, &run.facts[0].event);
    let by = person("eve");
    let event = Event::Paused { by, reason: String::new() };
    let sneaked = Sealer::after(&run_id(), 1, 2, first.hash).seal(START, &event);
    let found = damage(&[first, sneaked]);
    assert_eq!(
        found.to_string(),
        "record 2 of run `run-1` is not at its place: it says it is of epoch 2, in which nobody took the run over"
    );
}

#[test]
fn an_event_is_named_as_its_record_is() {
    let (_, run) = course();
    for fact in &run.facts {
        let json = serde_json::to_value(&fact.event).unwrap();
        assert_eq!(json["type"], fact.event.name());
    }
}

/// What a phase does not allow is refused by folding, whoever wrote it.
#[test]
fn nothing_happens_to_a_run_that_is_over_and_no_effect_starts_in_one_that_stops() {
    let (plan, run) = course();
    let by = person("eve");
    let facts = run.facts.iter();
    let mut over = RunState::replay(run_id(), plan.clone(), facts.clone()).unwrap();
    let event = Event::Paused { by: by.clone(), reason: String::new() };
    assert_eq!(
        over.evolve(START, &event).unwrap_err().to_string(),
        "the run is over and cannot take `paused`"
    );
    let before = facts.take_while(|fact| !matches!(fact.event, Event::CancelRequested { .. }));
    let mut stopping = RunState::replay(run_id(), plan, before).unwrap();
    stopping.evolve(START, &Event::CancelRequested { by, reason: String::new() }).unwrap();
    let step = StepRef { index: 1, id: id("b") };
    let event = Event::StepStarted { step, attempt: 9, mode: Mode::Perform, basis: None };
    assert_eq!(
        stopping.evolve(START, &event).unwrap_err().to_string(),
        "the run is stopping and cannot take `step_started`"
    );
}

#[test]
fn f45_other_versions_and_unknown_events_are_refused_not_guessed() {
    let record = |v, event| forge(origin(), 1, 1, envelope(v, "run-1", 1, 1, event));
    let event = r#"{"type":"taken_over","engine":"x"}"#;
    assert_eq!(damage(&[record(2, event)]).kind, DamageKind::UnsupportedVersion(2));
    let unknown = damage(&[record(1, r#"{"type":"from_the_future"}"#)]);
    assert!(matches!(unknown.kind, DamageKind::Unreadable { .. }), "{unknown}");
    let history = History::verify(&run_id(), &[record(1, event)]).unwrap();
    assert!(history.plan().is_err(), "a run begins with its creation");
}

/// A chain protects against accidents. Whoever can seal can write nonsense: it must do no harm.
#[test]
fn sealed_nonsense_is_an_error_and_no_panic() {
    let plan = chain(vec![change("a")]);
    let created = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        supersedes: None,
        policy: None,
        requester: person("ann"),
    };
    let cancelled = r#"{"type":"cancel_requested","by":{"id":"x","kind":"human"},"reason":""}"#;
    let step = |n: u32, id: &str| format!(r#"{{"n":{n},"id":"{id}"}}"#);
    let edge = |from: u32, to: u32| format!(r#"{{"from":{from},"to":{to}}}"#);
    let rollback = |edges: &str| {
        format!(
            r#"{{"type":"rollback_started","cause":{{"type":"cancelled","by":{{"id":"x","kind":"human"}},"reason":""}},"extension":{{"steps":[{{"id":"s","action":{{"type":"sync"}}}}],"edges":[{edges}],"undoes":[4294967295]}}}}"#
        )
    };
    let nonsense = [
        vec![r#"{"type":"run_finished","outcome":{"type":"succeeded"}}"#.to_owned(); 2],
        vec![serde_json::to_string(&created).unwrap()],
        vec![format!(r#"{{"type":"step_succeeded","step":{}}}"#, step(0, "b"))],
        vec![format!(r#"{{"type":"step_succeeded","step":{}}}"#, step(u32::MAX, "a"))],
        vec![format!(
            r#"{{"type":"reconciled","step":{},"applied":true,"by":{{"id":"x","kind":"human"}},"reason":""}}"#,
            step(0, "a")
        )],
        vec![cancelled.into(), rollback(&edge(u32::MAX, 0))],
        vec![cancelled.into(), rollback(&edge(0, u32::MAX))],
        vec![cancelled.into(), rollback(&edge(0, 0))],
        vec![rollback("")],
    ];
    for events in nonsense {
        let mut records = vec![Sealer::new(&run_id()).seal(START, &created)];
        for event in &events {
            let (seq, prev) = (records.len() as u64 + 1, records.last().unwrap().hash);
            records.push(forge(prev, seq, 1, envelope(1, "run-1", seq, 1, event)));
        }
        let history = History::verify(&run_id(), &records).unwrap();
        let damage = history.state(plan.clone(), None).expect_err(&format!("{events:?}"));
        assert!(matches!(damage.kind, DamageKind::Illegal(_)), "{damage}");
        assert_eq!(damage.seq, records.len() as u64, "{damage}");
    }
}

#[test]
fn a_journal_is_never_read_with_another_plan() {
    let (_, run) = course();
    let history = History::verify(&run_id(), &seal(&run)).unwrap();
    let damage = history.state(chain(vec![change("a")]), None).unwrap_err();
    assert_eq!(damage.seq, 1);
    assert!(damage.to_string().contains("use the plan it pins"), "{damage}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_instant_is_sealed_as_it_was(micros in vec(proptest::num::i64::ANY, 1..8), near in vec(-3_000_000_i64..3_000_000, 1..8)) {
        let mut sealer = Sealer::new(&run_id());
        let event = Event::TakenOver { engine: "quote \" and \\ and \n".into() };
        let all: Vec<_> = micros.into_iter().chain(near).map(Timestamp::from_micros).collect();
        let records: Vec<_> = all.iter().map(|at| sealer.seal(*at, &event)).collect();
        let history = History::verify(&run_id(), &records).unwrap();
        let read: Vec<_> = history.facts().iter().map(|fact| fact.at).collect();
        prop_assert_eq!(read, all);
    }

    #[test]
    fn random_bytes_are_unreadable(bytes in vec(proptest::num::u8::ANY, 0..200)) {
        let record = forge(origin(), 1, 1, bytes);
        let unreadable = matches!(damage(&[record]).kind, DamageKind::Unreadable { .. });
        prop_assert!(unreadable);
    }

    #[test]
    fn every_prefix_of_any_run_replays(plan in random::dag()) {
        let mut run = Run::start(&plan);
        run.heal(200);
        let history = History::verify(&run_id(), &seal(&run)).unwrap();
        let mut state = RunState::create(run_id(), plan.clone(), &run.facts[0]).unwrap();
        for (fact, count) in run.facts.iter().zip(1..) {
            if count > 1 {
                state.evolve(fact.at, &fact.event).unwrap();
            }
            let replayed = history.state(plan.clone(), Some(count)).unwrap();
            prop_assert_eq!(snapshot(&replayed), snapshot(&state));
        }
    }
}

/// As an engine seals that stores each event as a batch of its own.
pub(crate) fn seal_with_digests(plan: &FrozenPlan, run: &Run) -> Vec<Record> {
    let mut state = RunState::create(run_id(), plan.clone(), &run.facts[0]).unwrap();
    let mut sealer = Sealer::new(&run_id());
    let mut records = vec![sealer.seal_with(START, &run.facts[0].event, Some(state.digest()))];
    for fact in &run.facts[1..] {
        state.evolve(fact.at, &fact.event).unwrap();
        records.push(sealer.seal_with(fact.at, &fact.event, Some(state.digest())));
    }
    records
}

pub(super) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal/v1")
}

/// Journals of released formats. Files are added, never changed: each is a run's plan and its
/// records, one a line, and ends in the outcome that its name says.
#[test]
fn f45_golden_journals_verify_and_replay() {
    let mut count = 0;
    for entry in std::fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let plan = Plan::decode(lines.next().unwrap().as_bytes()).unwrap();
        let records: Vec<_> = lines.map(record).collect();
        let history = History::verify(&run_id(), &records).unwrap();
        let state = history.state(plan, None).unwrap();
        let outcome = state.outcome().expect("an end").name();
        assert!(
            path.to_string_lossy().ends_with(&format!("-{outcome}.jsonl")),
            "{path:?}: {outcome}"
        );
        count += 1;
    }
    assert!(count >= 3, "{count} golden journals");
}

/// `<seq> <epoch> <hash> <bytes>`
pub(super) fn record(line: &str) -> Record {
    let mut parts = line.splitn(4, ' ');
    let mut part = || parts.next().unwrap();
    let (seq, epoch, hash) = (part().parse().unwrap(), part().parse().unwrap(), id(part()));
    Record { seq, epoch, hash, bytes: part().as_bytes().to_vec().into() }
}

/// What is written today is what was written then: no accidental change of format.
#[test]
fn the_golden_course_is_still_sealed_byte_for_byte() {
    let (plan, run) = course();
    assert!(matches!(run.state.outcome(), Some(Outcome::RolledBack { .. })));
    same_as_golden("0.1-cancel-rolled_back.jsonl", &plan, seal(&run));
    // Before digests of states there were none; a journal with them is another golden one.
    same_as_golden("0.1-digests-rolled_back.jsonl", &plan, seal_with_digests(&plan, &run));
}

/// A train through two stages, with all kinds of evidence.
#[test]
fn the_golden_shop_is_still_sealed_byte_for_byte() {
    let mut definition = shop();
    definition.stages[1].gates.clear();
    let plan = plan(&definition).unwrap().freeze();
    let mut run = Run::start(&plan);
    assert_eq!(run.heal(5_000), Outcome::Succeeded);
    // Before, `0.1-shop-…` and `0.1-either-…`: ways back that did not look whether the old version is ready; `0.1-looks-…`:
    // limits that told no finding; `0.1-limits-…`: nobody looked whether traffic is still routed as it was.
    same_as_golden("0.1-routed-succeeded.jsonl", &plan, seal(&run));
}

/// An approval that is for a time, taken back, and given again.
#[test]
fn the_golden_withdrawal_is_still_sealed_byte_for_byte() {
    let Gate::Approval(go) = approval("go") else { panic!("an approval") };
    let go = Gate::Approval(Approval { valid_for: Some(Span::secs(3_600)), ..go });
    let plan = chain(vec![change("a").gate(go).gate(Gate::Soak(Span::secs(60)))]);
    let mut run = Run::start(&plan);
    run.command(Command::Approve { gate: id("go") }, "bob").unwrap();
    run.command(Command::Withdraw { gate: id("go") }, "bob").unwrap();
    run.pass(Span::secs(60));
    run.command(Command::Approve { gate: id("go") }, "eve").unwrap();
    run.end("a", End::Good);
    assert_eq!(run.state.outcome(), Some(&Outcome::Succeeded));
    same_as_golden("0.1-withdrawn-succeeded.jsonl", &plan, seal_with_digests(&plan, &run));
}

pub(super) fn same_as_golden(name: &str, plan: &FrozenPlan, records: Vec<Record>) {
    let mut text = String::from_utf8(plan.bytes().to_vec()).unwrap() + "\n";
    for record in records {
        let bytes = String::from_utf8(record.bytes.to_vec()).unwrap();
        writeln!(text, "{} {} {} {bytes}", record.seq, record.epoch, record.hash).unwrap();
    }
    let path = golden().join(name);
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden != text {
        std::fs::write(&new, &text).unwrap();
    }
    assert!(golden == text, "the format changed: see {} and {}", path.display(), new.display());
}
