//! One macro for the suite of any trait.

/// Makes one `#[test]` of every case of a trait's suite, of its first level; of the second one with `at V2` behind
/// `Deployer`, `TrafficRouter` or `MetricsSource`.
///
/// The second argument is anything that can be called as `async || Sandbox`, where the sandbox is the provider with what
/// of it the suite may use: see [`conformance`](mod@crate::conformance).
///
/// ```
/// use std::sync::Arc;
/// use release_testkit::conformance::flag_store::{FlagStoreSandbox, sandbox};
/// use release_testkit::{fakes::FakeFlagStore, fixtures};
///
/// async fn mine() -> FlagStoreSandbox {
///     let environment = fixtures::literal("staging");
///     let store = FakeFlagStore::new().flag("dark-mode", &environment); // the vendor's own
///     sandbox(Arc::new(store), "dark-mode", environment)
/// }
///
/// release_testkit::conformance!(FlagStore, mine);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance {
    (Deployer, $factory:expr) => {
        $crate::deployer_conformance! { level: V1, provider: $factory }
    };
    (Deployer at V2, $factory:expr) => {
        $crate::deployer_conformance! { level: V2, provider: $factory }
    };
    (TrafficRouter, $factory:expr) => {
        $crate::router_conformance! { level: V1, provider: $factory }
    };
    (TrafficRouter at V2, $factory:expr) => {
        $crate::router_conformance! { level: V2, provider: $factory }
    };
    (IdentitySource, $factory:expr) => {
        $crate::identity_conformance! { level: V1, provider: $factory }
    };
    (Journal, $factory:expr) => {
        $crate::journal_conformance! { level: V1, journal: $factory }
    };
    (ApprovalChannel, $factory:expr) => {
        $crate::__any_conformance! { approval_channel, acting, $factory, [
            answers_are_collected_in_their_order
            a_question_is_asked_once
            what_is_taken_back_takes_no_answers
        ] }
    };
    (BuildRunner, $factory:expr) => {
        $crate::__any_conformance! { build_runner, acting, $factory, [
            a_build_ends_with_its_artifacts
            what_was_cancelled_is_over
            what_is_over_stays_as_it_is
            an_unused_key_is_unknown
        ] }
    };
    (ChangeDesk, $factory:expr) => {
        $crate::__any_conformance! { change_desk, acting, $factory, [
            a_change_gets_one_ticket
            what_is_told_is_observed
            what_was_said_is_said_once
            what_the_desk_decides_is_observed
            what_is_closed_stays_closed
            nobodys_change_has_no_ticket
        ] }
    };
    (CustomAction, $factory:expr) => {
        $crate::__any_conformance! { custom_action, acting, $factory, [
            what_was_done_is_observed
        ] }
    };
    (DataSetStore, $factory:expr) => {
        $crate::__any_conformance! { data_set_store, acting, $factory, [
            who_writes_is_alone
            readers_share
            what_is_given_back_can_be_lent_again
            who_writes_is_answered_again
            leases_end_when_they_say
            leases_are_over_at_their_end
            locations_hold_no_credentials
            raw_production_data_stays_there
        ] }
    };
    (EventSink, $factory:expr) => {
        $crate::__any_conformance! { event_sink, acting, $factory, [
            events_keep_their_order
            all_or_none_is_stored
            batches_are_whole_or_absent
            an_id_is_stored_once
        ] }
    };
    (FlagStore, $factory:expr) => {
        $crate::__any_conformance! { flag_store, acting, $factory, [
            set_is_observed
            same_state_keeps_its_revision
            expected_revision_is_checked
            killed_stays_off
            one_of_many_changes_wins
        ] }
    };
    (Migrator, $factory:expr) => {
        $crate::__any_conformance! { migrator, acting, $factory, [
            nothing_is_contracted_before_it_is_expanded
            expanded_then_contracted
        ] }
    };
    (Pager, $factory:expr) => {
        $crate::__any_conformance! { pager, acting, $factory, [
            a_call_is_told_until_it_is_over
            a_used_key_calls_nobody_again
            calls_are_over_one_by_one
            an_unused_key_is_unknown
        ] }
    };
    (Provisioner, $factory:expr) => {
        $crate::__any_conformance! { provisioner, acting, $factory, [
            a_plan_changes_nothing
            what_is_applied_is_observed
            an_old_plan_is_a_conflict
            what_others_changed_is_a_conflict
            what_is_destroyed_is_gone
            what_is_as_declared_has_no_drift
            drift_is_told_field_by_field
        ] }
    };
    (SecretStore, $factory:expr) => {
        $crate::__any_conformance! { secret_store, acting, $factory, [
            leases_end_when_they_say
            renewal_counts_from_now
            revoked_leases_are_over
            leases_are_over_at_their_end
            rotation_is_honest
            leases_are_not_written
            errors_tell_no_secret
        ] }
    };
    (ArtifactSigner, $factory:expr) => {
        $crate::__any_conformance! { artifact_signer, acting, $factory, [
            what_is_signed_names_the_artifact
            what_was_signed_is_observed
            statements_differ
            an_unused_key_signed_nothing
        ] }
    };
    (ArtifactStore, $factory:expr) => {
        $crate::__any_conformance! { artifact_store, acting, $factory, [
            what_was_put_is_got
            same_content_has_one_digest
            what_was_broken_off_is_whole_or_not_there
            what_does_not_match_is_corrupt
        ] }
    };
    (ArtifactVerifier, $factory:expr) => {
        $crate::__any_conformance! { artifact_verifier, telling, $factory, [
            what_is_attested_is_verified
            what_was_asked_for_must_be_there
            the_unknown_is_never_verified
            strangers_count_for_nothing
            trust_is_not_shared
            a_predicate_is_no_signature
        ] }
    };
    (ClockSource, $factory:expr) => {
        $crate::__any_conformance! { clock_source, telling, $factory, [
            the_true_time_is_within
            every_answer_is_new
        ] }
    };
    (ConfigSource, $factory:expr) => {
        $crate::__any_conformance! { config_source, looking, $factory, [
            settings_are_whole
            a_change_is_seen
        ] }
    };
    (HealthProbe, $factory:expr) => {
        $crate::__any_conformance! { health_probe, looking, $factory, [
            every_instance_is_asked
            what_runs_nowhere_has_no_instances
            answers_are_dated
            old_answers_are_not_reused
        ] }
    };
    (IncidentSource, $factory:expr) => {
        $crate::__any_conformance! { incident_source, telling, $factory, [
            answers_are_dated
            incidents_are_told_as_they_are
            what_ended_is_told_for_a_while
            only_those_that_concern_are_told
            all_pages_are_read
        ] }
    };
    (MetricsSource, $factory:expr) => {
        $crate::__any_conformance! { metrics_source, looking, $factory, [
            growth_is_measured
            only_the_window_counts
            missing_samples_are_no_data
        ] }
    };
    (MetricsSource at V2, $factory:expr) => {
        $crate::__any_conformance! { @ metrics_source, V2, $factory, [
            looking_changes_nothing
            callers_at_once_hear_the_same
            wrong_requests_are_refused
            growth_is_measured
            only_the_window_counts
            missing_samples_are_no_data
            undeclared_metrics_are_refused
            means_are_measured
            histograms_are_measured
            queries_are_answered
        ] }
    };
    (Notifier, $factory:expr) => {
        $crate::__any_conformance! { notifier, sending, $factory, [
            a_message_comes_as_it_was_sent
            another_key_is_another_message
            messages_keep_their_order
        ] }
    };
    (Scanner, $factory:expr) => {
        $crate::__any_conformance! { scanner, acting, $factory, [
            a_scan_ends_with_its_report
            counts_are_those_of_the_report
            knowledge_is_dated
            what_is_over_stays_as_it_is
            an_unused_key_is_unknown
        ] }
    };
    (TestRunner, $factory:expr) => {
        $crate::__any_conformance! { test_runner, acting, $factory, [
            a_run_ends_with_its_tests
            a_failed_test_fails_the_run
            only_what_was_named_is_run
            nothing_that_was_run_is_no_success
            skipped_tests_are_no_success
            what_was_cancelled_is_over
            what_is_over_stays_as_it_is
            an_unused_key_is_unknown
        ] }
    };
    ($other:ident, $factory:expr) => {
        compile_error!(concat!(
            "there is no suite of `",
            stringify!($other),
            "`: name a trait of `release_providers::spi`, for example `FlagStore`, or `Journal`"
        ));
    };
}

/// The cases that a suite of that kind has, and those of one alone.
#[doc(hidden)]
#[macro_export]
macro_rules! __any_conformance {
    ($suite:ident, acting, $factory:expr, [$($own:ident)*]) => {
        $crate::__any_conformance! { @ $suite, V1, $factory, [
            done_again_is_done_once
            what_is_done_is_seen
            what_is_done_stays_done
            a_lost_answer_is_found_by_looking
            what_was_cancelled_half_way_is_told_truly
            callers_at_once_do_it_once
            reopening_loses_nothing
            nothing_else_happens_again
            looking_changes_nothing
            callers_at_once_hear_the_same
            wrong_requests_are_refused
            $($own)*
        ] }
    };
    ($suite:ident, looking, $factory:expr, [$($own:ident)*]) => {
        $crate::__any_conformance! { @ $suite, V1, $factory, [
            looking_changes_nothing
            callers_at_once_hear_the_same
            wrong_requests_are_refused
            $($own)*
        ] }
    };
    ($suite:ident, telling, $factory:expr, [$($own:ident)*]) => {
        $crate::__any_conformance! { @ $suite, V1, $factory, [
            looking_changes_nothing
            callers_at_once_hear_the_same
            $($own)*
        ] }
    };
    ($suite:ident, sending, $factory:expr, [$($own:ident)*]) => {
        $crate::__any_conformance! { @ $suite, V1, $factory, [
            done_again_is_done_once
            what_is_done_is_seen
            what_is_done_stays_done
            a_lost_answer_is_found_by_looking
            what_was_cancelled_half_way_is_told_truly
            callers_at_once_do_it_once
            reopening_loses_nothing
            nothing_else_happens_again
            wrong_requests_are_refused
            $($own)*
        ] }
    };
    (@ $suite:ident, $level:ident, $factory:expr, [$($own:ident)*]) => {
        $crate::__conformance_tests! { $suite, $suite, $level, $factory, [
            description_is_stable
            cancelled_calls_are_refused
            late_calls_are_refused
            far_deadlines_change_nothing
            out_of_reach_is_unavailable
            refused_credentials_are_denied
            throttling_is_rate_limited
            stalled_calls_end_in_time
            secrets_stay_secret
            $($own)*
        ] }
    };
}
