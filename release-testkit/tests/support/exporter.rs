//! An endpoint where a service tells what it counted, in the Prometheus text format; or does not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::service::Service;

/// How the endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// With what was counted.
    Serves,
    /// Not at all: it hangs up.
    HangsUp,
    /// Not before it is in another mode.
    Stalls,
    /// With this status, and nothing else.
    Refuses(&'static str),
    /// With this instead of what was counted.
    Says(String),
}

/// An endpoint that can be scraped.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) address: SocketAddr,
    pub(crate) service: Arc<Mutex<Service>>,
    pub(crate) scrapes: watch::Receiver<u64>,
    mode: Arc<(Mutex<Option<Mode>>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = Arc::new(Mutex::new(Service { all: 10, ..Service::default() }));
        let mode = Arc::new((Mutex::new(Some(Mode::Serves)), Condvar::new()));
        let (served, scrapes) = watch::channel(0);
        let (counted, modes) = (Arc::clone(&service), Arc::clone(&mode));
        let serve = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mode, changed) = &*modes;
                let mode = mode.lock().unwrap();
                let stalls = |mode: &mut Option<Mode>| *mode == Some(Mode::Stalls);
                let mode = changed.wait_while(mode, stalls).unwrap().clone();
                let (status, body) = match mode {
                    None => return,
                    Some(Mode::HangsUp | Mode::Stalls) => continue,
                    Some(Mode::Refuses(status)) => (status, String::new()),
                    Some(Mode::Says(text)) => ("200 OK", text),
                    Some(Mode::Serves) => ("200 OK", counted.lock().unwrap().text("")),
                };
                answer(&mut stream, status, &body);
                served.send_modify(|count| *count += 1);
            }
        };
        let thread = Some(std::thread::Builder::new().spawn(serve).unwrap());
        Self { address, service, scrapes, mode, thread }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.0.lock().unwrap() = Some(mode);
        self.mode.1.notify_all();
    }
}

fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let _ = stream.read(&mut [0; 4096]);
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n"
    );
    let _ = stream.write_all((head + body).as_bytes());
}

impl Drop for Exporter {
    fn drop(&mut self) {
        *self.mode.0.lock().unwrap() = None;
        self.mode.1.notify_all();
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
