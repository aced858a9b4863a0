//! The suite of every trait. A trait without a suite, a fake in the fleet or saboteurs does not
//! compile; a case without a saboteur of its own fails here, by name.

use std::collections::BTreeSet;

use release_providers::for_each_capability;
use release_testkit::conformance::{Level, Suite};
use release_testkit::fakes::{Bare, FleetSandboxes};
use release_testkit::saboteur::{AnyFault, Fault, OwnFault};

use super::{FEW, found};

/// Those whose saboteurs are tried in [`kinds`](super::kinds).
const OF_THEIR_OWN_KIND: [Suite; 3] =
    [Suite::Deployer, Suite::TrafficRouter, Suite::IdentitySource];

macro_rules! trials {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        /// One test a trait.
        mod every_saboteur_is_caught_and_every_case_catches_one_that_few_do {
            use super::{Suite, trial};
            $(
                #[tokio::test(start_paused = true)]
                async fn $trait() {
                    trial(Suite::$trait).await;
                }
            )*
        }
    };
}
for_each_capability!(trials);

async fn trial(suite: Suite) {
    let report = suite.run(Level::V2, &FleetSandboxes(Bare)).await;
    assert!(report.is_conformant(), "{report}");
    // A deployer declares an ability, or refuses what it would be for.
    let declared: &[&str] = match suite {
        Suite::Deployer => {
            &["apart_is_taken_where_declared", "carried_is_changed_without_a_restart"]
        }
        _ => &[],
    };
    assert!(report.skipped().map(|case| &*case.case).eq(declared.iter().copied()), "{report}");
    let saboteurs = suite.saboteurs();
    assert_eq!(saboteurs.is_empty(), OF_THEIR_OWN_KIND.contains(&suite));

    let names = suite.promises(Level::V2).into_iter().map(|(name, _)| name.to_owned());
    let names: BTreeSet<String> = names.collect();
    let (mut unproven, mut wrong, mut table) = (names.clone(), Vec::new(), Vec::new());
    if saboteurs.is_empty() {
        return;
    }
    for fault in saboteurs {
        let report = suite.run(Level::V2, &FleetSandboxes(fault.clone())).await;
        assert_eq!(report.skipped().count(), 0, "{fault}:\n{report}");
        let found = found(&report);
        table.push(format!("{fault}: {found:?}"));
        if found.is_empty() {
            wrong.push(format!("{fault} survives"));
        }
        for case in named(&fault).iter().filter(|case| names.contains(**case)) {
            if !found.contains(*case) {
                wrong.push(format!("{fault} survives {case}"));
            }
        }
        if let Fault::Own(own) = &fault {
            let known = own.caught_by().iter().all(|case| names.contains(*case));
            assert!(known && !own.caught_by().is_empty(), "{fault} names no case of the suite");
        }
        if found.len() <= FEW {
            unproven.retain(|case| !found.contains(case));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{table:#?}");
    assert!(unproven.is_empty(), "nothing is for these alone: {unproven:?}\n{table:#?}");
}

fn named(fault: &Fault) -> &'static [&'static str] {
    match fault {
        // In one operation some are found elsewhere than as a whole.
        Fault::Any(AnyFault::TripsOverCompany) => &[],
        Fault::Any(fault) | Fault::Operation(fault, _) => fault.caught_by(),
        Fault::Own(own) => own.caught_by(),
        _ => &[],
    }
}

#[tokio::test(start_paused = true)]
async fn f40_whoever_tells_its_credential_is_found_whatever_its_trait() {
    let tells = [
        AnyFault::TellsSecretInErrors,
        AnyFault::TellsSecretInDebug,
        AnyFault::TellsSecretInDescription,
    ];
    for suite in Suite::ALL.iter().filter(|suite| !OF_THEIR_OWN_KIND.contains(suite)) {
        for fault in tells {
            let report = suite.run(Level::V2, &FleetSandboxes(Fault::Any(fault))).await;
            let found = found(&report);
            assert!(found.contains("secrets_stay_secret"), "{fault:?} survives:\n{report}");
            let told = format!("{report} {report:?} {}", serde_json::to_string(&report).unwrap());
            assert!(!told.contains("canary-"), "a report is to be published:\n{told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_does_more_than_it_declares_is_found() {
    let hides = OwnFault::describes("hides what it can", &[], |description| {
        description.abilities.metrics_source.means = false;
    });
    let report = Suite::MetricsSource.run(Level::V2, &FleetSandboxes(Fault::Own(hides))).await;
    assert!(found(&report).contains("undeclared_metrics_are_refused"), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
    assert_eq!(skipped, ["means_are_measured"]);
}
