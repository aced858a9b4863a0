//! A service whose `/metrics` say what they were told last by `POST /metrics`. Everything else is answered with 200.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0);
    let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else {
        std::process::exit(98); // the port is taken
    };
    let mut told = Vec::new();
    for stream in listener.incoming() {
        let mut reader = BufReader::new(stream?);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        if first.starts_with("POST /metrics ") {
            told = vec![0; length];
            reader.read_exact(&mut told)?;
        }
        let body: &[u8] = if first.starts_with("GET /metrics ") { &told } else { b"" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let stream = reader.get_mut();
        // Whoever left before its answer does not need it.
        drop(stream.write_all(&[head.as_bytes(), body].concat()));
    }
    Ok(())
}
