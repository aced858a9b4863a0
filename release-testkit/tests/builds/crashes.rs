//! Runners that go without a word, at every point of a build's way; and what the next one on the root makes of it.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use release_core::time::Span;
use release_providers::git::{GitBuilds, GitBuildsConfig, Recipe};
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::spi::{BuildRunner as _, JobPhase, JobRef};
use release_providers::{ErrorKind, SystemClock};

use crate::stage::{
    Pipe, Stage, ask, cx, exists, failure, look, made, making, over, processes, script, start,
    until,
};

/// What names the root to a process that is to hold a runner there.
const HOLDS: &str = "RELEASE_TEST_HOLDS";

/// Says that it runs, waits, and makes something; counts how often it is run.
fn waiting(stage: &Stage) -> (Recipe, Pipe, Pipe) {
    let (reached, go) = (stage.pipe("reached"), stage.pipe("go"));
    let recipe = waits(&stage.path(""), &reached, &go);
    (recipe, reached, go)
}

fn waits(folder: &std::path::Path, reached: &Pipe, go: &Pipe) -> Recipe {
    making("echo ran >> $RUNS; echo ready > $REACHED; cat $GO > /dev/null; cp version out")
        .with_env("RUNS", folder.join("runs").display().to_string())
        .with_env("REACHED", reached.text())
        .with_env("GO", go.text())
}

fn runs(stage: &Stage) -> usize {
    fs::read_to_string(stage.path("runs")).unwrap_or_default().lines().count()
}

/// Drops a runner as a crash would, and opens another as soon as the root is free.
async fn crashed(runner: GitBuilds, config: GitBuildsConfig) -> GitBuilds {
    drop(runner);
    until("the root to be free", async || match GitBuilds::open(config.clone()).await {
        Ok(opened) => Some(opened),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            None
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_runs_is_adopted_and_one_that_waits_has_its_turn() {
    let Some(stage) = Stage::new().await else { return };
    let (recipe, reached, go) = waiting(&stage);
    let config = stage.config(recipe).at_once(NonZeroUsize::MIN);
    let runner = GitBuilds::open(config.clone()).await.unwrap();
    start(&runner, "one", &stage.first).await;
    start(&runner, "two", &stage.first).await;
    reached.heard().await;
    let runner = crashed(runner, config.clone()).await;
    for key in ["one", "two"] {
        assert_eq!(look(&runner, key).await.phase, JobPhase::Running);
        start(&runner, key, &stage.first).await;
    }
    assert_eq!(runs(&stage), 1);
    go.tell().await;
    let one = made(&runner, "one").await;
    reached.heard().await;
    // Of two crashes in a row, too.
    let runner = crashed(crashed(runner, config.clone()).await, config).await;
    go.tell().await;
    assert_eq!(made(&runner, "two").await, one);
    assert_eq!((made(&runner, "one").await, runs(&stage)), (one, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_ended_while_nobody_looked_is_finished() {
    let Some(stage) = Stage::new().await else { return };
    let (recipe, reached, go) = waiting(&stage);
    let runner = stage.open(recipe.clone()).await;
    start(&runner, "one", &stage.first).await;
    reached.heard().await;
    runner.shutdown().await;
    go.tell().await;
    let mark = stage.mark("one");
    until("the command to end", async || exists(&stage.folder("one").join("begun/status"))).await;
    until("its processes to end", async || processes(&mark).is_empty().then_some(())).await;
    let runner = crashed(runner, stage.config(recipe)).await;
    let artifact = made(&runner, "one").await;
    assert_eq!((stage.content(&artifact).await, runs(&stage)), ("1\n".into(), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_whose_process_is_gone_without_a_word_has_failed_and_is_never_run_again() {
    let Some(stage) = Stage::new().await else { return };
    let (recipe, reached, _) = waiting(&stage);
    let runner = stage.open(recipe.clone()).await;
    start(&runner, "one", &stage.first).await;
    reached.heard().await;
    runner.shutdown().await;
    let mark = stage.mark("one");
    until("its processes to end", async || {
        // Those as well that were just being started when the others were killed.
        let left = processes(&mark);
        for pid in &left {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status(); // some end with the others
        }
        left.is_empty().then_some(())
    })
    .await;
    let runner = crashed(runner, stage.config(recipe.clone())).await;
    let reason = failure(&runner, "one").await;
    assert!(reason.contains("nobody knows how it ended"), "{reason}");
    start(&runner, "one", &stage.first).await;
    let runner = crashed(runner, stage.config(recipe)).await;
    assert_eq!((failure(&runner, "one").await, runs(&stage)), (reason, 1));
}

/// The machine went down right after the command began, before it could say who it is; and: what has its number now was not it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_began_before_the_machine_went_down_has_failed() {
    let Some(stage) = Stage::new().await else { return };
    let recipe =
        script("echo ran >> $RUNS").with_env("RUNS", stage.path("runs").display().to_string());
    let me = fs::read_to_string("/proc/self/stat").unwrap();
    for (key, process) in [("silent", None), ("reborn", Some(format!("another-boot\n{me}")))] {
        let runner = stage.open(recipe.clone()).await;
        start(&runner, key, &stage.first).await;
        over(&runner, key).await;
        runner.shutdown().await;
        let folder = stage.folder(key);
        fs::remove_file(folder.join("outcome.json")).unwrap();
        fs::remove_file(folder.join("begun/status")).unwrap();
        fs::remove_file(folder.join("begun/process")).unwrap();
        if let Some(process) = process {
            fs::write(folder.join("begun/process"), process).unwrap();
        }
        let before = runs(&stage);
        let runner = stage.open(recipe.clone()).await;
        let reason = failure(&runner, key).await;
        assert!(reason.contains("the machine went down"), "{reason}");
        assert_eq!(runs(&stage), before);
        runner.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_artifacts_are_stored_stores_the_same_again() {
    let Some(stage) = Stage::new().await else { return };
    let recipe = making("head -c 1000 /dev/urandom > out; cp out $KEPT")
        .with_env("KEPT", stage.path("kept").display().to_string());
    stage.shelf.held.store(true, Ordering::SeqCst);
    let runner = stage.open(recipe.clone()).await;
    start(&runner, "one", &stage.first).await;
    let asked = |count| {
        let shelf = Arc::clone(&stage.shelf);
        async move {
            until("the store to be asked", async || {
                (shelf.asked.load(Ordering::SeqCst) >= count).then_some(())
            })
            .await;
        }
    };
    asked(1).await;
    let runner = crashed(runner, stage.config(recipe)).await;
    asked(2).await;
    stage.shelf.permits.add_permits(2);
    let kept = release_core::model::Digest::of(&fs::read(stage.path("kept")).unwrap());
    assert_eq!(made(&runner, "one").await.digest(), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_the_work_tree_is_made_or_removed_leaves_nothing() {
    let Some(stage) = Stage::new().await else { return };
    let reached = stage.pipe("reached");
    let git = crate::real::find("git").unwrap();
    let text = format!(
        "#!/bin/sh\nfor one; do if test \"$one\" = checkout; then echo > {}; exec sleep 1000; fi; done\nexec {} \"$@\"\n",
        reached.text(),
        git.display()
    );
    let slow = stage.path("slow-git");
    fs::write(&slow, text).unwrap();
    fs::set_permissions(&slow, fs::Permissions::from_mode(0o755)).unwrap();
    let good = stage.config(making("ls > out"));
    let mut config = good.clone();
    config.git = slow;
    let runner = GitBuilds::open(config.clone()).await.unwrap();
    start(&runner, "one", &stage.first).await;
    reached.heard().await;
    assert!(stage.folder("one").join("tree.new").exists());
    let runner = crashed(runner, good.clone()).await;
    assert_eq!(stage.content(&made(&runner, "one").await).await, "out\nversion\n");
    // Cancelled meanwhile, it never begins.
    let runner = crashed(runner, config).await;
    start(&runner, "two", &stage.first).await;
    reached.heard().await;
    runner.cancel(&cx("stop"), JobRef::new("two".into())).await.unwrap();
    assert_eq!(over(&runner, "two").await.phase, JobPhase::Cancelled);
    assert!(!stage.folder("two").join("begun").exists());
    // What the end of a build left is removed by the next runner, as is what was never accepted.
    let (rest, never) = (stage.folder("one").join("tree/deep"), stage.folder("never"));
    fs::create_dir_all(&rest).unwrap();
    fs::create_dir_all(&never).unwrap();
    fs::write(never.join(".tmp-1-1"), "{").unwrap();
    let lock = fs::read_dir(stage.root().join("mirrors")).unwrap().next().unwrap().unwrap().path();
    fs::write(lock.join("packed-refs.lock"), "").unwrap();
    let runner = crashed(runner, good).await;
    assert!(!rest.exists() && !never.exists() && !lock.join("packed-refs.lock").exists());
    start(&runner, "three", &stage.api.commit("version", "2\n")).await;
    made(&runner, "three").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_cancelled_stays_so_over_a_crash() {
    let Some(stage) = Stage::new().await else { return };
    let reached = stage.pipe("reached");
    let recipe = script("trap '' TERM; echo > $REACHED; while :; do sleep 0.1; done")
        .with_env("REACHED", reached.text());
    let config = stage.config(recipe).at_once(NonZeroUsize::MIN).grace(Span::secs(600));
    let runner = GitBuilds::open(config.clone()).await.unwrap();
    start(&runner, "runs", &stage.first).await;
    start(&runner, "waits", &stage.first).await;
    reached.heard().await;
    for key in ["runs", "waits"] {
        runner.cancel(&cx("stop"), JobRef::new(key.into())).await.unwrap();
    }
    assert_eq!(look(&runner, "runs").await.phase, JobPhase::Running, "it does not want to end");
    let runner = crashed(runner, config.grace(Span::millis(50))).await;
    for key in ["runs", "waits"] {
        assert_eq!(over(&runner, key).await.phase, JobPhase::Cancelled);
    }
    assert!(!stage.folder("waits").join("begun").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_is_named() {
    let Some(stage) = Stage::new().await else { return };
    let recipe = making("cp version out");
    let runner = stage.open(recipe.clone()).await;
    start(&runner, "one", &stage.first).await;
    made(&runner, "one").await;
    let busy = GitBuilds::open(stage.config(recipe.clone())).await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Conflict);
    runner.shutdown().await;
    let request = stage.folder("one").join("request.json");
    let good = fs::read_to_string(&request).unwrap();
    for bad in [good.replace("\"format\": 1", "\"format\": 2"), good[..good.len() / 2].to_owned()] {
        fs::write(&request, bad).unwrap();
        let error = GitBuilds::open(stage.config(recipe.clone())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.context("path"), Some(&*request.display().to_string()));
    }
    fs::write(&request, good).unwrap();
    made(&stage.open(recipe).await, "one").await;
}

/// A process of its own holds the runner, and is killed in the middle of a build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_is_killed_loses_no_build() {
    let Some(stage) = Stage::new().await else { return };
    let (recipe, reached, go) = waiting(&stage);
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crashes::holds_a_runner", "--nocapture"])
        .env(HOLDS, stage.path(""))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    reached.heard().await;
    holder.kill().unwrap();
    holder.wait().unwrap();
    let runner = stage.open(recipe).await;
    assert_eq!(look(&runner, "held").await.phase, JobPhase::Running);
    start(&runner, "held", &stage.first).await;
    go.tell().await;
    let artifact = made(&runner, "held").await;
    assert_eq!((stage.content(&artifact).await, runs(&stage)), ("1\n".into(), 1));
}

/// What that process does; without the variable, nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "another test tells it where the runner is")]
async fn holds_a_runner() {
    let Some(folder) = std::env::var_os(HOLDS).map(std::path::PathBuf::from) else { return };
    let clock = Arc::new(SystemClock::new());
    let store = LocalConfig::new(folder.join("store-of-another"), clock.clone());
    let store = Arc::new(LocalPlatform::open(store).await.unwrap());
    let (reached, go) = (Pipe(folder.join("reached")), Pipe(folder.join("go")));
    let api = crate::stage::Repository { path: folder.join("api") };
    let config = GitBuildsConfig::new(folder.join("runner"), store, clock)
        .repository("api", api.path.display().to_string())
        .recipe("release", waits(&folder, &reached, &go));
    let runner = GitBuilds::open(config).await.unwrap();
    let request = ask(&api.git(&["rev-parse", "HEAD"]));
    runner.start(&cx("held"), request).await.unwrap();
    std::future::pending::<()>().await;
}
