//! What a provider of any trait can do wrong.

/// What a [`Sabotaged`](super::Sabotaged) provider does wrong, whatever its trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AnyFault {
    /// Has another name each time it is asked.
    RenamesItself,
    /// Gives every call a key of its own.
    ForgetsKeys,
    /// Calls it a conflict to be asked again for what is done.
    RefusesRepeats,
    /// Says that something is done, and does nothing.
    SaysDone,
    /// Takes back what it did, a little later.
    RevertsLater,
    /// Takes back what it did, once it was looked at a few times.
    RevertsWhenLookedAt,
    /// Acts on a call long after its caller gave up.
    ActsLate,
    /// Does what was cancelled on its way, and says that it did not.
    DoesWhatItSaysWasCancelled,
    /// Says that nothing was done of what was cancelled on its way, and does it later.
    DoesLaterWhatWasCancelled,
    /// Fails when it is asked for one thing by two at once.
    TripsOverCompany,
    /// Has an answer only so many times.
    UsesUpAnswers,
    /// Does what was cancelled.
    IgnoresCancellation,
    /// Does what is too late.
    IgnoresDeadline,
    /// Refuses what was cancelled or is too late, once it has done it.
    ActsThenRefuses,
    /// Never says that nothing happened.
    LeavesEffectOpen,
    /// Fails where a deadline is far away.
    TripsOverFarDeadlines,
    /// Calls every refusal an internal fault.
    CallsErrorsInternal,
    /// Says to whatever is wrong what it said to what was right.
    AcceptsAnything,
    /// Says what it said last when it cannot reach anything.
    AnswersFromMemory,
    /// Calls it an internal fault that something cannot be reached.
    CallsOutageInternal,
    /// Stays away after it was out of reach once.
    StaysAway,
    /// Takes refused credentials for an outage, as if waiting would help.
    CallsDenialUnavailable,
    /// Takes a request to slow down for an outage.
    CallsThrottlingUnavailable,
    /// Waits for an answer however long it takes.
    WaitsPastDeadlines,
    /// Gives up a while after the deadline.
    GivesUpLate,
    /// Says that nothing was done where its credentials were refused, and does it a little later.
    DoesLaterWhatWasDenied,
    /// Knows a key once it has heard the answer: what was done before is done again.
    LearnsKeysFromAnswers,
    /// Holds its credential in the error that says that it was refused.
    TellsSecretWhenDenied,
    /// Has its keys in memory alone: after a restart what was done is done again.
    ForgetsKeysWhenReopened,
    /// Has all that it did in memory alone.
    LosesAllWhenReopened,
    /// Does everything once more under another key, where nobody looks.
    ActsBesides,
    /// Takes back what it did when it is asked for it again.
    TakesBackWhenAskedAgain,
    /// Holds its credential in an error.
    TellsSecretInErrors,
    /// Holds its credential in its debug text.
    TellsSecretInDebug,
    /// Holds its credential in its description.
    TellsSecretInDescription,
}

impl AnyFault {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::RenamesItself,
        Self::ForgetsKeys,
        Self::RefusesRepeats,
        Self::SaysDone,
        Self::RevertsLater,
        Self::RevertsWhenLookedAt,
        Self::ActsLate,
        Self::DoesWhatItSaysWasCancelled,
        Self::DoesLaterWhatWasCancelled,
        Self::TripsOverCompany,
        Self::UsesUpAnswers,
        Self::IgnoresCancellation,
        Self::IgnoresDeadline,
        Self::ActsThenRefuses,
        Self::LeavesEffectOpen,
        Self::TripsOverFarDeadlines,
        Self::CallsErrorsInternal,
        Self::AcceptsAnything,
        Self::AnswersFromMemory,
        Self::CallsOutageInternal,
        Self::StaysAway,
        Self::CallsDenialUnavailable,
        Self::CallsThrottlingUnavailable,
        Self::WaitsPastDeadlines,
        Self::GivesUpLate,
        Self::DoesLaterWhatWasDenied,
        Self::LearnsKeysFromAnswers,
        Self::TellsSecretWhenDenied,
        Self::ForgetsKeysWhenReopened,
        Self::LosesAllWhenReopened,
        Self::ActsBesides,
        Self::TakesBackWhenAskedAgain,
        Self::TellsSecretInErrors,
        Self::TellsSecretInDebug,
        Self::TellsSecretInDescription,
    ];

    /// The cases that are meant to find it; others may find it too. Those that a suite does not have are not meant.
    pub const fn caught_by(self) -> &'static [&'static str] {
        match self {
            Self::RenamesItself => &["description_is_stable"],
            Self::RefusesRepeats => &["done_again_is_done_once"],
            Self::ForgetsKeys | Self::ActsBesides | Self::TakesBackWhenAskedAgain => {
                &["nothing_else_happens_again"]
            }
            Self::ForgetsKeysWhenReopened | Self::LosesAllWhenReopened => {
                &["reopening_loses_nothing"]
            }
            Self::SaysDone => &["what_is_done_is_seen"],
            Self::RevertsLater => &["what_is_done_stays_done"],
            Self::RevertsWhenLookedAt | Self::UsesUpAnswers => &["looking_changes_nothing"],
            Self::ActsLate | Self::LearnsKeysFromAnswers => &["a_lost_answer_is_found_by_looking"],
            Self::DoesWhatItSaysWasCancelled | Self::DoesLaterWhatWasCancelled => {
                &["what_was_cancelled_half_way_is_told_truly"]
            }
            Self::TripsOverCompany => {
                &["callers_at_once_do_it_once", "callers_at_once_hear_the_same"]
            }
            Self::IgnoresCancellation => &["cancelled_calls_are_refused"],
            Self::IgnoresDeadline => &["late_calls_are_refused"],
            Self::ActsThenRefuses | Self::LeavesEffectOpen => {
                &["cancelled_calls_are_refused", "late_calls_are_refused"]
            }
            Self::TripsOverFarDeadlines => &["far_deadlines_change_nothing"],
            Self::CallsErrorsInternal | Self::AcceptsAnything => &["wrong_requests_are_refused"],
            Self::AnswersFromMemory | Self::CallsOutageInternal | Self::StaysAway => {
                &["out_of_reach_is_unavailable"]
            }
            Self::CallsDenialUnavailable | Self::DoesLaterWhatWasDenied => {
                &["refused_credentials_are_denied"]
            }
            Self::CallsThrottlingUnavailable => &["throttling_is_rate_limited"],
            Self::WaitsPastDeadlines | Self::GivesUpLate => &["stalled_calls_end_in_time"],
            Self::TellsSecretInErrors
            | Self::TellsSecretWhenDenied
            | Self::TellsSecretInDebug
            | Self::TellsSecretInDescription => &["secrets_stay_secret"],
        }
    }

    /// Whether only a provider that acts can have it.
    pub const fn needs_deeds(self) -> bool {
        matches!(
            self,
            Self::ForgetsKeys
                | Self::RefusesRepeats
                | Self::SaysDone
                | Self::RevertsLater
                | Self::RevertsWhenLookedAt
                | Self::ActsLate
                | Self::DoesWhatItSaysWasCancelled
                | Self::DoesLaterWhatWasCancelled
                | Self::ActsThenRefuses
                | Self::ForgetsKeysWhenReopened
                | Self::LosesAllWhenReopened
                | Self::ActsBesides
                | Self::DoesLaterWhatWasDenied
                | Self::LearnsKeysFromAnswers
                | Self::TakesBackWhenAskedAgain
        )
    }

    /// Whether only a provider that can be asked something wrong can have it.
    pub const fn needs_refusals(self) -> bool {
        matches!(self, Self::CallsErrorsInternal | Self::AcceptsAnything)
    }

    /// Whether each operation can have it by itself.
    pub const fn is_of_an_operation(self) -> bool {
        matches!(
            self,
            Self::IgnoresCancellation
                | Self::IgnoresDeadline
                | Self::CallsOutageInternal
                | Self::CallsDenialUnavailable
                | Self::CallsThrottlingUnavailable
                | Self::WaitsPastDeadlines
                | Self::GivesUpLate
                | Self::TripsOverFarDeadlines
        )
    }
}
