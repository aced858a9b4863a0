//! What a source is told.

use std::collections::BTreeMap;
use std::fmt;

use release_core::model::{Target, TrackId};
use release_core::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OPEN;
use super::promql::is_label;
use crate::kind::SecretSetting;
use crate::{ErrorKind, ProviderError, Secret};

/// Where a Prometheus is, and how its series tell versions and targets apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PrometheusSettings {
    /// Where its HTTP API is, such as `http://prometheus:9090` or `http://gateway/prometheus`: what comes before
    /// `/api/v1`. Only `http`; a server that speaks TLS is reached through a proxy on this machine.
    pub url: String,
    /// How to log in, if one has to.
    #[serde(default)]
    pub login: Option<PrometheusLoginSetting>,
    /// Which labels hold the version and the parts of a target.
    #[serde(default)]
    pub labels: PrometheusLabels,
    /// Targets that are named otherwise than by these labels, or that are known before they have any series.
    #[serde(default)]
    pub targets: Vec<PrometheusTarget>,
    /// The time between two scrapes, in milliseconds (default 60 000, as Prometheus has it). The sample that a window
    /// begins with is at most one and a half of it older.
    #[serde(default = "scrape_interval_ms")]
    pub scrape_interval_ms: u32,
    /// How old the newest sample may be, in milliseconds (default 150 000): older data is no data.
    #[serde(default = "staleness_ms")]
    pub staleness_ms: u32,
    /// The longest window, in seconds (default 604 800, seven days); of one that began before there is no data.
    #[serde(default = "longest_window_s")]
    pub longest_window_s: u32,
    /// How long one answer may take, in milliseconds (default 30 000).
    #[serde(default = "patience_ms")]
    pub patience_ms: u32,
    /// So many series one measurement may need at the most (default 10 000); with more there is no data.
    #[serde(default = "most_series")]
    pub most_series: u32,
    /// So many samples one measurement may need at the most (default 1 000 000); with more there is no data. An answer may
    /// have 64 bytes for each of them.
    #[serde(default = "most_samples")]
    pub most_samples: u32,
    /// Whether queries need not say the version (default: they have to). Then what a query measures counts as the version's that is
    /// asked for, whosever it is: whoever writes the queries answers for it, also for the old version's, which are the same query.
    #[serde(default)]
    pub any_version: bool,
}

/// Which labels of series hold what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PrometheusLabels {
    /// The version, as in `1.4.0` (default `version`).
    pub version: String,
    /// The digest, as in `sha256:…` of 64 digits; not looked at without.
    pub digest: Option<String>,
    /// The environment; not looked at without.
    pub environment: Option<String>,
    /// The region; not looked at without.
    pub region: Option<String>,
    /// The service; not looked at without.
    pub service: Option<String>,
    /// The [track](Target::track) (default `track`). What is on no track has no such label, or an empty one, unless
    /// [`PrometheusTarget::labels`] say otherwise; without it nothing on a track is measured.
    pub track: Option<String>,
    /// Those that together tell one scraped instance from the others (default `job` and `instance`).
    pub instance: Vec<String>,
}

/// A target, and the labels that its series have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PrometheusTarget {
    /// Which.
    pub target: Target,
    /// Labels that its series have to have, besides those of [`PrometheusLabels`], in whose place they stand where they
    /// have the same name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// How to log in, with the secret by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PrometheusLoginSetting {
    /// By a bearer token.
    Token(SecretSetting),
    /// By basic authentication.
    Password {
        /// Who.
        user: String,
        /// The password.
        password: SecretSetting,
    },
}

/// How to log in.
#[derive(Clone)]
pub enum PrometheusLogin {
    /// By a bearer token.
    Token(Secret),
    /// By basic authentication.
    Password {
        /// Who; without a colon.
        user: String,
        /// The password.
        password: Secret,
    },
}

impl fmt::Debug for PrometheusLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(***)"),
            Self::Password { user, .. } => write!(f, "Password({user}, ***)"),
        }
    }
}

const fn scrape_interval_ms() -> u32 {
    60_000
}

const fn staleness_ms() -> u32 {
    150_000
}

const fn longest_window_s() -> u32 {
    7 * 86_400
}

const fn patience_ms() -> u32 {
    30_000
}

const fn most_series() -> u32 {
    10_000
}

const fn most_samples() -> u32 {
    1_000_000
}

impl Default for PrometheusLabels {
    fn default() -> Self {
        Self {
            version: "version".into(),
            digest: None,
            environment: None,
            region: None,
            service: None,
            track: Some("track".into()),
            instance: vec!["job".into(), "instance".into()],
        }
    }
}

impl PrometheusLabels {
    /// Environments, regions and services stand in the labels `environment`, `region` and `service`.
    pub fn of_targets() -> Self {
        Self {
            environment: Some("environment".into()),
            region: Some("region".into()),
            service: Some("service".into()),
            ..Self::default()
        }
    }

    fn all(&self) -> impl Iterator<Item = &String> {
        let Self { version, digest, environment, region, service, track, instance } = self;
        let optional = [digest, environment, region, service, track].into_iter().flatten();
        std::iter::once(version).chain(optional).chain(instance)
    }
}

impl PrometheusTarget {
    /// A target whose series have the labels of [`PrometheusLabels`] and no others.
    pub const fn new(target: Target) -> Self {
        Self { target, labels: BTreeMap::new() }
    }

    /// Demands `label` to be `value`.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(label.into(), value.into());
        self
    }
}

impl PrometheusSettings {
    /// A Prometheus whose series have the labels `version`, `environment`, `region` and `service`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            login: None,
            labels: PrometheusLabels::of_targets(),
            targets: Vec::new(),
            scrape_interval_ms: scrape_interval_ms(),
            staleness_ms: staleness_ms(),
            longest_window_s: longest_window_s(),
            patience_ms: patience_ms(),
            most_series: most_series(),
            most_samples: most_samples(),
            any_version: false,
        }
    }

    /// Whether queries need not say the version, as those that came from elsewhere and go by names of pods: whoever writes them
    /// answers for it. Off unless it is set.
    #[must_use]
    pub const fn any_version(mut self, wanted: bool) -> Self {
        self.any_version = wanted;
        self
    }

    /// Adds a target.
    #[must_use]
    pub fn target(mut self, target: PrometheusTarget) -> Self {
        self.targets.push(target);
        self
    }

    pub(super) fn interval(&self) -> Span {
        Span::millis(u64::from(self.scrape_interval_ms))
    }

    pub(super) fn staleness(&self) -> Span {
        Span::millis(u64::from(self.staleness_ms))
    }

    pub(super) fn longest(&self) -> Span {
        Span::secs(u64::from(self.longest_window_s))
    }

    pub(super) fn patience(&self) -> Span {
        Span::millis(u64::from(self.patience_ms))
    }

    /// The labels that all series of a target have, empty where they have none of that name; `None` for one that nobody can
    /// tell from others.
    pub(super) fn labels_of(&self, target: &Target) -> Option<BTreeMap<String, String>> {
        let named = [
            (&self.labels.environment, target.environment.as_str()),
            (&self.labels.region, target.region.as_str()),
            (&self.labels.service, target.service.as_str()),
        ];
        let told = named.iter().all(|(label, _)| label.is_some());
        let pairs = named.iter().filter_map(|(label, value)| Some((label.as_ref()?, value)));
        let mut labels: BTreeMap<_, _> =
            pairs.map(|(label, value)| (label.clone(), (*value).to_owned())).collect();
        let track = target.track.as_ref().map_or("", TrackId::as_str);
        let track = self.labels.track.as_ref().map(|label| (label.clone(), track.to_owned()));
        labels.extend(track.clone());
        match self.listed(target) {
            Some(listed) => {
                labels.extend(listed.labels.clone());
                // What is said of the whole does not say which track it is.
                labels.extend(track.filter(|_| listed.target.track != target.track));
            }
            None if !told => return None,
            None => {}
        }
        Some(labels)
    }

    /// What is listed of a target; of a track that is not, what is listed of its whole.
    pub(super) fn listed(&self, target: &Target) -> Option<&PrometheusTarget> {
        let find = |wanted: &Target| self.targets.iter().find(|listed| listed.target == *wanted);
        find(target).or_else(|| find(&Target { track: None, ..target.clone() }))
    }

    /// Refuses what no schema can see to be wrong.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        let own = self.targets.iter().flat_map(|listed| listed.labels.keys());
        if let Some(label) = self.labels.all().chain(own).find(|label| !is_label(label)) {
            let text = "a label's name is letters, digits and `_`, with no digit in front";
            return Err(invalid(text).with_context("label", label.escape_default()));
        }
        if self.labels.instance.is_empty() {
            return Err(invalid("name a label that tells one instance from the others"));
        }
        let numbers = [
            self.scrape_interval_ms,
            self.staleness_ms,
            self.longest_window_s,
            self.patience_ms,
            self.most_series,
            self.most_samples,
        ];
        if numbers.contains(&0) {
            return Err(invalid("an interval, a limit or the patience is zero"));
        }
        if self.most_samples > 20_000_000 {
            return Err(invalid("at most 20 000 000 samples fit into one measurement"));
        }
        let PrometheusLabels { environment, region, service, .. } = &self.labels;
        let told = environment.is_some() && region.is_some() && service.is_some();
        if self.targets.is_empty() && !told {
            let text = "nothing tells the series of one target from those of others: name the labels of environment, \
                        region and service, or list the targets with labels of their own";
            return Err(invalid(text));
        }
        self.apart()
    }

    /// Refuses targets of which the series of one could be those of another.
    fn apart(&self) -> Result<(), ProviderError> {
        for (n, one) in self.targets.iter().enumerate() {
            let labels = self.labels_of(&one.target).unwrap_or_default();
            for other in self.targets.iter().take(n) {
                let others = self.labels_of(&other.target).unwrap_or_default();
                let differ =
                    labels.iter().any(|(l, value)| others.get(l).is_some_and(|v| v != value));
                if one.target == other.target || !differ {
                    let text =
                        "two targets are the same, or no label has another value in each of them";
                    return Err(invalid(text)
                        .with_context("target", &one.target)
                        .with_context("other", &other.target));
                }
            }
        }
        Ok(())
    }
}

pub(super) fn invalid(text: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, OPEN, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(settings: &PrometheusSettings, target: &Target) -> Vec<String> {
        let labels = settings.labels_of(target).unwrap();
        labels.into_iter().map(|(label, value)| format!("{label}={value}")).collect()
    }

    #[test]
    fn what_is_listed_of_the_whole_tells_a_track_too_but_never_which() {
        let service = "api".parse().unwrap();
        let whole = Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), service);
        let baseline = whole.clone().on("baseline".parse().unwrap());
        let mut settings = PrometheusSettings::new("http://127.0.0.1:9090");
        settings.labels = PrometheusLabels::default();
        assert_eq!(settings.labels_of(&baseline), None);
        let listed = PrometheusTarget::new(whole.clone()).label("job", "api");
        let mut settings = settings.target(listed.label("track", "stable"));
        assert_eq!(told(&settings, &whole), ["job=api", "track=stable"]);
        assert_eq!(told(&settings, &baseline), ["job=api", "track=baseline"]);
        settings.check().unwrap();
        // What is listed of the track itself is meant.
        let own = PrometheusTarget::new(baseline.clone()).label("job", "b").label("track", "old");
        settings = settings.target(own);
        assert_eq!(told(&settings, &baseline), ["job=b", "track=old"]);
        settings.check().unwrap();
        settings.labels.track = None;
        settings.targets.truncate(1);
        assert_eq!(told(&settings, &whole), ["job=api", "track=stable"]);
    }
}
