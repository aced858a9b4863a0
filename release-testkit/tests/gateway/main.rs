//! The router over `HTTPRoute`s keeps every promise that can be tried without a gateway: against an API server made for these
//! tests. **No real cluster is here**, and no request goes anywhere.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod drift;
mod server;

use std::sync::Arc;

use release_core::engine::SystemClock;
use release_core::model::{
    Affinity, HeaderRoute, HeaderRule, Mirror, RequestMatch, Target, TextMatch, TrafficRules,
};
use release_core::plan::Weight;
use release_core::port::{Clock, EffectCertainty};
use release_core::time::Span;
use release_providers::gateway_api::{GatewayKind, GatewayRouter, GatewaySettings, GatewayTarget};
use release_providers::kind::{Opening, ProviderKind as _, Secrets};
use release_providers::spi::{ObserveTraffic, SetWeights, TrafficRouter, TrafficStatus};
use release_providers::{AnyProvider, Context, ErrorKind, ProviderError, Secret};
use release_testkit::conformance::router::{self, RouterSandbox};
use release_testkit::conformance::{Level, Subject, Trouble};
use release_testkit::fixtures;
use serde_json::{Value, json};

use server::{Controller, Mishap, Server, TOKEN};

/// A router, and the server behind it.
struct Stage {
    server: Arc<Server>,
    router: Arc<GatewayRouter>,
    target: Target,
    clock: Arc<dyn Clock>,
}

fn place() -> GatewayTarget {
    GatewayTarget::new(fixtures::target("api"), "shop", "api", 8080)
}

fn opened(server: &Server, patience_ms: u32) -> GatewayRouter {
    let mut settings = GatewaySettings::new().target(place()).with_session_persistence();
    settings.patience_ms = patience_ms;
    GatewayRouter::open(settings, server.client(), Arc::new(SystemClock::new())).unwrap()
}

impl Stage {
    async fn with_patience(patience_ms: u32) -> Self {
        let both = ["1.0.0", "1.1.0"].map(|version| fixtures::digest("api", version));
        let services = both.map(|digest| place().service_of(digest, None));
        let server = Arc::new(Server::start(services).await);
        let router = Arc::new(opened(&server, patience_ms));
        let clock = Arc::new(SystemClock::new());
        Self { server, router, target: fixtures::target("api"), clock }
    }

    async fn new() -> Self {
        Self::with_patience(10_000).await
    }

    fn cx(&self) -> Context {
        let now = self.clock.now();
        let key = format!("gateway/{}", now.as_micros());
        Context::new(key, now.plus(Span::secs(30)), fixtures::robot())
    }

    async fn set_by(
        &self,
        percents: [u8; 2],
        rules: Option<TrafficRules>,
    ) -> Result<(), ProviderError> {
        let wish = SetWeights::new(self.target.clone(), shares(percents)).by(rules);
        self.router.set_weights(&self.cx(), wish).await
    }

    async fn set(&self, percents: [u8; 2]) -> Result<(), ProviderError> {
        self.set_by(percents, None).await
    }

    async fn look(&self) -> Result<TrafficStatus, ProviderError> {
        self.router.observe(&self.cx(), ObserveTraffic::new(self.target.clone())).await
    }

    async fn percents(&self) -> Vec<u8> {
        let mut seen = self.look().await.unwrap().weights;
        seen.sort_by(|a, b| a.version.cmp(&b.version));
        seen.iter().map(|weight| weight.percent).collect()
    }
}

fn shares(percents: [u8; 2]) -> Vec<Weight> {
    let both = ["1.0.0", "1.1.0"].into_iter().zip(percents);
    both.map(|(version, percent)| {
        Weight::new(fixtures::digest("api", version), fixtures::version(version), percent)
    })
    .collect()
}

async fn sandbox() -> RouterSandbox {
    let stage = Stage::new().await;
    let subjects = ["1.0.0", "1.1.0"].map(|version| {
        Subject::new(fixtures::artifact("api", version), fixtures::version(version))
    });
    let [again, cut, denied, throttled, stalled] = [(); 5].map(|()| Arc::clone(&stage.server));
    let done = || std::future::ready(Ok(()));
    RouterSandbox::new(Arc::clone(&stage.router) as Arc<dyn TrafficRouter>, stage.target, subjects)
        .canary(Secret::new(TOKEN))
        .reopen(move || {
            let router: Arc<dyn TrafficRouter> = Arc::new(opened(&again, 10_000));
            std::future::ready(Ok(router))
        })
        .reach(move |within| {
            cut.cut(!within);
            done()
        })
        .trouble(Trouble::Denied, move |comes| {
            denied.refuse(comes.then_some(403));
            done()
        })
        .trouble(Trouble::Throttled, move |comes| {
            throttled.refuse(comes.then_some(429));
            done()
        })
        .trouble(Trouble::Stalled, move |comes| {
            stalled.stall(comes);
            done()
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_router_conforms_where_no_request_is_needed() {
    let report = router::run(Level::V2, &sandbox).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
    assert_eq!(
        skipped,
        [
            "no_request_is_lost_to_a_change",
            "served_follows_weights",
            "header_routes_pick_requests",
            "rules_replace_rules",
            "rules_and_shares_change_together",
            "copies_reach_nobody",
            "copies_harm_no_request",
            "clients_stay",
            "clients_stay_with_one",
            "tracks_are_apart",
            "long_rules_hold",
            "copies_are_picked",
        ]
    );
}

#[tokio::test]
async fn shares_are_in_effect_when_every_gateway_says_so() {
    let stage = Stage::with_patience(300).await;
    stage.set([100, 0]).await.unwrap();
    stage.server.controller(Controller::FollowsAtOne);
    let late = stage.set([80, 20]).await.unwrap_err();
    assert_eq!((late.kind(), late.effect()), (ErrorKind::Unavailable, EffectCertainty::Unknown));
    assert_eq!(stage.percents().await, [100]);
    // A second change on top of one that nobody has confirmed: what holds is what held before both.
    stage.set([50, 50]).await.unwrap_err();
    assert_eq!(stage.percents().await, [100]);
    stage.server.controller(Controller::Follows(3));
    stage.set([20, 80]).await.unwrap();
    assert_eq!(stage.percents().await, [20, 80]);
}

#[tokio::test]
async fn a_gateway_that_refuses_makes_the_call_fail_and_the_shares_stay() {
    let stage = Stage::new().await;
    stage.set([100, 0]).await.unwrap();
    stage.server.controller(Controller::Refuses);
    let refused = stage.set([80, 20]).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Invalid, EffectCertainty::Unknown));
    assert!(refused.context("because").unwrap().contains("Accepted at `edge`"), "{refused}");
    assert_eq!(stage.percents().await, [100]);
}

#[tokio::test]
async fn what_is_long_gone_is_not_told_when_somebody_changes_the_route() {
    let stage = Stage::new().await;
    stage.set([100, 0]).await.unwrap();
    stage.set([80, 20]).await.unwrap();
    // A new generation, of which no controller has spoken yet.
    stage.server.edit("/spec/hostnames", json!(["shop.example", "www.shop.example"]));
    assert_eq!(stage.percents().await, [80, 20]);
}

#[tokio::test]
async fn shares_whose_service_a_gateway_does_not_find_are_in_effect_and_broken() {
    let stage = Stage::with_patience(300).await;
    stage.set([100, 0]).await.unwrap();
    stage.server.controller(Controller::FindsNoService);
    let broken = stage.set([80, 20]).await.unwrap_err();
    assert_eq!(
        (broken.kind(), broken.effect()),
        (ErrorKind::Unavailable, EffectCertainty::Unknown)
    );
    let seen = stage.look().await.unwrap_err();
    assert_eq!(seen.kind(), ErrorKind::Unavailable);
    assert!(seen.context("because").unwrap().contains("ResolvedRefs at `edge`"), "{seen}");
    // What is taken back is 80 and 20 %, not what was before.
    stage.server.controller(Controller::FollowsAtOne);
    stage.set([100, 0]).await.unwrap_err();
    assert_eq!(stage.percents().await, [80, 20]);
}

#[tokio::test]
async fn nobody_is_served_by_a_first_call_as_well() {
    let stage = Stage::new().await;
    let nobody = SetWeights::new(stage.target.clone(), Vec::new());
    stage.router.set_weights(&stage.cx(), nobody).await.unwrap();
    assert!(stage.percents().await.is_empty());
    assert!(stage.server.route()["spec"]["rules"][0].get("backendRefs").is_none());
}

#[tokio::test]
async fn a_kind_opens_routers_by_settings_and_the_hosts_client() {
    let stage = Stage::new().await;
    let kind = GatewayKind::new(stage.server.client());
    let open = async |kind: &GatewayKind, experimental: bool| {
        let settings = GatewaySettings::new().target(place());
        let mut config = serde_json::to_value(settings).unwrap();
        config["session_persistence"] = experimental.into();
        let clock = Arc::clone(&stage.clock);
        kind.open(Opening::new("edge", config, clock, Secrets::none())).await
    };
    let opened = open(&kind, false).await.unwrap();
    let [AnyProvider::TrafficRouter(router)] = &opened[..] else { panic!("{opened:?}") };
    assert_eq!(kind.manifest().capabilities["traffic_router"], router.describe());
    let wish = SetWeights::new(stage.target.clone(), shares([80, 20]));
    router.set_weights(&stage.cx(), wish).await.unwrap();
    assert_eq!(stage.percents().await, [80, 20]);
    // Of a channel that the manifest does not promise a file says nothing.
    assert_eq!(open(&kind, true).await.unwrap_err().kind(), ErrorKind::Invalid);
    let kind = kind.with_session_persistence();
    assert!(kind.manifest().capabilities["traffic_router"].abilities.traffic_router.affinity);
    assert_eq!(open(&kind, true).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_somebody_adds_to_a_rule_is_seen() {
    for (at, value) in [
        ("/spec/rules/0", json!({ "filters": [{ "type": "RequestRedirect" }] })),
        (
            "/spec/rules/0/backendRefs/0",
            json!({ "filters": [{ "type": "RequestHeaderModifier" }] }),
        ),
    ] {
        let stage = Stage::new().await;
        stage.set([80, 20]).await.unwrap();
        let mut there = stage.server.route().pointer(at).unwrap().clone();
        there.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        stage.server.edit(at, there);
        assert_eq!(stage.look().await.unwrap_err().kind(), ErrorKind::Corrupt, "{at}");
        stage.set([80, 20]).await.unwrap();
        assert_eq!(stage.percents().await, [80, 20]);
    }
}

/// Who is refused has not touched rules, whoever wrote them.
#[tokio::test]
async fn a_newer_writer_is_noted_without_a_word_about_the_rules() {
    let stage = Stage::new().await;
    stage.set([80, 20]).await.unwrap();
    stage.server.edit("/spec/rules/0/backendRefs/0/weight", json!(7));
    let rules = stage.server.route()["spec"]["rules"].clone();
    let unknown =
        vec![Weight::new(fixtures::digest("api", "9.9.9"), fixtures::version("9.9.9"), 100)];
    let cx = stage.cx().in_run(fixtures::literal("the-run"), 1);
    let none = stage.router.set_weights(&cx, SetWeights::new(stage.target.clone(), unknown)).await;
    assert_eq!(none.unwrap_err().effect(), EffectCertainty::NotApplied);
    assert_eq!(stage.server.route()["spec"]["rules"], rules);
}

#[tokio::test]
async fn what_others_wrote_stays_and_what_they_change_meanwhile_is_not_overwritten() {
    let stage = Stage::new().await;
    let before = stage.server.route();
    stage.server.next([Mishap::Overtaken, Mishap::Overtaken]);
    stage.set([80, 20]).await.unwrap();
    let after = stage.server.route();
    for at in ["/spec/hostnames", "/spec/parentRefs", "/metadata/annotations/team"] {
        assert_eq!(after.pointer(at), before.pointer(at), "{at}");
    }
    assert!(after.pointer("/metadata/annotations/overtaken").is_some());
    let weights = after["spec"]["rules"][0]["backendRefs"].as_array().unwrap();
    let mut weights: Vec<_> = weights.iter().map(|one| one["weight"].as_i64().unwrap()).collect();
    weights.sort_unstable();
    assert_eq!(weights, [20, 80]);
    // The same again writes nothing.
    let patches = stage.server.patches();
    stage.set([80, 20]).await.unwrap();
    assert_eq!(stage.server.patches(), patches);
    stage.server.next([Mishap::Overtaken; 6]);
    let error = stage.set([50, 50]).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, EffectCertainty::NotApplied));
    assert_eq!(stage.percents().await, [80, 20]);
}

#[tokio::test]
async fn refusals_of_the_api_server_are_told_apart() {
    let stage = Stage::new().await;
    stage.set([100, 0]).await.unwrap();
    for (status, kind, effect) in [
        (401, ErrorKind::Denied, EffectCertainty::NotApplied),
        (403, ErrorKind::Denied, EffectCertainty::NotApplied),
        (404, ErrorKind::NotFound, EffectCertainty::NotApplied),
        (422, ErrorKind::Invalid, EffectCertainty::NotApplied),
        (429, ErrorKind::RateLimited, EffectCertainty::NotApplied),
        (500, ErrorKind::Unavailable, EffectCertainty::Unknown),
        (503, ErrorKind::Unavailable, EffectCertainty::Unknown),
    ] {
        stage.server.next([Mishap::Refused(status)]);
        let error = stage.set([50, 50]).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{status}: {error}");
        assert_eq!(stage.percents().await, [100]);
    }
}

#[tokio::test]
async fn a_lost_answer_leaves_the_effect_open_and_is_found_by_looking() {
    let stage = Stage::new().await;
    stage.set([100, 0]).await.unwrap();
    stage.server.next([Mishap::Lost]);
    let lost = stage.set([80, 20]).await.unwrap_err();
    assert_eq!((lost.kind(), lost.effect()), (ErrorKind::Unavailable, EffectCertainty::Unknown));
    let patches = stage.server.patches();
    stage.set([80, 20]).await.unwrap();
    // Only that it is in effect is noted.
    assert_eq!((stage.server.patches(), stage.percents().await), (patches + 1, vec![80, 20]));
}

fn rules(mirror: bool, affinity: bool) -> TrafficRules {
    let new = fixtures::digest("api", "1.1.0");
    TrafficRules {
        headers: vec![HeaderRoute { rule: HeaderRule::exact("x-canary", "yes"), to: new }],
        mirror: mirror.then_some(Mirror::new(new, 10)),
        affinity: affinity.then(|| Affinity::new("stay")),
    }
}

#[tokio::test]
async fn rules_stand_before_shares_and_are_observed() {
    let stage = Stage::new().await;
    let all = rules(true, true);
    stage.set_by([95, 5], Some(all.clone())).await.unwrap();
    assert_eq!(stage.look().await.unwrap().rules, Some(all));
    let route = stage.server.route();
    let rule = |n: usize| &route["spec"]["rules"][n];
    let name = place().service_of(fixtures::digest("api", "1.1.0"), None);
    assert_eq!(rule(0)["matches"][0]["headers"][0]["value"], "yes");
    assert_eq!(rule(0)["backendRefs"][0]["name"], name.as_str());
    assert_eq!(rule(1)["filters"][0]["requestMirror"]["percent"], 10);
    assert_eq!(rule(1)["sessionPersistence"]["sessionName"], "stay");
    stage.set([95, 5]).await.unwrap();
    let plain = stage.server.route();
    assert_eq!(plain["spec"]["rules"].as_array().map(Vec::len), Some(1));
    assert!(plain["spec"]["rules"][0].get("filters").is_none());
}

#[tokio::test]
async fn some_requests_are_copied_by_rules_before_the_others_and_are_observed() {
    let stage = Stage::new().await;
    let picked = |only: RequestMatch| {
        let mut rules = rules(true, false);
        rules.mirror = rules.mirror.map(|mirror| mirror.with_only([only]));
        rules
    };
    let all = picked(RequestMatch::header("x-kind", "a").with_method("POST"));
    stage.set_by([95, 5], Some(all.clone())).await.unwrap();
    assert_eq!(stage.look().await.unwrap().rules, Some(all.clone()));
    let route = stage.server.route();
    let rules = route["spec"]["rules"].as_array().unwrap();
    let copies: Vec<_> = rules.iter().map(|rule| rule.get("filters").is_some()).collect();
    assert_eq!(copies, [true, false, true, false]);
    for pair in rules.chunks(2) {
        assert_eq!(pair[0]["backendRefs"], pair[1]["backendRefs"]);
        assert_eq!(pair[0]["matches"][0]["method"], "POST");
    }
    assert_eq!(rules[0]["matches"][0]["headers"].as_array().map(Vec::len), Some(2));
    // Who widens what is copied is not believed.
    stage.server.edit("/spec/rules/2/matches/0/method", json!("GET"));
    assert_eq!(stage.look().await.unwrap_err().kind(), ErrorKind::Corrupt);
    stage.set_by([95, 5], Some(all.clone())).await.unwrap();
    assert_eq!(stage.look().await.unwrap().rules, Some(all.clone()));
    // What the API has another meaning for is refused, and what was in effect stays.
    let at = |path| picked(RequestMatch::default().with_path(path));
    for path in [TextMatch::Prefix("/a".into()), TextMatch::Regex("/a.*".into())] {
        let patches = stage.server.patches();
        let refused = stage.set_by([50, 50], Some(at(path))).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
        assert_eq!(refused.effect(), EffectCertainty::NotApplied);
        assert_eq!(stage.server.patches(), patches);
    }
    assert_eq!(stage.look().await.unwrap().rules, Some(all));
    assert_eq!(stage.percents().await, [95, 5]);
}

#[tokio::test]
async fn what_the_cluster_does_not_keep_is_an_error() {
    for field in ["percent", "sessionPersistence"] {
        let stage = Stage::new().await;
        stage.set([100, 0]).await.unwrap();
        stage.server.prune(field);
        let error = stage.set_by([95, 5], Some(rules(true, true))).await.unwrap_err();
        assert!(error.to_string().contains("is not what was applied"), "{field}: {error}");
        // What is there is half of it, and said to be nobody's.
        assert_eq!(stage.look().await.unwrap_err().kind(), ErrorKind::Corrupt);
        stage.set([100, 0]).await.unwrap();
        assert_eq!(stage.percents().await, [100]);
    }
    // Without the experimental channel affinity is not declared, and refused before anything is asked.
    let stage = Stage::new().await;
    let settings = GatewaySettings::new().target(place());
    let router = GatewayRouter::open(settings, stage.server.client(), Arc::clone(&stage.clock));
    let wish = SetWeights::new(stage.target.clone(), shares([95, 5])).by(Some(rules(false, true)));
    let refused = router.unwrap().set_weights(&stage.cx(), wish).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(stage.server.patches(), 0);
}

#[tokio::test]
async fn rules_of_somebody_else_are_not_believed_and_are_replaced() {
    let stage = Stage::new().await;
    assert!(stage.percents().await.is_empty(), "nothing is known of rules that others wrote");
    stage.set([80, 20]).await.unwrap();
    stage.server.edit("/spec/rules/0/backendRefs/0/weight", json!(7));
    assert_eq!(stage.look().await.unwrap_err().kind(), ErrorKind::Corrupt);
    stage.set([80, 20]).await.unwrap();
    assert_eq!(stage.percents().await, [80, 20]);
    stage.server.edit("/metadata/annotations/release~1traffic", json!("garbage"));
    assert_eq!(stage.look().await.unwrap_err().kind(), ErrorKind::Corrupt);
    // A route that no gateway serves is never in effect.
    let stage = Stage::new().await;
    stage.server.edit("/spec/parentRefs", Value::Array(Vec::new()));
    assert_eq!(stage.set([80, 20]).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn epochs_are_in_the_route_for_all_who_use_it() {
    let stage = Stage::new().await;
    let other = opened(&stage.server, 10_000);
    let cx = |epoch| stage.cx().in_run(fixtures::literal("the-run"), epoch);
    let wish = |percents| SetWeights::new(stage.target.clone(), shares(percents));
    stage.router.set_weights(&cx(4), wish([100, 0])).await.unwrap();
    let old = other.set_weights(&cx(3), wish([0, 100])).await.unwrap_err();
    assert_eq!((old.kind(), old.effect()), (ErrorKind::Fenced, EffectCertainty::NotApplied));
    // Also a call that comes to nothing keeps the older writer out.
    let unknown =
        vec![Weight::new(fixtures::digest("api", "9.9.9"), fixtures::version("9.9.9"), 100)];
    let nothing = SetWeights::new(stage.target.clone(), unknown);
    let none = other.set_weights(&cx(5), nothing).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    let old = stage.router.set_weights(&cx(4), wish([0, 100])).await.unwrap_err();
    assert_eq!(old.kind(), ErrorKind::Fenced);
    assert_eq!(stage.percents().await, [100]);
}
