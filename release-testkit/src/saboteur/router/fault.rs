//! What routers can do wrong.

use std::sync::Arc;

use super::{SabotagedRouter, Token};
use crate::conformance::router::RouterSandbox;
use crate::fakes::{Bent, FakePlatform};

/// What a [`SabotagedRouter`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouterFault {
    /// Has another name each time it is asked.
    RenamesItself,
    /// Declares weights and does not support them.
    DeclaresWeights,
    /// Supports weights and does not declare it.
    HidesWeights,
    /// Declares counts and has none.
    CountsNothing,
    /// Counts and does not declare it.
    HidesCounts,
    /// Accepts shares and changes nothing.
    ForgetsShares,
    /// Keeps earlier shares beside the new ones.
    KeepsOldShares,
    /// Starts to count anew when the same shares are set again.
    RestartsCount,
    /// Accepts shares of any sum.
    AcceptsAnySum,
    /// Adds shares up in a byte.
    SumsInBytes,
    /// Accepts a version that is named twice.
    AcceptsDoubles,
    /// Refuses wrong shares when they are in effect already.
    RefusesTooLate,
    /// Does not say that nothing happened when shares are wrong.
    LeavesEffectOpen,
    /// Reports shares of nothing.
    ReportsZeros,
    /// Does not let nobody be served.
    RefusesNobody,
    /// Goes on serving when nobody shall be served.
    KeepsServing,
    /// Accepts targets that do not exist.
    AcceptsUnknownTarget,
    /// Calls what does not exist an internal fault.
    CallsUnknownInternal,
    /// Sends traffic to versions that do not run.
    AcceptsUnknownVersion,
    /// Takes a version without backend that has another one beside it.
    AcceptsUnknownBeside,
    /// Refuses a version without backend, and sets the other shares.
    SetsWhatItKnows,
    /// Serves nobody while it changes shares.
    ServesNobodyMeanwhile,
    /// Gives the first version nothing back.
    NeverGoesBack,
    /// Is busy for ever after a call was dropped.
    StaysBusy,
    /// Acts on a call long after its caller gave up.
    ActsLate,
    /// Sets one share after the other.
    SetsOneByOne,
    /// Prepares shares in a place that all calls use.
    SharesItsDesk,
    /// Sends the same to all.
    IgnoresWeights,
    /// Never starts to count anew.
    CountsForEver,
    /// Declares to fence and ignores the epoch.
    IgnoresEpoch,
    /// Fences and does not declare it.
    HidesFencing,
    /// Refuses a writer that was taken over when it has done what was asked.
    FencesTooLate,
    /// Takes all runs for one.
    FencesOtherRuns,
    /// Does what was cancelled.
    IgnoresCancellation,
    /// Says that nothing was done of what was cancelled on its way, and does it a little later.
    DoesLaterWhatWasCancelled,
    /// Does what is too late.
    IgnoresDeadline,
    /// Fails where a deadline is far away.
    TripsOverFarDeadlines,
    /// Does what was asked, and takes it back a little later.
    RevertsLater,
    /// Answers as before when it cannot be reached.
    AnswersFromMemory,
    /// Calls an outage an internal fault.
    CallsOutageInternal,
    /// Never comes back after an outage.
    StaysAway,
    /// Routes nothing by headers.
    IgnoresHeaders,
    /// Routes by headers only to versions with a share.
    RoutesOnlyToShares,
    /// Takes the last header route that fits.
    LetsLastRouteCount,
    /// Takes a rule whose headers are not all there.
    TakesOneHeaderForAll,
    /// Takes an expression that fits a part of a header.
    FitsPartsOfHeaders,
    /// Copies nothing.
    CopiesNothing,
    /// Copies all requests, whatever was asked for.
    CopiesAll,
    /// Copies requests that are not among those that were asked for.
    CopiesOthers,
    /// Copies requests that are one part of what they have to be.
    CopiesByPart,
    /// Copies requests that fit all of a list, where one is enough.
    CopiesByAll,
    /// Picks requests to copy and does not declare it.
    HidesMatching,
    /// Gives clients what copies are answered.
    AnswersWithCopies,
    /// Answers no client before its copy is answered.
    WaitsForCopies,
    /// Keeps no client with its version.
    ForgetsClients,
    /// Keeps clients with a version that lost its share.
    KeepsClientsForEver,
    /// Keeps the clients of all versions where one alone is to keep its own.
    BindsAllClients,
    /// Keeps clients by a cookie of a version that keeps none any more.
    HonoursAllCookies,
    /// Sets a cookie that does not last.
    SetsFleetingCookies,
    /// Gives the requests of a track to all instances of its version.
    MixesTracks,
    /// Has rules and does not declare them.
    HidesRules,
    /// Declares rules and has none.
    DeclaresRules,
    /// Keeps tracks apart and does not declare it.
    HidesTracks,
    /// Changes no rules where shares stay the same.
    KeepsOldRules,
    /// Starts to count anew when the same rules are set again.
    RestartsCountByRules,
    /// Sets the rules, and a little later the shares.
    SetsRulesFirst,
    /// Sends traffic to a track on which nothing runs.
    AcceptsUnknownTrack,
    /// Tells nothing of what is under way at a version without a share.
    ForgetsFlights,
    /// Declares to count what is under way and tells nothing.
    CountsNoFlights,
    /// Tells what is under way and does not declare it.
    HidesFlights,
    /// Keeps no client by a cookie with a long name.
    CutsLongNames,
    /// Puts its credential into errors.
    TellsSecret,
}

impl RouterFault {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::RenamesItself,
        Self::DeclaresWeights,
        Self::HidesWeights,
        Self::CountsNothing,
        Self::HidesCounts,
        Self::ForgetsShares,
        Self::KeepsOldShares,
        Self::RestartsCount,
        Self::AcceptsAnySum,
        Self::SumsInBytes,
        Self::AcceptsDoubles,
        Self::RefusesTooLate,
        Self::LeavesEffectOpen,
        Self::ReportsZeros,
        Self::RefusesNobody,
        Self::KeepsServing,
        Self::AcceptsUnknownTarget,
        Self::CallsUnknownInternal,
        Self::AcceptsUnknownVersion,
        Self::AcceptsUnknownBeside,
        Self::SetsWhatItKnows,
        Self::ServesNobodyMeanwhile,
        Self::NeverGoesBack,
        Self::StaysBusy,
        Self::ActsLate,
        Self::SetsOneByOne,
        Self::SharesItsDesk,
        Self::IgnoresWeights,
        Self::CountsForEver,
        Self::IgnoresEpoch,
        Self::HidesFencing,
        Self::FencesTooLate,
        Self::FencesOtherRuns,
        Self::IgnoresCancellation,
        Self::DoesLaterWhatWasCancelled,
        Self::IgnoresDeadline,
        Self::TripsOverFarDeadlines,
        Self::RevertsLater,
        Self::AnswersFromMemory,
        Self::CallsOutageInternal,
        Self::StaysAway,
        Self::IgnoresHeaders,
        Self::RoutesOnlyToShares,
        Self::LetsLastRouteCount,
        Self::TakesOneHeaderForAll,
        Self::FitsPartsOfHeaders,
        Self::CopiesNothing,
        Self::CopiesAll,
        Self::CopiesOthers,
        Self::CopiesByPart,
        Self::CopiesByAll,
        Self::HidesMatching,
        Self::AnswersWithCopies,
        Self::WaitsForCopies,
        Self::ForgetsClients,
        Self::KeepsClientsForEver,
        Self::BindsAllClients,
        Self::HonoursAllCookies,
        Self::SetsFleetingCookies,
        Self::MixesTracks,
        Self::HidesRules,
        Self::DeclaresRules,
        Self::HidesTracks,
        Self::KeepsOldRules,
        Self::RestartsCountByRules,
        Self::SetsRulesFirst,
        Self::AcceptsUnknownTrack,
        Self::ForgetsFlights,
        Self::CountsNoFlights,
        Self::HidesFlights,
        Self::CutsLongNames,
        Self::TellsSecret,
    ];

    /// The cases that are meant to find it; others may find it too.
    pub const fn caught_by(self) -> &'static [&'static str] {
        match self {
            Self::RenamesItself => &["description_is_stable"],
            Self::DeclaresWeights
            | Self::HidesWeights
            | Self::CountsNothing
            | Self::HidesCounts => &["capabilities_are_honest"],
            Self::ForgetsShares | Self::KeepsOldShares => &["weights_are_observed"],
            Self::RestartsCount => &["set_weights_is_idempotent"],
            Self::AcceptsAnySum
            | Self::SumsInBytes
            | Self::AcceptsDoubles
            | Self::RefusesTooLate
            | Self::LeavesEffectOpen => &["weights_must_add_up"],
            Self::ReportsZeros => &["zero_shares_are_not_reported"],
            Self::RefusesNobody | Self::KeepsServing => &["empty_shares_serve_nobody"],
            Self::AcceptsUnknownTarget => &["unknown_target_is_not_found"],
            Self::CallsUnknownInternal => {
                &["unknown_target_is_not_found", "unknown_version_is_not_found"]
            }
            Self::AcceptsUnknownVersion | Self::AcceptsUnknownBeside | Self::SetsWhatItKnows => {
                &["unknown_version_is_not_found"]
            }
            Self::ServesNobodyMeanwhile => &["no_request_is_lost_to_a_change"],
            Self::NeverGoesBack => &["abort_restores"],
            Self::StaysBusy | Self::ActsLate => {
                &["abort_restores", "dropped_call_leaves_no_mixture"]
            }
            Self::SetsOneByOne => {
                &["dropped_call_leaves_no_mixture", "concurrent_sets_leave_no_mixture"]
            }
            Self::SharesItsDesk => &["concurrent_sets_leave_no_mixture"],
            Self::IgnoresWeights | Self::CountsForEver => &["served_follows_weights"],
            Self::IgnoresEpoch
            | Self::HidesFencing
            | Self::FencesTooLate
            | Self::FencesOtherRuns => &["stale_writers_are_fenced"],
            Self::IgnoresCancellation | Self::DoesLaterWhatWasCancelled => {
                &["cancelled_call_is_refused"]
            }
            Self::IgnoresDeadline => &["late_call_is_refused"],
            Self::TripsOverFarDeadlines => &["far_deadlines_change_nothing"],
            Self::RevertsLater => &["what_is_done_stays_done"],
            Self::AnswersFromMemory | Self::CallsOutageInternal | Self::StaysAway => {
                &["out_of_reach_is_unavailable"]
            }
            Self::IgnoresHeaders
            | Self::RoutesOnlyToShares
            | Self::LetsLastRouteCount
            | Self::TakesOneHeaderForAll
            | Self::FitsPartsOfHeaders => &["header_routes_pick_requests"],
            Self::CopiesNothing | Self::CopiesAll | Self::AnswersWithCopies => {
                &["copies_reach_nobody"]
            }
            Self::CopiesOthers | Self::CopiesByPart | Self::CopiesByAll => &["copies_are_picked"],
            Self::WaitsForCopies => &["copies_harm_no_request"],
            Self::ForgetsClients => &["clients_stay", "clients_stay_with_one"],
            Self::KeepsClientsForEver | Self::SetsFleetingCookies => &["clients_stay"],
            Self::BindsAllClients | Self::HonoursAllCookies => &["clients_stay_with_one"],
            Self::MixesTracks | Self::AcceptsUnknownTrack => &["tracks_are_apart"],
            Self::HidesRules | Self::DeclaresRules | Self::HidesTracks | Self::HidesMatching => {
                &["undeclared_rules_are_refused"]
            }
            Self::KeepsOldRules | Self::RestartsCountByRules => &["rules_replace_rules"],
            Self::SetsRulesFirst => &["rules_and_shares_change_together"],
            Self::ForgetsFlights | Self::CountsNoFlights | Self::HidesFlights => {
                &["flights_are_told"]
            }
            Self::CutsLongNames => &["long_rules_hold"],
            Self::TellsSecret => &["secrets_stay_secret"],
        }
    }

    pub(super) const fn token(self) -> Token {
        match self {
            Self::IgnoresEpoch => Token::Ignored,
            Self::FencesOtherRuns => Token::OfOneRun,
            Self::IgnoresCancellation => Token::Uncancelled,
            Self::IgnoresDeadline => Token::Unhurried,
            _ => Token::Heeded,
        }
    }

    /// How requests go wrong, where the router itself does all right.
    pub(super) const fn bent(self) -> Option<Bent> {
        Some(match self {
            Self::IgnoresHeaders => Bent::IgnoresHeaders,
            Self::RoutesOnlyToShares => Bent::NeedsShare,
            Self::LetsLastRouteCount => Bent::LastRouteCounts,
            Self::TakesOneHeaderForAll => Bent::OneHeaderIsEnough,
            Self::FitsPartsOfHeaders => Bent::FitsParts,
            Self::CopiesNothing => Bent::CopiesNothing,
            Self::CopiesAll => Bent::CopiesAll,
            Self::CopiesOthers => Bent::CopiesOthers,
            Self::CopiesByPart => Bent::CopiesByPart,
            Self::CopiesByAll => Bent::CopiesByAll,
            Self::AnswersWithCopies => Bent::AnswersWithCopies,
            Self::WaitsForCopies => Bent::WaitsForCopies,
            Self::ForgetsClients => Bent::ForgetsClients,
            Self::KeepsClientsForEver => Bent::KeepsClientsForEver,
            Self::BindsAllClients => Bent::BindsAll,
            Self::HonoursAllCookies => Bent::HonoursAll,
            Self::SetsFleetingCookies => Bent::SetsFleetingCookies,
            Self::MixesTracks => Bent::MixesTracks,
            Self::CutsLongNames => Bent::CutsLongNames,
            _ => return None,
        })
    }

    /// A sandbox with a router that has this fault.
    pub fn sandbox(self) -> RouterSandbox {
        let platform = FakePlatform::new();
        let saboteur = Arc::new(SabotagedRouter::new(self, &platform.world));
        platform.router_sandbox(saboteur)
    }
}
