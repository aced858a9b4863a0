//! The rules, held against every Rust file of the workspace.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::rules::{PURE, SLEEPERS, Source, impure, sleeps, too_long, unfinished, unknown_items};

/// Every Rust file that is ours; what a build left is not.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ours = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0 || (name != "target" && !name.starts_with('.'))
    };
    let files = WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(ours);
    let rust = files.map(Result::unwrap).map(DirEntry::into_path);
    let rust = rust.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let source = |file: PathBuf| {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        Source { path, text: std::fs::read_to_string(&file).unwrap() }
    };
    rust.map(source).collect()
}

fn check(rule: impl Fn(&Source) -> Vec<String>) {
    let problems: Vec<_> = sources().iter().flat_map(rule).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Without this, a folder that was renamed would be pure because nobody looked.
#[test]
fn every_pure_place_exists_and_crates_are_all_seen() {
    let sources = sources();
    for place in PURE.into_iter().chain(["release-providers/src", "release-testkit/src", "benches"])
    {
        assert!(sources.iter().any(|source| source.path.starts_with(place)), "{place}");
    }
}

#[test]
fn deciding_code_is_pure() {
    check(impure);
}

#[test]
fn nothing_is_unfinished() {
    check(unfinished);
}

/// Every test that carries the number of a fault is on the page that maps faults to tests, and the page
/// names no test that is not there.
#[test]
fn the_page_of_faults_is_complete() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../FAULTS.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut named: Vec<_> = page.split('`').filter(|word| is_row(word)).collect();
    let sources = sources();
    let rows_in = |source: &Source| {
        let functions = source.text.split("fn ").skip(1);
        let functions = functions.filter_map(|rest| rest.split(['(', '<']).next());
        functions.filter(|name| is_row(name)).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut present: Vec<_> = sources.iter().flat_map(rows_in).collect();
    named.sort_unstable();
    named.dedup(); // one test may show two rows
    present.sort_unstable();
    assert_eq!(named, present);
    assert!(named.len() > 50, "{}", named.len());
}

/// Whether it is the name of a test of a fault: `f`, a number, an underscore.
fn is_row(word: &str) -> bool {
    let rest =
        word.strip_prefix('f').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    rest.is_some_and(|rest| rest.starts_with('_') && rest.len() + 1 < word.len())
}

#[test]
fn no_file_is_too_long() {
    check(too_long);
}

#[test]
fn nobody_sleeps_but_who_has_a_reason() {
    check(|source| {
        if SLEEPERS.iter().any(|(path, _)| *path == source.path) {
            Vec::new()
        } else {
            sleeps(source)
        }
    });
    let sources = sources();
    for (path, reason) in SLEEPERS {
        let sleeper = sources.iter().find(|source| source.path == path);
        let still = sleeper.is_some_and(|source| !sleeps(source).is_empty());
        assert!(still, "{path} may sleep because {reason}, but does not: take it off the list");
    }
}

#[test]
fn texts_name_only_what_is_in_the_sources() {
    let sources = sources();
    let problems = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|path| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        unknown_items(&Source { path: path.into(), text }, &sources)
    });
    let problems = problems.concat();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// See «Invariants of absence» in ARCHITECTURE.md.
#[test]
fn only_two_files_name_petgraph() {
    let named = sources().into_iter().filter(|source| source.text.contains("petgraph::"));
    let named: Vec<_> = named.map(|source| source.path).collect();
    let ours: Vec<_> = named.iter().filter(|path| path.starts_with("release-")).collect();
    let graphs = ["release-core/src/plan/graph.rs", "release-policy/src/approval/matching.rs"];
    assert_eq!(ours, graphs);
}
