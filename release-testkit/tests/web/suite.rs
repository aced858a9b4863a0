//! The conformance suite of sources of metrics, over a service that tells one number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use release_core::model::{Digest, Metric};
use release_providers::Secret;
use release_providers::kind::SecretSetting;
use release_providers::spi::SecretRef;
use release_providers::web::{WebMetric, WebReading, WebSecrets, WebSettings, WebSource};
use release_testkit::conformance::metrics_source::{Counters, MetricsSourceSandbox};
use release_testkit::conformance::{self, Level, Trouble};
use release_testkit::{VirtualClock, fixtures};
use serde_json::json;

use crate::server::{Asked, Reply, Server};

const TOKEN: &str = "canary-5ecr3t";

/// The service: the number of version 1.1.0, and what keeps it from answering.
#[derive(Debug, Clone, Copy, Default)]
struct Service {
    load: f64,
    trouble: Option<Trouble>,
}

fn answer(service: &Mutex<Service>, asked: &Asked) -> Reply {
    let Service { load, trouble } = *service.lock().unwrap();
    match trouble {
        Some(Trouble::OutOfReach) => return Reply::HangsUp,
        Some(Trouble::Stalled) => return Reply::Stalls,
        Some(Trouble::Throttled) => return Reply::status(429),
        Some(_) => return Reply::status(401),
        None => {}
    }
    let bearer = format!("Bearer {TOKEN}");
    if asked.header("authorization") != Some(&*bearer) {
        return Reply::status(401);
    }
    if asked.target == "/api?version=1.1.0" {
        return Reply::json(json!({ "load": load }).to_string());
    }
    Reply::Status(404, json!({ "load": 0 }).to_string())
}

async fn web() -> MetricsSourceSandbox {
    let service = Arc::new(Mutex::new(Service::default()));
    let answering = Arc::clone(&service);
    let server = Server::start(move |_, asked| answer(&answering, asked)).await;
    let url = server.url("/{{service}}?version={{version}}");
    let mut metric = WebMetric::new(url, WebReading::Pointer("/load".into()));
    metric.token = Some(SecretSetting::new(SecretRef::new("kv/web")));
    let mut settings = WebSettings::new().metric("load", metric);
    settings.targets = vec![fixtures::target("api")];
    let secrets = WebSecrets::new().token(Secret::new(TOKEN));
    let secrets = BTreeMap::from([("load".to_owned(), secrets)]);
    let clock = Arc::new(VirtualClock::new());
    let source = WebSource::new(&settings, &secrets, clock.clone()).unwrap();
    let (asking, server) = (Arc::clone(&service), Mutex::new(Some(server)));
    let query = "load".to_owned();
    let counters = Counters::new(
        fixtures::target("api"),
        Digest::of(b"x"),
        fixtures::version("1.1.0"),
        Metric::Query { query },
    );
    let counters = counters.of_a_list().asking("load", move |value| {
        asking.lock().unwrap().load = value;
        std::future::ready(Ok(()))
    });
    let sandbox = conformance::metrics_source::sandbox(Arc::new(source), counters)
        .virtual_clock(clock)
        .canary(Secret::new(TOKEN))
        .on_close(move || {
            drop(server.lock().unwrap().take());
            std::future::ready(Ok(()))
        });
    let troubles = [Trouble::OutOfReach, Trouble::Stalled, Trouble::Denied, Trouble::Throttled];
    troubles.into_iter().fold(sandbox, |sandbox, trouble| {
        let service = Arc::clone(&service);
        sandbox.trouble(trouble, move |comes| {
            service.lock().unwrap().trouble = comes.then_some(trouble);
            std::future::ready(Ok(()))
        })
    })
}

release_testkit::conformance!(MetricsSource at V2, web);

/// It counts nothing, and has no histograms: what the suite asks of these is skipped, and no more.
#[tokio::test]
async fn of_the_suite_only_this_is_skipped() {
    let report = conformance::metrics_source::run(Level::V2, &web).await;
    assert!(report.is_conformant(), "{report}");
    let skipped: Vec<_> = report.skipped().map(|case| case.case.clone()).collect();
    let counting = [
        "growth_is_measured",
        "only_the_window_counts",
        "means_are_measured",
        "histograms_are_measured",
    ];
    assert_eq!(skipped, counting);
}
