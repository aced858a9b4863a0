//! What is wrong with a file is said, with its place and with what mends it.

use std::process::Command;
use std::sync::Arc;

use release_core::model::{Identity, IdentitySnapshot, Span};
use release_core::port::{Clock, EffectCertainty};
use release_providers::local::IdentityFile;
use release_providers::spi::{IdentitySource, ReadIdentities};
use release_providers::{ErrorKind, ProviderError};
use release_testkit::{VirtualClock, fixtures};

use crate::home::Home;

fn clock() -> Arc<dyn Clock> {
    Arc::new(VirtualClock::new())
}

async fn read(file: &IdentityFile) -> Result<IdentitySnapshot, ProviderError> {
    file.read(&fixtures::context("read"), ReadIdentities::new()).await
}

/// Demands an error of `kind` that names the file, changed nothing, and whose text or cause has `says`.
async fn fails(file: &IdentityFile, kind: ErrorKind, says: &str) -> ProviderError {
    let error = read(file).await.expect_err(says);
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let all = format!("{error}: {cause}");
    assert_eq!((error.kind(), error.effect()), (kind, EffectCertainty::NotApplied), "{all}");
    assert_eq!(error.context("path"), file.path().to_str(), "{all}");
    assert!(all.contains(says), "`{says}` is not in: {all}");
    error
}

#[tokio::test]
async fn a_file_that_is_not_whole_or_no_directory_is_refused_with_its_place() {
    let (corrupt, invalid) = (ErrorKind::Corrupt, ErrorKind::Invalid);
    let table = [
        ("", corrupt, "replace it by a rename", "1", "0"),
        (r#"{"version": 1, "identities": [{"id": "ann""#, corrupt, "EOF", "1", "42"),
        ("{\"version\": 1,\n \"identities\": []}}", corrupt, "trailing characters", "2", "19"),
        (r#"{"version": 1}"#, invalid, "missing field `identities`", "1", "14"),
        (r#"{"version": -1, "identities": []}"#, invalid, "invalid value", "1", "14"),
        ("[]", invalid, "mend what the cause names", "1", "2"),
        (
            "{\"version\": 1, \"identities\": [],\n \"taken_at\": \"2026-01-05T00:00:00Z\"}",
            invalid,
            "unknown field `taken_at`",
            "2",
            "11",
        ),
        (
            r#"{"version": 1, "version": 2, "identities": []}"#,
            invalid,
            "duplicate field `version`",
            "1",
            "24",
        ),
        (
            "{\"version\": 1, \"identities\": [\n {\"id\": \"ann\", \"kind\": \"human\", \"admin\": true}]}",
            invalid,
            "unknown field `admin`",
            "2",
            "39",
        ),
    ];
    let home = Home::new();
    for (text, kind, says, line, column) in table {
        home.write(text);
        let error = fails(&home.open(&clock()), kind, says).await;
        let at = (error.context("line"), error.context("column"));
        assert_eq!(at, (Some(line), Some(column)), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_file_that_can_be_read_is_an_error_and_no_empty_directory() {
    let (home, clock) = (Home::new(), clock());
    let beside = |name: &str| home.path().with_file_name(name);
    let open = |name: &str| IdentityFile::new(beside(name), Arc::clone(&clock));
    fails(&open("none"), ErrorKind::Unavailable, "write one, or mend the path").await;
    fails(&open("identities.json/in"), ErrorKind::Unavailable, "cannot be read").await;
    std::fs::create_dir(beside("folder")).unwrap();
    fails(&open("folder"), ErrorKind::Invalid, "no regular file").await;
    // Nobody ever writes into it, and nobody waits for that.
    assert!(Command::new("mkfifo").arg(beside("pipe")).status().unwrap().success());
    fails(&open("pipe"), ErrorKind::Invalid, "no regular file").await;
    std::os::unix::fs::symlink(home.path(), beside("link")).unwrap();
    assert_eq!(read(&open("link")).await.unwrap().identities.len(), fixtures::accounts().len());
}

#[tokio::test]
async fn the_largest_file_is_read_and_one_byte_more_is_refused() {
    let home = Home::new();
    let content = r#"{"version": 1, "identities": []}"#;
    let largest = usize::try_from(IdentityFile::MAX_BYTES).unwrap();
    let padded = |length: usize| format!("{content}{}", " ".repeat(length - content.len()));
    let file = home.open(&clock());
    home.write(&padded(largest));
    assert_eq!(read(&file).await.unwrap().version, 1);
    home.write(&padded(largest + 1));
    fails(&file, ErrorKind::Invalid, "more than 16777216 bytes").await;
}

#[tokio::test]
async fn a_version_that_goes_back_or_has_other_content_is_refused_naming_both() {
    let (home, clock) = (Home::new(), clock());
    let file = home.open(&clock);
    let write = |version: u64, names: &[&str]| {
        let account = |name: &&str| Identity::human(fixtures::literal(name));
        let identities: Vec<_> = names.iter().map(account).collect();
        let all = serde_json::json!({ "version": version, "identities": identities });
        home.write(&serde_json::to_string_pretty(&all).unwrap());
    };
    write(7, &["ann", "bob"]);
    let first = read(&file).await.unwrap();
    // Written otherwise, it still is the same.
    write(7, &["bob", "ann"]);
    assert_eq!(read(&file).await.unwrap(), first);

    write(7, &["ann"]);
    let error = fails(&file, ErrorKind::Invalid, "version 7 had other content before").await;
    assert!(error.context("content").is_some());
    assert_ne!(error.context("content"), error.context("content_before"));
    write(6, &["ann", "bob"]);
    let error = fails(&file, ErrorKind::Invalid, "a version greater than 7").await;
    let versions = [error.context("version"), error.context("version_before")];
    assert_eq!(versions, [Some("6"), Some("7")]);

    // What was refused is not remembered; only what was answered is.
    write(8, &["ann"]);
    assert_eq!(read(&file).await.unwrap().version, 8);
    write(6, &["ann"]);
    assert_eq!(read(&home.open(&clock)).await.unwrap().version, 6, "nobody else remembers");
}

#[tokio::test]
async fn on_a_clock_that_was_set_back_snapshots_do_not_get_older() {
    let (home, clock) = (Home::new(), Arc::new(VirtualClock::new()));
    let begin = clock.now();
    let shared: Arc<dyn Clock> = clock.clone();
    let file = home.open(&shared);
    let mut dates = Vec::new();
    for (hours, now) in [(0, begin), (1, begin), (1, begin.plus(Span::secs(10)))] {
        clock.set(now);
        clock.advance(Span::secs(hours * 3_600));
        dates.push(read(&file).await.unwrap().taken_at.since(begin));
        clock.set(begin);
        dates.push(read(&file).await.unwrap().taken_at.since(begin));
    }
    assert_eq!(dates, [0, 0, 3_600, 3_600, 3_610, 3_610].map(Span::secs));
}
