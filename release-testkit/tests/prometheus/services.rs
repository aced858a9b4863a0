//! Instances of the demo service that the local platform runs, scraped by a Prometheus that is told where they are.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use release_core::model::{Digest, Finite, Metric, Selector, Target};
use release_core::plan::Weight;
use release_core::port::{Bucket, Clock as _, Measurement};
use release_core::time::{Span, Timestamp};
use release_providers::SystemClock;
use release_providers::endpoints::Endpoints as _;
use release_providers::local::{LocalConfig, LocalPlatform};
use release_providers::prometheus::{PrometheusSettings, PrometheusSource};
use release_providers::spi::{
    ApplyRequest, ArtifactStore as _, Deployer as _, MeasureRequest, MetricsSource as _,
    PutArtifact, SetWeights, TrafficRouter as _,
};
use release_testkit::fixtures;

use crate::demo::program;
use crate::real;
use crate::server::Server;

/// What of 100 requests fails, version by version.
const VERSIONS: [(&str, u8); 2] = [("1.0.0", 0), ("1.1.0", 20)];
const NEW: &str = "1.1.0";
const INSTANCES: u32 = 2;
const REQUESTS: u32 = 300;
/// How long anything may take.
const PATIENCE: Span = Span::secs(20);

/// One request; its answer, whatever its status.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Two versions, half of the traffic each.
struct Services {
    platform: LocalPlatform,
    target: Target,
    /// The content of the new version, and where its instances are.
    digest: Digest,
    instances: Vec<SocketAddr>,
    all: Vec<SocketAddr>,
}

impl Services {
    async fn start(root: &Path) -> Self {
        let config = LocalConfig::new(root, Arc::new(SystemClock::new()));
        let (platform, target) =
            (LocalPlatform::open(config).await.unwrap(), fixtures::target("api"));
        let (mut weights, mut all, mut digest) = (Vec::new(), Vec::new(), Digest::of(b""));
        let mut instances = Vec::new();
        for (version, failures) in VERSIONS {
            let put = PutArtifact::new(fixtures::literal("api"), program(version, failures));
            let artifact = platform.put(&fixtures::context("put"), put).await.unwrap();
            digest = artifact.digest();
            let version = fixtures::version(version);
            weights.push(Weight::new(digest, version.clone(), 50));
            let wish = ApplyRequest::new(target.clone(), artifact, version, INSTANCES);
            platform.apply(&fixtures::context(&digest.to_string()), wish).await.unwrap();
            let mut changes = platform.changes();
            instances = loop {
                let ready = platform.of(&target, digest).await.unwrap();
                if ready.len() == 2 {
                    break ready;
                }
                changes.changed().await.unwrap();
            };
            all.extend(instances.clone());
        }
        let wish = SetWeights::new(target.clone(), weights);
        platform.set_weights(&fixtures::context("route"), wish).await.unwrap();
        Self { platform, target, digest, instances, all }
    }

    /// Where Prometheus finds them, and what it calls their target.
    fn discovery(&self) -> String {
        let targets: Vec<String> = self.all.iter().map(SocketAddr::to_string).collect();
        let Target { environment, region, .. } = &self.target;
        let labels = BTreeMap::from([
            ("environment", environment.to_string()),
            ("region", region.to_string()),
        ]);
        serde_json::json!([{ "targets": targets, "labels": labels }]).to_string()
    }

    /// Sends requests through the proxy; how many the new version failed, and got.
    async fn send(&self) -> [u32; 2] {
        let address = self.platform.address(&self.target).unwrap();
        let sent = move || {
            let (mut failed, mut all) = (0, 0);
            for _ in 0..REQUESTS {
                let answer = get(address, "/work");
                if answer.contains(&format!("x-version: {NEW}\r\n")) {
                    all += 1;
                    failed += u32::from(answer.starts_with("HTTP/1.1 500 "));
                }
            }
            [failed, all]
        };
        tokio::task::spawn_blocking(sent).await.unwrap()
    }

    /// What instances of the new version say themselves of how long requests took: how many up to each bound.
    fn told(&self) -> BTreeMap<String, f64> {
        let mut buckets = BTreeMap::new();
        for instance in &self.instances {
            let metrics = get(*instance, "/metrics");
            for line in metrics.lines().filter(|line| line.contains("_bucket{")) {
                let (series, count) = line.rsplit_once(' ').unwrap();
                let le = series.split("le=\"").nth(1).unwrap().trim_end_matches("\"}");
                *buckets.entry(le.to_owned()).or_insert(0.0) += count.parse::<f64>().unwrap();
            }
        }
        buckets
    }
}

struct Asked<'a> {
    services: &'a Services,
    source: PrometheusSource,
    clock: SystemClock,
}

impl Asked<'_> {
    async fn measure(&self, metric: Metric, since: Timestamp) -> Measurement {
        let mut cx = fixtures::context("measure");
        cx.deadline = self.clock.now().plus(PATIENCE);
        let Services { target, digest, .. } = self.services;
        let version = fixtures::version(NEW);
        let request = MeasureRequest::new(target.clone(), *digest, version, metric, since);
        self.source.measure(&cx, request).await.unwrap()
    }

    /// Returns once Prometheus tells that a number is `wanted`; it says to nobody when it has scraped.
    async fn tells(&self, query: &str, wanted: f64) {
        let patience = self.clock.now().plus(PATIENCE);
        loop {
            let found =
                self.measure(Metric::Query { query: query.to_owned() }, Timestamp::default()).await;
            if matches!(found, Measurement::Value { value, .. } if value.get().to_bits() == wanted.to_bits())
            {
                return;
            }
            assert!(self.clock.now() < patience, "`{query}` is not {wanted}, but {found:?}");
            self.clock.sleep_until(self.clock.now().plus(Span::millis(20))).await;
        }
    }
}

/// Starts a server that scrapes the services that a file for its discovery lists, and a source that asks it.
pub(crate) async fn scraping(server: &mut Server, discovery: String) -> PrometheusSource {
    let places = server.directory.path().join("services.json");
    std::fs::write(&places, discovery).unwrap();
    let configuration = format!(
        "scrape_configs:\n- job_name: api\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  \
         file_sd_configs: [{{files: ['{}']}}]\n",
        places.display()
    );
    server.start(&configuration).await.unwrap();
    let mut settings = PrometheusSettings::new(format!("http://{}", server.address));
    settings.scrape_interval_ms = 2_000; // a machine that is busy is late
    PrometheusSource::new(settings, None, Arc::new(SystemClock::new())).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_to_services_of_the_platform_is_measured() {
    let Some(prometheus) = real::find("prometheus") else { return };
    let root = tempfile::tempdir().unwrap();
    let services = Services::start(root.path()).await;
    let mut server = Server::new(&prometheus);
    let source = scraping(&mut server, services.discovery()).await;
    let asked = Asked { services: &services, source, clock: SystemClock::new() };
    let seen = "count(http_request_duration_seconds_count{version=\"{{version}}\"})";
    asked.tells(seen, f64::from(INSTANCES)).await;
    let before = services.told();
    assert!(before.values().all(|count| count.to_bits() == 0), "{before:?}");

    let since = asked.clock.now();
    let [failed, all] = services.send().await.map(f64::from);
    assert!(failed > 10.0 && all > 60.0, "{failed} of {all} failed");
    let counted = "sum(http_requests_total{version=\"{{version}}\"})";
    asked.tells(counted, all).await;
    let observed = "sum(http_request_duration_seconds_count{version=\"{{version}}\"})";
    asked.tells(observed, all).await;

    let number = |number| Finite::new(number).unwrap();
    let requests = Selector::series("http_requests_total");
    let (numerator, denominator) = (requests.clone().label("code", "500"), requests);
    let digest = services.digest;
    let found = asked.measure(Metric::Ratio { numerator, denominator }, since).await;
    let (numerator, denominator) = (number(failed), number(all));
    assert_eq!(found, Measurement::Ratio { digest, numerator, denominator });
    let histogram = Selector::series("http_request_duration_seconds");
    let found = asked.measure(Metric::Quantile { histogram, quantile: number(0.9) }, since).await;
    let mut wanted: Vec<Bucket> = Vec::new();
    for (le, count) in services.told() {
        let at_most = (le != "+Inf").then(|| number(le.parse().unwrap()));
        wanted.push(Bucket { at_most, count: number(count) });
    }
    wanted.sort_by(|a, b| {
        let bound = |bucket: &Bucket| bucket.at_most.map_or(f64::INFINITY, Finite::get);
        bound(a).total_cmp(&bound(b))
    });
    assert_eq!(wanted.last().map(|last| last.count), Some(number(all)));
    assert_eq!(found, Measurement::Histogram { digest, buckets: wanted });
    services.platform.destroy().await.unwrap();
}
