//! Suites under way: stages that open, failures, advisory ones and those in quarantine; learned times.

use release_core::build::{
    Learned, NeedsError, REMEMBERED, Suite, SuiteNotRunning, SuiteStanding, Suites, Testing,
};
use release_core::model::{EnvironmentId, Span, SuiteId};

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
