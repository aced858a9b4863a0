//! The judge of levels after a release: a cumulative sum of how much worse than usual they are.

use super::finding::{Conclusion, Finding, Harm, Method, Part, Scale, Seen, finite, number};
use super::increment::{Last, Level, NoLevel, level};
use super::memory::{Case, Judged};
use super::stream::{digest_of, word_of};
use crate::model::{Cusum as Rule, Digest, Direction, Finite};
use crate::port::{Evidence, Measurement};
use crate::stats::cusum::Cusum;
use crate::stats::special::normal_quantile;

/// How likely the interval of the mean that is told misses the truth at one end.
const ALPHA: f64 = 0.025;

/// What the looks of a cumulative sum have come to.
#[derive(Debug, Clone, Default)]
pub struct Summed {
    /// Looks that count.
    looks: u32,
    /// The sum; made at the first look that counts.
    sum: Option<Cusum>,
    /// By how much levels were worse than usual, in spreads, summed over all looks.
    worse: f64,
    /// Levels of both versions, summed over all looks.
    levels: [f64; 2],
    /// What each version counted until the last look that counts, and of when its number was.
    last: [Last; 2],
    samples: Option<Digest>,
}

// By all that it is made of, to the last bit.
impl PartialEq for Summed {
    fn eq(&self, other: &Self) -> bool {
        self.samples == other.samples && self.words() == other.words()
    }
}

impl Eq for Summed {}

/// One look of such a judge.
pub(super) struct CusumCase<'a> {
    pub(super) case: Case<'a>,
    pub(super) rule: &'a Rule,
}

impl CusumCase<'_> {
    /// By how much looks differ; where both versions vary, each by its own.
    const fn spread(&self) -> f64 {
        let both = if self.rule.usual.is_none() { core::f64::consts::SQRT_2 } else { 1.0 };
        self.rule.spread.get() * both
    }

    /// What is usual: a number, or what the old version has beside the new one.
    fn usual(&self, baseline: Option<&Measurement>, last: Last) -> Level {
        match (self.rule.usual, baseline, self.case.beside) {
            (Some(usual), _, _) => Ok((usual.get(), Last::default())),
            (None, Some(measured), Some(beside)) => {
                let wanted = beside.baseline.artifact.digest();
                let found = level(&self.case, &self.case.analysis.metric, wanted, measured, last);
                found.map_err(|NoLevel { why, anew }| NoLevel {
                    why: format!("of the old version: {why}"),
                    anew,
                })
            }
            (None, ..) => Err(NoLevel::from("what is usual is not known".to_owned())),
        }
    }
}

impl Summed {
    pub(super) fn judge(&mut self, look: &CusumCase<'_>, evidence: &Evidence) -> Judged {
        let taken = self.take(look, evidence);
        let mut finding =
            Finding::without_numbers(Method::Cusum, self.looks, look.rule.alpha, self.samples);
        let Some(sum) = self.sum else {
            let because = taken.err().unwrap_or_default();
            return Judged::new(finding, because, false);
        };
        finding.harm = Some(Harm {
            scale: Scale::Sum,
            estimate: Finite::new(sum.parts().sum).ok(),
            low: None,
            high: None,
            tolerated: look.rule.h,
        });
        self.tell(look, &mut finding);
        if let Err(because) = taken {
            return Judged::new(finding, because, false);
        }
        // As long as others go on there is no last look, and one without an alarm is a good one.
        let last = self.looks >= look.case.analysis.count && !look.case.goes_on;
        finding.conclusion = if sum.alarm() {
            Conclusion::Regressed
        } else if last || look.case.goes_on {
            Conclusion::Healthy
        } else {
            Conclusion::Undetermined
        };
        let since = sum.parts().since;
        let begun = if since == 0 { String::new() } else { format!(", above 0 for {since} looks") };
        let because = format!(
            "the sum is {} of {}{begun}; worse than usual by {} spreads in the mean",
            number(sum.parts().sum),
            look.rule.h,
            number(self.mean()),
        );
        Judged::new(finding, because, last)
    }

    /// Takes a look's level in.
    ///
    /// # Errors
    /// Why it says nothing; the sum stays as it was.
    pub(super) fn take(&mut self, look: &CusumCase<'_>, evidence: &Evidence) -> Result<(), String> {
        let (canary, baseline) = look.case.one(evidence)?;
        self.samples = Some(digest_of(self.samples, std::iter::once(canary).chain(baseline)));
        let [was, old] = self.last;
        let metric = &look.case.analysis.metric;
        let found = level(&look.case, metric, look.case.wanted(), canary, was);
        let ((new, now), (usual, then)) = match (found, look.usual(baseline, old)) {
            (Ok(found), Ok(usual)) => (found, usual),
            (found, usual) => return Err(self.without([found, usual])),
        };
        let (rule, spread) = (look.rule, look.spread());
        let worse = match rule.direction {
            Direction::LowerIsBetter => (new - usual) / spread,
            Direction::HigherIsBetter => (usual - new) / spread,
        };
        let mut sum = match self.sum {
            Some(sum) => sum,
            None => Cusum::new(rule.k.get(), rule.h.get()).map_err(|error| error.to_string())?,
        };
        sum.push(worse).map_err(|error| error.to_string())?;
        self.sum = Some(sum);
        self.looks = self.looks.saturating_add(1);
        self.worse += worse;
        let [canaries, usuals] = self.levels;
        self.levels = [canaries + new, usuals + usual];
        self.last = [now, then];
        Ok(())
    }

    /// Why a look has no level. Once the counts of one version began anew, those of both go on from this look: the next compares
    /// what they were at the same time.
    fn without(&mut self, both: [Level; 2]) -> String {
        let anew = |one: &Level| matches!(one, Err(NoLevel { anew: Some(_), .. }));
        if both.iter().any(anew) {
            for (last, one) in self.last.iter_mut().zip(&both) {
                match one {
                    Ok((_, now)) | Err(NoLevel { anew: Some(now), .. }) => *last = *now,
                    Err(NoLevel { anew: None, .. }) => {}
                }
            }
        }
        both.into_iter().find_map(Result::err).map_or_else(String::new, |none| none.why)
    }

    /// How much worse than usual looks were in the mean, in spreads.
    fn mean(&self) -> f64 {
        self.worse / f64::from(self.looks.max(1))
    }

    /// What was seen, and by how much levels differ from what is usual.
    fn tell(&self, look: &CusumCase<'_>, finding: &mut Finding) {
        let looks = f64::from(self.looks.max(1));
        let [canary, usual] = self.levels.map(|sum| {
            Some(Seen { value: Finite::new(sum / looks).ok()?, samples: finite(looks) })
        });
        finding.canary = canary;
        finding.baseline = usual.filter(|_| look.rule.usual.is_none());
        let spread = look.spread();
        let (mean, radius) = (
            self.mean() * spread,
            normal_quantile(1.0 - ALPHA).unwrap_or(f64::INFINITY) * spread / looks.sqrt(),
        );
        let number = |value: f64| Finite::new(value).ok();
        finding.parts = vec![Part {
            name: "worse than usual".to_owned(),
            says: format!("in {}, over all looks", look.rule.unit.name()),
            estimate: number(mean),
            low: number(mean - radius),
            high: number(mean + radius),
            samples: finite(looks),
            baseline_samples: finding.baseline.map(|seen| seen.samples),
        }];
    }

    /// All that it is made of, for the digest of a state.
    pub(super) fn words(&self) -> Vec<u64> {
        let samples = self.samples.map_or(0, word_of);
        let sum = self.sum.map(|sum| sum.parts());
        let of_sum = sum.map_or([0, 0], |parts| [parts.sum.to_bits(), parts.since]);
        let last = self.last.into_iter().flat_map(Last::words);
        let levels = self.levels.map(f64::to_bits);
        let first = [u64::from(self.looks), samples, self.worse.to_bits()];
        first.into_iter().chain(of_sum).chain(levels).chain(last).collect()
    }
}
