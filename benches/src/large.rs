//! Definitions whose plans are large.

use std::str::FromStr;

use release_core::model::{
    ArtifactRef, Canary, CanaryStep, Definition, Digest, Environment, IdError, Release, Service,
    Span, Stage, Strategy, Tier, VersionSet,
};

use crate::Failure;

/// In how many regions each service runs.
const REGIONS: usize = 10;
/// Steps of one service in all regions: two artifacts, and in each region 12 of its canary.
const STEPS: usize = 2 + REGIONS * 12;

/// A definition of as many services as make a plan of about `n` steps, by canary in ten regions.
///
/// # Errors
/// None that is known: ids and versions are made to be right.
pub fn definition(n: usize) -> Result<Definition, Failure> {
    let services = n.div_ceil(STEPS);
    let mut release = Release::new(id("large")?, VersionSet::new());
    let names = (0..services).map(|number| format!("service-{number}"));
    for name in names.clone() {
        for (set, version) in [(&mut release.versions, "2.0.0"), (&mut release.previous, "1.0.0")] {
            let artifact =
                ArtifactRef::new(id(&name)?, Digest::of(format!("{name} {version}").as_bytes()));
            *set = std::mem::take(set).with(id(&name)?, version.parse()?, artifact);
        }
    }
    let regions = (0..REGIONS).map(|number| id(&format!("region-{number}")));
    let environment = Environment {
        id: id("production")?,
        tier: Tier::Staging,
        owner: id("platform")?,
        regions: regions.collect::<Result<_, _>>()?,
    };
    let steps = [10, 50].map(|weight| CanaryStep::new(weight, Span::secs(60))).into();
    let strategy = Strategy::Canary(Canary { keep_old: Span::secs(60), ..Canary::new(steps) });
    let mut builder = Definition::builder(id("large")?, release)
        .environment(environment)
        .stage(Stage::new(id("production")?, strategy));
    for name in names {
        builder = builder.service(Service::new(id(&name)?, id("team")?));
    }
    Ok(builder.build())
}

fn id<T: FromStr<Err = IdError>>(text: &str) -> Result<T, IdError> {
    text.parse()
}
