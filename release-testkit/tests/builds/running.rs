//! What builds are told, make and leave; beside each other, and when they are stopped.

use std::fs;
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;

use release_core::time::Span;
use release_providers::git::{GitBuilds, History};
use release_providers::spi::{BuildRunner as _, JobPhase, JobRef};
use release_providers::{Clock as _, ErrorKind, SystemClock};
use release_testkit::fixtures::literal;

use crate::stage::{
    Repository, Stage, ask, cx, exists, failure, log, look, made, making, over, processes, script,
    start, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_built_is_stored_byte_for_byte_and_the_work_tree_is_gone() {
    let Some(stage) = Stage::new().await else { return };
    let recipe = script("head -c 100000 /dev/urandom > out; cp out \"$KEPT\"; tr a b < version > second/two; echo built")
        .making(literal("api"), "out")
        .making(literal("two"), "second/two")
        .with_env("KEPT", stage.path("kept").display().to_string());
    stage.api.commit("second/one", "");
    let revision = stage.api.commit("version", "a\n");
    let runner = stage.open(recipe).await;
    start(&runner, "one", &revision).await;
    let status = over(&runner, "one").await;
    assert_eq!(status.phase, JobPhase::Succeeded, "{}", log(&status));
    let names: Vec<_> = status.artifacts.iter().map(|made| made.name().as_str()).collect();
    assert_eq!(names, ["api", "two"]);
    let kept = release_core::model::Digest::of(&fs::read(stage.path("kept")).unwrap());
    assert_eq!(status.artifacts[0].digest(), kept);
    assert_eq!(stage.content(&status.artifacts[1]).await, "b\n");
    assert_eq!(log(&status), "built\n");
    assert!(stage.folder("one").join("request.json").exists());
    until("the work tree to be gone", async || {
        (!stage.folder("one").join("tree").exists()).then_some(())
    })
    .await;
    runner.shutdown().await;
    let away = runner.observe(&cx("look"), JobRef::new("one".into())).await.unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_is_told_what_its_recipe_and_its_request_say_and_nothing_else() {
    let Some(stage) = Stage::new().await else { return };
    let recipe =
        making("env | sort > out; git rev-parse HEAD >> out; git log --oneline | wc -l >> out")
            .with_env("FLAVOUR", "it's \"bitter\"");
    let runner = stage.open(recipe).await;
    let mut request = ask(&stage.first);
    request.parameters.insert("level".into(), "$(touch /tmp/pwned) 3".into());
    runner.start(&cx("one"), request).await.unwrap();
    let told = stage.content(&made(&runner, "one").await).await;
    let mine = ["_", "PWD", "OLDPWD", "SHLVL"]; // a shell's own
    let names: Vec<_> = told
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .filter(|name| !mine.contains(name))
        .collect();
    let wanted = [
        "BUILD_RECIPE",
        "BUILD_REPOSITORY",
        "BUILD_REVISION",
        "FLAVOUR",
        "HOME",
        "LANG",
        "PARAM_level",
        "PATH",
        "RELEASE_BUILD",
        "TMPDIR",
    ];
    assert_eq!(names, wanted, "{told}");
    for line in [
        "FLAVOUR=it's \"bitter\"",
        "PARAM_level=$(touch /tmp/pwned) 3",
        &format!("BUILD_REVISION={}", stage.first),
        &format!("\n{}\n1\n", stage.first),
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipe_may_ask_for_all_that_led_to_a_revision() {
    let Some(stage) = Stage::new().await else { return };
    stage.api.git(&["tag", "--annotate", "v1", "--message", "one"]);
    let second = stage.api.commit("version", "2\n");
    let runner = stage.open(making("git describe > out").with_history(History::Whole)).await;
    start(&runner, "one", &second).await;
    let told = stage.content(&made(&runner, "one").await).await;
    assert!(told.starts_with("v1-1-g"), "{told}");
}

/// Two builds of one repository at two revisions, both of which are at work at once: each writes, then waits until the other
/// has written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_at_once_do_not_see_each_other_s_files() {
    let Some(stage) = Stage::new().await else { return };
    let second = stage.api.commit("version", "2\n");
    let (reached, go) = (stage.pipe("reached"), [stage.pipe("go-1"), stage.pipe("go-2")]);
    let recipe = making(
        "v=$(cat version); echo $v > mine-$v; echo $v > version; echo $v > $HOME/$v; echo $v > $TMPDIR/$v; git tag t-$v
         echo $v > $REACHED; cat $GO-$v > /dev/null
         echo $v $(ls) $(ls $HOME) $(ls $TMPDIR) $(git tag) > out",
    )
    .with_env("REACHED", reached.text())
    .with_env("GO", stage.path("go").display().to_string());
    let runner = stage.open(recipe).await;
    start(&runner, "one", &stage.first).await;
    start(&runner, "two", &second).await;
    let mut both = vec![reached.heard().await];
    if both[0].lines().count() == 1 {
        both.push(reached.heard().await); // each opened it by itself
    }
    let mut heard: Vec<_> = both.concat().lines().map(str::to_owned).collect();
    heard.sort();
    assert_eq!(heard, ["1", "2"]);
    for pipe in &go {
        pipe.tell().await;
    }
    for (key, v) in [("one", "1"), ("two", "2")] {
        let told = stage.content(&made(&runner, key).await).await;
        assert_eq!(told, format!("{v} mine-{v} version {v} {v} t-{v}\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_are_allowed_run_at_once_and_the_others_wait_in_order() {
    let Some(stage) = Stage::new().await else { return };
    let (reached, go) = (stage.pipe("reached"), stage.pipe("go"));
    let recipe =
        script("echo $PARAM_name >> $RAN; echo $PARAM_name > $REACHED; cat $GO > /dev/null")
            .with_env("REACHED", reached.text())
            .with_env("GO", go.text())
            .with_env("RAN", stage.path("ran").display().to_string());
    let config = stage.config(recipe).at_once(NonZeroUsize::MIN);
    let runner = GitBuilds::open(config).await.unwrap();
    for key in ["c", "a", "b", "d"] {
        let mut request = ask(&stage.first);
        request.parameters.insert("name".into(), key.into());
        runner.start(&cx(key), request).await.unwrap();
    }
    for key in ["c", "a"] {
        assert_eq!(reached.heard().await.trim(), key);
        let ran = fs::read_to_string(stage.path("ran")).unwrap();
        assert_eq!(ran.lines().last(), Some(key));
        if key == "a" {
            // One that waits is over at once, and never begins.
            runner.cancel(&cx("stop"), JobRef::new("b".into())).await.unwrap();
            assert_eq!(look(&runner, "b").await.phase, JobPhase::Cancelled);
        }
        go.tell().await;
        assert_eq!(over(&runner, key).await.phase, JobPhase::Succeeded);
    }
    assert_eq!(reached.heard().await.trim(), "d");
    go.tell().await;
    over(&runner, "d").await;
    assert_eq!(fs::read_to_string(stage.path("ran")).unwrap(), "c\na\nd\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cancelled_ends_with_its_grandchildren_also_those_that_hide() {
    let Some(stage) = Stage::new().await else { return };
    let reached = stage.pipe("reached");
    let recipe = script(
        "trap '' TERM
         sh -c 'trap \"\" TERM; sleep 1000 & echo; wait' > in-group &
         setsid sh -c 'trap \"\" TERM; sleep 1000 & echo; wait' > in-session &
         env -i sh -c 'trap \"\" TERM; sleep 1000 & echo; wait' > without-mark &
         until test -s in-group && test -s in-session && test -s without-mark; do :; done
         echo ready > $REACHED; wait",
    )
    .with_env("REACHED", reached.text());
    let runner = stage.open(recipe).await;
    start(&runner, "one", &stage.first).await;
    reached.heard().await;
    let mark = stage.mark("one");
    let tree = stage.folder("one").join("tree");
    let inside = || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        all.filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == tree))
            .count()
    };
    assert!(
        processes(&mark).len() >= 5 && inside() >= 6,
        "{} {}",
        processes(&mark).len(),
        inside()
    );
    runner.cancel(&cx("stop"), JobRef::new("one".into())).await.unwrap();
    assert_eq!(over(&runner, "one").await.phase, JobPhase::Cancelled);
    assert_eq!((processes(&mark).len(), inside()), (0, 0));
    // Again, and too late.
    runner.cancel(&cx("stop"), JobRef::new("one".into())).await.unwrap();
    start(&runner, "one", &stage.first).await;
    assert_eq!(look(&runner, "one").await.phase, JobPhase::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_is_asked_to_end_may_tidy_up_and_what_one_leaves_behind_is_ended() {
    let Some(stage) = Stage::new().await else { return };
    let (reached, tidied) = (stage.pipe("reached"), stage.path("tidied"));
    let recipe = script(
        "trap 'echo tidying; touch $TIDIED; exit 1' TERM
         if test $PARAM_kind = stays; then sleep 1000 & exit 0; fi
         echo ready > $REACHED; while :; do :; done",
    )
    .with_env("REACHED", reached.text())
    .with_env("TIDIED", tidied.display().to_string());
    let runner = stage.open(recipe).await;
    for kind in ["stays", "goes"] {
        let mut request = ask(&stage.first);
        request.parameters.insert("kind".into(), kind.into());
        runner.start(&cx(kind), request).await.unwrap();
    }
    reached.heard().await;
    runner.cancel(&cx("stop"), JobRef::new("goes".into())).await.unwrap();
    let status = over(&runner, "goes").await;
    assert_eq!((status.phase.clone(), log(&status)), (JobPhase::Cancelled, "tidying\n".into()));
    assert!(tidied.exists());
    assert_eq!(over(&runner, "stays").await.phase, JobPhase::Succeeded);
    let mark = stage.mark("stays");
    assert!(processes(&mark).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builds_that_fail_say_why() {
    let Some(stage) = Stage::new().await else { return };
    let mut config = stage
        .config(script("echo broken >&2; exit 3"))
        .at_once(NonZeroUsize::MIN.saturating_add(7));
    (config.most_output, config.most_artifact) = (10, 4);
    let config = config
        .recipe("exit", release_providers::git::Recipe::new(["exit", "0"]))
        .recipe("nowhere", release_providers::git::Recipe::new(["./no-such-program"]))
        .recipe("late", script("sleep 1000").within(Span::millis(200)))
        .recipe("nothing", making("true"))
        .recipe("large", making("echo 12345 > out"))
        .recipe("loud", script("yes | head -c 1000000"))
        .recipe("killed", script("kill -9 $$"))
        .recipe("link", making("ln -s /etc/passwd out"))
        .recipe("folder", making("mkdir out"));
    let runner = GitBuilds::open(config).await.unwrap();
    for (recipe, told) in [
        ("release", "exit code 3"),
        ("exit", "exit code 127"),
        ("nowhere", "exit code 127"),
        ("late", "longer than the 200ms"),
        ("nothing", "not there after the command"),
        ("large", "most_artifact"),
        ("killed", "exit code 137"),
        ("link", "behind a link"),
        ("folder", "no file"),
    ] {
        let mut request = ask(&stage.first);
        request.recipe = recipe.into();
        runner.start(&cx(recipe), request).await.unwrap();
        let reason = failure(&runner, recipe).await;
        assert!(reason.contains(told), "{recipe}: {reason}");
    }
    assert_eq!(log(&look(&runner, "release").await), "broken\n");
    let mut request = ask(&stage.first);
    request.recipe = "loud".into();
    runner.start(&cx("loud"), request).await.unwrap();
    let status = over(&runner, "loud").await;
    assert_eq!((status.phase.clone(), log(&status).len()), (JobPhase::Succeeded, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_are_told_once_they_are_stored_however_long_that_takes() {
    let Some(stage) = Stage::new().await else { return };
    stage.shelf.failures.store(2, Ordering::SeqCst);
    stage.shelf.held.store(true, Ordering::SeqCst);
    let runner = stage.open(making("cp version out")).await;
    start(&runner, "one", &stage.first).await;
    for asked in 1..=3 {
        until("the store to be asked", async || {
            (stage.shelf.asked.load(Ordering::SeqCst) == asked).then_some(())
        })
        .await;
        let status = look(&runner, "one").await;
        assert_eq!((status.phase, status.artifacts.len()), (JobPhase::Running, 0));
        stage.shelf.permits.add_permits(1);
    }
    assert_eq!(stage.content(&made(&runner, "one").await).await, "1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forgotten_was_never_used() {
    let Some(stage) = Stage::new().await else { return };
    let (reached, go) = (stage.pipe("reached"), stage.pipe("go"));
    let recipe =
        making("cp version out; if test -n \"$PARAM_wait\"; then echo > $REACHED; cat $GO; fi")
            .with_env("REACHED", reached.text())
            .with_env("GO", go.text());
    let runner = stage.open(recipe).await;
    start(&runner, "old", &stage.first).await;
    over(&runner, "old").await;
    let mut request = ask(&stage.first);
    request.parameters.insert("wait".into(), "yes".into());
    runner.start(&cx("new"), request).await.unwrap();
    reached.heard().await;
    let later = SystemClock::new().now().plus(Span::secs(1));
    assert_eq!(runner.forget_before(later).await.unwrap(), 1);
    assert_eq!(look(&runner, "old").await.phase, JobPhase::Unknown);
    assert_eq!(look(&runner, "new").await.phase, JobPhase::Running);
    assert!(exists(&stage.folder("old")).is_none());
    go.tell().await;
    over(&runner, "new").await;
    start(&runner, "old", &stage.first).await;
    made(&runner, "old").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repositories_with_long_ids_are_built_too() {
    let Some(stage) = Stage::new().await else { return };
    let long = Repository::new(stage.path("long"), &["--object-format=sha256"]);
    let revision = long.commit("version", "long\n");
    assert_eq!(revision.len(), 64);
    let config =
        stage.config(making("cp version out")).repository("long", long.path.display().to_string());
    let runner = GitBuilds::open(config).await.unwrap();
    let mut request = ask(&revision);
    request.repository = "long".into();
    runner.start(&cx("long"), request.clone()).await.unwrap();
    assert_eq!(stage.content(&made(&runner, "long").await).await, "long\n");
    // No repository has ids of both kinds.
    let error = runner.start(&cx("other"), ask(&revision)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    request.revision = stage.first.clone();
    let error = runner.start(&cx("another"), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}
