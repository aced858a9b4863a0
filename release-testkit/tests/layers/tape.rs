//! Calls that are recorded, and answered again.

use crate::support::*;

fn calls(clock: &Arc<VirtualClock>, layered: &Arc<dyn CustomAction>) -> Vec<String> {
    let shown = |result: Result<_, ProviderError>| match result {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => format!("{:?}", error.report()),
    };
    let cx = |key: &str| -> Context { fixtures::context(key) };
    go(clock, async {
        vec![
            shown(layered.perform(&cx("a"), request("one")).await),
            shown(layered.perform(&cx("b"), request("two")).await),
            shown(layered.perform(&cx("c"), request("two")).await),
            shown(layered.perform(&cx("d"), request("two")).await),
        ]
    })
}

#[test]
fn a_replayed_tape_answers_as_the_provider_did_and_asks_nobody() {
    let tape = Tape::recording();
    let (clock, fake, recording) = custom(|layers| layers.tape(tape.clone()));
    let failed = unavailable(EffectCertainty::Unknown);
    fake.script(CustomActionOp::Perform, [Behaviour::Obey, failed]);
    let first = calls(&clock, &recording);
    assert!(first[1].contains("later") && !first[2].contains("later"), "{first:#?}");
    let text = tape.to_json_lines();
    assert_eq!((tape.calls().len(), text.lines().count()), (4, 4));
    let replay = Tape::replaying(&text).unwrap();
    let (clock, untouched, replaying) = custom(|layers| layers.tape(replay));
    assert_eq!(calls(&clock, &replaying), first);
    assert!(untouched.calls().is_empty());
    // The last answer again, and nothing for what was never asked.
    let cx = fixtures::context("e");
    let again = replaying.perform(&cx, request("two"));
    go(&clock, async { again.await.map(drop) }).unwrap();
    let cx = fixtures::context("f");
    let unknown = replaying.perform(&cx, request("three"));
    let error = go(&clock, async { unknown.await.unwrap_err() });
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Invalid, EffectCertainty::NotApplied));
    assert!(error.to_string().contains("never asked this on the tape"), "{error}");
}

#[test]
fn a_line_that_is_none_is_named() {
    let error = Tape::replaying("\n{\"provider\":1}\n").unwrap_err();
    assert_eq!((error.line, error.to_string().contains("line 2")), (2, true));
}

#[test]
fn f40_no_secret_is_on_a_tape() {
    let clock = Arc::new(VirtualClock::new());
    let store = FakeSecretStore::new();
    let secret = SecretRef::new("kv/x");
    store.with(|vault| vault.put(&secret, Secret::new("tape-canary")));
    let tape = Tape::recording();
    let layers = Layers::new(clock.clone()).tape(tape.clone());
    let inner: Arc<dyn SecretStore> = Arc::new(store);
    let layered: Arc<dyn SecretStore> = Arc::new(layers.wrap(inner));
    let lease = LeaseSecret::new(secret, Span::secs(60));
    go(&clock, async { layered.lease(&fixtures::context("l"), lease).await.map(drop) }).unwrap();
    let text = tape.to_json_lines();
    assert!(text.contains("kv/x") && !text.contains("canary"), "{text}");
}
