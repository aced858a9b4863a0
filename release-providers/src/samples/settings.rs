//! What a source that scrapes is told.

use release_core::model::Target;
use release_core::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::invalid;
use super::tape::TapeSettings;
use crate::ProviderError;

/// Which endpoints are scraped, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScrapeSettings {
    /// The targets, each with its endpoints.
    pub targets: Vec<ScrapedTarget>,
    /// The time between two scrapes, in milliseconds (default 15 000). The sample that a window begins with is at most one
    /// and a half of it older.
    #[serde(default = "interval_ms")]
    pub interval_ms: u32,
    /// How long one scrape may take, in milliseconds (default 10 000).
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
    /// How old the newest sample may be, in milliseconds (default 40 000): older data is no data.
    #[serde(default = "staleness_ms")]
    pub staleness_ms: u32,
    /// The longest window, in seconds (default 86 400, one day); one that began before is cut to it.
    #[serde(default = "retention_s")]
    pub retention_s: u32,
    /// So many series are kept at the most (default 10 000); while there are more there is no data.
    #[serde(default = "most_series")]
    pub most_series: u32,
    /// So many samples are kept at the most (default 1 000 000); with more the oldest go, and windows begin later.
    #[serde(default = "most_samples")]
    pub most_samples: u32,
}

/// A target, and where its instances tell their samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScrapedTarget {
    /// Which; what is on a track may be listed apart.
    pub target: Target,
    /// The endpoints of its instances, of all versions, such as `http://10.0.0.7:8080/metrics`. Only `http`; an instance that
    /// speaks TLS is reached through a proxy on this machine.
    pub endpoints: Vec<String>,
}

const fn interval_ms() -> u32 {
    15_000
}

const fn timeout_ms() -> u32 {
    10_000
}

const fn staleness_ms() -> u32 {
    40_000
}

const fn retention_s() -> u32 {
    86_400
}

const fn most_series() -> u32 {
    10_000
}

const fn most_samples() -> u32 {
    1_000_000
}

impl Default for ScrapeSettings {
    fn default() -> Self {
        Self::new()
    }
}

impl ScrapeSettings {
    /// The defaults, and no target yet.
    pub const fn new() -> Self {
        Self {
            targets: Vec::new(),
            interval_ms: interval_ms(),
            timeout_ms: timeout_ms(),
            staleness_ms: staleness_ms(),
            retention_s: retention_s(),
            most_series: most_series(),
            most_samples: most_samples(),
        }
    }

    /// Adds a target with its endpoints.
    #[must_use]
    pub fn target<U: Into<String>>(
        mut self,
        target: Target,
        endpoints: impl IntoIterator<Item = U>,
    ) -> Self {
        let endpoints = endpoints.into_iter().map(Into::into).collect();
        self.targets.push(ScrapedTarget { target, endpoints });
        self
    }

    pub(super) fn interval(&self) -> Span {
        Span::millis(u64::from(self.interval_ms))
    }

    pub(super) fn timeout(&self) -> Span {
        Span::millis(u64::from(self.timeout_ms))
    }

    pub(super) fn tape(&self) -> TapeSettings {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        TapeSettings {
            interval: self.interval(),
            staleness: Span::millis(u64::from(self.staleness_ms)),
            retention: Span::secs(u64::from(self.retention_s)),
            most_series: number(self.most_series),
            most_samples: number(self.most_samples),
        }
    }

    /// Refuses what no schema can see to be wrong.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        if let Some(problem) = self.tape().problem() {
            return Err(invalid(problem));
        }
        if self.timeout_ms == 0 {
            return Err(invalid("no scrape ends within a timeout of zero"));
        }
        for (n, listed) in self.targets.iter().enumerate() {
            let before = self.targets.iter().take(n);
            if before.clone().any(|other| other.target == listed.target) {
                let text = "a target is listed twice; put all its endpoints into one list";
                return Err(invalid(text).with_context("target", &listed.target));
            }
            if listed.endpoints.is_empty() {
                let text = "a target has no endpoint; name one at least";
                return Err(invalid(text).with_context("target", &listed.target));
            }
        }
        Ok(())
    }
}
