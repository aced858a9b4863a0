//! The typed model, the planner and the event-sourced engine for release automation.
//!
//! A [`Definition`](model::Definition) (what people write) is checked and expanded into a
//! [`Plan`](plan::Plan): a DAG of typed steps that can be read, drawn, diffed and rolled back on
//! paper before anything moves. A run executes it: a pure [`decide`](run::decide) turns inputs into
//! events, the [`Journal`](journal::Journal) makes them durable, and only then does the
//! [`Engine`](engine::Engine) bring their effects about, through one narrow port, the
//! [`Performer`](port::Performer).
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use release_core::engine::Engine;
//! use release_core::journal::MemoryJournal;
//! use release_core::model::Principal;
//! use release_core::plan::{Action, EdgeKind, Plan, Step};
//! use release_core::port::{AuthorizedCommand, BindingError, EffectError, Evidence, Observed, Performer};
//! use release_core::run::Outcome;
//!
//! /// Brings effects about. Yours would be the `Registry` of `release-providers`.
//! #[derive(Debug)]
//! struct Printer;
//!
//! #[async_trait]
//! impl Performer for Printer {
//!     fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
//!         Ok(())
//!     }
//!     async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
//!         println!("{}: {}", command.key(), command.step().action);
//!         Ok(Evidence::Done)
//!     }
//!     async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> {
//!         Ok(Observed::NotApplied) // printing twice does no harm
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut plan = Plan::builder("shop".parse()?, "shop-2".parse()?);
//! let hello = |to: &str| Action::Notify { channel: "ops".parse().unwrap(), message: format!("hello {to}") };
//! let first = plan.step(Step::new("first".parse()?, hello("staging")));
//! let second = plan.step(Step::new("second".parse()?, hello("production")));
//! plan.edge(first, second, EdgeKind::Order);
//!
//! let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(Printer)).build();
//! let run = engine.start("run-1".parse()?, plan.build()?, Principal::human("ada".parse()?)).await?;
//! assert_eq!(run.wait().await?, Outcome::Succeeded);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to find what
//!
//! | module | holds | is |
//! |---|---|---|
//! | [`model`] | the nouns that people write, and their files | pure |
//! | [`plan`] | definition → steps, strategies, rollback, drawing, diff | pure |
//! | [`run`] | events, state, decisions | pure |
//! | [`limits`] | who may have how much at once or a week: a ledger of permits | pure |
//! | [`journal`] | the record format, its hash chain, the port, a store in memory | pure but for the port |
//! | [`port`] | what the engine needs from outside | traits |
//! | [`clock`] | the system's clock (feature `clock`, with `driver`) | async |
//! | [`engine`] | the tokio shell (feature `driver`, on by default) | async |
//! | [`report`] | folds over events, for people | pure |
//! | [`stats`] | the numerics of judging: tests, e-processes, boundaries | pure |
//! | [`analysis`] | judging a canary | pure |
//! | [`build`] | which builds of many repositories come after which, and suites of tests on several workers | pure |
//! | [`flags`] | feature flags: their names, their states, who gets which variant | pure |
//! | [`explain`] | why a run stands where it does, stood where it did, and what would come of a plan | pure |
//!
//! # What this crate does not do
//!
//! It knows no vendor, no database, no HTTP: see `release-providers`. It decides no freeze and no
//! role: see `release-policy`. It reads no clock, no environment and no randomness outside `engine`.
//!
//! # Stability
//!
//! Before 1.0, minor releases may break the API; journals and plans of every released format stay
//! readable. The minimum supported Rust version is 1.95, and raising it is a minor release.

pub mod analysis;
mod bounds;
pub mod build;
#[cfg(feature = "clock")]
pub mod clock;
#[cfg(feature = "driver")]
pub mod engine;
pub mod explain;
pub mod flags;
pub mod ids;
#[cfg(feature = "files")]
pub mod import;
pub mod journal;
pub mod limits;
pub mod model;
pub mod plan;
#[cfg(planted_bugs)]
#[doc(hidden)]
pub mod planted;
pub mod port;
pub mod report;
pub mod run;
pub mod stats;
pub mod time;
