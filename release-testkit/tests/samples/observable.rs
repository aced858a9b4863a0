//! Whether what is to judge a release was measured: asked of the registry, and so of the sources, before its run begins.

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::engine::{Engine, EngineError};
use release_core::journal::MemoryJournal;
use release_core::model::{
    Analysis, Bound, Canary, CanaryStep, Definition, Finite, Judge, Metric, RunId, Selector,
    Strategy, Target, Threshold, Unit, VersionSet,
};
use release_core::plan::plan;
use release_core::port::Clock;
use release_core::time::{Span, Timestamp};
use release_providers::samples::{
    Arrival, SampleFeed, ScrapeSettings, ScrapedSource, SeriesId, TapeSettings, feed,
};
use release_providers::{ErrorKind, NotObservable, ProviderSelector, Registry, SystemClock};
use release_testkit::VirtualClock;
use release_testkit::fakes::FakePlatform;
use release_testkit::fixtures::{self, ALL_REQUESTS, FAILED_REQUESTS};

use crate::exporter::{Exporter, Mode};

const SUM: &str = "took_seconds_sum";
const COUNT: &str = "took_seconds_count";
const SERIES: [&str; 4] = [SUM, COUNT, FAILED_REQUESTS, ALL_REQUESTS];

/// A canary from 1.0.0 to 1.1.0, judged by how long requests take, and by how many of them fail.
fn judged() -> Definition {
    let id = || fixtures::literal("latency");
    let step = CanaryStep { analyses: vec![id()], ..CanaryStep::new(50, Span::secs(60)) };
    let mut definition = fixtures::one_service(Strategy::Canary(Canary::new(vec![step])), 2);
    let [sum, count] = [SUM, COUNT].map(Selector::series);
    let limit = Threshold::new(Bound::AtMost(Finite::new(0.5).unwrap())).of(Unit::Seconds);
    let latency = Analysis::judged(id(), Metric::Mean { sum, count }, Judge::Threshold(limit));
    definition.analyses.push(Analysis { min_samples: 20, ..latency });
    definition
}

async fn ask(
    registry: &Registry,
    now: Timestamp,
    definition: &Definition,
) -> Result<BTreeSet<Target>, Vec<NotObservable>> {
    let mut cx = fixtures::context("observable");
    cx.deadline = now.plus(Span::secs(60));
    registry.observable(&cx, &plan(definition).unwrap()).await
}

/// Which analyses their sources have nothing for, and what is said of each.
fn missing(found: Result<BTreeSet<Target>, Vec<NotObservable>>) -> Vec<(String, String)> {
    let each = found.err().into_iter().flatten().map(|problem| match &problem {
        NotObservable::Unobservable { criterion, .. } => {
            (criterion.analysis.to_string(), problem.to_string())
        }
        other => panic!("{other}"),
    });
    each.collect()
}

/// A feed whose source is asked at second 1,000.
struct Fed {
    feed: SampleFeed,
    registry: Registry,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

impl Fed {
    fn set() -> Self {
        let clock = Arc::new(VirtualClock::at(at(1_000)));
        let (feed, source) = feed(TapeSettings::every(Span::secs(10)), clock.clone()).unwrap();
        let registry = Registry::builder(clock)
            .metrics(ProviderSelector::everywhere(), Arc::new(source))
            .build()
            .unwrap();
        Self { feed, registry }
    }

    /// Of an instance of that version, each series grows by so much every ten seconds, until that one.
    fn tells(&self, version: &str, series: &[&str], each: u32, until: i64) {
        for name in series {
            let (target, version) = (fixtures::target("api"), fixtures::version(version));
            let id = SeriesId::of(*name, &target, &version, "a");
            for n in 0..=10 {
                let (when, value) = (at(until - 100 + 10 * i64::from(n)), f64::from(n * each));
                assert_eq!(self.feed.push(&id, when, value), Arrival::InOrder);
            }
        }
    }
}

/// The version and the series that are told of, how fast and until when, and the analyses that are missed with what is said.
type Case<'a> = (&'a str, &'a [&'a str], u32, i64, Vec<(&'a str, &'a str)>);

#[tokio::test]
async fn each_metric_that_was_not_measured_of_the_old_version_is_told_at_once() {
    let (latency, errors) = ("latency", "error-rate");
    let no_sample = "with version `1.0.0`";
    let (named, stale) = (&SERIES[2..], "the newest sample is 40s old");
    let cases: [Case<'_>; 6] = [
        ("1.0.0", &SERIES, 10, 1_000, vec![]),
        ("1.0.0", named, 10, 1_000, vec![(latency, no_sample)]),
        ("1.1.0", &SERIES, 10, 1_000, vec![(latency, no_sample), (errors, no_sample)]),
        ("1.0.0", &[], 10, 1_000, vec![(latency, "no series"), (errors, "no series")]),
        (
            "1.0.0",
            &SERIES,
            2,
            1_000,
            vec![
                (latency, "there were 16 samples of the 20 that it needs"),
                (errors, "there were 16 samples of the 20 that it needs"),
            ],
        ),
        ("1.0.0", &SERIES, 10, 960, vec![(latency, stale), (errors, stale)]),
    ];
    for (version, series, each, until, wanted) in cases {
        let fed = Fed::set();
        fed.tells(version, series, each, until);
        let found = missing(ask(&fed.registry, at(1_000), &judged()).await);
        assert_eq!(found.len(), wanted.len(), "{found:?}");
        for ((analysis, text), (of, why)) in found.iter().zip(wanted) {
            assert_eq!(analysis, of);
            let asked = if of == latency {
                format!("`sample_feed` for the mean of `{SUM}` by `{COUNT}` of version 1.0.0")
            } else {
                format!("`sample_feed` for the ratio of `{FAILED_REQUESTS}` to `{ALL_REQUESTS}`")
            };
            for said in [why, asked.as_str(), "production/eu/api", "in the last 1m 11s", "mend"] {
                assert!(text.contains(said), "`{said}` is not in: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_first_release_is_judged_by_nothing_and_others_need_a_source() {
    let mut first = fixtures::one_service(Strategy::Recreate, 2);
    first.release.previous = VersionSet::new();
    let fed = Fed::set();
    // It is judged by nothing where nothing served before.
    assert_eq!(ask(&fed.registry, at(1_000), &first).await.unwrap(), BTreeSet::new());
    let nobody = Registry::builder(Arc::new(VirtualClock::at(at(1_000)))).build().unwrap();
    assert_eq!(ask(&nobody, at(1_000), &first).await.unwrap(), BTreeSet::new());
    let problems = ask(&nobody, at(1_000), &judged()).await.unwrap_err();
    assert_eq!(problems.len(), judged().analyses.len(), "{problems:?}");
    for problem in problems {
        assert!(matches!(problem, NotObservable::Unbound(_)), "{problem}");
        assert!(problem.to_string().contains("no metrics source is registered"), "{problem}");
    }
}

/// The engine asks by itself where that is wanted: what nobody could judge does not begin, and leaves nothing in the journal.
#[test]
fn a_run_that_nobody_could_judge_does_not_begin() {
    for (wanted, told) in [(true, false), (true, true), (false, false)] {
        let clock = Arc::new(VirtualClock::at(at(1_000)));
        let dynamic: Arc<dyn Clock> = clock.clone();
        let FakePlatform { artifacts, deployer, router, health, .. } = FakePlatform::on(&dynamic);
        let (feed, tape) = feed(TapeSettings::every(Span::secs(10)), clock.clone()).unwrap();
        let everywhere = ProviderSelector::everywhere;
        let registry = Registry::builder(clock.clone())
            .artifacts(artifacts)
            .deployer(everywhere(), deployer)
            .router(everywhere(), router)
            .health(everywhere(), health)
            .metrics(everywhere(), Arc::new(tape))
            .build()
            .unwrap()
            .judged(wanted);
        let source = Fed { feed, registry };
        if told {
            source.tells("1.0.0", &SERIES, 10, 1_000);
        }
        let engine = Engine::builder(Arc::new(MemoryJournal::new()), Arc::new(source.registry))
            .clock(clock.clone())
            .build();
        let run: RunId = fixtures::literal("r-1");
        let work = async {
            let plan = plan(&judged()).unwrap();
            let begun = engine.start(run.clone(), plan, fixtures::requester()).await;
            (begun.map(drop), engine.load(&run).await.map(drop))
        };
        let (begun, loaded) = clock.run(work).unwrap();
        if told || !wanted {
            assert_eq!((begun, loaded), (Ok(()), Ok(())));
            continue;
        }
        assert_eq!(loaded, Err(EngineError::NotFound { run }));
        let Err(EngineError::Unobservable(missing)) = begun else { panic!("{begun:?}") };
        let named: Vec<_> = missing.iter().map(|one| one.analysis.as_str()).collect();
        assert_eq!(named, ["latency", "error-rate"]);
        assert!(missing.iter().all(|one| one.why.contains("no series")), "{missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_down_is_not_one_without_data() {
    let (exporter, clock) = (Exporter::open(), Arc::new(SystemClock::new()));
    let says = |count: u32| {
        let lines = SERIES.map(|name| format!("{name}{{version=\"1.0.0\"}} {count}\n"));
        exporter.set(Mode::Says(lines.concat()));
    };
    says(100);
    let url = format!("http://{}/metrics", exporter.address);
    let settings = ScrapeSettings::new().target(fixtures::target("api"), [url]);
    let source = ScrapedSource::new(settings, clock.clone()).unwrap();
    let registry = Registry::builder(clock.clone())
        .metrics(ProviderSelector::everywhere(), Arc::new(source))
        .build()
        .unwrap();
    // Nothing has grown yet since it is scraped.
    let found = missing(ask(&registry, clock.now(), &judged()).await);
    let [(latency, _), (errors, _)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((latency.as_str(), errors.as_str()), ("latency", "error-rate"));
    says(150);
    assert_eq!(ask(&registry, clock.now(), &judged()).await.unwrap(), BTreeSet::new());
    exporter.set(Mode::HangsUp);
    let problems = ask(&registry, clock.now(), &judged()).await.unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    for problem in &problems {
        let NotObservable::NotAsked { error, provider, .. } = problem else { panic!("{problem}") };
        assert_eq!((error.kind(), provider.as_str()), (ErrorKind::Unavailable, "text_endpoint"));
        assert!(problem.to_string().contains("is not known, so ask again"), "{problem}");
    }
}
