//! A source over a file of samples with timestamps.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::Digest;
use release_core::port::{Clock, EffectCertainty, Measurement};
use release_core::time::Timestamp;
use tokio::sync::Mutex;

use super::fact::{Arrival, SeriesId};
use super::tape::{Tape, TapeSettings};
use super::{MEASURE, described, invalid};
use crate::exposition::{Dialect, parse_lines};
use crate::spi::{MeasureRequest, MetricsSource};
use crate::{Context, Description, ErrorKind, ProviderError};

/// A longer file is not read.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// What the lines of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// The Prometheus text format 0.0.4, with timestamps: whole milliseconds.
    Prometheus,
    /// The text format of `OpenMetrics`, as `promtool tsdb create-blocks-from openmetrics` takes it: timestamps are seconds.
    /// `# EOF` may end it, and need not.
    OpenMetrics,
}

/// A [`MetricsSource`] over a file, which is read anew when it has changed. A last line without an end is none yet: it counts
/// when its end is there, and never half a number. A clone is the same source.
///
/// Each series of a target has the labels `environment`, `region`, `service` and `version`, and should have `instance`; those of
/// a track have `track`. Each sample has a timestamp. Their order is of no matter. While the file is missing the source is
/// `Unavailable`; while a line of it cannot be read there is no data, with the number of the line.
///
/// ```
/// use std::sync::Arc;
/// use release_core::time::Span;
/// use release_providers::samples::{FileFormat, FileSource, TapeSettings};
/// use release_providers::{ProviderError, SystemClock};
///
/// # fn example() -> Result<(), ProviderError> {
/// let settings = TapeSettings::every(Span::secs(10));
/// let clock = Arc::new(SystemClock::new());
/// let source = FileSource::new("samples.prom", FileFormat::Prometheus, settings, clock)?;
/// # let _ = source; Ok(()) }
/// # example().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct FileSource {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    format: FileFormat,
    settings: TapeSettings,
    clock: Arc<dyn Clock>,
    read: Mutex<Option<Read>>,
}

/// What was read last.
#[derive(Debug)]
struct Read {
    digest: Digest,
    /// Its samples, or the line that cannot be read.
    tape: Result<Tape, String>,
}

impl FileSource {
    /// A source over the file at `path`, which need not be there yet.
    ///
    /// # Errors
    /// `Invalid` for settings that make no sense.
    pub fn new(
        path: impl Into<PathBuf>,
        format: FileFormat,
        settings: TapeSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        if let Some(problem) = settings.problem() {
            return Err(invalid(problem));
        }
        let (path, read) = (path.into(), Mutex::default());
        Ok(Self { inner: Arc::new(Inner { path, format, settings, clock, read }) })
    }
}

#[async_trait]
impl MetricsSource for FileSource {
    fn describe(&self) -> Description {
        described("sample_file")
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let inner = &self.inner;
        let look = inner.measure(&request);
        cx.within(&*inner.clock, MEASURE, EffectCertainty::NotApplied, look).await
    }
}

impl Inner {
    async fn measure(&self, request: &MeasureRequest) -> Result<Measurement, ProviderError> {
        let mut read = self.read.lock().await;
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&path)).await;
        let bytes = loaded.map_err(|e| self.unavailable(&e))?.map_err(|e| self.unavailable(&e))?;
        let now = self.clock.now();
        let digest = Digest::of(&bytes);
        if read.as_ref().is_none_or(|read| read.digest != digest) {
            *read = Some(Read { digest, tape: self.tape(&bytes, now) });
        }
        match read.as_ref().map(|read| &read.tape) {
            Some(Ok(tape)) => tape.measure(request, now),
            Some(Err(reason)) => Ok(Measurement::NoData { reason: reason.clone() }),
            None => Ok(Measurement::NoData { reason: "nothing was read".to_owned() }),
        }
    }

    fn tape(&self, bytes: &[u8], now: Timestamp) -> Result<Tape, String> {
        let path = self.path.display();
        let dialect = match self.format {
            FileFormat::Prometheus => Dialect::Prometheus,
            FileFormat::OpenMetrics => Dialect::OpenMetrics,
        };
        let samples = parse_lines(bytes, dialect).map_err(|e| format!("{path}: {e}"))?;
        let mut tape = Tape::new(self.settings.clone());
        for sample in samples {
            let mut id = SeriesId::named(sample.name);
            for (label, value) in sample.labels {
                id = id.label(label, value);
            }
            let at =
                sample.at.ok_or_else(|| format!("{path}: a sample of {id} has no timestamp"))?;
            let arrival = tape.put(now, &id, at, sample.value);
            match (arrival, arrival.remark()) {
                // In which order lines stand is of no matter.
                (_, None) | (Arrival::Late { .. }, _) => {}
                (Arrival::Full { .. }, Some(remark)) => {
                    return Err(format!("{path}: no room for {id}: {remark}; allow more"));
                }
                // What it means for a measurement the tape knows.
                (_, Some(remark)) => {
                    tracing::warn!(%path, %id, %at, value = sample.value, remark, "not an ordinary sample");
                }
            }
        }
        Ok(tape)
    }

    fn unavailable(&self, why: &dyn std::fmt::Display) -> ProviderError {
        let text = format!("the file of samples cannot be read: {why}");
        ProviderError::new(ErrorKind::Unavailable, MEASURE, text)
            .with_context("path", self.path.display())
    }
}

fn load(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > MOST_BYTES {
        let text = format!("it has {bytes} bytes, more than {MOST_BYTES}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    std::fs::read(path)
}
