//! One request over HTTP/1.1, and what of its answer tests look at.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use release_testkit::conformance::HookError;

/// Longer than any answer may take, and yet an end.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Sends one request over a connection of its own; it has to be answered with 200.
pub(crate) fn get(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> Result<Answer, HookError> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("GET {path} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    answer(stream)
}

/// The first half of a `POST`.
#[derive(Debug)]
pub(crate) struct Half(TcpStream);

impl Half {
    pub(crate) fn of_a_post(address: SocketAddr) -> Result<Self, HookError> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head =
            "POST /work HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: 4\r\n\r\nso";
        stream.write_all(head.as_bytes())?;
        Ok(Self(stream))
    }

    /// Sends the other half; it has to be answered with 200.
    pub(crate) fn finish(mut self) -> Result<Answer, HookError> {
        self.0.write_all(b"on")?;
        answer(self.0)
    }
}

fn answer(mut stream: TcpStream) -> Result<Answer, HookError> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        return Err(format!("not served: {answer}").into());
    }
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no end of its head")?;
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers =
        lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(Answer { headers, body: body.to_owned() })
}

/// How many requests an instance of the demo service has got.
pub(crate) fn arrived(instance: SocketAddr) -> Result<u64, HookError> {
    let metrics = get(instance, "/metrics", &[])?.body;
    let counts = metrics.lines().filter(|line| line.starts_with("http_requests_total{"));
    let counts = counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    Ok(counts.sum())
}
