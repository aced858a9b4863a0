//! Builds of four real repositories, each made with what others made.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use release_core::build::{Build, BuildGraph, BuildStanding, Building, Built};
use release_core::model::{ArtifactRef, BuildId};
use release_core::time::Span;
use release_providers::SystemClock;
use release_providers::build::{BuildReport, Campaign, CancellationToken, Pace};
use release_providers::git::{GitBuilds, GitBuildsConfig, Recipe};
use release_testkit::fixtures::{self, literal};

use crate::stage::{Pipe, Repository, Stage, exists, script, until};

/// What each is made with.
const NEEDS: [(&str, &[&str]); 4] =
    [("docs", &[]), ("proto", &[]), ("server", &["proto"]), ("web", &["proto", "server"])];

/// Four repositories.
struct Season {
    stage: Stage,
    all: BTreeMap<&'static str, Repository>,
    graph: BuildGraph,
}

impl Season {
    async fn new() -> Option<Self> {
        let stage = Stage::new().await?;
        let mut all = BTreeMap::new();
        for (name, _) in NEEDS {
            let repository = Repository::new(stage.path(&format!("repositories/{name}")), &[]);
            repository.commit("version", &format!("{name} 1\n"));
            all.insert(name, repository);
        }
        let builds = NEEDS.map(|(name, needs)| {
            let build = Build::new(literal(name), name, "assemble");
            needs.iter().fold(build, |build, need| build.needing(literal(need)))
        });
        let graph = BuildGraph::new(builds).unwrap();
        Some(Self { stage, all, graph })
    }

    /// Puts its version and all that it is made with together; counts; fails and waits where a file says so.
    fn recipe(&self) -> Recipe {
        script(
            "echo $BUILD_REPOSITORY >> $RUNS
             test ! -e fail
             if test -e wait; then echo > $FOLDER/reached; cat $FOLDER/go > /dev/null; fi
             { cat version
               for one in $(env | sort | sed -n 's/^PARAM_input_[^=]*=//p'); do cat $STORE/${one#*@sha256:}; done
             } > out",
        )
        .making(literal("whole"), "out")
        .with_env("RUNS", self.stage.path("runs").display().to_string())
        .with_env("FOLDER", self.stage.path("").display().to_string())
        .with_env("STORE", self.stage.path("store/artifacts/sha256").display().to_string())
    }

    fn config(&self) -> GitBuildsConfig {
        let config = self.stage.config(self.recipe()).recipe("assemble", self.recipe());
        let place = |repository: &Repository| repository.path.display().to_string();
        self.all.iter().fold(config, |config, (name, one)| config.repository(*name, place(one)))
    }

    async fn open(&self) -> Arc<GitBuilds> {
        until("the root to be free", async || {
            GitBuilds::open(self.config()).await.ok().map(Arc::new)
        })
        .await
    }

    fn building(&self, built: BTreeMap<BuildId, Built>) -> Building {
        let head = |name: &str, one: &Repository| (literal(name), one.git(&["rev-parse", "HEAD"]));
        let heads = self.all.iter().map(|(name, one)| head(name, one)).collect();
        Building::new(&self.graph, heads, built, |_| Span::secs(1))
    }

    fn campaign(name: &str, runner: &Arc<GitBuilds>) -> Campaign {
        let clock = Arc::new(SystemClock::new());
        let mut pace = Pace::default();
        (pace.first, pace.longest) = (Span::millis(5), Span::millis(50));
        Campaign::new(name, Arc::clone(runner) as _, clock, fixtures::robot()).paced(pace)
    }

    async fn run(&self, campaign: &Campaign, last: Option<&BuildReport>) -> BuildReport {
        let built = last.map(|last| last.built.clone()).unwrap_or_default();
        let known = last.map(BuildReport::artifacts).unwrap_or_default();
        let campaign = campaign.clone().with_artifacts(known);
        campaign.run(self.building(built), &CancellationToken::new()).await
    }

    /// What was run, in the order of the names.
    fn runs(&self) -> Vec<String> {
        let text = fs::read_to_string(self.stage.path("runs")).unwrap_or_default();
        let mut runs: Vec<_> = text.lines().map(str::to_owned).collect();
        runs.sort();
        runs
    }

    async fn content(&self, report: &BuildReport, name: &str) -> String {
        let [made] = &report.builds[&literal::<BuildId>(name)].artifacts[..] else {
            panic!("{report:?}")
        };
        let made: &ArtifactRef = made;
        self.stage.content(made).await
    }
}

fn standing(report: &BuildReport, name: &str) -> BuildStanding {
    report.builds[&literal::<BuildId>(name)].standing.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_made_with_what_it_needs_and_again_only_if_that_is_other() {
    let Some(season) = Season::new().await else { return };
    let runner = season.open().await;
    let first = season.run(&Season::campaign("first", &runner), None).await;
    assert!(first.is_complete() && !first.cancelled, "{first:?}");
    assert_eq!(season.content(&first, "web").await, "web 1\nproto 1\nserver 1\nproto 1\n");
    assert_eq!(season.runs(), ["docs", "proto", "server", "web"]);
    // The same campaign again builds nothing; nor does another where nothing has changed.
    assert_eq!(season.run(&Season::campaign("first", &runner), None).await.builds, first.builds);
    let idle = season.run(&Season::campaign("idle", &runner), Some(&first)).await;
    assert_eq!(standing(&idle, "web"), BuildStanding::UpToDate);
    assert_eq!(season.runs().len(), 4);
    // Other sources that come to the same result: what is made with it stays.
    season.all["proto"].commit("comment", "nobody reads this");
    let second = season.run(&Season::campaign("second", &runner), Some(&first)).await;
    assert_eq!(
        (standing(&second, "proto"), standing(&second, "server")),
        (BuildStanding::Built, BuildStanding::UpToDate)
    );
    assert_eq!(season.runs(), ["docs", "proto", "proto", "server", "web"]);
    // Only what is made with it is made again, with what was there before.
    season.all["server"].commit("version", "server 2\n");
    let third = season.run(&Season::campaign("third", &runner), Some(&second)).await;
    assert_eq!(season.content(&third, "web").await, "web 1\nproto 1\nserver 2\nproto 1\n");
    assert_eq!(season.runs(), ["docs", "proto", "proto", "server", "server", "web", "web"]);
    assert_eq!(third.took.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_takes_what_needs_it_along_and_nothing_else() {
    let Some(season) = Season::new().await else { return };
    let runner = season.open().await;
    season.all["server"].commit("fail", "");
    let report = season.run(&Season::campaign("one", &runner), None).await;
    let BuildStanding::Failed { reason } = standing(&report, "server") else {
        panic!("{report:?}")
    };
    assert!(reason.contains("exit code 1"), "{reason}");
    assert_eq!(standing(&report, "web"), BuildStanding::Cancelled { because: literal("server") });
    assert_eq!(
        (standing(&report, "docs"), standing(&report, "proto")),
        (BuildStanding::Built, BuildStanding::Built)
    );
    assert_eq!(season.runs(), ["docs", "proto", "server"]);
    // Mended, only that is built which was not.
    season.all["server"].git(&["rm", "--quiet", "fail"]);
    season.all["server"].commit("version", "server 2\n");
    let mended = season.run(&Season::campaign("two", &runner), Some(&report)).await;
    assert!(mended.is_complete());
    assert_eq!(season.content(&mended, "web").await, "web 1\nproto 1\nserver 2\nproto 1\n");
    assert_eq!(season.runs(), ["docs", "proto", "server", "server", "web"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_goes_on_where_a_crash_left_it() {
    let Some(season) = Season::new().await else { return };
    let (reached, go) = (season.stage.pipe("reached"), season.stage.pipe("go"));
    season.all["server"].commit("wait", "");
    let runner = season.open().await;
    let campaign = Season::campaign("one", &runner);
    tokio::select! {
        report = season.run(&campaign, None) => panic!("{report:?}"),
        _ = reached.heard() => {}
    }
    drop((campaign, runner)); // and with them everything that knew of it
    let runner = season.open().await;
    let campaign = Season::campaign("one", &runner);
    let (report, ()) = tokio::join!(season.run(&campaign, None), go.tell());
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(season.runs(), ["docs", "proto", "server", "web"]);
    assert_eq!(season.content(&report, "web").await, "web 1\nproto 1\nserver 1\nproto 1\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_that_is_cancelled_ends_what_runs_and_begins_nothing() {
    let Some(season) = Season::new().await else { return };
    let reached: Pipe = season.stage.pipe("reached");
    let _go = season.stage.pipe("go");
    season.all["proto"].commit("wait", "");
    let runner = season.open().await;
    let (campaign, stop) = (Season::campaign("one", &runner), CancellationToken::new());
    let cancel = async {
        reached.heard().await;
        stop.cancel();
    };
    let building = season.building(BTreeMap::new());
    let (report, ()) = tokio::join!(campaign.run(building, &stop), cancel);
    assert!(report.cancelled && !report.is_complete());
    let because = literal("proto");
    assert_eq!(
        standing(&report, "proto"),
        BuildStanding::Failed { reason: "it was cancelled".into() }
    );
    assert_eq!(standing(&report, "server"), BuildStanding::Cancelled { because });
    assert!(!season.runs().contains(&"server".to_owned()));
    let tree = season.stage.folder("one/proto").join("tree");
    until("the work tree to be gone", async || exists(&tree).is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_for_fails_with_the_reason() {
    let Some(season) = Season::new().await else { return };
    let runner = season.open().await;
    let build = |name: &str| Build::new(literal(name), "docs", "assemble");
    let graph = BuildGraph::new([
        build("a-b"),
        build("a.b"),
        build("both").needing(literal("a-b")).needing(literal("a.b")),
        build("nowhere"),
        Build::new(literal("unknown"), "nobody's", "assemble"),
    ])
    .unwrap();
    let head = season.all["docs"].git(&["rev-parse", "HEAD"]);
    let sources = ["a-b", "a.b", "both", "unknown"].map(|name| (literal(name), head.clone()));
    let building = Building::new(&graph, sources.into(), BTreeMap::new(), |_| Span::secs(1));
    let campaign = Season::campaign("one", &runner);
    let report = campaign.run(building, &CancellationToken::new()).await;
    for (name, told) in [
        ("both", "rename one of them"),
        ("nowhere", "at which revision"),
        ("unknown", "no such repository"),
    ] {
        let BuildStanding::Failed { reason } = standing(&report, name) else {
            panic!("{report:?}")
        };
        assert!(reason.contains(told), "{reason}");
    }
    assert_eq!(standing(&report, "a-b"), BuildStanding::Built);
}
