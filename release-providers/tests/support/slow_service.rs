//! A service whose answers take as long as a test wants: std only, one thread a connection.
//!
//! `/slow` sends the head and half of the body, makes a file `slow-begun` in its working directory
//! and sends the other half once a file `slow-go` is there. `/drop` reads the request and hangs up.
//! `/echo` answers with the request as it arrived. Everything else is 200 `ok`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;
use std::{env, fs, thread};

fn main() {
    let port: u16 = env::var("PORT").expect("PORT").parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    for stream in listener.incoming().flatten() {
        thread::spawn(move || while serve(&stream).is_some() {});
    }
}

fn serve(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    match head.split(' ').nth(1)? {
        "/slow" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf").ok()?;
            fs::write("slow-begun", "").ok()?;
            while !Path::new("slow-go").exists() {
                thread::sleep(Duration::from_millis(5));
            }
            stream.write_all(b"done").ok()
        }
        "/drop" => None,
        "/echo" => answer(stream, format!("{head}\r\n{}", String::from_utf8_lossy(&body))),
        _ => answer(stream, "ok".to_owned()),
    }
}

fn answer(mut stream: &TcpStream, body: String) -> Option<()> {
    let head = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=9\r\nx-release-version: forged";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()
}
