//! What an interrupted commit left at the end of the write-ahead log: found, cut off, and told.
//!
//! SQLite counts a commit only if all its frames are there and their checksums fit (SQLite, «Database File
//! Format», section 4, «The Write-Ahead Log»), and passes over the rest without a word. Here the same is
//! read once more, so that whoever opens the journal hears of it.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use rusqlite::Connection;

use super::schema::{OpenError, sqlite_error};

const HEADER: usize = 32;
const FRAME: usize = 24;

/// An interrupted commit at the end of the write-ahead log, which was cut off when the journal was
/// opened. Nobody was ever told that it was stored; the journal is as after the last commit before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailRepaired {
    /// Where the last commit ends in the log, in bytes.
    pub offset: u64,
    /// How many bytes behind that belonged to no commit.
    pub bytes: u64,
}

impl fmt::Display for TailRepaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes } = self;
        write!(
            f,
            "{bytes} bytes of an interrupted commit behind byte {offset} of the log were cut off"
        )
    }
}

/// Cuts off what is behind the last commit, if there is anything. Leaves it alone while another process
/// uses the journal: it will overwrite it, or whoever opens the journal next cuts it off.
///
/// # Errors
/// [`OpenError::Damaged`] when whole commits follow: then it was no interruption, and nothing is changed.
pub(super) fn repair(
    connection: &Connection,
    path: &Path,
) -> Result<Option<TailRepaired>, OpenError> {
    let failed = |e: rusqlite::Error| sqlite_error(path, &e);
    // While nobody can write: what is there then is nobody's commit under way.
    if connection.execute_batch("BEGIN IMMEDIATE").is_err() {
        return Ok(None);
    }
    let found = end_of_log(path);
    connection.execute_batch("ROLLBACK").map_err(failed)?;
    // A log that cannot be read is SQLite's to complain about.
    let Ok(Some(end)) = found else { return Ok(None) };
    if let Some(at) = end.damaged {
        let detail = format!("its log, behind byte {at}, before commits that are whole");
        return Err(OpenError::Damaged { path: path.into(), detail });
    }
    let tail =
        TailRepaired { offset: end.committed, bytes: end.frames.saturating_sub(end.committed) };
    if tail.bytes == 0 {
        return Ok(None);
    }
    let busy: i64 = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(failed)?;
    if busy != 0 {
        return Ok(None);
    }
    tracing::warn!(path = %path.display(), %tail, "the journal's tail was repaired");
    Ok(Some(tail))
}

/// Where the log of the file at `path` ends, if there is one.
fn end_of_log(path: &Path) -> io::Result<Option<End>> {
    let mut name = OsString::from(path.canonicalize()?);
    name.push("-wal");
    let file = match File::open(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let length = file.metadata()?.len();
    let log = Log::new(BufReader::new(file))?;
    let all = End { frames: length, ..End::at(0) };
    Ok(Some(log.map_or(Ok(all), |log| log.end(length))?))
}

/// A log that is read frame by frame.
struct Log {
    file: BufReader<File>,
    /// Whether its words are big-endian, for the checksums alone.
    big: bool,
    page: usize,
    salts: [u8; 8],
    sums: (u32, u32),
}

impl Log {
    /// Reads the header; nothing when that is not whole.
    fn new(mut file: BufReader<File>) -> io::Result<Option<Self>> {
        let header = take(&mut file, HEADER)?;
        let [magic, page] = [0, 8].map(|at| word(&header, at, true));
        let big = match magic {
            Some(0x377f_0682) => false,
            Some(0x377f_0683) => true,
            _ => return Ok(None),
        };
        let sums = sum((0, 0), header.get(..24).unwrap_or_default(), big);
        let stored = word(&header, 24, true).zip(word(&header, 28, true));
        let salts = header.get(16..24).and_then(|salts| <[u8; 8]>::try_from(salts).ok());
        let (Some(salts), Some(page), true) = (salts, page, stored == Some(sums)) else {
            return Ok(None);
        };
        Ok(Some(Self { file, big, page: page as usize, salts, sums }))
    }

    /// Where the last commit ends, and where the frames of this log do: behind them come those of an
    /// earlier one, which are nobody's any more.
    ///
    /// The first frame that does not fit ends what SQLite reads. It may be the trace of an interrupted
    /// commit only if no commit follows it: another begins no sooner than one is synced. So the search
    /// goes on, from the checksum that each frame says it has.
    fn end(mut self, length: u64) -> io::Result<End> {
        let size = (FRAME + self.page) as u64;
        let (mut at, mut end) = (HEADER as u64, End::at(HEADER as u64));
        let mut whole = true;
        loop {
            let head = take(&mut self.file, FRAME)?;
            let page = take(&mut self.file, self.page)?;
            if head.len() < FRAME || page.len() < self.page {
                if whole && !head.is_empty() {
                    end.frames = length; // cut off
                }
                return Ok(end);
            }
            let ours = head.get(8..16) == Some(&self.salts[..]);
            let sums = sum(self.sums, head.get(..8).unwrap_or_default(), self.big);
            let sums = sum(sums, &page, self.big);
            let stored = word(&head, 16, true).zip(word(&head, 20, true));
            let fits = ours && stored == Some(sums);
            let commits = ours && word(&head, 4, true).is_some_and(|pages| pages > 0);
            self.sums = stored.unwrap_or_default();
            at += size;
            match (whole, fits) {
                (true, true) => {
                    end.frames = at;
                    if commits {
                        end.committed = at;
                    }
                }
                (true, false) => {
                    whole = false;
                    end.frames = if ours { at } else { at - size };
                    end.closed = commits;
                }
                (false, true) if end.closed => {
                    end.damaged = Some(end.committed);
                    return Ok(end);
                }
                (false, true) => end.closed = commits,
                (false, false) => {}
            }
        }
    }
}

/// Where a log ends.
struct End {
    /// The last commit that SQLite reads, in bytes.
    committed: u64,
    /// The last frame of this log.
    frames: u64,
    /// Whether a commit ended at or behind the first frame that does not fit.
    closed: bool,
    /// Behind which byte something is damaged, before commits that are whole.
    damaged: Option<u64>,
}

impl End {
    const fn at(byte: u64) -> Self {
        Self { committed: byte, frames: byte, closed: false, damaged: None }
    }
}

/// Up to `length` bytes: fewer only at the end.
fn take(file: &mut BufReader<File>, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(length);
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize, big: bool) -> Option<u32> {
    let word = *bytes.get(at..)?.first_chunk()?;
    Some(if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
}

/// The checksum of the log, continued.
fn sum(start: (u32, u32), bytes: &[u8], big: bool) -> (u32, u32) {
    bytes.chunks_exact(8).fold(start, |(a, b), pair| {
        let [one, two] = [0, 4].map(|at| word(pair, at, big).unwrap_or_default());
        let a = a.wrapping_add(one).wrapping_add(b);
        (a, b.wrapping_add(two).wrapping_add(a))
    })
}
