//! Settings through the boundary: from a file, with secrets that the host asks for, at every start anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use release_core::model::Principal;
use release_core::port::Clock;
use release_providers::kind::{Opening, ProviderKind as _, Secrets};
use release_providers::plugin::host::{PluginError, PluginKind, PluginSpec};
use release_providers::spi::{
    LeaseRef, LeaseSecret, LeaseStatus, ObserveSecret, RenewLease, RotateSecret, SecretLease,
    SecretStatus, SecretStore,
};
use release_providers::{Context, Description, EffectClass, ErrorKind, ProviderError, Secret};
use serde_json::{Value, json};

use super::support::{ORDINARY, Stage, tell};

const SETTINGS: &str = env!("CARGO_BIN_EXE_settings-plugin");

/// A store whose one secret is another one at every lease.
#[derive(Debug, Default)]
struct Vault(AtomicUsize);

fn unsupported<T>() -> Result<T, ProviderError> {
    Err(ProviderError::new(ErrorKind::Unsupported, "vault", "it only leases"))
}

#[async_trait]
impl SecretStore for Vault {
    fn describe(&self) -> Description {
        Description::new("vault", semver::Version::new(1, 0, 0), EffectClass::Idempotent)
    }
    async fn lease(
        &self,
        cx: &Context,
        request: LeaseSecret,
    ) -> Result<SecretLease, ProviderError> {
        if request.secret.as_str() != "kv/chat#token" {
            return Err(ProviderError::new(ErrorKind::NotFound, "vault.lease", "no such secret"));
        }
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let (until, value) =
            (cx.deadline.plus(request.ttl), Secret::new(format!("canary-{count}")));
        Ok(SecretLease::new(format!("lease-{count}"), 1, until, value))
    }
    async fn renew(&self, _: &Context, _: RenewLease) -> Result<LeaseStatus, ProviderError> {
        unsupported()
    }
    async fn revoke(&self, _: &Context, _: LeaseRef) -> Result<(), ProviderError> {
        unsupported()
    }
    async fn rotate(&self, _: &Context, _: RotateSecret) -> Result<SecretStatus, ProviderError> {
        unsupported()
    }
    async fn observe(&self, _: &Context, _: ObserveSecret) -> Result<SecretStatus, ProviderError> {
        unsupported()
    }
}

fn opening(stage: &Stage, config: Value) -> Opening {
    let clock: Arc<dyn Clock> = Arc::clone(&stage.clock) as _;
    let host = Principal::service("host".parse().unwrap());
    let secrets = Secrets::of(Arc::new(Vault::default()), Arc::clone(&clock), host);
    Opening::new("releases", config, clock, secrets)
}

fn good() -> Value {
    json!({ "url": "https://chat.example", "token": { "secret": "kv/chat#token" } })
}

fn spec(stage: &Stage) -> PluginSpec {
    stage.spec("chat", SETTINGS)
}

#[tokio::test(flavor = "multi_thread")]
async fn f40_settings_reach_a_plugin_with_their_secrets_and_these_stand_nowhere() {
    let stage = Stage::new();
    let kind = PluginKind::ask(&stage.host, spec(&stage)).await.unwrap();
    let manifest = kind.manifest();
    assert_eq!((&*manifest.name, manifest.capabilities.len()), ("chat", 1));
    assert_eq!(manifest.config_schema()["required"], json!(["url", "token"]));

    let opening = opening(&stage, good());
    assert!(!format!("{opening:?}").contains("canary"));
    let providers = kind.open(opening).await.unwrap();
    let [release_providers::AnyProvider::Notifier(notifier)] = &*providers else {
        panic!("{providers:?}")
    };
    let error = tell(notifier, &stage.calm(), "hello").await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(said.contains("releases at https://chat.example with *** of 8 bytes"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert!(!format!("{:?}", stage.events()).contains("canary"));
    drop(providers);
    stage.all_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_started_again_gets_its_settings_again_with_fresh_secrets() {
    let stage = Stage::new();
    let spec = spec(&stage).opening(opening(&stage, good()));
    let plugin = stage.start(spec).await.unwrap();
    let (notifier, pid) = (plugin.notifier().unwrap(), plugin.pid().unwrap());
    drop(tell(&notifier, &stage.calm(), "hello").await.unwrap_err());
    let killed = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
    stage.happened("chat crashed", 1).await;
    let error = tell(&notifier, &stage.calm(), "hello").await.unwrap_err();
    // `canary-2` has eight bytes like the first one; both are unknown to whoever reads this.
    assert!(error.to_string().contains("with *** of 8 bytes"), "{error}");
    assert_ne!(plugin.pid(), Some(pid));
    plugin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_do_are_refused_at_the_start_and_say_why() {
    let stage = Stage::new();
    let secret = |at: &str| json!({ "secret": at });
    let table = [
        (
            json!({ "url": "nowhere", "token": secret("kv/chat#token") }),
            ErrorKind::Denied,
            "nobody takes the token ***",
        ),
        (json!({ "url": "x", "token": secret("kv/other") }), ErrorKind::NotFound, "no such secret"),
        (
            json!({ "url": 3, "token": secret("kv/chat#token") }),
            ErrorKind::Invalid,
            "the settings are wrong: invalid type",
        ),
        (json!({ "token": secret("kv/chat#token") }), ErrorKind::Invalid, "missing field `url`"),
    ];
    for (config, kind, text) in table {
        let spec = spec(&stage).opening(opening(&stage, config));
        let error = match stage.start(spec).await {
            Err(PluginError::Settings(error) | PluginError::Secret(error)) => error,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    // Without any at all, its kind misses what it needs.
    let Err(PluginError::Settings(error)) = stage.start(spec(&stage)).await else { panic!("none") };
    assert!(error.to_string().contains("missing field"), "{error}");
    stage.all_gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_settings_is_refused_some() {
    let stage = Stage::new();
    let ordinary = |config| stage.spec("ordinary", ORDINARY).opening(opening(&stage, config));
    let plugin = stage.start(ordinary(json!({}))).await.unwrap();
    assert_eq!(plugin.providers().unwrap().len(), plugin.manifest().unwrap().capabilities.len());
    plugin.shutdown().await;
    let refused = stage.start(ordinary(json!({ "level": 3 }))).await;
    let Err(PluginError::Settings(error)) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains("the plugin takes no settings"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_hosts_own_store_is_no_fault_of_a_plugin() {
    let stage = Stage::new();
    let nowhere = json!({ "url": "x", "token": { "secret": "kv/other" } });
    let mut spec = spec(&stage).opening(opening(&stage, nowhere));
    spec.restarts.faults = 1;
    for _ in 0..3 {
        let error = stage.start(spec.clone()).await.unwrap_err();
        assert!(matches!(error, PluginError::Secret(_)), "{error}");
        assert!(error.to_string().contains("no such secret"), "{error}");
    }
    assert!(
        !stage.events().iter().any(|event| event.contains("quarantined")),
        "{:?}",
        stage.events()
    );
}
