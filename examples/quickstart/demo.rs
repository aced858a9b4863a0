//! Builds the demo service: the same source, four versions, one of them bad.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Failure;

const SOURCE: &str = include_str!("demo_service.rs");

/// Version, and how many percent of its requests fail.
const VERSIONS: [(&str, &str); 4] =
    [("1.0.0", "0"), ("2.0.0", "0"), ("2.1.0", "0"), ("3.0.0", "20")];

/// Compiles every version that is not in `dir` yet; returns the executables by version.
pub(crate) async fn build(dir: &Path) -> Result<BTreeMap<&'static str, PathBuf>, Failure> {
    std::fs::create_dir_all(dir)?;
    let source = dir.join("demo_service.rs");
    std::fs::write(&source, SOURCE)?;
    let mut built = BTreeMap::new();
    for (version, failures) in VERSIONS {
        let target = dir.join(format!("demo-{version}"));
        if !target.exists() {
            compile(&source, &target, version, failures).await?;
        }
        built.insert(version, target);
    }
    Ok(built)
}

async fn compile(
    source: &Path,
    target: &Path,
    version: &str,
    failures: &str,
) -> Result<(), Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let unfinished = target.with_extension("part");
    let output = Command::new(rustc)
        .args([
            "-O",
            "--edition",
            "2024",
            "-C",
            "strip=symbols",
            "--crate-name",
            "demo_service",
            "-o",
        ])
        .arg(&unfinished)
        .arg(source)
        .env("DEMO_VERSION", version)
        .env("DEMO_FAILURE_PERCENT", failures)
        .output()
        .await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("the demo service {version} does not compile: {said}").into());
    }
    Ok(std::fs::rename(unfinished, target)?)
}
