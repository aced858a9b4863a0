//! The cases of `Journal`. A published list is never changed: new cases go to a new level.

mod checks;
mod concurrent;
mod content;
mod durable;
mod runs;

use checks::{
    checks_come_in_order, empty_batch_changes_nothing, expected_sequence_is_checked,
    fenced_epoch_stays_fenced, finished_run_takes_nothing, higher_epoch_takes_over,
    malformed_batch_is_refused, older_epoch_is_fenced, refused_batch_leaves_nothing,
};
use concurrent::{
    concurrent_runs_get_all_their_records, dropped_append_is_whole_or_absent,
    one_of_many_appenders_wins, one_of_many_handles_wins, reads_see_whole_batches,
};
use content::{
    batch_is_stored_whole, blob_twice_is_one, blobs_come_back_as_written, large_batch_survives,
    large_blob_survives, records_come_back_as_written, sealed_records_verify, unknown_blob_is_none,
    unknown_run_is_empty,
};
use durable::{
    handles_fence_each_other, interrupted_append_is_whole_or_absent, reopening_forgets_no_check,
    reopening_loses_nothing, want_of_room_stores_nothing,
};
use runs::{heads_are_in_order_of_ids, heads_tell_the_ends, runs_do_not_disturb_each_other};

use super::JournalSandbox;
use crate::conformance::{Case, case};

pub(super) const V1: &[Case<JournalSandbox>] = &[
    case!(unknown_run_is_empty, "a run that does not exist has no records and no head"),
    case!(unknown_blob_is_none, "content that was never stored is `None`"),
    case!(
        records_come_back_as_written,
        "records come back in order, with sequence, epoch, hash and every byte as they were appended"
    ),
    case!(blobs_come_back_as_written, "content comes back with every byte as it was appended"),
    case!(batch_is_stored_whole, "after `Ok` all records and all content of a batch are there"),
    case!(large_batch_survives, "a batch may have 10,000 records"),
    case!(large_blob_survives, "content may have a mebibyte"),
    case!(blob_twice_is_one, "storing content again changes nothing and is no error"),
    case!(sealed_records_verify, "what a `Sealer` sealed verifies after it was stored"),
    case!(
        expected_sequence_is_checked,
        "`Conflict` for another expected sequence than the stored one, which the answer names"
    ),
    case!(
        older_epoch_is_fenced,
        "`Fenced` for a lower epoch than the stored one, which the answer names, whatever is expected"
    ),
    case!(higher_epoch_takes_over, "a higher epoch takes the run over, however much higher"),
    case!(fenced_epoch_stays_fenced, "an epoch that was fenced once is fenced for good"),
    case!(finished_run_takes_nothing, "`Finished` for every batch after the one that finishes"),
    case!(
        malformed_batch_is_refused,
        "`Malformed` for records that do not follow, an epoch beyond the limit, an end without record"
    ),
    case!(
        checks_come_in_order,
        "`Fenced` comes before `Conflict`, that before `Finished`, that before `Malformed`"
    ),
    case!(
        refused_batch_leaves_nothing,
        "of a refused batch neither records nor content nor head are there"
    ),
    case!(
        empty_batch_changes_nothing,
        "a batch without records is checked, and makes no run and takes no epoch"
    ),
    case!(heads_tell_the_ends, "heads tell sequence, epoch, hash and end of all runs"),
    case!(heads_are_in_order_of_ids, "heads are in the order of the ids, byte by byte"),
    case!(runs_do_not_disturb_each_other, "sequence, epoch and end are each run's own"),
    case!(
        one_of_many_appenders_wins,
        "of many appends that expect the same sequence exactly one is stored"
    ),
    case!(
        concurrent_runs_get_all_their_records,
        "appends to different runs do not hinder each other"
    ),
    case!(
        reads_see_whole_batches,
        "of each batch all records are seen or none, also while it is stored"
    ),
    case!(
        dropped_append_is_whole_or_absent,
        "dropping the future leaves the batch stored as a whole or not at all"
    ),
    case!(
        reopening_loses_nothing,
        "what was announced is there after the store was closed and opened again",
        JournalSandbox::no_reopen
    ),
    case!(
        reopening_forgets_no_check,
        "sequence, epoch and end are checked as before after the store was closed and opened again",
        JournalSandbox::no_reopen
    ),
    case!(
        handles_fence_each_other,
        "what is checked is checked for all handles of one store",
        JournalSandbox::no_other_handle
    ),
    case!(
        one_of_many_handles_wins,
        "of many appends with several handles that expect the same sequence exactly one is stored",
        JournalSandbox::no_other_handle
    ),
    case!(
        want_of_room_stores_nothing,
        "`NoSpace` when there is no room, with nothing stored and nothing lost",
        JournalSandbox::no_want_of_room
    ),
    case!(
        interrupted_append_is_whole_or_absent,
        "only with `Unknown` may a batch that was not announced be there, and then as a whole",
        JournalSandbox::no_interrupt
    ),
];
