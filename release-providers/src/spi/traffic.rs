//! Distributes traffic over the versions in a target.

use std::fmt;

use async_trait::async_trait;
use release_core::model::{Digest, Target, TrackId, TrafficRules};
use release_core::plan::Weight;
use release_core::port::Served;
use serde::{Deserialize, Serialize};

use super::message::message;
use crate::{Context, Description, ProviderError};

/// Distributes traffic over the versions in a target.
///
/// # Conformance
/// `conformance!(TrafficRouter, sandbox)` of `release-testkit`: shares are in effect as they are told, whole or not
/// at all, and traffic follows them; declared abilities are there, others are not.
#[async_trait]
pub trait TrafficRouter: fmt::Debug + Send + Sync + 'static {
    /// Says who this is and what it can do. Never a secret.
    fn describe(&self) -> Description;

    /// Accepts new shares for a target. They replace all earlier ones at once, also those that were accepted and have yet to
    /// take effect: once this is accepted, those never do.
    ///
    /// # Contract
    /// Weights are percent and add up to 100, or the list is empty: nobody is served, and there are no rules. No request is
    /// lost to the change itself: requests that have begun are finished where they began.
    ///
    /// Rules take effect with the shares, together or not at all. A request that a header route picks goes to its
    /// version also where that has no share; all others go by shares. What a copy of a request is answered reaches nobody,
    /// and a copy that fails harms no request. Who has no cookie yet, or one of a version without a share, goes by shares. Where
    /// [one version alone](release_core::model::Affinity::only) keeps clients, so does whoever has a cookie of another one.
    /// Rules that are not declared are refused (`Unsupported`).
    ///
    /// # Idempotency
    /// The same shares again change nothing, and do not restart the count of served requests.
    ///
    /// # Errors
    /// `Invalid` for weights that do not add up or name a version twice, `NotFound` for a target or
    /// version that the router has no backend for, `Fenced` for an epoch older than one that was seen
    /// of the same run (where `EpochFencing` is declared); all with effect `NotApplied`.
    ///
    /// # Cancellation
    /// Dropping the future leaves either the old shares or the new ones, never a mixture. Nobody waits
    /// for a call whose `cx` was cancelled before, or whose deadline has passed: `Cancelled` or
    /// `Timeout`, with effect `NotApplied`. One that is cancelled on its way ends soon, and says
    /// `Cancelled` unless it was done; with effect `NotApplied` only if nothing was done and nothing will be.
    ///
    /// # Conformance
    /// `set_weights_is_idempotent`, `weights_are_observed`, `weights_must_add_up`,
    /// `unknown_target_is_not_found`, `unknown_version_is_not_found`, `abort_restores`, `served_follows_weights`,
    /// `no_request_is_lost_to_a_change`,
    /// `stale_writers_are_fenced`, `cancelled_call_is_refused`, `late_call_is_refused`,
    /// `what_is_done_stays_done`, `far_deadlines_change_nothing`,
    /// `out_of_reach_is_unavailable`, `secrets_stay_secret`; of rules and tracks, in level V2, `undeclared_rules_are_refused`,
    /// `header_routes_pick_requests`, `rules_replace_rules`, `rules_and_shares_change_together`, `copies_reach_nobody`,
    /// `copies_harm_no_request`, `clients_stay`, `clients_stay_with_one`, `tracks_are_apart`,
    /// `long_rules_hold`, `copies_are_picked`.
    async fn set_weights(&self, cx: &Context, request: SetWeights) -> Result<(), ProviderError>;

    /// Reports the shares that are in effect, what was really served, and what is under way.
    ///
    /// # Contract
    /// Where `counts_in_flight` is declared, [`TrafficStatus::flights`] tells of every request that instances have not
    /// finished, whatever its version has of the shares by now: before a version is stopped that gets no requests any more,
    /// the registry waits until none of it is told. Where it is not, no flights are told, and nobody waits.
    ///
    /// # Errors
    /// `NotFound` for a target that the router does not know; `Unavailable` when it cannot look;
    /// `Cancelled` or `Timeout` for a call that nobody waits for.
    ///
    /// # Conformance
    /// `weights_are_observed`, `zero_shares_are_not_reported`, `served_follows_weights`; in level V2, `flights_are_told`.
    async fn observe(
        &self,
        cx: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError>;
}

/// New shares for a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SetWeights {
    /// Where.
    pub target: Target,
    /// The shares; versions that are not named get nothing.
    pub weights: Vec<Weight>,
    /// What holds beside the shares; none: requests go by shares alone. Like the shares they replace all earlier ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<TrafficRules>,
}

impl SetWeights {
    /// Shares for `target`.
    pub const fn new(target: Target, weights: Vec<Weight>) -> Self {
        Self { target, weights, rules: None }
    }

    /// With `rules` beside the shares; rules that say nothing are none.
    #[must_use]
    pub fn by(mut self, rules: Option<TrafficRules>) -> Self {
        self.rules = rules.filter(|rules| !rules.is_empty());
        self
    }
}

message! {
    /// Whose traffic to look at.
    #[derive(Eq)]
    pub struct ObserveTraffic {
        /// Where.
        pub target: Target,
    }
}

/// The traffic of a target as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrafficStatus {
    /// Where it was looked.
    pub target: Target,
    /// The shares in effect, without those of weight 0.
    pub weights: Vec<Weight>,
    /// Requests served since these shares took effect, by version.
    pub served: Vec<Served>,
    /// Requests begun and not finished, of all versions; 0 also where the router cannot count them.
    pub in_flight: u64,
    /// What holds beside the shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<TrafficRules>,
    /// The same by those who answer them, where `counts_in_flight` is declared. Whoever is not named has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flights: Vec<Flights>,
}

/// Requests that instances have begun and not finished: those of a version on a track, or its others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Flights {
    /// The version's content.
    pub digest: Digest,
    /// The track that the instances are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackId>,
    /// How many.
    pub requests: u64,
}

impl Flights {
    /// Requests at the instances of a version on a track, or at its others.
    pub const fn new(digest: Digest, track: Option<TrackId>, requests: u64) -> Self {
        Self { digest, track, requests }
    }
}

impl TrafficStatus {
    /// A status.
    pub const fn new(
        target: Target,
        weights: Vec<Weight>,
        served: Vec<Served>,
        in_flight: u64,
    ) -> Self {
        Self { target, weights, served, in_flight, rules: None, flights: Vec::new() }
    }

    /// With `rules` beside the shares; rules that say nothing are none.
    #[must_use]
    pub fn by(mut self, rules: Option<TrafficRules>) -> Self {
        self.rules = rules.filter(|rules| !rules.is_empty());
        self
    }

    /// With what is under way at each, in order; who has nothing under way is left out.
    #[must_use]
    pub fn flying(mut self, flights: impl IntoIterator<Item = Flights>) -> Self {
        self.flights = flights.into_iter().filter(|one| one.requests > 0).collect();
        self.flights.sort();
        self
    }

    /// How many requests the instances of a version on a track, or its others, have not finished.
    pub fn in_flight_of(&self, digest: Digest, track: Option<&TrackId>) -> u64 {
        let own = self.flights.iter().filter(|one| one.digest == digest);
        let own = own.filter(|one| one.track.as_ref() == track).map(|one| one.requests);
        own.fold(0, u64::saturating_add)
    }
}
