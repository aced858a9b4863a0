//! What begins something new, and what only tells what became of it: when there is hardly any room left,
//! the second comes first.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Batch, Record};

/// As much of a record as says whether it begins something.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
}

#[derive(Deserialize)]
struct Begins {
    #[serde(rename = "type")]
    name: String,
    mode: Option<String>,
    step: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Batch {
    /// Whether a record of it begins something new: a run, or an effect that goes forward. Everything else
    /// tells what became of what has begun, or puts it back, and must be stored also when there is hardly
    /// any room left: a store that keeps a reserve gives it to batches that begin nothing. Steps that put
    /// something back are known by their names, which begin with `rollback/`.
    ///
    /// Decodes the records, so it is no question for the hot path. What cannot be read begins something.
    pub fn begins_anew(&self) -> bool {
        self.records.iter().any(|record| begins(record).unwrap_or(true))
    }
}

fn begins(record: &Record) -> Option<bool> {
    let line: Line<'_> = serde_json::from_slice(&record.bytes).ok()?;
    // Events of other streams have their own fields.
    let Ok(event) = serde_json::from_str::<Begins>(line.event.get()) else { return Some(false) };
    Some(match &event.name[..] {
        "run_created" => true,
        "step_started" => {
            let looks = event.mode.as_deref() == Some("look");
            let goes_back = event.step.is_some_and(|step| step.id.starts_with("rollback/"));
            !looks && !goes_back
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Sealer;
    use crate::model::{Digest, Principal};
    use crate::port::Evidence;
    use crate::run::{Event, Mode, StepRef};
    use crate::time::Timestamp;

    #[test]
    fn f5_what_begins_something_is_told_from_what_became_of_it() {
        let step = |id: &str| StepRef { index: 3, id: id.parse().unwrap() };
        let start = |id, mode| Event::StepStarted { step: step(id), attempt: 1, mode, basis: None };
        let done = || Event::StepSucceeded {
            step: step("a"),
            evidence: Evidence::Done,
            because: None,
            basis: None,
            finding: None,
        };
        let created = Event::RunCreated {
            plan: Digest::of(b""),
            definition: None,
            requester: Principal::human("ada".parse().unwrap()),
            supersedes: None,
            policy: None,
        };
        let cases = [
            (vec![created], true),
            (vec![start("a", Mode::Perform)], true),
            (vec![done(), start("a", Mode::Perform)], true),
            (vec![done()], false),
            (vec![start("a", Mode::Look)], false),
            (vec![done(), start("rollback/a/scale", Mode::Perform)], false),
            (vec![], false),
        ];
        for (events, begins) in cases {
            let run: crate::ids::RunId = "r".parse().unwrap();
            let mut sealer = Sealer::new(&run);
            let records = events.iter().map(|e| sealer.seal(Timestamp::default(), e)).collect();
            let (expected, epoch, blobs, finishes) = (0, 1, Vec::new(), false);
            let batch = Batch { run, expected, epoch, records, blobs, finishes };
            assert_eq!(batch.begins_anew(), begins, "{events:?}");
        }
    }

    #[test]
    fn f5_what_cannot_be_read_begins_something() {
        let bytes = b"{".to_vec().into();
        let record = Record { seq: 1, epoch: 1, hash: Digest::of(b""), bytes };
        let run = "r".parse().unwrap();
        let (expected, epoch, blobs, finishes) = (0, 1, Vec::new(), false);
        let batch = Batch { run, expected, epoch, records: vec![record], blobs, finishes };
        assert!(batch.begins_anew());
    }
}
