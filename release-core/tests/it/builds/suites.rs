//! Suites under way: stages that open, failures, advisory ones and those in quarantine; learned times.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::build::{
    Learned, NeedsError, REMEMBERED, Suite, SuiteNotRunning, SuiteStanding, Suites, Testing,
};
use release_core::model::{EnvironmentId, Span, SuiteId};

use super::support::{needs, reaches};

fn id(name: &str) -> SuiteId {
    name.parse().unwrap()
}

fn stage(name: &str) -> EnvironmentId {
    name.parse().unwrap()
}

fn suite(name: &str, in_stage: &str, secs: u64) -> Suite {
    Suite::new(id(name), stage(in_stage), Span::secs(secs))
}

fn suites() -> Suites {
    Suites::new([
        suite("smoke", "staging", 10),
        suite("contract", "staging", 60).after(id("smoke")),
        suite("look", "staging", 5).advisory(),
        suite("load", "perf", 300).after(id("look")),
        suite("report", "perf", 5).after(id("load")).after(id("contract")),
    ])
    .unwrap()
}

fn testing(suites: &Suites) -> Testing {
    let opens = |id: &EnvironmentId| if *id == stage("perf") { Span::secs(30) } else { Span::ZERO };
    let schedule = suites.schedule(2.try_into().unwrap(), |suite| suite.takes, opens, 0);
    assert_eq!(schedule.makespan, Span::secs(335));
    assert_eq!(schedule.bound, Span::secs(335));
    Testing::new(suites, &schedule)
}

fn begun(testing: &mut Testing) -> Vec<String> {
    std::iter::from_fn(|| testing.next()).map(|suite| suite.id.to_string()).collect()
}

#[test]
fn suites_of_a_stage_begin_once_it_is_there() {
    let suites = suites();
    let mut testing = testing(&suites);
    assert_eq!(begun(&mut testing), Vec::<String>::new());
    testing.opened(&stage("staging"));
    assert_eq!(begun(&mut testing), ["look", "smoke"]);
    // An advisory suite holds nothing, but what comes after it waits for its end.
    assert_eq!(testing.ended(&id("look"), false, false), Ok(Vec::new()));
    assert_eq!(begun(&mut testing), Vec::<String>::new());
    testing.opened(&stage("perf"));
    testing.opened(&stage("perf"));
    assert_eq!(begun(&mut testing), ["load"]);
    assert_eq!(testing.standing(&id("load")), Some(SuiteStanding::Running));
    assert_eq!(testing.ended(&id("smoke"), true, false), Ok(Vec::new()));
    assert_eq!(begun(&mut testing), ["contract"]);
    // A required one takes along what comes after it, and nothing else.
    assert_eq!(testing.ended(&id("contract"), false, false), Ok(vec![id("report")]));
    assert!(!testing.is_over());
    assert_eq!(testing.ended(&id("load"), true, false), Ok(Vec::new()));
    assert!(testing.is_over());
    let because = id("contract");
    assert_eq!(testing.standing(&id("report")), Some(SuiteStanding::Cancelled { because }));
    assert_eq!(testing.standing(&id("look")), Some(SuiteStanding::Failed));
    assert_eq!(testing.standing(&id("nobody")), None);
    let again = testing.ended(&id("load"), true, false);
    assert_eq!(again, Err(SuiteNotRunning(id("load"))));
}

#[test]
fn what_is_excused_holds_nothing() {
    let suites = suites();
    let mut testing = testing(&suites);
    testing.opened(&stage("staging"));
    assert_eq!(begun(&mut testing), ["look", "smoke"]);
    assert_eq!(testing.ended(&id("smoke"), false, true), Ok(Vec::new()));
    assert_eq!(begun(&mut testing), ["contract"]);
}

#[test]
fn a_stage_that_never_comes_takes_its_suites_along() {
    let suites = suites();
    let mut testing = testing(&suites);
    testing.opened(&stage("staging"));
    assert_eq!(testing.given_up(&stage("perf")), [id("load"), id("report")]);
    assert_eq!(testing.given_up(&stage("staging")), [], "it is there");
    for suite in ["smoke", "look", "contract"] {
        begun(&mut testing);
        testing.ended(&id(suite), true, false).unwrap();
    }
    assert!(testing.is_over());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Suites of three stages: the first opens, and some of what can be run in it fail; then the others are given up.
    #[test]
    fn exactly_what_comes_after_what_failed_or_was_given_up_never_begins(
        needs in needs(12),
        fails in any::<u16>(),
        swapped in any::<bool>(),
    ) {
        let name = |number: usize| id(&format!("s{number:02}"));
        let in_stage = |number: usize| format!("stage-{}", number * 5 % 3);
        let suites = Suites::new(needs.iter().enumerate().map(|(number, needs)| {
            let suite = suite(&format!("s{number:02}"), &in_stage(number), 1);
            needs.iter().fold(suite, |suite, need| suite.after(name(*need)))
        }));
        let suites = suites.unwrap();
        let schedule =
            suites.schedule(2.try_into().unwrap(), |suite| suite.takes, |_| Span::ZERO, 0);
        let mut testing = Testing::new(&suites, &schedule);
        testing.opened(&stage("stage-0"));
        let number = |id: &SuiteId| (0..needs.len()).find(|number| name(*number) == *id).unwrap();
        let mut lost: BTreeSet<usize> = BTreeSet::new();
        // Those, and what comes after them, that were not lost before.
        let mut lose = |causes: &BTreeSet<usize>, itself: bool| {
            let after = |one: usize, cause: usize| (itself || one != cause) && reaches(&needs, one, cause);
            let new = (0..needs.len()).filter(|one| causes.iter().any(|cause| after(*one, *cause)));
            let new: BTreeSet<usize> = new.filter(|one| !lost.contains(one)).collect();
            lost.extend(&new);
            new
        };
        while let Some(suite) = testing.next() {
            let one = number(&suite.id);
            let passed = fails >> one & 1 == 0;
            let told = testing.ended(&suite.id, passed, false).unwrap();
            let want = if passed { BTreeSet::new() } else { lose(&BTreeSet::from([one]), false) };
            prop_assert_eq!(told.len(), want.len());
            prop_assert_eq!(told.iter().map(number).collect::<BTreeSet<_>>(), want);
        }
        let order = if swapped { ["stage-2", "stage-1"] } else { ["stage-1", "stage-2"] };
        for given_up in order {
            let of = (0..needs.len()).filter(|one| in_stage(*one) == given_up);
            let want = lose(&of.collect(), true);
            let told = testing.given_up(&stage(given_up));
            prop_assert_eq!(told.len(), want.len());
            prop_assert_eq!(told.iter().map(number).collect::<BTreeSet<_>>(), want);
        }
        prop_assert!(testing.is_over());
        for one in 0..needs.len() {
            match testing.standing(&name(one)).unwrap() {
                SuiteStanding::Cancelled { because } => {
                    prop_assert!(lost.contains(&one));
                    prop_assert!(reaches(&needs, one, number(&because)));
                }
                SuiteStanding::Passed | SuiteStanding::Failed => prop_assert!(!lost.contains(&one)),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}

#[test]
fn a_stage_of_a_hundred_thousand_suites_in_one_line_is_given_up() {
    const MANY: u32 = 100_000;
    let name = |number: u32| format!("s{number:06}");
    // By their names each comes after the one before it, and then before it.
    for back in [false, true] {
        let one = |number: u32| {
            let before = if back { number + 1 } else { number.wrapping_sub(1) };
            let suite = suite(&name(number), "staging", 1);
            if before < MANY { suite.after(id(&name(before))) } else { suite }
        };
        let suites = Suites::new((0..MANY).map(one)).unwrap();
        let schedule =
            suites.schedule(1.try_into().unwrap(), |suite| suite.takes, |_| Span::ZERO, 0);
        let mut testing = Testing::new(&suites, &schedule);
        let lost = testing.given_up(&stage("staging"));
        let lost: BTreeSet<&str> = lost.iter().map(SuiteId::as_str).collect();
        assert_eq!(lost.len(), MANY as usize);
        assert!(testing.is_over());
    }
}

#[test]
fn suites_that_are_none_are_refused() {
    let twice = Suites::new([suite("a", "x", 1), suite("a", "y", 1)]);
    assert_eq!(twice, Err(NeedsError::Twice(id("a"))));
    let circle =
        Suites::new([suite("a", "x", 1).after(id("b")), suite("b", "x", 1).after(id("a"))]);
    assert!(matches!(circle, Err(NeedsError::Circle(ids)) if ids.len() == 2));
}

#[test]
fn times_are_learned_from_the_last_ones() {
    let mut learned = Learned::default();
    let a = id("a");
    assert_eq!(learned.takes(&a), None);
    learned.record(a.clone(), Span::secs(10));
    assert_eq!(learned.takes(&a), Some(Span::secs(10)));
    learned.record(a.clone(), Span::secs(20));
    assert_eq!(learned.takes(&a), Some(Span::secs(15)));
    learned.record(a.clone(), Span::secs(9_000));
    assert_eq!(learned.takes(&a), Some(Span::secs(20)), "one bad day changes nothing");
    for _ in 0..REMEMBERED {
        learned.record(a.clone(), Span::secs(40));
    }
    assert_eq!(learned.takes(&a), Some(Span::secs(40)));
    let json = serde_json::to_string(&learned).unwrap();
    assert_eq!(serde_json::from_str::<Learned<SuiteId>>(&json).unwrap(), learned);
}
