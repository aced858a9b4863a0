use std::sync::Mutex;
use std::time::Duration;

use release_core::clock::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers the same, once, and the request that it was sent.
async fn ask(
    status: &str,
    body: &str,
    change: impl FnOnce(&mut PrometheusSettings),
    login: Option<PrometheusLogin>,
) -> (Result<Told<Found>, ProviderError>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings =
        PrometheusSettings::new(format!("http://{}/base/", listener.local_addr().unwrap()));
    change(&mut settings);
    let client = Client::new(&settings, login, Arc::new(SystemClock::new())).unwrap();
    let sent = Mutex::new(String::new());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&request).contains("lookback_delta=") {
            let read = stream.read(&mut part).await.unwrap();
            request.extend_from_slice(&part[..read]);
        }
        *sent.lock().unwrap() = String::from_utf8(request).unwrap();
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
        let _ = stream.write_all((head + body).as_bytes()).await;
        // Until it has been read, also where that is not to the end.
        let _ = stream.read(&mut part).await;
    };
    let now = Timestamp::from_micros(1_234_567_890);
    let (answer, ()) = tokio::join!(client.query("a + \"b&\"", now, Span::secs(5)), serve);
    let sent = sent.into_inner().unwrap();
    (answer, sent)
}

fn password() -> PrometheusLogin {
    let password = Secret::new("hunter2");
    PrometheusLogin::Password { user: "ada".into(), password }
}

const EMPTY: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

#[tokio::test]
async fn queries_are_sent_as_forms_with_the_login() {
    let (answer, sent) = ask("200 OK", EMPTY, |_| {}, Some(password())).await;
    assert!(matches!(answer, Ok(Ok(Found::Vector(points))) if points.is_empty()));
    assert!(sent.starts_with("POST /base/api/v1/query HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains("authorization: Basic YWRhOmh1bnRlcjI=\r\n"), "{sent}");
    let form = "query=a%20%2B%20%22b%26%22&time=1234.567&lookback_delta=5000ms";
    assert!(sent.ends_with(form), "{sent}");
    let token = Some(PrometheusLogin::Token(Secret::new("t0k")));
    let (_, sent) = ask("200 OK", EMPTY, |_| {}, token).await;
    assert!(sent.contains("authorization: Bearer t0k\r\n"), "{sent}");
}

#[tokio::test]
async fn errors_are_told_as_what_they_are_and_without_secrets() {
    let said =
        r#"{"status":"error","errorType":"bad_data","error":"1:5: hunter2 YWRhOmh1bnRlcjI=\nno"}"#;
    let long = format!("{{\"error\":\"{}\"}}", "x".repeat(10_000));
    let later = "429 Too Many Requests\r\nretry-after: 7";
    let cases = [
        ("400 Bad Request", said, ErrorKind::Invalid, "1:5: *** *** no"),
        ("400 Bad Request", &*long, ErrorKind::Invalid, "xxx"),
        ("422 Unprocessable", said, ErrorKind::Invalid, "1:5"),
        ("404 Not Found", "nothing", ErrorKind::Invalid, "404"),
        ("401 Unauthorized", "", ErrorKind::Denied, "renew"),
        ("403 Forbidden", "", ErrorKind::Denied, "renew"),
        (later, "", ErrorKind::RateLimited, "slow down"),
        ("500 Broken", "<html>", ErrorKind::Unavailable, "500"),
        ("503 Busy\r\nretry-after: 99999999", said, ErrorKind::Unavailable, "503"),
        ("302 Found", "", ErrorKind::Unavailable, "302"),
        ("200 OK", "<html>", ErrorKind::Unavailable, "is it a Prometheus"),
        ("200 OK", r#"{"status":"success"}"#, ErrorKind::Unavailable, "without data"),
        ("200 OK", r#"{"status":"error","error":"x"}"#, ErrorKind::Unavailable, "without data"),
    ];
    for (status, body, kind, text) in cases {
        let error = ask(status, body, |_| {}, Some(password())).await.0.unwrap_err();
        let shown = error.to_string();
        assert_eq!(error.kind(), kind, "{shown}");
        assert!(shown.contains(text) && shown.len() < 900, "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("YWRh"), "{shown}");
        let wanted = match status {
            _ if status.contains(": 7") => Some(RetryAdvice::After(Duration::from_secs(7))),
            _ if status.contains("9999") => Some(RetryAdvice::After(Duration::from_hours(24))),
            _ => None,
        };
        assert!(wanted.is_none_or(|wanted| error.retry() == wanted), "{error:?}");
    }
}

#[tokio::test]
async fn answers_are_read_strictly() {
    let of = |kind: &str, result: &str| {
        format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
    };
    for (kind, result) in [
        ("vector", r#"[{"metric":{},"value":[1,"x"]}]"#),
        ("vector", r#"[{"metric":{},"value":[1e300,"1"]}]"#),
        ("vector", r#"[{"metric":{},"value":[1,2]}]"#),
        ("vector", r#"[{"metric":{"a":1},"value":[1,"2"]}]"#),
        ("matrix", r#"[{"metric":{},"values":[[1]]}]"#),
        ("matrix", "{}"),
        ("other", "[]"),
        ("vector", "["),
    ] {
        let error = ask("200 OK", &of(kind, result), |_| {}, None).await.0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{kind} {result}");
    }
    let rows = r#"[{"metric":{"a":"b"},"values":[[1.5,"NaN"],[2.001,"+Inf"],[3,"1e+06"]]}]"#;
    let Ok(Ok(Found::Matrix(rows))) = ask("200 OK", &of("matrix", rows), |_| {}, None).await.0
    else {
        panic!("no matrix");
    };
    let [nan, infinite, million] = [0, 1, 2].map(|n| rows[0].values[n].0);
    assert!(nan.value.is_nan() && infinite.value.is_infinite());
    assert_eq!((infinite.at.as_micros(), million.value.to_bits()), (2_001_000, 1e6_f64.to_bits()));
}

#[tokio::test]
async fn what_is_too_much_or_only_a_part_is_no_data() {
    let long = format!("{EMPTY}{}", " ".repeat(2 * 1024 * 1024));
    let few = |settings: &mut PrometheusSettings| settings.most_samples = 10;
    let reason = ask("200 OK", &long, few, None).await.0.unwrap().unwrap_err();
    assert!(reason.contains("more than 1048576 bytes"), "{reason}");
    let part = EMPTY.replace("\"success\"", "\"success\",\"warnings\":[\"one store is down\"]");
    let reason = ask("200 OK", &part, |_| {}, None).await.0.unwrap().unwrap_err();
    assert!(reason.contains("one store is down"), "{reason}");
}

#[tokio::test]
async fn who_does_not_answer_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings =
        PrometheusSettings::new(format!("http://{}", listener.local_addr().unwrap()));
    settings.patience_ms = 20;
    let client = Client::new(&settings, None, Arc::new(SystemClock::new())).unwrap();
    let query = || client.query("a", Timestamp::default(), Span::secs(5));
    let error = query().await.unwrap_err(); // nobody accepts
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("20ms"), "{error}");
    drop(listener);
    assert_eq!(query().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn base64_is_padded() {
    for (text, want) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
    {
        assert_eq!(base64(text.as_bytes()), want);
    }
}
