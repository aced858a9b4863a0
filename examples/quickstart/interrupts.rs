//! Ctrl-C, SIGTERM and a closed terminal: whoever stops the play wants the machine back as it was.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Failure;

/// From the moment that they are listened for, signals no longer end the process by themselves.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal; says which it was.
    pub(crate) async fn next(&mut self) -> Failure {
        let name = tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        };
        format!("stopped by {name}; what it had started is stopped too").into()
    }
}
