//! Invariants of the records alone, and of calls beside them.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::StepId;
use release_core::run::{Event, Mode};

use crate::sim::course::{Call, Course, What};
use crate::sim::provider::Nature;

/// I2: every call was announced by exactly one record that was durable before it, and that record by no
/// other call.
pub(super) fn intents(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    let announced = announced(course);
    let mut called = BTreeMap::new();
    for call in &course.calls {
        let key = intent(call);
        let count = called.entry(key).or_insert(0_u32);
        *count += 1;
        let before = announced
            .get(&key)
            .map_or(0, |all| all.iter().filter(|(tick, _)| *tick < call.tick).count());
        if before != 1 || *count > 1 {
            wrong.push(format!(
                "call {} (attempt {}) at tick {} has {before} intents before it and is call number {count} for it",
                call.key, call.attempt, call.tick
            ));
        }
    }
    wrong.extend(keys(course, &announced));
    for (key, count) in course.done.iter().filter(|(_, count)| **count > 1) {
        if !is_beyond_anybody(course, key) {
            wrong.push(format!("{key} was done {count} times"));
        }
    }
    wrong
}

/// Whether engines of several epochs called an opaque provider for this. The call of the one that was taken
/// over may come late, also behind a person's word that it never did: nobody can ask such a provider, and
/// it knows neither keys nor epochs (`FAULTS.md`, F15).
fn is_beyond_anybody(course: &Course, key: &str) -> bool {
    let calls = course.calls.iter().filter(|call| call.key == key && call.mode == Mode::Perform);
    let opaque = calls.filter(|call| call.nature == Nature::Opaque);
    opaque.map(|call| call.epoch).collect::<BTreeSet<_>>().len() > 1
}

/// What a call is announced by: run, step, attempt, and whether it only looks.
type Intent<'a> = (usize, &'a StepId, u32, bool);

fn intent(call: &Call) -> Intent<'_> {
    (call.run, &call.id, call.attempt, call.mode == Mode::Look)
}

/// The records that announced each call: when they were stored, and which record of the run they are.
fn announced(course: &Course) -> BTreeMap<Intent<'_>, Vec<(u64, usize)>> {
    let mut announced: BTreeMap<Intent<'_>, Vec<(u64, usize)>> = BTreeMap::new();
    for (at, run) in course.runs.iter().enumerate() {
        for (seq, (fact, (tick, _))) in run.facts.iter().zip(&run.stored).enumerate() {
            if let Event::StepStarted { step, attempt, mode, .. } = &fact.event {
                let look = *mode == Mode::Look;
                announced.entry((at, &step.id, *attempt, look)).or_default().push((*tick, seq));
            }
        }
    }
    announced
}

/// All calls of a step have one key, but for those announced behind somebody's wish to try again as another
/// operation, or behind the choice of an alternate. A call that an engine kept back while another one took over
/// comes late, under the key that it was announced with.
fn keys(course: &Course, announced: &BTreeMap<Intent<'_>, Vec<(u64, usize)>>) -> Vec<String> {
    let mut anew: BTreeMap<(usize, &StepId), Vec<usize>> = BTreeMap::new();
    for (at, run) in course.runs.iter().enumerate() {
        for (seq, fact) in run.facts.iter().enumerate() {
            if let Event::RetryRequested { step, .. } | Event::AlternateChosen { step, .. } =
                &fact.event
            {
                anew.entry((at, &step.id)).or_default().push(seq);
            }
        }
    }
    let mut wrong = Vec::new();
    for call in &course.calls {
        // Without any, it is wrong already.
        let Some((_, asked)) = announced.get(&intent(call)).and_then(|all| all.first()) else {
            continue;
        };
        let wishes = anew.get(&(call.run, &call.id)).map(|seqs| &seqs[..]).unwrap_or_default();
        let generation = wishes.iter().filter(|seq| *seq < asked).count();
        if !call.key.ends_with(&format!("/{generation}")) {
            wrong.push(format!("{} is announced in generation {generation}", call.key));
        }
    }
    wrong
}

/// I13.
pub(super) fn time(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in &course.runs {
        for (seq, pair) in (2..).zip(run.facts.windows(2)) {
            if let [one, other] = pair
                && other.at < one.at
            {
                wrong.push(format!(
                    "record {seq} of {} is of {}, before {}",
                    run.id, other.at, one.at
                ));
            }
        }
    }
    wrong
}

/// I14: records of an epoch are stored before any of a later one, and whoever was told that it is fenced
/// makes no call any more.
pub(super) fn epochs(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut newest: BTreeMap<usize, u64> = BTreeMap::new();
    let mut writers: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    // When an engine was told that it has a run no more.
    let mut left: BTreeMap<(usize, usize, u64), u64> = BTreeMap::new();
    for note in &course.notes {
        match &note.what {
            What::Stored { run, epoch, engine, .. } => {
                let writer = writers.entry((*run, *epoch)).or_insert(*engine);
                if writer != engine {
                    wrong.push(format!("engines {writer} and {engine} both write epoch {epoch}"));
                }
                let before = newest.entry(*run).or_insert(0);
                if *epoch < *before {
                    wrong.push(format!("epoch {epoch} of run {run} is stored after {before}"));
                }
                *before = (*before).max(*epoch);
            }
            What::Left { run, engine, epoch, .. } => {
                left.insert((*run, *engine, *epoch), note.tick);
            }
            _ => {}
        }
    }
    for call in &course.calls {
        let told = left.get(&(call.run, call.engine, call.epoch));
        if told.is_some_and(|told| *told < call.tick) {
            wrong.push(format!("{} is called in epoch {}, which had left", call.key, call.epoch));
        }
    }
    wrong
}

/// I5: what is announced is called, once and no more, unless the engine died in between; and the state
/// of whoever drives a run is what its records say.
pub(super) fn audit(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut called = BTreeMap::new();
    for call in &course.calls {
        *called.entry(intent(call)).or_insert(0_u32) += 1;
    }
    wrong.extend(course.ledger_damage.clone());
    for (at, run) in course.runs.iter().enumerate() {
        wrong.extend(run.damage.iter().cloned());
        wrong.extend(run.diverged.iter().cloned());
        let taken = |event: &Event| matches!(event, Event::TakenOver { .. });
        let last_taken = run.facts.iter().rposition(|fact| taken(&fact.event)).unwrap_or(0);
        for (seq, fact) in run.facts.iter().enumerate().skip(last_taken) {
            let Event::StepStarted { step, attempt, mode, .. } = &fact.event else { continue };
            let pure = run.step(&step.id).is_some_and(|step| step.action.is_pure());
            let key = (at, &step.id, *attempt, *mode == Mode::Look);
            if !pure && !called.contains_key(&key) {
                wrong.push(format!(
                    "{} #{}: {} is announced, not called",
                    run.id,
                    seq + 1,
                    step.id
                ));
            }
        }
    }
    wrong
}

/// I6: every head that anybody saw is still where it was.
pub(super) fn prefix(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in &course.runs {
        for (seq, hash) in &run.seen {
            let at = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
            if run.hashes.get(at) != Some(hash) {
                wrong.push(format!("{} #{seq} is not what it was", run.id));
            }
        }
    }
    wrong
}

/// I16.
pub(super) fn canary(course: &Course) -> Vec<String> {
    let mut wrong = Vec::new();
    for run in &course.runs {
        wrong.extend(run.leaks.iter().map(|seq| format!("{} #{seq} has the credential", run.id)));
    }
    for note in &course.notes {
        if let What::Answered { said, .. } = &note.what
            && said.contains(&course.canary)
        {
            wrong.push(format!("the trace has the credential at tick {}", note.tick));
        }
    }
    wrong
}

/// I19.
pub(super) fn ends(course: &Course) -> Vec<String> {
    let over = |run: &&crate::sim::RunCourse| {
        !matches!(run.facts.last().map(|fact| &fact.event), Some(Event::RunFinished { .. }))
    };
    let mut wrong: Vec<_> = course
        .runs
        .iter()
        .filter(over)
        .map(|run| format!("{} is not over at {}: {:?}", run.id, course.end, run.damage))
        .collect();
    if course.cut_short {
        wrong.push("too much happened, and it was cut short".to_owned());
    }
    wrong
}
