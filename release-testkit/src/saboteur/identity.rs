//! Sources of identities with one fault each.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::model::{IdentitySnapshot, Span, Timestamp};
use release_providers::spi::{IdentitySource, ReadIdentities};
use release_providers::{Context, Description, ErrorKind, ProviderError};

use super::{Token, dawdle, renamed, restless, telling, trip_over, unsure};
use crate::VirtualClock;
use crate::conformance::identity::IdentitySandbox;
use crate::fakes::{FakeIdentities, credential, lock};
use crate::fixtures;

/// What a [`SabotagedIdentities`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityFault {
    /// Has another name each time it is asked.
    RenamesItself,
    /// Answers without any account.
    AnswersNothing,
    /// Answers with an account that comes twice.
    RepeatsAccounts,
    /// Leaves out an account that another one refers to.
    LeavesOutLinked,
    /// Counts its answers and calls that the version.
    CountsAnswers,
    /// Gives everything one version.
    KeepsVersion,
    /// Gives later content a smaller version.
    CountsDown,
    /// Remembers the first content, and dates it anew.
    RemembersContent,
    /// Dates its answers with an instant before it was asked.
    StampsEarlier,
    /// Dates its answers with an instant that is yet to come.
    StampsLater,
    /// Dates each answer before the one before.
    StampsBackwards,
    /// Leaves out accounts that were closed.
    DropsClosed,
    /// Calls accounts that were closed active.
    RevivesClosed,
    /// Takes an authority out of reach for an empty one.
    EmptyWhenCutOff,
    /// Answers with what it remembers when the authority is out of reach.
    RemembersWhenCutOff,
    /// Calls an authority out of reach an internal fault.
    CallsOutageInternal,
    /// Does not say that nothing happened when the authority is out of reach.
    LeavesEffectOpen,
    /// Never comes back after an outage.
    StaysCutOff,
    /// Counts versions anew after an outage.
    CountsAnewAfterOutage,
    /// Counts versions anew in each instance.
    CountsByInstance,
    /// Reads the version first, and the content a while later.
    ReadsInParts,
    /// Does what was cancelled.
    IgnoresCancellation,
    /// Does what is too late.
    IgnoresDeadline,
    /// Fails where a deadline is far away.
    TripsOverFarDeadlines,
    /// Puts its credential into errors.
    TellsSecret,
}

impl IdentityFault {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::RenamesItself,
        Self::AnswersNothing,
        Self::RepeatsAccounts,
        Self::LeavesOutLinked,
        Self::CountsAnswers,
        Self::KeepsVersion,
        Self::CountsDown,
        Self::RemembersContent,
        Self::StampsEarlier,
        Self::StampsLater,
        Self::StampsBackwards,
        Self::DropsClosed,
        Self::RevivesClosed,
        Self::EmptyWhenCutOff,
        Self::RemembersWhenCutOff,
        Self::CallsOutageInternal,
        Self::LeavesEffectOpen,
        Self::StaysCutOff,
        Self::CountsAnewAfterOutage,
        Self::CountsByInstance,
        Self::ReadsInParts,
        Self::IgnoresCancellation,
        Self::IgnoresDeadline,
        Self::TripsOverFarDeadlines,
        Self::TellsSecret,
    ];

    /// The cases that are meant to find it; others may find it too.
    pub const fn caught_by(self) -> &'static [&'static str] {
        match self {
            Self::RenamesItself => &["description_is_stable"],
            Self::AnswersNothing | Self::RepeatsAccounts | Self::LeavesOutLinked => {
                &["snapshot_is_a_valid_directory"]
            }
            Self::CountsAnswers => &["same_content_keeps_its_version"],
            Self::KeepsVersion | Self::CountsDown | Self::RemembersContent => {
                &["change_is_seen_with_a_greater_version"]
            }
            Self::StampsEarlier | Self::StampsLater => &["taken_at_is_when_it_was_read"],
            Self::StampsBackwards => &["taken_at_is_when_it_was_read", "taken_at_never_goes_back"],
            Self::DropsClosed | Self::RevivesClosed => &["closed_accounts_stay_inactive"],
            Self::EmptyWhenCutOff
            | Self::RemembersWhenCutOff
            | Self::CallsOutageInternal
            | Self::LeavesEffectOpen => &["cut_off_is_unavailable_and_not_empty"],
            Self::StaysCutOff | Self::CountsAnewAfterOutage => &["what_was_cut_off_comes_back"],
            Self::CountsByInstance => &["reopening_keeps_versions"],
            Self::ReadsInParts => &["concurrent_reads_are_whole"],
            Self::IgnoresCancellation => &["cancelled_call_is_refused"],
            Self::IgnoresDeadline => &["late_call_is_refused"],
            Self::TripsOverFarDeadlines => &["far_deadlines_change_nothing"],
            Self::TellsSecret => &["secrets_stay_secret"],
        }
    }

    const fn token(self) -> Token {
        match self {
            Self::IgnoresCancellation => Token::Uncancelled,
            Self::IgnoresDeadline => Token::Unhurried,
            _ => Token::Heeded,
        }
    }

    /// A sandbox with a source that has this fault.
    pub fn sandbox(self) -> IdentitySandbox {
        let honest =
            FakeIdentities::of(fixtures::accounts()).with_clock(Arc::new(VirtualClock::new()));
        let another = honest.another();
        honest.sandbox(Arc::new(SabotagedIdentities::new(self, &honest))).reopen(move || {
            let opened: Arc<dyn IdentitySource> =
                Arc::new(SabotagedIdentities::new(self, &another));
            async { Ok(opened) }
        })
    }
}

/// A [`FakeIdentities`] with one planted fault.
#[derive(Debug)]
pub struct SabotagedIdentities {
    fault: IdentityFault,
    honest: FakeIdentities,
    described: AtomicU32,
    answers: AtomicI64,
    was_cut_off: AtomicBool,
    remembered: Mutex<Option<IdentitySnapshot>>,
    /// The version of the directory when this instance began.
    begun_at: u64,
}

impl SabotagedIdentities {
    /// A source over the directory of `source` that has `fault`.
    pub fn new(fault: IdentityFault, source: &FakeIdentities) -> Self {
        Self {
            fault,
            honest: source.another(),
            described: AtomicU32::new(0),
            answers: AtomicI64::new(0),
            was_cut_off: AtomicBool::new(false),
            remembered: Mutex::default(),
            begun_at: source.snapshot().version,
        }
    }

    /// Faults that do something wrong with a whole answer.
    async fn mishandle(
        &self,
        mut snapshot: IdentitySnapshot,
    ) -> Result<IdentitySnapshot, ProviderError> {
        let answers = self.answers.fetch_add(1, Ordering::Relaxed);
        let linked = fixtures::operator().id;
        match self.fault {
            IdentityFault::AnswersNothing => snapshot.identities.clear(),
            IdentityFault::RepeatsAccounts => {
                let again = snapshot.identities.last().cloned();
                snapshot.identities.extend(again);
            }
            IdentityFault::LeavesOutLinked => snapshot.identities.retain(|one| one.id != linked),
            IdentityFault::CountsAnswers => {
                snapshot.version = snapshot.version.saturating_add_signed(answers);
            }
            IdentityFault::KeepsVersion => snapshot.version = 1,
            IdentityFault::CountsDown => snapshot.version = u64::MAX - snapshot.version,
            IdentityFault::RemembersContent => {
                let taken_at = snapshot.taken_at;
                snapshot = lock(&self.remembered).get_or_insert_with(|| snapshot.clone()).clone();
                snapshot.taken_at = taken_at;
            }
            IdentityFault::StampsEarlier => {
                snapshot.taken_at = earlier(snapshot.taken_at, 1);
            }
            IdentityFault::StampsLater => {
                snapshot.taken_at = snapshot.taken_at.plus(Span::secs(1));
            }
            IdentityFault::StampsBackwards => {
                snapshot.taken_at = earlier(snapshot.taken_at, answers);
            }
            IdentityFault::DropsClosed => snapshot.identities.retain(|one| one.active),
            IdentityFault::RevivesClosed => {
                for identity in &mut snapshot.identities {
                    identity.active = true;
                }
            }
            IdentityFault::RemembersWhenCutOff => {
                *lock(&self.remembered) = Some(snapshot.clone());
            }
            IdentityFault::StaysCutOff if self.was_cut_off.load(Ordering::Relaxed) => {
                let text = "the directory is out of reach";
                return Err(ProviderError::new(ErrorKind::Unavailable, "identities.read", text));
            }
            IdentityFault::CountsAnewAfterOutage if self.was_cut_off.load(Ordering::Relaxed) => {
                snapshot.version = 1;
            }
            IdentityFault::CountsByInstance => {
                snapshot.version = snapshot.version - self.begun_at + 1;
            }
            IdentityFault::ReadsInParts => {
                dawdle().await;
                let version = snapshot.version;
                snapshot = self.honest.snapshot();
                snapshot.version = version;
            }
            _ => {}
        }
        Ok(snapshot)
    }

    /// Faults that do something wrong when the directory is out of reach.
    fn mishandle_outage(&self, error: ProviderError) -> Result<IdentitySnapshot, ProviderError> {
        self.was_cut_off.store(true, Ordering::Relaxed);
        match self.fault {
            IdentityFault::EmptyWhenCutOff => {
                let mut empty = self.honest.snapshot();
                empty.identities.clear();
                Ok(empty)
            }
            IdentityFault::RemembersWhenCutOff => lock(&self.remembered).clone().ok_or(error),
            IdentityFault::CallsOutageInternal => Err(renamed(&error, ErrorKind::Internal)),
            IdentityFault::LeavesEffectOpen => Err(unsure(error)),
            IdentityFault::TellsSecret => Err(telling(&error, &credential())),
            _ => Err(error),
        }
    }
}

#[async_trait]
impl IdentitySource for SabotagedIdentities {
    fn describe(&self) -> Description {
        let description = self.honest.describe();
        if self.fault == IdentityFault::RenamesItself {
            return restless(description, self.described.fetch_add(1, Ordering::Relaxed));
        }
        description
    }

    async fn read(
        &self,
        cx: &Context,
        _: ReadIdentities,
    ) -> Result<IdentitySnapshot, ProviderError> {
        if self.fault == IdentityFault::TripsOverFarDeadlines {
            trip_over(cx, "identities.read")?;
        }
        match self.honest.read(&self.fault.token().of(cx), ReadIdentities::new()).await {
            Ok(snapshot) => self.mishandle(snapshot).await,
            Err(error) if error.kind() == ErrorKind::Unavailable => self.mishandle_outage(error),
            Err(error) => Err(error),
        }
    }
}

fn earlier(at: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_micros(at.as_micros() - seconds * 1_000_000)
}
