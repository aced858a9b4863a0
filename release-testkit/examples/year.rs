//! A year of weekly trains: 20 services, 5 stages, 3 regions each, with faults, on virtual time.
//!
//! ```text
//! cargo run --release -p release-testkit --example year
//! ```
#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::process::ExitCode;

use release_core::model::{
    Definition, Environment, Release, RollbackCriteria, RollbackScope, RollbackTrigger, Service,
    Stage, Strategy, Tier, VersionSet,
};
use release_testkit::fixtures::{artifact, literal, version};
use release_testkit::sim::{FaultPlan, Humans, Sim, days, invariants};

const SERVICES: u32 = 20;
const STAGES: [&str; 5] = ["dev", "test", "staging", "canary", "production"];
const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const WEEKS: u32 = 52;

fn set(week: u32) -> VersionSet {
    (0..SERVICES).fold(VersionSet::new(), |set, service| {
        let (name, number) = (format!("service-{service}"), format!("1.{week}.0"));
        set.with(literal(&name), version(&number), artifact(&name, &number))
    })
}

fn definition(week: u32) -> Definition {
    let mut release = Release::new(literal(&format!("week-{week}")), set(week + 1));
    release.previous = set(week);
    let triggers = vec![RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
    let mut definition = Definition::builder(literal("all"), release);
    for service in 0..SERVICES {
        let name = format!("service-{service}");
        definition = definition.service(Service::new(literal(&name), literal("team")).replicas(3));
    }
    for (at, stage) in STAGES.into_iter().enumerate() {
        let tier = if at == 4 { Tier::Production } else { Tier::Test };
        let regions = REGIONS.map(literal).to_vec();
        let environment =
            Environment { id: literal(stage), tier, owner: literal("platform"), regions };
        definition = definition
            .environment(environment)
            .stage(Stage::new(literal(stage), Strategy::Recreate));
    }
    definition.build()
}

fn main() -> ExitCode {
    let faults = "crash engine 0.01%; journal: unknown-lost 0.05%; provider: transient 0.5%; \
                  provider.deploy: apply-then-timeout 0.2%";
    let sim = Sim::new(1).train(WEEKS, days(7), definition).map_err(|errors| errors.to_string());
    let Ok(sim) = sim.and_then(|sim| {
        let faults = FaultPlan::parse(faults).map_err(|error| error.to_string())?;
        Ok(sim.faults(faults).humans(Humans::office()).run_for(days(366)).check(invariants::all()))
    }) else {
        println!("the definition or the faults are wrong");
        return ExitCode::FAILURE;
    };
    let report = sim.report();
    println!("{report}");
    if report.is_green() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
