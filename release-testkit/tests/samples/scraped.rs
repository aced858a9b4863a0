//! The text endpoint source: when it looks, what it stamps, and who is missing.

use std::sync::Arc;

use release_core::model::{Digest, Finite, Target};
use release_core::port::{Clock, Measurement};
use release_core::time::{Span, Timestamp};
use release_providers::samples::{ScrapeSettings, ScrapedSource};
use release_providers::spi::{MeasureRequest, MetricsSource as _};
use release_providers::{ErrorKind, ProviderError, SystemClock};
use release_testkit::{VirtualClock, fixtures};

use crate::exporter::{Exporter, Mode};
use crate::service::Service;

/// Two instances, and a source that scrapes both every ten seconds of a clock that a test moves.
struct Stage {
    clock: Arc<VirtualClock>,
    exporters: [Exporter; 2],
    source: ScrapedSource,
}

impl Stage {
    async fn set() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let exporters = [Exporter::open(), Exporter::open()];
        let urls = exporters.each_ref().map(|one| format!("http://{}/metrics", one.address));
        let mut settings = ScrapeSettings::new().target(fixtures::target("api"), urls);
        (settings.interval_ms, settings.staleness_ms) = (10_000, 25_000);
        settings.timeout_ms = 5_000; // so that who sleeps for longer is not at a scrape
        let source = ScrapedSource::new(settings, clock.clone()).unwrap();
        let stage = Self { clock, exporters, source };
        stage.scraped(1).await;
        stage
    }

    /// Returns once each was scraped so often, and the source waits for the next time.
    async fn scraped(&self, times: u64) {
        for exporter in &self.exporters {
            let mut scrapes = exporter.scrapes.clone();
            scrapes.wait_for(|scrapes| *scrapes >= times).await.unwrap();
        }
        self.clock.asleep_until(self.clock.now().plus(Span::secs(10))).await;
    }

    fn count(&self, which: usize, failed: u32, all: u32) {
        self.exporters.get(which).unwrap().service.lock().unwrap().count(failed, all);
    }

    async fn measure(&self, since: Timestamp) -> Result<Measurement, ProviderError> {
        let mut cx = fixtures::context("measure");
        cx.deadline = self.clock.now().plus(Span::secs(3_600));
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let digest = Digest::of(b"x");
        let request = MeasureRequest::new(target, digest, version, Service::ratio(), since);
        self.source.measure(&cx, request).await
    }

    async fn grew(&self, since: Timestamp, want: [f64; 2]) {
        let [numerator, denominator] = want.map(|number| Finite::new(number).unwrap());
        let want = Measurement::Ratio { digest: Digest::of(b"x"), numerator, denominator };
        assert_eq!(self.measure(since).await.unwrap(), want);
    }

    async fn no_data(&self, since: Timestamp, why: &str) {
        match self.measure(since).await.unwrap() {
            Measurement::NoData { reason } => assert!(reason.contains(why), "{reason}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_looks_at_every_interval_and_once_more_when_it_is_asked() {
    let stage = Stage::set().await;
    stage.count(0, 1, 20);
    stage.clock.advance(Span::secs(10));
    stage.scraped(2).await;
    // What was scraped in the background is where the window begins.
    let since = stage.clock.now();
    stage.count(0, 2, 30);
    stage.count(1, 0, 5);
    stage.grew(since, [2.0, 35.0]).await;
    stage.grew(since, [2.0, 35.0]).await;
    let begin = Timestamp::from_micros(since.as_micros() - 10_000_000);
    stage.grew(begin, [3.0, 55.0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_end_with_the_source() {
    let stage = Stage::set().await;
    let Stage { clock, exporters, source } = stage;
    let again = source.clone();
    drop(source);
    clock.advance(Span::secs(10));
    for exporter in &exporters {
        exporter.scrapes.clone().wait_for(|scrapes| *scrapes >= 2).await.unwrap();
    }
    // The last one who has it lets it go, and whoever waited on the clock is gone.
    let weak = Arc::downgrade(&clock);
    drop((again, clock));
    while weak.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_fails_is_no_data_until_it_is_gone_for_long() {
    let stage = Stage::set().await;
    let since = stage.clock.now();
    stage.clock.advance(Span::secs(1));
    stage.count(0, 1, 20);
    stage.count(1, 4, 40);
    stage.grew(since, [5.0, 60.0]).await;
    stage.exporters[1].set(Mode::HangsUp);
    stage.count(0, 1, 20);
    stage.no_data(since, "broke off").await;
    stage.exporters[1].set(Mode::Says("all{ 1\n".into()));
    stage.no_data(since, "line 1").await;
    stage.exporters[1].set(Mode::Refuses("503 Service Unavailable"));
    stage.no_data(since, "503").await;
    stage.clock.advance(Span::secs(26));
    // It counts up to its last sample.
    stage.grew(since, [6.0, 80.0]).await;
    stage.exporters[0].set(Mode::HangsUp);
    assert_eq!(stage.measure(since).await.unwrap_err().kind(), ErrorKind::Unavailable);
    stage.exporters.iter().for_each(|one| one.set(Mode::Says("garbage\n".into())));
    stage.no_data(since, "line 1").await;
    stage.exporters.iter().for_each(|one| one.set(Mode::Refuses("429 Too Many Requests")));
    assert_eq!(stage.measure(since).await.unwrap_err().kind(), ErrorKind::RateLimited);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_instance_says_of_another_target_or_twice_does_not_count_as_told() {
    let stage = Stage::set().await;
    let since = stage.clock.now();
    let text = |all: u32| {
        format!(
            "failed{{version=\"1.1.0\",service=\"other\",instance=\"z\"}} 0\n\
             all{{version=\"1.1.0\",service=\"other\",instance=\"z\"}} {all}\nall{{version=\"1.0.0\"}} 99\n"
        )
    };
    let says = |text: &str| stage.exporters.iter().for_each(|one| one.set(Mode::Says(text.into())));
    says(&text(10));
    stage.clock.advance(Span::secs(1));
    stage.no_data(stage.clock.now(), "not grown").await;
    says(&text(13));
    stage.clock.advance(Span::secs(1));
    // Of both instances, from where they were first seen: stamped as the target's, whatever they call themselves.
    stage.grew(since, [0.0, 6.0 + 20.0]).await;
    stage.clock.advance(Span::secs(1));
    let now = stage.clock.now();
    says(&(text(14) + "all{version=\"1.1.0\",service=\"other\",instance=\"z\"} 15\n"));
    stage.no_data(now, "is both 14 and 15").await;
}

/// The stable version at one endpoint, and as many instances of it apart, either at an endpoint that is listed as theirs or
/// at the same one, with a label.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_on_a_track_is_measured_apart_from_the_rest_of_its_version() {
    let whole = fixtures::target("api");
    let on = |track: &str| whole.clone().on(fixtures::literal(track));
    let [stable, baseline] = [Exporter::open(), Exporter::open()];
    let url = |exporter: &Exporter| [format!("http://{}/metrics", exporter.address)];
    let settings = ScrapeSettings::new()
        .target(whole.clone(), url(&stable))
        .target(on("baseline"), url(&baseline));
    let clock = Arc::new(SystemClock::new());
    let source = ScrapedSource::new(settings, clock.clone()).unwrap();
    assert!(source.describe().abilities.tracks);
    let measure = async |target: Target, since: Timestamp| {
        let mut cx = fixtures::context("measure");
        cx.deadline = clock.now().plus(Span::secs(30));
        let (digest, version) = (Digest::of(b"x"), fixtures::version("1.1.0"));
        let request = MeasureRequest::new(target, digest, version, Service::ratio(), since);
        source.measure(&cx, request).await
    };
    let says = |all: u32, apart: u32| {
        let text = |all: u32, track: &str| {
            let labels = format!("version=\"1.1.0\"{track}");
            format!("failed{{{labels}}} 1\nall{{{labels}}} {all}\n")
        };
        let shared = text(all, "") + &text(apart, ",track=\"shadow\"");
        stable.set(Mode::Says(shared));
        baseline.set(Mode::Says(text(all * 10, "")));
    };
    let targets = [whole.clone(), on("baseline"), on("shadow")];
    says(100, 7);
    for target in targets.clone() {
        measure(target, clock.now()).await.unwrap();
    }
    let since = clock.now();
    says(130, 12);
    for (target, grown) in targets.into_iter().zip([30.0, 300.0, 5.0]) {
        let [numerator, denominator] = [0.0, grown].map(|number| Finite::new(number).unwrap());
        let want = Measurement::Ratio { digest: Digest::of(b"x"), numerator, denominator };
        assert_eq!(measure(target, since).await.unwrap(), want, "{grown}");
    }
    match measure(on("nobody"), since).await.unwrap() {
        Measurement::NoData { reason } => assert!(reason.contains("track `nobody`"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let elsewhere = fixtures::target("web").on(fixtures::literal("baseline"));
    assert_eq!(measure(elsewhere, since).await.unwrap_err().kind(), ErrorKind::NotFound);
}
