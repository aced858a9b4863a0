//! Requests, repositories and machines that mean no good.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use release_core::port::EffectCertainty;
use release_core::time::Span;
use release_providers::git::{GitBuilds, GitBuildsConfig, Recipe};
use release_providers::spi::{BuildRunner as _, JobPhase};
use release_providers::{ErrorKind, ProviderError, RetryAdvice};

use crate::stage::{Stage, ask, cx, failure, look, made, making, processes, start, until};

async fn refused(config: GitBuildsConfig) -> ProviderError {
    GitBuilds::open(config).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_commit_by_its_whole_id_is_refused() {
    let Some(stage) = Stage::new().await else { return };
    stage.api.git(&["tag", "--annotate", "v1", "--message", "one"]);
    let [tag, tree, blob] =
        ["v1", "HEAD^{tree}", "HEAD:version"].map(|name| stage.api.git(&["rev-parse", name]));
    let runner = stage.open(making("cp version out")).await;
    start(&runner, "good", &stage.first).await;
    for revision in [
        "main",
        "v1",
        "HEAD",
        "",
        &stage.first[..12],
        &stage.first.to_uppercase(),
        &format!("{}^", &stage.first),
        &format!("{} ", &stage.first),
        &format!("{}\n", &stage.first[..39]),
        "--upload-pack=touch${IFS}/tmp/pwned;aaaa",
        "-ccore.hooksPath=/tmp",
        &tag,
        &tree,
        &blob,
    ] {
        let error = runner.start(&cx("bad"), ask(revision)).await.unwrap_err();
        let (kind, effect) = (error.kind(), error.effect());
        assert_eq!((kind, effect), (ErrorKind::Invalid, EffectCertainty::NotApplied), "{error}");
    }
    let unknown = "0123456789".repeat(4);
    let error = runner.start(&cx("bad"), ask(&unknown)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::NotFound, EffectCertainty::NotApplied));
    assert_eq!(look(&runner, "bad").await.phase, JobPhase::Unknown);
    for repository in
        ["../api", "--upload-pack=x", "ext::sh -c x", &stage.api.path.display().to_string()]
    {
        let mut request = ask(&stage.first);
        request.repository = repository.into();
        let error = runner.start(&cx("bad"), request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    for (name, value) in
        [("LD PRELOAD", "x"), ("", "x"), ("a=b", "x"), ("ok", "a\0b"), ("big", &"x".repeat(70_000))]
    {
        let mut request = ask(&stage.first);
        request.parameters.insert(name.into(), value.into());
        let error = runner.start(&cx("bad"), request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    // Whatever a key is, it is no path.
    for key in ["../../../escape", "/etc/passwd", "a\0b\n", &"k".repeat(10_000)] {
        start(&runner, key, &stage.first).await;
        made(&runner, key).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_means_what_it_was_used_for_first() {
    let Some(stage) = Stage::new().await else { return };
    let second = stage.api.commit("version", "2\n");
    let runner = stage.open(making("cp version out")).await;
    start(&runner, "one", &stage.first).await;
    let error = runner.start(&cx("one"), ask(&second)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, RetryAdvice::Never));
    assert_eq!(error.effect(), EffectCertainty::NotApplied);
    assert_eq!(stage.content(&made(&runner, "one").await).await, "1\n");
    let error = runner.start(&cx("one"), ask(&second)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_the_work_tree() {
    let Some(stage) = Stage::new().await else { return };
    for path in ["../secret", "/etc/passwd", "a/../../b", "", "out/"] {
        let recipe = Recipe::new(["true"]).making("api".parse().unwrap(), path);
        let error = refused(stage.config(recipe)).await;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{path}: {error}");
    }
    // A repository whose links lead out, and one that swaps its work tree for another directory.
    symlink("/etc", stage.api.path.join("door")).unwrap();
    symlink("/etc/hostname", stage.api.path.join("out")).unwrap();
    let revision = stage.api.commit("x", "x");
    let config = stage
        .config(making("true"))
        .recipe("door", Recipe::new(["true"]).making("api".parse().unwrap(), "door/hostname"))
        .recipe(
            "swap",
            making("cd ..; mv tree mine; mkdir other; echo x > other/out; ln -s other tree"),
        );
    let runner = GitBuilds::open(config).await.unwrap();
    for recipe in ["release", "door", "swap"] {
        let mut request = ask(&revision);
        request.recipe = recipe.into();
        runner.start(&cx(recipe), request).await.unwrap();
        let reason = failure(&runner, recipe).await;
        assert!(reason.contains("behind a link"), "{recipe}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_repository_brings_is_run_by_git() {
    let Some(stage) = Stage::new().await else { return };
    let (pwned, hook) = (stage.path("pwned"), stage.api.path.join(".git/hooks/post-checkout"));
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", pwned.display())).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let module =
        "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c touch% pwned\n\tupdate = !touch pwned\n";
    stage.api.commit(".gitmodules", module);
    stage.api.commit(".gitattributes", "* filter=evil\n");
    let revision = stage.api.commit("version", "1\n");
    let runner = stage.open(making("cp version out")).await;
    start(&runner, "one", &revision).await;
    assert_eq!(stage.content(&made(&runner, "one").await).await, "1\n");
    assert!(!pwned.exists());
    for place in
        ["ext::sh -c touch% pwned", "--upload-pack=touch", "https://ada:pw@host/x", "relative"]
    {
        let error = refused(stage.config(making("true")).repository("bad", place)).await;
        assert!(
            error.kind() == ErrorKind::Invalid && !error.to_string().contains("pw@"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_out_of_reach_is_unavailable_and_what_was_brought_is_built_all_the_same() {
    let Some(stage) = Stage::new().await else { return };
    let runner = stage.open(making("cp version out")).await;
    start(&runner, "one", &stage.first).await;
    let second = stage.api.commit("version", "2\n");
    let away = stage.path("away");
    fs::rename(&stage.api.path, &away).unwrap();
    start(&runner, "two", &stage.first).await;
    made(&runner, "two").await;
    let error = runner.start(&cx("three"), ask(&second)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, EffectCertainty::NotApplied)
    );
    fs::rename(&away, &stage.api.path).unwrap();
    start(&runner, "three", &second).await;
    // A proposal that was rebased: no branch leads to it any more.
    let lost = stage.api.commit("version", "3\n");
    stage.api.git(&["reset", "--quiet", "--hard", "HEAD^"]);
    start(&runner, "four", &lost).await;
    assert_eq!(stage.content(&made(&runner, "four").await).await, "3\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_git_it_is_said_how_to_mend_that() {
    let Some(stage) = Stage::new().await else { return };
    let mut config = stage.config(making("true"));
    config.git = stage.path("no-git");
    let error = refused(config.clone()).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("apt-get install git"), "{error}");
    symlink(crate::real::find("git").unwrap(), &config.git).unwrap();
    let runner = GitBuilds::open(config.clone()).await.unwrap();
    fs::remove_file(&config.git).unwrap();
    let error = runner.start(&cx("one"), ask(&stage.first)).await.unwrap_err();
    assert!(error.to_string().contains("apt-get install git"), "{error}");
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, EffectCertainty::NotApplied)
    );
}

/// A git that hangs is stopped, and its callers are told by their deadlines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_git_that_hangs_holds_nobody_up() {
    let Some(stage) = Stage::new().await else { return };
    let mut config = stage.config(making("cp version out"));
    let git = crate::real::find("git").unwrap();
    let text = format!(
        "#!/bin/sh\nfor one; do if test \"$one\" = fetch -a ! -e {}; then sleep 1000; fi; done\nexec {} \"$@\"\n",
        stage.path("mended").display(),
        git.display()
    );
    config.git = stage.path("slow-git");
    config.git_limit = Span::secs(2);
    fs::write(&config.git, text).unwrap();
    fs::set_permissions(&config.git, fs::Permissions::from_mode(0o755)).unwrap();
    let runner = GitBuilds::open(config).await.unwrap();
    let mut hurried = cx("one");
    hurried.deadline = release_providers::Clock::now(&release_providers::SystemClock::new())
        .plus(Span::millis(100));
    let late = runner.start(&hurried, ask(&stage.first)).await.unwrap_err();
    assert_eq!((late.kind(), late.effect()), (ErrorKind::Timeout, EffectCertainty::NotApplied));
    let slow = runner.start(&cx("one"), ask(&stage.first)).await.unwrap_err();
    assert!(
        slow.kind() == ErrorKind::Unavailable && slow.to_string().contains("stopped"),
        "{slow}"
    );
    let mark = format!("{}|git", stage.root().canonicalize().unwrap().display());
    until("what it started to end", async || processes(&mark).is_empty().then_some(())).await;
    fs::write(stage.path("mended"), "").unwrap();
    start(&runner, "one", &stage.first).await;
    made(&runner, "one").await;
}
