//! A file with identities in a directory of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use release_core::model::Identity;
use release_core::port::Clock;
use release_providers::local::IdentityFile;
use release_testkit::fixtures;
use serde_json::json;
use tempfile::TempDir;

/// Who writes the file, as a good writer does.
#[derive(Debug)]
pub(crate) struct Home {
    directory: TempDir,
    content: Mutex<(u64, Vec<Identity>)>,
}

impl Home {
    /// A directory with a file of the fixtures' accounts.
    pub(crate) fn new() -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        let home = Self { directory, content: Mutex::new((0, Vec::new())) };
        home.change(|accounts| accounts.extend(fixtures::accounts()));
        Arc::new(home)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("identities.json")
    }

    pub(crate) fn open(&self, clock: &Arc<dyn Clock>) -> IdentityFile {
        IdentityFile::new(self.path(), Arc::clone(clock))
    }

    /// Writes the next version.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Vec<Identity>)) {
        let mut content = self.content.lock().unwrap();
        change(&mut content.1);
        content.0 += 1;
        let (version, identities) = &*content;
        self.write(&json!({ "version": version, "identities": identities }).to_string());
    }

    /// Puts a whole new file in the place of the one before.
    pub(crate) fn write(&self, text: &str) {
        let beside = self.directory.path().join("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, self.path()).unwrap();
    }

    pub(crate) fn hide(&self) {
        std::fs::rename(self.path(), self.directory.path().join("hidden")).unwrap();
    }

    pub(crate) fn show(&self) {
        std::fs::rename(self.directory.path().join("hidden"), self.path()).unwrap();
    }
}
