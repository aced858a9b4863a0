//! The suites of deployers, routers, identities and journals, which have saboteurs of their own kinds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use release_testkit::conformance::router::RouterSandbox;
use release_testkit::conformance::{
    Case, ConformanceReport, HookError, Level, Subject, Suite, Verdict, deployer, identity,
    journal, router,
};
use release_testkit::fakes::{FakeDeployer, FakeIdentities, FakePlatform, FleetSandboxes};
use release_testkit::saboteur::{
    AnyFault, DeployerFault, Fault, IdentityFault, JournalFault, RouterFault,
};
use release_testkit::{VirtualClock, fixtures};

use super::{FEW, found};

#[track_caller]
fn survives(fault: &impl Debug, cases: &[&str], report: &ConformanceReport) {
    let found = found(report);
    for case in cases {
        assert!(found.contains(*case), "{fault:?} survives {case}:\n{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_deployer_saboteur_is_caught_and_every_case_catches_one() {
    let mut killers = BTreeSet::new();
    for fault in DeployerFault::ALL {
        let report = deployer::run(Level::V2, &async || fault.sandbox()).await;
        survives(fault, fault.caught_by(), &report);
        killers.extend(fault.caught_by());
    }
    killers.extend(shared(Suite::Deployer).await);
    let cases = deployer::cases(Level::V2).iter().map(Case::name);
    assert_eq!(cases.collect::<BTreeSet<_>>(), killers);
}

#[tokio::test(start_paused = true)]
async fn every_router_saboteur_is_caught_and_every_case_catches_one() {
    let mut killers = BTreeSet::new();
    for fault in RouterFault::ALL {
        let report = router::run(Level::V2, &async || fault.sandbox()).await;
        survives(fault, fault.caught_by(), &report);
        killers.extend(fault.caught_by());
    }
    killers.extend(shared(Suite::TrafficRouter).await);
    let cases = router::cases(Level::V2).iter().map(Case::name);
    assert_eq!(cases.collect::<BTreeSet<_>>(), killers);
}

#[tokio::test(start_paused = true)]
async fn every_identity_saboteur_is_caught_and_every_case_catches_one_that_few_do() {
    let mut cases: BTreeSet<_> = identity::cases(Level::V1).iter().map(Case::name).collect();
    for fault in IdentityFault::ALL {
        let report = identity::run(Level::V1, &async || fault.sandbox()).await;
        survives(fault, fault.caught_by(), &report);
        let found = found(&report);
        if found.len() <= FEW {
            cases.retain(|case| !found.contains(*case));
        }
    }
    for case in shared(Suite::IdentitySource).await {
        cases.remove(case);
    }
    assert!(cases.is_empty(), "nothing is for these alone: {cases:?}");
}

/// The cases that find faults which a provider of any trait can have, in what comes between it and its service.
async fn shared(suite: Suite) -> Vec<&'static str> {
    let mut cases = Vec::new();
    let faults = [
        AnyFault::CallsDenialUnavailable,
        AnyFault::CallsThrottlingUnavailable,
        AnyFault::WaitsPastDeadlines,
        AnyFault::LosesAllWhenReopened,
    ];
    // A source of identities does nothing that could get lost.
    let acts = suite != Suite::IdentitySource;
    for fault in faults.into_iter().filter(|fault| acts || !fault.needs_deeds()) {
        let report = suite.run(Level::V1, &FleetSandboxes(Fault::Any(fault))).await;
        survives(&fault, fault.caught_by(), &report);
        assert!(found(&report).len() <= FEW, "{report}");
        cases.extend(fault.caught_by());
    }
    cases
}

#[tokio::test(start_paused = true)]
async fn every_journal_saboteur_is_caught_and_every_case_catches_one_that_few_do() {
    let mut found_by = BTreeMap::new();
    let mut cases: BTreeSet<_> = journal::cases(Level::V1).iter().map(Case::name).collect();
    for fault in JournalFault::ALL {
        let report = journal::run(Level::V1, &async || fault.sandbox()).await;
        assert_eq!(report.skipped().count(), 0, "{fault:?}:\n{report}");
        survives(fault, fault.caught_by(), &report);
        let found = found(&report);
        if found.len() <= FEW {
            cases.retain(|case| !found.contains(*case));
        }
        found_by.insert(format!("{fault:?}"), found);
    }
    assert!(cases.is_empty(), "nothing is for these alone: {cases:?}; found: {found_by:#?}");
}

#[tokio::test(start_paused = true)]
async fn honest_fakes_are_left_in_peace() {
    let fresh = async || {
        let platform = FakePlatform::new();
        platform.deployer_sandbox(platform.deployer.clone())
    };
    // Nobody stalls these, who have no clock; those of a fleet are.
    let stalled = |report: &ConformanceReport| {
        report.skipped().map(|case| case.case.clone()).eq(["stalled_calls_end_in_time"])
    };
    let report = deployer::run(Level::V1, &fresh).await;
    assert!(report.is_conformant() && stalled(&report), "{report}");
    let able = async || {
        let platform = FakePlatform::new();
        let able = FakeDeployer::of(&platform.world).able(|can| {
            (can.anti_affinity, can.metadata) = (true, true);
        });
        platform.deployer_sandbox(Arc::new(able))
    };
    for (report, skipped) in [
        (
            deployer::run(Level::V2, &fresh).await,
            &["apart_is_taken_where_declared", "carried_is_changed_without_a_restart"][..],
        ),
        (deployer::run(Level::V2, &able).await, &["undeclared_wishes_are_refused"]),
    ] {
        let left: Vec<_> = report.skipped().map(|case| &*case.case).collect();
        assert!(report.is_conformant(), "{report}");
        assert_eq!(left, [&["stalled_calls_end_in_time"], skipped].concat());
    }
    let fresh = async || {
        let platform = FakePlatform::new();
        platform.router_sandbox(platform.router.clone())
    };
    let report = router::run(Level::V2, &fresh).await;
    assert!(report.is_conformant() && stalled(&report), "{report}");
    let fresh = async || {
        let source =
            FakeIdentities::of(fixtures::accounts()).with_clock(Arc::new(VirtualClock::new()));
        source.sandbox(Arc::new(source.another()))
    };
    let report = identity::run(Level::V1, &fresh).await;
    assert!(report.is_conformant() && stalled(&report), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_report_reads_well_and_can_be_stored() {
    let fault = RouterFault::RefusesNobody;
    let report = router::run(Level::V1, &async || fault.sandbox()).await;
    let text = report.to_string();
    assert!(
        text.starts_with("fake-router 1.0.0: router V1, 23 kept, 1 broken, 1 skipped\n"),
        "{text}"
    );
    assert!(text.contains("empty_shares_serve_nobody         BROKEN: the list is empty"), "{text}");
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ConformanceReport>(&json).unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn what_a_sandbox_lacks_is_skipped_and_said() {
    let factory = async || {
        let platform = FakePlatform::new();
        let subjects = ["1.0.0", "1.1.0"].map(|version| {
            platform.world.store(&fixtures::content("api", version));
            Subject::new(fixtures::artifact("api", version), fixtures::version(version))
        });
        let (router, deployer) = (platform.router, platform.deployer);
        RouterSandbox::new(router, fixtures::target("api"), subjects).deployed_by(deployer)
    };
    let report = router::run(Level::V1, &factory).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
    assert_eq!(
        skipped,
        [
            "no_request_is_lost_to_a_change",
            "served_follows_weights",
            "reopening_loses_nothing",
            "out_of_reach_is_unavailable",
            "refused_credentials_are_denied",
            "throttling_is_rate_limited",
            "stalled_calls_end_in_time",
            "secrets_stay_secret",
        ]
    );
    assert!(report.to_string().contains("skipped: the sandbox offers no weights whose traffic"));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_closed_however_a_case_ends() {
    let closed = Arc::new(AtomicU32::new(0));
    for (fault, case) in [
        (DeployerFault::Panics, "applied_is_observed"),
        (DeployerFault::KeepsOne, "scale_to_zero_stops"),
        (DeployerFault::KeepsOne, "applied_is_observed"),
    ] {
        let factory = async || {
            let closed = Arc::clone(&closed);
            fault.sandbox().on_close(move || {
                closed.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            })
        };
        assert!(deployer::run_case(Level::V1, case, &factory).await.is_some());
    }
    assert_eq!(closed.load(Ordering::SeqCst), 3);

    let failing = async || {
        let platform = FakePlatform::new();
        platform
            .deployer_sandbox(platform.deployer.clone())
            .on_close(|| async { Err(HookError::from("it does not end")) })
    };
    let verdict = deployer::run_case(Level::V1, "scale_to_zero_stops", &failing).await;
    assert!(matches!(verdict, Some(Verdict::Violated { .. })));
    let none = deployer::run_case(Level::V1, "no_such_case", &failing).await;
    assert_eq!(none, None);
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_authority_nobody_touches_is_only_read_and_that_is_said() {
    let bare = async || {
        let clock = Arc::new(VirtualClock::new());
        let source = FakeIdentities::of(fixtures::accounts()).with_clock(clock.clone());
        identity::IdentitySandbox::new(Arc::new(source)).clock(clock)
    };
    let report = identity::run(Level::V1, &bare).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
    assert_eq!(
        skipped,
        [
            "change_is_seen_with_a_greater_version",
            "closed_accounts_stay_inactive",
            "cut_off_is_unavailable_and_not_empty",
            "what_was_cut_off_comes_back",
            "reopening_keeps_versions",
            "refused_credentials_are_denied",
            "throttling_is_rate_limited",
            "stalled_calls_end_in_time",
            "secrets_stay_secret",
        ]
    );
}
