//! A fleet is one organisation: one clock, one weather, one way to it, one list of calls.

use std::sync::Arc;

use release_core::port::{Clock as _, EffectCertainty};
use release_core::time::Span;
use release_providers::spi::*;
use release_providers::{ErrorKind, OPERATIONS};
use release_testkit::conformance::{Level, Suite};
use release_testkit::fakes::{Bare, FakeFleet, FleetSandboxes, Weather};
use release_testkit::{VirtualClock, fixtures};

fn flag() -> FlagRef {
    FlagRef::new(FakeFleet::FLAG.into(), fixtures::literal("staging"))
}

type Switch = fn(&FakeFleet, bool);

#[tokio::test]
async fn what_is_cut_off_or_denied_is_so_for_all_and_comes_back() {
    let fleet = FakeFleet::new();
    let (flags, probe) = (fleet.provider::<dyn FlagStore>(), fleet.provider::<dyn HealthProbe>());
    let cx = fixtures::context("k");
    let target = CheckHealth::new(fixtures::target("api"), fixtures::digest("api", "1.0.0"));
    let on = || SetFlag::new(FakeFleet::FLAG.into(), fixtures::literal("staging"), FlagState::On);
    let switches: [(Switch, ErrorKind); 2] = [
        (|fleet, cut_off| fleet.cut_off(cut_off), ErrorKind::Unavailable),
        (|fleet, revoked| fleet.access().revoke(revoked), ErrorKind::Denied),
    ];
    for (switch, kind) in switches {
        switch(&fleet, true);
        let set = flags.set(&cx, on()).await.unwrap_err();
        let checked = probe.check(&cx, target.clone()).await.unwrap_err();
        assert_eq!([set.kind(), checked.kind()], [kind; 2]);
        assert_eq!(set.effect(), EffectCertainty::NotApplied);
        switch(&fleet, false);
        assert_eq!(flags.observe(&cx, flag()).await.unwrap().state, FlagState::Off);
        assert!(probe.check(&cx, target.clone()).await.is_ok());
    }
}

#[tokio::test]
async fn calls_of_all_fakes_are_in_one_order() {
    let fleet = FakeFleet::new();
    let pager = fleet.provider::<dyn Pager>();
    let call = PageTeam::new(fixtures::literal("team-a"), Severity::Warning, "look".into());
    pager.page(&fixtures::context("first"), call).await.unwrap();
    let flags = fleet.provider::<dyn FlagStore>();
    flags.observe(&fixtures::context("second"), flag()).await.unwrap();
    pager.observe(&fixtures::context("third"), JobRef::new("first".into())).await.unwrap();
    let calls: Vec<_> = fleet.calls().into_iter().map(|call| (call.operation, call.key)).collect();
    let wanted =
        [("pager.page", "first"), ("flag_store.observe", "second"), ("pager.observe", "third")];
    assert_eq!(calls, wanted.map(|(operation, key)| (operation, key.to_owned())));
}

#[test]
fn all_go_by_one_clock_and_one_weather() {
    let clock = Arc::new(VirtualClock::new());
    let (hour, began) = (Span::secs(3_600), clock.now());
    let fleet = FakeFleet::on(Arc::clone(&clock), Weather::new(7).latency(hour, hour).failing(100));
    let work = async {
        let incidents = fleet.provider::<dyn IncidentSource>();
        let cx = fixtures::context("k");
        let listed = incidents.list(&cx, ListIncidents::new(began)).await;
        let put = PutArtifact::new(fixtures::literal("api"), b"api".to_vec());
        let stored = fleet.provider::<dyn ArtifactStore>().put(&cx, put).await;
        (listed.unwrap_err().kind(), stored.unwrap_err().kind())
    };
    let kinds = clock.run(work).unwrap();
    assert_eq!(kinds, (ErrorKind::Unavailable, ErrorKind::Unavailable));
    assert_eq!(clock.now(), began.plus(hour).plus(hour));
}

#[tokio::test(start_paused = true)]
async fn every_capability_has_a_suite_by_its_name_whose_report_can_be_published() {
    let capabilities: std::collections::BTreeSet<_> =
        OPERATIONS.iter().map(|operation| operation.capability).collect();
    assert_eq!(capabilities.len(), Suite::ALL.len());
    for capability in capabilities {
        let suite = Suite::of(capability).unwrap();
        let report = suite.run(Level::V1, &FleetSandboxes(Bare)).await;
        assert!(report.is_conformant() && report.skipped().count() == 0, "{report}");
        let told: Vec<_> = report.cases.iter().map(|case| case.case.as_str()).collect();
        let promised: Vec<_> =
            suite.promises(Level::V1).into_iter().map(|(name, _)| name).collect();
        assert_eq!(told, promised, "{capability}");
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["level"], "v1");
    }
}
