//! The embedded durable journal: one SQLite file, readable with the `sqlite3` shell.
//!
//! - `birth` tells a journal that is lost from one that never was, and makes new ones.
//! - `schema` opens the file, checks it, and refuses what it does not know.
//! - `rows` finds tables that contradict each other.
//! - `read` is how a run is read: its records stand among those of others, in the order in which they were
//!   stored, and each names the place of the one before.
//! - `tail` cuts off what an interrupted commit left, and tells of it.
//! - `writer` is the one thread that writes: it stores what concurrent runs append in one
//!   transaction, and syncs once for all of them.
//! - `reserve` keeps space for what must be stored when the disk is full.
//! - `witness` notes the latest commit beside the file.
//!
//! # What the checks find, and what they cannot
//!
//! Opening a file checks its pages and that every record belongs to a run; reading a run verifies its
//! hash chain and compares its end with the table of runs. So an edited, removed or reordered record is
//! found, also at the end of a run, and so is a run of which only the row was removed.
//!
//! SQLite keeps the latest commits in the write-ahead log beside the file (`-wal`) until they are moved
//! into the file: when the journal is opened or closed, and whenever the log has about 4 MiB. It takes
//! a log that was cut, removed or damaged for one that ends earlier. Therefore the last record of each
//! commit is also noted in a third file, `-head`, and a journal that does not have that record is
//! refused ([`OpenError::Damaged`]), which names its run. The same goes for an old backup that is put
//! back beside a newer `-head`; whoever does that on purpose removes the `-head`.
//!
//! What cannot be found from the files alone is a *whole earlier state* of all of them: a copy of the
//! file alone while the journal is in use, or a backup together with its `-head`. `-head` itself is
//! synced only when a run begins, so that after a loss of power it may name an earlier record. Whoever
//! has to notice that too keeps the head of a run ([`Head::hash`], the report's `head`) somewhere else
//! and compares: the record with that sequence must still be there and have that hash.
//!
//! ```sql
//! SELECT seq, json_extract(body, '$.event.type') FROM records JOIN runs USING (run_id) WHERE run = 'r-1' ORDER BY place;
//! ```

mod birth;
mod read;
mod reserve;
mod rows;
mod schema;
mod tail;
mod witness;
mod writer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use release_core::journal::{AppendError, Batch, Head, Journal, ReadError, Record};
use release_core::model::{Digest, RunId};
use rusqlite::{Connection, OptionalExtension as _};

use read::{RunRow, is_value, read_run, unreadable};
use reserve::Reserve;
pub use schema::{OpenError, SQLITE_FORMAT};
pub use tail::TailRepaired;
use writer::Writer;

/// How a journal file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// How thoroughly the file is checked before it is used.
    pub check: FileCheck,
    /// The most pages of 4 KiB that the file may have: a quota on the disk. `None`: no limit but
    /// SQLite's own. Beyond it, appends fail with [`AppendError::NoSpace`].
    pub max_pages: Option<u32>,
    /// Pages of 4 KiB that are set aside for the time when there is no room, in a file beside the journal
    /// (`-reserve`) and within [`max_pages`](Self::max_pages), of which it takes half at most. What begins
    /// nothing new ([`Batch::begins_anew`] is false) may use it: outcomes of effects under way, steps of
    /// rollbacks. All else is refused until it is whole again. 0: no reserve.
    pub reserve_pages: u32,
    /// Whether a file that is not there is an error ([`OpenError::Missing`]) rather than a new journal:
    /// for whoever knows that there was one.
    pub must_exist: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl SqliteOptions {
    /// A full check, no quota, a reserve of 256 KiB.
    pub const fn new() -> Self {
        Self { check: FileCheck::Full, max_pages: None, reserve_pages: 64, must_exist: false }
    }

    /// Sets how many pages of 4 KiB are set aside for the time when there is no room.
    #[must_use]
    pub const fn with_reserve_pages(mut self, pages: u32) -> Self {
        self.reserve_pages = pages;
        self
    }

    /// Sets how thoroughly the file is checked before it is used.
    #[must_use]
    pub const fn with_check(mut self, check: FileCheck) -> Self {
        self.check = check;
        self
    }

    /// Sets the most pages of 4 KiB that the file may have.
    #[must_use]
    pub const fn with_max_pages(mut self, pages: u32) -> Self {
        self.max_pages = Some(pages);
        self
    }

    /// Refuses to make a new journal where there is none.
    #[must_use]
    pub const fn must_exist(mut self) -> Self {
        self.must_exist = true;
        self
    }
}

/// How thoroughly a journal file is checked before it is used. The hash chain of a run is always
/// verified when the run is read. What neither can find: see [the module](self).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileCheck {
    /// Every page and every index (`PRAGMA integrity_check`).
    Full,
    /// Every page, but not whether indices match (`PRAGMA quick_check`).
    Quick,
}

/// A [`Journal`] in one SQLite file, with write-ahead log and a full sync before every answer.
///
/// What was appended survives a crash of the process and a loss of power, as far as the disk keeps
/// what it says it has synced. Several processes can use one file; expected sequence and epoch are
/// checked in the transaction that stores.
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    /// Closed before the writer, which so is the last one: only that one can remove the log.
    reader: Arc<Mutex<Connection>>,
    writer: Writer,
    repaired: Option<TailRepaired>,
    /// Runs that have records, and in the table of runs another name.
    lost: Arc<BTreeSet<RunId>>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, creating it if nothing is there. An empty file, or a log without
    /// its file, is what is left of a journal, and refused.
    ///
    /// Blocks while the file is checked: a second for about a gigabyte.
    ///
    /// # Errors
    /// [`OpenError`]: the file cannot be opened, is no journal, is empty or damaged, was written by a
    /// newer release, or does not give the durability that was asked for.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, SqliteOptions::default())
    }

    /// As [`SqliteJournal::open`], with options.
    ///
    /// # Errors
    /// As [`SqliteJournal::open`].
    pub fn open_with(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_path_buf();
        let (connection, witness, repaired) = schema::open(&path, options)?;
        let mut reserve = Reserve::open(&path, options);
        reserve.close(&connection);
        let lost = rows::misnamed(&connection, &path)?.into();
        let reader = Arc::new(Mutex::new(schema::open_reader(&path)?));
        let writer = Writer::start(connection, witness, reserve)
            .map_err(|e| OpenError::Open { path: path.clone(), detail: e.to_string() })?;
        Ok(Self { path, reader, writer, repaired, lost })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What an interrupted commit had left when the journal was opened, and was cut off: the trace of a
    /// crash or a loss of power. Nothing that was announced is lost by it.
    pub const fn tail_repaired(&self) -> Option<TailRepaired> {
        self.repaired
    }

    /// How many transactions were committed since the journal was opened: each is one sync.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    async fn with_reader<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = Arc::clone(&self.reader);
        let task = tokio::task::spawn_blocking(move || {
            // Reading leaves nothing half done, so a poisoned lock can be used on.
            read(&reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        task.await.unwrap_or_else(|e| Err(ReadError::Unavailable { detail: e.to_string() }))
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        if self.lost.contains(&batch.run) {
            return Err(AppendError::Damaged { detail: rows::renamed(&batch.run) });
        }
        self.writer.append(batch).await
    }

    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        if self.lost.contains(run) {
            return Err(ReadError::Damaged { detail: rows::renamed(run) });
        }
        let run = run.clone();
        self.with_reader(move |connection| read_run(connection, &run)).await
    }

    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.with_reader(move |connection| {
            let sql = "SELECT bytes FROM blobs WHERE digest = ?1";
            let found =
                connection.query_row(sql, [digest.as_bytes()], |row| row.get::<_, Vec<u8>>(0));
            Ok(found.optional().map_err(read_error)?.map(Arc::from))
        })
        .await
    }

    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        let lost = Arc::clone(&self.lost);
        self.with_reader(move |connection| {
            let sql = format!("SELECT {} FROM runs ORDER BY run", RunRow::COLUMNS);
            let mut statement = connection.prepare_cached(&sql).map_err(read_error)?;
            let rows = statement.query_map([], RunRow::head).map_err(read_error)?;
            let mut heads: Vec<_> =
                rows.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(read_error)?;
            for run in lost.iter() {
                if let Err(at) = heads.binary_search_by(|head| head.run.cmp(run)) {
                    heads.insert(at, unreadable(run.clone()));
                }
            }
            Ok(heads)
        })
        .await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
fn read_error(error: rusqlite::Error) -> ReadError {
    let detail = error.to_string();
    let broken = matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    ) || is_value(&error);
    if broken { ReadError::Damaged { detail } } else { ReadError::Unavailable { detail } }
}
