//! Measures versions by raw samples: scraped from text endpoints, read from a file, or pushed by a host.
//!
//! | source | where its samples are from | for |
//! |---|---|---|
//! | [`ScrapedSource`] | `http://…/metrics` of instances, in the text format 0.0.4 | services without a Prometheus; the kind [`text_endpoint`](TextEndpointKind) |
//! | [`FileSource`] | a file of samples with timestamps | replaying what was recorded, and tests |
//! | [`FedSource`] | whoever holds its [feed](feed()) | tests of whoever uses sources, and hosts with samples of their own |
//! | [`prometheus`](crate::prometheus) | a Prometheus, with the feature of that name | services with one |
//!
//! All measure by one set of rules; that of Prometheus keeps nothing itself, the others keep a [`Tape`].
//!
//! # What a sample is
//!
//! Whoever puts a sample on a tape is told by an [`Arrival`] what became of it, and whoever reads a series reads [`Fact`]s;
//! both are exhaustive enums, so that code that looks at samples has to say what each case means. In measurements they mean:
//!
//! | fact | what it means |
//! |---|---|
//! | [late](Arrival::Late) | sorted in where it belongs; counts from the next measurement on |
//! | [told twice](Arrival::Duplicate) | counts once |
//! | [conflicting](Arrival::Conflicting): two values of one instant | no data in windows that need the instant |
//! | [NaN](Fact::NotANumber), [an infinity](Fact::Infinite), a negative number | no data in windows that need it |
//! | [a gap](Fact::Gap) | what was counted meanwhile counts when the series is back; a window that begins in it begins after it |
//! | [stale](Fact::Stale) | no data, if nothing of the whole is newer, or if other series of the instance are |
//! | [too old](Arrival::TooOld), or the oldest of too many | windows that begin earlier begin later ([`Tape::dropped`]) |
//! | [a series too many](Arrival::Full) | no data in windows that hold the moment: what is missing may be the failures |
//! | of a time to come | not looked at before that time |
//!
//! A window needs the sample that it begins with and all after it. In which order samples came makes no difference to a
//! measurement.
//!
//! # Which series count
//!
//! Those with the labels `environment`, `region` and `service` of the target and `version` of the version, as
//! `PrometheusLabels::of_targets` has them; where a series has a label `digest` (`sha256:…`), it has to be the one that was
//! asked for. `instance` tells instances apart: a series without one never counts from zero.
//!
//! On a [track](release_core::model::Target::track) only those with the label `track` and its name count, and elsewhere only those
//! without one: of a version of which some instances run apart, as the baseline of an experiment does, each part counts by
//! itself.
//!
//! # What counters grew by
//!
//! Each series by itself, then summed over all of the version:
//!
//! * **The window begins** with the newest sample at or before `since`, if that is at most one and a half intervals older;
//!   else with the first one after it.
//! * **A series without any earlier sample** counts from zero only if it is seen to be born in the window: its instance was
//!   seen without it in the window or right before, or its process says in `process_start_time_seconds`, of the same instant
//!   as the first sample, that it was started in the window.
//! * **A value that falls** is a counter that began anew: the new value is what it grew by. Buckets of one histogram, and sum
//!   and count of one mean, begin anew together.
//! * **An instance that is gone** counts up to its last sample.
//!
//! Queries are not answered: samples have no language.
//!
//! # Text endpoints
//!
//! Each is asked at every interval, and once more at each measurement; several measurements at once share a scrape that began
//! after they were asked for. Samples are of the instant at which the answer was there, or of that which they say themselves,
//! so what a sample of before `since` holds was counted before `since`. Those without `version` are passed over. The labels of the
//! target and `instance` (host and port of the url) are stamped on; where a sample has them with other values, these become
//! `exported_…`, as with Prometheus. So is `track`, where what is listed is on one; where it is not, samples may say it themselves.
//! A track of which nothing is listed is looked for at the endpoints of its whole.
//!
//! An endpoint that fails while its last sample of the version is not stale lets there be no data: it may be the very instance
//! that the release broke. One that has been gone for longer counts up to its last sample. Where all endpoints of a
//! target fail, that is the error: `Denied` for 401 and 403, `RateLimited` for 429, with the pause that is asked for,
//! `Unavailable` else; answers that are not in the format are no data.
//!
//! Nothing outlasts a restart: a source that was opened anew knows nothing of before.

pub(crate) mod counts;
mod endpoint;
mod fact;
mod fed;
mod file;
pub(crate) mod growth;
mod kind;
mod read;
mod scraped;
mod settings;
mod tape;
#[cfg(test)]
mod tests;

pub use fact::{Arrival, Came, Dropped, Fact, SeriesId};
pub use fed::{FedSource, SampleFeed, feed};
pub use file::{FileFormat, FileSource};
pub use kind::TextEndpointKind;
pub use scraped::ScrapedSource;
pub use settings::{ScrapeSettings, ScrapedTarget};
pub use tape::{Tape, TapeSettings};

use crate::{Description, EffectClass, ErrorKind, ProviderError};

/// The operations, as errors name them.
const MEASURE: &str = "metrics.measure";
const OPEN: &str = "open";

/// What a source over samples says of itself.
fn described(name: &'static str) -> Description {
    let version = env!("CARGO_PKG_VERSION").parse().unwrap_or(semver::Version::new(0, 0, 0));
    Description::new(name, version, EffectClass::Idempotent).able(|can| {
        can.tracks = true;
        can.metrics_source.means = true;
        can.metrics_source.quantiles = true;
    })
}

fn invalid(text: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, OPEN, text)
}
