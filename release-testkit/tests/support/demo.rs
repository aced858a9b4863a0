//! Compiles the demo service, for tests that run it.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use release_core::model::Digest;

/// The demo service in a version. Each is compiled once for all tests, also those to come.
pub(crate) fn program(version: &str) -> Vec<u8> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = crate_root.join("../examples/quickstart/demo_service.rs");
    let digest = Digest::of(&std::fs::read(&source).unwrap());
    let name = format!("demo-{version}-{}", digest.short());
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !program.exists() {
        let fresh = program.with_extension(std::process::id().to_string());
        let mut rustc = Command::new("rustc");
        rustc.args(["-O", "--edition", "2024", "-C", "strip=symbols", "-o"]);
        rustc.args([&fresh, &source]).env("DEMO_VERSION", version).env("DEMO_FAILURE_PERCENT", "0");
        assert!(rustc.status().unwrap().success(), "rustc could not compile {}", source.display());
        std::fs::rename(&fresh, &program).unwrap();
    }
    std::fs::read(&program).unwrap()
}
