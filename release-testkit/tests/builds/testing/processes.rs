//! Suites that are commands in real processes, over crashes of everything that knew of them.

use std::fs;
use std::sync::Arc;

use release_core::build::{Suite, SuiteStanding, Suites};
use release_core::model::{EnvironmentId, SuiteId};
use release_core::time::Span;
use release_providers::build::{
    CancellationToken, Pace, StageVerdict, StagedSuites, TestCampaign, TestReport,
};
use release_providers::git::{GitBuilds, GitBuildsConfig, Recipe};
use release_providers::spi::{
    BuildRunner, JobPhase, JobRef, StartBuild, StartTests, TestCase, TestOutcome, TestRunner,
    TestStatus,
};
use release_providers::{Context, Description, ProviderError, SystemClock, async_trait};
use release_testkit::fixtures::{self, literal};

use crate::stage::{Pipe, Stage, processes, script, until};

/// Suites as recipes: one test each, which passes if its command does.
#[derive(Debug)]
struct Commands {
    builds: GitBuilds,
    revision: String,
}

#[async_trait]
impl TestRunner for Commands {
    fn describe(&self) -> Description {
        self.builds.describe()
    }

    async fn start(&self, cx: &Context, request: StartTests) -> Result<(), ProviderError> {
        let mut build = StartBuild::new("api".into(), self.revision.clone(), request.suite);
        build.parameters.insert("digest".into(), request.artifact.digest().to_string());
        self.builds.start(cx, build).await
    }

    async fn observe(&self, cx: &Context, request: JobRef) -> Result<TestStatus, ProviderError> {
        let build = self.builds.observe(cx, request).await?;
        let mut status = TestStatus::new(build.operation, build.phase);
        let outcome = match status.phase {
            JobPhase::Succeeded => TestOutcome::Passed,
            JobPhase::Failed { .. } => TestOutcome::Failed,
            _ => return Ok(status),
        };
        status.cases.push(TestCase::new("command".into(), outcome, Span::ZERO));
        Ok(status)
    }

    async fn cancel(&self, cx: &Context, request: JobRef) -> Result<(), ProviderError> {
        self.builds.cancel(cx, request).await
    }
}

/// Three stages, whose suites are scripts that say that they run.
struct Shop {
    stage: Stage,
    suites: StagedSuites,
}

impl Shop {
    async fn new() -> Option<Self> {
        let suite = |name, stage| Suite::new(literal(name), literal(stage), Span::secs(1));
        let suites = Suites::new([
            suite("unit", "dev"),
            suite("style", "dev").advisory(),
            suite("api", "staging"),
            suite("pages", "staging"),
            suite("load", "production"),
        ]);
        let order = ["dev", "staging", "production"].map(literal);
        let suites = StagedSuites::in_order(suites.unwrap(), order).unwrap();
        Some(Self { stage: Stage::new().await?, suites })
    }

    /// `text` is what `api` does.
    fn config(&self, text: &str) -> GitBuildsConfig {
        let says = |text: &str| {
            let script = script(&format!("echo $BUILD_RECIPE $PARAM_digest >> $RUNS; {text}"));
            let env = |script: Recipe, name: &str| {
                script.with_env(name.to_uppercase(), self.stage.path(name).display().to_string())
            };
            ["runs", "reached", "go"].into_iter().fold(script, env)
        };
        let config = self.stage.config(says("true"));
        let quick = ["unit", "pages", "load"].into_iter();
        let config = quick.fold(config, |config, name| config.recipe(name, says("true")));
        config.recipe("style", says("exit 3")).recipe("api", says(text))
    }

    async fn run(&self, builds: GitBuilds, stop: &CancellationToken) -> TestReport {
        let runner = Arc::new(Commands { builds, revision: self.stage.first.clone() });
        let mut pace = Pace::default();
        (pace.first, pace.longest) = (Span::millis(5), Span::millis(50));
        let artifact = fixtures::artifact("shop", "1.1.0");
        let clock = Arc::new(SystemClock::new());
        let campaign = TestCampaign::new("one", runner, clock, fixtures::robot(), artifact);
        campaign.paced(pace).run(&self.suites, stop).await
    }

    /// What was run, once each time.
    fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.stage.path("runs")).unwrap_or_default();
        let digest = fixtures::digest("shop", "1.1.0").to_string();
        let name = |line: &str| line.strip_suffix(&digest).unwrap().trim().to_owned();
        text.lines().map(name).collect()
    }
}

fn standing<'a>(report: &'a TestReport, name: &str) -> &'a SuiteStanding {
    &report.suites[&literal::<SuiteId>(name)].standing
}

const WAITS: &str = "echo ready > $REACHED; cat $GO > /dev/null";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suites_that_run_outlive_whoever_started_them_and_run_once() {
    let Some(shop) = Shop::new().await else { return };
    let (reached, go): (Pipe, Pipe) = (shop.stage.pipe("reached"), shop.stage.pipe("go"));
    let (config, end) = (shop.config(WAITS), CancellationToken::new());
    let builds = GitBuilds::open(config.clone()).await.unwrap();
    tokio::select! {
        report = shop.run(builds, &end) => panic!("{report:?}"),
        _ = reached.heard() => {} // and with that, the executor and its runner are gone
    }
    assert!(!shop.runs().contains(&"load".to_owned()));
    let builds =
        until("the root to be free", async || GitBuilds::open(config.clone()).await.ok()).await;
    let (report, ()) = tokio::join!(shop.run(builds, &end), go.tell());
    assert!(report.has_passed(), "{report:?}");
    let runs = shop.runs();
    let mut sorted = runs.clone();
    sorted.sort();
    assert_eq!(sorted, ["api", "load", "pages", "style", "unit"]);
    assert_eq!(runs.last().map(String::as_str), Some("load"));
    assert!(runs.iter().position(|one| one == "unit") < runs.iter().position(|one| one == "api"));
    // What fails and is advisory is told.
    let style = &report.suites[&literal::<SuiteId>("style")];
    assert_eq!(style.standing, SuiteStanding::Failed);
    assert!(style.reason.as_ref().is_some_and(|reason| reason.contains("exit code 3")));
    assert_eq!(report.attempts.len(), 5);
    // Only of what began under the second executor it is known how long it took.
    let api = literal::<SuiteId>("api");
    assert!(report.took.contains_key(&literal::<SuiteId>("load")));
    assert!(!report.took.contains_key(&api));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_required_suite_fails_no_later_stage_is_tested() {
    let Some(shop) = Shop::new().await else { return };
    let builds = GitBuilds::open(shop.config("exit 7")).await.unwrap();
    let report = shop.run(builds, &CancellationToken::new()).await;
    assert!(!report.has_passed());
    let because = [literal("api")].into();
    let stage = |name: &str| &report.stages[&literal::<EnvironmentId>(name)];
    assert_eq!(stage("dev"), &StageVerdict::Passed);
    assert_eq!(stage("staging"), &StageVerdict::Failed { because });
    assert_eq!(stage("production"), &StageVerdict::Held { because: literal("staging") });
    assert_eq!(standing(&report, "pages"), &SuiteStanding::Passed);
    assert!(matches!(standing(&report, "load"), SuiteStanding::Cancelled { .. }));
    assert!(!shop.runs().contains(&"load".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_cancelled_ends_the_processes_of_its_suites() {
    let Some(shop) = Shop::new().await else { return };
    let reached = shop.stage.pipe("reached");
    let _go = shop.stage.pipe("go");
    let builds = GitBuilds::open(shop.config(WAITS)).await.unwrap();
    let end = CancellationToken::new();
    let mark = shop.stage.mark("one/api");
    let cancel = async {
        reached.heard().await;
        assert!(!processes(&mark).is_empty());
        end.cancel();
    };
    let (report, ()) = tokio::join!(shop.run(builds, &end), cancel);
    assert!(report.cancelled);
    assert_eq!(standing(&report, "api"), &SuiteStanding::Failed);
    assert_eq!(standing(&report, "load"), &SuiteStanding::Cancelled { because: literal("load") });
    assert!(processes(&mark).is_empty());
}
