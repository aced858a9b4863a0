//! The suite of [`TestRunner`].

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::model::ArtifactRef;
use release_providers::spi::{
    JobPhase, JobRef, StartTests, TestCase, TestOutcome, TestRunner, TestStatus,
};
use release_providers::{Context, ErrorKind};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, stays, unanswered};

/// A test runner, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type TestRunnerSandbox = ProviderSandbox<dyn TestRunner, Course>;

/// What a runner may be asked to run.
#[derive(Debug, Clone)]
#[must_use]
pub struct Course {
    passes: StartTests,
    fails: Option<StartTests>,
    skips: Option<StartTests>,
    unknown: Option<ArtifactRef>,
}

impl Course {
    /// A suite of at least two tests, all of which pass.
    pub const fn new(passes: StartTests) -> Self {
        Self { passes, fails: None, skips: None, unknown: None }
    }

    /// Names a suite of which at least one test fails. Without it `a_failed_test_fails_the_run` is skipped, and said to
    /// be.
    pub fn failing(mut self, suite: StartTests) -> Self {
        self.fails = Some(suite);
        self
    }

    /// Names a suite whose tests are all skipped. Without it `skipped_tests_are_no_success` is skipped, and said to be.
    pub fn skipping(mut self, suite: StartTests) -> Self {
        self.skips = Some(suite);
        self
    }

    /// Names an artifact that the runner does not know. Without it `wrong_requests_are_refused` does not ask for one: a
    /// runner may take artifacts as they come.
    pub fn unknown_artifact(mut self, artifact: ArtifactRef) -> Self {
        self.unknown = Some(artifact);
        self
    }
}

suite!(
    TestRunner,
    "test_runner",
    TestRunnerSandbox,
    acting,
    [
        case!(
            a_run_ends_with_its_tests,
            "a run that succeeded tells every test and that all passed, and then always the same"
        ),
        case!(
            a_failed_test_fails_the_run,
            "a run of which a test failed has failed, and tells which",
            |sandbox: &TestRunnerSandbox| {
                sandbox.at.fails.is_none().then_some("suite of which a test fails")
            }
        ),
        case!(only_what_was_named_is_run, "where tests are named, no others are run"),
        case!(nothing_that_was_run_is_no_success, "a run without any test has failed"),
        case!(
            skipped_tests_are_no_success,
            "a run whose tests were all skipped has failed",
            |sandbox: &TestRunnerSandbox| {
                sandbox.at.skips.is_none().then_some("suite whose tests are all skipped")
            }
        ),
        case!(what_was_cancelled_is_over, "a run that is cancelled ends, and stays as it ended"),
        case!(
            what_is_over_stays_as_it_is,
            "one key is one run: what is over is not begun anew when it is asked for again, nor cancelled"
        ),
        case!(an_unused_key_is_unknown, "a key that was never used is `Unknown`, no error"),
    ]
);

/// The runner, and what it may run.
pub fn sandbox(provider: Arc<dyn TestRunner>, course: Course) -> TestRunnerSandbox {
    let unknown = course.unknown.clone();
    let sandbox = ProviderSandbox::of(provider, course)
        .deed(
            "start",
            |provider, cx, at| async move { text(provider.start(&cx, at.passes.clone()).await) },
            |provider, cx, _, key| async move {
                // How far it is changes by itself; that it is there does not.
                let answer = provider.observe(&cx, JobRef::new(key)).await;
                text(answer.map(|status| (status.operation, status.phase != JobPhase::Unknown)))
            },
        )
        .look("observe", true, |provider, cx, _| async move {
            text(provider.observe(&cx, JobRef::new("a run that nobody started".into())).await)
        })
        .refusal("an unknown suite", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = at.passes.clone();
            request.suite = "a suite that nobody has".into();
            text(provider.start(&cx, request).await)
        })
        .refusal("the end of no run", ErrorKind::NotFound, |provider, cx, _| async move {
            text(provider.cancel(&cx, JobRef::new("a run that nobody started".into())).await)
        });
    let Some(artifact) = unknown else { return sandbox };
    sandbox.refusal("an unknown artifact", ErrorKind::NotFound, move |provider, cx, at| {
        let mut request = at.passes.clone();
        request.artifact = artifact.clone();
        async move { text(provider.start(&cx, request).await) }
    })
}

async fn a_run_ends_with_its_tests(sandbox: &TestRunnerSandbox) -> Check {
    let key = started(sandbox, &sandbox.at.passes).await?;
    let first = over(sandbox, &key).await?;
    let names: BTreeSet<_> = first.cases.iter().map(|case| case.name.as_str()).collect();
    let passed = first.cases.iter().all(|case| case.outcome == TestOutcome::Passed);
    let all = names.len() == first.cases.len() && names.len() > 1 && passed;
    if first.phase != JobPhase::Succeeded || first.operation != key || !all {
        let expected =
            format!("{key} to succeed with two tests or more that passed, each told once");
        return Err(broken(expected, format!("{first:?}")));
    }
    stays(&first, &look_at(sandbox, &key).await?)
}

async fn a_failed_test_fails_the_run(sandbox: &TestRunnerSandbox) -> Check {
    let Some(fails) = &sandbox.at.fails else { return Ok(()) };
    let key = started(sandbox, fails).await?;
    let status = over(sandbox, &key).await?;
    let failed = |case: &TestCase| case.outcome == TestOutcome::Failed;
    if matches!(status.phase, JobPhase::Failed { .. }) && status.cases.iter().any(failed) {
        return Ok(());
    }
    Err(broken("a run that failed, and the test that did", format!("{status:?}")))
}

async fn only_what_was_named_is_run(sandbox: &TestRunnerSandbox) -> Check {
    let key = started(sandbox, &sandbox.at.passes).await?;
    let all = over(sandbox, &key).await?;
    let Some(first) = all.cases.first() else {
        return Err(broken("tests", format!("{all:?}")));
    };
    let mut request = sandbox.at.passes.clone();
    request.only = vec![first.name.clone()];
    let key = started(sandbox, &request).await?;
    let status = over(sandbox, &key).await?;
    let told: Vec<_> = status.cases.iter().map(|case| case.name.as_str()).collect();
    if told == [first.name.as_str()] && status.phase == JobPhase::Succeeded {
        return Ok(());
    }
    Err(broken(format!("`{}` alone to be run", first.name), format!("{status:?}")))
}

async fn nothing_that_was_run_is_no_success(sandbox: &TestRunnerSandbox) -> Check {
    let mut request = sandbox.at.passes.clone();
    request.only = vec!["a test that nobody wrote".into()];
    let cx = sandbox.context();
    match sandbox.provider.start(&cx, request).await {
        // Whoever knows all names may refuse it at once.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        answer => answer.map_err(|error| unanswered("a run of no test", &error))?,
    }
    let status = over(sandbox, &cx.key).await?;
    if matches!(status.phase, JobPhase::Failed { .. }) {
        return Ok(());
    }
    Err(broken("a run of no test to fail", format!("{status:?}")))
}

async fn skipped_tests_are_no_success(sandbox: &TestRunnerSandbox) -> Check {
    let Some(skips) = &sandbox.at.skips else { return Ok(()) };
    let key = started(sandbox, skips).await?;
    let status = over(sandbox, &key).await?;
    if matches!(status.phase, JobPhase::Failed { .. }) {
        return Ok(());
    }
    Err(broken("a run of which no test was run to fail", format!("{status:?}")))
}

async fn what_was_cancelled_is_over(sandbox: &TestRunnerSandbox) -> Check {
    let key = started(sandbox, &sandbox.at.passes).await?;
    cancel(sandbox, &key).await?;
    let ended = over(sandbox, &key).await?;
    // Whoever was done before the cancellation came has succeeded, and nothing else.
    if !matches!(ended.phase, JobPhase::Cancelled | JobPhase::Succeeded) {
        return Err(broken("a run that was cancelled, or done before", format!("{ended:?}")));
    }
    cancel(sandbox, &key).await?;
    stays(&ended, &look_at(sandbox, &key).await?)
}

async fn what_is_over_stays_as_it_is(sandbox: &TestRunnerSandbox) -> Check {
    let mut cx = sandbox.context();
    start(sandbox, &cx, &sandbox.at.passes).await?;
    let first = over(sandbox, &cx.key).await?;
    cx.attempt = 2;
    start(sandbox, &cx, &sandbox.at.passes).await?;
    stays(&first, &look_at(sandbox, &cx.key).await?)?;
    sandbox.linger().await;
    stays(&first, &look_at(sandbox, &cx.key).await?)?;
    cancel(sandbox, &cx.key).await?;
    stays(&first, &look_at(sandbox, &cx.key).await?)
}

async fn an_unused_key_is_unknown(sandbox: &TestRunnerSandbox) -> Check {
    let status = look_at(sandbox, &sandbox.context().key).await?;
    if status.phase == JobPhase::Unknown && status.cases.is_empty() {
        return Ok(());
    }
    Err(broken("an unknown run", format!("{status:?}")))
}

async fn started(sandbox: &TestRunnerSandbox, request: &StartTests) -> Result<String, Broken> {
    let cx = sandbox.context();
    start(sandbox, &cx, request).await.map(|()| cx.key)
}

async fn start(sandbox: &TestRunnerSandbox, cx: &Context, request: &StartTests) -> Check {
    let answer = sandbox.provider.start(cx, request.clone()).await;
    answer.map_err(|error| unanswered("a run", &error))
}

async fn cancel(sandbox: &TestRunnerSandbox, key: &str) -> Check {
    let answer = sandbox.provider.cancel(&sandbox.context(), JobRef::new(key.to_owned())).await;
    answer.map_err(|error| unanswered("the end of a run", &error))
}

async fn over(sandbox: &TestRunnerSandbox, key: &str) -> Result<TestStatus, Broken> {
    let end = sandbox.until(async || {
        let status = look_at(sandbox, key).await?;
        Ok(if status.phase.is_over() { Ok(status) } else { Err(status) })
    });
    end.await?.map_err(|status| broken("a run that ends", format!("{status:?}")))
}

async fn look_at(sandbox: &TestRunnerSandbox, key: &str) -> Result<TestStatus, Broken> {
    let request = JobRef::new(key.to_owned());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a look at the run", &error))
}
