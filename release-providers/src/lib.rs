//! The plugin SDK: one small trait a capability, a registry that binds providers to places, and the
//! real providers that ship with it.
//!
//! A vendor implements a trait of [`spi`]; a host registers it; the engine reaches it through the
//! [`Registry`], which is its [`Performer`](release_core::port::Performer).
//!
//! ```
//! use release_providers::spi::{Notification, Notifier};
//! use release_providers::{Context, Description, EffectClass, ProviderError, Version, async_trait};
//!
//! /// Tells people on standard output.
//! #[derive(Debug)]
//! struct Console;
//!
//! #[async_trait]
//! impl Notifier for Console {
//!     fn describe(&self) -> Description {
//!         Description::new("console", Version::new(1, 0, 0), EffectClass::Opaque)
//!     }
//!     async fn notify(&self, _: &Context, notification: Notification) -> Result<(), ProviderError> {
//!         println!("{}: {}", notification.channel, notification.message);
//!         Ok(())
//!     }
//! }
//! ```
//!
//! **The [`guide`] tells how to choose a trait, implement it, test it, ship it in process or as a plugin, and version it.**
//!
//! # Where to find what
//!
//! | item | what it is | feature |
//! |---|---|---|
//! | [`guide`] | how to write a provider | always |
//! | [`spi`] | the traits that vendors implement | always |
//! | [`Context`], [`ProviderError`], [`Description`] | what every call is told, answers and says of itself | always |
//! | [`layer`] | what stands around a provider of any trait: retries, limits, timeouts, redaction, record and replay | always |
//! | [`Registry`], [`ProviderSelector`] | who serves what; checks a whole plan before it runs, and whether what is to judge it can be measured | always |
//! | [`build`] | builds of many repositories, and suites of tests over stages, each driven over a runner | always |
//! | [`escalation`] | calls people about what was awaited and has not come | always |
//! | [`incidents`] | tells a run of open incidents, so that it does what was planned for them | always |
//! | [`drift`] | tells of traffic that is not any more as a run left it | always |
//! | [`kind`] | kinds of providers, which are opened with settings | always |
//! | `config` | providers from a file: settings by their schemas, secrets by reference | `config` |
//! | `sqlite` | the durable journal | `sqlite`, default |
//! | `plugin` | providers in processes of their own, in any language: the host's side and the plugin's | `plugin` |
//! | [`endpoints`] | where instances are, for routers that have to be told; draining | always |
//! | `gateway-api` | a router over `HTTPRoute`s of Kubernetes | `gateway_api` |
//! | `haproxy` | a router that drives HAProxy by its runtime API | `haproxy` |
//! | `envoy` | a router that drives Envoy by files, and believes its admin interface | `envoy` |
//! | `prometheus` | measures versions by the HTTP API of a Prometheus | `prometheus` |
//! | `samples` | measures versions by raw samples: text endpoints that are scraped, a file, a feed; what each sample is, is typed | `samples` |
//! | `git` | builds: commands in work trees of git repositories | `git` |
//! | `webhook` | hooks of rollouts as web services | `webhook` |
//! | `web` | measures versions by numbers that web services tell, and by gates | `web` |
//! | `flagd` | feature flags in the file that flagd and OpenFeature providers watch | `flagd` |
//! | `local` | processes, a weighted proxy, health, metrics, artifacts and identities on this machine | `local`, default |
//!
//! The features `local`, `git` and `plugin` need Linux, `haproxy` and `envoy` a Unix; elsewhere, build with `default-features = false, features =
//! ["sqlite"]`. Without default features there is no HTTP and no database: what a vendor needs is traits and types.
//! The conformance suites that try to break a provider are in `release-testkit`.
//!
//! # What this crate does not do
//!
//! It decides nothing about a release: providers report, `release-core` judges. It reads no environment
//! and keeps no global.
//!
//! # Stability
//!
//! Before 1.0, minor releases may break the API. The minimum supported Rust version is 1.95.

#[cfg(all(feature = "local", not(target_os = "linux")))]
compile_error!(
    "the feature `local` needs Linux; build with default-features = false, features = [\"sqlite\"]"
);
#[cfg(all(any(feature = "haproxy", feature = "envoy"), not(unix)))]
compile_error!("the features `haproxy` and `envoy` need a Unix");
#[cfg(all(feature = "plugin", not(target_os = "linux")))]
compile_error!("the feature `plugin` needs Linux");
#[cfg(all(feature = "git", not(target_os = "linux")))]
compile_error!("the feature `git` needs Linux");

mod abilities;
pub mod build;
mod capability;
#[cfg(feature = "config")]
pub mod config;
mod context;
mod describe;
#[cfg(any(feature = "local", feature = "git", feature = "haproxy", feature = "envoy"))]
mod disk;
pub mod drift;
pub mod endpoints;
#[cfg(feature = "envoy")]
pub mod envoy;
mod error;
pub mod escalation;
#[cfg(any(feature = "local", feature = "samples"))]
mod exposition;
#[cfg(feature = "flagd")]
pub mod flagd;
#[cfg(feature = "gateway-api")]
pub mod gateway_api;
#[cfg(feature = "git")]
pub mod git;
pub mod guide;
#[cfg(feature = "haproxy")]
pub mod haproxy;
#[cfg(any(feature = "local", feature = "envoy", feature = "samples"))]
mod http;
pub mod incidents;
pub mod kind;
pub mod layer;
#[cfg(feature = "local")]
pub mod local;
mod measure;
mod performer;
#[cfg(feature = "plugin")]
pub mod plugin;
#[cfg(any(feature = "local", feature = "git"))]
mod procfs;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod registry;
#[cfg(any(feature = "samples", feature = "webhook"))]
mod retry_after;
#[cfg(any(feature = "haproxy", feature = "envoy", feature = "gateway-api"))]
mod routing;
#[cfg(feature = "samples")]
pub mod samples;
mod secret;
#[cfg(any(feature = "local", feature = "haproxy", feature = "envoy", feature = "gateway-api"))]
mod shares;
pub mod spi;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod sync;
#[cfg(feature = "web")]
pub mod web;
#[cfg(feature = "webhook")]
pub mod webhook;

pub use abilities::{
    Abilities, DeployerAbilities, Fencing, MetricsAbilities, RouterAbilities, SecretStoreAbilities,
    Splitting,
};
/// Makes traits with `async fn` object-safe: stands before every implementation of a trait of [`spi`].
pub use async_trait::async_trait;
pub use capability::{OPERATIONS, Operation};
pub use context::Context;
pub use describe::{Description, EffectClass};
pub use error::{ErrorKind, ErrorReport, ProviderError, RetryAdvice};
pub use layer::Shielding;
pub use registry::{
    AnyProvider, Binding, Capable, NotObservable, ProviderSelector, Registry, RegistryBuilder,
    RegistryError,
};
pub use release_core::clock::SystemClock;
/// The nouns of releases, which requests and answers are made of.
pub use release_core::model;
pub use release_core::port::{Clock, EffectCertainty};
pub use release_core::time::{Span, Timestamp};
pub use secret::Secret;
/// The version in a [`Description`], as of Semantic Versioning.
pub use semver::Version;
/// What settings and reports without a type of their own are held in.
pub use serde_json;

/// What `for_each_capability!` names of `release-core`.
#[doc(hidden)]
pub mod __core {
    pub use release_core::model::{ArtifactRef, IdentitySnapshot};
    pub use release_core::port::Measurement;
}
