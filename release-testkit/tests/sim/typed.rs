//! Custom steps that name operations, on the fakes of the SDK.

use std::collections::{BTreeMap, BTreeSet};

use release_testkit::fakes::Flags;
use release_testkit::sim::{Course, Fakes, Providers, invariants, typed};

/// Seeds of which each has a plan of its own.
const SEEDS: u64 = 1_000;

/// What I21 finds wrong.
fn wrong(course: &Course) -> Vec<String> {
    let all = invariants::all();
    let found = all.iter().filter(|invariant| invariant.id() == "I21");
    found.flat_map(|one| one.check(course)).map(|violation| violation.detail).collect()
}

fn course(seed: u64) -> Course {
    typed(seed).seed(seed).course()
}

fn fakes(course: &Course) -> &Fakes {
    course.fakes.as_ref().unwrap()
}

/// The first course that ended so, and changed something of a kind.
fn that_ends(outcome: &str, subject: &str) -> Course {
    let found = (0..SEEDS).find(|seed| {
        let report = typed(*seed).seed(*seed).report();
        let ends = report.runs[0].outcome.as_deref() == Some(outcome);
        ends && fakes(&course(*seed))
            .landed
            .iter()
            .any(|landed| landed.changed && landed.subject.starts_with(subject))
    });
    course(found.unwrap())
}

#[test]
fn what_steps_do_to_fakes_is_what_the_records_say() {
    let (mut ends, mut subjects) = (BTreeMap::new(), BTreeSet::new());
    let (mut again, mut taken_back) = (0, 0);
    for seed in 0..SEEDS {
        let sim = typed(seed).seed(seed);
        let (report, course) = (sim.report(), sim.course());
        assert!(report.is_green(), "{report}");
        *ends.entry(report.runs[0].outcome.clone().unwrap()).or_insert(0) += 1;
        let landed = &fakes(&course).landed;
        let keys: BTreeSet<_> = landed.iter().map(|one| &one.key).collect();
        again += landed.len() - keys.len();
        let back = |call: usize| {
            course.runs[0].rollback().iter().any(|step| step.id == course.calls[call].id)
        };
        taken_back += landed.iter().filter(|one| one.changed && back(one.call)).count();
        let kinds = landed.iter().filter_map(|one| one.subject.split(' ').next());
        subjects.extend(kinds.map(str::to_owned));
    }
    println!("{ends:?}, {again} were asked again, {taken_back} were taken back");
    assert_eq!(Vec::from_iter(&subjects), ["build", "change", "flag", "migration", "tests"]);
    assert!(ends["succeeded"] > 100 && ends["rolled_back"] > 100, "{ends:?}");
    assert!(again > 100 && taken_back > 100, "{again} {taken_back}");
}

#[test]
fn fakes_that_forget_keys_are_found() {
    let found = (0..SEEDS).filter(|seed| {
        let forgetful = typed(*seed).seed(*seed).providers(Providers::new().forgetful());
        wrong(&forgetful.course()).iter().any(|detail| detail.contains("changed something 2 times"))
    });
    assert!(found.count() > 0);
}

#[test]
fn the_same_seed_is_the_same_journal() {
    for seed in 0..20 {
        assert_eq!(typed(seed).seed(seed).differs_from_itself(), None);
    }
}

/// What is found wrong in a course that was right, once somebody meddled with what is left of it.
#[track_caller]
fn meddled(mut course: Course, wanted: &str, meddle: impl FnOnce(&mut Fakes)) {
    assert_eq!(wrong(&course), [""; 0]);
    meddle(course.fakes.as_mut().unwrap());
    let found = wrong(&course);
    assert!(found.iter().any(|detail| detail.contains(wanted)), "{found:?}");
}

#[test]
fn what_fakes_do_not_hold_is_found() {
    let succeeded = || that_ends("succeeded", "flag");
    meddled(succeeded(), "succeeded, and flag", |fakes| fakes.flags = Flags::default());
    meddled(that_ends("rolled_back", "flag"), "it went back, and flag", |fakes| {
        fakes.flags = Flags::default();
    });
    meddled(succeeded(), "and never started", |fakes| fakes.landed[0].tick = 0);
    let built =
        (0..SEEDS).map(course).find(|course| fakes(course).builds.jobs.started().count() > 0);
    meddled(built.unwrap(), "which nobody asked for", |fakes| fakes.landed.clear());
}
