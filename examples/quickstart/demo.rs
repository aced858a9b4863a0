//! Builds the demo service: the same source, four versions, one of them bad.
//!
//! May be killed at any moment, and two may build in one folder at once: an executable is compiled
//! where nobody else ever writes, and appears under its name in one piece.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Failure, say};

const SOURCE: &str = include_str!("demo_service.rs");

/// Version, and how many percent of its requests fail.
const VERSIONS: [(&str, &str); 4] =
    [("1.0.0", "0"), ("2.0.0", "0"), ("2.1.0", "0"), ("3.0.0", "20")];

/// What the names of folders of unfinished builds begin with.
const UNFINISHED: &str = "building-";

/// Compiles every version that is not in `dir` yet; returns the executables by version.
pub(crate) async fn build(dir: &Path) -> Result<BTreeMap<&'static str, PathBuf>, Failure> {
    say(&format!("building four versions of the demo service in {}", dir.display()));
    std::fs::create_dir_all(dir)?;
    let _builder = one_builder(dir)?;
    clear_dead_builds(dir)?;
    forget_other_sources(dir)?;
    let mut built = BTreeMap::new();
    for (version, failures) in VERSIONS {
        let target = dir.join(format!("demo-{version}"));
        if !target.exists() {
            compile(dir, &target, version, failures).await?;
        }
        built.insert(version, target);
    }
    Ok(built)
}

/// Waits until nobody else builds in `dir`. The kernel frees the lock of a builder that was killed.
fn one_builder(dir: &Path) -> Result<File, Failure> {
    let lock = File::create(dir.join("lock"))?;
    tokio::task::block_in_place(|| lock.lock())?;
    Ok(lock)
}

/// Removes what killed builders left, which is all unfinished builds, for the lock is ours.
///
/// The compiler of a killed builder may still be writing there. It fails for want of its folder,
/// or makes its folder impossible to remove, which is left to the next start.
fn clear_dead_builds(dir: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
    Ok(())
}

/// Removes executables that were built from another source than ours, and keeps ours beside them.
fn forget_other_sources(dir: &Path) -> Result<(), Failure> {
    let path = dir.join("demo_service.rs");
    if std::fs::read(&path).is_ok_and(|source| source == SOURCE.as_bytes()) {
        return Ok(());
    }
    for (version, _) in VERSIONS {
        match std::fs::remove_file(dir.join(format!("demo-{version}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let private = private_dir(dir)?;
    let unfinished = private.path().join("demo_service.rs");
    std::fs::write(&unfinished, SOURCE)?;
    Ok(std::fs::rename(unfinished, path)?)
}

/// A new folder whose name nobody has ever had: orphaned compilers go by the name of theirs.
fn private_dir(dir: &Path) -> Result<TempDir, Failure> {
    Ok(tempfile::Builder::new().prefix(UNFINISHED).rand_bytes(16).tempdir_in(dir)?)
}

#[expect(clippy::disallowed_methods, reason = "cargo names the compiler there")]
async fn compile(dir: &Path, target: &Path, version: &str, failures: &str) -> Result<(), Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let private = private_dir(dir)?;
    let unfinished = private.path().join("demo_service");
    let output = Command::new(&rustc)
        .args(["-O", "--edition", "2024", "-C", "strip=symbols", "-o"])
        .arg(&unfinished)
        .arg(dir.join("demo_service.rs"))
        .env("DEMO_VERSION", version)
        .env("DEMO_FAILURE_PERCENT", failures)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            let program = rustc.display();
            format!(
                "`{program}` cannot be started ({error}): put Rust's compiler on PATH, or set RUSTC"
            )
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("the demo service {version} does not compile: {said}").into());
    }
    Ok(std::fs::rename(unfinished, target)?)
}
