//! Reads a run. Records stand in the order in which they were stored, whosever they are, so that a commit
//! writes the end of one table and little else. Each names the place of its run's record before, and the
//! row of the run those of the first and the last: so a run is found without an index.

use release_core::journal::{Head, ReadError, Record};
use release_core::model::{Digest, RunId};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{read_error, rows};

/// A run whose records are at least every so many-th in their part of the table is read by a scan of that
/// part, which is that much faster a row than to go from record to record.
const DENSE: u64 = 4;

/// The row of a run.
#[derive(Debug)]
pub(super) struct RunRow {
    pub(super) id: i64,
    pub(super) head: Head,
    /// The places of its first and last record.
    pub(super) places: (i64, i64),
    /// Whether it is what was written there.
    pub(super) sound: bool,
}

impl RunRow {
    pub(super) const COLUMNS: &str = "run, seq, epoch, hash, finished, first, last, seal, run_id";
    /// Where among the columns its number is.
    pub(super) const ID: usize = 8;
    const BY_NAME: &str = "SELECT run, seq, epoch, hash, finished, first, last, seal, run_id \
                           FROM runs WHERE run = ?1";

    /// `None` for what was never written there.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let (run, seq, epoch) = (row.get::<_, String>(0)?, row.get(1)?, row.get(2)?);
        let (hash, finished) = (row.get::<_, Vec<u8>>(3)?, row.get(4)?);
        let places = (row.get(5)?, row.get(6)?);
        let (seal, id) = (row.get::<_, Vec<u8>>(7)?, row.get(8)?);
        let parts = RunId::new(run).ok().zip(digest(&hash));
        Ok(parts.map(|(run, hash)| {
            let head = Head { run, seq, epoch, hash, finished };
            let sound = seal == seal_of(&head, places).as_bytes();
            Self { id, head, places, sound }
        }))
    }

    /// The head of a row, also of one that is not what was written: such a run is not over, so that whoever
    /// resumes it is told. `None` when not even its name can be read.
    pub(super) fn head(row: &Row<'_>) -> rusqlite::Result<Option<Head>> {
        match Self::read(row) {
            Ok(Some(Self { head, sound, .. })) => {
                return Ok(Some(Head { finished: head.finished && sound, ..head }));
            }
            Err(error) if !is_value(&error) => return Err(error),
            Ok(None) | Err(_) => {}
        }
        let name = row.get_ref(0)?.as_str().ok().and_then(|name| RunId::new(name).ok());
        Ok(name.map(unreadable))
    }

    pub(super) fn find(connection: &Connection, run: &RunId) -> rusqlite::Result<Known> {
        let mut find = connection.prepare_cached(Self::BY_NAME)?;
        match find.query_row([run.as_str()], Self::read).optional() {
            Ok(None) => Ok(Known::Nothing),
            Ok(Some(Some(row))) if row.sound => Ok(Known::Row(row)),
            Ok(Some(_)) => Ok(Known::Other),
            Err(error) if is_value(&error) => Ok(Known::Other),
            Err(error) => Err(error),
        }
    }
}

/// The head of a run of which there is something, and nobody knows what.
pub(super) fn unreadable(run: RunId) -> Head {
    Head { run, seq: 0, epoch: 0, hash: Digest::from_bytes([0; 32]), finished: false }
}

/// Whether one row has a value that was never written there, rather than the whole file being out of reach.
pub(super) const fn is_value(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// What the table of runs has of a run.
#[derive(Debug)]
pub(super) enum Known {
    Nothing,
    Row(RunRow),
    /// Something that was never written there.
    Other,
}

/// The checksum of a row of the table of runs. The records have their chain; without this, a flipped bit
/// could end a run, or give it back to a writer that was fenced.
pub(super) fn seal_of(head: &Head, (first, last): (i64, i64)) -> Digest {
    let Head { run, seq, epoch, hash, finished } = head;
    let text =
        format!("release.journal.head.v3\n{run} {seq} {epoch} {hash} {finished} {first} {last}");
    Digest::of(text.as_bytes())
}

/// Reads a run in one snapshot, and compares its last record with what the table of runs says: the
/// chain alone cannot tell that its end was cut off.
pub(super) fn read_run(connection: &Connection, run: &RunId) -> Result<Vec<Record>, ReadError> {
    let snapshot = connection.unchecked_transaction().map_err(read_error)?;
    let row = match RunRow::find(&snapshot, run).map_err(read_error)? {
        Known::Nothing => return Ok(Vec::new()),
        Known::Row(row) => row,
        Known::Other => return Err(damaged(&format!("the table of runs, run `{run}`"))),
    };
    let (first, last) = row.places;
    let places = last.saturating_sub(first).unsigned_abs().saturating_add(1);
    let records = if places <= row.head.seq.saturating_mul(DENSE) {
        scan(&snapshot, &row)?
    } else {
        walk(&snapshot, &row)?
    };
    if let Some(detail) = rows::disagreement(&row.head, records.last()) {
        return Err(ReadError::Damaged { detail });
    }
    Ok(records)
}

/// A record as it is stored.
struct Found {
    run: i64,
    before: Option<i64>,
    /// `None` for what was never written there.
    record: Option<Record>,
}

impl Found {
    const COLUMNS: &str = "run_id, before, seq, epoch, hash, body";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (seq, epoch) = (row.get(2)?, row.get(3)?);
        let hash = row.get_ref(4)?.as_blob().ok().and_then(digest);
        let body = row.get::<_, String>(5)?;
        let record = hash.map(|hash| Record { seq, epoch, hash, bytes: body.into_bytes().into() });
        Ok(Self { run: row.get(0)?, before: row.get(1)?, record })
    }
}

/// Reads the part of the table in which the run is, from its first record to its last.
fn scan(connection: &Connection, row: &RunRow) -> Result<Vec<Record>, ReadError> {
    let sql = format!(
        "SELECT {} FROM records WHERE place BETWEEN ?1 AND ?2 AND run_id = ?3 ORDER BY place",
        Found::COLUMNS
    );
    let mut statement = connection.prepare_cached(&sql).map_err(read_error)?;
    let (first, last) = row.places;
    let found = statement.query_map([first, last, row.id], Found::read).map_err(read_error)?;
    let mut records = Vec::with_capacity(usize::try_from(row.head.seq).unwrap_or(0).min(1 << 20));
    // Whether they follow each other their chain tells.
    for (found, seq) in found.zip(1_u64..) {
        let found = found.map_err(read_error)?;
        let here = || damaged(&format!("record {seq} of run `{}`", row.head.run));
        records.push(found.record.ok_or_else(here)?);
    }
    Ok(records)
}

/// Goes from the run's last record to the first, each by the place that the one behind it names.
fn walk(connection: &Connection, row: &RunRow) -> Result<Vec<Record>, ReadError> {
    let sql = format!("SELECT {} FROM records WHERE place = ?1", Found::COLUMNS);
    let mut statement = connection.prepare_cached(&sql).map_err(read_error)?;
    let mut records = Vec::new();
    let mut next = Some(row.places.1);
    for seq in (1..=row.head.seq).rev() {
        let here = || damaged(&format!("the place of record {seq} of run `{}`", row.head.run));
        let found = match next {
            Some(place) => {
                statement.query_row([place], Found::read).optional().map_err(read_error)?
            }
            None => None,
        };
        let found = found.filter(|found| found.run == row.id).ok_or_else(here)?;
        next = found.before;
        records.push(found.record.filter(|record| record.seq == seq).ok_or_else(here)?);
    }
    records.reverse();
    Ok(records)
}

fn digest(bytes: &[u8]) -> Option<Digest> {
    <[u8; 32]>::try_from(bytes).ok().map(Digest::from_bytes)
}

pub(super) fn damaged(place: &str) -> ReadError {
    ReadError::Damaged { detail: format!("{place} holds something that was never written there") }
}
