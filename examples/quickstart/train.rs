//! The release train, written with builders. The same could stand in a YAML or TOML file.

use std::collections::BTreeMap;

use release_core::model::{
    Analysis, Approval, ArtifactRef, Canary, CanaryStep, Definition, Direction, Edition,
    Environment, Expected, Finite, Gate, Judge, Margin, Metric, Release, RollbackCriteria,
    RollbackScope, RollbackTrigger, Selector, Sequential, Service, Span, Stage, Strategy, Tier,
    Unit, Unmeasured, VersionSet,
};
use semver::VersionReq;

use crate::Failure;

pub(crate) const SERVICES: [&str; 3] = ["ledger", "payments", "storefront"];
pub(crate) const REGIONS: [&str; 2] = ["eu", "us"];
/// The analysis that has to catch the bad version.
pub(crate) const ERROR_RATE: &str = "error-rate";
/// The gate before production.
pub(crate) const GO_LIVE: &str = "production/go-live";

/// The artifact of each service and version.
pub(crate) type Versions = BTreeMap<(&'static str, &'static str), ArtifactRef>;

/// How long versions are watched, and how closely.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    bake: Span,
    keep_old: Span,
    interval: Span,
    looks: u32,
    min_samples: u64,
    /// By how much more of its requests a version may fail and still pass.
    margin: f64,
}

impl Pace {
    /// For people who watch.
    pub(crate) const SHOW: Self = Self {
        bake: Span::millis(1200),
        keep_old: Span::millis(500),
        interval: Span::millis(200),
        looks: 120,
        min_samples: 30,
        margin: 0.1,
    };
    /// For tests that play it often.
    pub(crate) const FAST: Self = Self {
        bake: Span::millis(150),
        keep_old: Span::millis(100),
        interval: Span::millis(50),
        looks: 120,
        min_samples: 10,
        margin: 0.4, // shown by two dozen requests
    };
}

/// A set of versions, one for each service.
fn set(versions: &Versions, wanted: [&'static str; 3]) -> Result<VersionSet, Failure> {
    let mut set = VersionSet::new();
    for (service, version) in SERVICES.into_iter().zip(wanted) {
        let artifact = versions.get(&(service, version)).ok_or("a version that was not built")?;
        set = set.with(service.parse()?, version.parse()?, artifact.clone());
    }
    Ok(set)
}

/// Version 1, where nothing ran before.
pub(crate) fn first(versions: &Versions, pace: Pace) -> Result<Definition, Failure> {
    let release = Release::new("shop-1".parse()?, set(versions, ["1.0.0"; 3])?);
    definition(release, Strategy::Recreate, false, pace)
}

/// Version 2 of everything, by canary.
pub(crate) fn second(versions: &Versions, pace: Pace) -> Result<Definition, Failure> {
    let mut release = Release::new("shop-2".parse()?, set(versions, ["2.0.0"; 3])?);
    release.previous = set(versions, ["1.0.0"; 3])?;
    definition(release, canary(pace), true, pace)
}

/// A good ledger and a bad payments; the storefront stays.
pub(crate) fn third(versions: &Versions, pace: Pace) -> Result<Definition, Failure> {
    let mut release = Release::new("shop-3".parse()?, set(versions, ["2.1.0", "3.0.0", "2.0.0"])?);
    release.previous = set(versions, ["2.0.0"; 3])?;
    definition(release, canary(pace), true, pace)
}

fn canary(pace: Pace) -> Strategy {
    let bake = pace.bake;
    let steps = vec![CanaryStep::new(20, bake), CanaryStep::new(60, bake)];
    Strategy::Canary(Canary { keep_old: pace.keep_old, ..Canary::new(steps) })
}

fn definition(
    mut release: Release,
    strategy: Strategy,
    gated: bool,
    pace: Pace,
) -> Result<Definition, Failure> {
    let triggers =
        vec![RollbackTrigger::Analysis(ERROR_RATE.parse()?), RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
    let mut production = Stage::new("production".parse()?, strategy);
    production.step_timeout = Span::secs(20);
    // Nobody but the example's load sends requests, and that goes where the shares say.
    let why = "no synthetic requests are sent; the first share is small, and is judged";
    production.unmeasured = Some(Unmeasured::because(why));
    if gated {
        let mut approval = Approval::new("go-live".parse()?);
        approval.roles = vec!["release-manager".parse()?];
        production = production.gate(Gate::Approval(approval));
    }
    let any: VersionReq = ">=1.0.0, <4.0.0".parse()?;
    let environment = |id: &str, tier, regions: &[&str]| -> Result<Environment, Failure> {
        let regions = regions.iter().map(|region| region.parse()).collect::<Result<_, _>>()?;
        Ok(Environment { id: id.parse()?, tier, owner: "platform".parse()?, regions })
    };
    let [ledger, payments, storefront] = SERVICES;
    Ok(Definition::builder("shop".parse()?, release)
        .service(Service::new(ledger.parse()?, "core-banking".parse()?))
        .service(
            Service::new(payments.parse()?, "payments".parse()?)
                .needs(ledger.parse()?, any.clone())
                .replicas(2),
        )
        .service(Service::new(storefront.parse()?, "web".parse()?).needs(payments.parse()?, any))
        .environment(environment("staging", Tier::Staging, &["local"])?)
        .environment(environment("production", Tier::Production, &REGIONS)?)
        .analysis(error_rate(pace)?)
        .stage(Stage::new("staging".parse()?, Strategy::Recreate))
        .stage(production)
        .notify("ops".parse()?)
        .build())
}

/// A new version must not fail more of its requests than the old one beside it, which is shown by a test that is looked at
/// as often as one likes. What is expected says beforehand that it can be shown in the time: else there would be no plan.
fn error_rate(pace: Pace) -> Result<Analysis, Failure> {
    let requests = Selector::series("http_requests_total");
    let metric =
        Metric::Ratio { numerator: requests.clone().label("code", "500"), denominator: requests };
    let rule = Sequential {
        direction: Direction::LowerIsBetter,
        unit: Unit::Share,
        margin: Margin { relative: Finite::ZERO, absolute: Finite::new(pace.margin)? },
        expected: Expected {
            per_second: Finite::new(200.0)?,
            value: Finite::new(0.005)?,
            spread: Finite::ZERO,
            detect: Finite::new(30.0)?, // 15 %
        },
        alpha: Finite::new(0.05)?,
        critical: true,
        warm_up: 0,
        baseline: None,
        comparisons: 1, // the planner counts them
        edition: Edition::default(),
    };
    let mut analysis = Analysis::judged(ERROR_RATE.parse()?, metric, Judge::Sequential(rule));
    analysis.min_samples = pace.min_samples;
    analysis.count = pace.looks;
    analysis.interval = pace.interval;
    analysis.inconclusive_limit = 40;
    Ok(analysis)
}
