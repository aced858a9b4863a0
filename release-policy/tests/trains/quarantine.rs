//! Flaky suites: who is called so, for how long one does without them, and what is no such thing.

use release_core::build::{Suite, SuiteRequirement};
use release_core::model::{Digest, Finite, Span, SuiteId, Timestamp};
use release_policy::quarantine::{
    Attempt, Attempts, Duty, NoQuarantine, QuarantineRules, Quarantines,
};

use super::support::{id, minute};

const DAY: u64 = 24 * 60;

fn content(nth: u64) -> Digest {
    Digest::of(&nth.to_be_bytes())
}

fn days(days: u64) -> Span {
    Span::secs(days * 86_400)
}

/// SplitMix64, as numbers between 0 and 1.
fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / 4_294_967_296.0
    }
}

/// Contents that are tried until the suite passes, at most three times each, and what is seen then.
fn tried(
    seed: u64,
    contents: u64,
    fails: f64,
    mut after_each: impl FnMut(&Attempts) -> bool,
) -> bool {
    let (mut roll, mut attempts) = (dice(seed), Attempts::default());
    for nth in 0..contents {
        for _ in 0..3 {
            let passed = roll() >= fails;
            attempts.add(&Attempt::new(id("it"), content(nth), minute(nth), passed)).unwrap();
            if passed {
                break;
            }
        }
        if after_each(&attempts) {
            return true;
        }
    }
    false
}

fn is_flaky(attempts: &Attempts) -> bool {
    let rules = QuarantineRules::default();
    let seen = attempts.flakiness(&id("it"), None, rules.alpha.get()).unwrap();
    seen.low > rules.tolerated
}

/// Looked at after every content, a suite that fails as often as is tolerated is hardly ever called flaky; one that fails in a tenth
/// of its attempts soon is.
#[test]
fn however_often_one_looks_only_flaky_suites_are_called_so() {
    let paths = 1_000_u32;
    let called = (0..paths).filter(|seed| tried(u64::from(*seed), 150, 0.02, is_flaky)).count();
    // An alpha of 0.01, and three standard errors.
    assert!(called <= 19, "{called} of {paths} paths");
    let found = (0..100).filter(|seed| tried(*seed, 150, 0.15, is_flaky)).count();
    assert!(found >= 95, "{found} of 100 paths");
}

#[test]
fn what_never_passes_on_a_content_is_not_flaky() {
    let (rules, mut attempts) = (QuarantineRules::default(), Attempts::default());
    for nth in 0..200 {
        let broken = nth % 2 == 1;
        for _ in 0..2 {
            attempts.add(&Attempt::new(id("it"), content(nth), minute(nth), !broken)).unwrap();
        }
    }
    let mut all = Quarantines::default();
    let error =
        all.begin(&rules, &attempts, id("it"), id("team-a"), minute(0), days(7)).unwrap_err();
    let NoQuarantine::NotFlaky { seen, .. } = &error else { panic!("{error}") };
    assert_eq!((seen.failed, seen.attempts, seen.never_passed), (0, 200, 100));
    assert!(error.to_string().contains("100 contents it never passed on"), "{error}");
    assert_eq!(all, Quarantines::default());
}

/// A suite that fails on every third attempt, and passes when it is run again.
fn flaky(suites: &[&str]) -> Attempts {
    let mut attempts = Attempts::default();
    for (suite, nth) in suites.iter().flat_map(|suite| (0..60_u64).map(move |nth| (suite, nth))) {
        let attempt = |passed| Attempt::new(id(suite), content(nth), minute(nth), passed);
        if nth % 2 == 0 {
            attempts.add(&attempt(false)).unwrap();
        }
        attempts.add(&attempt(true)).unwrap();
    }
    attempts
}

#[test]
fn a_quarantine_has_an_owner_and_an_end() {
    let (rules, mut attempts) = (QuarantineRules::default(), flaky(&["it"]));
    let (suite, mut all): (SuiteId, _) = (id("it"), Quarantines::default());
    let new = content(1_000);
    let duty = |all: &Quarantines, attempts: &Attempts, now| {
        all.duty(&rules, attempts, &id("it"), new, now).unwrap()
    };
    assert_eq!(duty(&all, &attempts, minute(60)), Duty::Required);
    for lasts in [Span::ZERO, days(15)] {
        let error =
            all.begin(&rules, &attempts, suite.clone(), id("a"), minute(60), lasts).unwrap_err();
        assert!(matches!(error, NoQuarantine::Length { .. }), "{error}");
    }
    let begun =
        all.begin(&rules, &attempts, suite.clone(), id("team-a"), minute(60), days(7)).unwrap();
    assert_eq!((begun.until, begun.because.failed), (minute(60 + 7 * DAY), 30));
    let again =
        all.begin(&rules, &attempts, suite.clone(), id("b"), minute(61), days(7)).unwrap_err();
    assert!(again.to_string().contains("`team-a` owns it"), "{again}");

    let excused = duty(&all, &attempts, minute(61));
    assert!(!excused.holds() && excused.to_string().contains("30 of 90 attempts"), "{excused}");
    let run = excused.applied_to(Suite::new(id("it"), id("test"), Span::secs(9)));
    assert_eq!(run.requirement, SuiteRequirement::Advisory);
    // At its very end it is required again, and its owner is named.
    let last = minute(60 + 7 * DAY);
    assert!(!duty(&all, &attempts, Timestamp::from_micros(last.as_micros() - 1)).holds());
    let over = duty(&all, &attempts, last);
    assert!(over.holds() && over.to_string().contains("`team-a` owes"), "{over}");
    let run = over.applied_to(Suite::new(id("it"), id("test"), Span::secs(9)));
    assert_eq!(run.requirement, SuiteRequirement::Required);

    // What it was before does not prolong it; what it is does.
    let error =
        all.begin(&rules, &attempts, suite.clone(), id("team-a"), last, days(7)).unwrap_err();
    assert!(matches!(error, NoQuarantine::NotFlaky { .. }), "{error}");
    for nth in 0..60 {
        for passed in [false, true] {
            let at = minute(61 + nth);
            attempts.add(&Attempt::new(id("it"), content(2_000 + nth), at, passed)).unwrap();
        }
    }
    let text = serde_json::to_string(&(&all, &attempts, &rules)).unwrap();
    assert_eq!(
        serde_json::from_str::<(Quarantines, Attempts, QuarantineRules)>(&text).unwrap(),
        (all.clone(), attempts.clone(), rules)
    );
    all.begin(&rules, &attempts, suite.clone(), id("team-b"), last, days(7)).unwrap();
    assert!(!duty(&all, &attempts, last).holds());
    assert_eq!(all.end(&suite).unwrap().owner, id("team-b"));
    assert_eq!(duty(&all, &attempts, last), Duty::Required);
}

/// A flaky suite may be right for once: what fails on one content again and again is broken there.
#[test]
fn a_quarantine_does_not_hide_what_is_broken() {
    let (rules, mut attempts) = (QuarantineRules::default(), flaky(&["it"]));
    let mut all = Quarantines::default();
    all.begin(&rules, &attempts, id("it"), id("team-a"), minute(60), days(7)).unwrap();
    let high = all.at(minute(60)).next().unwrap().1.because.high.get();
    assert!((0.33..0.6).contains(&high), "{high}");
    let mut holds = Vec::new();
    for _ in 0..12 {
        attempts.add(&Attempt::new(id("it"), content(999), minute(70), false)).unwrap();
        let duty = all.duty(&rules, &attempts, &id("it"), content(999), minute(70)).unwrap();
        holds.push(duty.holds());
        let other = all.duty(&rules, &attempts, &id("it"), content(998), minute(70)).unwrap();
        assert!(!other.holds());
    }
    let first = holds.iter().position(|holds| *holds).unwrap() + 1;
    let by_chance = |times: usize| high.powi(i32::try_from(times).unwrap());
    assert!(by_chance(first) < 0.01 && by_chance(first - 1) >= 0.01, "{first} times at {high}");
    assert!(holds[first..].iter().all(|holds| *holds));
    attempts.add(&Attempt::new(id("it"), content(999), minute(71), true)).unwrap();
    let duty = all.duty(&rules, &attempts, &id("it"), content(999), minute(71)).unwrap();
    assert!(!duty.holds(), "it passed there: {duty}");
}

#[test]
fn only_so_many_are_in_quarantine_at_once() {
    let names = ["a", "b", "c"];
    let (attempts, mut all) = (flaky(&names), Quarantines::default());
    let mut rules = QuarantineRules::default();
    rules.most = 2;
    for name in &names[..2] {
        all.begin(&rules, &attempts, id(name), id("team-a"), minute(60), days(1)).unwrap();
    }
    let error =
        all.begin(&rules, &attempts, id("c"), id("team-a"), minute(61), days(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 suites are in quarantine, and no more may be; mend one of them: `a`, `b`"
    );
    all.begin(&rules, &attempts, id("c"), id("team-a"), minute(60 + DAY), days(1)).unwrap();
    assert_eq!(all.at(minute(60 + DAY)).count(), 1);
    for (tolerated, alpha) in [(-0.1, 0.01), (1.0, 0.01), (0.02, 0.0), (0.02, 1.0)] {
        (rules.tolerated, rules.alpha) =
            (Finite::new(tolerated).unwrap(), Finite::new(alpha).unwrap());
        let mut none = Quarantines::default();
        let error =
            none.begin(&rules, &attempts, id("c"), id("a"), minute(0), days(1)).unwrap_err();
        assert!(matches!(error, NoQuarantine::Rules(_)), "{error}");
    }
}
