//! Whatever fails in a release of services that need each other: at the end every region runs all of the new set, or the set
//! from before, which was verified together. Looked at on the platform, not in what the engine says.
//!
//! 1,000 releases by chance; as many as one likes with `SAGA_CASES=20000 cargo test -p release-testkit --test engine sagas`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use release_core::model::{Digest, RegionId, ServiceId, VersionSet};
use release_core::run::{Cause, Event, Outcome};
use release_policy::compat::{Catalogue, Offer, VerifiedSet, Versions};
use release_testkit::VirtualClock;
use release_testkit::fixtures::version;

use crate::course::{Course, course};
use crate::oracle::{Ends, ends, stands_still};
use crate::shapes::{Fate, Mishaps, NEW, OLD, OLDER, Shape, mishaps, shape, signal};
use crate::witness::Effect;

/// How many releases: so many, or as `SAGA_CASES` says.
pub(crate) fn cases(usual: u32) -> u32 {
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    let asked = std::env::var("SAGA_CASES");
    asked.map_or(usual, |cases| cases.parse().unwrap())
}

/// Counts what came up, so that a test that saw none of it can say so.
#[derive(Debug, Default)]
pub(crate) struct Tally(RefCell<BTreeMap<&'static str, u32>>);

impl Tally {
    pub(crate) fn add(&self, what: &'static str) {
        *self.0.borrow_mut().entry(what).or_default() += 1;
    }

    /// That each of these came up at least once in 100 cases.
    pub(crate) fn saw(&self, wanted: &[&str], cases: u32) {
        let seen = self.0.borrow();
        for what in wanted {
            let count = seen.get(what).copied().unwrap_or(0);
            assert!(count * 100 >= cases, "{what}: {count} of {cases}, {seen:?}");
        }
    }
}

pub(crate) fn run_cases<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), String>,
) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let test = |value| test(value).map_err(TestCaseError::fail);
    if let Err(failed) = TestRunner::new(config).run(strategy, test) {
        panic!("{failed}");
    }
}

pub(crate) fn versions(set: &VersionSet) -> Versions {
    set.members.iter().map(|(id, member)| (id.clone(), member.version.clone())).collect()
}

/// A new version needs the new ones of those that it names; older ones need nothing in particular.
fn catalogue(shape: &Shape) -> Catalogue {
    let (stays, needs) = (shape.of_fate(Fate::Stays), shape.needs());
    let offers = needs.iter().flat_map(|(service, needs)| {
        let plain = [OLDER, OLD].map(|number| Offer::new(service.clone(), version(number)));
        let new = Offer::new(service.clone(), version(NEW));
        let new = needs.iter().fold(new, |new, needed| {
            let least = if stays.contains(needed) { ">=1.0.0" } else { ">=1.1.0" };
            new.needing(needed.clone(), least.parse().unwrap())
        });
        plain.into_iter().chain([new])
    });
    Catalogue::new(offers).unwrap()
}

/// What was verified together: long ago, and before this release. The last is the one to return to.
fn verified(shape: &Shape) -> [VerifiedSet; 2] {
    let before = versions(&shape.previous());
    let older = before.keys().map(|service| (service.clone(), version(OLDER))).collect();
    [(older, "older"), (before, "before")]
        .map(|(set, evidence)| VerifiedSet::whole(set, Digest::of(evidence.as_bytes())))
}

/// Each region is all new or back at the verified set, whichever the criteria say.
pub(crate) fn whole(shape: &Shape, course: &Course, ends: &Ends) -> Result<(), String> {
    let (catalogue, recorded) = (catalogue(shape), verified(shape));
    let (new, old) = (versions(&shape.wanted()), &recorded[1].versions);
    let before = course.witness.before();
    for region in shape.regions() {
        let live = course.witness.live(region)?;
        if live != new && live != *old {
            return Err(format!("{region} has a mixture that nobody verified: {live:?}"));
        }
        if (live == new) != ends.new.contains(region) {
            return Err(format!("{region} has {live:?}, but {:?} are to be new", ends.new));
        }
        let faults = catalogue.faults(&live);
        if !faults.is_empty() {
            return Err(format!("{region} has {live:?}: {faults:?}"));
        }
        // By itself, policy finds the same way back from where the region stood.
        if let Some(amid) = before.get(region).filter(|amid| live == *old && *amid != old) {
            let way = catalogue.way_back(amid, &recorded, &BTreeSet::new());
            let (set, _) = way.map_err(|none| format!("{region} from {amid:?}: {none}"))?;
            if set.over(amid) != live {
                return Err(format!("{region} went back to {live:?} and not to {set:?}"));
            }
        }
    }
    Ok(())
}

/// Where a step failed, nobody who needs its service begins before it is done.
fn no_descendant_begins(shape: &Shape, course: &Course, effects: &[Effect]) -> Result<(), String> {
    let needs = shape.needs();
    let steps = course.plan.plan().steps().iter();
    for step in steps.filter(|step| course.faults.contains(&step.id) && !step.finale) {
        let here = effects.iter().position(|effect| effect.step == step.id && effect.good);
        let done = here.unwrap_or(effects.len());
        let Some(place) = step.scope.place() else { continue };
        let needing = |effect: &&Effect| {
            let needs =
                place.service.as_ref().is_some_and(|id| needs[&effect.service].contains(id));
            needs && Some(&effect.region) == place.region.as_ref() && !effect.back
        };
        if let Some(early) = effects[..done].iter().find(needing) {
            return Err(format!("{} began, although {} had failed", early.step, step.id));
        }
    }
    Ok(())
}

/// What was brought about going back, of whom: its number, and whether it was a change of shares.
type Landed<'a> = BTreeMap<(&'a RegionId, &'a ServiceId), Vec<(usize, bool)>>;

/// In one way back, what others need is touched only once their traffic is back. How many such pairs there were.
fn dependents_go_first(shape: &Shape, course: &Course, effects: &[Effect]) -> Result<u32, String> {
    let is_way = |event: &Event| {
        matches!(event, Event::RollbackStarted { .. } | Event::TakeBackStarted { .. })
    };
    if course.facts.iter().filter(|fact| is_way(&fact.event)).count() != 1 {
        return Ok(0);
    }
    let mut landed: Landed<'_> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| effect.back) {
        let Some((number, _)) = effect.landed else { continue };
        let entry = landed.entry((&effect.region, &effect.service)).or_default();
        entry.push((number, effect.routes));
    }
    let (needs, mut pairs) = (shape.needs(), 0);
    for ((region, who), mine) in &landed {
        let Some(back) = mine.iter().filter(|(_, routes)| *routes).map(|(at, _)| at).max() else {
            continue;
        };
        for needed in &needs[*who] {
            let Some(theirs) = landed.get(&(*region, needed)) else { continue };
            pairs += 1;
            if theirs.iter().any(|(at, _)| at < back) {
                return Err(format!("{region}: {needed} goes back before {who} has"));
            }
        }
    }
    Ok(pairs)
}

/// The report says how it ended, and what failed.
fn report_names_it(course: &Course) -> Result<(), String> {
    let (report, outcome) = (&course.report, &course.outcome);
    let told = outcome.to_string();
    let entry = |subject: &str, what: &str| {
        report.timeline.iter().any(|entry| entry.subject == subject && entry.what.contains(what))
    };
    let named = match outcome {
        Outcome::Succeeded => true,
        Outcome::SucceededWithout { left } => {
            left.iter().all(|part| told.contains(&part.to_string()))
        }
        Outcome::RolledBack { cause }
        | Outcome::Failed { cause }
        | Outcome::Cancelled { cause } => match cause {
            Cause::StepFailed { step, .. } => {
                let id = step.id.as_str();
                told.contains(id)
                    && entry(id, "failed")
                    && course.faults.contains(&step.id)
                    && report.steps.iter().any(|known| known.id == id)
            }
            Cause::Signalled { signal, .. } => {
                told.contains(&signal.reference) && entry(&signal.to_string(), "")
            }
            _ => told.contains("cancelled by"),
        },
        Outcome::Abandoned { .. } => false,
    };
    (named && report.outcome.as_ref() == Some(outcome))
        .then_some(())
        .ok_or_else(|| format!("the report does not tell of it: {told}"))
}

fn check(shape: &Shape, mishaps: &Mishaps, tally: &Tally) -> Result<(), String> {
    let clock = Arc::new(VirtualClock::new());
    let course = course(&clock, shape, mishaps, |_| None);
    if let Some(wrong) = course.witness.wrong().first() {
        return Err(wrong.clone());
    }
    let (ends, effects) = (ends(shape, &course)?, course.witness.effects());
    let all = whole(shape, &course, &ends)
        .and_then(|()| stands_still(&course, &ends))
        .and_then(|()| no_descendant_begins(shape, &course, &effects))
        .and_then(|()| dependents_go_first(shape, &course, &effects))
        .and_then(|pairs| report_names_it(&course).map(|()| pairs));
    let pairs = all.map_err(|wrong| format!("{wrong}; the run {}", course.outcome))?;
    count(tally, shape, &course, &ends, pairs);
    Ok(())
}

fn count(tally: &Tally, shape: &Shape, course: &Course, ends: &Ends, pairs: u32) {
    tally.add(course.outcome.name());
    let regions = shape.regions().count();
    for (what, is) in [
        ("a crash", course.crashes > 0),
        ("dependents before what they need", pairs > 0),
        ("some regions new, some not", !ends.new.is_empty() && ends.new.len() < regions),
        ("the line stops", ends.stop.is_some_and(|stop| stop.line_only)),
    ] {
        if is {
            tally.add(what);
        }
    }
    if let Outcome::RolledBack { cause } = &course.outcome {
        tally.add(match cause {
            Cause::StepFailed { .. } => "a step",
            Cause::Signalled { .. } => "a signal",
            _ => "a person",
        });
    }
}

#[test]
fn a_release_ends_all_new_or_at_a_set_that_was_verified_together() {
    let cases = cases(1_000);
    let tally = Tally::default();
    let told = proptest::option::weighted(0.4, signal(1..90, 3));
    let strategy = (shape(), mishaps(0..=2, told));
    run_cases(cases, &strategy, |(shape, mishaps)| check(&shape, &mishaps, &tally));
    let wanted = [
        "succeeded",
        "rolled_back",
        "succeeded_without",
        "a step",
        "a signal",
        "a person",
        "a crash",
        "dependents before what they need",
        "some regions new, some not",
    ];
    tally.saw(&wanted, cases);
}
