//! The macros that turn a level into tests of a vendor's crate.

/// Makes one `#[test]` of every case of [`Deployer`](release_providers::spi::Deployer)'s suite.
///
/// The provider is anything that can be called as `async || DeployerSandbox`. The tests are in a
/// module `deployer`; with `name: other,` in front they are in `other`, so that one crate can test
/// several providers. Level V2 has what a wish says beside how many. A vendor's crate needs nothing for it but this crate and `release-providers`:
///
/// ```
/// // tests/conformance.rs
/// use release_testkit::conformance::{Subject, deployer::DeployerSandbox};
/// use release_testkit::{fakes::FakePlatform, fixtures};
///
/// async fn sandbox() -> DeployerSandbox {
///     let platform = FakePlatform::new(); // the vendor's own
///     let subjects = ["1.0.0", "1.1.0"].map(|version| {
///         platform.world.store(&fixtures::content("api", version));
///         Subject::new(fixtures::artifact("api", version), fixtures::version(version))
///     });
///     DeployerSandbox::new(platform.deployer, fixtures::target("api"), subjects)
/// }
///
/// release_testkit::deployer_conformance! { level: V1, provider: sandbox }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! deployer_conformance {
    (level: $level:ident, provider: $factory:expr $(,)?) => {
        $crate::deployer_conformance! { name: deployer, level: $level, provider: $factory }
    };
    (name: $name:ident, level: V1, provider: $factory:expr $(,)?) => {
        $crate::deployer_conformance! { @cases $name, V1, $factory, [] }
    };
    (name: $name:ident, level: V2, provider: $factory:expr $(,)?) => {
        $crate::deployer_conformance! { @cases $name, V2, $factory, [
            undeclared_wishes_are_refused
            apart_is_taken_where_declared
            carried_is_changed_without_a_restart
        ] }
    };
    (@cases $name:ident, $level:ident, $factory:expr, [$($more:ident)*]) => {
        $crate::__conformance_tests! { $name, deployer, $level, $factory, [
            description_is_stable
            applied_is_observed
            observe_changes_nothing
            apply_is_idempotent
            observe_after_lost_answer
            scale_down_keeps_others
            scale_to_zero_stops
            wrong_digest_is_refused
            unknown_artifact_is_not_found
            unknown_target_is_not_found
            too_many_is_invalid
            concurrent_applies_converge
            stale_writers_are_fenced
            cancelled_call_is_refused
            late_call_is_refused
            far_deadlines_change_nothing
            what_is_done_stays_done
            reopening_loses_nothing
            out_of_reach_is_unavailable
            refused_credentials_are_denied
            throttling_is_rate_limited
            stalled_calls_end_in_time
            secrets_stay_secret
            instances_are_as_told
            $($more)*
        ] }
    };
}

/// Makes one `#[test]` of every case of
/// [`TrafficRouter`](release_providers::spi::TrafficRouter)'s suite, in a module `router`.
///
/// As [`deployer_conformance!`](crate::deployer_conformance), with
/// `async || RouterSandbox`. Level V2 has what routers do beside dividing by shares.
///
/// ```
/// # use release_testkit::conformance::{Subject, router::RouterSandbox};
/// # use release_testkit::{fakes::FakePlatform, fixtures};
/// # async fn my_sandbox() -> RouterSandbox {
/// #     let platform = FakePlatform::new();
/// #     let subjects = ["1.0.0", "1.1.0"].map(|version| {
/// #         Subject::new(fixtures::artifact("api", version), fixtures::version(version))
/// #     });
/// #     RouterSandbox::new(platform.router, fixtures::target("api"), subjects)
/// # }
/// release_testkit::router_conformance! { name: weighted, level: V1, provider: my_sandbox }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! router_conformance {
    (level: $level:ident, provider: $factory:expr $(,)?) => {
        $crate::router_conformance! { name: router, level: $level, provider: $factory }
    };
    (name: $name:ident, level: V1, provider: $factory:expr $(,)?) => {
        $crate::router_conformance! { @cases $name, V1, $factory, [] }
    };
    (name: $name:ident, level: V2, provider: $factory:expr $(,)?) => {
        $crate::router_conformance! { @cases $name, V2, $factory, [
            undeclared_rules_are_refused
            header_routes_pick_requests
            rules_replace_rules
            rules_and_shares_change_together
            copies_reach_nobody
            copies_harm_no_request
            clients_stay
            clients_stay_with_one
            tracks_are_apart
            flights_are_told
            long_rules_hold
            copies_are_picked
        ] }
    };
    (@cases $name:ident, $level:ident, $factory:expr, [$($more:ident)*]) => {
        $crate::__conformance_tests! { $name, router, $level, $factory, [
            description_is_stable
            capabilities_are_honest
            weights_are_observed
            set_weights_is_idempotent
            weights_must_add_up
            zero_shares_are_not_reported
            empty_shares_serve_nobody
            unknown_target_is_not_found
            unknown_version_is_not_found
            no_request_is_lost_to_a_change
            abort_restores
            dropped_call_leaves_no_mixture
            concurrent_sets_leave_no_mixture
            served_follows_weights
            stale_writers_are_fenced
            cancelled_call_is_refused
            late_call_is_refused
            far_deadlines_change_nothing
            what_is_done_stays_done
            reopening_loses_nothing
            out_of_reach_is_unavailable
            refused_credentials_are_denied
            throttling_is_rate_limited
            stalled_calls_end_in_time
            secrets_stay_secret
            $($more)*
        ] }
    };
}

/// Makes one `#[test]` of every case of
/// [`IdentitySource`](release_providers::spi::IdentitySource)'s suite, in a module `identity`.
///
/// As [`deployer_conformance!`](crate::deployer_conformance), with
/// `async || IdentitySandbox`.
///
/// ```
/// use std::sync::Arc;
/// use release_core::engine::SystemClock;
/// use release_testkit::conformance::identity::IdentitySandbox;
/// # use release_core::port::Clock;
/// # use release_testkit::{fakes::FakeIdentities, fixtures};
/// # fn connect(clock: Arc<dyn Clock>) -> FakeIdentities {
/// #     FakeIdentities::of(fixtures::accounts()).with_clock(clock)
/// # }
///
/// async fn sandbox() -> IdentitySandbox {
///     let clock = Arc::new(SystemClock::new());
///     IdentitySandbox::new(Arc::new(connect(clock.clone()))).clock(clock) // the vendor's own
/// }
///
/// release_testkit::identity_conformance! { level: V1, provider: sandbox }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! identity_conformance {
    (level: $level:ident, provider: $factory:expr $(,)?) => {
        $crate::identity_conformance! { name: identity, level: $level, provider: $factory }
    };
    (name: $name:ident, level: V1, provider: $factory:expr $(,)?) => {
        $crate::__conformance_tests! { $name, identity, V1, $factory, [
            description_is_stable
            snapshot_is_a_valid_directory
            same_content_keeps_its_version
            change_is_seen_with_a_greater_version
            taken_at_is_when_it_was_read
            taken_at_never_goes_back
            closed_accounts_stay_inactive
            cut_off_is_unavailable_and_not_empty
            what_was_cut_off_comes_back
            reopening_keeps_versions
            concurrent_reads_are_whole
            cancelled_call_is_refused
            late_call_is_refused
            far_deadlines_change_nothing
            refused_credentials_are_denied
            throttling_is_rate_limited
            stalled_calls_end_in_time
            secrets_stay_secret
        ] }
    };
}

/// Makes one `#[test]` of every case of [`Journal`](release_core::journal::Journal)'s suite, in a
/// module `journal`.
///
/// As [`deployer_conformance!`](crate::deployer_conformance), with
/// `async || JournalSandbox`. A store's crate needs nothing for it but this crate and
/// `release-core`.
///
/// ```
/// use std::sync::Arc;
/// use release_core::journal::MemoryJournal;
/// use release_testkit::conformance::journal::JournalSandbox;
///
/// async fn sandbox() -> JournalSandbox {
///     JournalSandbox::new("memory", Arc::new(MemoryJournal::new())) // the store's own
/// }
///
/// release_testkit::journal_conformance! { name: in_memory, level: V1, journal: sandbox }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! journal_conformance {
    (level: $level:ident, journal: $factory:expr $(,)?) => {
        $crate::journal_conformance! { name: journal, level: $level, journal: $factory }
    };
    (name: $name:ident, level: V1, journal: $factory:expr $(,)?) => {
        $crate::__conformance_tests! { $name, journal, V1, $factory, [
            unknown_run_is_empty
            unknown_blob_is_none
            records_come_back_as_written
            blobs_come_back_as_written
            batch_is_stored_whole
            large_batch_survives
            large_blob_survives
            blob_twice_is_one
            sealed_records_verify
            expected_sequence_is_checked
            older_epoch_is_fenced
            higher_epoch_takes_over
            fenced_epoch_stays_fenced
            finished_run_takes_nothing
            malformed_batch_is_refused
            checks_come_in_order
            refused_batch_leaves_nothing
            empty_batch_changes_nothing
            heads_tell_the_ends
            heads_are_in_order_of_ids
            runs_do_not_disturb_each_other
            one_of_many_appenders_wins
            concurrent_runs_get_all_their_records
            reads_see_whole_batches
            dropped_append_is_whole_or_absent
            reopening_loses_nothing
            reopening_forgets_no_check
            handles_fence_each_other
            one_of_many_handles_wins
            want_of_room_stores_nothing
            interrupted_append_is_whole_or_absent
        ] }
    };
}

/// A module `$name` with a test for each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($name:ident, $suite:ident, $level:ident, $factory:expr, [$($case:ident)*]) => {
        #[cfg(test)]
        mod $name {
            #[allow(unused_imports, reason = "the factory may be of any place")]
            use super::*;

            $(
                #[test]
                fn $case() {
                    __check(stringify!($case));
                }
            )*

            /// The tests are those of the level.
            #[test]
            fn all_cases_are_here() {
                use $crate::conformance::{$suite, Level};
                let cases = $suite::cases(Level::$level);
                let known = cases.iter().map(|case| case.name());
                assert!(known.eq([$(stringify!($case)),*]), "the level has other cases");
            }

            fn __check(case: &str) {
                use $crate::conformance::{$suite as suite, Level};
                $crate::__private::check(case, suite::run_case(Level::$level, case, &$factory));
            }
        }
    };
}
