//! Measures versions by the HTTP API of a real Prometheus (2.26 or newer), or of whatever speaks as it does.
//!
//! ```
//! # use std::sync::Arc;
//! # use release_providers::{ProviderError, Secret, SystemClock};
//! use release_providers::prometheus::{PrometheusLogin, PrometheusSettings, PrometheusSource};
//!
//! # fn example() -> Result<(), ProviderError> {
//! let mut settings = PrometheusSettings::new("http://prometheus:9090");
//! settings.scrape_interval_ms = 15_000;
//! let login = PrometheusLogin::Token(Secret::new("from a store of secrets"));
//! let source = PrometheusSource::new(settings, Some(login), Arc::new(SystemClock::new()))?;
//! # let _ = source; Ok(()) }
//! # example().unwrap();
//! ```
//!
//! # What is asked
//!
//! Every series that counts has the label `version` with the version that was asked for, and the labels of the target;
//! [`PrometheusLabels`] says what they are called, [`PrometheusTarget`] which other ones a target has. On a
//! [track](release_core::model::Target::track) they have the label `track` too, with its name; all others have none. So of a version
//! of which some instances run apart, as the baseline of an experiment does, each part counts by itself. Below, `«own»` is
//! all of these. Each query is evaluated once, as of the clock's now, by `POST /api/v1/query`.
//!
//! | metric | query |
//! |---|---|
//! | `Ratio` | `{__name__=~"«numerator»\|«denominator»",«own»,«labels that both have»}[«range»]` |
//! | `Mean` | the same, of sum and count |
//! | `Quantile` | `{__name__="«histogram»_bucket",«own»,«labels»}[«range»]` |
//! | `Query` | it as it is, with its words replaced; then `timestamp(«query»)` and `max(timestamp({«own»}))` |
//! | `Range` | the same, at every whole step of the last `over`, by `POST /api/v1/query_range`; before it `max(timestamp({«own»}))` |
//!
//! A query that looks at a range is a subquery, such as `max_over_time((«query»)[{{window}}s:15s])`: every fifteen seconds of the
//! window.
//!
//! The range is the window and four scrape intervals before it. What Prometheus calls `increase` is not asked for: it
//! extrapolates, and counts have to be counts. The answers are raw samples, and all of the below is done here. Both
//! counters come with one query, as of one moment, so that no part is newer than its whole.
//!
//! A `Range` has one series. Its instants are whole steps since 1970, none of them before the window or older than `over`, so that
//! looks that overlap see the same ones, and what was seen before counts once. Its points are facts
//! ([`Point`](release_core::port::Point)): numbers, NaN and infinities, gaps of more than one and a half steps, and whether the last one is
//! stale. What Prometheus took in late is there from the next look on, and counts where nothing newer was seen before. There is no
//! data while the newest sample of any series with `«own»` is too old.
//!
//! [`PrometheusSource::range`] asks any query at many instants, in the same way: what a curve looked like, for people and for
//! whoever plans. Its points are [facts](crate::samples::Fact), as those of a tape are.
//!
//! # What counters grew by
//!
//! Each series by itself, then summed over all of the version:
//!
//! * **The window begins** with the newest sample at or before `since`, if that is at most one and a half scrape intervals
//!   older. So it may hold what was counted in the one interval before `since`, never more.
//! * **A gap there**, where a series has older samples and none in that time, lets its window begin later: with its first
//!   sample after `since`.
//! * **A series without any earlier sample** counts from zero only if it is seen to be born in the window: either its
//!   instance was scraped in the window, or right before it, and did not have it (as with the first failure of an instance
//!   that has served for long); or the process says in `process_start_time_seconds`, of the same scrape as its first
//!   sample, that it was started in the window. Else it counts from its first sample on. Instances are told apart by
//!   [`PrometheusLabels::instance`]; a series without these labels never counts from zero. When more than 100 new
//!   instances come in one window, none is asked when it was started.
//! * **A value that falls** is a counter that began anew: the new value is what it grew by. The buckets of one histogram, and
//!   the sum and the count of one mean, begin anew together: a bucket that has overtaken its old value meanwhile is seen
//!   through by those that have not.
//! * **A gap in the window** does not matter: the growth over it is counted when the series is back. A process that is
//!   replaced in a gap, and then counts beyond what the one before did, is not noticed.
//! * **An instance that is gone** counts up to its last sample. Stale markers say nothing else: Prometheus leaves them out
//!   of ranges. What it counted after that sample nobody knows; a crash loses up to one interval.
//! * **Samples that come late** count from the next measurement on: nothing is remembered. Prometheus keeps the samples of
//!   a series in order and one of each moment; an answer that does not, or has a series twice, is `Unavailable`. Samples
//!   after now are not looked at.
//! * **Two servers that scrape the same** and are asked as one have to deduplicate, or everything is counted twice. Sums
//!   that recording rules made are no counters: they fall when an instance goes.
//!
//! # What is no data
//!
//! Never a zero, always with the reason: no sample of the whole; a whole that did not grow; NaN, an infinity or a negative
//! number in the window or where it begins; a newest sample of the whole that is older than
//! [`staleness_ms`](PrometheusSettings::staleness_ms); a series that stopped for that long while its instance is
//! scraped; a numerator of which there is no series, or none with one of its labels, whatever the value (it may be
//! mistyped; a value that nobody counted by yet is a zero); a sum without its count; histograms with different buckets,
//! or none for `+Inf`; more series or samples than allowed; an answer with warnings, which may be only a part.
//!
//! # Queries
//!
//! `{{version}}`, `{{digest}}` (`sha256:…`), `{{environment}}`, `{{region}}`, `{{service}}` and `{{track}}` (empty where there is
//! none) are replaced, escaped for strings of `PromQL`; for equality, not for regular expressions, in which the dots of versions
//! match anything. Of what is on a track there is no data by a query that neither has `{{track}}` nor answers with its label.
//! `{{window}}` is the number of whole seconds since `since`, at least 1: `rate(x[{{window}}s])`. Any other word
//! in double braces is `Invalid`. The answer has to be a scalar, or a vector of one sample without labels of another
//! version or target. A query has to say the version, by `{{version}}` or `{{digest}}`, unless its answer has the label of the version:
//! all else, such as `sum(rate(errors[1m]))` or `sum(r{version="1.0.0"})`, may be another version's, and is `Invalid`. That each
//! selector of it says it is up to whoever writes it. Where queries came from elsewhere and say the version in another way, as
//! templates of Argo Rollouts do by the names of pods, [`any_version`](PrometheusSettings::any_version()) allows it: whoever writes
//! them then answers for it.
//!
//! How old a number is that a query computed, Prometheus does not say. [`Measurement::Value`](release_core::port::Measurement::Value)'s
//! `at` is the older of two instants: the sample's own, where the query is a mere selector (else that of the evaluation),
//! and that of the newest sample of any series with `«own»`. When that one is too old, or there is none, there is no data. So
//! a version that is scraped no more never looks fresh; a query over a long range, or of one series that stopped while
//! others of the version go on, can. Servers that can be told (2.44 or newer) let selectors see nothing older than
//! `staleness_ms`, instead of their five minutes.
//!
//! # Errors
//!
//! `Invalid` for what the server refuses (4xx), with its own words, and for a query that says no version; `Denied` for 401 and 403; `RateLimited` for 429, with
//! the pause that it asks for; `Unavailable` when nobody answers, for 5xx and for answers that are none. `NotFound` for a
//! target of whose labels there is no series at all, unless it is listed in the settings, or that none of them tell. No
//! error holds a token or a password.
//!
//! # TLS
//!
//! Only `http` is spoken. Where Prometheus is reached by `https`, let a proxy on this machine speak it (stunnel, Envoy,
//! HAProxy, a service mesh), and give its address.

mod client;
mod kind;
mod points;
mod promql;
mod range;
mod settings;
mod source;
mod value;

pub use kind::PrometheusKind;
pub use range::{RangeQuery, SeriesFacts};
pub use settings::{
    PrometheusLabels, PrometheusLogin, PrometheusLoginSetting, PrometheusSettings, PrometheusTarget,
};
pub use source::PrometheusSource;

/// The operations, as errors name them.
const MEASURE: &str = "metrics.measure";
const OPEN: &str = "open";
