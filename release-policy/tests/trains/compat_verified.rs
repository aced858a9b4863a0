//! What was verified together is recorded, and nothing else is gone back to.

use release_core::model::{Digest, Principal, Release};
use release_core::plan::{Part, plan};
use release_core::port::PermitAll;
use release_core::run::{Cause, Outcome};
use release_policy::compat::{
    Catalogue, Difference, EmptySet, MOST_SETS, NotRecorded, NotThere, NotVerified, Offer,
    VerifiedSet, VerifiedSets, Versions,
};

use super::super::support::id;
use super::runs::{NEW, OLD, Run, Shape, set};
use super::version;

fn versions(all: &[(&str, &str)]) -> Versions {
    all.iter().map(|(name, text)| (id(name), version(text))).collect()
}

fn digest(nth: usize) -> Digest {
    Digest::of(&nth.to_le_bytes())
}

fn returning(previous: &[(&str, &str)]) -> Release {
    let mut release = Release::new(id("r-2"), set(&[("api", "4.0.0"), ("web", NEW)]));
    release.previous = set(previous);
    release
}

#[test]
fn a_run_that_succeeded_with_all_of_its_release_verified_it() {
    let shape = Shape::canary();
    let definition = shape.definition();
    let mut run = Run::start(&definition, &shape.before(), PermitAll);
    let early = VerifiedSet::of_run(&definition.release, &run.plan, &run.report());
    assert_eq!(early, Err(NotVerified::Unfinished));
    run.until(|_| false);
    let report = run.report();
    let set = VerifiedSet::of_run(&definition.release, &run.plan, &report).unwrap();
    assert_eq!(set, VerifiedSet::of(versions(&[("api", NEW), ("web", NEW)]), report.head));

    // What it verified is what the next release returns to.
    let mut verified = VerifiedSets::default();
    assert_eq!(verified.record(set.clone()), Ok(None));
    assert_eq!(verified.returns(&returning(&[("api", NEW), ("web", NEW)])), Ok(&set));
}

#[test]
fn a_run_that_did_not_verified_nothing() {
    let shape = Shape::canary();
    let definition = shape.definition();
    let fault = (id("production/eu-west/web/start"), false);
    let mut run = Run::start(&definition, &shape.before(), PermitAll).failing(Some(fault.clone()));
    run.until(|_| false);
    let refused = VerifiedSet::of_run(&definition.release, &run.plan, &run.report()).unwrap_err();
    assert!(
        matches!(&refused, NotVerified::Ended { outcome } if Some(&**outcome) == run.outcome())
    );
    assert!(refused.to_string().starts_with("the run rolled back, because"), "{refused}");

    // One region is left behind.
    let shape = Shape {
        scope: release_core::model::RollbackScope::Region,
        stop_after: Some(2),
        ..Shape::canary()
    };
    let definition = shape.definition();
    let mut run = Run::start(&definition, &shape.before(), PermitAll).failing(Some(fault));
    run.until(|_| false);
    let refused = VerifiedSet::of_run(&definition.release, &run.plan, &run.report()).unwrap_err();
    let (environment, region) = (id("production"), id("eu-west"));
    assert_eq!(refused, NotVerified::NotAll { left: vec![Part::Region { environment, region }] });
    assert_eq!(
        refused.to_string(),
        "the run succeeded without region eu-west of production, so that nowhere all of the release was verified together; release what is missing first"
    );
}

#[test]
fn a_report_counts_for_its_own_release_alone() {
    let shape = Shape::canary();
    let definition = shape.definition();
    let mut run = Run::start(&definition, &shape.before(), PermitAll);
    run.until(|_| false);
    let (release, report) = (definition.release, run.report());
    let of = |release: &Release| VerifiedSet::of_run(release, &run.plan, &report).unwrap_err();

    let other = Release { id: id("r-9"), ..release.clone() };
    let (wanted, found) = (id("r-9"), id("r-1"));
    assert_eq!(of(&other), NotVerified::OtherRelease { release: wanted, found });
    // Other versions under the same name.
    let other = Release { versions: set(&[("api", "3.1.0"), ("web", NEW)]), ..release.clone() };
    let differs = NotVerified::NotOfRelease { service: id("api"), version: version(NEW) };
    assert_eq!(of(&other), differs);
    let same = set(&[("api", NEW), ("web", NEW), ("job", "1.0.0")]);
    let other = Release { versions: same, ..release.clone() };
    let missing = NotVerified::NotBrought { service: id("job"), version: version("1.0.0") };
    assert_eq!(of(&other), missing);
    let other = Release { versions: set(&[("web", NEW)]), ..release.clone() };
    assert_eq!(of(&other), NotVerified::NotOfRelease { service: id("api"), version: version(NEW) });
    // The same version of other content.
    let mut other = release.clone();
    let api = other.versions.members.get_mut(&id("api")).unwrap();
    api.artifact = release_core::model::ArtifactRef::new(id("api"), Digest::of(b"other"));
    assert_eq!(of(&other), differs);
    // Another plan of the same release.
    let plan = plan(&Shape { first: true, ..shape }.definition()).unwrap().freeze();
    let refused = VerifiedSet::of_run(&release, &plan, &report);
    let pinned = report.plan;
    assert_eq!(refused, Err(NotVerified::OtherPlan { plan: plan.digest(), report: pinned }));
    // What is left of a run is no run of all.
    let mut cut = report.clone();
    let (by, reason) = (Principal::human(id("ann")), "enough".to_owned());
    for outcome in [
        Outcome::Abandoned { by: by.clone(), reason: reason.clone() },
        Outcome::Cancelled { cause: Cause::Cancelled { by: by.clone(), reason: reason.clone() } },
        Outcome::Failed { cause: Cause::Cancelled { by, reason } },
    ] {
        cut.outcome = Some(outcome.clone());
        let refused = VerifiedSet::of_run(&release, &run.plan, &cut);
        assert_eq!(refused, Err(NotVerified::Ended { outcome: Box::new(outcome) }));
    }
}

#[test]
fn a_release_that_changes_nothing_verifies_nothing() {
    let shape = Shape::canary();
    let mut definition = shape.definition();
    definition.release.previous = definition.release.versions.clone();
    let mut run = Run::start(&definition, &shape.before(), PermitAll);
    run.until(|_| false);
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded));
    let refused = VerifiedSet::of_run(&definition.release, &run.plan, &run.report());
    assert_eq!(refused, Err(NotVerified::Nothing));
}

#[test]
fn a_release_returns_to_just_a_set_that_is_recorded() {
    let mut verified = VerifiedSets::default();
    let previous = [("api", OLD), ("web", OLD)];
    let refused = |verified: &VerifiedSets, previous: &[(&str, &str)]| {
        verified.returns(&returning(previous)).unwrap_err()
    };
    assert_eq!(refused(&verified, &previous), NotRecorded::NoSets);
    assert_eq!(refused(&verified, &[]), NotRecorded::Nothing);
    for (nth, all) in [
        &[("api", "1.0.0"), ("web", "1.0.0"), ("job", "1.0.0")][..],
        &previous,
        &[("api", "2.1.0"), ("web", OLD)],
    ]
    .into_iter()
    .enumerate()
    {
        verified.record(VerifiedSet::of(versions(all), digest(nth))).unwrap();
    }
    assert_eq!(verified.returns(&returning(&previous)), Ok(&verified.sets()[1]));
    assert!(verified.holds(&versions(&previous)));
    // No more and no fewer.
    assert!(!verified.holds(&versions(&[("api", OLD)])));
    let more = [("api", OLD), ("job", "1.0.0"), ("web", OLD)];
    let job = |previous, verified| Difference { service: id("job"), previous, verified };
    let differing = vec![job(Some(version("1.0.0")), None)];
    assert_eq!(refused(&verified, &more), NotRecorded::Differs { nearest: digest(1), differing });
    let told = refused(&verified, &[("api", "1.0.0"), ("web", "1.0.0")]).to_string();
    let nearest = digest(0).short();
    assert_eq!(
        told,
        format!(
            "what the release returns to was not verified together: `job` is not there, and 1.0.0 in the nearest set, proved by {nearest}; write what was verified as `previous`, or verify what runs and record it before the release starts"
        )
    );
    // A set that was gone back from is none any more, and not the nearest either; of several, the last one is.
    assert!(verified.abandon(digest(1)));
    assert_eq!(refused(&verified, &previous), NotRecorded::Abandoned { evidence: digest(1) });
    assert!(!verified.holds(&versions(&previous)));
    let NotRecorded::Differs { nearest, .. } = refused(&verified, &more) else { panic!() };
    assert_eq!(nearest, digest(2));
    // Verified anew, it is one again.
    verified.record(VerifiedSet::of(versions(&previous), digest(7))).unwrap();
    assert_eq!(verified.returns(&returning(&previous)).unwrap().evidence, digest(7));
}

/// A set of `api` alone, in one of ten versions.
fn nth_set(nth: usize) -> VerifiedSet {
    let text = format!("1.{}.0", nth % 10);
    VerifiedSet::of(versions(&[("api", &text)]), digest(nth))
}

#[test]
fn the_record_keeps_the_last_sets_and_finds_the_way_back() {
    let offers = (0..=9).map(|minor| Offer::new(id("api"), version(&format!("1.{minor}.0"))));
    let catalogue = Catalogue::new(offers).unwrap();
    let mut verified = VerifiedSets::default();
    for nth in 0..MOST_SETS {
        assert_eq!(verified.record(nth_set(nth)), Ok(None));
        assert_eq!(verified.record(nth_set(nth)), Ok(None), "the same again");
    }
    assert_eq!(verified.sets().len(), MOST_SETS);
    assert!(verified.abandon(digest(0)) && verified.abandon(digest(98)));
    assert!(!verified.abandon(digest(1_000)));
    assert_eq!(verified.record(nth_set(MOST_SETS)), Ok(Some(nth_set(0))));
    assert_eq!(verified.sets().len(), MOST_SETS);
    assert_eq!(verified.sets().first(), Some(&nth_set(1)));
    assert_eq!(verified.abandoned().iter().collect::<Vec<_>>(), [&digest(98)]);

    let live = versions(&[("api", "1.9.0")]); // that of 99; 100 was verified after it, and 98 was gone back from
    let (found, order) = verified.way_back(&catalogue, &live).unwrap();
    assert_eq!((found, order.steps.len()), (&nth_set(97), 1));
    let none = VerifiedSets::default().way_back(&catalogue, &live).unwrap_err();
    assert_eq!(none.tried, []);
}

#[test]
fn what_is_stored_of_the_record_is_bounded_as_it_is() {
    let mut verified = VerifiedSets::default();
    for nth in 0..3 {
        verified.record(nth_set(nth)).unwrap();
    }
    assert!(verified.abandon(digest(1)));
    let catalogue = Catalogue::new([Offer::new(id("web"), version("1.0.0"))]).unwrap();
    let empty = VerifiedSet::of(Versions::new(), digest(5));
    assert_eq!(verified.record(empty.clone()), Err(EmptySet { evidence: digest(5) }));
    let text = serde_json::to_string(&verified).unwrap();
    assert_eq!(serde_json::from_str::<VerifiedSets>(&text).unwrap(), verified);
    assert_eq!(serde_json::from_str::<VerifiedSets>("{}").unwrap(), VerifiedSets::default());
    // What is too much is left out, the oldest first; what says nothing is refused.
    let sets: Vec<_> = (0..3 * MOST_SETS).map(nth_set).collect();
    let text = serde_json::json!({ "sets": sets, "abandoned": [digest(0), digest(299)] });
    let read: VerifiedSets = serde_json::from_value(text).unwrap();
    assert_eq!(read.sets(), &sets[2 * MOST_SETS..]);
    assert_eq!(read.abandoned().iter().collect::<Vec<_>>(), [&digest(299)]);
    let refused = serde_json::from_value::<VerifiedSets>(serde_json::json!({ "sets": [empty] }));
    assert!(refused.unwrap_err().to_string().contains("names no version"));
    let wrong = serde_json::from_str::<VerifiedSets>(r#"{"set":[]}"#).unwrap_err();
    assert!(wrong.to_string().contains("unknown field"), "{wrong}");
    // Only the last can be tried, so nothing is ever untried.
    let gone = read.way_back(&catalogue, &versions(&[("web", "1.0.0")])).unwrap_err();
    assert_eq!((gone.tried.len(), gone.untried), (MOST_SETS, 0));
    assert!(matches!(gone.tried[0], (_, NotThere::Abandoned)));
}
