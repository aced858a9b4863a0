//! Proves that a provider or a journal keeps its trait's contract: one suite a trait, one case a
//! promise.
//!
//! A vendor writes one macro, [`conformance!`](crate::conformance!), and gets one `#[test]` a case. Whoever
//! wants the result as data calls the `run` of a suite's module, or [`Suite::run`] of any suite by its name,
//! and gets a [`ConformanceReport`].
//!
//! Every case gets a *sandbox* of its own from the vendor's factory: the provider, and the targets
//! and artifacts that the suite may use, or a journal whose store is empty. It touches nothing else.
//! What a sandbox does not offer (content that does not match its digest, a limit of instances, a
//! store that can be opened again) is skipped, and the report says so.
//!
//! The cases of a published [`Level`] never change, so an update of this crate turns no vendor's
//! build red; new cases come with a new level. `conformance-v1.txt` of this crate lists them all, and
//! `conformance-v1-requests.txt` has a digest of what each asks; `conformance-v2.txt` and its requests are what [`Level::V2`]
//! adds, for routers and sources of metrics.
//! That the suites find what they should find is tested with [saboteurs](crate::saboteur).

pub mod any;
mod case;
pub mod deployer;
pub mod identity;
pub mod journal;
mod list;
mod offered;
mod report;
pub mod router;
mod said;
mod sandbox;
mod suites;
mod trouble;

pub use case::{CASE_LIMIT, Case};
pub use list::{SandboxOf, Sandboxes, Suite, Suited};
pub use report::{CaseReport, ConformanceReport, Level, Verdict, Violation};
pub use sandbox::{HookError, Subject};
pub use suites::{
    approval_channel, artifact_signer, artifact_store, artifact_verifier, build_runner,
    change_desk, clock_source, config_source, custom_action, data_set_store, event_sink,
    flag_store, health_probe, incident_source, metrics_source, migrator, notifier, pager,
    provisioner, scanner, secret_store, test_runner,
};
pub use trouble::Trouble;

pub(crate) use case::{
    Broken, Check, broken, cancelled_or_done, case, description_is_stable, fenced, refused,
    run_all, run_one, stays,
};
pub(crate) use list::suited;
pub(crate) use offered::{acting, closed, shared};
pub(crate) use said::{Said, without};
pub(crate) use sandbox::{
    Common, Hook, Provided, Sandbox, cancel_half_way, hook, interrupt, interrupt_within, length,
    title, unanswered, wait,
};
pub(crate) use trouble::{Acts, Meets, Troubled, troubled, which};
