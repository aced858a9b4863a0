//! Flags in a file of flagd: the suite, what a real evaluator makes of it, and a release that changes them.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "../support/real.rs"]
mod real;
mod releases;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use release_core::flags::{FlagKey, FlagState, Fractional, Variant};
use release_core::model::EnvironmentId;
use release_providers::flagd::{FlagdSettings, FlagdStore};
use release_providers::spi::{FlagRef, FlagStatus, FlagStore, KillFlag, SetFlag};
use release_providers::{ErrorKind, SystemClock};
use release_testkit::conformance::Level;
use release_testkit::conformance::flag_store::{FlagStoreSandbox, run, sandbox};
use release_testkit::fixtures::{context, literal};

const FILE: &str = r#"{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "newCheckout": {
      "state": "ENABLED",
      "variants": { "on": true, "off": false },
      "defaultVariant": "off"
    },
    "other": {"state":"ENABLED", "variants":{"a":1.50,"b":2}, "defaultVariant":"a", "metadata": {"mine":  1}}
  },
  "$evaluators": { "theirs": { "in": [ "x",  "y" ] } }
}
"#;

/// A file with flags, and a store over it.
struct Place {
    folder: tempfile::TempDir,
    store: Arc<FlagdStore>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("flags.json"), FILE).unwrap();
        let store = open(&folder.path().join("flags.json"));
        Self { folder, store }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("flags.json")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    async fn set(&self, state: FlagState) {
        self.store.set(&context("set"), to(state)).await.unwrap();
    }

    async fn look(&self) -> FlagStatus {
        self.store.observe(&context("look"), at()).await.unwrap()
    }
}

fn open(path: &Path) -> Arc<FlagdStore> {
    let settings = FlagdSettings::new().file(production(), path);
    Arc::new(FlagdStore::open(settings, Arc::new(SystemClock::new())).unwrap())
}

fn production() -> EnvironmentId {
    literal("production")
}

fn at() -> FlagRef {
    FlagRef::new("newCheckout".into(), production())
}

fn to(state: FlagState) -> SetFlag {
    SetFlag::new("newCheckout".into(), production(), state)
}

/// What an OpenFeature provider gives each of so many users; nothing where there is none.
fn evaluated(path: &Path, count: usize) -> Option<Vec<String>> {
    let python = real::find("python3")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flags/evaluate.py");
    let mut command = Command::new(python);
    command.arg(script).arg(path).args(["newCheckout", &count.to_string()]);
    let done = command.output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    if told.contains("ModuleNotFoundError") {
        let how = "`target/python/bin/pip install -r .ci/requirements.txt` installs it";
        real::skip(&format!("this Python has no OpenFeature: {how}; {told}"));
        return None;
    }
    assert!(done.status.success(), "{told}");
    Some(serde_json::from_slice(&done.stdout).unwrap())
}

fn in_a_file() -> FlagStoreSandbox {
    let place = Arc::new(Place::new());
    let (path, kept) = (place.path(), Arc::clone(&place));
    let provider = Arc::clone(&place.store) as Arc<dyn FlagStore>;
    sandbox(provider, "newCheckout", production())
        .reopen(move || {
            let path = path.clone();
            async move { Ok(open(&path) as Arc<dyn FlagStore>) }
        })
        .on_close(move || {
            drop(Arc::clone(&kept));
            async { Ok(()) }
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_flagd_conforms() {
    let report = run(Level::V1, &async || in_a_file()).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.clone()).collect();
    // A file has no credentials, asks nobody to slow down, answers at once, and is looked at through the store alone; one that is away is tried below: what is not
    // set in the settings is not found all the same.
    let impossible = [
        "out_of_reach_is_unavailable",
        "refused_credentials_are_denied",
        "throttling_is_rate_limited",
        "stalled_calls_end_in_time",
        "secrets_stay_secret",
        "nothing_else_happens_again",
    ];
    assert_eq!(skipped, impossible);
}

/// Ten thousand users, and an evaluator that is not ours: not one has another variant than was said beforehand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openfeature_gives_everybody_the_variant_that_was_foretold() {
    const USERS: usize = 10_000;
    let place = Place::new();
    let flag: FlagKey = "newCheckout".parse().unwrap();
    let (on, off): (Variant, Variant) = ("on".parse().unwrap(), "off".parse().unwrap());
    for state in [1, 37, 99].map(|percent| FlagState::Share { percent }) {
        place.set(state).await;
        let Some(theirs) = evaluated(&place.path(), USERS) else { return };
        let split = state.split(&on, &off);
        let ours: Vec<&str> = (0..USERS)
            .map(|n| split.assign(Fractional::V3, &flag, &format!("user-{n}")).as_str())
            .collect();
        let other = ours.iter().zip(&theirs).filter(|(ours, theirs)| **ours != **theirs).count();
        assert_eq!((theirs.len(), other), (USERS, 0), "{state}");
        let with = theirs.iter().filter(|variant| **variant == "on").count();
        let mut out = std::io::stderr(); // not `eprintln!`, which tests that pass keep to themselves
        writeln!(out, "{state}: {with} of {USERS}, none of them other than foretold").unwrap();
        assert!(with.abs_diff(usize::from(state.percent()) * 100) < 200, "{state}: {with}");
    }
    for state in [FlagState::On, FlagState::Off] {
        place.set(state).await;
        let Some(theirs) = evaluated(&place.path(), 50) else { return };
        assert!(theirs.iter().all(|variant| *variant == state.to_string()), "{state}");
    }
    place.set(FlagState::On).await;
    let why = KillFlag::new("newCheckout".into(), production(), "ann: \"it\" burns\n".into());
    place.store.kill(&context("kill"), why).await.unwrap();
    let Some(theirs) = evaluated(&place.path(), 50) else { return };
    assert!(theirs.iter().all(|variant| variant == "off"));
}

#[tokio::test]
async fn what_is_not_the_flag_stays_to_the_byte() {
    let place = Place::new();
    place.set(FlagState::Share { percent: 5 }).await;
    let wanted = FILE.replace(
        "\"defaultVariant\": \"off\"\n",
        "\"defaultVariant\": \"off\",\n      \"targeting\": {\"fractional\":[[\"on\",5],[\"off\",95]]}\n",
    );
    assert_eq!(place.text(), wanted);
    place.set(FlagState::Off).await;
    assert_eq!(place.text(), FILE);
    let left: Vec<String> = std::fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "flags.json")
        .collect();
    assert!(left.iter().all(|name| name.starts_with(".flags.json.release.")), "{left:?}");
    assert!(!left.iter().any(|name| name.contains(".tmp")), "{left:?}");
}

#[tokio::test]
async fn what_others_change_in_the_file_is_another_revision() {
    let place = Place::new();
    let before = place.look().await;
    let by_hand = place.text().replace("\"defaultVariant\": \"off\"", "\"defaultVariant\": \"on\"");
    std::fs::write(place.path(), by_hand).unwrap();
    let mut late = to(FlagState::Share { percent: 50 });
    late.expected = Some(before.revision);
    let refused = place.store.set(&context("late"), late.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let after = place.look().await;
    assert!(after.state == FlagState::On && after.revision > before.revision, "{after:?}");
    late.expected = Some(after.revision);
    place.store.set(&context("now"), late).await.unwrap();
    // A flag that is changed elsewhere in the file is no change of this one.
    let now = place.look().await;
    std::fs::write(place.path(), place.text().replace("1.50", "1.75")).unwrap();
    assert_eq!(place.look().await, now);
    // Nor is the count that is lost ever less than before.
    std::fs::remove_file(place.folder.path().join(".flags.json.release.json")).unwrap();
    assert!(place.look().await.revision >= now.revision);
}

/// Many stores over one file, each with a handle of its own, as processes have: every flag keeps its change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_lose_nothing_of_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags.json");
    let flag = |n: u8| {
        format!(
            "\"f{n}\": {{\"state\":\"ENABLED\",\"variants\":{{\"on\":1,\"off\":0}},\"defaultVariant\":\"off\"}}"
        )
    };
    let all: Vec<String> = (0..16).map(flag).collect();
    std::fs::write(&path, format!("{{\"flags\": {{{}}}}}", all.join(","))).unwrap();
    let writers = (0..16_u8).map(|n| {
        let store = open(&path);
        async move {
            for percent in 1..=5 {
                let state = FlagState::Share { percent: percent * 10 + n };
                let request = SetFlag::new(format!("f{n}"), production(), state);
                store.set(&context(&format!("{n}-{percent}")), request).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let store = open(&path);
    for n in 0..16 {
        let at = FlagRef::new(format!("f{n}"), production());
        let status = store.observe(&context("look"), at).await.unwrap();
        assert_eq!(status.state, FlagState::Share { percent: 50 + n });
    }
}

#[tokio::test]
async fn settings_and_files_that_make_no_sense_are_refused() {
    let clock = Arc::new(SystemClock::new());
    for settings in [
        FlagdSettings::new().file(production(), "relative.json"),
        FlagdSettings::new().variants("on", "on"),
        FlagdSettings::new().variants("o n", "off"),
    ] {
        let refused = FlagdStore::open(settings, clock.clone()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    let place = Place::new();
    std::fs::write(place.path(), "{ \"flags\": { \"newCheckout\": ").unwrap();
    let broken = place.store.set(&context("a"), to(FlagState::On)).await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::Invalid);
    assert!(broken.to_string().contains("line 1"), "{broken}");
    assert!(place.text().ends_with("\"newCheckout\": "), "nothing was mended");
    std::fs::remove_file(place.path()).unwrap();
    let away = place.store.set(&context("b"), to(FlagState::On)).await.unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable);
    assert!(!place.path().exists(), "nothing was made up");
}
