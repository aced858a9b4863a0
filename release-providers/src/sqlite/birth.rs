//! What is there before SQLite is asked: SQLite takes a file without bytes for a new one, and throws
//! away the log beside it. For a journal that would be to forget every release that ever ran.
//!
//! A new journal is made whole under another name and then given its own, so that a file without
//! bytes or without tables is never one that somebody is just making, nor one whose maker was killed.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::schema::{OpenError, TABLES, label, sqlite_error};

/// How many names a new file may find taken by what killed makers left behind.
const TRIES: u32 = 1000;
/// What is beside a file only if there was one: by their names' ends.
const COMPANIONS: [&str; 3] = ["-wal", "-journal", super::witness::END];

/// Makes sure that a journal is at `path`: the one that is there, or a new one if there is nothing.
pub(super) fn ensure(path: &Path, must_exist: bool) -> Result<(), OpenError> {
    let failed = |e: io::Error| OpenError::Open { path: path.into(), detail: e.to_string() };
    let length = match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(OpenError::NotAJournal { path: path.into() }),
        Ok(found) => Some(found.len()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed(e)),
    };
    if length.is_some_and(|length| length > 0) {
        return Ok(());
    }
    if let Some(left) = orphan(path).map_err(failed)? {
        let what = if length.is_some() { "is empty" } else { "is missing" };
        let detail = format!(
            "the file {what}, but `{}` beside it is not: there was a journal; if you really mean to \
             begin anew, move both away",
            left.display()
        );
        return Err(OpenError::Damaged { path: path.into(), detail });
    }
    match length {
        Some(_) => Err(OpenError::Empty { path: path.into() }),
        None if must_exist => Err(OpenError::Missing { path: path.into() }),
        None => make(path),
    }
}

/// A companion that is not empty, beside a file that is.
fn orphan(path: &Path) -> io::Result<Option<PathBuf>> {
    for end in COMPANIONS {
        let companion = beside(path, end);
        match fs::metadata(&companion) {
            Ok(found) if found.len() > 0 => return Ok(Some(companion)),
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(None)
}

/// The companion of the file, which SQLite keeps beside the file itself and not beside a link to it.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    with_end(&path.canonicalize().unwrap_or_else(|_| path.to_path_buf()), end)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Whether a file that was found damaged is shorter than it says that it is, for then that is the reason.
/// A log that is not empty may hold what is missing. (The format of SQLite's files, 1.3: the size of a
/// page in bytes 16 and 17, where 1 stands for 65,536, and the number of pages in bytes 28 to 31.)
pub(super) fn cut(path: &Path) -> Option<OpenError> {
    if fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        return None;
    }
    let mut header = [0; 32];
    let mut file = fs::File::open(path).ok()?;
    io::Read::read_exact(&mut file, &mut header).ok()?;
    let (size, pages) = (header.get(16..18)?, header.get(28..32)?);
    let size = u64::from(u16::from_be_bytes(size.try_into().ok()?));
    let size = if size == 1 { 65_536 } else { size };
    let whole = size * u64::from(u32::from_be_bytes(pages.try_into().ok()?));
    let found = file.metadata().ok()?.len();
    let detail = format!("it has {found} of its {whole} bytes: its end was cut off");
    (found < whole).then(|| OpenError::Damaged { path: path.into(), detail })
}

/// Makes a journal without runs at `path`, all or nothing; if somebody else was first, theirs stays.
fn make(path: &Path) -> Result<(), OpenError> {
    let failed = |e: io::Error| OpenError::Open { path: path.into(), detail: e.to_string() };
    let new = claim(path).map_err(failed)?;
    let made = fill(&new).map_err(|e| sqlite_error(path, &e)).and_then(|()| {
        match fs::hard_link(&new, path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(failed(io::Error::other(
                format!("a new journal needs a file system with hard links: {e}"),
            ))),
            _ => sync_folder(path).map_err(failed),
        }
    });
    // What stays is in nobody's way; the error that matters is the first one.
    let _ = fs::remove_file(&new);
    made
}

/// An empty file beside `path` that nobody else has.
fn claim(path: &Path) -> io::Result<PathBuf> {
    let process = std::process::id();
    for n in 0..TRIES {
        let name = with_end(path, &format!(".new-{process}-{n}"));
        match OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(_) => return Ok(name),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("remove the files `.new-` beside it, which crashes left there"))
}

/// Writes the tables, and everything into the one file.
fn fill(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    connection.execute_batch(TABLES)?;
    label(&connection)?;
    connection.execute_batch("COMMIT")?;
    // Closing moves the log into the file, and syncs it.
    connection.close().map_err(|(_, e)| e)
}

/// A name survives a loss of power once its folder is synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) {
        fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
