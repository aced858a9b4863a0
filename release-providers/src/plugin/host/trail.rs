//! What happened to plugins, kept in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{PluginEvents, PluginRecord};

/// Appends what happens to plugins to a file, a JSON object a line, and has it on disk before the host goes on: a host
/// that dies right after a plugin hung has said so.
///
/// Several hosts may write to one file. It is made for its owner alone (mode 0600). An event that cannot be written goes
/// to `tracing` as an error, and the first of them is in [`TrailFile::failure`]; whoever must not run without a trail
/// looks there.
#[derive(Debug)]
pub struct TrailFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    failure: Option<String>,
}

impl TrailFile {
    /// Opens the file to append to it; makes it when it is not there. A line that a crash cut off is ended first, so
    /// that it takes no other with it.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&path)?;
        if cut_off(&mut file)? {
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?; // the name of a new file is on disk as well
        }
        Ok(Self { path, state: Mutex::new(State { file, failure: None }) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why the first event that could not be written could not.
    pub fn failure(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure.clone()
    }

    /// Reads a file that was written so.
    ///
    /// # Errors
    /// Of the file system. What is no record is none: it is in [`Trail::unreadable`].
    pub fn read(path: impl AsRef<Path>) -> io::Result<Trail> {
        let mut trail = Trail::default();
        for (line, number) in BufReader::new(File::open(path)?).split(b'\n').zip(1..) {
            match serde_json::from_slice(&line?) {
                Ok(record) => trail.records.push(record),
                Err(_) => trail.unreadable.push(number),
            }
        }
        Ok(trail)
    }
}

/// What a file of [`TrailFile`] holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trail {
    /// What happened, in the order in which it was written.
    pub records: Vec<PluginRecord>,
    /// The lines, from 1, that are no records: cut off by a crash, or of a newer host.
    pub unreadable: Vec<u64>,
}

fn cut_off(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    io::Read::read_exact(file, &mut last)?;
    Ok(last != *b"\n")
}

impl State {
    fn append(&mut self, record: &PluginRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.file.write_all(&line)?; // at once: lines of several hosts do not mix
        self.file.sync_data()
    }
}

impl PluginEvents for TrailFile {
    fn on_event(&self, record: &PluginRecord) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = state.append(record) {
            let (path, plugin) = (self.path.display(), &record.plugin);
            tracing::error!(%error, %path, %plugin, event = ?record.event, "plugin event not kept");
            state.failure.get_or_insert_with(|| format!("cannot write `{path}`: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use release_core::time::Timestamp;

    use super::super::PluginEvent;
    use super::*;

    fn record(at: i64, event: PluginEvent) -> PluginRecord {
        PluginRecord { at: Timestamp::from_micros(at), plugin: "acme".to_owned(), event }
    }

    #[test]
    fn f39_what_was_written_is_read_and_a_cut_line_takes_no_other_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trail.jsonl");
        let stopped = record(1, PluginEvent::Stopped { exit: "exit status: 0".to_owned() });
        let hung = record(2, PluginEvent::Hung { operation: "deployer.apply".to_owned() });

        TrailFile::open(&path).unwrap().on_event(&stopped);
        let cut = br#"{"at":"2026-01-01T00:00:00Z","plug"#;
        OpenOptions::new().append(true).open(&path).unwrap().write_all(cut).unwrap();
        let again = TrailFile::open(&path).unwrap();
        again.on_event(&hung);

        let trail = TrailFile::read(&path).unwrap();
        assert_eq!(trail, Trail { records: vec![stopped, hung], unreadable: vec![2] });
        assert_eq!((again.path(), again.failure()), (path.as_path(), None));
    }

    #[test]
    fn f39_what_cannot_be_written_is_told() {
        let file = File::open("/dev/null").unwrap(); // not to be written to
        let state = Mutex::new(State { file, failure: None });
        let trail = TrailFile { path: "/a/trail".into(), state };
        trail.on_event(&record(1, PluginEvent::Released));
        assert!(trail.failure().unwrap().contains("/a/trail"), "{:?}", trail.failure());
    }
}
