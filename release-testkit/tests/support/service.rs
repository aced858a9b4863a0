//! A service whose counters a test sets.

use std::fmt::Write as _;

use release_core::model::{Metric, Selector};
use release_providers::samples::SeriesId;
use release_testkit::conformance::metrics_source::BOUNDS;
use release_testkit::fixtures;

/// What an instance of version 1.1.0 has counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service {
    pub(crate) failed: u32,
    pub(crate) all: u32,
    pub(crate) observed: Vec<f64>,
    pub(crate) load: f64,
}

impl Service {
    /// The ratio of its two counters.
    pub(crate) fn ratio() -> Metric {
        let [numerator, denominator] = ["failed", "all"].map(Selector::series);
        Metric::Ratio { numerator, denominator }
    }

    pub(crate) fn count(&mut self, failed: u32, all: u32) {
        self.failed += failed;
        self.all += all;
    }

    /// All its series, and what they say now.
    pub(crate) fn samples(&self) -> Vec<(SeriesId, f64)> {
        let (target, version) = (fixtures::target("api"), fixtures::version("1.1.0"));
        let id = |name: &str| SeriesId::of(name, &target, &version, "a");
        let up_to = |bound: f64| {
            self.observed.iter().filter(|value| **value <= bound).map(|_| 1.0).sum::<f64>()
        };
        let mut all = vec![
            (id("failed"), f64::from(self.failed)),
            (id("all"), f64::from(self.all)),
            (id("load"), self.load),
            (id("duration_sum"), self.observed.iter().sum()),
            (id("duration_count"), up_to(f64::INFINITY)),
        ];
        let bounds = BOUNDS.iter().map(|bound| (bound.to_string(), *bound));
        for (le, bound) in bounds.chain([("+Inf".to_owned(), f64::INFINITY)]) {
            all.push((id("duration_bucket").label("le", le), up_to(bound)));
        }
        all
    }

    /// The same as text; each line ends with `more`.
    pub(crate) fn text(&self, more: &str) -> String {
        let mut text = String::new();
        for (id, value) in self.samples() {
            let _ = writeln!(text, "{id} {value}{more}");
        }
        text
    }
}
