//! A directory with one flag, which can be out of reach.

use std::fs;
use std::path::PathBuf;

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

    /// Where a host makes its sockets.
    #[allow(dead_code, reason = "only hosts make some")]
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

/// Where the flag is.
pub fn environment() -> EnvironmentId {
    fixtures::literal("staging")
}
