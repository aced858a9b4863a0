//! Providers from a file: what is wrong is told at once, secrets stand nowhere, and a plan is checked against it.

use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::Principal;
use release_core::plan::{Action, Place, Plan, Step, StepScope, Undo};
use release_core::port::{Clock, Performer as _};
use release_core::time::Span;
use release_providers::config::{Catalog, ConfigError, ProvidersFile};
use release_providers::kind::{Manifest, Opening, ProviderKind, SecretSetting, Secrets};
use release_providers::spi::{
    FlagRef, FlagStatus, FlagStore, KillFlag, Notification, Notifier, SecretRef, SetFlag, Severity,
};
use release_providers::{
    AnyProvider, Context, Description, EffectClass, ErrorKind, ProviderError, ProviderSelector,
    Registry, Secret,
};
use release_testkit::fakes::{FakeSecretStore, SecretStoreOp};
use release_testkit::{VirtualClock, fixtures};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where it is.
    url: String,
    /// How it is opened.
    token: Option<SecretSetting>,
    /// How many at once.
    #[serde(default)]
    #[expect(dead_code, reason = "only its schema counts here")]
    workers: u8,
}

/// Flags and messages of one vendor.
#[derive(Debug, Clone)]
struct Acme {
    token: Option<Secret>,
}

fn described() -> Description {
    Description::new("acme", fixtures::version("1.2.0"), EffectClass::Idempotent)
        .with_config_schema(schemars::schema_for!(Settings).to_value())
}

/// What it says, token and all: as badly as any vendor.
fn says(token: Option<&Secret>) -> ProviderError {
    let token = token.map_or("none", Secret::expose);
    ProviderError::new(ErrorKind::Denied, "acme", format!("the token {token} is not good enough"))
}

#[derive(Debug)]
struct AcmeKind;

#[async_trait]
impl ProviderKind for AcmeKind {
    fn manifest(&self) -> Manifest {
        let manifest = Manifest::new("acme", fixtures::version("1.2.0"));
        manifest.with("flag_store", described()).with("notifier", described())
    }
    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let Settings { url, token, .. } = opening.settings()?;
        let token = match token {
            Some(token) => Some(opening.secrets.value(&token).await?),
            None => None,
        };
        if url == "broken" {
            return Err(says(token.as_ref()));
        }
        let acme = Arc::new(Acme { token });
        let (flags, notifier) = (acme.clone(), AnyProvider::Notifier(acme));
        Ok(if url == "half" {
            vec![notifier]
        } else {
            vec![AnyProvider::FlagStore(flags), notifier]
        })
    }
}

#[async_trait]
impl FlagStore for Acme {
    fn describe(&self) -> Description {
        described()
    }
    async fn set(&self, _: &Context, _: SetFlag) -> Result<(), ProviderError> {
        Err(says(self.token.as_ref()))
    }
    async fn kill(&self, _: &Context, _: KillFlag) -> Result<(), ProviderError> {
        Err(says(self.token.as_ref()))
    }
    async fn observe(&self, _: &Context, _: FlagRef) -> Result<FlagStatus, ProviderError> {
        Err(says(self.token.as_ref()))
    }
}

#[async_trait]
impl Notifier for Acme {
    fn describe(&self) -> Description {
        described()
    }
    async fn notify(&self, _: &Context, message: Notification) -> Result<(), ProviderError> {
        if message.channel.as_str() == "outage" {
            return Err(ProviderError::new(ErrorKind::Unavailable, "acme", "out of order"));
        }
        Err(says(self.token.as_ref()))
    }
}

const CANARY: &str = "canary-3f9a";

struct Host {
    clock: Arc<VirtualClock>,
    vault: FakeSecretStore,
}

impl Host {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let vault = FakeSecretStore::new().with_clock(clock.clone());
        vault.with(|vault| vault.put(&SecretRef::new("kv/acme#token"), Secret::new(CANARY)));
        Self { clock, vault }
    }

    fn secrets(&self) -> Secrets {
        let host = Principal::service(fixtures::literal("host"));
        Secrets::of(Arc::new(self.vault.clone()), self.clock.clone(), host)
    }

    async fn open(&self, text: &str) -> Result<Registry, ConfigError> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        ProvidersFile::parse(text)?.open(&catalog(), clock, self.secrets()).await
    }
}

fn catalog() -> Catalog {
    Catalog::new().kind("acme", AcmeKind)
}

fn problems(text: &str) -> Vec<String> {
    let secrets = Host::new().secrets();
    let checked = ProvidersFile::parse(text).and_then(|file| file.check(&catalog(), &secrets));
    let told = checked.err().map(|error| error.to_string()).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}

const GOOD: &str = "
format: providers/v1
providers:
  - name: shop-eu
    kind: acme
    config: { url: 'https://acme.example', token: { secret: 'kv/acme#token' } }
    serves:
      - { capability: flag_store, environment: production, region: eu }
      - { capability: notifier, channel: releases }
  - name: elsewhere
    kind: acme
    config: { url: 'https://acme.example' }
";

#[tokio::test]
async fn a_file_becomes_a_registry() {
    let host = Host::new();
    let registry = host.open(GOOD).await.unwrap();
    let bound: Vec<_> = registry.bindings().iter().map(ToString::to_string).collect();
    assert_eq!(
        bound,
        [
            "flag_store, everywhere: elsewhere 1.2.0",
            "flag_store, environment production, region eu: shop-eu 1.2.0",
            "notifier, everywhere: elsewhere 1.2.0",
            "notifier, channel releases: shop-eu 1.2.0",
        ]
    );
    assert_eq!(host.vault.count(SecretStoreOp::Lease), 1, "only who names one asks for it");
}

#[tokio::test]
async fn f40_a_secret_of_the_settings_is_in_nothing_that_a_provider_says() {
    let host = Host::new();
    let registry = host.open(GOOD).await.unwrap();
    let ops = registry
        .find::<dyn Notifier>(&ProviderSelector::channel(fixtures::literal("releases")))
        .unwrap();
    let message = Notification::new(fixtures::literal("releases"), Severity::Info, "hello");
    let error = ops.notify(&fixtures::context("k"), message).await.unwrap_err();
    let said = format!("{error} {error:?} {:?}", error.report());
    assert!(said.contains("the token *** is not good enough"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
    // Nor in why one could not be opened.
    let error = host.open(&GOOD.replacen("https://acme.example", "broken", 1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "at `providers[0]`: `shop-eu` cannot be opened: acme: the token *** is not good enough"
    );
}

#[tokio::test]
async fn what_a_kind_promises_and_does_not_make_is_missed_at_once() {
    let host = Host::new();
    let half = GOOD.replacen("https://acme.example", "half", 1);
    let error = host.open(&half).await.unwrap_err().to_string();
    assert!(
        error.contains("`shop-eu` cannot be opened: its kind promises `flag_store`"),
        "{error}"
    );
    let nowhere = GOOD.replace("kv/acme#token", "kv/nobody");
    let error = host.open(&nowhere).await.unwrap_err().to_string();
    assert!(error.contains("secret_store.lease") && error.contains("no such secret"), "{error}");
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place_and_without_its_value() {
    let with = |entry: &str| format!("format: providers/v1\nproviders:\n  - {entry}\n");
    let table: &[(&str, &[&str])] = &[
        (
            "{ name: a, kind: acne, config: {} }",
            &["at `providers[0].kind`: there is no kind `acne`; the host knows `acme`"],
        ),
        (
            "{ name: A b, kind: acme, config: { url: x } }",
            &["at `providers[0].name`: a name is 1 to 64"],
        ),
        (
            "{ name: a, kind: acme }",
            &["at `providers[0].config`: \"url\" is a required property; add `url: …` to `config`"],
        ),
        (
            "{ name: a, kind: acme, config: { url: [hunter2] } }",
            &["at `providers[0].config.url`: this is not of type"],
        ),
        (
            "{ name: a, kind: acme, config: { url: x, workers: 300 } }",
            &["at `providers[0].config.workers`: this is greater than the maximum of 255"],
        ),
        (
            "{ name: a, kind: acme, config: { url: x, hunter: 2 } }",
            &[
                "at `providers[0].config`: Additional properties are not allowed ('hunter' was unexpected); the settings \
                 that there are: `token`, `url`, `workers`",
            ],
        ),
        (
            "{ name: a, kind: acme, config: { url: x, token: hunter2 } }",
            &["at `providers[0].config.token`: a secret stands in the file"],
        ),
        (
            "{ name: a, kind: acme, config: { url: 'https://ada:hunter2@x' } }",
            &["at `providers[0].config.url`: a secret stands in the file"],
        ),
        (
            "{ name: a, kind: acme, config: { url: x }, serves: [{ capability: deployer }, { capability: flag_store, channel: ops }] }",
            &[
                "at `providers[0].serves[0].capability`: the kind `acme` has no `deployer`; it has `flag_store`, `notifier`",
                "at `providers[0].serves`: `channel` selects nothing",
            ],
        ),
        (
            "{ name: a, kind: acme, config: { url: x }, serves: [{ capability: notifier, region: eu }, { capability: notifier, channel: ops }] }",
            &[
                "at `providers`: the providers that are registered as notifier for `channel ops` and for `region eu` both serve",
            ],
        ),
    ];
    for (entry, wanted) in table {
        let found = problems(&with(entry));
        assert_eq!(found.len(), wanted.len(), "{entry}: {found:#?}");
        assert!(!found.iter().any(|text| text.contains("hunter2")), "{found:?}");
        for (found, wanted) in found.iter().zip(*wanted) {
            assert!(found.starts_with(wanted), "{entry}: {found}\n{wanted}");
        }
    }
    let twice = with(
        "{ name: a, kind: acme, config: { url: x } }\n  - { name: a, kind: acme, config: { url: x } }",
    );
    let found = problems(&twice);
    assert!(found[0].starts_with("at `providers[1].name`: `a` is there twice"), "{found:?}");
    assert!(
        found[1].contains("two providers are registered as flag_store for `everywhere`"),
        "{found:?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_where() {
    let table = [
        ("format: providers/v2", "at `format`: this version reads `providers/v1`"),
        ("providers: []", "missing field `format`"),
        ("format: providers/v1\nproviders: 3", "at `providers`: line 2, column 12: expected"),
        (
            "format: providers/v1\nproviders:\n  - { name: a, kind: acme, sevres: [] }",
            "line 3, column",
        ),
        (
            "format: providers/v1\nproviders:\n  - { name: a, kind: acme, serves: [{ environment: Prod }] }",
            "at `providers[0].serves[0].environment`: line 3",
        ),
        ("format: [", "line 1"),
        // An empty variable of a template is no selector for everything.
        (
            "format: providers/v1\nproviders:\n  - { name: a, kind: acme, serves: [{ environment: }] }",
            "at `providers[0].serves[0].environment`: line 3",
        ),
    ];
    for (text, wanted) in table {
        let error = ProvidersFile::parse(text).unwrap_err().to_string();
        assert!(error.contains(wanted), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let many =
        format!("format: providers/v1\nproviders: [{}]", "{name: a, kind: b},".repeat(300_000));
    assert!(ProvidersFile::parse(&many).unwrap_err().to_string().contains("split it"));
}

#[test]
fn references_need_a_store_to_ask() {
    let file = ProvidersFile::parse(GOOD).unwrap();
    let error = file.check(&catalog(), &Secrets::none()).unwrap_err().to_string();
    assert_eq!(
        error,
        "at `providers[0].config.token`: the host has no store of secrets to ask; give it one when it opens this file"
    );
}

#[tokio::test]
async fn a_plan_is_checked_against_a_file_without_reaching_anybody() {
    let file = ProvidersFile::parse(GOOD).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
    let registry = file.preview(&catalog(), clock).unwrap();
    let plan = |capability: &str, input| {
        let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
        let action = Action::Custom { capability: capability.into(), input };
        let mut step = Step::new(fixtures::literal("s"), action).undo(undo);
        step.scope = StepScope::of(Place::new(fixtures::literal("production")));
        let mut plan = Plan::builder(fixtures::literal("t"), fixtures::literal("r"));
        plan.step(step);
        plan.build().unwrap()
    };
    let set = json!({ "flag": "dark", "environment": "production", "state": { "state": "on" } });
    assert_eq!(registry.check(&plan("flag_store.set", set)), Ok(()));
    let errors = registry.check(&plan("migrator.expand", json!({}))).unwrap_err();
    assert!(errors[0].problem.contains("no migrator is registered"), "{errors:?}");
    let flags = registry.find::<dyn FlagStore>(&ProviderSelector::everywhere()).unwrap();
    let flag = FlagRef::new("dark".into(), fixtures::literal("production"));
    let error = flags.observe(&fixtures::context("k"), flag).await.unwrap_err();
    assert!(error.to_string().contains("this registry is a preview"), "{error}");
}

#[test]
fn the_schema_of_files_knows_the_settings_of_every_kind() {
    let schema = catalog().file_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let file = |config| json!({ "format": "providers/v1", "providers": [{ "name": "a", "kind": "acme", "config": config }] });
    assert!(validator.is_valid(&file(json!({ "url": "x", "token": { "secret": "kv/x" } }))));
    assert!(!validator.is_valid(&file(json!({ "url": 3 }))));
    assert!(!validator.is_valid(&file(json!({ "url": "x", "token": "hunter2" }))));
    let unknown =
        json!({ "format": "providers/v1", "providers": [{ "name": "a", "kind": "acne" }] });
    assert!(!validator.is_valid(&unknown));
}

#[test]
fn what_one_entry_fails_is_not_held_against_another_of_its_kind() {
    let host = Host::new();
    let work = async {
        let registry = host.open(GOOD).await.unwrap();
        let tell = async |name: &str| {
            let at = ProviderSelector::channel(fixtures::literal(name));
            let notifier = registry.find::<dyn Notifier>(&at).unwrap();
            let message = Notification::new(fixtures::literal(name), Severity::Info, "hello");
            let mut cx = fixtures::context("k");
            cx.deadline = host.clock.now().plus(Span::secs(1));
            notifier.notify(&cx, message).await.unwrap_err().to_string()
        };
        let mut said = String::new();
        for _ in 0..25 {
            said = tell("outage").await;
        }
        (said, tell("releases").await)
    };
    let (elsewhere, shop) = host.clock.run(work).unwrap();
    assert!(elsewhere.contains("it is given a rest"), "{elsewhere}");
    assert!(shop.contains("the token *** is not good enough"), "{shop}");
}
