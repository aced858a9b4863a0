//! The conformance suite, over a Prometheus that scrapes an exporter of the test's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use release_core::model::{Digest, Metric, Selector};
use release_core::port::{Clock, Measurement};
use release_core::time::{Span, Timestamp};
use release_providers::prometheus::{PrometheusLogin, PrometheusSettings, PrometheusSource};
use release_providers::spi::{MeasureRequest, MetricsSource};
use release_providers::{Secret, SystemClock};
use release_testkit::conformance::metrics_source::{Counters, MetricsSourceSandbox};
use release_testkit::conformance::{HookError, Level, Trouble, metrics_source};
use release_testkit::fixtures;
use tokio::sync::watch;

use crate::real;
use crate::server::Server;

const PASSWORD: &str = "canary-5ecr3t";
/// Users and what bcrypt made of their passwords; Prometheus reads them anew at every request.
const KNOWN: &str =
    "basic_auth_users:\n  ada: $2b$04$abcdefghijklmnopqrstuu4/BGphSHkCVwds2.0SjVp5zdaDcEtmq\n";
const UNKNOWN: &str =
    "basic_auth_users:\n  bob: $2b$04$abcdefghijklmnopqrstuu4/BGphSHkCVwds2.0SjVp5zdaDcEtmq\n";

/// Two counters that can be scraped.
#[derive(Debug)]
struct Exporter {
    address: SocketAddr,
    counters: Arc<Mutex<(u32, u32)>>,
    scrapes: watch::Receiver<u64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (counters, over) = (Arc::new(Mutex::new((0, 10))), Arc::new(AtomicBool::new(false)));
        let (served, scrapes) = watch::channel(0);
        let (counted, ended) = (Arc::clone(&counters), Arc::clone(&over));
        let target = fixtures::target("api");
        let serve = move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let (part, whole) = *counted.lock().unwrap();
                let own = format!(
                    "environment=\"{}\",region=\"{}\",service=\"api\",version=\"1.1.0\"",
                    target.environment, target.region
                );
                let body = format!("failed{{{own}}} {part}\nall{{{own}}} {whole}\n");
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n\
                     content-length: {length}\r\n\r\n"
                );
                let _ = stream.write_all((head + &body).as_bytes());
                served.send_modify(|count| *count += 1);
            }
        };
        let thread = Some(std::thread::Builder::new().spawn(serve).unwrap());
        Self { address, counters, scrapes, over, thread }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Stage {
    server: tokio::sync::Mutex<Server>,
    exporter: Exporter,
    source: PrometheusSource,
}

fn metric() -> Metric {
    Metric::Ratio { numerator: Selector::series("failed"), denominator: Selector::series("all") }
}

impl Stage {
    async fn set(program: &Path) -> Result<Self, HookError> {
        let (mut server, exporter) = (Server::new(program), Exporter::open());
        std::fs::write(server.directory.path().join("web.yml"), KNOWN)?;
        let configuration = format!(
            "scrape_configs:\n- job_name: api\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\n  \
             static_configs: [{{targets: ['{}']}}]\n",
            exporter.address
        );
        server.start(&configuration).await?;
        let mut settings = PrometheusSettings::new(format!("http://{}", server.address));
        settings.scrape_interval_ms = 1_000; // a machine that is busy is late
        let login =
            PrometheusLogin::Password { user: "ada".into(), password: Secret::new(PASSWORD) };
        let source = PrometheusSource::new(settings, Some(login), Arc::new(SystemClock::new()))?;
        let stage = Self { server: tokio::sync::Mutex::new(server), exporter, source };
        stage.count(0, 1).await?;
        Ok(stage)
    }

    /// Lets the counters grow right after a scrape, so that none is under way whose instant was before and that sees it
    /// all the same; and returns once Prometheus tells it.
    async fn count(&self, part: u32, whole: u32) -> Result<(), HookError> {
        let mut scrapes = self.exporter.scrapes.clone();
        scrapes.borrow_and_update();
        scrapes.changed().await?;
        let wanted = {
            let mut counters = self.exporter.counters.lock().unwrap();
            *counters = (counters.0 + part, counters.1 + whole);
            f64::from(counters.1)
        };
        loop {
            scrapes.changed().await?;
            if self.told().await? >= wanted {
                return Ok(());
            }
        }
    }

    /// What Prometheus knows the whole to be.
    async fn told(&self) -> Result<f64, HookError> {
        let clock = SystemClock::new();
        let mut cx = fixtures::context("told");
        cx.deadline = clock.now().plus(Span::secs(10));
        let query = "all{version=\"{{version}}\"}".to_owned();
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let (digest, metric) = (Digest::of(b"x"), Metric::Query { query });
        let request = MeasureRequest::new(target, digest, version, metric, Timestamp::default());
        match self.source.measure(&cx, request).await? {
            Measurement::Value { value, .. } => Ok(value.get()),
            _ => Ok(0.0),
        }
    }
}

async fn sandbox(program: &Path) -> MetricsSourceSandbox {
    let stage = Arc::new(Stage::set(program).await.unwrap());
    let [counting, reaching, stalling, denying] = [(); 4].map(|()| Arc::clone(&stage));
    let counters = Counters::new(
        fixtures::target("api"),
        Digest::of(b"x"),
        fixtures::version("1.1.0"),
        metric(),
    );
    let counters = counters.count(move |part, whole| {
        let stage = Arc::clone(&counting);
        async move { stage.count(part, whole).await }
    });
    let source: Arc<dyn MetricsSource> = Arc::new(stage.source.clone());
    metrics_source::sandbox(source, counters)
        .canary(Secret::new(PASSWORD))
        .trouble(Trouble::OutOfReach, move |comes| {
            let stage = Arc::clone(&reaching);
            async move {
                let mut server = stage.server.lock().await;
                server.kill();
                if comes { Ok(()) } else { server.restart().await }
            }
        })
        .trouble(Trouble::Stalled, move |comes| {
            let stage = Arc::clone(&stalling);
            async move {
                stage.server.lock().await.stall(comes);
                Ok(())
            }
        })
        .trouble(Trouble::Denied, move |comes| {
            let stage = Arc::clone(&denying);
            async move {
                let server = stage.server.lock().await;
                let users = if comes { UNKNOWN } else { KNOWN };
                Ok(std::fs::write(server.directory.path().join("web.yml"), users)?)
            }
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_conforms() {
    let Some(program) = real::find("prometheus") else { return };
    let report = metrics_source::run(Level::V1, &async || sandbox(&program).await).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.clone()).collect();
    assert_eq!(skipped, ["throttling_is_rate_limited"]);
}
