//! A directory with one flag, which can be out of reach.

#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;
use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use acme_provider::FileFlags;
use release_providers::SystemClock;
use release_providers::model::EnvironmentId;
use release_testkit::conformance::HookError;
use release_testkit::fixtures;
use tempfile::TempDir;

pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let folder = place.directory().join(environment().as_str());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dark-mode"), r#"[{"state":"off"},1]"#).unwrap();
        place
    }

    /// Where the flags are.
    pub fn directory(&self) -> PathBuf {
        self.0.path().join("the-flags")
    }

    /// A provider of the flag.
    pub fn flags(&self) -> Arc<FileFlags> {
        Arc::new(FileFlags::open(self.directory(), Arc::new(SystemClock::new())))
    }

    /// Takes it all away.
    pub fn close(&self) -> Ready<Result<(), HookError>> {
        ready(fs::remove_dir_all(self.0.path()).map_err(Into::into))
    }

    /// Where a host makes its sockets.
    pub fn sockets(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// As a share on the network that is gone, or back.
    pub fn within_reach(&self, within: bool) -> Result<(), HookError> {
        let (here, away) = (self.directory(), self.0.path().join("away"));
        match (within, here.exists()) {
            (true, false) => Ok(fs::rename(away, here)?),
            (false, true) => Ok(fs::rename(here, away)?),
            _ => Ok(()),
        }
    }
}

/// What is in the file of the flag.
pub fn content(directory: &Path) -> Result<String, HookError> {
    Ok(fs::read_to_string(directory.join(environment().as_str()).join("dark-mode"))?)
}

/// Where the flag is.
pub fn environment() -> EnvironmentId {
    fixtures::literal("staging")
}
