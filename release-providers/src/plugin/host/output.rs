//! What a plugin prints: read to the end whatever it is, so that nobody blocks, and kept within limits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use release_core::port::Clock;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use super::OutputLimits;
use super::text::Redactor;
use crate::sync::lock;

/// The last lines that a plugin printed.
pub(super) struct Output {
    plugin: String,
    limits: OutputLimits,
    redactor: Redactor,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    /// The second that is running...
    second: i64,
    /// ...how many lines came in it...
    came: u32,
    /// ...and how many were passed over.
    passed_over: u64,
}

impl Output {
    pub(super) fn new(
        plugin: &str,
        limits: OutputLimits,
        redactor: Redactor,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { plugin: plugin.to_owned(), limits, redactor, clock, kept: Mutex::default() }
    }

    pub(super) const fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The last lines, the latest last.
    pub(super) fn tail(&self) -> Vec<String> {
        lock(&self.kept).lines.iter().map(String::clone).collect()
    }

    fn line(&self, stream: &'static str, bytes: &[u8]) {
        let second = self.clock.now().as_micros().div_euclid(1_000_000);
        let passed_over = {
            let mut kept = lock(&self.kept);
            let before = if kept.second == second { 0 } else { kept.new_second(second) };
            kept.came = kept.came.saturating_add(1);
            if kept.came > self.limits.lines_a_second {
                kept.passed_over = kept.passed_over.saturating_add(1);
                return;
            }
            before
        };
        let plugin = &self.plugin;
        if passed_over > 0 {
            tracing::warn!(%plugin, passed_over, "the plugin prints too much; lines were passed over");
        }
        let line = self.redactor.clean_to(&String::from_utf8_lossy(bytes), self.limits.line);
        tracing::info!(%plugin, stream, "{line}");
        let mut kept = lock(&self.kept);
        kept.lines.push_back(line);
        while kept.lines.len() > self.limits.kept {
            kept.lines.pop_front();
        }
    }

    /// Keeps the lines of a stream until it ends.
    pub(super) async fn keep(&self, stream: &'static str, mut from: impl AsyncBufRead + Unpin) {
        // A secret that begins within the line is whole in it, so that it is found.
        let most = || self.limits.line.saturating_add(self.redactor.longest());
        while let Some(line) = next_line(&mut from, most()).await {
            self.line(stream, &line);
        }
    }
}

impl Kept {
    fn new_second(&mut self, second: i64) -> u64 {
        (self.second, self.came) = (second, 0);
        std::mem::take(&mut self.passed_over)
    }
}

/// The next line without its end, at most `most` bytes of it; `None` at the end of the stream.
async fn next_line(from: &mut (impl AsyncBufRead + Unpin), most: usize) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let chunk = from.fill_buf().await.unwrap_or_default(); // an error is an end
        if chunk.is_empty() {
            return any.then_some(line);
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(chunk, |end| chunk.split_at(end).0);
        let room = most.saturating_sub(line.len()).min(part.len());
        line.extend_from_slice(part.split_at(room).0);
        let used = part.len().saturating_add(usize::from(end.is_some()));
        from.consume(used);
        if end.is_some() {
            return Some(line);
        }
    }
}

/// The first line; `None` when the stream ends, or goes on for more than `most` bytes, before there is a whole
/// one.
pub(super) async fn first_line(
    from: &mut (impl AsyncBufRead + Unpin),
    most: usize,
) -> Option<String> {
    let mut line = Vec::new();
    loop {
        let chunk = from.fill_buf().await.unwrap_or_default();
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(chunk, |end| chunk.split_at(end).0);
        if chunk.is_empty() || line.len().saturating_add(part.len()) > most {
            return None;
        }
        line.extend_from_slice(part);
        let used = part.len().saturating_add(usize::from(end.is_some()));
        from.consume(used);
        if end.is_some() {
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use release_core::port::ClockAnomaly;
    use release_core::time::Timestamp;

    use super::*;

    #[derive(Debug)]
    struct StillClock;

    #[async_trait::async_trait]
    impl Clock for StillClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(0)
        }
        fn anomaly(&self) -> Option<ClockAnomaly> {
            None
        }
        async fn sleep_until(&self, _: Timestamp) {
            std::future::pending::<()>().await;
        }
    }

    fn output(limits: OutputLimits) -> Output {
        Output::new(
            "p",
            limits,
            Redactor::new(crate::layer::Redactor::default(), ["hunter2"]),
            Arc::new(StillClock),
        )
    }

    #[tokio::test]
    async fn f38_lines_and_their_number_are_limited() {
        let limits = OutputLimits { line: 8, lines_a_second: 3, kept: 2 };
        let output = output(limits);
        let text = [b"one\n\n".as_slice(), &vec![b'x'; 100_000], b"\nfour\nfive"].concat();
        output.keep("stdout", text.as_slice()).await;
        assert_eq!(output.tail(), ["", "xxxxxxxx…"]);
        assert_eq!(lock(&output.kept).passed_over, 2);
    }

    #[tokio::test]
    async fn f40_a_secret_at_the_end_of_a_line_that_is_cut_is_found() {
        let output = output(OutputLimits { line: 12, lines_a_second: 3, kept: 2 });
        output.keep("stderr", b"the key: hunter2 and more".as_slice()).await;
        output.keep("stderr", b"invalid \xff".as_slice()).await;
        assert_eq!(output.tail(), ["the key: ***…", "invalid \u{fffd}"]);
    }

    #[tokio::test]
    async fn f39_only_a_whole_first_line_within_the_limit_counts() {
        for (text, line) in [
            ("1|1\nmore", Some("1|1")),
            ("1|1", None),
            ("", None),
            ("\n", Some("")),
            ("0123456789\n", Some("0123456789")),
            ("0123456789x\n", None),
        ] {
            let mut from = text.as_bytes();
            assert_eq!(first_line(&mut from, 10).await.as_deref(), line, "{text:?}");
        }
    }
}
