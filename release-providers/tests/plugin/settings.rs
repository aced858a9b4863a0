//! Settings through the boundary: from a file, with secrets that the host asks for, at every start anew.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use release_core::clock::SystemClock;
use release_core::model::Principal;
use release_core::port::{Clock, ClockAnomaly};
use release_core::time::{Span, Timestamp};
use release_providers::kind::{Opening, ProviderKind as _, Secrets};
use release_providers::layer::Redactor;
use release_providers::plugin::host::{Plugin, PluginKind, PluginProblem, PluginSpec};
use release_providers::spi::{
    LeaseRef, LeaseSecret, LeaseStatus, ObserveSecret, RenewLease, RotateSecret, SecretLease,
    SecretStatus, SecretStore,
};
use release_providers::{Context, Description, EffectClass, ErrorKind, ProviderError, Secret};
use serde_json::{Value, json};

use super::support::{ORDINARY, Stage, tell};

const SETTINGS: &str = env!("CARGO_BIN_EXE_settings-plugin");

/// A store whose one secret is another one at every lease, and longer by a byte where it is to be told apart.
#[derive(Debug)]
struct Vault {
    clock: Arc<SystemClock>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Health {
    #[default]
    Up,
    /// It says that it is down.
    Down,
    /// Its calls never end.
    Hangs,
}

#[derive(Debug, Default)]
struct Ledger {
    /// How long leases last; as long as is asked for, if nothing is said.
    lasts: Option<Span>,
    /// Whether leases can be renewed.
    renews: bool,
    health: Health,
    /// Whether its leases have ended when they begin, by the host's clock.
    over: bool,
    leased: usize,
    renewed: usize,
    /// Those that nobody has ended.
    open: BTreeSet<String>,
}

impl Vault {
    fn new(stage: &Stage, ledger: Ledger) -> Arc<Self> {
        Arc::new(Self { clock: Arc::clone(&stage.clock), ledger: Mutex::new(ledger) })
    }

    fn of_short_leases(stage: &Stage, renews: bool) -> Arc<Self> {
        Self::new(stage, Ledger { lasts: Some(Span::millis(300)), renews, ..Ledger::default() })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn up(&self) -> Result<MutexGuard<'_, Ledger>, ProviderError> {
        let ledger = self.ledger();
        if ledger.health == Health::Down {
            return Err(ProviderError::new(ErrorKind::Unavailable, "vault", "it is down"));
        }
        Ok(ledger)
    }

    /// When a lease from now on ends.
    fn end(&self, ledger: &Ledger, ttl: Span) -> Timestamp {
        let now = self.clock.now();
        if ledger.over {
            return Timestamp::from_micros(now.as_micros() - 1_000_000);
        }
        now.plus(ledger.lasts.unwrap_or(ttl))
    }
}

fn unsupported<T>() -> Result<T, ProviderError> {
    Err(ProviderError::new(ErrorKind::Unsupported, "vault", "it does not"))
}

#[async_trait]
impl SecretStore for Vault {
    fn describe(&self) -> Description {
        Description::new("vault", semver::Version::new(1, 0, 0), EffectClass::Idempotent)
    }
    async fn lease(&self, _: &Context, request: LeaseSecret) -> Result<SecretLease, ProviderError> {
        if self.ledger().health == Health::Hangs {
            std::future::pending::<()>().await;
        }
        let mut ledger = self.up()?;
        if request.secret.as_str() != "kv/chat#token" {
            return Err(ProviderError::new(ErrorKind::NotFound, "vault.lease", "no such secret"));
        }
        ledger.leased += 1;
        let count = ledger.leased;
        let value = if ledger.lasts.is_some() {
            format!("canary-{}", "x".repeat(count))
        } else {
            format!("canary-{count}")
        };
        let lease = format!("lease-{count}");
        ledger.open.insert(lease.clone());
        let end = self.end(&ledger, request.ttl);
        Ok(SecretLease::new(lease, 1, end, Secret::new(value)))
    }
    async fn renew(&self, _: &Context, asked: RenewLease) -> Result<LeaseStatus, ProviderError> {
        let mut ledger = self.up()?;
        if !ledger.renews {
            return unsupported();
        }
        ledger.renewed += 1;
        let end = self.end(&ledger, asked.ttl);
        Ok(LeaseStatus::new(asked.lease, end))
    }
    async fn revoke(&self, _: &Context, asked: LeaseRef) -> Result<(), ProviderError> {
        self.up()?.open.remove(&asked.lease);
        Ok(())
    }
    async fn rotate(&self, _: &Context, _: RotateSecret) -> Result<SecretStatus, ProviderError> {
        unsupported()
    }
    async fn observe(&self, _: &Context, _: ObserveSecret) -> Result<SecretStatus, ProviderError> {
        unsupported()
    }
}

fn opening_of(stage: &Stage, vault: Arc<Vault>, config: Value) -> Opening {
    let clock: Arc<dyn Clock> = Arc::clone(&stage.clock) as _;
    let host = Principal::service("host".parse().unwrap());
    Opening::new("releases", config, Arc::clone(&clock), Secrets::of(vault, clock, host))
}

fn opening(stage: &Stage, config: Value) -> Opening {
    opening_of(stage, Vault::new(stage, Ledger::default()), config)
}

/// The plugin, with a secret of `vault`.
async fn started(stage: &Stage, vault: &Arc<Vault>) -> Plugin {
    let opening = opening_of(stage, Arc::clone(vault), good());
    stage.start(spec(stage).opening(opening)).await.unwrap()
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
        let refused = stage.start(spec).await.unwrap_err();
        let (PluginProblem::Settings(error) | PluginProblem::Secret(error)) = refused.problem()
        else {
            panic!("{text}: {refused:?}")
        };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    // Without any at all, its kind misses what it needs.
    let refused = stage.start(spec(&stage)).await.unwrap_err();
    let PluginProblem::Settings(error) = refused.problem() else { panic!("{refused:?}") };
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
    let refused = stage.start(ordinary(json!({ "level": 3 }))).await.unwrap_err();
    let PluginProblem::Settings(error) = refused.problem() else { panic!("{refused:?}") };
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
        assert!(matches!(error.problem(), PluginProblem::Secret(_)), "{error}");
        assert!(error.to_string().contains("no such secret"), "{error}");
    }
    assert!(
        !stage.events().iter().any(|event| event.contains("quarantined")),
        "{:?}",
        stage.events()
    );
}

/// Right, but that nobody has to wait by it.
#[derive(Debug)]
struct Hurried(Arc<SystemClock>);

#[async_trait]
impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn anomaly(&self) -> Option<ClockAnomaly> {
        None
    }
    async fn sleep_until(&self, _: Timestamp) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_store_that_hangs_is_given_up_and_is_no_fault_of_a_plugin() {
    let stage = Stage::new();
    let vault = Vault::new(&stage, Ledger { health: Health::Hangs, ..Ledger::default() });
    let clock: Arc<dyn Clock> = Arc::clone(&stage.clock) as _;
    let hurried = Arc::new(Hurried(Arc::clone(&stage.clock)));
    let host = Principal::service("host".parse().unwrap());
    let secrets = Secrets::of(Arc::clone(&vault) as _, hurried, host);
    let mut spec = spec(&stage).opening(Opening::new("releases", good(), clock, secrets));
    spec.restarts.faults = 1;
    for _ in 0..3 {
        let error = stage.start(spec.clone()).await.unwrap_err();
        let PluginProblem::Secret(secret) = error.problem() else { panic!("{error}") };
        assert_eq!(secret.kind(), ErrorKind::Timeout, "{error}");
    }
    assert!(stage.events().iter().all(|event| event.starts_with("chat start-failed")));
    vault.ledger().health = Health::Up;
    stage.start(spec).await.unwrap().shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f37_a_plugin_that_hangs_when_it_is_told_its_settings_again_is_killed() {
    let stage = Stage::new();
    let vault = Vault::of_short_leases(&stage, false);
    let config =
        json!({ "url": "hangs when it is told again", "token": { "secret": "kv/chat#token" } });
    let mut spec = spec(&stage).opening(opening_of(&stage, Arc::clone(&vault), config));
    spec.start_timeout = Span::secs(3);
    let plugin = stage.start(spec).await.unwrap();
    stage.happened("chat hung plugin.configure", 1).await;
    stage.eventually("its leases are ended", || vault.ledger().open.is_empty()).await;
    stage.all_gone().await;
    plugin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_that_have_ended_when_they_begin_are_not_asked_for_in_a_loop() {
    let stage = Stage::new();
    let vault = Vault::new(&stage, Ledger { over: true, ..Ledger::default() });
    let begin = stage.clock.now();
    let plugin = started(&stage, &vault).await;
    stage.eventually("leased thrice", || vault.ledger().leased >= 3).await;
    // By the store's clock they may last: so they are replaced, a second after each other.
    assert!(stage.clock.now().since(begin) >= Span::secs(2));
    plugin.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_renewed_while_a_plugin_runs_and_end_with_it() {
    let stage = Stage::new();
    let vault = Vault::of_short_leases(&stage, true);
    let plugin = started(&stage, &vault).await;
    stage.eventually("renewed thrice", || vault.ledger().renewed >= 3).await;
    {
        let ledger = vault.ledger();
        assert_eq!((ledger.leased, ledger.open.len()), (1, 1), "{ledger:?}");
    }
    plugin.shutdown().await;
    assert_eq!(vault.ledger().open, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_leases_are_not_renewed_a_running_plugin_gets_fresh_secrets() {
    let stage = Stage::new();
    let vault = Vault::of_short_leases(&stage, false);
    let plugin = started(&stage, &vault).await;
    let (notifier, pid) = (plugin.notifier().unwrap(), plugin.pid());
    stage.eventually("leased thrice", || vault.ledger().leased >= 3).await;
    let error = tell(&notifier, &stage.calm(), "hello").await.unwrap_err().to_string();
    // The first has eight bytes; the third is asked for when the plugin has the second.
    assert!(error.contains("with *** of ") && !error.contains("of 8 bytes"), "{error}");
    assert!(!error.contains("canary"), "{error}");
    assert_eq!(plugin.pid(), pid, "{:?}", stage.events());
    plugin.shutdown().await;
    assert_eq!(vault.ledger().open.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_leaves_a_plugin_what_it_has_and_is_asked_again() {
    let stage = Stage::new();
    let vault = Vault::of_short_leases(&stage, true);
    let plugin = started(&stage, &vault).await;
    vault.ledger().health = Health::Down;
    stage.happened("chat not-renewed", 1).await;
    let notifier = plugin.notifier().unwrap();
    let error = tell(&notifier, &stage.calm(), "hello").await.unwrap_err().to_string();
    assert!(error.contains("of 8 bytes"), "{error}");
    let before = {
        let mut ledger = vault.ledger();
        ledger.health = Health::Up;
        ledger.renewed
    };
    stage.eventually("renewed again", || vault.ledger().renewed > before).await;
    plugin.shutdown().await;
    assert_eq!(vault.ledger().open.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_a_start_that_fails_are_ended() {
    let stage = Stage::new();
    let vault = Vault::new(&stage, Ledger::default());
    let config = json!({ "url": 7, "token": { "secret": "kv/chat#token" } });
    let spec = spec(&stage).opening(opening_of(&stage, Arc::clone(&vault), config));
    stage.start(spec).await.unwrap_err();
    assert_eq!(vault.ledger().leased, 1);
    stage.eventually("it is ended", || vault.ledger().open.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f40_the_hosts_redactor_knows_the_secrets_of_its_plugins() {
    let mut stage = Stage::new();
    let shared = Redactor::default();
    stage.host = stage.host.clone().redacting(shared.clone());
    let spec = spec(&stage).opening(opening(&stage, good()));
    let plugin = stage.start(spec.secret_env("OTHER", "hunter-of-two")).await.unwrap();
    let text = "canary-1 and hunter-of-two";
    assert_eq!(shared.redact(text).as_deref(), Some("*** and ***"));
    plugin.shutdown().await;
}
