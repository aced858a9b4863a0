//! The service that quickstart releases: one file, std only, HTTP/1.1, one thread a connection.
//!
//! Quickstart compiles it once for each version it ships, because a version that is only a
//! run-time flag would prove nothing about replacing one program by another:
//!
//! ```text
//! DEMO_VERSION=1.1.0 DEMO_FAILURE_PERCENT=20 rustc -O --edition 2024 demo_service.rs -o demo-1.1.0
//! PORT=8080 SERVICE_NAME=checkout ./demo-1.1.0
//! ```
//!
//! | request        | answer                                                                     |
//! |----------------|----------------------------------------------------------------------------|
//! | `GET /healthz` | 200 and a JSON status                                                      |
//! | `GET /metrics` | the work done so far, in the Prometheus text format 0.0.4                  |
//! | anything else  | work: 200, or 500 for exactly `DEMO_FAILURE_PERCENT` of every 100 requests |
//!
//! `DEMO_MODE` makes a bad service for tests: `exit` dies at once, `unhealthy` answers `/healthz`
//! with 503, and `/metrics` holds NaN (`nan`), noise (`garbage`) or nothing (`silent`).
//!
//! Exit codes: 2 for a bad environment, 3 for `DEMO_MODE=exit`, 98 when the port is taken, 1 for
//! any other failure to listen. SIGTERM keeps its default meaning, death at once: std cannot catch
//! it, so whoever stops this service drains its traffic first.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, thread};

const VERSION: &str = env!("DEMO_VERSION", "set DEMO_VERSION when compiling this file");

/// Checked by the compiler, so that a service with a nonsensical failure rate cannot exist.
const FAILURE_PERCENT: u64 = match u64::from_str_radix(env!("DEMO_FAILURE_PERCENT"), 10) {
    Ok(percent @ 0..=100) => percent,
    _ => panic!("DEMO_FAILURE_PERCENT must be a whole number from 0 to 100"),
};

const MODES: [&str; 6] = ["", "exit", "unhealthy", "nan", "garbage", "silent"];
const MAX_HEAD_BYTES: u64 = 8 * 1024;
const MAX_BODY_BYTES: u64 = 1024 * 1024;
const MAX_CONNECTIONS: usize = 512;
/// How long a peer may be silent, also between two requests.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// How long a refused peer may take to notice that it was refused.
const LINGER: Duration = Duration::from_secs(1);
/// Upper bounds of the latency histogram, in seconds; `+Inf` is added when it is printed.
const BUCKETS: [f64; 6] = [0.0001, 0.001, 0.005, 0.025, 0.1, 1.0];

/// What `/metrics` reports. Behind one lock, so that a scrape never sees a torn sum.
#[derive(Clone, Copy, Default)]
struct Counts {
    succeeded: u64,
    failed: u64,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
}

struct Service {
    name: String,
    /// One of `MODES`.
    mode: String,
    counts: Mutex<Counts>,
}

/// Method, path, and whether the connection stays; the rest of a head is checked and forgotten.
type Request = (String, String, bool);

/// Status, content type and body.
type Response = (&'static str, &'static str, Vec<u8>);

/// Why a connection ends early.
enum Stop {
    /// The peer left, fell silent, or cannot be written to.
    HungUp,
    /// What it sent is answered with this status.
    Refuse(&'static str),
}

const BAD_REQUEST: Stop = Stop::Refuse("400 Bad Request");

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::HungUp
    }
}

fn main() -> ExitCode {
    match start() {
        Ok((listener, service)) => serve(&listener, &service),
        Err((code, message)) => {
            say(&mut io::stderr(), &format!("demo service: {message}"));
            ExitCode::from(code)
        }
    }
}

/// Reads the environment and takes the port, or says with which code to exit and why.
fn start() -> Result<(TcpListener, Arc<Service>), (u8, String)> {
    let mode = env::var("DEMO_MODE").unwrap_or_default();
    let name = env::var("SERVICE_NAME").unwrap_or_else(|_| "demo".to_owned());
    let port = env::var("PORT").ok().and_then(|port| port.parse::<u16>().ok());
    if !MODES.contains(&mode.as_str()) {
        return Err((2, format!("DEMO_MODE is `{mode}`, which is none of {MODES:?}")));
    }
    if mode == "exit" {
        return Err((3, "exiting at once, because DEMO_MODE=exit".to_owned()));
    }
    // The name goes unescaped into JSON and into metric labels, so it may hold nothing to escape.
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err((2, "SERVICE_NAME may hold letters, digits, `-`, `_` and `.` only".to_owned()));
    }
    let port = port.ok_or((2, "PORT must be set to a port number".to_owned()))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        let code = if error.kind() == ErrorKind::AddrInUse { 98 } else { 1 };
        (code, format!("cannot listen on 127.0.0.1:{port}: {error}"))
    })?;
    say(&mut io::stdout(), &format!("{name} {VERSION} listens on 127.0.0.1:{port}"));
    Ok((listener, Arc::new(Service { name, mode, counts: Mutex::default() })))
}

/// Prints a line. A closed pipe is no reason to die, which is why this is not `println!`.
fn say(to: &mut impl Write, line: &str) {
    let _ = writeln!(to, "{line}").and_then(|()| to.flush());
}

fn serve(listener: &TcpListener, service: &Arc<Service>) -> ExitCode {
    // A failed accept is the peer's affair: it left before it was served.
    for stream in listener.incoming().flatten() {
        // Every connection's thread holds the service, so its holders count the connections. A
        // connection too many, or one without a thread, is hung up on by dropping it.
        if Arc::strong_count(service) <= MAX_CONNECTIONS {
            let service = Arc::clone(service);
            drop(thread::Builder::new().spawn(move || service.converse(&stream).is_ok()));
        }
    }
    ExitCode::SUCCESS
}

impl Service {
    /// Answers requests on one connection until either side wants no more.
    fn converse(&self, stream: &TcpStream) -> Result<(), Stop> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(IDLE_LIMIT))?;
        stream.set_write_timeout(Some(IDLE_LIMIT))?;
        let mut reader = BufReader::new(stream);
        loop {
            let (method, path, keep_alive) = match receive(&mut reader) {
                Err(Stop::Refuse(status)) => return refuse(stream, status),
                received => received?,
            };
            let response = self.answer(&method, &path, Instant::now());
            send(stream, &response, keep_alive, method != "HEAD")?;
            if !keep_alive {
                return Ok(());
            }
        }
    }

    fn answer(&self, method: &str, path: &str, begun: Instant) -> Response {
        let reads = matches!(method, "GET" | "HEAD");
        let (status, word) = match path {
            "/healthz" | "/metrics" if !reads => ("405 Method Not Allowed", "refused"),
            "/healthz" if self.mode == "unhealthy" => ("503 Service Unavailable", "unhealthy"),
            "/healthz" => ("200 OK", "ok"),
            "/metrics" => {
                return ("200 OK", "text/plain; version=0.0.4; charset=utf-8", self.metrics());
            }
            _ if self.work(begun) => ("200 OK", "done"),
            _ => ("500 Internal Server Error", "failed"),
        };
        let name = &self.name;
        let body = format!(r#"{{"status":"{word}","service":"{name}","version":"{VERSION}"}}"#);
        (status, "application/json", body.into_bytes())
    }

    /// Counts one work request and returns whether it succeeds.
    ///
    /// Failures are spread evenly: of any 100 in a row, exactly `FAILURE_PERCENT` fail.
    fn work(&self, begun: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = (counts.succeeded + counts.failed) % 100;
        let fails = (nth + 1) * FAILURE_PERCENT / 100 > nth * FAILURE_PERCENT / 100;
        *(if fails { &mut counts.failed } else { &mut counts.succeeded }) += 1;
        let seconds = begun.elapsed().as_secs_f64();
        counts.seconds += seconds;
        for (count, bound) in counts.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
        !fails
    }

    fn metrics(&self) -> Vec<u8> {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match self.mode.as_str() {
            "silent" => return Vec::new(),
            "garbage" => return (0..999_u32).map(|n| (n * n).to_le_bytes()[1] | 0x80).collect(),
            _ => {}
        }
        let (requests, duration) = ("http_requests_total", "http_request_duration_seconds");
        let labels = format!("service=\"{}\",version=\"{VERSION}\"", self.name);
        let all = counts.succeeded + counts.failed;
        let number = |value: f64| if self.mode == "nan" { f64::NAN } else { value };
        let mut lines = vec![format!("# TYPE {requests} counter")];
        for (code, count) in [(200, counts.succeeded), (500, counts.failed)] {
            let count = number(count as f64);
            lines.push(format!("{requests}{{{labels},code=\"{code}\"}} {count}"));
        }
        lines.push(format!("# TYPE {duration} histogram"));
        let bounds = BUCKETS.iter().map(f64::to_string).zip(counts.buckets);
        for (bound, count) in bounds.chain([("+Inf".to_owned(), all)]) {
            let count = number(count as f64);
            lines.push(format!("{duration}_bucket{{{labels},le=\"{bound}\"}} {count}"));
        }
        lines.push(format!("{duration}_sum{{{labels}}} {}", number(counts.seconds)));
        lines.push(format!("{duration}_count{{{labels}}} {}\n", number(all as f64)));
        lines.join("\n").into_bytes()
    }
}

/// Reads one request and its body.
fn receive(reader: &mut impl BufRead) -> Result<Request, Stop> {
    let mut budget = MAX_HEAD_BYTES;
    let first = read_line(reader, &mut budget)?;
    let words: Vec<&str> = first.split(' ').collect();
    let &[method, target, protocol @ ("HTTP/1.1" | "HTTP/1.0")] = words.as_slice() else {
        return Err(BAD_REQUEST);
    };
    let path = target.split('?').next().unwrap_or_default();
    if !method.bytes().all(|b| b.is_ascii_uppercase()) || !path.starts_with('/') {
        return Err(BAD_REQUEST);
    }
    let (mut body, mut keep_alive, mut has_host) = (None, protocol == "HTTP/1.1", false);
    loop {
        let line = read_line(reader, &mut budget)?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(BAD_REQUEST)?;
        let value = value.trim();
        match name {
            // Also refuses the folded lines of old, which begin with a blank.
            _ if name.is_empty() || name.contains([' ', '\t']) => return Err(BAD_REQUEST),
            "host" => has_host = true,
            "connection" => {
                let says = |word| value.split(',').any(|token| token.trim() == word);
                keep_alive = !says("close") && (keep_alive || says("keep-alive"));
            }
            // Two lengths, or a length beside another framing, are how requests get smuggled.
            "content-length" if body.is_some() || value.starts_with('+') => {
                return Err(BAD_REQUEST);
            }
            "content-length" => body = Some(value.parse::<u64>().map_err(|_| BAD_REQUEST)?),
            "transfer-encoding" => return Err(Stop::Refuse("411 Length Required")),
            _ => {}
        }
    }
    match body.unwrap_or(0) {
        _ if protocol == "HTTP/1.1" && !has_host => Err(BAD_REQUEST),
        body if body > MAX_BODY_BYTES => Err(Stop::Refuse("413 Content Too Large")),
        body if io::copy(&mut reader.take(body), &mut io::sink())? < body => Err(Stop::HungUp),
        _ => Ok((method.to_owned(), path.to_owned(), keep_alive)),
    }
}

/// Reads one line without its end, taking its bytes off the `budget` of the whole head.
fn read_line(reader: &mut impl BufRead, budget: &mut u64) -> Result<String, Stop> {
    let mut line = Vec::new();
    *budget -= reader.take(*budget).read_until(b'\n', &mut line)? as u64;
    match line.strip_suffix(b"\n") {
        Some(line) => String::from_utf8(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
            .map_err(|_| BAD_REQUEST),
        None if *budget == 0 => Err(Stop::Refuse("431 Request Header Fields Too Large")),
        None => Err(Stop::HungUp), // between two requests this is the normal end
    }
}

/// Answers what could not be read as a request, and ends the connection.
fn refuse(mut stream: &TcpStream, status: &'static str) -> Result<(), Stop> {
    send(stream, &(status, "text/plain", status.into()), false, true)?;
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread bytes would reset the connection and might cost the peer its answer.
    stream.set_read_timeout(Some(LINGER))?;
    io::copy(&mut Read::take(&mut stream, MAX_BODY_BYTES), &mut io::sink())?;
    Ok(())
}

fn send(mut stream: &TcpStream, response: &Response, keep: bool, body: bool) -> io::Result<()> {
    let (status, content_type, bytes) = response;
    let (length, connection) = (bytes.len(), if keep { "keep-alive" } else { "close" });
    let mut message = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         x-version: {VERSION}\r\nconnection: {connection}\r\n\r\n"
    )
    .into_bytes();
    message.extend_from_slice(if body { bytes } else { &[] });
    stream.write_all(&message)
}
