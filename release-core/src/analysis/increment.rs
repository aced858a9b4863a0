//! What one version was like since the last look: the levels that sums and scorecards are made of.

use super::memory::Case;
use super::reading::{self, Reading, Terms};
use crate::model::{Digest, Direction, Metric};
use crate::port::Measurement;
use crate::time::Timestamp;

/// What is known of one version's last measurement of one metric that counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Last {
    part: f64,
    whole: f64,
    at: Option<Timestamp>,
}

impl Last {
    /// All that it is made of.
    pub(super) fn words(self) -> [u64; 3] {
        let at = self.at.map_or(0, |at| at.as_micros().cast_unsigned());
        [self.part.to_bits(), self.whole.to_bits(), at]
    }
}

/// Why there is no level.
pub(super) struct NoLevel {
    pub(super) why: String,
    /// Where counts go on from, if they began anew: what fell in between is not known, and belongs to no look.
    pub(super) anew: Option<Last>,
}

impl From<String> for NoLevel {
    fn from(why: String) -> Self {
        Self { why, anew: None }
    }
}

/// A level, and what to remember of its measurement.
pub(super) type Level = Result<(f64, Last), NoLevel>;

/// The level of `metric` since `last`, or of the moment; and what to remember of the measurement.
///
/// # Errors
/// Why there is none: what was counted then counts with the next look, unless it began anew.
pub(super) fn level(
    case: &Case<'_>,
    metric: &Metric,
    wanted: Digest,
    measurement: &Measurement,
    last: Last,
) -> Level {
    let none = |why: &str| Err(NoLevel::from(why.to_owned()));
    if matches!(metric, Metric::Quantile { .. }) {
        return none("a quantile cannot be told of a part of a window");
    }
    let terms = Terms { direction: Direction::LowerIsBetter, above: None };
    match reading::read(metric, wanted, measurement, terms)? {
        Reading::Now { value, at } => {
            reading::fresh(at, case.at, case.analysis)?;
            if last.at.is_some_and(|last| at <= last) {
                return none("nothing new since the last look");
            }
            Ok((value, Last { at: Some(at), ..last }))
        }
        Reading::Part { part, whole } => {
            let (more, all) = (part - last.part, whole - last.whole);
            let counts = matches!(metric, Metric::Ratio { .. });
            if all < 0.0 || (counts && more < 0.0) {
                let why = "counts have fallen since the last look: the window began anew";
                let anew = Some(Last { part, whole, at: None });
                return Err(NoLevel { why: why.to_owned(), anew });
            }
            let needed = u32::try_from(case.analysis.min_samples).map_or(f64::MAX, f64::from);
            if all <= 0.0 || all < needed {
                return none(&format!("{all} samples since the last look, {needed} are needed"));
            }
            Ok((more / all, Last { part, whole, at: None }))
        }
    }
}
