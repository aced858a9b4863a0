//! Numbers that a web service tells: what Argo Rollouts measures by the provider `web`, and what Flagger asks at every look.
//!
//! ```
//! # use std::collections::BTreeMap;
//! # use std::sync::Arc;
//! # use release_providers::{ProviderError, Secret, SystemClock};
//! use release_providers::web::{WebMetric, WebReading, WebSecrets, WebSettings, WebSource};
//!
//! # fn example() -> Result<(), ProviderError> {
//! let depth = WebReading::Pointer("/queue/depth".into());
//! let url = "http://ops.example/{{service}}?version={{version}}";
//! let settings = WebSettings::new()
//!     .metric("queue-depth", WebMetric::new(url, depth))
//!     .metric("rollback", WebMetric::gate("http://ops.example/rollback/{{service}}"));
//! let secrets = WebSecrets::new().token(Secret::new("from a store of secrets"));
//! let secrets = BTreeMap::from([("queue-depth".to_owned(), secrets)]);
//! let source = WebSource::new(&settings, &secrets, Arc::new(SystemClock::new()))?;
//! # let _ = source; Ok(()) }
//! # example().unwrap();
//! ```
//!
//! An analysis asks for a metric by its name, and judges what it is told by limits:
//!
//! ```yaml
//! analyses:
//!   - id: queue-depth
//!     metric: { query: { query: queue-depth } }
//!     success: { at_most: 100.0 }
//!     unit: count
//!     interval: 30s
//!     failure_limit: 2
//! ```
//!
//! Whom to ask, and with which secrets, only the settings say, so that a definition sends nothing anywhere else. The host of a
//! url has no words of a plan in it; where a service answers elsewhere, it is another metric.
//!
//! # Gates
//!
//! A gate ([`WebMetric::gate`]) is 1 where the answer is 2xx and 0 where it is not:
//!
//! | Flagger | here |
//! |---|---|
//! | hook `rollout`, called at every look: an answer other than 2xx is a failed look | an analysis of steps or in the background, `success: { at_least: 1.0 }`, with `failure_limit` for `threshold` |
//! | hook `rollback`, polled while the rollout goes on: a 2xx answer takes it back | an analysis in the [background](release_core::model::Canary::background), `success: { at_most: 0.0 }`, and `step_failed` or this analysis among the triggers |
//! | a gate that cannot be reached | no data: neither good nor bad, and beyond `inconclusive_limit` (or `consecutive_no_data`) it has failed |
//!
//! A service that is ill answers 500, which is not the same as *no*: [`WebReading::Status`] can name what means no, and
//! all else is no data then.
//!
//! # What a number is
//!
//! A number of the moment, dated by the clock when the answer was there. By a pointer: a JSON number; a truth, 1 or 0; a text
//! that is a number. Whatever else is no data, with the reason, and never a number: `null`, a list, an object, nothing there,
//! NaN and infinities also as texts, what is not JSON, a longer body than [`WebSettings::longest_answer`], a status that is not
//! 2xx.
//!
//! That the number is of the version that was asked for is up to the service; so a request has to name it, unless the metric is
//! [about](WebMetric::about) the rollout as a whole. Of a version that it does not know, let it answer 404. On a
//! [track](release_core::model::Target::track) there is no data by a request that does not say `{{track}}`.
//!
//! # Errors
//!
//! `Unavailable` when nobody answers in time, for 408, 425 and 5xx; `RateLimited` for 429, with the pause that it asks for;
//! `Denied` for 401, 403 and 407 (by a pointer, or where [`Status`](WebReading::Status) names what means no); `NotFound` for
//! targets that are not [listed](WebSettings::targets); `Invalid` for a name that no metric has; `Unsupported` for metrics other
//! than queries. Nothing that a service says is repeated with a secret in it.
//!
//! What the service sends on is not followed. TLS is spoken to `https`, by the certificates that the system trusts and those of
//! [`WebSettings::authorities`].
//!
//! # Beside another source
//!
//! Register it for a name ([`ProviderSelector::source`](crate::ProviderSelector::source), in a file `serves: [{ source: … }]`), and let
//! analyses name that as their `source`: then another source, such as a Prometheus, measures all others, and both judge one
//! rollout. [`WebSource::beside`] makes one source of two instead: it asks another one for all that is not called as a metric of the
//! settings.

mod answer;
mod ask;
mod kind;
mod settings;
mod source;
mod template;

pub use kind::WebKind;
pub use settings::{WebMethod, WebMetric, WebReading, WebSecrets, WebSettings, WebSubject};
pub use source::WebSource;

/// The operations, as errors name them.
const MEASURE: &str = "metrics.measure";
const OPEN: &str = "open";

/// Either what was asked for, or why there is no usable data.
type Told<T> = Result<T, String>;
