//! Compiles services, for tests that run them.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use release_core::model::Digest;

/// A program of one file. Each is compiled once for all tests, also those to come.
pub(crate) fn compiled(source: &str, name: &str, environment: &[(&str, &str)]) -> Vec<u8> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let digest = Digest::of(&std::fs::read(&source).unwrap());
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", digest.short()));
    if !program.exists() {
        let fresh = program.with_extension(std::process::id().to_string());
        let mut rustc = Command::new("rustc");
        rustc.args(["-O", "--edition", "2024", "-C", "strip=symbols", "-o"]);
        rustc.args([&fresh, &source]).envs(environment.iter().copied());
        assert!(rustc.status().unwrap().success(), "rustc could not compile {}", source.display());
        std::fs::rename(&fresh, &program).unwrap();
    }
    std::fs::read(&program).unwrap()
}
