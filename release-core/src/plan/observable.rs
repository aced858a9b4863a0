//! Whether the criteria of a release could be judged at all: by what was recorded of the versions that run before it.

use std::collections::BTreeSet;

use super::{Action, Plan};
use crate::analysis::reading::{self, Reading, Terms};
use crate::ids::AnalysisId;
use crate::model::{Analysis, Digest, Direction, Metric, Target};
use crate::port::Measurement;
use crate::time::Timestamp;

/// What was recorded of the version that serves somewhere before a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The version's content.
    pub version: Digest,
    /// When it was measured.
    pub at: Timestamp,
    /// What came out.
    pub measurement: Measurement,
}

/// An analysis that nothing is known for: a release that relies on it would be watched by nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "analysis `{analysis}` could not be judged at {target}: of the version that serves there now, {why}; mend the metric or its source before the release"
)]
pub struct CriterionUnobservable {
    /// The analysis.
    pub analysis: AnalysisId,
    /// Where.
    pub target: Target,
    /// Which of its metrics, counted from 1 in the order in which it names them.
    pub metric: usize,
    /// What is lacking.
    pub why: String,
}

impl Plan {
    /// Sees whether each analysis that may stop the release or take it back can be judged where it is to be: on what was recorded of
    /// the version that serves there now. What was never measured of the old version will hardly be of the new one. To be asked
    /// before the release begins; `recorded` tells the newest window of a metric, and `None` where nothing is kept.
    ///
    /// Dry runs are not asked after, nor are signals, which no source holds before they come.
    ///
    /// # Errors
    /// All analyses without usable data, each with the place and what is lacking: nothing recorded, no data, another version's,
    /// numbers that are none of the metric, too few samples, or a number of the moment that was not fresh when it was measured.
    ///
    /// ```no_run
    /// use release_core::plan::Recorded;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let definition: release_core::model::Definition = serde_json::from_str("{}")?;
    /// # fn last_window(_: &release_core::model::Target) -> Option<Recorded> { None }
    /// let plan = release_core::plan::plan(&definition)?;
    /// if let Err(missing) = plan.observable(|target, _metric| last_window(target)) {
    ///     missing.iter().for_each(|criterion| eprintln!("{criterion}"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn observable(
        &self,
        mut recorded: impl FnMut(&Target, &Metric) -> Option<Recorded>,
    ) -> Result<(), Vec<CriterionUnobservable>> {
        let mut asked = BTreeSet::new();
        let mut missing = Vec::new();
        for step in self.steps() {
            let Action::Analyze { deployment, analysis, .. } = &step.action else { continue };
            let target = &deployment.target;
            if analysis.dry_run || !asked.insert((target, &analysis.id)) {
                continue;
            }
            for (metric, number) in analysis.metrics().zip(1..) {
                let known = recorded(target, metric).ok_or("nothing was recorded".to_owned());
                if let Err(why) = known.and_then(|known| usable(analysis, metric, &known)) {
                    let (analysis, target) = (analysis.id.clone(), target.clone());
                    missing.push(CriterionUnobservable { analysis, target, metric: number, why });
                }
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }
}

/// Why nothing could be judged by it, if so.
fn usable(analysis: &Analysis, metric: &Metric, known: &Recorded) -> Result<(), String> {
    let terms = Terms { direction: Direction::LowerIsBetter, above: None };
    match reading::read(metric, known.version, &known.measurement, terms)? {
        Reading::Now { at, .. } => reading::fresh(at, known.at, analysis),
        Reading::Part { whole, .. } => {
            let (enough, least) = (whole >= 1.0, analysis.min_samples);
            let least_known = u32::try_from(least).map_or(f64::MAX, f64::from);
            if enough && whole >= least_known {
                Ok(())
            } else {
                Err(format!("there were {whole} samples of the {} that it needs", least.max(1)))
            }
        }
    }
}
