//! The journals of this workspace keep every promise of `Journal`: in memory, in SQLite, and the one
//! that fails when a test says so, while none does. This file is what the author of a store writes.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use release_core::journal::{Journal, MemoryJournal};
use release_providers::sqlite::{OpenError, SqliteJournal, SqliteOptions};
use release_testkit::conformance::Level;
use release_testkit::conformance::journal::{self, JournalSandbox};
use release_testkit::{AppendFault, FaultyJournal};

fn memory() -> JournalSandbox {
    let journal = Arc::new(MemoryJournal::new());
    let another = Arc::clone(&journal);
    JournalSandbox::new("MemoryJournal", journal).another(move || {
        let another: Arc<dyn Journal> = another.clone();
        async { Ok(another) }
    })
}

fn sqlite() -> JournalSandbox {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let open = move |options| -> Result<Arc<dyn Journal>, OpenError> {
        Ok(Arc::new(SqliteJournal::open_with(folder.path().join("journal.db"), options)?))
    };
    let (again, another, full) = (open.clone(), open.clone(), open.clone());
    JournalSandbox::new("SqliteJournal", open(SqliteOptions::default()).unwrap())
        .reopen(move || std::future::ready(again(SqliteOptions::default()).map_err(Into::into)))
        .another(move || std::future::ready(another(SqliteOptions::default()).map_err(Into::into)))
        .out_of_space(move || {
            // 1.2 megabytes: some batches fit, and then none.
            let options = SqliteOptions::default().with_max_pages(300);
            std::future::ready(full(options).map_err(Into::into))
        })
}

/// The store is in memory, so it outlives every handle.
fn faulty() -> JournalSandbox {
    let store = Arc::new(MemoryJournal::new());
    let open = move || Arc::new(FaultyJournal::new(store.clone()));
    let first = open();
    let (again, another, full, cut) = (open.clone(), open.clone(), open, first.clone());
    let rounds = AtomicUsize::new(0);
    JournalSandbox::new("FaultyJournal", first)
        .reopen(move || std::future::ready(Ok(again() as Arc<dyn Journal>)))
        .another(move || std::future::ready(Ok(another() as Arc<dyn Journal>)))
        .out_of_space(move || {
            let journal = full();
            journal.fail_next(AppendFault::NoSpace);
            std::future::ready(Ok(journal as Arc<dyn Journal>))
        })
        .interrupt(move || {
            cut.fail_next(match rounds.fetch_add(1, Ordering::Relaxed) % 3 {
                0 => AppendFault::UnknownStored,
                1 => AppendFault::UnknownNotStored,
                _ => AppendFault::Unavailable,
            });
            std::future::ready(Ok(()))
        })
}

release_testkit::journal_conformance! {
    name: memory_journal,
    level: V1,
    journal: async || memory(),
}

release_testkit::journal_conformance! {
    name: sqlite_journal,
    level: V1,
    journal: async || sqlite(),
}

release_testkit::journal_conformance! {
    name: faulty_journal,
    level: V1,
    journal: async || faulty(),
}

/// A case that is skipped is green as well, so which are is said here.
#[tokio::test]
async fn nothing_is_skipped_but_what_a_store_does_not_have() {
    let volatile = [
        "reopening_loses_nothing",
        "reopening_forgets_no_check",
        "want_of_room_stores_nothing",
        "interrupted_append_is_whole_or_absent",
    ];
    skips(memory, &volatile).await;
    skips(sqlite, &["interrupted_append_is_whole_or_absent"]).await;
    skips(faulty, &[]).await;
}

async fn skips(sandbox: fn() -> JournalSandbox, due: &[&str]) {
    let report = journal::run(Level::V1, &async || sandbox()).await;
    let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
    assert!(report.is_conformant() && skipped == due, "{report}");
}
