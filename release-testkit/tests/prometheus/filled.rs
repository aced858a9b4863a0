//! Data that was filled in: what is counted is known to the last one.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use release_core::model::{Digest, Finite, Metric, Selector, Target};
use release_core::port::Measurement;
use release_core::time::{Span, Timestamp};
use release_providers::prometheus::{PrometheusSettings, PrometheusSource, RangeQuery};
use release_providers::samples::{Came, Fact, SeriesId};
use release_providers::spi::{MeasureRequest, MetricsSource as _};
use release_providers::{ErrorKind, ProviderError};
use release_testkit::{VirtualClock, fixtures};

use crate::real;
use crate::server::Server;

/// When all begins, in seconds since 1970; samples come every 10 seconds.
const BEGIN: i64 = 1_767_600_000;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros((BEGIN + second) * 1_000_000)
}

/// The samples of a series, one every ten seconds from `first` on; `-` is none.
fn lines(series: &str, labels: &str, first: i64, values: &str) -> String {
    let target = fixtures::target("api");
    let own = format!(
        "environment=\"{}\",region=\"{}\",service=\"api\",job=\"api\"",
        target.environment, target.region
    );
    let samples = values.split_whitespace().zip(0..).filter(|(value, _)| *value != "-");
    let mut text = String::new();
    for (value, n) in samples {
        let at = BEGIN + first + 10 * n;
        let _ = writeln!(text, "{series}{{{own},{labels}}} {value} {at}");
    }
    text
}

/// What is filled in, family by family, in the text format of `OpenMetrics`.
fn data() -> String {
    let mut text = "# TYPE r unknown\n".to_owned();
    let mut add = |labels: &str, first, values: &str| text += &lines("r", labels, first, values);
    // Of 1.0.0 and 1.1.0 one instance each; 1.1.0 fails more, and its failures are first seen in the window.
    add("version=\"1.0.0\",instance=\"a\",code=\"200\"", 0, "100 200 300 400 500 600 700");
    add("version=\"1.0.0\",instance=\"a\",code=\"500\"", 0, "1 2 3 4 5 6 7");
    add("version=\"1.1.0\",instance=\"b\",code=\"200\"", 0, "10 20 30 40 50 60 70");
    add("version=\"1.1.0\",instance=\"b\",code=\"500\"", 0, "- - - 2 3 4 5");
    // Began anew at 40, and has a gap.
    add("version=\"1.2.0\",instance=\"c\",code=\"200\"", 0, "10 20 30 - 5 15 25");
    // Two instances, of which one came in the window, and one went.
    add("version=\"1.3.0\",instance=\"d\",code=\"200\"", 0, "10 20 30 40 - - -");
    add("version=\"1.3.0\",instance=\"e\",code=\"200\"", 0, "- - - - 7 17 27");
    add("version=\"1.4.0\",instance=\"f\",code=\"200\"", 0, "10 20 30 NaN 50 60 70");
    add("version=\"1.5.0\",instance=\"g\",code=\"200\"", 0, "10 20 30 - - - -");
    add("version=\"1.6.0\",instance=\"h\",code=\"200\"", 0, "10 10 10 10 10 10 10");
    // Started in the window, as it says itself.
    add("version=\"1.7.0\",instance=\"i\",code=\"200\"", 0, "- - - 9 19 29 39");
    // One of two instances is apart.
    add("version=\"1.8.0\",instance=\"j\",code=\"200\"", 0, "10 20 30 40 50 60 70");
    let apart = "version=\"1.8.0\",instance=\"k\",track=\"baseline\",code=\"200\"";
    add(apart, 0, "5 10 15 20 25 30 35");
    text += "# TYPE process_start_time_seconds unknown\n";
    let started = (BEGIN + 25).to_string();
    let started = format!("- - - {started} {started} {started} {started}");
    text += &lines("process_start_time_seconds", "instance=\"i\"", 0, &started);
    text += "# TYPE took_bucket unknown\n";
    let mut add = |which: &str, le: &str, values: &str| {
        let labels = format!("{which},le=\"{le}\"");
        text += &lines("took_bucket", &labels, 0, values);
    };
    let (one, two) = ("version=\"1.0.0\",instance=\"a\"", "version=\"1.0.0\",instance=\"z\"");
    for (which, factor) in [(one, 1), (two, 2)] {
        let values = |each: i32| {
            (0..7).map(|n| (n * each * factor).to_string()).collect::<Vec<_>>().join(" ")
        };
        add(which, "0.1", &values(5));
        add(which, "2.5", &values(8));
        add(which, "+Inf", &values(10));
    }
    add("version=\"1.1.0\",instance=\"b\"", "0.1", "0 1 2 3 4 5 6");
    add("version=\"1.1.0\",instance=\"b\"", "+Inf", "0 1 2 3 4 5 6");
    add("version=\"1.1.0\",instance=\"y\"", "0.5", "0 1 2 3 4 5 6");
    add("version=\"1.1.0\",instance=\"y\"", "+Inf", "0 1 2 3 4 5 6");
    for (name, values) in
        [("took_sum", "0 1.5 3 4.5 6 7.5 9"), ("took_count", "0 10 20 30 40 50 60")]
    {
        let _ = writeln!(text, "# TYPE {name} unknown");
        text += &lines(name, one, 0, values);
    }
    text + "# EOF\n"
}

pub(crate) async fn filled() -> Option<Server> {
    let (program, tool) = (real::find("prometheus")?, real::find("promtool")?);
    let mut server = Server::new(&program);
    let (text, blocks) =
        (server.directory.path().join("data.txt"), server.directory.path().join("data"));
    std::fs::write(&text, data()).unwrap();
    let filled = Command::new(tool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&text, &blocks])
        .output()
        .unwrap();
    assert!(filled.status.success(), "{filled:?}");
    server.start("global: {}\n").await.unwrap();
    Some(server)
}

/// A source whose clock stands at second 65.
pub(crate) fn source(server: &Server) -> PrometheusSource {
    let mut settings = PrometheusSettings::new(format!("http://{}", server.address));
    (settings.scrape_interval_ms, settings.staleness_ms) = (10_000, 30_000);
    PrometheusSource::new(settings, None, Arc::new(VirtualClock::at(at(65)))).unwrap()
}

struct Asked {
    source: PrometheusSource,
    digest: Digest,
    target: Target,
}

impl Asked {
    async fn measure(
        &self,
        version: &str,
        since: i64,
        metric: Metric,
    ) -> Result<Measurement, ProviderError> {
        let mut cx = fixtures::context("measure");
        cx.deadline = at(65).plus(Span::secs(60));
        let (target, version) = (self.target.clone(), fixtures::version(version));
        let request = MeasureRequest::new(target, self.digest, version, metric, at(since));
        self.source.measure(&cx, request).await
    }

    async fn no_data(&self, version: &str, since: i64, metric: Metric, why: &str) {
        match self.measure(version, since, metric).await.unwrap() {
            Measurement::NoData { reason } => assert!(reason.contains(why), "{reason}"),
            other => assert_eq!(why, format!("{version}: {other:?}")),
        }
    }
}

pub(crate) fn failures() -> Metric {
    Metric::Ratio {
        numerator: Selector::series("r").label("code", "500"),
        denominator: Selector::series("r"),
    }
}

fn number(number: f64) -> Finite {
    Finite::new(number).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_exact() {
    let Some(server) = filled().await else { return };
    let (source, target) = (source(&server), fixtures::target("api"));
    let asked = Asked { source, digest: Digest::of(b"x"), target };
    let total =
        || Metric::Ratio { numerator: Selector::series("r"), denominator: Selector::series("r") };
    for (version, since, metric, want) in [
        ("1.0.0", 20, failures(), [4.0, 404.0]), // up to 60
        ("1.0.0", 25, failures(), [4.0, 404.0]), // the base is that of 20
        ("1.0.0", 0, failures(), [6.0, 606.0]),
        ("1.1.0", 20, failures(), [5.0, 45.0]), // failures from zero: not there at 20
        ("1.1.0", 30, failures(), [3.0, 33.0]),
        ("1.2.0", 20, total(), [25.0, 25.0]), // 5 anew, and 20 more
        ("1.3.0", 20, total(), [30.0, 30.0]), // 20 until it went, 20 since the other was seen
        ("1.7.0", 20, total(), [39.0, 39.0]), // the process began in the window
        ("1.7.0", 28, total(), [30.0, 30.0]), // and here before it
        ("1.4.0", 45, total(), [20.0, 20.0]), // NaN was before
    ] {
        let digest = asked.digest;
        let [numerator, denominator] = want.map(number);
        let want = Measurement::Ratio { digest, numerator, denominator };
        let got = asked.measure(version, since, metric).await.unwrap();
        assert_eq!(got, want, "{version} since {since}");
    }
    asked.no_data("1.4.0", 20, total(), "NaN").await;
    asked.no_data("1.5.0", 10, total(), "45s old").await;
    asked.no_data("1.6.0", 20, total(), "has not grown").await;
    asked.no_data("1.6.0", 20, failures(), "has not grown").await;
    asked.no_data("9.9.9", 20, total(), "no sample of `r`").await;
    let mistyped = Metric::Ratio {
        numerator: Selector::series("r").label("cod", "500"),
        denominator: Selector::series("r"),
    };
    asked.no_data("1.0.0", 20, mistyped, "label `cod`").await;
    let mean =
        Metric::Mean { sum: Selector::series("took_sum"), count: Selector::series("took_count") };
    let (digest, numerator, denominator) = (asked.digest, number(6.0), number(40.0));
    let want = Measurement::Ratio { digest, numerator, denominator };
    assert_eq!(asked.measure("1.0.0", 20, mean).await.unwrap(), want);
    let mut elsewhere = asked;
    elsewhere.target = fixtures::target("nobody");
    let error = elsewhere.measure("1.0.0", 20, total()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_and_queries_are_of_one_version() {
    let Some(server) = filled().await else { return };
    let (source, target) = (source(&server), fixtures::target("api"));
    let asked = Asked { source, digest: Digest::of(b"x"), target };
    let quantile =
        || Metric::Quantile { histogram: Selector::series("took"), quantile: number(0.9) };
    let Measurement::Histogram { buckets, .. } =
        asked.measure("1.0.0", 20, quantile()).await.unwrap()
    else {
        panic!("no histogram");
    };
    let found: Vec<_> =
        buckets.iter().map(|b| (b.at_most.map(Finite::get), b.count.get())).collect();
    assert_eq!(found, [(Some(0.1), 60.0), (Some(2.5), 96.0), (None, 120.0)]);
    asked.no_data("1.1.0", 20, quantile(), "different buckets").await;
    let query = |query: &str| Metric::Query { query: query.to_owned() };
    for (text, value, second) in [
        ("r{version=\"{{version}}\",code=\"500\"}", 7.0, 60),
        ("sum(r{version=\"{{version}}\",service='{{service}}'}) + {{window}}", 752.0, 60),
        ("scalar(sum(r{version=`{{version}}`}))", 707.0, 60),
        // A range: of the window, every ten seconds.
        ("max_over_time(sum(r{version=\"{{version}}\"})[{{window}}s:10s])", 707.0, 60),
    ] {
        let (digest, value, at) = (asked.digest, number(value), at(second));
        let want = Measurement::Value { digest, value, at };
        assert_eq!(asked.measure("1.0.0", 20, query(text)).await.unwrap(), want, "{text}");
    }
    asked.no_data("1.0.0", 20, query("r{version=\"{{version}}\"}"), "found 2 samples").await;
    asked.no_data("1.0.0", 20, query("r{version=\"1.1.0\",code=\"500\"}"), "of another one").await;
    asked.no_data("1.0.0", 20, query("nothing"), "found nothing").await;
    asked.no_data("1.0.0", 20, query("count(r{version=\"{{version}}\"}) / 0"), "inf").await;
    asked.no_data("1.0.0", 20, query("r[1m]"), "ranges").await;
    asked.no_data("1.5.0", 20, query("sum(r{version=\"{{version}}\"})"), "45s old").await;
    asked
        .no_data(
            "9.9.9",
            20,
            query("vector(1) or r{version=\"{{version}}\"}"),
            "nobody knows how old",
        )
        .await;
    // Nor what may be another version's.
    let other = "sum(r{version=\"1.1.0\"})";
    for bad in ["sum(", "r{version=\"{{versoin}}\"}", "sum(r)", other] {
        let error = asked.measure("1.0.0", 20, query(bad)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_need_not_say_the_version_where_its_answer_does_or_the_settings_allow_it() {
    let Some(server) = filled().await else { return };
    let (source, target) = (source(&server), fixtures::target("api"));
    let asked = Asked { source, digest: Digest::of(b"x"), target };
    let query = |query: &str| Metric::Query { query: query.to_owned() };
    let told = query("sum by (version) (r{version=\"1.0.0\"})");
    let value = |told: f64, digest| Measurement::Value { digest, value: number(told), at: at(60) };
    assert_eq!(asked.measure("1.0.0", 20, told).await.unwrap(), value(707.0, asked.digest));
    let mut settings = PrometheusSettings::new(format!("http://{}", server.address));
    (settings.scrape_interval_ms, settings.staleness_ms) = (10_000, 30_000);
    let clock = Arc::new(VirtualClock::at(at(65)));
    let any = PrometheusSource::new(settings.any_version(true), None, clock).unwrap();
    let asked = Asked { source: any, ..asked };
    let own = asked.measure("1.0.0", 20, query("sum(r{version=\"1.0.0\"})")).await.unwrap();
    assert_eq!(own, value(707.0, asked.digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_is_told_by_its_label_or_there_is_no_data() {
    let Some(server) = filled().await else { return };
    let total =
        || Metric::Ratio { numerator: Selector::series("r"), denominator: Selector::series("r") };
    let whole = fixtures::target("api");
    let on = |track: &str| whole.clone().on(fixtures::literal(track));
    let at_target =
        |target: Target| Asked { source: source(&server), digest: Digest::of(b"x"), target };
    let [stable, baseline, nobody] = [whole.clone(), on("baseline"), on("nobody")].map(at_target);
    assert!(baseline.source.describe().abilities.tracks);
    for (asked, version, grown) in
        [(&stable, "1.8.0", 40.0), (&baseline, "1.8.0", 20.0), (&stable, "1.0.0", 404.0)]
    {
        let (digest, grown) = (asked.digest, number(grown));
        let want = Measurement::Ratio { digest, numerator: grown, denominator: grown };
        assert_eq!(asked.measure(version, 20, total()).await.unwrap(), want, "{version}");
    }
    // Never a mixture, and never what is there instead.
    baseline.no_data("1.0.0", 20, total(), "on track `baseline`").await;
    nobody.no_data("1.8.0", 20, total(), "on track `nobody`").await;
    let query = |query: &str| Metric::Query { query: query.to_owned() };
    let own = "sum(r{version=\"{{version}}\",track=\"{{track}}\"})";
    let told = "sum by (track) (r{version=\"{{version}}\",instance=\"k\"})";
    for (asked, text, value) in
        [(&stable, own, 70.0), (&baseline, own, 35.0), (&baseline, told, 35.0)]
    {
        let want = Measurement::Value { digest: asked.digest, value: number(value), at: at(60) };
        assert_eq!(asked.measure("1.8.0", 20, query(text)).await.unwrap(), want, "{text}");
    }
    let all = "sum(r{version=\"{{version}}\"})";
    baseline.no_data("1.8.0", 20, query(all), "does not say `{{track}}`").await;
    stable.no_data("1.8.0", 20, query(told), "of another one").await;

    let mut settings = PrometheusSettings::new(format!("http://{}", server.address));
    settings.labels.track = None;
    let clock = Arc::new(VirtualClock::at(at(65)));
    let source = PrometheusSource::new(settings, None, clock).unwrap();
    assert!(!source.describe().abilities.tracks);
    let untold = Asked { source, digest: Digest::of(b"x"), target: on("baseline") };
    let refused = untold.measure("1.8.0", 20, total()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
}

/// What a range tells, each fact in a word or its number.
async fn range(
    source: &PrometheusSource,
    query: &str,
) -> Result<Vec<(SeriesId, Vec<String>)>, ProviderError> {
    let mut cx = fixtures::context("range");
    cx.deadline = at(65).plus(Span::secs(60));
    let asked = RangeQuery::new(query, at(0), at(60), Span::secs(10));
    let told = |fact: &Fact| match fact {
        Fact::Number { value, came: Came::InOrder, .. } => value.get().to_string(),
        Fact::NotANumber { at: when } => format!("NaN at {}", when.since(at(0))),
        Fact::Infinite { negative: false, .. } => "inf".to_owned(),
        Fact::Gap { after, until } => format!("gap of {}", until.since(*after)),
        Fact::Stale { age, .. } => format!("stale for {age}"),
        other => format!("{other:?}"),
    };
    let found = source.range(&cx, &asked).await?;
    Ok(found.into_iter().map(|one| (one.series, one.facts.iter().map(told).collect())).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_tells_what_is_wrong_with_a_curve() {
    let Some(server) = filled().await else { return };
    let source = source(&server);
    for (query, want) in [
        ("sum(r{version=\"1.0.0\",code=\"200\"})", "100 200 300 400 500 600 700"),
        ("last_over_time(r{version=\"1.2.0\"}[9s])", "10 20 30 gap of 20s 5 15 25"),
        ("r{version=\"1.4.0\"}", "10 20 30 NaN at 30s 50 60 70"),
        ("last_over_time(r{version=\"1.5.0\"}[9s])", "10 20 30 stale for 40s"),
        ("sum(r{version=\"1.6.0\"}) / 0", "inf inf inf inf inf inf inf"),
        ("sum(r{version=\"9.9.9\"})", "nothing"),
    ] {
        let found = range(&source, query).await.unwrap();
        let told = found.first().map_or("nothing".to_owned(), |(_, facts)| facts.join(" "));
        assert_eq!((told.as_str(), found.len()), (want, usize::from(want != "nothing")), "{query}");
    }
    let both = range(&source, "sum by (code) (r{version=\"1.0.0\"})").await.unwrap();
    let codes: Vec<_> = both.iter().map(|(series, _)| series.to_string()).collect();
    assert_eq!(codes, ["{code=\"200\"}", "{code=\"500\"}"]);
    let refused = range(&source, "sum(").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    let cx = fixtures::context("range");
    for (until, step, why) in [
        (at(60), 0, "step of zero"),
        (at(-1), 10, "before it begins"),
        (at(20_000), 1, "more than the 11000"),
    ] {
        let asked = RangeQuery::new("r", at(0), until, Span::secs(step));
        let error = source.range(&cx, &asked).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(why), "{error}");
    }
}
