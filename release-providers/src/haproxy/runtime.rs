//! The runtime API: one command a connection, and its answer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use release_core::port::Clock;
use release_core::time::Span;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::{ErrorKind, ProviderError};

/// More than all that is ever asked for.
const MOST: u64 = 32 * 1024 * 1024;

/// Where the runtime API is.
#[derive(Debug)]
pub(super) struct Runtime {
    address: Address,
    clock: Arc<dyn Clock>,
    patience: Span,
}

#[derive(Debug)]
enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Runtime {
    /// `socket` has been checked; what is neither is a path that is not there.
    pub(super) fn new(socket: &str, clock: Arc<dyn Clock>, patience: Span) -> Self {
        let address = socket.parse().map_or_else(|_| Address::Unix(socket.into()), Address::Tcp);
        Self { address, clock, patience }
    }

    /// Gives one command, with lines of a payload if there are any, and reads the whole answer.
    pub(super) async fn ask(
        &self,
        operation: &'static str,
        command: &str,
    ) -> Result<String, ProviderError> {
        let unavailable = |text: &str| {
            ProviderError::new(ErrorKind::Unavailable, operation, text)
                .with_context("socket", self.socket())
                .with_context("command", first_line(command))
        };
        let exchange = async {
            match &self.address {
                Address::Unix(path) => talk(UnixStream::connect(path).await?, command).await,
                Address::Tcp(address) => talk(TcpStream::connect(address).await?, command).await,
            }
        };
        let patience = self.clock.now().plus(self.patience);
        let answer = tokio::select! {
            biased;
            answer = exchange => answer,
            () = self.clock.sleep_until(patience) => {
                return Err(unavailable("HAProxy's runtime API did not answer in time"));
            }
        };
        let answer = answer.map_err(|error| {
            if error.kind() == io::ErrorKind::PermissionDenied {
                let text = "HAProxy's socket may not be opened; run as a user that may";
                return ProviderError::new(ErrorKind::Denied, operation, text)
                    .with_context("socket", self.socket())
                    .with_source(error);
            }
            unavailable("HAProxy's runtime API cannot be reached; is it running?")
                .with_source(error)
        })?;
        // Every answer ends with an empty line; one that does not was broken off.
        match answer.strip_suffix('\n') {
            Some(whole) if whole.is_empty() || whole.ends_with('\n') => Ok(whole.to_owned()),
            _ => Err(unavailable("an answer of HAProxy's runtime API broke off")),
        }
    }

    fn socket(&self) -> String {
        match &self.address {
            Address::Unix(path) => path.display().to_string(),
            Address::Tcp(address) => address.to_string(),
        }
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    command: &str,
) -> io::Result<String> {
    stream.write_all(command.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer).await?;
    String::from_utf8(answer).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

fn first_line(command: &str) -> &str {
    command.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use release_core::clock::SystemClock;
    use tokio::net::TcpListener;

    use super::*;

    /// What is made of an answer in these bytes; of none at all without any.
    async fn asked(answer: Option<&'static [u8]>) -> Result<String, ProviderError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = listener.local_addr().unwrap().to_string();
        let runtime = Runtime::new(&socket, Arc::new(SystemClock::new()), Span::millis(300));
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 13];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"show version\n");
            match answer {
                Some(answer) => stream.write_all(answer).await.unwrap(),
                // Until whoever asked goes away.
                None => drop(stream.read_to_end(&mut Vec::new()).await),
            }
        };
        let (answer, ()) = tokio::join!(runtime.ask("x", "show version"), server);
        answer
    }

    #[tokio::test]
    async fn an_answer_is_whole_or_none() {
        assert_eq!(asked(Some(b"2.6\n\n")).await.unwrap(), "2.6\n");
        assert_eq!(asked(Some(b"\n")).await.unwrap(), "");
        let broken: [Option<&[u8]>; 4] = [Some(b""), Some(b"2.6\n"), Some(b"\xff\n\n"), None];
        for answer in broken {
            assert_eq!(asked(answer).await.unwrap_err().kind(), ErrorKind::Unavailable);
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable() {
        let clock = Arc::new(SystemClock::new());
        let runtime = Runtime::new("/nowhere/at/all", clock, Span::secs(1));
        let error = runtime.ask("x", "show version").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.context("socket"), Some("/nowhere/at/all"));
    }
}
