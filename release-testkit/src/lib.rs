//! Everything for testing release automation: fakes, faults, virtual time, and suites by which a
//! provider or a journal proves that it keeps its trait's contract.
//!
//! # For a vendor: prove a provider
//!
//! One file in `tests/`, and every promise of the trait's documentation is a test of its own. The
//! crate needs nothing for it but this one and `release-providers`:
//!
//! ```
//! // tests/conformance.rs
//! use release_testkit::conformance::{Subject, deployer::DeployerSandbox};
//! use release_testkit::fixtures;
//! # mod acme {
//! #     use std::sync::Arc;
//! #     use release_testkit::{fakes::{FakeDeployer, World}, fixtures};
//! #     pub fn connect() -> Arc<FakeDeployer> {
//! #         let world = World::new();
//! #         ["1.0.0", "1.1.0"].map(|version| world.store(&fixtures::content("api", version)));
//! #         Arc::new(FakeDeployer::of(&world))
//! #     }
//! # }
//!
//! async fn sandbox() -> DeployerSandbox {
//!     let subject = |v| Subject::new(fixtures::artifact("api", v), fixtures::version(v));
//!     let provider = acme::connect(); // an `Arc` of what implements `Deployer`
//!     DeployerSandbox::new(provider, fixtures::target("api"), ["1.0.0", "1.1.0"].map(subject))
//! }
//!
//! release_testkit::deployer_conformance! { level: V1, provider: sandbox }
//! # fn main() {}
//! ```
//!
//! ```text
//! $ cargo test --test conformance
//! test deployer::apply_is_idempotent ... ok
//! test deployer::observe_after_lost_answer ... ok
//! test deployer::scale_down_keeps_others ... ok
//! …
//! ```
//!
//! For any other trait it is [`conformance!`](crate::conformance!) with the trait's name; [`fakes::FakeFleet`] shows a
//! sandbox for each.
//!
//! See [`conformance`](mod@conformance) for what a sandbox can offer besides, and for the report as data.
//!
//! # For the author of a store: prove a journal
//!
//! The same goes for every [`Journal`](release_core::journal::Journal). What the sandbox can do with
//! the store, such as opening it again, makes more cases possible:
//!
//! ```
//! // tests/conformance.rs
//! use std::sync::Arc;
//! use release_testkit::conformance::journal::JournalSandbox;
//! # mod acme {
//! #     use std::sync::Arc;
//! #     use release_core::journal::{Journal, MemoryJournal};
//! #     #[derive(Clone, Default)]
//! #     pub struct Database(Arc<MemoryJournal>);
//! #     impl Database { pub fn empty() -> Self { Self::default() } }
//! #     pub async fn open(database: Database) -> Result<Arc<dyn Journal>, std::io::Error> { Ok(database.0) }
//! # }
//!
//! async fn sandbox() -> JournalSandbox {
//!     let database = acme::Database::empty();
//!     let journal = acme::open(database.clone()).await.expect("an `Arc` of what implements `Journal`");
//!     JournalSandbox::new("acme", journal).reopen(move || {
//!         let database = database.clone();
//!         async move { Ok(acme::open(database).await?) }
//!     })
//! }
//!
//! release_testkit::journal_conformance! { level: V1, journal: sandbox }
//! # fn main() {}
//! ```
//!
//! # For a host: test releases
//!
//! A release with real policies and the real engine, with every provider a [fake](fakes), runs
//! inside a unit test, and its hours of baking take [no time](VirtualClock). Then script what goes
//! wrong: a deploy whose [answer gets lost](fakes::Behaviour::ApplyThenLose), a journal that
//! [is full](FaultyJournal), a metric that is NaN.
//!
//! | part | what for |
//! |---|---|
//! | [`conformance`](mod@conformance) | suites that prove a provider or a journal, one `#[test]` a promise |
//! | [`fakes`] | a correct, scriptable, recording fake of every provider trait |
//! | [`explore`] | every state that a plan can come to, with every fault, a cancel and a crash at each |
//! | [`fixtures`] | valid values: artifacts, principals, a train of three services |
//! | [`sim`] | the simulator: whole release processes on virtual time, with faults and people, held to invariants |
//! | [`saboteur`] | providers and journals with one fault each: the suites' own test |
//! | [`VirtualClock`] | time that moves when a test says so |
//! | [`FaultyJournal`] | a journal that fails when a test says so |
//! | `mocks` | `mockall` mocks, for calls that must never be made |
//!
//! # Features
//!
//! | feature | default | what for |
//! |---|---|---|
//! | `mock` | no | the module `mocks` |
//! | `plugin` | no | the binary `fake-plugin`, which serves fakes over the plugin boundary |
//!
//! # What this crate does not do
//!
//! It is for tests: nothing here is needed, or meant, in production. Its fakes keep no promise of
//! speed or durability. Where a literal of a test is wrong, the functions of [`fixtures`] panic.

mod any_macro;
mod clock;
pub mod conformance;
pub mod explore;
pub mod fakes;
pub mod fixtures;
mod journal;
mod macros;
#[cfg(feature = "mock")]
pub mod mocks;
mod private;
pub mod saboteur;
pub mod sim;

pub use clock::{Stuck, VirtualClock};
pub use journal::{AppendFault, FaultyJournal, Injected};

#[doc(hidden)]
pub mod __private {
    pub use crate::private::check;
}

/// The chapter of the SDK's guide that uses this crate: its examples are compiled and run here.
#[cfg(doctest)]
#[doc = include_str!("../../release-providers/src/guide/test.md")]
pub mod chapter {}
