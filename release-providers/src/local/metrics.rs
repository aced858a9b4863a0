//! Measures: scrapes every instance of a version and sums what the metric selects.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::future::join_all;
use release_core::model::{Finite, Metric, Selector};
use release_core::port::{EffectCertainty, Measurement};

use super::LocalPlatform;
use super::http;
use super::platform::{Inner, description, sooner};
use super::prometheus::{Sample, parse};
use crate::spi::{MeasureRequest, MetricsSource};
use crate::{Context, Description, ErrorKind, ProviderError};

const MEASURE: &str = "metrics.measure";
/// The most that one scrape may hold.
const SCRAPE_BYTES: usize = 4 * 1024 * 1024;
/// The label by which samples say of which version they are.
const VERSION_LABEL: &str = "version";

#[async_trait]
impl MetricsSource for LocalPlatform {
    fn describe(&self) -> Description {
        description()
    }

    async fn measure(
        &self,
        cx: &Context,
        request: MeasureRequest,
    ) -> Result<Measurement, ProviderError> {
        let inner = self.inner();
        let look = async {
            let deadline = sooner(&inner.config, inner.config.probe_timeout, cx.deadline);
            let scrapes = scrape(inner, &request, deadline).await?;
            let Metric::Ratio { numerator, denominator } = &request.metric else {
                let text = "this kind of metric is not known here; use a ratio";
                return Err(ProviderError::new(ErrorKind::Unsupported, MEASURE, text));
            };
            let version = request.version.to_string();
            Ok(match ratio(scrapes, &version, numerator, denominator) {
                Ok((numerator, denominator)) => {
                    Measurement::Ratio { digest: request.digest, numerator, denominator }
                }
                Err(reason) => Measurement::NoData { reason },
            })
        };
        inner.bounded(MEASURE, cx, EffectCertainty::NotApplied, look).await
    }
}

/// What one instance answered, by its name.
type Scrape = (String, Result<Vec<Sample>, String>);

async fn scrape(
    inner: &Inner,
    request: &MeasureRequest,
    deadline: release_core::time::Timestamp,
) -> Result<Vec<Scrape>, ProviderError> {
    let config = &inner.config;
    let place = inner.known_place(MEASURE, &request.target)?;
    let service = config.services.get(&request.target.service).cloned().unwrap_or_default();
    let instances = place.deployment(request.digest).map(|d| d.serving()).unwrap_or_default();
    let path = &service.metrics_path;
    Ok(join_all(instances.iter().map(|instance| async move {
        let address = instance.backend.address;
        let answer = http::get(address, path, SCRAPE_BYTES, &config.clock, deadline).await;
        let samples = answer.and_then(|answer| {
            if !answer.status.is_success() {
                return Err(format!("{address}{path} answered {}", answer.status));
            }
            parse(&answer.body).map_err(|e| format!("{address}{path}: {e}"))
        });
        (instance.backend.id.clone(), samples)
    }))
    .await)
}

/// Sums both selections over all instances, or says why that would not be a measurement.
fn ratio(
    scrapes: Vec<Scrape>,
    version: &str,
    numerator: &Selector,
    denominator: &Selector,
) -> Result<(Finite, Finite), String> {
    if scrapes.is_empty() {
        return Err("no instance of this version runs here".to_owned());
    }
    let (mut above, mut below, mut found, mut counted) = (0.0, 0.0, false, false);
    for (instance, samples) in scrapes {
        let samples = samples.map_err(|problem| format!("instance {instance}: {problem}"))?;
        let name = |problem| format!("instance {instance}: {problem}");
        let series = Selector::series(&numerator.series);
        counted |= select(&samples, version, &series).map_err(name)?.is_some();
        above += select(&samples, version, numerator).map_err(name)?.unwrap_or(0.0);
        if let Some(sum) = select(&samples, version, denominator).map_err(name)? {
            below += sum;
            found = true;
        }
    }
    if !found {
        let series = &denominator.series;
        return Err(format!(
            "no instance has a sample of `{series}` with the wanted labels and version `{version}`"
        ));
    }
    // No request with these labels yet is a zero; no such series at all is a mistake or a fault.
    if !counted {
        let series = &numerator.series;
        return Err(format!("no instance has a sample of `{series}` with version `{version}`"));
    }
    let finite = |sum| Finite::new(sum).map_err(|_| "the sum is not a finite number".to_owned());
    Ok((finite(above)?, finite(below)?))
}

/// Sums one instance's samples of one version that a selector picks; `None` when there are none.
fn select(samples: &[Sample], version: &str, selector: &Selector) -> Result<Option<f64>, String> {
    let series = &selector.series;
    let (mut sum, mut seen) = (None, BTreeSet::<&BTreeMap<String, String>>::new());
    for sample in samples {
        let has = |label: &str, value: &str| sample.labels.get(label).is_some_and(|v| v == value);
        let picked = sample.name == *series
            && has(VERSION_LABEL, version)
            && selector.labels.iter().all(|(label, value)| has(label, value));
        if !picked {
            continue;
        }
        if !sample.value.is_finite() {
            return Err(format!("a sample of `{series}` is {}", sample.value));
        }
        if sample.value < 0.0 {
            return Err(format!("a sample of `{series}` is negative, which no count is"));
        }
        if !seen.insert(&sample.labels) {
            return Err(format!("a sample of `{series}` appears twice"));
        }
        sum = Some(sum.unwrap_or(0.0) + sample.value);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(text: &str) -> Scrape {
        ("api-1".to_owned(), parse(text.as_bytes()).map_err(|e| e.to_string()))
    }

    #[track_caller]
    fn check(texts: &[&str], want: Result<(f64, f64), &str>) {
        let bad = Selector::series("r").label("code", "500");
        let scrapes = texts.iter().map(|text| scrape(text)).collect();
        match (ratio(scrapes, "1.1.0", &bad, &Selector::series("r")), want) {
            (Ok((n, d)), Ok((above, below))) => {
                assert_eq!((n, d), (Finite::new(above).unwrap(), Finite::new(below).unwrap()));
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{reason}"),
            (got, want) => panic!("{texts:?}: got {got:?}, want {want:?}"),
        }
    }

    #[test]
    fn samples_are_summed_over_instances_and_only_of_the_version() {
        let one = "r{version=\"1.1.0\",code=\"500\"} 2\nr{version=\"1.1.0\",code=\"200\"} 8\n\
                   r{version=\"1.0.0\",code=\"500\"} 50\nq{version=\"1.1.0\",code=\"500\"} NaN\n";
        let two = "r{version=\"1.1.0\",code=\"200\"} 5\n";
        check(&[one], Ok((2.0, 10.0)));
        check(&[one, two], Ok((2.0, 15.0)));
        check(&[two, ""], Ok((0.0, 5.0))); // one instance has counted nothing yet
    }

    #[test]
    fn a_numerator_that_nobody_counts_is_no_data() {
        let mistyped = Selector::series("requests_failed");
        let scrapes = vec![scrape("r{version=\"1.1.0\"} 5\n")];
        let problem = ratio(scrapes, "1.1.0", &mistyped, &Selector::series("r")).unwrap_err();
        assert!(problem.contains("`requests_failed`"), "{problem}");
    }

    #[test]
    fn anything_doubtful_is_no_data() {
        let good = "r{version=\"1.1.0\",code=\"200\"} 5\n";
        check(&[], Err("no instance"));
        check(&[""], Err("no instance has a sample"));
        check(&["r{code=\"200\"} 5\n"], Err("no instance has a sample"));
        check(&["r{version=\"1.0.0\",code=\"200\"} 5\n"], Err("version `1.1.0`"));
        check(&["r{version=\"1.1.0\",code=\"500\"} 5"], Err("line 1"));
        check(&[good, "garbage\n"], Err("api-1: line 1"));
        check(&[good, "r{version=\"1.1.0\"} NaN\n"], Err("NaN"));
        check(&["r{version=\"1.1.0\"} +Inf\n"], Err("inf"));
        check(&["r{version=\"1.1.0\"} -1\n"], Err("negative"));
        check(&[&format!("{good}{good}")], Err("twice"));
        check(&["r{version=\"1.1.0\"} 1e308\nr{version=\"1.1.0\",a=\"b\"} 1e308\n"], Err("finite"));
    }
}
