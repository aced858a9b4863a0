//! What a sample is, and what became of it: types that leave nothing to chance.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{Finite, Target, TrackId};
use release_core::time::{Span, Timestamp};
use semver::Version;

use super::growth::{Labels, NAME};

/// The label of the track, where a series is of instances that are apart.
const TRACK: &str = "track";

/// Which series: its name and its labels, as Prometheus writes them: `name{label="value"}`.
///
/// ```
/// use release_providers::samples::SeriesId;
/// let id = SeriesId::named("http_requests_total").label("code", "500").label("instance", "a");
/// assert_eq!(id.to_string(), r#"http_requests_total{code="500",instance="a"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub(crate) Labels);

impl SeriesId {
    /// A series without labels.
    pub fn named(name: impl Into<String>) -> Self {
        Self(BTreeMap::from([(NAME.to_owned(), name.into())]))
    }

    /// A series of one instance of a version in a target: with the labels `environment`, `region`, `service`, `version` and
    /// `instance`; and `track`, if the target is on one.
    pub fn of(
        name: impl Into<String>,
        target: &Target,
        version: &Version,
        instance: impl Into<String>,
    ) -> Self {
        let version = Self::named(name).label("version", version.to_string());
        version.of_target(target).label("instance", instance)
    }

    /// Gives a label its value; an empty value is no label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        let (label, value) = (label.into(), value.into());
        if value.is_empty() {
            self.0.remove(&label);
        } else {
            self.0.insert(label, value);
        }
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.0.get(NAME).map_or("", String::as_str)
    }

    /// With the labels of a target. Those that it had of the same names it has as `exported_…`, as with Prometheus.
    pub(super) fn of_target(mut self, target: &Target) -> Self {
        for (label, value) in target_labels(target) {
            self.stamp(label, &value);
        }
        if let Some(track) = &target.track {
            self.stamp(TRACK, track.as_str());
        }
        self
    }

    /// Gives a label its value, and keeps what it was as `exported_…`.
    pub(super) fn stamp(&mut self, label: &str, value: &str) {
        let before = self.0.insert(label.to_owned(), value.to_owned());
        if let Some(before) = before.filter(|before| before != value) {
            self.0.insert(format!("exported_{label}"), before);
        }
    }
}

/// Whether a series is of the track that a target is on, or of none if it is on none.
pub(super) fn is_on(labels: &Labels, target: &Target) -> bool {
    // As Prometheus has it, a label without a value is none.
    let track = labels.get(TRACK).map(String::as_str).filter(|track| !track.is_empty());
    track == target.track.as_ref().map(TrackId::as_str)
}

/// The labels that tell a target from others, on whichever track.
pub(super) fn target_labels(target: &Target) -> [(&'static str, String); 3] {
    [
        ("environment", target.environment.to_string()),
        ("region", target.region.to_string()),
        ("service", target.service.to_string()),
    ]
}

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let labels = self.0.iter().filter(|(label, _)| *label != NAME);
        let labels: Vec<String> =
            labels.map(|(label, value)| format!("{label}={value:?}")).collect();
        if labels.is_empty() { Ok(()) } else { write!(f, "{{{}}}", labels.join(",")) }
    }
}

/// What became of a sample that was put on a [`Tape`](super::Tape). Exhaustive on purpose: whoever puts samples says what
/// each of these means to them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a sample may have been refused, or have spoilt its series"]
pub enum Arrival {
    /// It is the newest of its series.
    InOrder,
    /// It was sorted in before newer ones, and counts.
    Late {
        /// How much older than the newest of its series it is.
        by: Span,
    },
    /// Its series had this value of this instant already; nothing changed.
    Duplicate,
    /// Its series has another value of this instant: windows that need it have no data.
    Conflicting {
        /// The other value.
        with: f64,
    },
    /// It is not on the tape: it is older than what the tape keeps.
    TooOld {
        /// The tape keeps samples from here on.
        kept_from: Timestamp,
    },
    /// It is not on the tape: its series would be one too many. Windows that begin before now have no data, since nobody
    /// knows what is missing in them.
    Full {
        /// So many series it may have.
        most_series: usize,
    },
}

impl Arrival {
    /// What people have to be told of it, if anything.
    pub(super) fn remark(&self) -> Option<String> {
        match self {
            Self::InOrder | Self::Duplicate => None,
            Self::Late { by } => Some(format!("it came {by} late")),
            Self::Conflicting { with } => Some(format!("it is {with} at the same instant")),
            Self::TooOld { kept_from } => Some(format!("nothing before {kept_from} is kept")),
            Self::Full { most_series } => Some(format!("there are {most_series} series already")),
        }
    }
}

/// What a series says, fact by fact. Exhaustive on purpose: none of these can be overlooked by who reads a tape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fact {
    /// A number.
    Number {
        /// Of when it is.
        at: Timestamp,
        /// The number.
        value: Finite,
        /// How it came.
        came: Came,
    },
    /// A sample that is NaN: no data in windows that hold it.
    NotANumber {
        /// Of when it is.
        at: Timestamp,
    },
    /// A sample that is an infinity: no data in windows that hold it.
    Infinite {
        /// Of when it is.
        at: Timestamp,
        /// Whether it is the one below zero.
        negative: bool,
    },
    /// Two values of one instant: no data in windows that hold it.
    Conflicting {
        /// Of when they are.
        at: Timestamp,
        /// The lowest and the highest value that it was told to be; NaN is the highest.
        values: [f64; 2],
    },
    /// Nothing was told for more than one and a half intervals. What counters grew by meanwhile is counted when they are
    /// back; a window that begins in a gap begins after it.
    Gap {
        /// The sample before.
        after: Timestamp,
        /// The sample after.
        until: Timestamp,
    },
    /// The newest sample is older than the staleness that is allowed: no data, if nothing newer of the version is there.
    Stale {
        /// The newest sample.
        newest: Timestamp,
        /// How old it is.
        age: Span,
    },
}

/// How a number came onto the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Before all that is newer.
    InOrder,
    /// After something newer.
    Late,
}

/// What a tape had to let go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// So many samples that were on it: too old by now, or the oldest of too many.
    pub samples: u64,
    /// So many that never came onto it, for the same reasons.
    pub refused: u64,
    /// Nothing before this is on it. Windows that begin earlier begin here.
    pub before: Option<Timestamp>,
    /// When a series was last refused, since there were too many.
    pub series_refused: Option<Timestamp>,
}
