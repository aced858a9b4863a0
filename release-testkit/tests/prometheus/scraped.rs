//! The conformance suite, over a Prometheus that scrapes an exporter of the test's.

use std::path::Path;
use std::sync::Arc;

use release_core::model::{Digest, Metric};
use release_core::port::{Clock, Measurement};
use release_core::time::{Span, Timestamp};
use release_providers::prometheus::{PrometheusLogin, PrometheusSettings, PrometheusSource};
use release_providers::spi::{MeasureRequest, MetricsSource};
use release_providers::{Secret, SystemClock};
use release_testkit::conformance::metrics_source::{Counters, MetricsSourceSandbox};
use release_testkit::conformance::{Case, HookError, Level, Trouble, metrics_source};
use release_testkit::fixtures;

use crate::exporter::Exporter;
use crate::real;
use crate::server::Server;
use crate::service::Service;
use crate::side_by_side;

const PASSWORD: &str = "canary-5ecr3t";
const COUNTED: &str = "all{version=\"{{version}}\"}";
const OBSERVED: &str = "duration_count{version=\"{{version}}\"}";
const LOAD: &str = "load{version=\"{{version}}\"}";
/// Users and what bcrypt made of their passwords; Prometheus reads them anew at every request.
const KNOWN: &str =
    "basic_auth_users:\n  ada: $2b$04$abcdefghijklmnopqrstuu4/BGphSHkCVwds2.0SjVp5zdaDcEtmq\n";
const UNKNOWN: &str =
    "basic_auth_users:\n  bob: $2b$04$abcdefghijklmnopqrstuu4/BGphSHkCVwds2.0SjVp5zdaDcEtmq\n";

#[derive(Debug)]
struct Stage {
    server: tokio::sync::Mutex<Server>,
    exporter: Exporter,
    source: PrometheusSource,
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
        stage.change(COUNTED, |service| service.count(0, 1)).await?;
        Ok(stage)
    }

    /// Lets the service change right after a scrape, so that none is under way whose instant was before and that sees it
    /// all the same; and returns once Prometheus tells what `query` is then.
    async fn change(
        &self,
        query: &str,
        change: impl FnOnce(&mut Service),
    ) -> Result<(), HookError> {
        let mut scrapes = self.exporter.scrapes.clone();
        scrapes.borrow_and_update();
        scrapes.changed().await?;
        let wanted = {
            let mut service = self.exporter.service.lock().unwrap();
            change(&mut service);
            let name = query.split('{').next();
            let found = service.samples().into_iter().find(|(id, _)| Some(id.name()) == name);
            found.map(|(_, value)| value).ok_or("the service has no such series")?
        };
        loop {
            scrapes.changed().await?;
            if self.told(query).await?.is_some_and(|told| told.to_bits() == wanted.to_bits()) {
                return Ok(());
            }
        }
    }

    /// What Prometheus answers to a query.
    async fn told(&self, query: &str) -> Result<Option<f64>, HookError> {
        let clock = SystemClock::new();
        let mut cx = fixtures::context("told");
        cx.deadline = clock.now().plus(Span::secs(10));
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let (digest, metric) = (Digest::of(b"x"), Metric::Query { query: query.to_owned() });
        let request = MeasureRequest::new(target, digest, version, metric, Timestamp::default());
        match self.source.measure(&cx, request).await? {
            Measurement::Value { value, .. } => Ok(Some(value.get())),
            _ => Ok(None),
        }
    }
}

async fn sandbox(program: &Path) -> MetricsSourceSandbox {
    let stage = Arc::new(Stage::set(program).await.unwrap());
    let [counting, observing, asking, reaching, stalling, denying] =
        [(); 6].map(|()| Arc::clone(&stage));
    let counters = Counters::new(
        fixtures::target("api"),
        Digest::of(b"x"),
        fixtures::version("1.1.0"),
        Service::ratio(),
    );
    let counters = counters
        .count(move |part, whole| {
            let stage = Arc::clone(&counting);
            async move { stage.change(COUNTED, |service| service.count(part, whole)).await }
        })
        .observing("duration", move |values| {
            let stage = Arc::clone(&observing);
            async move { stage.change(OBSERVED, |service| service.observed.extend(values)).await }
        })
        .asking(LOAD, move |value| {
            let stage = Arc::clone(&asking);
            async move { stage.change(LOAD, |service| service.load = value).await }
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

#[test]
fn prometheus_conforms() {
    let Some(program) = real::find("prometheus") else { return };
    let names: Vec<_> = metrics_source::cases(Level::V2).iter().map(Case::name).collect();
    let skipped = side_by_side::conform(&names, |name| {
        let sandbox = async || sandbox(&program).await;
        side_by_side::block_on(metrics_source::run_case(Level::V2, name, &sandbox))
    });
    assert_eq!(skipped, ["throttling_is_rate_limited"]);
}
