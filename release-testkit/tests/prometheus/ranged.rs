//! Ranges over a real Prometheus: what a look is told of a curve, and a scorecard that ranks the points of two versions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use release_core::analysis::netflix::{CanaryConfig, NetflixAca, Samples, Verdict};
use release_core::analysis::{Conclusion, Trial};
use release_core::model::{
    Analysis, Digest, Finite, Judge, Metric, ScoreMethod, Scorecard, Scored, Target,
};
use release_core::plan::{Action, Beside, Deployment};
use release_core::port::{Evidence, Measurement, Pair, Point};
use release_core::time::{Span, Timestamp};
use release_providers::prometheus::{PrometheusSettings, PrometheusSource};
use release_providers::spi::{MeasureRequest, MetricsSource as _};
use release_providers::{ErrorKind, ProviderError};
use release_testkit::{VirtualClock, fixtures};

use crate::filled::{at, filled, source};
use crate::real;
use crate::server::Server;

const STEP: u64 = 10;

fn range(query: &str, over: u64) -> Metric {
    Metric::Range { query: query.to_owned(), step: Span::secs(STEP), over: Span::secs(over) }
}

async fn measure(
    source: &PrometheusSource,
    (target, version): (&Target, &str),
    since: Timestamp,
    metric: Metric,
) -> Result<Measurement, ProviderError> {
    let mut cx = fixtures::context("measure");
    cx.deadline = at(100_000);
    let (digest, version) = (Digest::of(version.as_bytes()), fixtures::version(version));
    source.measure(&cx, MeasureRequest::new(target.clone(), digest, version, metric, since)).await
}

/// The facts of an answer, each in a word or its number.
fn told(measured: &Measurement) -> String {
    let fact = |point: &Point| match point {
        Point::Number { value, late: false, .. } => value.to_string(),
        Point::NotANumber { at: when } => format!("none at {}", when.since(at(0))),
        Point::Gap { after, until } => format!("gap of {}", until.since(*after)),
        Point::Stale { newest } => format!("stale since {}", newest.since(at(0))),
        other => format!("{other:?}"),
    };
    match measured {
        Measurement::Points { points, .. } => points.iter().map(fact).collect::<Vec<_>>().join(" "),
        Measurement::NoData { reason } => format!("no data: {reason}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_is_told_every_point_of_its_window_and_what_is_none() {
    let Some(server) = filled().await else { return };
    // Its clock stands at second 65.
    let (source, target) = (source(&server), fixtures::target("api"));
    let own = "sum(r{version=\"{{version}}\",code=\"200\"})";
    let raw = "last_over_time(r{version=\"{{version}}\"}[9s])";
    for (version, since, over, query, want) in [
        ("1.0.0", 0, 60, own, "200 300 400 500 600 700"),
        // No further back than the range, nor than the window.
        ("1.0.0", 0, 30, own, "500 600 700"),
        ("1.0.0", 45, 60, own, "600 700"),
        ("1.2.0", 0, 65, raw, "10 20 30 gap of 20s 5 15 25"),
        ("1.4.0", 0, 60, raw, "20 30 none at 30s 50 60 70"),
        (
            "1.0.0",
            40,
            60,
            "sum(r{version=\"{{version}}\"}) / 0",
            "none at 40s none at 50s none at 1m",
        ),
    ] {
        let found = measure(&source, (&target, version), at(since), range(query, over)).await;
        assert_eq!(told(&found.unwrap()), want, "{version} {query}");
    }
    for (version, query, why) in [
        ("1.0.0", "r{version=\"{{version}}\"}", "found 2 series"),
        ("1.0.0", "r{version=\"1.1.0\",code=\"500\"}", "of another one"),
        ("1.0.0", "nothing{version=\"{{version}}\"}", "found nothing"),
        // Nobody tells anything of it any more.
        ("1.5.0", own, "old"),
        ("9.9.9", "vector(1) or r{version=\"{{version}}\"}", "nobody knows how old"),
    ] {
        let found = measure(&source, (&target, version), at(0), range(query, 60)).await.unwrap();
        assert!(told(&found).contains(why), "{why}: {found:?}");
    }
    // Nor what may be another version's.
    let other = "sum(r{version=\"1.1.0\"})";
    for bad in ["sum(", "r{version=\"{{versoin}}\"}", "sum(r)", other] {
        let error = measure(&source, (&target, "1.0.0"), at(0), range(bad, 60)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    // Of what is on a track only what says so.
    let apart = target.clone().on(fixtures::literal("baseline"));
    let on = "sum(r{version=\"{{version}}\",track=\"{{track}}\"})";
    for (query, want) in [(on, "25 30 35"), (own, "does not say `{{track}}`")] {
        let found = measure(&source, (&apart, "1.8.0"), at(40), range(query, 60)).await.unwrap();
        assert!(told(&found).contains(want), "{want}: {found:?}");
    }
}

/// So long a curve is, in steps.
const LONG: u64 = 60;

/// Response times, the same for the same step.
fn took(step: u64, other: u64) -> f64 {
    1.0 + f64::from(u32::try_from((step * 37 + other * 11) % 23).unwrap()) / 50.0
}

/// What each version measures at a step. The second one has gaps, and a number that is none.
fn curve(version: &str, step: u64) -> Option<f64> {
    match (version, step) {
        ("1.0.0", _) => Some(took(step, 5)),
        ("1.1.0", 20 | 21) => None,
        ("1.1.0", 30) => Some(f64::NAN),
        ("1.1.0", _) => Some(took(step, 0)),
        _ => Some(3.0 * took(step, 0)),
    }
}

/// A Prometheus with these curves.
async fn curves() -> Option<Server> {
    let (program, tool) = (real::find("prometheus")?, real::find("promtool")?);
    let mut server = Server::new(&program);
    let root = server.directory.path();
    let (text, blocks) = (root.join("data.txt"), root.join("data"));
    let target = fixtures::target("api");
    let mut data = "# TYPE took unknown\n".to_owned();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        for (step, value) in (1..=LONG).filter_map(|step| Some((step, curve(version, step)?))) {
            let seconds = at(i64::try_from(step * STEP).unwrap()).as_micros() / 1_000_000;
            let value = if value.is_nan() { "NaN".to_owned() } else { value.to_string() };
            let _ = writeln!(
                data,
                "took{{environment=\"{}\",region=\"{}\",service=\"api\",version=\"{version}\"}} {value} {seconds}",
                target.environment, target.region
            );
        }
    }
    std::fs::write(&text, data + "# EOF\n").unwrap();
    let filled = Command::new(tool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&text, &blocks])
        .output()
        .unwrap();
    assert!(filled.status.success(), "{filled:?}");
    server.start("global: {}\n").await.unwrap();
    Some(server)
}

/// What ranks the points of the last two minutes at each of ten looks, a minute apart: each minute is seen twice.
fn card() -> Scorecard {
    let query = "last_over_time(took{version=\"{{version}}\"}[9s])";
    Scorecard {
        method: ScoreMethod::NetflixAca { seed: 7 },
        metrics: vec![Scored::new("took", "users", range(query, 120))],
        group_weights: BTreeMap::new(),
        pass: Finite::new(95.0).unwrap(),
        marginal: Finite::new(75.0).unwrap(),
        every: None,
    }
}

fn deployed(version: &str) -> Deployment {
    let artifact = fixtures::artifact("api", version);
    Deployment { target: fixtures::target("api"), artifact, version: fixtures::version(version) }
}

/// What one look at a version is told, by a source whose clock stands there.
async fn seen(server: &Server, of: &Deployment, look: u64, metric: Metric) -> Measurement {
    let now = at(i64::try_from(look * 60).unwrap());
    let mut settings = PrometheusSettings::new(format!("http://{}", server.address));
    (settings.scrape_interval_ms, settings.staleness_ms) = (10_000, 30_000);
    let clock = Arc::new(VirtualClock::at(now));
    let source = PrometheusSource::new(settings, None, clock).unwrap();
    let mut cx = fixtures::context("look");
    cx.deadline = at(100_000);
    let Deployment { target, artifact, version } = of.clone();
    let request = MeasureRequest::new(target, artifact.digest(), version, metric, at(1));
    source.measure(&cx, request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scorecard_ranks_the_points_of_curves_as_kayenta_does_at_once() {
    let Some(server) = curves().await else { return };
    for (version, verdict, conclusion) in [
        ("1.1.0", Verdict::Pass, Conclusion::Healthy),
        ("1.2.0", Verdict::Fail, Conclusion::Regressed),
    ] {
        let (new, old, card) = (deployed(version), deployed("1.0.0"), card());
        let metric = card.metrics[0].metric.clone();
        let config = CanaryConfig::from(&card);
        let looks = LONG / 6;
        let analysis = Analysis {
            interval: Span::secs(60),
            count: u32::try_from(looks).unwrap(),
            ..Analysis::judged(fixtures::literal("score"), metric.clone(), Judge::Scorecard(card))
        };
        let mut trial = Trial::new(Action::Analyze {
            deployment: new.clone().into(),
            analysis: Arc::new(analysis),
            from: None,
            beside: Some(Box::new(Beside::new(old.clone(), 50))),
            until: None,
        })
        .unwrap();
        let mut last = None;
        for look in 1..=looks {
            let canary = seen(&server, &new, look, metric.clone()).await;
            let baseline = seen(&server, &old, look, metric.clone()).await;
            let evidence = Evidence::Comparisons { of: vec![Pair { canary, baseline }] };
            let now = at(i64::try_from(look * 60).unwrap());
            last = Some(trial.look(now, &evidence).unwrap().0);
        }
        let whole = |version: &str| -> Vec<f64> {
            (1..=LONG).map(|step| curve(version, step).unwrap_or(f64::NAN)).collect()
        };
        let samples = Samples { experiment: whole(version), control: whole("1.0.0") };
        let at_once =
            NetflixAca::new(7).judge(&config, &BTreeMap::from([("took".to_owned(), samples)]));
        let found = last.unwrap();
        assert_eq!((at_once.verdict, found.conclusion), (verdict, conclusion), "{version}");
        let (part, want) = (&found.parts[0], &at_once.metrics[0]);
        for (got, want) in
            [(part.estimate, want.estimate), (part.low, want.lower), (part.high, want.upper)]
        {
            let bits = |value: f64| (value + 0.0).to_bits();
            assert_eq!(got.map(|got| bits(got.get())), want.map(bits), "{version}: {part:?}");
        }
    }
}
