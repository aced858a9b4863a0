//! Builds the example plugin in Python. Included where it is run: here, and in the suites of release-testkit.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/plugins/python");

#[expect(clippy::disallowed_methods, reason = "whoever starts the tests says what there is")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The plugin, built into `directory`. `None`, and a line that says so, where there is no Python with
/// `requirements.txt`; with `RELEASE_REQUIRE_REAL=1` that is a failure.
pub(crate) fn build(directory: &Path) -> Option<PathBuf> {
    let python = environment("RELEASE_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let needs = ["-c", "import grpc, grpc_health.v1.health, grpc_tools.protoc"];
    let found = Command::new(&python).args(needs).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        let text = format!(
            "`{python}` has not what examples/plugins/python/requirements.txt names; install that, and say which \
             Python has it in RELEASE_PYTHON"
        );
        let required = environment("RELEASE_REQUIRE_REAL").is_some_and(|value| value == "1");
        assert!(!required, "{text}");
        // Not `eprintln!`, which tests that pass keep to themselves.
        writeln!(std::io::stderr(), "!!! SKIPPED: the plugin in Python: {text}").unwrap();
        return None;
    }
    let out = directory.join("flags.pyz");
    let built = Command::new(format!("{EXAMPLE}/build")).arg(python).arg(&out).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(out)
}
