//! The file source: half-written lines, changes, and what cannot be read.

use std::sync::Arc;

use release_core::model::{Digest, Finite};
use release_core::port::{Clock as _, Measurement};
use release_core::time::{Span, Timestamp};
use release_providers::samples::{FileFormat, FileSource, TapeSettings};
use release_providers::spi::{MeasureRequest, MetricsSource as _};
use release_providers::{ErrorKind, ProviderError};
use release_testkit::{VirtualClock, fixtures};
use tempfile::TempDir;

use crate::service::Service;

/// A file, and a source whose clock stands at second 60.
struct Stage {
    directory: TempDir,
    clock: Arc<VirtualClock>,
    source: FileSource,
}

impl Stage {
    fn set(format: FileFormat) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(VirtualClock::at(at(60)));
        let (path, settings) = (directory.path().join("f"), TapeSettings::every(Span::secs(10)));
        let source = FileSource::new(path, format, settings, clock.clone()).unwrap();
        Self { directory, clock, source }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.directory.path().join("f"), text).unwrap();
    }

    async fn measure(&self, since: i64) -> Result<Measurement, ProviderError> {
        let mut cx = fixtures::context("measure");
        cx.deadline = self.clock.now().plus(Span::secs(60));
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let digest = Digest::of(b"x");
        let request = MeasureRequest::new(target, digest, version, Service::ratio(), at(since));
        self.source.measure(&cx, request).await
    }

    async fn grew(&self) -> [f64; 2] {
        match self.measure(50).await.unwrap() {
            Measurement::Ratio { numerator, denominator, .. } => {
                [numerator, denominator].map(Finite::get)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn no_data(&self, why: &str) {
        match self.measure(50).await.unwrap() {
            Measurement::NoData { reason } => assert!(reason.contains(why), "{reason}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn service(failed: u32, all: u32) -> Service {
    Service { failed, all, ..Service::default() }
}

#[tokio::test]
async fn a_half_written_line_is_no_data_and_never_half_a_number() {
    let stage = Stage::set(FileFormat::Prometheus);
    let whole = service(0, 100).text(" 50000") + &service(7, 123).text(" 55000");
    stage.write(&whole);
    assert_eq!(stage.grew().await.map(f64::to_bits), [7.0, 23.0].map(f64::to_bits));
    let last = service(9, 456).text(" 58000");
    for end in 1..last.len() {
        let Some(part) = last.get(..end) else { continue };
        stage.write(&(whole.clone() + part));
        let [failed, all] = stage.grew().await.map(f64::to_bits);
        assert!([7.0, 9.0].map(f64::to_bits).contains(&failed), "{part}");
        assert!([23.0, 356.0].map(f64::to_bits).contains(&all), "{part}");
    }
    stage.write(&(whole + &last));
    assert_eq!(stage.grew().await.map(f64::to_bits), [9.0, 356.0].map(f64::to_bits));
}

#[tokio::test]
async fn it_is_read_anew_when_it_changed_in_any_order() {
    let stage = Stage::set(FileFormat::OpenMetrics);
    let lines = |failed, all, second: u32| service(failed, all).text(&format!(" {second}.0"));
    stage.write(&(lines(3, 40, 55) + &lines(1, 20, 50) + "# EOF\n"));
    assert_eq!(stage.grew().await.map(f64::to_bits), [2.0, 20.0].map(f64::to_bits));
    // As long as before.
    stage.write(&(lines(4, 50, 55) + &lines(1, 20, 50) + "# EOF\n"));
    assert_eq!(stage.grew().await.map(f64::to_bits), [3.0, 30.0].map(f64::to_bits));
    stage.clock.advance(Span::secs(60));
    stage.no_data("old").await;
}

#[tokio::test]
async fn what_cannot_be_read_is_no_data_and_a_missing_file_is_unavailable() {
    let stage = Stage::set(FileFormat::Prometheus);
    assert_eq!(stage.measure(50).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let good = service(0, 100).text(" 50000");
    stage.write(&(good.clone() + "all{ 5\n"));
    stage.no_data("line 9").await;
    stage.write(&(good.clone() + "all 5\n"));
    stage.no_data("has no timestamp").await;
    stage.write(&(good.clone() + &service(1, 2).text(" 50000")));
    stage.no_data("is both").await;
    stage.write(&(good + &service(1, 101).text(" 59000")));
    assert_eq!(stage.grew().await.map(f64::to_bits), [1.0, 1.0].map(f64::to_bits));
    stage.write("other 1 59000\n");
    assert_eq!(stage.measure(50).await.unwrap_err().kind(), ErrorKind::NotFound);
}
