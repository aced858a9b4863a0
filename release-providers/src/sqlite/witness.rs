//! A witness beside the journal (`-head`): the last record of the latest commit, written again after
//! each. SQLite takes a write-ahead log that was cut or removed for one that ends earlier; commits are
//! in one order, so whatever of them is lost, the latest is, and this file still names it.
//!
//! It is written after the commit is durable and before anybody is told. So a crash leaves it behind the
//! journal, never ahead: what it names and the journal does not have was lost. It is a single sector,
//! overwritten in place, and synced when a run begins; a loss of power can set it back, which hides a
//! loss but never invents one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use release_core::model::{Digest, RunId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::schema::{OpenError, sqlite_error};

/// What its name ends with.
pub(super) const END: &str = "-head";
/// Its length in bytes: storage writes a sector whole or not at all.
const SECTOR: usize = 512;

/// A record that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) run: RunId,
    pub(super) seq: u64,
    pub(super) hash: Digest,
    /// Where it stands in the table of records.
    pub(super) place: i64,
}

impl Seen {
    fn to_line(&self) -> String {
        let Self { run, seq, hash, place } = self;
        let text = format!("{run} {seq} {hash} {place}");
        let check = Digest::of(text.as_bytes());
        let line = format!("{text} {check}");
        format!("{line:<width$}\n", width = SECTOR - 1)
    }

    /// `None` for what was never written there.
    fn from_line(line: &str) -> Option<Self> {
        let (text, check) = line.trim_end().rsplit_once(' ')?;
        if check.parse() != Ok(Digest::of(text.as_bytes())) {
            return None;
        }
        let mut parts = text.split(' ');
        let (run, seq) = (RunId::new(parts.next()?).ok()?, parts.next()?.parse().ok()?);
        let (hash, place) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { run, seq, hash, place })
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Witness {
    path: PathBuf,
    file: File,
}

impl Witness {
    /// Opens the witness of the journal at `path`, and says what it has seen. One that cannot be read has
    /// seen nothing.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Seen>)> {
        let path = super::birth::beside(path, END);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut text = Vec::with_capacity(SECTOR);
        (&mut file).take(SECTOR as u64).read_to_end(&mut text)?;
        let seen = std::str::from_utf8(&text).ok().and_then(Seen::from_line);
        if seen.is_none() && !text.is_empty() {
            tracing::warn!(path = %path.display(), "the witness of the journal is unreadable: ignored");
        }
        Ok((Self { path, file }, seen))
    }

    /// Notes the last record of a commit. A failure is no fault of the commit, which is durable.
    pub(super) fn note(&mut self, seen: &Seen, sync: bool) {
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(seen.to_line().as_bytes()))
            .and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error, "the witness of the journal fails");
        }
    }
}

/// Refuses a journal that does not have what was seen. A record that is missing although the row of its
/// run has it is that run's damage, found when the run is read: a log that is cut loses both.
pub(super) fn compare(connection: &Connection, path: &Path, seen: &Seen) -> Result<(), OpenError> {
    let sql = "SELECT runs.seq >= ?2, records.hash FROM runs LEFT JOIN records \
               ON place = ?3 AND records.run_id = runs.run_id AND records.seq = ?2 WHERE run = ?1";
    let found = connection
        .query_row(sql, params![seen.run.as_str(), seen.seq, seen.place], |row| {
            Ok((row.get::<_, bool>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
        })
        .optional()
        .map_err(|e| sqlite_error(path, &e))?;
    let what = match found {
        Some((true, None)) => return Ok(()),
        Some((true, Some(hash))) if hash == seen.hash.as_bytes() => return Ok(()),
        Some((true, Some(_))) => "is another",
        Some((false, _)) | None => "is missing",
    };
    let Seen { run, seq, hash, .. } = seen;
    let detail = format!(
        "record {seq} of run `{run}` ({hash}) was stored and {what}: its log was cut or removed, or an \
         earlier state was put back; if you did that on purpose, remove `{}`",
        super::birth::beside(path, END).display()
    );
    Err(OpenError::Damaged { path: path.into(), detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_back_and_nothing_else() {
        let run = RunId::new("r".repeat(64)).unwrap();
        let seen = Seen { run, seq: u64::MAX, hash: Digest::of(b"x"), place: i64::MAX };
        let line = seen.to_line();
        assert_eq!(line.len(), SECTOR);
        assert_eq!(Seen::from_line(&line), Some(seen));
        assert_eq!(Seen::from_line(&line.replace("184", "185")), None);
        assert_eq!(Seen::from_line(&line[..200]), None);
        assert_eq!(Seen::from_line(""), None);
    }
}
