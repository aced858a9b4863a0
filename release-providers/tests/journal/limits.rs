//! F35 over files: the ledger of permits, which two engines share by two handles of one store.

use std::sync::Arc;

use release_core::engine::Engine;
use release_core::journal::{Journal, LedgerHistory, ledger_stream};
use release_core::limits::{LedgerEvent, Limit, Limits, LimitsFile};
use release_core::run::Outcome;
use release_providers::sqlite::SqliteJournal;

use crate::support::{Counter, ada, line, run};

const CAPACITY: u32 = 2;

#[tokio::test]
async fn f35_engines_on_one_file_share_a_limit_and_reopening_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let counter = Arc::<Counter>::default();
    let limit = Limit::new("all".parse().unwrap(), CAPACITY);
    let limits = LimitsFile { limits: vec![limit], ..LimitsFile::default() };
    let limits = Limits::new(limits).unwrap();
    let engine = || {
        let journal = Arc::new(SqliteJournal::open(&path).unwrap());
        let engine = Engine::builder(journal, Arc::<Counter>::clone(&counter));
        engine.limits(limits.clone()).build()
    };
    let engines = [engine(), engine()];
    let mut handles = Vec::new();
    for number in 0..8 {
        let name = run(&format!("r{number}"));
        handles.push(engines[number % 2].start(name, line(3), ada()).await.unwrap());
    }
    for handle in handles {
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    }
    // The last run ends before it gives back what its last step had; a look comes behind that.
    for engine in &engines {
        engine.ledger().await.unwrap();
        engine.shutdown().await;
    }
    let reopened = engine();
    assert_eq!(reopened.ledger().await.unwrap().permits(), []);
    reopened.shutdown().await;

    let journal = SqliteJournal::open(&path).unwrap();
    let stream = ledger_stream(1).unwrap();
    let history = LedgerHistory::verify(&stream, &journal.read(&stream).await.unwrap()).unwrap();
    let (mut held, mut granted) = (0_u32, 0);
    for (_, event) in &history.entries {
        match event {
            LedgerEvent::Granted { .. } => (held, granted) = (held + 1, granted + 1),
            LedgerEvent::Released { units, .. } => held -= u32::try_from(units.len()).unwrap(),
            _ => {}
        }
        assert!(held <= CAPACITY, "{held}");
    }
    assert!(granted >= 24, "{granted}");
    assert_eq!(held, 0);
}
