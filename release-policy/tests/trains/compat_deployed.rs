//! What is deployed, followed through runs: beside a platform that only counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use release_core::model::{
    ArtifactRef, Canary, CanaryStep, Digest, HeaderRule, Principal, Span, Strategy as Rollout,
    Target, Timestamp,
};
use release_core::plan::{Action, Deployment, Step};
use release_core::port::{Admission, Decision, PermitAll, Policy as _};
use release_core::run::{Outcome, Status};
use release_policy::compat::{
    Catalogue, Compatible, Deployed, Fleet, Following, Inventory as _, Offer, Versions,
};
use semver::Version;

use super::super::support::id;
use super::runs::{NEW, OLD, Platform, REGIONS, Run, Shape, run_id, shape};
use super::{requirement, version};

fn deployed(shape: &Shape) -> Deployed {
    Deployed::new([(id("production"), shape.before())])
}

/// The same, once a release before has brought the old versions: from then on it is known to whom users are sent.
fn after_another(shape: &Shape) -> (Deployed, Platform) {
    let mut definition = shape.definition();
    let release = &mut definition.release;
    std::mem::swap(&mut release.versions, &mut release.previous);
    let new: Versions = ["api", "web"].map(|service| (id(service), version(NEW))).into();
    let before: Fleet = REGIONS.map(|region| (id(region), new.clone())).into();
    let mut run = Run::start(&definition, &before, PermitAll);
    run.until(|_| false);
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded));
    let deployed = Deployed::new([(id("production"), before)]);
    deployed.apply(run_id(), run.plan.clone(), &run.facts).unwrap();
    assert_eq!(deployed.fleet(&id("production")), shape.before());
    (deployed, run.platform)
}

fn target(region: &str, service: &str) -> Target {
    Target::new(id("production"), id(region), id(service))
}

/// All versions of `service` that serve in `region`, as far as is known.
fn known(deployed: &Deployed, region: &str, service: &str) -> BTreeSet<Version> {
    let target = target(region, service);
    let (versions, beside) = (deployed.deployed(&target).unwrap(), deployed.beside(&target));
    // What is kept until something changes is what is there.
    let stock = deployed.stock(&target).unwrap();
    assert_eq!((&stock.versions, &stock.beside), (&versions, &beside));
    assert!(Arc::ptr_eq(&stock, &deployed.stock(&target).unwrap()), "nothing has changed");
    let now = versions.get(&id(service)).cloned();
    let beside = beside.into_iter().filter(|(one, _)| *one == id(service));
    now.into_iter().chain(beside.map(|(_, version)| version)).collect()
}

/// Hands in what has happened since.
fn catch_up(following: &mut Following, run: &Run, done: &mut usize) -> bool {
    let mut changed = false;
    for fact in &run.facts[*done..] {
        changed |= following.note(fact.at, &fact.event).unwrap();
    }
    *done = run.facts.len();
    changed
}

/// What serves at the end, by what the platform counts.
fn served(run: &Run, region: &str) -> Versions {
    let here = run.platform.iter().filter(|((one, _), _)| *one == id(region));
    let each = here.filter_map(|((_, service), stands)| {
        let mut serving = stands.serving().into_iter();
        let only = serving.next()?;
        assert_eq!(serving.next(), None, "{service} serves in two versions at the end");
        Some((service.clone(), only))
    });
    each.collect()
}

/// `web` 3 needs `api` 3, and no other than 3; `web` 2 gets along with both.
fn catalogue() -> Catalogue {
    let offer = |name: &str, text: &str| Offer::new(id(name), version(text));
    Catalogue::new([
        offer("api", OLD),
        offer("api", NEW),
        offer("web", OLD).needing(id("api"), requirement(">=2")),
        offer("web", NEW).needing(id("api"), requirement("^3")),
        offer("job", "1.0.0").needing(id("api"), requirement("^2")),
    ])
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_followed_is_what_serves(
        shape in shape(),
        fault in proptest::option::weighted(0.7, (any::<prop::sample::Index>(), any::<bool>())),
        another in any::<bool>(),
    ) {
        let definition = shape.definition();
        let plan = release_core::plan::plan(&definition).unwrap();
        let effects: Vec<_> = plan.steps().iter().filter(|step| !step.action.is_pure()).collect();
        let fault = fault.map(|(which, applies)| (which.get(&effects).id.clone(), applies));
        let mut run = Run::start(&definition, &shape.before(), PermitAll).failing(fault.clone());
        let begun = |run: &mut Run| {
            if !another || shape.first {
                return deployed(&shape);
            }
            let (deployed, platform) = after_another(&shape);
            run.platform = platform;
            deployed
        };
        let deployed = begun(&mut run);
        let mut following = deployed.follow(run_id(), run.plan.clone());
        let (mut done, mut goes_on) = (0, true);
        while goes_on {
            goes_on = run.go();
            catch_up(&mut following, &run, &mut done);
            for region in REGIONS {
                for service in ["api", "web"] {
                    let known = known(&deployed, region, service);
                    let stands = run.platform.get(&(id(region), id(service)));
                    let stands = stands.cloned().unwrap_or_default();
                    // Nothing serves of which one does not know.
                    prop_assert!(stands.serving().is_subset(&known), "{service} in {region}: {known:?}, {stands:?}, {:?}", run.facts.last());
                    // Without a fault, nothing is known that neither runs nor is sent users; but for what is being started.
                    let there: BTreeSet<_> = stands.users.keys().chain(stands.instances.keys()).cloned().collect();
                    let starting = run.state.in_flight() > 0;
                    prop_assert!(fault.is_some() || starting || known.is_subset(&there), "{service} in {region}: {known:?}, {stands:?}");
                }
            }
            prop_assert!(run.facts.len() < 5_000);
        }
        if let Some(Outcome::Succeeded | Outcome::SucceededWithout { .. } | Outcome::RolledBack { .. }) = run.outcome() {
            for region in REGIONS {
                let at = target(region, "api");
                prop_assert_eq!(deployed.deployed(&at), Some(served(&run, region)), "{:?}", run.outcome());
                prop_assert_eq!(deployed.beside(&at), []);
            }
        }
        // A run that is over is followed as a whole to the same.
        let whole = begun(&mut run);
        whole.apply(run_id(), run.plan.clone(), &run.facts).unwrap();
        prop_assert_eq!(whole.fleet(&id("production")), deployed.fleet(&id("production")));
    }
}

#[test]
fn a_run_goes_its_way_by_what_it_deploys_itself() {
    let shape = Shape::canary();
    for follows in [true, false] {
        let deployed = deployed(&shape);
        let policy = Compatible::new(catalogue(), deployed.clone());
        let mut run = Run::start(&shape.definition(), &shape.before(), policy);
        let mut following = deployed.follow(run_id(), run.plan.clone());
        let (mut done, mut changes) = (0, 0);
        for _ in 0..500 {
            run.go();
            if follows {
                changes += usize::from(catch_up(&mut following, &run, &mut done));
            }
        }
        if follows {
            assert_eq!(run.outcome(), Some(&Outcome::Succeeded));
            assert!(changes > 0);
            let new: Versions = [(id("api"), version(NEW)), (id("web"), version(NEW))].into();
            let all = REGIONS.map(|region| (id(region), new.clone())).into();
            assert_eq!(deployed.fleet(&id("production")), all);
        } else {
            // Nobody tells it that `api` is new by now.
            assert_eq!(run.status("production/eu-west/web/start"), Some(Status::Waiting));
        }
    }
}

#[test]
fn a_service_under_way_counts_in_both_versions_for_others() {
    let shape = Shape::canary();
    let deployed = deployed(&shape);
    let policy = Compatible::new(catalogue(), deployed.clone());
    let ask = |service: &str, text: &str| {
        let artifact = ArtifactRef::new(id(service), Digest::of(text.as_bytes()));
        let target = target("eu-west", service);
        let deployment = Deployment { target, artifact, version: version(text) };
        let step = Step::new(
            id("x/start"),
            Action::Scale {
                deployment: deployment.into(),
                replicas: 1,
                apart: None,
                metadata: None,
            },
        );
        let (run, ann) = (id("run-2"), Principal::human(id("ann")));
        policy.admit(&Admission::new(&run, &ann, &step, Timestamp::default()))
    };
    assert!(ask("job", "1.0.0").is_permit());
    let mut run = Run::start(&shape.definition(), &shape.before(), PermitAll);
    run.until(|run| run.status("production/eu-west/api/weight-10") == Some(Status::Succeeded));
    deployed.apply(run_id(), run.plan.clone(), &run.facts).unwrap();
    let at = target("eu-west", "job");
    assert_eq!(deployed.deployed(&at).unwrap()[&id("api")], version(OLD));
    assert_eq!(deployed.beside(&at), [(id("api"), version(NEW))]);
    // The old one counts, and the new one serves as well: neither `web` 3 nor `job` gets along with both.
    for (service, text, told) in [
        (
            "job",
            "1.0.0",
            "`job` 1.0.0 cannot be deployed to `eu-west`: it needs `api` ^2, and 3.0.0 runs there",
        ),
        (
            "web",
            NEW,
            "`web` 3.0.0 cannot be deployed to `eu-west`: it needs `api` ^3, and 2.0.0 runs there",
        ),
    ] {
        let decision = ask(service, text);
        let [reason] = decision.reasons() else { panic!("{decision:?}") };
        assert!(matches!(decision, Decision::Deny { .. }));
        assert_eq!(reason.text, told);
    }
    assert!(ask("web", OLD).is_permit() && ask("api", NEW).is_permit());
    // Once all users are sent to the new one, it counts alone, whatever of the old one still runs.
    run.until(|run| run.status("production/eu-west/api/promote") == Some(Status::Succeeded));
    let deployed_then = self::deployed(&shape);
    deployed_then.apply(run_id(), run.plan.clone(), &run.facts).unwrap();
    assert_eq!(deployed_then.deployed(&at).unwrap()[&id("api")], version(NEW));
    assert!(!deployed_then.beside(&at).iter().any(|(service, _)| *service == id("api")));
}

/// Some users get to a version without a share, by what their requests say.
#[test]
fn who_is_sent_by_headers_is_served_as_well() {
    let headers = vec![HeaderRule::exact("x-canary", "yes")];
    let first = CanaryStep { headers, ..CanaryStep::new(0, Span::secs(60)) };
    let then = CanaryStep::new(50, Span::secs(60));
    let rollout = Rollout::Canary(Canary::new(vec![first, then]));
    let shape = Shape { rollout, ..Shape::canary() };
    let (deployed, _) = after_another(&shape);
    let mut run = Run::start(&shape.definition(), &shape.before(), PermitAll);
    let mut following = deployed.follow(run_id(), run.plan.clone());
    let steered = run.plan.plan().steps().iter().find(|step| match &step.action {
        Action::Route { target, rules: Some(rules), .. } => {
            *target == self::target("eu-west", "api") && !rules.headers.is_empty()
        }
        _ => false,
    });
    let steered = steered.unwrap().id.to_string();
    let mut done = 0;
    run.until(|run| run.status(&steered) == Some(Status::Succeeded));
    catch_up(&mut following, &run, &mut done);
    assert_eq!(known(&deployed, "eu-west", "api"), [version(OLD), version(NEW)].into());
    assert_eq!(served(&run, "eu-west")[&id("api")], version(OLD), "it has no share");
    // What a host sees says nothing against it, and what it does not see of a run under way goes on counting.
    let web: Versions = [(id("web"), version(OLD))].into();
    for seen in [shape.before()[&id::<release_core::model::RegionId>("eu-west")].clone(), web] {
        deployed.saw(id("production"), id("eu-west"), seen);
        assert_eq!(known(&deployed, "eu-west", "api"), [version(OLD), version(NEW)].into());
    }
    run.until(|_| false);
    catch_up(&mut following, &run, &mut done);
    assert_eq!(known(&deployed, "eu-west", "api"), [version(NEW)].into());
}

#[test]
fn what_a_host_sees_goes_before_what_was_known() {
    let (production, eu): (_, release_core::model::RegionId) = (id("production"), id("eu-west"));
    let at = target("eu-west", "api");
    let deployed = Deployed::default();
    assert_eq!(deployed.deployed(&at), None);
    // A run says nothing of what else is there.
    let shape = Shape::canary();
    let mut run = Run::start(&shape.definition(), &shape.before(), PermitAll);
    run.until(|_| false);
    deployed.apply(run_id(), run.plan.clone(), &run.facts).unwrap();
    assert_eq!((deployed.deployed(&at), deployed.beside(&at)), (None, Vec::new()));
    let seen: Versions = [(id("api"), version("2.1.0")), (id("job"), version("1.0.0"))].into();
    deployed.saw(production, eu.clone(), seen.clone());
    assert_eq!(deployed.deployed(&at), Some(seen.clone()));
    let other = Target { environment: id("staging"), ..at.clone() };
    assert_eq!(deployed.deployed(&other), None);
    // All clones are one.
    let other = deployed.clone();
    other.lost(&id("production"), &eu);
    assert_eq!(deployed.deployed(&at), None);
    other.saw(id("production"), eu, seen.clone());
    assert_eq!(deployed.deployed(&at), Some(seen));
    // Events of another plan are refused.
    let mut other = Shape::canary();
    other.first = true;
    let other = Run::start(&other.definition(), &other.before(), PermitAll);
    assert!(deployed.apply(run_id(), other.plan, &run.facts).is_err());
}
