//! The runner keeps every promise. This is what a vendor writes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use release_core::port::Clock as _;
use release_core::time::Span;
use release_providers::SystemClock;
use release_providers::git::GitBuilds;
use release_providers::spi::BuildRunner;
use release_testkit::conformance::build_runner::{BuildRunnerSandbox, run, sandbox};
use release_testkit::conformance::{HookError, Level};

use crate::stage::{Stage, ask, making};

/// A runner that is opened again and again on one root.
struct Home {
    stage: Stage,
    runner: Mutex<GitBuilds>,
}

/// Writes a line for every time it is run.
fn recipe(stage: &Stage) -> release_providers::git::Recipe {
    making("cat version > out; echo ran >> \"$RUNS\"")
        .with_env("RUNS", stage.path("runs").display().to_string())
}

impl Home {
    fn runner(&self) -> GitBuilds {
        self.runner.lock().unwrap().clone()
    }

    async fn reopened(home: Arc<Self>) -> Result<Arc<dyn BuildRunner>, HookError> {
        home.runner().shutdown().await;
        let runner = GitBuilds::open(home.stage.config(recipe(&home.stage))).await?;
        *home.runner.lock().unwrap() = runner.clone();
        Ok(Arc::new(runner))
    }

    /// How many commands were run, once none runs any more.
    async fn runs(home: Arc<Self>) -> Result<String, HookError> {
        let builds = home.stage.root().join("builds");
        let over = |entry: std::fs::DirEntry| entry.path().join("outcome.json").exists();
        let clock = SystemClock::new();
        while !std::fs::read_dir(&builds).unwrap().flatten().all(over) {
            clock.sleep_until(clock.now().plus(Span::millis(5))).await;
        }
        Ok(std::fs::read_to_string(home.stage.path("runs")).unwrap_or_default())
    }
}

async fn in_git() -> BuildRunnerSandbox {
    let stage = Stage::new().await.unwrap();
    let (runner, request) = (stage.open(recipe(&stage)).await, ask(&stage.first));
    let home = Arc::new(Home { stage, runner: Mutex::new(runner.clone()) });
    let [again, outside, end] = [(); 3].map(|()| Arc::clone(&home));
    sandbox(Arc::new(runner), request)
        .reopen(move || Home::reopened(Arc::clone(&again)))
        .seen_from_outside(move || Home::runs(Arc::clone(&outside)))
        .settles_within(Span::from(Duration::from_millis(100)))
        .on_close(move || {
            let home = Arc::clone(&end);
            async move {
                home.runner().shutdown().await;
                Ok(())
            }
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_in_git_conform() {
    if crate::real::find("git").is_none() {
        return;
    }
    let report = run(Level::V1, &async || in_git().await).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.clone()).collect();
    // What was brought once needs no repository any more, and a runner has neither credentials nor secrets; that a repository is
    // out of reach is tried in `hostile`.
    let impossible = [
        "out_of_reach_is_unavailable",
        "refused_credentials_are_denied",
        "throttling_is_rate_limited",
        "stalled_calls_end_in_time",
        "secrets_stay_secret",
    ];
    assert_eq!(skipped, impossible);
}
