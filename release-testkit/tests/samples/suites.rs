//! The conformance suite over the text endpoint, the file and the feed.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use release_core::model::{Digest, Target};
use release_core::port::Clock as _;
use release_core::time::{Span, Timestamp};
use release_providers::SystemClock;
use release_providers::samples::{
    Arrival, FedSource, FileFormat, FileSource, SampleFeed, ScrapeSettings, ScrapedSource,
    TapeSettings, feed,
};
use release_providers::spi::{MeasureRequest, MetricsSource};
use release_testkit::conformance::metrics_source::{Counters, MetricsSourceSandbox};
use release_testkit::conformance::{HookError, Level, Trouble, metrics_source};
use release_testkit::{VirtualClock, fixtures};
use tempfile::TempDir;

use crate::exporter::{Exporter, Mode};
use crate::service::Service;

fn counters() -> Counters {
    counters_at(fixtures::target("api"))
}

fn counters_at(target: Target) -> Counters {
    Counters::new(target, Digest::of(b"x"), fixtures::version("1.1.0"), Service::ratio())
}

/// An exporter, and a source that scrapes it.
#[derive(Debug)]
struct Scraped {
    exporter: Exporter,
    source: ScrapedSource,
}

impl Scraped {
    async fn set() -> Self {
        let exporter = Exporter::open();
        let url = format!("http://{}/metrics", exporter.address);
        let settings = ScrapeSettings::new().target(fixtures::target("api"), [url]);
        let source = ScrapedSource::new(settings, Arc::new(SystemClock::new())).unwrap();
        let stage = Self { exporter, source };
        stage.change(|_| {}).await.unwrap();
        stage.change(|service| service.count(0, 1)).await.unwrap();
        stage
    }

    /// Returns once the source has seen it.
    async fn change(&self, change: impl FnOnce(&mut Service)) -> Result<(), HookError> {
        change(&mut self.exporter.service.lock().unwrap());
        let mut cx = fixtures::context("seen");
        cx.deadline = SystemClock::new().now().plus(Span::secs(30));
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let (digest, since) = (Digest::of(b"x"), Timestamp::default());
        let request = MeasureRequest::new(target, digest, version, Service::ratio(), since);
        self.source.measure(&cx, request).await?;
        Ok(())
    }
}

async fn scraped() -> MetricsSourceSandbox {
    let stage = Arc::new(Scraped::set().await);
    let [counting, observing] = [(); 2].map(|()| Arc::clone(&stage));
    let counters = counters()
        .of_a_list()
        .count(move |part, whole| {
            let stage = Arc::clone(&counting);
            async move { stage.change(|service| service.count(part, whole)).await }
        })
        .observing("duration", move |values| {
            let stage = Arc::clone(&observing);
            async move { stage.change(|service| service.observed.extend(values)).await }
        });
    let troubles = [
        (Trouble::OutOfReach, Mode::HangsUp),
        (Trouble::Stalled, Mode::Stalls),
        (Trouble::Denied, Mode::Refuses("401 Unauthorized")),
        (Trouble::Throttled, Mode::Refuses("429 Too Many Requests")),
    ];
    let sandbox = metrics_source::sandbox(Arc::new(stage.source.clone()), counters);
    troubles.into_iter().fold(sandbox, |sandbox, (trouble, mode)| {
        let stage = Arc::clone(&stage);
        sandbox.trouble(trouble, move |comes| {
            stage.exporter.set(if comes { mode.clone() } else { Mode::Serves });
            std::future::ready(Ok(()))
        })
    })
}

/// A service that tells its samples every second, by a clock of its own.
#[derive(Debug)]
struct Recorded<R> {
    clock: Arc<VirtualClock>,
    service: Mutex<Service>,
    recorder: R,
}

/// Where samples of a moment go.
trait Recorder: Send + Sync + 'static {
    fn record(&self, at: Timestamp, service: &Service) -> Result<(), HookError>;
}

impl<R: Recorder> Recorded<R> {
    fn begin(clock: Arc<VirtualClock>, recorder: R) -> Arc<Self> {
        let service = Mutex::new(Service { all: 10, ..Service::default() });
        let stage = Self { clock, service, recorder };
        stage.change(|_| {}).unwrap();
        stage.change(|service| service.count(0, 1)).unwrap();
        Arc::new(stage)
    }

    fn change(&self, change: impl FnOnce(&mut Service)) -> Result<(), HookError> {
        self.clock.advance(Span::secs(1));
        let mut service = self.service.lock().unwrap();
        change(&mut service);
        self.recorder.record(self.clock.now(), &service)
    }

    fn sandbox(stage: &Arc<Self>, source: Arc<dyn MetricsSource>) -> MetricsSourceSandbox {
        Self::sandbox_of(stage, source, counters())
    }

    fn sandbox_of(
        stage: &Arc<Self>,
        source: Arc<dyn MetricsSource>,
        counters: Counters,
    ) -> MetricsSourceSandbox {
        let [counting, observing] = [(); 2].map(|()| Arc::clone(stage));
        let counters = counters
            .count(move |part, whole| {
                std::future::ready(counting.change(|service| service.count(part, whole)))
            })
            .observing("duration", move |values| {
                std::future::ready(observing.change(|service| service.observed.extend(values)))
            });
        metrics_source::sandbox(source, counters).virtual_clock(Arc::clone(&stage.clock))
    }
}

impl Recorder for SampleFeed {
    fn record(&self, at: Timestamp, service: &Service) -> Result<(), HookError> {
        for (id, value) in service.samples() {
            match self.push(&id, at, value) {
                Arrival::InOrder => {}
                other => return Err(format!("{id}: {other:?}").into()),
            }
        }
        Ok(())
    }
}

/// A feed that is told of two tracks of one version at once, each of which is empty for none: of the measured one what the
/// service says, of the other one something else.
#[derive(Debug)]
struct Apart {
    feed: SampleFeed,
    measured: &'static str,
    other: &'static str,
}

impl Recorder for Apart {
    fn record(&self, at: Timestamp, service: &Service) -> Result<(), HookError> {
        for (id, value) in service.samples() {
            let other = id.clone().label("instance", "z").label("track", self.other);
            for (id, value) in
                [(id.label("track", self.measured), value), (other, value.mul_add(3.0, 7.0))]
            {
                match self.feed.push(&id, at, value) {
                    Arrival::InOrder => {}
                    other => return Err(format!("{id}: {other:?}").into()),
                }
            }
        }
        Ok(())
    }
}

/// A file in a directory of its own.
#[derive(Debug)]
struct Log {
    directory: TempDir,
    format: FileFormat,
}

impl Log {
    fn path(&self) -> PathBuf {
        self.directory.path().join("samples")
    }
}

impl Recorder for Log {
    fn record(&self, at: Timestamp, service: &Service) -> Result<(), HookError> {
        let millis = at.as_micros() / 1_000;
        let more = match self.format {
            FileFormat::OpenMetrics => format!(" {}.{:03}", millis / 1_000, millis % 1_000),
            _ => format!(" {millis}"),
        };
        let mut text = std::fs::read_to_string(self.path()).unwrap_or_default();
        write!(text, "{}", service.text(&more))?;
        Ok(std::fs::write(self.path(), text)?)
    }
}

async fn fed() -> MetricsSourceSandbox {
    let clock = Arc::new(VirtualClock::new());
    let (feed, source): (SampleFeed, FedSource) =
        feed(TapeSettings::every(Span::secs(10)), clock.clone()).unwrap();
    Recorded::sandbox(&Recorded::begin(clock, feed), Arc::new(source))
}

fn fed_apart(measured: &'static str, other: &'static str, target: Target) -> MetricsSourceSandbox {
    let clock = Arc::new(VirtualClock::new());
    let (feed, source) = feed(TapeSettings::every(Span::secs(10)), clock.clone()).unwrap();
    let stage = Recorded::begin(clock, Apart { feed, measured, other });
    Recorded::sandbox_of(&stage, Arc::new(source), counters_at(target))
}

/// The baseline of an experiment, beside the others of its version.
async fn baseline() -> MetricsSourceSandbox {
    let target = fixtures::target("api").on(fixtures::literal("baseline"));
    fed_apart("baseline", "", target)
}

/// A version of which some instances are apart.
async fn without_baseline() -> MetricsSourceSandbox {
    fed_apart("", "baseline", fixtures::target("api"))
}

fn filed(format: FileFormat) -> MetricsSourceSandbox {
    let clock = Arc::new(VirtualClock::new());
    let log = Log { directory: tempfile::tempdir().unwrap(), format };
    let (path, settings) = (log.path(), TapeSettings::every(Span::secs(10)));
    let source = FileSource::new(&path, format, settings, clock.clone()).unwrap();
    let stage = Recorded::begin(clock, log);
    Recorded::sandbox(&stage, Arc::new(source)).reach(move |reached| {
        let away = path.with_extension("away");
        let (from, to) = if reached { (&away, &path) } else { (&path, &away) };
        std::future::ready(std::fs::rename(from, to).map_err(Into::into))
    })
}

async fn file() -> MetricsSourceSandbox {
    filed(FileFormat::Prometheus)
}

mod text_endpoint {
    use super::scraped;
    release_testkit::conformance!(MetricsSource at V2, scraped);
}

mod sample_file {
    use super::file;
    release_testkit::conformance!(MetricsSource at V2, file);
}

mod sample_feed {
    use super::fed;
    release_testkit::conformance!(MetricsSource at V2, fed);
}

mod sample_feed_on_a_track {
    use super::baseline;
    release_testkit::conformance!(MetricsSource at V2, baseline);
}

mod sample_feed_beside_a_track {
    use super::without_baseline;
    release_testkit::conformance!(MetricsSource at V2, without_baseline);
}

/// What of the suite cannot be tried: there are no secrets, no queries, and nobody between a file or a feed and us.
#[tokio::test]
async fn of_the_suites_only_this_is_skipped() {
    let report = metrics_source::run(Level::V2, &scraped).await;
    assert!(report.is_conformant(), "{report}");
    let skipped = |report: &release_testkit::conformance::ConformanceReport| {
        report.skipped().map(|case| case.case.clone()).collect::<Vec<_>>()
    };
    assert_eq!(skipped(&report), ["secrets_stay_secret", "queries_are_answered"]);
    let between = [
        "refused_credentials_are_denied",
        "throttling_is_rate_limited",
        "stalled_calls_end_in_time",
        "secrets_stay_secret",
        "queries_are_answered",
    ];
    let report = metrics_source::run(Level::V2, &async || filed(FileFormat::OpenMetrics)).await;
    assert!(report.is_conformant(), "{report}");
    assert_eq!(skipped(&report), between);
    let report = metrics_source::run(Level::V2, &fed).await;
    assert!(report.is_conformant(), "{report}");
    assert_eq!(skipped(&report), [&["out_of_reach_is_unavailable"], &between[..]].concat());
}
