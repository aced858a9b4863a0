//! The record that learns from runs: what is recorded by itself, and what was gone back from.

use release_core::model::{Definition, Digest, RollbackScope};
use release_core::plan::plan;
use release_core::port::PermitAll;
use release_core::run::{Command, Outcome, Status};
use release_policy::compat::{
    EmptySet, Learned, MOST_RELEASES, NotVerified, VerifiedRecord, VerifiedSet, VerifiedSets,
    Versions,
};

use super::super::support::id;
use super::co_verified::{before, in_turn, proved, versions};
use super::runs::{NEW, Run, Shape};

/// A run of it that is over, with a fault.
fn over(shape: &Shape, definition: &Definition, fault: Option<&str>) -> Run {
    let fault = fault.map(|step| (id(step), true));
    let mut run = Run::start(definition, &shape.before(), PermitAll).failing(fault);
    run.until(|_| false);
    run
}

fn new(evidence: u8) -> VerifiedSet {
    proved(&[("api", NEW), ("web", NEW)], evidence)
}

#[test]
fn a_run_that_ends_well_is_recorded_with_its_evidence_once() {
    let shape = Shape::canary();
    let definition = in_turn(&shape);
    let run = over(&shape, &definition, None);
    let (record, report) = (VerifiedRecord::default(), run.report());
    let release = definition.release.id.clone();
    let unknown = Learned::Nothing(NotVerified::Unannounced { release });
    assert_eq!(record.ended(&run.plan, &report), unknown);

    record.announce(&definition);
    let set = VerifiedSet::of(versions(&[("api", NEW), ("web", NEW)]), report.head);
    assert_eq!(record.ended(&run.plan, &report), Learned::Set(set.clone()));
    assert_eq!(record.sets().sets(), std::slice::from_ref(&set));
    let digest = record.digest();
    assert_eq!(record.ended(&run.plan, &report), Learned::Set(set));
    assert_eq!((record.digest(), record.sets().sets().len()), (digest, 1));
    // It is not over, or another plan's.
    let mut early = report.clone();
    early.outcome = None;
    assert_eq!(record.ended(&run.plan, &early), Learned::Nothing(NotVerified::Unfinished));
    let mut other = report;
    other.plan = Digest::of(b"other");
    let (plan, pinned) = (run.plan.digest(), other.plan);
    let differs = NotVerified::OtherPlan { plan, report: pinned };
    assert_eq!(record.ended(&run.plan, &other), Learned::Nothing(differs));
    assert_eq!(record.digest(), digest);
}

#[test]
fn what_failed_wherever_it_was_brought_is_gone_back_from() {
    let shape = Shape::canary();
    let definition = in_turn(&shape);
    let run = over(&shape, &definition, Some("production/us-east/web/weight-50"));
    assert!(matches!(run.outcome(), Some(Outcome::RolledBack { .. })), "{:?}", run.outcome());
    let record = VerifiedRecord::default();
    record.announce(&definition);
    // Nobody had verified it.
    assert_eq!(record.ended(&run.plan, &run.report()), Learned::GoneBackFrom(Vec::new()));
    for set in [before(1), new(2), new(3)] {
        record.record(set).unwrap();
    }
    // What proves the first of these proves what runs, too.
    record.record(before(2)).unwrap();
    let gone = record.ended(&run.plan, &run.report());
    assert_eq!(gone, Learned::GoneBackFrom(vec![Digest::of(&[3])]));
    assert_eq!(record.sets().abandoned().iter().collect::<Vec<_>>(), [&Digest::of(&[3])]);
    assert!(record.sets().holds(&before(1).versions));
    assert_eq!(record.ended(&run.plan, &run.report()), Learned::GoneBackFrom(Vec::new()));
}

#[test]
fn what_still_holds_is_not_gone_back_from() {
    let record = VerifiedRecord::new(VerifiedSets::default());
    record.record(before(1)).unwrap();
    record.record(new(2)).unwrap();
    let digest = record.digest();
    let nothing = |run: &Run, what: &str| {
        let learned = record.ended(&run.plan, &run.report());
        assert!(
            matches!(learned, Learned::Nothing(NotVerified::Ended { .. })),
            "{what}: {learned:?}"
        );
        assert_eq!(record.digest(), digest, "{what}");
    };
    // One region has it.
    let shape = Shape { scope: RollbackScope::Region, ..Shape::canary() };
    let definition = in_turn(&shape);
    record.announce(&definition);
    let run = over(&shape, &definition, Some("production/us-east/web/weight-50"));
    assert!(matches!(run.outcome(), Some(Outcome::RolledBack { .. })), "{:?}", run.outcome());
    nothing(&run, "the first region has it");
    // It never came anywhere.
    let shape = Shape::canary();
    let definition = in_turn(&shape);
    record.announce(&definition);
    let plan = plan(&definition).unwrap();
    let verifies = plan
        .steps()
        .iter()
        .find(|step| matches!(step.action, release_core::plan::Action::VerifyArtifact { .. }));
    let run = over(&shape, &definition, Some(verifies.unwrap().id.as_str()));
    let learned = record.ended(&run.plan, &run.report());
    assert!(matches!(learned, Learned::Nothing(_)), "{learned:?}");
    assert_eq!(record.digest(), digest);
    // People did not want it now.
    let mut run = Run::start(&definition, &shape.before(), PermitAll);
    run.until(|run| run.status("production/us-east/api/start") == Some(Status::Succeeded));
    run.tell(Command::Cancel).unwrap();
    run.until(|_| false);
    assert!(matches!(run.outcome(), Some(Outcome::RolledBack { .. })), "{:?}", run.outcome());
    nothing(&run, "it was cancelled");
}

#[test]
fn a_record_is_one_for_all_and_keeps_the_last_releases() {
    let record = VerifiedRecord::default();
    let (other, empty) = (record.clone(), record.digest());
    assert_eq!(other.record(before(1)), Ok(None));
    assert_eq!(record.sets().sets(), [before(1)]);
    assert_eq!((record.digest() == empty, record.digest()), (false, other.digest()));
    let nothing = VerifiedSet::of(Versions::new(), Digest::of(&[9]));
    assert_eq!(record.record(nothing), Err(EmptySet { evidence: Digest::of(&[9]) }));
    assert!(!record.abandon(Digest::of(&[9])) && record.abandon(Digest::of(&[1])));
    // What was gone back from, and whether a set is all that ran, make another record of it.
    let of = |set: VerifiedSet, abandoned: bool| {
        let mut sets = VerifiedSets::default();
        sets.record(set).unwrap();
        if abandoned {
            sets.abandon(Digest::of(&[1]));
        }
        VerifiedRecord::from(sets).digest()
    };
    let whole = VerifiedSet { whole: true, ..before(1) };
    assert_eq!(record.digest(), of(before(1), true));
    assert_ne!(record.digest(), of(before(1), false));
    assert_ne!(of(before(1), false), of(whole, false));
    assert_eq!(record.replace(VerifiedSets::default()), empty);

    // The first that was announced makes room, unless it was announced again.
    let shape = Shape::canary();
    let definition = in_turn(&shape);
    let run = over(&shape, &definition, None);
    let is_known = || {
        let learned = record.ended(&run.plan, &run.report());
        !matches!(learned, Learned::Nothing(NotVerified::Unannounced { .. }))
    };
    let others = |from: usize, count: usize| {
        for nth in from..from + count {
            let mut other = definition.clone();
            other.release.id = id(&format!("other-{nth}"));
            record.announce(&other);
        }
    };
    record.announce(&definition);
    others(0, MOST_RELEASES - 1);
    assert!(is_known());
    record.announce(&definition);
    others(MOST_RELEASES, MOST_RELEASES - 1);
    assert!(is_known());
    others(2 * MOST_RELEASES, 1);
    assert!(!is_known());
}
