//! Journals with one fault each.

mod check;
mod store;

use std::sync::Arc;

use release_core::journal::Journal;

pub use store::SabotagedJournal;

use crate::conformance::journal::JournalSandbox;

/// What a [`SabotagedJournal`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalFault {
    /// Cannot be read before something was stored.
    MakesTablesLate,
    /// Has empty content under every digest.
    InventsBlobs,
    /// Knows no characters but those of ASCII.
    LosesAccents,
    /// Cuts records at 64 KiB.
    CutsLongRecords,
    /// Makes up hashes of its own.
    HashesAnew,
    /// Returns records in the order of their sequences as text.
    OrdersAsText,
    /// Takes content for text.
    TakesBlobsForText,
    /// Stores all but the last record of a batch.
    DropsLastRecord,
    /// Stores the first content of a batch alone.
    DropsSecondBlob,
    /// Stores the first thousand records of a batch.
    CutsLargeBatches,
    /// Cuts content at 64 KiB.
    CutsLargeBlobs,
    /// Takes content that it has for an error.
    RefusesKnownBlobs,
    /// Takes any expected sequence.
    IgnoresExpected,
    /// Takes an expected sequence that lies ahead.
    TakesSequencesAhead,
    /// Says in a conflict that it is where the writer believed.
    NamesExpectedAsActual,
    /// Takes any epoch.
    IgnoresEpoch,
    /// Fences nobody whose expected sequence is right.
    FencesOnlyConflicts,
    /// Says to the fenced that their own epoch is stored.
    NamesOwnEpoch,
    /// Lets nobody take over whose epoch is not the very next.
    TakesOnlyNextEpoch,
    /// Keeps 32 bits of an epoch.
    CutsEpochs,
    /// Remembers who began a run, and not who took it over.
    ForgetsTakeover,
    /// Fences a run's old writers once, and then no more.
    FencesOnce,
    /// Does not remember that a run is over.
    LosesEnds,
    /// Takes batches without records for a run that is over.
    TakesEmptyAfterEnd,
    /// Lets a run that is over be taken over.
    TakesHeirsAfterEnd,
    /// Looks at the first record of a batch alone.
    ChecksFirstRecordOnly,
    /// Does not look at the epochs of records.
    IgnoresRecordEpochs,
    /// Takes a run's end without a record that says so.
    TakesEndWithoutRecord,
    /// Answers `Conflict` where `Fenced` is due.
    ChecksSequenceFirst,
    /// Answers `Finished` where `Fenced` or `Conflict` is due.
    ChecksEndFirst,
    /// Stores the content of a batch before it refuses it.
    KeepsRefusedBlobs,
    /// Stores what fits of a batch that is in conflict.
    KeepsRestOfConflicts,
    /// Takes the epoch of a batch without records.
    TakesEpochOfEmpty,
    /// Makes a run of a batch without records.
    MakesRunOfEmpty,
    /// Tells the heads as they were before the last append.
    HeadsLag,
    /// Tells the hash of the first record of the last batch.
    HeadsNameFirstRecord,
    /// Tells heads in the order in which the runs began.
    HeadsInOrderOfBirth,
    /// Tells heads in an order for which punctuation is nothing.
    HeadsInOrderOfLanguage,
    /// Takes `_` and `-` in names for the same.
    MixesRuns,
    /// Has one epoch for all runs.
    SharesEpochs,
    /// Checks, and stores a little later.
    RacesAppends,
    /// Does so, but for one append after the other with each handle.
    LocksItsHandle,
    /// Writes all runs back as it read them a little earlier, but for the one that it appends to.
    WritesAllBack,
    /// Stores records one after the other, for all to see.
    StoresOneByOne,
    /// Answers before the batch is stored.
    AnswersEarly,
    /// Forgets take-overs when it is closed.
    ForgetsEpochsWhenClosed,
    /// Forgets which runs are over when it is closed.
    ForgetsEndsWhenClosed,
    /// Checks against what this handle has seen.
    ChecksItsMemory,
    /// Calls want of room by another name.
    CallsFullUnavailable,
    /// Stores content although there is no room for the records.
    KeepsBlobsWithoutRoom,
    /// Says that it stored nothing when it lost its answer.
    DeniesWhatItStored,
    /// Stores half of a batch when it is interrupted.
    StoresHalfWhenInterrupted,
}

impl JournalFault {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::MakesTablesLate,
        Self::InventsBlobs,
        Self::LosesAccents,
        Self::CutsLongRecords,
        Self::HashesAnew,
        Self::OrdersAsText,
        Self::TakesBlobsForText,
        Self::DropsLastRecord,
        Self::DropsSecondBlob,
        Self::CutsLargeBatches,
        Self::CutsLargeBlobs,
        Self::RefusesKnownBlobs,
        Self::IgnoresExpected,
        Self::TakesSequencesAhead,
        Self::NamesExpectedAsActual,
        Self::IgnoresEpoch,
        Self::FencesOnlyConflicts,
        Self::NamesOwnEpoch,
        Self::TakesOnlyNextEpoch,
        Self::CutsEpochs,
        Self::ForgetsTakeover,
        Self::FencesOnce,
        Self::LosesEnds,
        Self::TakesEmptyAfterEnd,
        Self::TakesHeirsAfterEnd,
        Self::ChecksFirstRecordOnly,
        Self::IgnoresRecordEpochs,
        Self::TakesEndWithoutRecord,
        Self::ChecksSequenceFirst,
        Self::ChecksEndFirst,
        Self::KeepsRefusedBlobs,
        Self::KeepsRestOfConflicts,
        Self::TakesEpochOfEmpty,
        Self::MakesRunOfEmpty,
        Self::HeadsLag,
        Self::HeadsNameFirstRecord,
        Self::HeadsInOrderOfBirth,
        Self::HeadsInOrderOfLanguage,
        Self::MixesRuns,
        Self::SharesEpochs,
        Self::RacesAppends,
        Self::LocksItsHandle,
        Self::WritesAllBack,
        Self::StoresOneByOne,
        Self::AnswersEarly,
        Self::ForgetsEpochsWhenClosed,
        Self::ForgetsEndsWhenClosed,
        Self::ChecksItsMemory,
        Self::CallsFullUnavailable,
        Self::KeepsBlobsWithoutRoom,
        Self::DeniesWhatItStored,
        Self::StoresHalfWhenInterrupted,
    ];

    /// The cases that are meant to find it; others may find it too.
    pub const fn caught_by(self) -> &'static [&'static str] {
        match self {
            Self::MakesTablesLate => &["unknown_run_is_empty", "unknown_blob_is_none"],
            Self::InventsBlobs => &["unknown_blob_is_none"],
            Self::LosesAccents | Self::HashesAnew | Self::OrdersAsText => {
                &["records_come_back_as_written", "sealed_records_verify"]
            }
            Self::CutsLongRecords => &["records_come_back_as_written"],
            Self::TakesBlobsForText => &["blobs_come_back_as_written"],
            Self::DropsLastRecord | Self::DropsSecondBlob => &["batch_is_stored_whole"],
            Self::CutsLargeBatches => &["large_batch_survives"],
            Self::CutsLargeBlobs => &["large_blob_survives"],
            Self::RefusesKnownBlobs => &["blob_twice_is_one"],
            Self::IgnoresExpected | Self::TakesSequencesAhead | Self::NamesExpectedAsActual => {
                &["expected_sequence_is_checked"]
            }
            Self::IgnoresEpoch | Self::FencesOnlyConflicts | Self::NamesOwnEpoch => {
                &["older_epoch_is_fenced"]
            }
            Self::TakesOnlyNextEpoch | Self::CutsEpochs => &["higher_epoch_takes_over"],
            Self::ForgetsTakeover => &["higher_epoch_takes_over", "fenced_epoch_stays_fenced"],
            Self::FencesOnce => &["fenced_epoch_stays_fenced"],
            Self::LosesEnds | Self::TakesEmptyAfterEnd | Self::TakesHeirsAfterEnd => {
                &["finished_run_takes_nothing"]
            }
            Self::ChecksFirstRecordOnly
            | Self::IgnoresRecordEpochs
            | Self::TakesEndWithoutRecord => &["malformed_batch_is_refused"],
            Self::ChecksSequenceFirst | Self::ChecksEndFirst => &["checks_come_in_order"],
            Self::KeepsRefusedBlobs => &["refused_batch_leaves_nothing"],
            Self::KeepsRestOfConflicts => {
                &["refused_batch_leaves_nothing", "expected_sequence_is_checked"]
            }
            Self::TakesEpochOfEmpty | Self::MakesRunOfEmpty => &["empty_batch_changes_nothing"],
            Self::HeadsLag | Self::HeadsNameFirstRecord => &["heads_tell_the_ends"],
            Self::HeadsInOrderOfBirth | Self::HeadsInOrderOfLanguage => {
                &["heads_are_in_order_of_ids"]
            }
            Self::MixesRuns | Self::SharesEpochs => &["runs_do_not_disturb_each_other"],
            Self::RacesAppends => &["one_of_many_appenders_wins"],
            Self::LocksItsHandle => &["one_of_many_handles_wins"],
            Self::WritesAllBack => &["concurrent_runs_get_all_their_records"],
            Self::StoresOneByOne => {
                &["reads_see_whole_batches", "dropped_append_is_whole_or_absent"]
            }
            Self::AnswersEarly => &["reopening_loses_nothing"],
            Self::ForgetsEpochsWhenClosed | Self::ForgetsEndsWhenClosed => {
                &["reopening_forgets_no_check"]
            }
            Self::ChecksItsMemory => &["handles_fence_each_other"],
            Self::CallsFullUnavailable | Self::KeepsBlobsWithoutRoom => {
                &["want_of_room_stores_nothing"]
            }
            Self::DeniesWhatItStored | Self::StoresHalfWhenInterrupted => {
                &["interrupted_append_is_whole_or_absent"]
            }
        }
    }

    /// A sandbox with a journal that has this fault.
    pub fn sandbox(self) -> JournalSandbox {
        let first = SabotagedJournal::new(self);
        let [again, beside, full, cut] = [(); 4].map(|()| first.beside());
        JournalSandbox::new("saboteur", Arc::new(first))
            .reopen(move || std::future::ready(Ok(handle(again.reopened()))))
            .another(move || std::future::ready(Ok(handle(beside.beside()))))
            .out_of_space(move || std::future::ready(Ok(handle(full.without_room()))))
            .interrupt(move || {
                cut.interrupt_next();
                std::future::ready(Ok(()))
            })
    }
}

fn handle(journal: SabotagedJournal) -> Arc<dyn Journal> {
    Arc::new(journal)
}
