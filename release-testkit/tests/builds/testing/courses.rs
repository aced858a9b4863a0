//! Any suites over any stages, in any course, with crashes: over a runner that only says that it tests.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::build::SuiteStanding;

use super::course::{Comes, Course, Planned, Ran, STAGES, name};

fn comes() -> impl Strategy<Value = Comes> {
    prop_oneof![
        16 => Just(Comes::Passes),
        2 => Just(Comes::Fails),
        1 => Just(Comes::Unknown),
        1 => Just(Comes::Lies),
    ]
}

fn planned() -> impl Strategy<Value = Planned> {
    let after = prop::collection::btree_set(0_usize..13, 0..=3);
    let rare = || prop::bool::weighted(0.2);
    (0..STAGES, after, rare(), rare(), comes()).prop_map(
        |(stage, after, advisory, excused, comes)| Planned {
            stage,
            after,
            advisory,
            excused,
            comes,
        },
    )
}

fn courses() -> impl Strategy<Value = Course> {
    let suites = prop::collection::vec(planned(), 1..14);
    let closed = prop::collection::vec(prop::bool::weighted(0.06), STAGES);
    (suites, any::<bool>(), closed, 1_usize..5, 0_u32..6).prop_map(
        |(mut suites, ordered, closed, at_once, looks)| {
            suites.sort_by_key(|one| one.stage);
            for (number, one) in suites.iter_mut().enumerate() {
                one.after.retain(|after| *after < number);
            }
            let closed = (0..STAGES).filter(|at| closed[*at]).collect();
            Course { suites, ordered, closed, at_once, looks }
        },
    )
}

/// Whether what came of it is what has to.
fn check(course: &Course, ran: &Ran) -> Result<(), TestCaseError> {
    let (seen, report, expected) = (ran.told.seen(), &ran.report, course.expected());
    prop_assert!(seen.offences.is_empty(), "{:?}", seen.offences);
    prop_assert!(seen.most <= course.at_once, "{} at once", seen.most);
    prop_assert_eq!(&report.stages, &expected.stages);
    let begun = |(number, one): (usize, &Planned)| {
        (expected.begins[number] && one.comes != Comes::Unknown)
            .then(|| format!("c/{}", name(number)))
    };
    let begun: BTreeSet<String> = course.suites.iter().enumerate().filter_map(begun).collect();
    let runs = ran.told.fake.with(|suites| {
        suites.jobs.started().map(|(key, _)| key.to_owned()).collect::<BTreeSet<_>>()
    });
    prop_assert_eq!(&runs, &begun);
    let attempts = report.attempts.iter().map(|one| format!("c/{}", one.suite));
    prop_assert_eq!(attempts.collect::<Vec<_>>(), begun.into_iter().collect::<Vec<_>>());
    for (number, one) in course.suites.iter().enumerate() {
        let (id, begins) = (name(number), expected.begins[number]);
        let result = &report.suites[&id];
        prop_assert_eq!(result.holds, one.holds());
        prop_assert_eq!(seen.asked.contains_key(&format!("c/{id}")), begins);
        prop_assert_eq!(result.reason.is_some(), begins && !one.passes(), "{}", id);
        match &result.standing {
            SuiteStanding::Cancelled { because } => {
                prop_assert!(!begins);
                let to_blame = (0..course.suites.len()).find(|at| name(*at) == *because).unwrap();
                let failed = report.suites[because].standing == SuiteStanding::Failed;
                // A suite, or a stage that did not open.
                let lost = failed && course.suites[to_blame].holds() || !expected.begins[to_blame];
                prop_assert!(lost, "{} because of {}", id, because);
            }
            standing => {
                let came = if one.passes() { SuiteStanding::Passed } else { SuiteStanding::Failed };
                prop_assert!(begins);
                prop_assert_eq!(standing, &came);
            }
        }
    }
    for attempt in &report.attempts {
        let passed = report.suites[&attempt.suite].standing == SuiteStanding::Passed;
        prop_assert_eq!(attempt.passed, passed);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_suite_is_run_once_when_its_time_has_come_whatever_crashes(
        course in courses(),
        crashes in prop::collection::vec(0_usize..60, 1..5),
        seed in any::<u64>(),
    ) {
        let calm = course.run(&[], None);
        check(&course, &calm)?;
        let rough = course.run(&crashes, Some(seed));
        check(&course, &rough)?;
        prop_assert_eq!(rough.lasting(), calm.lasting());
        // The same again, call by call.
        let again = course.run(&crashes, Some(seed));
        prop_assert_eq!(&again.report, &rough.report);
        prop_assert_eq!(again.told.seen(), rough.told.seen());
    }
}

/// A course in which everything happens.
fn eventful() -> Course {
    let suite = |stage, after: &[usize], comes| {
        let after = after.iter().copied().collect();
        Planned { stage, after, advisory: false, excused: false, comes }
    };
    let mut suites = vec![
        suite(0, &[], Comes::Passes),
        suite(0, &[0], Comes::Passes),
        suite(0, &[], Comes::Fails),
        suite(1, &[1], Comes::Lies),
        suite(1, &[2, 3], Comes::Passes),
        suite(2, &[4], Comes::Passes),
        suite(2, &[], Comes::Fails),
        suite(2, &[6], Comes::Passes),
        suite(3, &[], Comes::Passes),
    ];
    (suites[2].advisory, suites[3].excused) = (true, true);
    Course { suites, ordered: true, closed: BTreeSet::new(), at_once: 2, looks: 2 }
}

#[test]
fn a_campaign_may_crash_at_any_poll() {
    let course = eventful();
    let calm = course.run(&[], None);
    for seed in [None, Some(1), Some(2)] {
        let mut polls = 0;
        loop {
            let ran = course.run(&[polls], seed);
            check(&course, &ran).unwrap();
            assert_eq!(ran.lasting(), calm.lasting(), "after {polls} polls");
            if ran.cut == 0 {
                break;
            }
            polls += 1;
        }
        assert!(polls > 25, "{polls} polls are few");
    }
}

#[test]
fn what_came_of_another_course_is_found_to_be_wrong() {
    let course = eventful();
    let ran = course.run(&[], None);
    check(&course, &ran).unwrap();
    let unordered = Course { ordered: false, ..course.clone() };
    let alone = Course { at_once: 1, ..course.clone() };
    let closed = Course { closed: [1].into(), ..course.clone() };
    let (mut required, mut failing) = (course.clone(), course);
    required.suites[3].excused = false;
    failing.suites[8].comes = Comes::Fails;
    failing.suites[6].comes = Comes::Passes;
    for other in [unordered, alone, closed, required, failing] {
        assert!(check(&other, &ran).is_err(), "{other:?}");
    }
}
