//! One macro for the suite of any trait.

/// Makes one `#[test]` of every case of a trait's suite, of its first level.
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
    (TrafficRouter, $factory:expr) => {
        $crate::router_conformance! { level: V1, provider: $factory }
    };
    (IdentitySource, $factory:expr) => {
        $crate::identity_conformance! { level: V1, provider: $factory }
    };
    (Journal, $factory:expr) => {
        $crate::journal_conformance! { level: V1, journal: $factory }
    };
    (ApprovalChannel, $factory:expr) => {
        $crate::__any_conformance! { approval_channel, $factory, [
            answers_are_collected_in_their_order
            what_is_taken_back_takes_no_answers
        ] }
    };
    (BuildRunner, $factory:expr) => {
        $crate::__any_conformance! { build_runner, $factory, [
            a_build_ends_with_its_artifacts
            what_was_cancelled_is_over
            an_unused_key_is_unknown
        ] }
    };
    (ChangeDesk, $factory:expr) => {
        $crate::__any_conformance! { change_desk, $factory, [
            a_change_gets_one_ticket
            what_is_told_is_observed
            what_is_closed_stays_closed
            nobodys_change_has_no_ticket
        ] }
    };
    (CustomAction, $factory:expr) => {
        $crate::__any_conformance! { custom_action, $factory, [
            what_was_done_is_observed
        ] }
    };
    (DataSetStore, $factory:expr) => {
        $crate::__any_conformance! { data_set_store, $factory, [
            who_writes_is_alone
            readers_share
            what_is_given_back_can_be_lent_again
            leases_are_told
            raw_production_data_stays_there
        ] }
    };
    (EventSink, $factory:expr) => {
        $crate::__any_conformance! { event_sink, $factory, [
            events_keep_their_order
            all_or_none_is_stored
            an_id_is_stored_once
        ] }
    };
    (FlagStore, $factory:expr) => {
        $crate::__any_conformance! { flag_store, $factory, [
            set_is_observed
            same_state_keeps_its_revision
            expected_revision_is_checked
        ] }
    };
    (Migrator, $factory:expr) => {
        $crate::__any_conformance! { migrator, $factory, [
            nothing_is_contracted_before_it_is_expanded
            expanded_then_contracted
        ] }
    };
    (Pager, $factory:expr) => {
        $crate::__any_conformance! { pager, $factory, [
            a_call_is_told_until_it_is_over
            an_unused_key_is_unknown
        ] }
    };
    (Provisioner, $factory:expr) => {
        $crate::__any_conformance! { provisioner, $factory, [
            a_plan_changes_nothing
            what_is_applied_is_observed
            an_old_plan_is_a_conflict
            what_is_destroyed_is_gone
            what_is_as_declared_has_no_drift
            drift_is_told_field_by_field
        ] }
    };
    (SecretStore, $factory:expr) => {
        $crate::__any_conformance! { secret_store, $factory, [
            leases_end_when_they_say
            renewal_counts_from_now
            revoked_leases_are_over
            rotation_is_honest
            leases_are_not_written
        ] }
    };
}

/// The cases that every suite has, and those of one.
#[doc(hidden)]
#[macro_export]
macro_rules! __any_conformance {
    ($suite:ident, $factory:expr, [$($own:ident)*]) => {
        $crate::__conformance_tests! { $suite, $suite, V1, $factory, [
            description_is_stable
            done_again_is_done_once
            a_lost_answer_is_found_by_looking
            callers_at_once_do_it_once
            looking_changes_nothing
            cancelled_calls_are_refused
            late_calls_are_refused
            wrong_requests_are_refused
            out_of_reach_is_unavailable
            secrets_stay_secret
            $($own)*
        ] }
    };
}
