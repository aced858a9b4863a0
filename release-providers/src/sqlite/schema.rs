//! Opens journal files: checks them, and refuses what it does not know.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::tail::{self, TailRepaired};
use super::witness::{self, Witness};
use super::{FileCheck, SqliteOptions, birth, rows};

/// The version of the file format, in the file's `user_version`. Version 1: tables `runs`,
/// `records`, `blobs`. Version 2: a checksum of each row of `runs`,
/// whose ids are never given twice.
pub const SQLITE_FORMAT: i64 = 3;

/// «rels» in ASCII: tells our files from other SQLite files, in the file's `application_id`.
const APPLICATION_ID: i64 = 0x7265_6c73;

/// How long a writer waits for another process before it says that the journal is busy.
const BUSY: Duration = Duration::from_secs(5);

/// The tables of a journal.
pub(super) const TABLES: &str = "
CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    hash BLOB NOT NULL,
    finished INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE records (
    place INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    hash BLOB NOT NULL,
    body TEXT NOT NULL,
    before INTEGER
) STRICT;
CREATE TABLE blobs (
    digest BLOB PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;
";

/// A journal file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be opened or created.
    #[error("cannot open the journal `{}`: {detail}; check that its folder exists and can be written", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// It is something else.
    #[error("`{}` is no journal of this library; choose another file", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// It has no bytes: it was cut off, or made by something else. A journal is never empty.
    #[error("the journal `{}` is empty, and a journal never is: restore it from a backup, or remove it if you mean to begin anew", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It should be there, and is not.
    #[error("there is no journal `{}`; restore it from a backup, or open it without `must_exist` to begin anew", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Its pages are not what was written, or a part of it is missing.
    #[error("the journal `{}` is damaged ({detail}); restore it from a backup, nothing was changed", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found first.
        detail: String,
    },
    /// It was written by a newer release, or by one of before the first.
    #[error("the journal `{}` has format {found}, this release knows {SQLITE_FORMAT} alone; use a release that knows it", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// SQLite does not give what was asked of it.
    #[error("the journal `{}` would not be durable: `{pragma}` is {found}, not {wanted}; use a local file system", path.display())]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
}

/// Opens for writing. The only connection of this process that writes.
pub(super) fn open(
    path: &Path,
    options: SqliteOptions,
) -> Result<(Connection, Witness, Option<TailRepaired>), OpenError> {
    let failed = |e: rusqlite::Error| sqlite_error(path, &e);
    birth::ensure(path, options.must_exist)?;
    // Before the journal: another process may be writing both, the journal first.
    let (witness, seen) = Witness::open(path)
        .map_err(|e| OpenError::Open { path: path.into(), detail: e.to_string() })?;
    // Never creates: what vanishes in between is missed, not replaced.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // Of what is refused nothing is changed, and closing would move the log.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep_log, true).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    let sound = identify(&connection, path)
        .and_then(|()| set(&connection, path, "journal_mode", "WAL", "wal"))
        .and_then(|()| set(&connection, path, "synchronous", "FULL", "2"))
        .and_then(|()| check(&connection, path, options.check));
    sound.map_err(|error| match error {
        OpenError::Damaged { .. } => birth::cut(path).unwrap_or(error),
        error => error,
    })?;
    rows::check(&connection, path)?;
    if let Some(seen) = seen {
        witness::compare(&connection, path, &seen)?;
    }
    let repaired = tail::repair(&connection, path)?;
    connection.set_db_config(keep_log, false).map_err(failed)?;
    checkpoint(&connection);
    Ok((connection, witness, repaired))
}

/// Moves the log into the file, as far as nobody else is at work there: it waits for nobody. What
/// stays in the log is as durable there.
pub(super) fn checkpoint(connection: &Connection) {
    let moved = connection
        .busy_timeout(Duration::ZERO)
        .and_then(|()| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
        .and_then(|()| connection.busy_timeout(BUSY));
    if let Err(error) = moved {
        tracing::warn!(%error, "the log of the journal was not moved into its file");
    }
}

/// Opens for reading, beside the writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|e| sqlite_error(path, &e))?;
    connection.busy_timeout(BUSY).map_err(|e| sqlite_error(path, &e))?;
    Ok(connection)
}

/// Refuses other files and newer formats before anything is written.
fn identify(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let number =
        |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let failed = |e: rusqlite::Error| sqlite_error(path, &e);
    let (application, version) =
        (number("application_id").map_err(failed)?, number("user_version").map_err(failed)?);
    if application != APPLICATION_ID {
        return Err(OpenError::NotAJournal { path: path.into() });
    }
    if version != SQLITE_FORMAT {
        return Err(OpenError::UnsupportedVersion { path: path.into(), found: version });
    }
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('runs', 'records', 'blobs')";
    let found = connection.query_row(tables, [], |row| row.get::<_, i64>(0)).map_err(failed)?;
    if found < 3 {
        let detail = "tables are missing".to_owned();
        return Err(OpenError::Damaged { path: path.into(), detail });
    }
    Ok(())
}

/// Sets a pragma and reads it back: SQLite ignores what it does not understand.
fn set(
    connection: &Connection,
    path: &Path,
    pragma: &'static str,
    value: &str,
    wanted: &'static str,
) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| sqlite_error(path, &e);
    connection.pragma_update(None, pragma, value).map_err(failed)?;
    let found = connection.pragma_query_value(None, pragma, |row| {
        row.get::<_, rusqlite::types::Value>(0).map(|value| match value {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => format!("{other:?}"),
        })
    });
    let found = found.map_err(failed)?;
    if found == wanted {
        return Ok(());
    }
    Err(OpenError::NotDurable { path: path.into(), pragma, found, wanted })
}

fn check(connection: &Connection, path: &Path, check: FileCheck) -> Result<(), OpenError> {
    let pragma = match check {
        FileCheck::Full => "integrity_check",
        FileCheck::Quick => "quick_check",
    };
    let found =
        connection.query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get::<_, String>(0));
    match found {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(detail) => Err(OpenError::Damaged { path: path.into(), detail }),
        Err(e) => Err(sqlite_error(path, &e)),
    }
}

/// Marks a new file as one of ours.
pub(super) fn label(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SQLITE_FORMAT)
}

/// What SQLite said, as what it means for a journal.
pub(super) fn sqlite_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(NotADatabase) => OpenError::NotAJournal { path: path.into() },
        Some(DatabaseCorrupt) => OpenError::Damaged { path: path.into(), detail },
        _ => OpenError::Open { path: path.into(), detail },
    }
}
