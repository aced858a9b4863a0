//! Finds programs of others that tests need: servers that are not ours. Included by tests wherever they need one.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Each program, the variable that names it, and how `.ci/test` gets it.
const PROGRAMS: [(&str, &str, &str); 6] = [
    ("git", "RELEASE_GIT", "apt-get install --no-install-recommends git"),
    ("haproxy", "RELEASE_HAPROXY", "apt-get install --no-install-recommends haproxy"),
    ("envoy", "RELEASE_ENVOY", "target/python/bin/pip install -r .ci/requirements.txt"),
    ("python3", "RELEASE_PYTHON", "target/python/bin/pip install -r .ci/requirements.txt"),
    ("prometheus", "RELEASE_PROMETHEUS", "apt-get install --no-install-recommends prometheus"),
    ("promtool", "RELEASE_PROMTOOL", "apt-get install --no-install-recommends prometheus"),
];

#[expect(clippy::disallowed_methods, reason = "whoever starts the tests says what there is")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where a program is. `None`, and a line that says so, where it is missing; with `RELEASE_REQUIRE_REAL=1` that is a failure.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let known = PROGRAMS.iter().find(|(name, ..)| *name == program);
    let (name, variable, how) = known.unwrap_or_else(|| panic!("`{program}` is not in the list"));
    let found = match environment(variable) {
        Some(path) => Some(PathBuf::from(path)).filter(|path| path.is_file()),
        None => places(name).into_iter().find(|path| path.is_file()),
    };
    if found.is_none() {
        skip(&format!("`{name}` is missing; get it ({how}), or say where it is in {variable}"));
    }
    found
}

/// Says what is not tested, and why; with `RELEASE_REQUIRE_REAL=1` that is a failure.
pub(crate) fn skip(text: &str) {
    static SKIPPED: AtomicU32 = AtomicU32::new(0);
    let required = environment("RELEASE_REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(!required, "{text}");
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
    writeln!(out, "!!! SKIPPED: {text} ({count} skipped in this binary)").unwrap();
}

fn places(name: &str) -> Vec<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python");
    // First what `.ci/test` put there with all that the tests need. What pip installs is a script around the program; the program
    // itself can be signalled.
    let mut directories: Vec<PathBuf> = Vec::new();
    for version in std::fs::read_dir(python.join("lib")).into_iter().flatten().flatten() {
        directories.push(version.path().join("site-packages/envoy/_bin"));
    }
    directories.push(python.join("bin"));
    let path = environment("PATH").unwrap_or_default();
    directories.extend(path.split(':').map(PathBuf::from));
    directories.push("/usr/sbin".into()); // where Debian has servers, and not everybody's PATH
    directories.iter().map(|directory| directory.join(name)).collect()
}
