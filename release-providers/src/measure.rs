//! Measures what an analysis goes by: one version, two at once, or several metrics of one or both.

use futures_util::future::try_join_all;
use release_core::model::{Analysis, Judge, Metric, Timestamp};
use release_core::plan::{Beside, Deployment};
use release_core::port::{Evidence, Measurement, Pair};

use crate::spi::{MeasureRequest, MetricsSource};
use crate::{Context, ProviderError};

/// Whom an analysis looks at, and since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) source: &'a dyn MetricsSource,
    pub(crate) since: Timestamp,
    pub(crate) analysis: &'a Analysis,
    pub(crate) canary: &'a Deployment,
    pub(crate) beside: Option<&'a Beside>,
}

impl Look<'_> {
    /// Takes one measurement of everything.
    ///
    /// # Errors
    /// The first error of the source.
    pub(crate) async fn take(&self) -> Result<Evidence, ProviderError> {
        if matches!(self.analysis.judge, Judge::Objectives(_)) {
            let all = self.analysis.metrics().map(|metric| self.one(self.canary, metric));
            return Ok(Evidence::Measurements { of: try_join_all(all).await? });
        }
        let Some(beside) = self.beside else {
            return self.one(self.canary, &self.analysis.metric).await.map(Evidence::Measurement);
        };
        if !matches!(self.analysis.judge, Judge::Scorecard(_)) {
            let Pair { canary, baseline } = self.both(beside, &self.analysis.metric).await?;
            let (canary, baseline) = (Box::new(canary), Box::new(baseline));
            return Ok(Evidence::Comparison { canary, baseline });
        }
        let pairs = self.analysis.metrics().map(|metric| self.both(beside, metric));
        Ok(Evidence::Comparisons { of: try_join_all(pairs).await? })
    }

    /// At once, so that neither has had longer than the other.
    async fn both(&self, beside: &Beside, metric: &Metric) -> Result<Pair, ProviderError> {
        let (canary, baseline) =
            tokio::join!(self.one(self.canary, metric), self.one(&beside.baseline, metric));
        Ok(Pair { canary: canary?, baseline: baseline? })
    }

    async fn one(
        &self,
        deployment: &Deployment,
        metric: &Metric,
    ) -> Result<Measurement, ProviderError> {
        let Deployment { target, artifact, version } = deployment.clone();
        let digest = artifact.digest();
        let request = MeasureRequest::new(target, digest, version, metric.clone(), self.since);
        self.source.measure(self.cx, request).await
    }
}
