//! What is sent, and what is made of each answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use release_core::model::{Finite, Metric, Selector, Target};
use release_core::port::{Clock, Measurement};
use release_providers::kind::SecretSetting;
use release_providers::spi::{MeasureRequest, MetricsSource, SecretRef};
use release_providers::web::{
    WebMetric, WebReading, WebSecrets, WebSettings, WebSource, WebSubject,
};
use release_providers::{Context, ErrorKind, ProviderError, Secret, SystemClock};
use release_testkit::fakes::FakeMetrics;
use release_testkit::fixtures::{self, Shop};
use serde_json::{Value, json};

use crate::server::{Reply, Server};

const TOKEN: &str = "t0ken-5ecr3t";
const KEY: &str = "k3y-5ecr3t";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn context() -> Context {
    fixtures::context("look")
}

fn query(name: &str) -> Metric {
    Metric::Query { query: name.to_owned() }
}

fn request(target: Target, metric: Metric) -> MeasureRequest {
    let (digest, version) = (fixtures::digest("api", Shop::NEW), fixtures::version(Shop::NEW));
    MeasureRequest::new(target, digest, version, metric, SystemClock::new().now())
}

/// A source of the metric `one`.
fn source(metric: WebMetric) -> WebSource {
    let settings = WebSettings::new().metric("one", metric);
    WebSource::new(&settings, &BTreeMap::new(), clock()).unwrap()
}

async fn ask(source: &WebSource, metric: &str) -> Result<Measurement, ProviderError> {
    source.measure(&context(), request(fixtures::target("api"), query(metric))).await
}

fn pointer(server: &Server, pointer: &str) -> WebMetric {
    WebMetric::new(server.url("/one?of={{version}}"), WebReading::Pointer(pointer.into()))
}

fn value(measurement: &Measurement) -> f64 {
    let Measurement::Value { value, .. } = measurement else { panic!("{measurement:?}") };
    value.get()
}

fn reason(measurement: Measurement) -> String {
    let Measurement::NoData { reason } = measurement else { panic!("{measurement:?}") };
    reason
}

#[tokio::test]
async fn numbers_truths_and_texts_are_read_and_dated() {
    for (body, at, want) in [
        (r#"{"data":{"depth":[3,12.5]}}"#, "/data/depth/1", 12.5),
        (r#"{"ok":true}"#, "/ok", 1.0),
        (r#"{"ok":false}"#, "/ok", 0.0),
        (r#"{"rate":"-0.25"}"#, "/rate", -0.25),
        ("7", "", 7.0),
    ] {
        let server = Server::always(Reply::json(body)).await;
        let before = SystemClock::new().now();
        let told = ask(&source(pointer(&server, at)), "one").await.unwrap();
        let after = SystemClock::new().now();
        let Measurement::Value { digest, value, at } = told else { panic!("{told:?}") };
        assert_eq!(digest, fixtures::digest("api", Shop::NEW));
        assert_eq!(value, Finite::new(want).unwrap(), "{body}");
        assert!((before..=after).contains(&at), "{before} {at} {after}");
    }
}

#[tokio::test]
async fn a_gate_is_open_or_not_and_its_own_failure_may_be_no_data() {
    let listed = |url: String| {
        let read = WebReading::Status { no: vec![403, 404] };
        let mut gate = WebMetric::new(url, read);
        gate.about = WebSubject::Rollout;
        gate
    };
    for (status, any) in [(200, 1.0), (202, 1.0), (204, 1.0), (403, 0.0), (404, 0.0), (500, 0.0)] {
        let server = Server::always(Reply::Status(status, String::new())).await;
        let told = ask(&source(WebMetric::gate(server.url("/gate"))), "one").await.unwrap();
        assert!((value(&told) - any).abs() < f64::EPSILON, "{status}: {told:?}");
        let told = ask(&source(listed(server.url("/gate"))), "one").await;
        match told {
            Ok(told) => {
                assert!(status != 500 && (value(&told) - any).abs() < f64::EPSILON, "{status}");
            }
            Err(error) => {
                assert_eq!((status, error.kind()), (500, ErrorKind::Unavailable), "{error}");
            }
        }
    }
    let server = Server::always(Reply::status(410)).await;
    let told = ask(&source(listed(server.url("/gate"))), "one").await.unwrap();
    assert!(reason(told).contains("410 Gone"));
}

#[tokio::test]
async fn what_is_no_number_is_no_data_with_the_reason() {
    let large = format!(r#"{{"n":1,"more":"{}"}}"#, "x".repeat(70_000));
    let other = Server::always(Reply::json(r#"{"n":1}"#)).await;
    for (reply, why) in [
        (Reply::json(r#"{"n":null}"#), "null"),
        (Reply::json(r#"{"n":NaN}"#), "not JSON"),
        (Reply::json(r#"{"n":"NaN"}"#), "NaN"),
        (Reply::json(r#"{"n":"Infinity"}"#), "inf"),
        (Reply::json(r#"{"n":[1]}"#), "a list"),
        (Reply::json(r#"{"m":1}"#), "nothing at `/n`"),
        (Reply::json("<html>"), "not JSON"),
        (Reply::json(""), "not JSON"),
        (Reply::json(large), "more than 65536 bytes"),
        (Reply::Status(404, r#"{"n":1}"#.into()), "404 Not Found"),
        (Reply::Status(400, r#"{"n":1}"#.into()), "400 Bad Request"),
        (Reply::Elsewhere(other.url("/one")), "name where it goes"),
    ] {
        let server = Server::always(reply.clone()).await;
        let told = ask(&source(pointer(&server, "/n")), "one").await.unwrap();
        let reason = reason(told);
        assert!(reason.contains(why), "{reply:?}: {reason}");
        assert_eq!(server.asked().len(), 1);
    }
    assert!(other.asked().is_empty(), "nobody is sent on");
}

#[tokio::test]
async fn who_does_not_answer_or_refuses_is_an_error() {
    for (reply, kind) in [
        (Reply::HangsUp, ErrorKind::Unavailable),
        (Reply::status(500), ErrorKind::Unavailable),
        (Reply::status(503), ErrorKind::Unavailable),
        (Reply::status(429), ErrorKind::RateLimited),
        (Reply::status(401), ErrorKind::Denied),
        (Reply::status(403), ErrorKind::Denied),
    ] {
        let server = Server::always(reply.clone()).await;
        let error = ask(&source(pointer(&server, "/n")), "one").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{reply:?}: {error}");
        assert!(error.to_string().contains("metric: one, host: 127.0.0.1"), "{error}");
    }
    // Silence ends with the metric's own time, before the call's.
    let server = Server::always(Reply::Stalls).await;
    let mut slow = pointer(&server, "/n");
    slow.timeout_ms = 50;
    let error = ask(&source(slow), "one").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("did not answer within"), "{error}");
    // Nobody is there.
    let address = {
        let gone = Server::always(Reply::status(200)).await;
        gone.address
    };
    let gone = source(WebMetric::gate(format!("http://{address}/")));
    assert_eq!(ask(&gone, "one").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_request_says_what_is_measured_and_nothing_ends_its_parts() {
    let server = Server::always(Reply::json("1")).await;
    let place = "/{{service}}/{{version}}?e={{environment}}&r={{ region }}&t={{track}}";
    let mut metric = WebMetric::new(server.url(place), WebReading::Pointer(String::new()));
    metric.headers = BTreeMap::from([("X-Version".into(), "v{{version}}".into())]);
    let posted = metric.clone().post(json!({ "of": ["{{digest}}", 7], "quote\"": "{{service}}" }));
    let settings = WebSettings::new().metric("got", metric).metric("posted", posted);
    let source = WebSource::new(&settings, &BTreeMap::new(), clock()).unwrap();
    let mut asked = request(fixtures::target("api"), query("got"));
    asked.version = fixtures::version("1.1.0-rc.1+build-7");
    source.measure(&context(), asked.clone()).await.unwrap();
    asked.metric = query("posted");
    asked.target = asked.target.on(fixtures::literal("baseline"));
    source.measure(&context(), asked).await.unwrap();
    let heard = server.asked();
    let [got, posted] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(got.method, "GET");
    assert_eq!(got.target, "/api/1.1.0-rc.1%2Bbuild-7?e=production&r=eu&t=");
    assert_eq!(got.header("x-version"), Some("v1.1.0-rc.1+build-7"));
    assert_eq!((got.body.as_str(), got.header("content-type")), ("", None));
    assert_eq!(posted.method, "POST");
    assert!(posted.target.ends_with("&t=baseline"), "{}", posted.target);
    assert_eq!(posted.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&posted.body).unwrap();
    let digest = fixtures::digest("api", Shop::NEW).to_string();
    assert_eq!(body, json!({ "of": [digest, 7], "quote\"": "api" }));
}

#[tokio::test]
async fn secrets_are_sent_and_told_nowhere() {
    let answers = [
        Reply::json(format!(r#"{{"n":"you said Bearer {TOKEN} and {KEY}"}}"#)),
        Reply::json(format!("{TOKEN} {KEY}")),
        Reply::Status(401, format!("{TOKEN} {KEY}")),
        Reply::Status(500, format!("{TOKEN} {KEY}")),
        Reply::HangsUp,
    ];
    let server = Server::start(move |before, _| answers[before.min(4)].clone()).await;
    let mut metric = pointer(&server, "/n");
    let at = || SecretSetting::new(SecretRef::new("kv/web"));
    metric.token = Some(at());
    metric.secret_headers = BTreeMap::from([("X-Key".into(), at())]);
    let settings = WebSettings::new().metric("one", metric);
    let secrets = WebSecrets::new().token(Secret::new(TOKEN)).header("X-Key", Secret::new(KEY));
    let secrets = BTreeMap::from([("one".to_owned(), secrets)]);
    let source = WebSource::new(&settings, &secrets, clock()).unwrap();
    let mut told = format!("{source:?} {:?} {secrets:?}", source.describe());
    for _ in 0..5 {
        write!(told, "{:?}", ask(&source, "one").await).unwrap();
    }
    assert!(told.contains("you said Bearer *** and ***"), "{told}");
    for secret in [TOKEN, KEY] {
        assert!(!told.contains(secret), "{told}");
    }
    let heard = server.asked();
    assert_eq!(heard.len(), 5);
    for one in &heard {
        assert_eq!(one.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
        assert_eq!(one.header("x-key"), Some(KEY));
    }
    // What the settings name has to be there.
    let error = WebSource::new(&settings, &BTreeMap::new(), clock()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("was not given"), "{error}");
}

#[tokio::test]
async fn only_what_the_settings_have_is_asked_for() {
    let server = Server::always(Reply::json("1")).await;
    let mut settings = WebSettings::new().metric("one", pointer(&server, ""));
    settings.targets = vec![fixtures::target("api")];
    let source = WebSource::new(&settings, &BTreeMap::new(), clock()).unwrap();
    let refused = async |target: Target, metric: Metric| {
        source.measure(&context(), request(target, metric)).await.unwrap_err().kind()
    };
    let api = || fixtures::target("api");
    assert_eq!(refused(api(), query("two")).await, ErrorKind::Invalid);
    assert_eq!(refused(fixtures::target("web"), query("one")).await, ErrorKind::NotFound);
    let [sum, count] = ["sum", "count"].map(Selector::series);
    assert_eq!(refused(api(), Metric::Mean { sum, count }).await, ErrorKind::Unsupported);
    // No request says the track.
    let apart = api().on(fixtures::literal("baseline"));
    assert!(!source.describe().abilities.tracks);
    assert_eq!(refused(apart.clone(), query("one")).await, ErrorKind::Unsupported);
    assert!(server.asked().is_empty());
    // One does, and another does not: of a gate, it does not matter.
    let gate = WebMetric::gate(server.url("/gate"));
    let settings = settings.metric("gate", gate);
    let source = WebSource::new(&settings, &BTreeMap::new(), clock()).unwrap();
    assert!(source.describe().abilities.tracks);
    let told = async |metric: &str| {
        source.measure(&context(), request(apart.clone(), query(metric))).await.unwrap()
    };
    assert!(reason(told("one").await).contains("does not say `{{track}}`"));
    assert!((value(&told("gate").await) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn beside_another_source_it_leaves_the_rest_to_that_one() {
    let server = Server::always(Reply::json("1")).await;
    let metrics = FakeMetrics::new();
    let digest = fixtures::digest("api", Shop::NEW);
    metrics.set_errors(digest, 1.0, 50.0);
    metrics.set(digest, "load", 2.5);
    let source = source(pointer(&server, "")).beside(Arc::new(metrics));
    let able = source.describe().abilities.metrics_source;
    assert!(able.means && able.quantiles && able.queries);
    assert!((value(&ask(&source, "one").await.unwrap()) - 1.0).abs() < f64::EPSILON);
    assert!((value(&ask(&source, "load").await.unwrap()) - 2.5).abs() < f64::EPSILON);
    let ratio = request(fixtures::target("api"), fixtures::error_rate().metric);
    let told = source.measure(&context(), ratio).await.unwrap();
    assert!(matches!(told, Measurement::Ratio { .. }), "{told:?}");
    assert_eq!(server.asked().len(), 1);
}
