//! No known secret leaves a provider.

use crate::support::*;

const SECRET: &str = "correct \"horse\"\nbattery";

fn redacting(fake: &FakeCustomAction, clock: &Arc<VirtualClock>) -> Arc<dyn CustomAction> {
    let layers = Layers::new(clock.clone());
    let layers = layers.redacting(Redactor::new([SECRET, "abc", "4815162342"].map(Secret::new)));
    let inner: Arc<dyn CustomAction> = Arc::new(fake.clone());
    Arc::new(layers.wrap(inner))
}

#[derive(Debug, thiserror::Error)]
#[error("the server said {SECRET}")]
struct Leaky;

#[test]
fn f40_errors_name_no_secret_wherever_it_stands() {
    let (clock, fake) = (Arc::new(VirtualClock::new()), FakeCustomAction::new());
    let layered = redacting(&fake, &clock);
    let escaped = serde_json::Value::from(SECRET).to_string();
    let errors = [
        ProviderError::new(ErrorKind::Denied, "x", format!("wrong password {SECRET}!")),
        ProviderError::new(ErrorKind::Denied, "x", format!("body: {escaped}")),
        ProviderError::new(ErrorKind::Denied, "x", "no").with_context("sent", SECRET),
        ProviderError::new(ErrorKind::Denied, "x", "no").with_source(Leaky),
        ProviderError::new(ErrorKind::Denied, SECRET, "no"),
    ];
    let count = errors.len();
    fake.script(CustomActionOp::Perform, errors.map(Behaviour::Fail));
    for _ in 0..count {
        let cx = fixtures::context("k");
        let call = layered.perform(&cx, request("x"));
        let error = go(&clock, async { call.await.unwrap_err() });
        assert_eq!(error.kind(), ErrorKind::Denied, "all else stays");
        let shown = format!("{error} {error:?} {:?}", error.report());
        let effect = error.into_effect_error();
        let all = format!("{shown} {effect:?}");
        assert!(all.contains("***") && !all.contains("horse"), "{all}");
    }
}

#[test]
fn f40_answers_hold_no_secret_and_short_ones_are_not_looked_for() {
    let (clock, fake) = (Arc::new(VirtualClock::new()), FakeCustomAction::new());
    let layered = redacting(&fake, &clock);
    let perform = |input: serde_json::Value| {
        let request = CustomRequest::new("c".into(), input.clone());
        let cx = fixtures::context(&input.to_string());
        go(&clock, async { layered.perform(&cx, request).await }).unwrap().output
    };
    let input = serde_json::json!({
        "said": format!("it is {SECRET}"),
        "deep": [{ SECRET: 1 }, "abc"],
        "lines": ["correct \"horse\"", "battery"],
        "digits": [4_815_162_342_u64, 42],
        "plain": true,
    });
    let clean = serde_json::json!({
        "said": "it is ***",
        "deep": [{ "***": 1 }, "abc"],
        "lines": ["***", "***"],
        "digits": ["***", 42],
        "plain": true,
    });
    assert_eq!(perform(input), clean);
    assert_eq!(perform("nothing to hide".into()), "nothing to hide");
}

#[test]
fn f40_what_a_store_hands_out_is_known_to_all_who_share_the_redactor() {
    let clock = Arc::new(VirtualClock::new());
    let (store, action) = (FakeSecretStore::new(), FakeCustomAction::new());
    let secret = SecretRef::new("kv/api#password");
    store.with(|vault| vault.put(&secret, Secret::new("hunter2-canary")));
    let layers = Layers::new(clock.clone()).redacting(Redactor::default());
    let inner: Arc<dyn SecretStore> = Arc::new(store);
    let secrets: Arc<dyn SecretStore> = Arc::new(layers.wrap(inner));
    let inner: Arc<dyn CustomAction> = Arc::new(action);
    let layered: Arc<dyn CustomAction> = Arc::new(layers.wrap(inner));
    let echo = |key: &str| {
        let (cx, request) = (fixtures::context(key), request("got hunter2-canary"));
        go(&clock, async { layered.perform(&cx, request).await }).unwrap().output
    };
    assert_eq!(echo("before"), "got hunter2-canary", "nobody knows it yet");
    let lease = LeaseSecret::new(secret, Span::secs(60));
    let lease = go(&clock, async { secrets.lease(&fixtures::context("l"), lease).await }).unwrap();
    assert_eq!(lease.value.expose(), "hunter2-canary", "who asked for it has it");
    assert!(!format!("{lease:?}{}", serde_json::to_string(&lease).unwrap()).contains("canary"));
    assert_eq!(echo("after"), "got ***");
}
