//! Retries, timeouts, panics and limits.

use crate::support::*;

#[test]
fn what_changed_nothing_is_tried_again_with_the_same_key_after_growing_pauses() {
    let retrying = Retrying::attempts(3).pauses(Duration::from_secs(1), Duration::from_secs(8));
    let (clock, fake, layered) = custom(|layers| layers.retrying(retrying));
    fake.script(CustomActionOp::Perform, [0, 1].map(|_| unavailable(EffectCertainty::NotApplied)));
    let began = clock.now();
    let cx = fixtures::context("k");
    let call = layered.perform(&cx, request("x"));
    go(&clock, async { call.await.map(drop) }).unwrap();
    assert_eq!(clock.now().since(began), Span::secs(1 + 2));
    let calls: Vec<_> = fake.calls().into_iter().map(|call| (call.key, call.attempt)).collect();
    assert_eq!(calls, [("k".into(), 1), ("k".into(), 2), ("k".into(), 3)]);
}

#[test]
fn what_may_have_happened_is_never_tried_again_and_what_only_looks_is() {
    let (clock, fake, layered) = custom(|layers| layers.retrying(Retrying::attempts(3)));
    fake.script(CustomActionOp::Perform, [unavailable(EffectCertainty::Unknown)]);
    fake.script(CustomActionOp::Observe, [unavailable(EffectCertainty::Unknown)]);
    let cx = fixtures::context("k");
    let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
    assert_eq!((error.effect(), error.retry()), (EffectCertainty::Unknown, RetryAdvice::Backoff));
    assert_eq!(fake.count(CustomActionOp::Perform), 1);
    go(&clock, async { layered.observe(&cx, request("x")).await.map(drop) }).unwrap();
    assert_eq!(fake.count(CustomActionOp::Observe), 2);
}

#[test]
fn an_error_that_outlives_all_attempts_says_so_and_one_that_never_helps_is_told_at_once() {
    let (clock, fake, layered) = custom(|layers| layers.retrying(Retrying::attempts(2)));
    fake.script(CustomActionOp::Perform, [0, 1].map(|_| unavailable(EffectCertainty::NotApplied)));
    let cx = fixtures::context("k");
    let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
    assert_eq!(error.retry(), RetryAdvice::Exhausted);
    let invalid = ProviderError::new(ErrorKind::Invalid, "x", "no");
    fake.script(CustomActionOp::Perform, [Behaviour::Fail(invalid)]);
    let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
    assert_eq!((error.retry(), fake.count(CustomActionOp::Perform)), (RetryAdvice::Never, 3));
}

#[test]
fn a_pause_that_a_provider_asks_for_is_kept_unless_the_deadline_comes_first() {
    let (clock, fake, layered) = custom(|layers| layers.retrying(Retrying::attempts(2)));
    let after = |secs| {
        let error = ProviderError::new(ErrorKind::RateLimited, "x", "slow down");
        Behaviour::Fail(error.with_retry(RetryAdvice::After(Duration::from_secs(secs))))
    };
    let deadline = |secs| {
        let mut cx = fixtures::context("k");
        cx.deadline = clock.now().plus(Span::secs(secs));
        cx
    };
    fake.script(CustomActionOp::Perform, [after(30), Behaviour::Obey, after(30)]);
    let (began, cx) = (clock.now(), deadline(60));
    go(&clock, async { layered.perform(&cx, request("x")).await.map(drop) }).unwrap();
    assert_eq!(clock.now().since(began), Span::secs(30));
    let (began, cx) = (clock.now(), deadline(20));
    let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
    assert_eq!((error.kind(), clock.now()), (ErrorKind::RateLimited, began), "told at once");
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up_and_nobody_knows_what_it_did() {
    let timeout = Duration::from_secs(5);
    let (clock, fake, layered) = custom(|layers| layers.attempt_timeout(timeout));
    fake.script(CustomActionOp::Perform, [Behaviour::ApplyThenHang]);
    fake.script(CustomActionOp::Observe, [Behaviour::Hang]);
    let (cx, began) = (fixtures::context("k"), clock.now());
    let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, EffectCertainty::Unknown));
    assert_eq!(clock.now().since(began), Span::secs(5));
    let error = go(&clock, async { layered.observe(&cx, request("x")).await.unwrap_err() });
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, EffectCertainty::NotApplied));
}

/// A provider that heeds no deadline is not waited for, also without a limit of an attempt, or with a longer one.
#[test]
fn the_deadline_of_a_call_ends_it_whatever_the_provider_does() {
    for timeout in [None, Some(Duration::from_secs(500))] {
        let (clock, fake, layered) = custom(|layers| match timeout {
            Some(timeout) => layers.attempt_timeout(timeout),
            None => layers,
        });
        fake.script(CustomActionOp::Perform, [Behaviour::ApplyThenHang]);
        fake.script(CustomActionOp::Observe, [Behaviour::Hang]);
        let mut cx = fixtures::context("k");
        cx.deadline = clock.now().plus(Span::secs(7));
        let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, EffectCertainty::Unknown));
        assert_eq!(clock.now(), cx.deadline);
        cx.deadline = clock.now().plus(Span::secs(7));
        let error = go(&clock, async { layered.observe(&cx, request("x")).await.unwrap_err() });
        assert_eq!(error.effect(), EffectCertainty::NotApplied);
        assert!(error.to_string().contains("no answer by the deadline"), "{error}");
    }
}

/// A store of secrets that hangs holds nobody up for longer than the call may take.
#[test]
fn a_store_of_secrets_that_hangs_is_given_up() {
    let clock = Arc::new(VirtualClock::new());
    let store = FakeSecretStore::new();
    store.script(SecretStoreOp::Lease, [Behaviour::Hang]);
    let secrets = Secrets::of(Arc::new(store), clock.clone(), fixtures::robot());
    let setting = SecretSetting::new(SecretRef::new("kv/shop#token"));
    let began = clock.now();
    let error = go(&clock, async { secrets.value(&setting).await.unwrap_err() });
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, EffectCertainty::Unknown));
    assert_eq!(clock.now().since(began), Span::secs(30));
}

#[test]
fn f36_a_provider_that_panics_has_failed_and_nothing_else_has() {
    let (clock, fake, layered) = custom(|layers| layers);
    fake.script(CustomActionOp::Perform, [Behaviour::Panic]);
    let cx = fixtures::context("k");
    let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Internal, EffectCertainty::Unknown));
    assert!(error.to_string().contains("scripted panic"), "{error}");
    go(&clock, async { layered.perform(&cx, request("x")).await.map(drop) }).unwrap();
}

#[test]
fn what_nobody_waits_for_never_reaches_the_provider() {
    let (clock, fake, layered) = custom(|layers| layers);
    let cancelled = fixtures::context("k");
    cancelled.cancellation.cancel();
    let mut late = fixtures::context("k");
    late.deadline = Timestamp::default();
    for (cx, kind) in [(cancelled, ErrorKind::Cancelled), (late, ErrorKind::Timeout)] {
        let error = go(&clock, async { layered.perform(&cx, request("x")).await.unwrap_err() });
        assert_eq!((error.kind(), error.effect()), (kind, EffectCertainty::NotApplied));
    }
    assert!(fake.calls().is_empty());
}

#[test]
fn f13_a_provider_that_fails_every_call_gets_a_rest() {
    let shielding = Shielding::default().trip_after(2, Duration::from_mins(1));
    let (clock, fake, layered) = custom(|layers| layers.shielding(shielding));
    fake.script(CustomActionOp::Perform, [0, 1].map(|_| unavailable(EffectCertainty::NotApplied)));
    let perform = |secs| {
        let mut cx = fixtures::context("k");
        cx.deadline = clock.now().plus(Span::secs(secs));
        go(&clock, async { layered.perform(&cx, request("x")).await })
    };
    for _ in 0..2 {
        perform(10).unwrap_err();
    }
    let error = perform(10).unwrap_err();
    assert!(error.to_string().contains("given a rest"), "{error}");
    assert_eq!((error.effect(), fake.calls().len()), (EffectCertainty::NotApplied, 2));
    perform(600).unwrap();
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<(String, u32, Option<ErrorKind>)>>);

impl CallObserver for Seen {
    fn observed(&self, call: &CallRecord<'_>) {
        let CallRecord { operation, attempts, failed, .. } = call;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((
            operation.to_string(),
            *attempts,
            *failed,
        ));
    }
}

#[test]
fn every_call_is_told_of_once_with_all_its_attempts() {
    let seen = Arc::new(Seen::default());
    let observer = Arc::clone(&seen) as Arc<dyn CallObserver>;
    let (clock, fake, layered) =
        custom(|layers| layers.retrying(Retrying::attempts(3)).observer(observer));
    fake.script(CustomActionOp::Perform, [unavailable(EffectCertainty::NotApplied)]);
    fake.script(CustomActionOp::Observe, [Behaviour::Panic]);
    let cx = fixtures::context("k");
    go(&clock, async { layered.perform(&cx, request("x")).await.map(drop) }).unwrap();
    go(&clock, async { layered.observe(&cx, request("x")).await.unwrap_err() });
    cx.cancellation.cancel();
    go(&clock, async { layered.observe(&cx, request("x")).await.unwrap_err() });
    let all = [
        ("custom_action.perform".to_owned(), 2, None),
        ("custom_action.observe".to_owned(), 1, Some(ErrorKind::Internal)),
        ("custom_action.observe".to_owned(), 0, Some(ErrorKind::Cancelled)),
    ];
    assert_eq!(*seen.0.lock().unwrap(), all);
}

/// The fakes of all traits are wrapped by the same layers.
#[test]
fn any_provider_of_any_trait_can_be_wrapped() {
    let clock = Arc::new(VirtualClock::new());
    let layers = Layers::new(clock.clone()).retrying(Retrying::attempts(2));
    let environment = fixtures::literal("production");
    let flags = FakeFlagStore::new().flag("dark", &environment);
    let builds = FakeBuildRunner::new().repository("repo", "api");
    flags.script(FlagStoreOp::Set, [unavailable(EffectCertainty::NotApplied)]);
    builds.script(BuildRunnerOp::Start, [unavailable(EffectCertainty::NotApplied)]);
    let inner: Arc<dyn FlagStore> = Arc::new(flags.clone());
    let layered: Arc<dyn FlagStore> = Arc::new(layers.wrap(inner));
    let set = release_providers::spi::SetFlag::new(
        "dark".into(),
        environment,
        release_providers::spi::FlagState::On,
    );
    go(&clock, async { layered.set(&fixtures::context("a"), set).await }).unwrap();
    let inner: Arc<dyn BuildRunner> = Arc::new(builds.clone());
    let layered: Arc<dyn BuildRunner> = Arc::new(layers.wrap(inner));
    let build = StartBuild::new("repo".into(), "abc".into(), "release".into());
    go(&clock, async { layered.start(&fixtures::context("b"), build).await }).unwrap();
    assert_eq!((flags.count(FlagStoreOp::Set), builds.count(BuildRunnerOp::Start)), (2, 2));
    let cx = fixtures::context("c");
    let observed = layered.observe(&cx, JobRef::new("b".into()));
    let status = go(&clock, observed).unwrap();
    assert_eq!(status.operation, "b");
}
