//! Every operation of some more capabilities, through the boundary.

use std::time::Duration;

use release_core::model::{Digest, EnvironmentId, Span};
use release_core::port::EffectCertainty;
use release_providers::spi::{
    ApplyPlan, ChangeAction, FlagRef, FlagState, FlagStatus, JobPhase, KillFlag, LeaseRef,
    LeaseSecret, LeaseStatus, ObserveSecret, PlanChange, RenewLease, ResourceChange, RotateSecret,
    SecretLease, SecretRef, SecretStatus, SetFlag, WorkspaceRef,
};
use release_providers::{EffectClass, ErrorKind, ProviderError, RetryAdvice, Secret};
use serde_json::json;

use super::support::{ORDINARY, Stage};

/// What callers go by.
#[track_caller]
fn failed<T: std::fmt::Debug>(
    answer: Result<T, ProviderError>,
    kind: ErrorKind,
    facts: &[(&str, &str)],
) {
    let error = answer.unwrap_err();
    let again = kind == ErrorKind::Conflict;
    let retry = if again { RetryAdvice::Backoff } else { RetryAdvice::Never };
    let promised = (kind, EffectCertainty::NotApplied, retry);
    assert_eq!((error.kind(), error.effect(), error.retry()), promised, "{error}");
    for (name, value) in facts.iter().chain(&[("plugin", "ordinary")]) {
        assert_eq!(error.context(name), Some(*value), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_are_switched_through_the_boundary() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let (flags, cx) = (plugin.flag_store().unwrap(), stage.calm());
    let description = flags.describe();
    assert_eq!((&*description.name, description.effects), ("memory flags", EffectClass::Queryable));

    let prod: EnvironmentId = "prod".parse().unwrap();
    let set = |state| SetFlag::new("dark-mode".into(), prod.clone(), state);
    let which = || FlagRef::new("dark-mode".into(), prod.clone());
    let wishes = [FlagState::On, FlagState::Off, FlagState::Share { percent: 25 }];
    for (state, revision) in wishes.into_iter().zip(2..) {
        flags.set(&cx, set(state)).await.unwrap();
        let status = flags.observe(&cx, which()).await.unwrap();
        assert_eq!(status, FlagStatus::new("dark-mode".into(), prod.clone(), state, revision));
    }
    let mut only_if = set(FlagState::On);
    only_if.expected = Some(1);
    let facts = [("revision", "4"), ("environment", "prod")];
    failed(flags.set(&cx, only_if.clone()).await, ErrorKind::Conflict, &facts);
    only_if.expected = Some(4);
    flags.set(&cx, only_if).await.unwrap();

    let why = "ann: it burns".to_owned();
    flags.kill(&cx, KillFlag::new("dark-mode".into(), prod.clone(), why.clone())).await.unwrap();
    let status = flags.observe(&cx, which()).await.unwrap();
    assert_eq!((status.state, status.killed), (FlagState::Off, Some(why)));
    failed(flags.set(&cx, set(FlagState::On)).await, ErrorKind::Conflict, &[]);
    let mut revived = set(FlagState::On);
    revived.revive = true;
    flags.set(&cx, revived).await.unwrap();
    assert_eq!(flags.observe(&cx, which()).await.unwrap().killed, None);
    let too_much = set(FlagState::Share { percent: 101 });
    failed(flags.set(&cx, too_much).await, ErrorKind::Invalid, &[]);
    let other = FlagRef::new("other".into(), prod.clone());
    failed(flags.observe(&cx, other).await, ErrorKind::NotFound, &[("flag", "other")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn f40_secrets_are_leased_through_the_boundary_and_stand_nowhere_else() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let (secrets, cx) = (plugin.secret_store().unwrap(), stage.calm());
    let (which, hour) = (SecretRef::new("kv/shop#password"), Span::secs(3_600));
    let expires = cx.deadline.plus(hour);
    let first = Secret::new("canary-1\nand a second line of it");

    let lease = secrets.lease(&cx, LeaseSecret::new(which.clone(), hour)).await.unwrap();
    assert_eq!(lease, SecretLease::new("key-1".into(), 1, expires, first));
    let status = secrets.observe(&cx, ObserveSecret::new(which.clone())).await.unwrap();
    assert_eq!(status, SecretStatus::new(which.clone(), 1, 1));
    let status = secrets.renew(&cx, RenewLease::new("key-1".into(), hour)).await.unwrap();
    assert_eq!(status, LeaseStatus::new("key-1".into(), expires));
    let status = secrets.rotate(&cx, RotateSecret::new(which.clone())).await.unwrap();
    assert_eq!(status, SecretStatus::new(which.clone(), 2, 0));

    let other = LeaseSecret::new(SecretRef::new("kv/other"), hour);
    let facts = [("secret", "kv/other")];
    failed(secrets.lease(&cx, other).await, ErrorKind::NotFound, &facts);
    let renewed = secrets.renew(&cx, RenewLease::new("key-1".into(), Span::ZERO)).await;
    let said = renewed.as_ref().unwrap_err().to_string();
    assert!(said.contains("the lease of *** for no time"), "{said}");
    failed(renewed, ErrorKind::Invalid, &[("value", "***")]);
    secrets.revoke(&cx, LeaseRef::new("key-1".into())).await.unwrap();
    let again = secrets.revoke(&cx, LeaseRef::new("key-1".into())).await;
    failed(again, ErrorKind::NotFound, &[("lease", "key-1")]);

    // The next process is another one, and the secret is still the same.
    let lease = LeaseSecret::new(which, hour);
    secrets.lease(&cx, lease).await.unwrap();
    for times in 1..=2 {
        let careless = RotateSecret::new(SecretRef::new("kv/careless"));
        let error = secrets.rotate(&cx, careless).await.unwrap_err();
        let promised = (ErrorKind::Unavailable, EffectCertainty::Unknown);
        assert_eq!((error.kind(), error.effect()), promised, "{error}");
        stage.happened("ordinary crashed", times).await;
        let seen = format!("{error} {error:?} {:?}", stage.events());
        assert!(seen.contains("the last words: ***"), "{seen}");
        assert!(!seen.contains("canary") && !seen.contains("second line"), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f40_a_secret_that_nobody_waits_for_any_more_is_known_too() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let (secrets, cx) = (plugin.secret_store().unwrap(), stage.calm());
    let slow = SecretRef::new("kv/slow");
    let begun = async {
        while secrets.observe(&cx, ObserveSecret::new(slow.clone())).await.unwrap().leases == 0 {}
    };
    tokio::select! {
        lease = secrets.lease(&cx, LeaseSecret::new(slow.clone(), Span::secs(60))) => {
            panic!("it waits to be cancelled: {lease:?}");
        }
        () = begun => {}
    }
    // The answer comes now or soon. The plugin blabs until then, and by the deadline at most.
    loop {
        let error =
            secrets.renew(&cx, RenewLease::new("key-1".into(), Span::ZERO)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        if error.context("value") == Some("***") {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn infrastructure_is_changed_through_the_boundary() {
    let stage = Stage::new();
    let plugin = stage.ordinary().await;
    let (provisioner, cx) = (plugin.provisioner().unwrap(), stage.calm());
    let shop = || WorkspaceRef::new("shop".into());

    let declared = json!({ "queue": { "size": 0.1 }, "topic": null });
    let digest = Digest::of(declared.to_string().as_bytes());
    let plan = provisioner.plan(&cx, PlanChange::new("shop".into(), declared)).await.unwrap();
    let create = |name: &str| ResourceChange::new(name.into(), ChangeAction::Create);
    assert_eq!((plan.digest, plan.changes), (digest, vec![create("queue"), create("topic")]));
    let no_object = PlanChange::new("shop".into(), json!([1]));
    failed(provisioner.plan(&cx, no_object).await, ErrorKind::Invalid, &[]);
    let status = provisioner.observe(&cx, shop()).await.unwrap();
    assert_eq!((status.phase, status.applied), (JobPhase::Unknown, None));

    let other = ApplyPlan::new("shop".into(), Digest::of(b"other"));
    failed(provisioner.apply(&cx, other).await, ErrorKind::Conflict, &[]);
    provisioner.apply(&cx, ApplyPlan::new("shop".into(), digest)).await.unwrap();
    let status = provisioner.observe(&cx, shop()).await.unwrap();
    assert_eq!((status.phase, status.applied), (JobPhase::Succeeded, Some(digest)));
    assert_eq!(status.resources, ["queue", "topic"]);

    let report = provisioner.drift(&cx, shop()).await.unwrap();
    let [field] = &report.fields[..] else { panic!("{report:?}") };
    assert_eq!((&*field.resource, &*field.path), ("queue", "/size"));
    assert_eq!((&field.declared, &field.applied), (&json!(0.1), &json!(null)));
    assert_eq!(field.observed, json!({ "deep": [1, -2.5, 1e300, null, "é\u{0}"] }));
    let error = provisioner.drift(&cx, WorkspaceRef::new("busy".into())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::RateLimited, EffectCertainty::Unknown));
    assert_eq!(error.retry(), RetryAdvice::After(Duration::from_millis(2_500)));
    assert_eq!(error.to_string(), "provisioner.drift: slow down, quota: 7, plugin: ordinary");

    provisioner.destroy(&cx, shop()).await.unwrap();
    failed(provisioner.destroy(&cx, shop()).await, ErrorKind::NotFound, &[("workspace", "shop")]);
    let status = provisioner.observe(&cx, shop()).await.unwrap();
    assert_eq!(status.phase, JobPhase::Failed { reason: "it was destroyed".into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_tells_what_came_of_a_call_whose_future_was_dropped() {
    let stage = Stage::new();
    let mut spec = stage.spec("ordinary", ORDINARY);
    spec.calls.grace = Span::secs(30);
    let plugin = stage.start(spec).await.unwrap();
    let (secrets, cx) = (plugin.secret_store().unwrap(), stage.calm());
    let late = SecretRef::new("kv/late");
    let look = async || secrets.observe(&cx, ObserveSecret::new(late.clone())).await.unwrap();
    let at_it = async { while look().await.leases == 0 {} };
    tokio::select! {
        () = at_it => {}
        answer = secrets.rotate(&cx, RotateSecret::new(late.clone())) => {
            panic!("it waits to be cancelled: {answer:?}");
        }
    }
    assert_eq!(look().await.version, 2, "it was at it, and has ended");
    assert!(stage.events().iter().all(|event| event.starts_with("ordinary loaded")));
}
