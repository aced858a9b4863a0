//! Numbers of the moment, by a query that somebody wrote.

use std::collections::BTreeSet;

use release_core::model::Finite;
use release_core::port::Measurement;
use release_core::time::Timestamp;

use super::MEASURE;
use super::client::Found;
use super::promql::{Words, says, selector};
use super::source::Inner;
use crate::exposition::instant;
use crate::samples::counts::{Told, fresh};
use crate::samples::growth::{Labels, NAME, Sample};
use crate::spi::MeasureRequest;
use crate::{ErrorKind, ProviderError};

/// Of so many series of a version it is asked how old they are.
const MOST_NAMES: usize = 16;

/// The one sample that an answer has.
#[derive(Debug)]
struct One {
    labels: Labels,
    sample: Sample,
    /// Whether it is of a vector, so that it has an instant of its own.
    dated: bool,
}

impl Inner {
    /// Evaluates a query, and finds out how old what it tells may be.
    pub(super) async fn value(
        &self,
        request: &MeasureRequest,
        query: &str,
    ) -> Result<Told<Measurement>, ProviderError> {
        let labels = self.labels(request)?;
        let now = self.clock.now();
        let words = Words {
            target: &request.target,
            digest: request.digest,
            version: &request.version.to_string(),
            window: now.since(request.since),
        };
        let asked = query;
        let says_track = says(query, "track");
        let query = words
            .put_into(query)
            .map_err(|why| ProviderError::new(ErrorKind::Invalid, MEASURE, why))?;
        let one = match self.one(&query, now).await? {
            Ok(one) => one,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Err(reason) = self.of_asked((request, &labels), &one.labels, says_track) {
            return Ok(Err(reason));
        }
        self.of_one_version(asked, &one.labels)?;
        let Ok(value) = Finite::new(one.sample.value) else {
            return Ok(Err(format!("the sample is {}", one.sample.value)));
        };
        let Ok(mut at) = self.newest_of(&labels, now).await? else {
            return Ok(Err(format!(
                "no series of version `{}` has a recent sample, so that nobody knows how old the answer is",
                request.version
            )));
        };
        if one.dated {
            // The sample's own instant where the query selects one; that of the evaluation where it computes.
            match self.newest(&format!("timestamp(\n{query}\n)"), now).await? {
                Ok(own) => at = at.min(own),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        let digest = request.digest;
        let staleness = self.settings.staleness();
        Ok(fresh(at, now, staleness).map(|()| Measurement::Value { digest, value, at }))
    }

    /// Whether what a query found, with its labels, may be what was asked for.
    ///
    /// # Errors
    /// Of what else it is, or may be.
    pub(super) fn of_asked(
        &self,
        (request, wanted): (&MeasureRequest, &Labels),
        found: &Labels,
        says_track: bool,
    ) -> Told<()> {
        let others =
            |(label, value): &(&String, &String)| wanted.get(*label).is_some_and(|v| v != *value);
        if let Some((label, value)) = found.iter().find(others) {
            return Err(format!("the sample is of another one: its `{label}` is `{value}`"));
        }
        let label = self.settings.labels.track.as_ref();
        let apart = says_track || label.is_some_and(|label| found.contains_key(label));
        match request.target.track.as_ref().filter(|_| !apart) {
            Some(track) => Err(format!(
                "the query does not say `{{{{track}}}}`, so that more may be in its answer than what is on track `{track}`"
            )),
            None => Ok(()),
        }
    }

    /// Refuses what may be another version's: the answer of a query that does not say which version it means, without a label that
    /// does. Which one a label says was [seen](Self::of_asked) before.
    pub(super) fn of_one_version(&self, query: &str, found: &Labels) -> Result<(), ProviderError> {
        let labels = &self.settings.labels;
        let named = [Some(&labels.version), labels.digest.as_ref()];
        let told = named.into_iter().flatten().any(|label| found.contains_key(label));
        if self.settings.any_version || told || says(query, "version") || says(query, "digest") {
            return Ok(());
        }
        let text = format!(
            "neither the query nor the labels of its answer say which version it is of, so that it may be another one's; write \
             `{0}=\"{{{{version}}}}\"` into each selector (or `{{{{digest}}}}`), or `sum by ({0})` where one version alone is left; \
             `any_version` of the settings allows it",
            labels.version
        );
        let query: String = query.chars().take(200).collect();
        Err(ProviderError::new(ErrorKind::Invalid, MEASURE, text)
            .with_context("query", query.escape_debug()))
    }

    /// When a series with these labels was last seen.
    ///
    /// Of a selector without a name, `timestamp` would fail where two series differ in nothing but that: it drops the
    /// names. So these are asked for first, and then for the newest sample of each of some of them.
    pub(super) async fn newest_of(
        &self,
        labels: &Labels,
        now: Timestamp,
    ) -> Result<Told<Timestamp>, ProviderError> {
        let names = format!("count by ({NAME}) ({})", selector(&[], labels));
        let names = match self.client.query(&names, now, self.settings.staleness()).await? {
            Ok(Found::Vector(points)) => points,
            Ok(_) => Vec::new(),
            Err(reason) => return Ok(Err(reason)),
        };
        let names: BTreeSet<&String> =
            names.iter().filter_map(|point| point.metric.get(NAME)).collect();
        if names.is_empty() {
            return Ok(Err("no series".to_owned()));
        }
        let each = names.into_iter().take(MOST_NAMES).enumerate().map(|(number, name)| {
            let newest = format!("max(timestamp({}))", selector(&[name], labels));
            // Apart by a label: `or` takes of the same labels the first only.
            format!("label_replace({newest},\"n\",\"{number}\",\"\",\"\")")
        });
        let query = format!("max({})", each.collect::<Vec<_>>().join(" or "));
        self.newest(&query, now).await
    }

    /// The instant that a query tells as a number.
    async fn newest(&self, query: &str, now: Timestamp) -> Result<Told<Timestamp>, ProviderError> {
        let told = self.one(query, now).await?;
        Ok(told.and_then(|one| {
            let at = instant(one.sample.value).ok_or("the sample has no instant")?;
            Ok(at.min(now))
        }))
    }

    async fn one(&self, query: &str, now: Timestamp) -> Result<Told<One>, ProviderError> {
        let found = match self.client.query(query, now, self.settings.staleness()).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(match found {
            Found::Scalar(pair) => Ok(One { labels: Labels::new(), sample: pair.0, dated: false }),
            Found::Vector(points) => match <[_; 1]>::try_from(points) {
                Ok([point]) => match point.value {
                    Some(pair) => Ok(One { labels: point.metric, sample: pair.0, dated: true }),
                    None => Err("the query found a histogram, not a number".to_owned()),
                },
                Err(points) if points.is_empty() => Err("the query found nothing".to_owned()),
                Err(points) => {
                    Err(format!("the query found {} samples; let it find one", points.len()))
                }
            },
            Found::Matrix(_) => Err("the query finds ranges; let it find one sample".to_owned()),
            Found::String(_) => Err("the query finds text; let it find a number".to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use release_core::clock::SystemClock;

    use super::super::settings::PrometheusSettings;
    use super::super::source::PrometheusSource;
    use super::*;

    fn of_one_version(settings: PrometheusSettings, query: &str, found: &[&str]) -> Option<String> {
        let source = PrometheusSource::new(settings, None, Arc::new(SystemClock::new())).unwrap();
        let found = found.iter().map(|label| ((*label).to_owned(), "1.0.0".to_owned())).collect();
        let refused = source.inner.of_one_version(query, &found).err()?;
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        Some(refused.to_string())
    }

    #[test]
    fn what_may_be_of_another_version_is_refused_with_what_to_write() {
        let mut settings = PrometheusSettings::new("http://127.0.0.1:9090");
        settings.labels.version = "release".into();
        settings.labels.digest = Some("image".into());
        for query in ["sum(rate(errors[1m]))", "sum(r{release=\"1.0.0\"})", "r{{window}}", ""] {
            for found in [vec![], vec!["version", "job"]] {
                let why = of_one_version(settings.clone(), query, &found).unwrap();
                for part in
                    ["`release=\"{{version}}\"`", "`{{digest}}`", "(release)", "any_version"]
                {
                    assert!(why.contains(part), "{part}: {why}");
                }
            }
            for label in ["release", "image"] {
                assert_eq!(of_one_version(settings.clone(), query, &[label]), None);
            }
            let any = settings.clone().any_version(true);
            assert_eq!(of_one_version(any, query, &[]), None);
        }
        for query in ["sum(r{a=\"{{version}}\"})", "sum(r{a=\"{{ digest }}\"})"] {
            assert_eq!(of_one_version(settings.clone(), query, &[]), None);
        }
    }
}
