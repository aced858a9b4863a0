//! What happened to plugins, kept in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{PluginEvents, PluginRecord};
use crate::sync::lock;

/// Appends what happens to plugins to a file, a JSON object a line, each on disk before the next one. A thread of its own
/// writes, so that nobody waits for the disk: what happened last is on disk a moment later, and with [`TrailFile::flush`]
/// for certain. Dropped, it writes what is left.
///
/// Several hosts may write to one file. It is made for its owner alone (mode 0600). An event that cannot be written goes
/// to `tracing` as an error, and the first of them is in [`TrailFile::failure`]; whoever must not run without a trail
/// looks there.
#[derive(Debug)]
pub struct TrailFile {
    path: PathBuf,
    failure: Arc<Mutex<Option<String>>>,
    /// `None` once it is being dropped.
    events: Option<Sender<Task>>,
    writer: Option<JoinHandle<()>>,
}

enum Task {
    Keep(Box<PluginRecord>),
    /// All before it is on disk.
    Tell(Sender<()>),
}

impl TrailFile {
    /// Opens the file to append to it; makes it when it is not there.
    ///
    /// # Errors
    /// Of the file system, or when there can be no more threads.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(&path)?;
        file.sync_all()?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?; // the name of a new file is on disk as well
        }
        Self::writing(path, file)
    }

    fn writing(path: PathBuf, mut file: File) -> io::Result<Self> {
        let (events, tasks) = channel();
        let failure = Arc::new(Mutex::new(None));
        let (place, first) = (path.clone(), Arc::clone(&failure));
        let write = move || {
            for task in tasks {
                match task {
                    Task::Keep(record) => {
                        if let Err(error) = append(&mut file, &record) {
                            let path = place.display();
                            tracing::error!(%error, %path, ?record, "plugin event not kept");
                            lock(&first).get_or_insert(format!("cannot write `{path}`: {error}"));
                        }
                    }
                    Task::Tell(told) => drop(told.send(())), // nobody waits any more
                }
            }
        };
        let writer =
            Some(std::thread::Builder::new().name("plugin-trail".to_owned()).spawn(write)?);
        Ok(Self { path, failure, events: Some(events), writer })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Blocks until all that happened so far is on disk, or could not be written.
    pub fn flush(&self) {
        let (told, written) = channel();
        self.send(Task::Tell(told));
        let _ = written.recv(); // an error: there is no writer to wait for
    }

    /// Why the first event that could not be written could not.
    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    fn send(&self, task: Task) {
        let sent = self.events.as_ref().map(|events| events.send(task));
        if !matches!(sent, Some(Ok(()))) {
            lock(&self.failure).get_or_insert("the thread that writes has ended".to_owned());
        }
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

fn append(file: &mut File, record: &PluginRecord) -> io::Result<()> {
    // A line that was cut off, by a crash or a full disk, takes no other with it.
    let mut line = if cut_off(file)? { b"\n".to_vec() } else { Vec::new() };
    serde_json::to_writer(&mut line, record)?;
    line.push(b'\n');
    file.write_all(&line)?; // at once: lines of several hosts do not mix
    file.sync_data()
}

fn cut_off(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl PluginEvents for TrailFile {
    fn on_event(&self, record: &PluginRecord) {
        self.send(Task::Keep(Box::new(record.clone())));
    }
}

impl Drop for TrailFile {
    fn drop(&mut self) {
        self.events = None; // it ends when it has written what is left
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
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

        let one = TrailFile::open(&path).unwrap();
        one.on_event(&stopped);
        one.flush();
        // Of another host, which died, or for which there was no more room.
        let cut = br#"{"at":"2026-01-01T00:00:00Z","plug"#;
        OpenOptions::new().append(true).open(&path).unwrap().write_all(cut).unwrap();
        one.on_event(&hung);
        drop(one);
        let again = TrailFile::open(&path).unwrap();
        again.on_event(&stopped);
        again.flush();

        let trail = TrailFile::read(&path).unwrap();
        let records = vec![stopped.clone(), hung, stopped];
        assert_eq!(trail, Trail { records, unreadable: vec![2] });
        assert_eq!((again.path(), again.failure()), (path.as_path(), None));
    }

    #[test]
    fn f39_what_cannot_be_written_is_told() {
        let file = File::open("/dev/null").unwrap(); // not to be written to
        let trail = TrailFile::writing("/a/trail".into(), file).unwrap();
        trail.on_event(&record(1, PluginEvent::Released));
        trail.flush();
        assert!(trail.failure().unwrap().contains("/a/trail"), "{:?}", trail.failure());
    }
}
