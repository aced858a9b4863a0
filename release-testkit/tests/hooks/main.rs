//! Hooks of rollouts as web services: over real connections, with TLS and without, alone and through the engine.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail as tests do"
)]

mod service;

use std::sync::Arc;

use release_core::engine::{Engine, SystemClock};
use release_core::journal::MemoryJournal;
use release_core::model::{Canary, CanaryStep, Hook, HookPoint, Span, Strategy};
use release_core::plan::plan;
use release_core::port::{Clock, EffectCertainty};
use release_core::run::{Event, Outcome};
use release_providers::kind::SecretSetting;
use release_providers::spi::{
    ApplyRequest, CustomAction as _, CustomRequest, Deployer as _, SetWeights, TrafficRouter as _,
};
use release_providers::webhook::{WEBHOOK, Webhook, WebhookPlace, WebhookSettings};
use release_providers::{Context, ErrorKind, ProviderError, ProviderSelector, Registry, Secret};
use release_testkit::fakes::FakePlatform;
use release_testkit::fixtures::{self, Shop, literal, one_service};
use serde_json::{Value, json};
use service::{Reply, Service};

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn context() -> Context {
    let mut cx = fixtures::context("run-1/hook/1");
    cx.deadline = SystemClock::new().now().plus(Span::secs(20));
    cx
}

/// Calls to `service` alone, with a token.
fn webhook(service: &Service) -> Webhook {
    let mut place = WebhookPlace::new(format!("http://{}/hooks/", service.address));
    place.token = Some(SecretSetting::new(release_providers::spi::SecretRef::new("kv/hooks")));
    let settings = WebhookSettings::new(vec![place]);
    Webhook::new(&settings, vec![Some(Secret::new("t0ken"))], clock()).unwrap()
}

fn call(service: &Service, body: &Value) -> CustomRequest {
    let url = format!("http://{}/hooks/gate?of=api", service.address);
    CustomRequest::new(WEBHOOK.into(), json!({ "url": url, "body": body }))
}

async fn refused(webhook: &Webhook, request: CustomRequest) -> ProviderError {
    webhook.perform(&context(), request).await.unwrap_err()
}

#[tokio::test]
async fn a_service_is_told_and_its_answer_is_kept() {
    let service = Service::plain().await;
    service.script([Reply::Status(200, "{\"ticket\":7}".into())]);
    let webhook = webhook(&service);
    let done = webhook.perform(&context(), call(&service, &json!({ "who": "api" }))).await.unwrap();
    assert_eq!(done.output, json!({ "status": 200, "answer": { "ticket": 7 } }));
    let [heard] = &service.heard()[..] else { panic!("{:?}", service.heard()) };
    assert!(heard.head.starts_with("POST /hooks/gate?of=api HTTP/1.1"), "{}", heard.head);
    assert_eq!(heard.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(heard.header("idempotency-key"), Some("\"run-1/hook/1\""));
    let (key, data) = (&heard.body["key"], &heard.body["data"]);
    assert_eq!((key, data), (&json!("run-1/hook/1"), &json!({ "who": "api" })));
    assert!(!format!("{webhook:?}").contains("t0ken"));
}

#[tokio::test]
async fn what_a_service_says_decides_and_tells_what_may_have_happened() {
    let service = Service::plain().await;
    let webhook = webhook(&service);
    let ask = async || refused(&webhook, call(&service, &Value::Null)).await;
    for (reply, kind, effect) in [
        (Reply::Status(409, "no".into()), ErrorKind::Failed, EffectCertainty::NotApplied),
        (Reply::Status(503, "wait".into()), ErrorKind::Unavailable, EffectCertainty::NotApplied),
        (Reply::Status(500, "oops".into()), ErrorKind::Unavailable, EffectCertainty::Unknown),
        (Reply::Status(307, String::new()), ErrorKind::Invalid, EffectCertainty::NotApplied),
        (Reply::Status(200, "x".repeat(70_000)), ErrorKind::Invalid, EffectCertainty::Unknown),
        (Reply::Nothing, ErrorKind::Unavailable, EffectCertainty::Unknown),
    ] {
        service.script([reply.clone()]);
        let error = ask().await;
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{reply:?}: {error}");
    }
    // A service that repeats the token does not get it into a journal.
    service.script([Reply::Status(400, "you said t0ken".into())]);
    let error = ask().await;
    assert!(!error.to_string().contains("t0ken") && error.kind() == ErrorKind::Failed, "{error}");
    service.script([Reply::Status(200, "{\"heard\":\"Bearer t0ken\"}".into())]);
    let done = webhook.perform(&context(), call(&service, &Value::Null)).await.unwrap();
    assert_eq!(done.output["answer"]["heard"], "Bearer [redacted]");
    // Silence ends with the deadline.
    service.script([Reply::Silence]);
    let mut cx = context();
    cx.deadline = SystemClock::new().now().plus(Span::millis(200));
    let late = webhook.perform(&cx, call(&service, &Value::Null)).await.unwrap_err();
    assert_eq!((late.kind(), late.effect()), (ErrorKind::Timeout, EffectCertainty::Unknown));
}

#[tokio::test]
async fn only_what_is_allowed_is_called() {
    let (service, other) = (Service::plain().await, Service::plain().await);
    let webhook = webhook(&service);
    let error = refused(&webhook, call(&other, &Value::Null)).await;
    assert_eq!((error.kind(), other.heard().len()), (ErrorKind::Denied, 0), "{error}");
    let beside = format!("http://{}/hooks-of-others", service.address);
    for (input, kind) in [
        (json!({ "url": beside }), ErrorKind::Denied),
        (
            json!({ "url": format!("http://{}/hooks/../admin", service.address) }),
            ErrorKind::Invalid,
        ),
        (json!({ "uri": "x" }), ErrorKind::Invalid),
        (json!({ "url": "nowhere" }), ErrorKind::Invalid),
    ] {
        let error = refused(&webhook, CustomRequest::new(WEBHOOK.into(), input)).await;
        assert_eq!(error.kind(), kind, "{error}");
    }
    let error = refused(&webhook, CustomRequest::new("launch".into(), json!({}))).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(service.heard().is_empty());
    assert!(Webhook::new(&WebhookSettings::new(Vec::new()), Vec::new(), clock()).is_err());
}

#[tokio::test]
async fn of_places_that_allow_a_call_the_longest_counts() {
    let service = Service::plain().await;
    let at = |path: &str| format!("http://{}{path}", service.address);
    let mut admin = WebhookPlace::new(at("/hooks/admin/"));
    admin.token = Some(SecretSetting::new(release_providers::spi::SecretRef::new("kv/hooks")));
    let settings = WebhookSettings::new(vec![WebhookPlace::new(at("/")), admin]);
    let tokens = vec![None, Some(Secret::new("t0ken"))];
    let webhook = Webhook::new(&settings, tokens, clock()).unwrap();
    service.script([Reply::Status(403, "closed".into()), Reply::Status(200, "{}".into())]);
    let input = json!({ "url": at("/hooks/admin/gate"), "not_yet": [403] });
    let error = refused(&webhook, CustomRequest::new(WEBHOOK.into(), input.clone())).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let request = CustomRequest::new(WEBHOOK.into(), input);
    webhook.perform(&context(), request).await.unwrap();
    let request = CustomRequest::new(WEBHOOK.into(), json!({ "url": at("/hooks/admins") }));
    webhook.perform(&context(), request).await.unwrap();
    let heard = service.heard();
    let tokens: Vec<_> = heard.iter().map(|heard| heard.header("authorization")).collect();
    assert_eq!(tokens, [Some("Bearer t0ken"), Some("Bearer t0ken"), None]);
    let asked = WebhookSettings::new(vec![WebhookPlace::new(at("/hooks?of=api"))]);
    let error = Webhook::new(&asked, vec![None], clock()).unwrap_err();
    assert!(error.to_string().contains("leave it out"), "{error}");
}

#[tokio::test]
async fn tls_is_spoken_with_those_that_are_trusted() {
    let service = Service::secure().await;
    let url = format!("https://localhost:{}/hooks", service.address.port());
    let mut settings = WebhookSettings::new(vec![WebhookPlace::new(url.clone())]);
    let request = || CustomRequest::new(WEBHOOK.into(), json!({ "url": url }));
    settings.authorities = Some(service.authority());
    let trusting = Webhook::new(&settings, vec![None], clock()).unwrap();
    trusting.perform(&context(), request()).await.unwrap();
    assert_eq!(service.heard().len(), 1);
    // One that trusts somebody else.
    let other = Service::secure().await;
    settings.authorities = Some(other.authority());
    let strange = Webhook::new(&settings, vec![None], clock()).unwrap();
    let error = refused(&strange, request()).await;
    assert_eq!((error.kind(), service.heard().len()), (ErrorKind::Unavailable, 1), "{error}");
    settings.authorities = Some("/dev/null".into());
    let error = Webhook::new(&settings, vec![None], clock()).unwrap_err();
    assert!(error.to_string().contains("`authorities` cannot be read"), "{error}");
}

/// Releases 1.1.0 by a canary whose promotion the service has to permit.
async fn release(service: &Service) -> (Outcome, Vec<Event>) {
    let clock = clock();
    let platform = FakePlatform::on(&clock);
    let target = fixtures::target("api");
    for (version, replicas) in [(Shop::OLD, 2), (Shop::NEW, 0)] {
        platform.world.store(&fixtures::content("api", version));
        let (artifact, number) = (fixtures::artifact("api", version), fixtures::version(version));
        if replicas > 0 {
            let share = release_core::plan::Weight::new(artifact.digest(), number.clone(), 100);
            let wish = ApplyRequest::new(target.clone(), artifact, number, replicas);
            platform.deployer.apply(&context(), wish).await.unwrap();
            let shares = SetWeights::new(target.clone(), vec![share]);
            platform.router.set_weights(&context(), shares).await.unwrap();
        }
    }
    platform.metrics.set_errors(fixtures::digest("api", Shop::NEW), 1.0, 1_000.0);
    let canary = Canary::new(vec![CanaryStep::new(50, Span::ZERO)]);
    let mut definition = one_service(Strategy::Canary(canary), 2);
    let CustomRequest { input, .. } = call(service, &json!({ "service": "api" }));
    let hook = Hook::new(literal("may-it"), HookPoint::BeforePromotion, WEBHOOK, input.clone());
    let after = Hook::new(literal("tell"), HookPoint::AfterRollback, WEBHOOK, input);
    definition.stages[0].hooks = vec![Hook { attempts: Some(5), ..hook }, after];
    let everywhere = ProviderSelector::everywhere;
    let registry = Registry::builder(Arc::clone(&clock))
        .artifacts(platform.artifacts.clone())
        .deployer(everywhere(), platform.deployer.clone())
        .router(everywhere(), platform.router.clone())
        .health(everywhere(), platform.health.clone())
        .metrics(everywhere(), platform.metrics.clone())
        .custom(WEBHOOK, Arc::new(webhook(service)))
        .build()
        .unwrap();
    let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(registry)).build();
    let plan = plan(&definition).unwrap();
    let handle = engine.start(literal("run-1"), plan, fixtures::requester()).await.unwrap();
    let outcome = handle.wait().await.unwrap();
    let history = engine.load(&literal("run-1")).await.unwrap().0;
    (outcome, history.facts().iter().map(|fact| fact.event.clone()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_waits_for_its_hook_and_goes_on_when_it_says_so() {
    let service = Service::plain().await;
    service.script([
        Reply::Status(202, "not yet".into()),
        Reply::Nothing,
        Reply::Status(200, "{\"by\":\"ada\"}".into()),
    ]);
    let (outcome, events) = release(&service).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let heard = service.heard();
    assert_eq!(heard.len(), 3);
    let keys: Vec<_> = heard.iter().map(|heard| heard.body["key"].clone()).collect();
    assert!(
        keys.iter().all(|key| *key == keys[0]),
        "one operation, however often it is asked: {keys:?}"
    );
    let kept = serde_json::to_string(&events).unwrap();
    assert!(kept.contains("\"by\":\"ada\"") && !kept.contains("t0ken"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_says_no_takes_the_rollout_back_and_hears_of_it() {
    let service = Service::plain().await;
    service.script([Reply::Status(409, "not today".into())]);
    let (outcome, events) = release(&service).await;
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome}");
    let told = serde_json::to_string(&events).unwrap();
    assert!(told.contains("not today"), "{told}");
    let heard = service.heard();
    assert_eq!(heard.len(), 2, "the gate, and what stands after the rollback");
    assert_eq!(
        (&heard[0].body["rollback"], &heard[1].body["rollback"]),
        (&json!(false), &json!(true))
    );
}
