//! One measurement of one version, held against limits.

use super::finding::{Conclusion, Finding, Harm, Method, Scale, Seen, finite};
use super::memory::{Case, Judged};
use super::reading;
use super::stream::digest_of;
use crate::model::{Analysis, Bound, Digest, Finite, Metric, Threshold};
use crate::port::Measurement;
use crate::run::Verdict;
use crate::stats::boundaries::bernoulli_interval;
use crate::time::Timestamp;

/// How likely the interval of a share misses it at either end, however often one looks, if one event says nothing of the next.
const ALPHA: f64 = 0.025;

/// What a measurement is, with how it is shown and what it is of.
pub(super) struct Told {
    pub(super) number: f64,
    pub(super) shown: String,
    pub(super) of: Of,
    between: Between,
}

/// What is known of where the value lies that was measured.
#[derive(Debug, Clone, Copy)]
enum Between {
    /// It is told as a number, and no more.
    Nothing,
    /// In a bucket with these bounds, for certain.
    Bucket([f64; 2]),
    /// It is the share of so many of so many.
    Share([f64; 2]),
}

/// What tells one measurement from the one before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// So many samples since the window began.
    Samples(Finite),
    /// The moment that it is a number of.
    Moment(Timestamp),
}

/// What the newest measurement of a threshold was of. Counts go on from the beginning of a window, so that one of no more samples is
/// the one before, told again; and so is a number of the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sampled {
    samples: Option<Finite>,
    /// Of a number of the moment, which; of counts, when they were seen to have grown. Not known of analyses that do not say for
    /// how long samples are fresh.
    newest: Option<Timestamp>,
}

/// Why a measurement is none of its own.
pub(super) enum Again {
    /// There is no newer sample yet, and the newest is still fresh: the next look may tell.
    Waiting(String),
    /// There is none, or none that goes on from the one before.
    Nothing(String),
}

impl Sampled {
    /// An empty one, where `analysis` needs any: journals from before numbers of the moment were told apart have none of these.
    pub(super) fn of(analysis: &Analysis) -> Option<Self> {
        let counted = !matches!(analysis.metric, Metric::Query { .. });
        (counted || analysis.fresh_for.is_some()).then(Self::default)
    }

    /// Takes a measurement in that was judged before.
    pub(super) fn take(
        &mut self,
        (case, limits): (&Case<'_>, &Threshold),
        measurement: &Measurement,
    ) {
        if let Ok(Told { of, .. }) =
            told((&case.analysis.metric, limits.success), case, measurement)
        {
            self.again(case.analysis, of, case.at);
        }
    }

    /// Why a measurement of so much is none of its own, if it is not.
    pub(super) fn again(&mut self, analysis: &Analysis, of: Of, now: Timestamp) -> Option<Again> {
        match of {
            Of::Samples(samples) => self.counted(analysis, samples, now),
            // It is fresh, or it would not be told; it is looked for until it is not.
            Of::Moment(at) => match self.newest {
                Some(last) if at <= last => {
                    Some(Again::Waiting(format!("no sample since that of {last}")))
                }
                _ => {
                    self.newest = Some(at);
                    None
                }
            },
        }
    }

    fn counted(&mut self, analysis: &Analysis, samples: Finite, now: Timestamp) -> Option<Again> {
        let last = self.samples.replace(samples);
        if last == Some(samples) {
            let why = format!("no sample since the last look, {samples} in all");
            let fresh = self.newest.is_some_and(|grown| now.since(grown) <= analysis.freshness());
            return Some(if fresh { Again::Waiting(why) } else { Again::Nothing(why) });
        }
        self.newest = analysis.fresh_for.map(|_| now);
        let last = last.filter(|last| samples < *last)?;
        let why = format!("of {samples} samples, after {last}: the window began anew");
        Some(Again::Nothing(why))
    }

    /// All that it is made of, for the digest of a state.
    pub(super) fn words(self) -> impl Iterator<Item = u64> {
        let samples = self.samples.map_or(u64::MAX, |samples| samples.get().to_bits());
        let newest = self.newest.map(|at| at.as_micros().cast_unsigned());
        std::iter::once(samples).chain(newest)
    }
}

/// What one measurement of `wanted` says, held against limits; and why. `sampled` is what the one before was of.
pub(crate) fn measure(
    analysis: &Analysis,
    limits: &Threshold,
    wanted: Digest,
    (measurement, sampled): (&Measurement, Option<&mut Sampled>),
    now: Timestamp,
) -> Judged {
    let sample = digest_of(None, [measurement]);
    let mut finding = Finding::without_numbers(Method::Threshold, 1, Finite::ZERO, Some(sample));
    let told = value((&analysis.metric, limits.success), analysis, wanted, measurement, now);
    let (conclusion, verdict, because) = match told {
        Err(why) => (Conclusion::NoData, Verdict::Inconclusive, why),
        Ok(told) => {
            let again = sampled.and_then(|last| last.again(analysis, told.of, now));
            told.fill(analysis, limits, &mut finding);
            told.held(analysis, limits, again)
        }
    };
    #[cfg(planted_bugs)]
    let (verdict, because) = planted(measurement, wanted).unwrap_or((verdict, because));
    finding.conclusion = conclusion;
    Judged { finding, verdict, because, last: false }
}

/// What a bug that is planted makes of a measurement.
#[cfg(planted_bugs)]
fn planted(measurement: &Measurement, wanted: Digest) -> Option<(Verdict, String)> {
    use crate::planted::{Bug, is};
    match measurement {
        Measurement::NoData { .. } if is(Bug::NoDataPasses) => {
            Some((Verdict::Pass, "nothing bad was seen".into()))
        }
        Measurement::Ratio { denominator: Finite::ZERO, digest, .. }
            if *digest == wanted && is(Bug::NanPasses) =>
        {
            Some((Verdict::Pass, "nothing is not beyond the limit".into()))
        }
        _ => None,
    }
}

impl Told {
    /// Why there are too few samples, if there are.
    pub(super) fn too_few(&self, analysis: &Analysis) -> Option<String> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "rounded beyond 2^53 samples, by less than one in 10^15"
        )]
        let least = analysis.min_samples as f64;
        let too_few = matches!(self.of, Of::Samples(all) if all.get() < least);
        let Self { shown, .. } = self;
        too_few
            .then(|| format!("{shown}, but at least {} samples are needed", analysis.min_samples))
    }

    /// How many samples it is of; a number of the moment is one.
    pub(super) const fn samples(&self) -> f64 {
        match self.of {
            Of::Samples(samples) => samples.get(),
            Of::Moment(_) => 1.0,
        }
    }

    /// Between which values it lies for certain, where that is known.
    pub(super) fn ends(&self) -> [Option<f64>; 2] {
        match self.between {
            Between::Bucket(ends) => ends.map(Some),
            Between::Nothing | Between::Share(_) => [None; 2],
        }
    }

    /// What it comes to, what it counts as, and why.
    fn held(
        &self,
        analysis: &Analysis,
        limits: &Threshold,
        again: Option<Again>,
    ) -> (Conclusion, Verdict, String) {
        let Self { number, shown, .. } = self;
        match again {
            Some(Again::Waiting(why)) => {
                let why = format!("{shown}, {why}");
                return (Conclusion::Undetermined, Verdict::Undetermined, why);
            }
            Some(Again::Nothing(why)) => {
                return (Conclusion::NoData, Verdict::Inconclusive, format!("{shown}, {why}"));
            }
            None => {}
        }
        if let Some(why) = self.too_few(analysis) {
            return (Conclusion::NoData, Verdict::Inconclusive, why);
        }
        let good = reading::holds(limits.success, *number);
        let tolerable = good || limits.failure.is_some_and(|bound| reading::holds(bound, *number));
        let (conclusion, verdict) = match (good, tolerable) {
            (true, _) => (Conclusion::Healthy, Verdict::Pass),
            (false, true) => (Conclusion::Undetermined, Verdict::Inconclusive),
            (false, false) => (Conclusion::Regressed, Verdict::Fail),
        };
        let not = if good { "" } else { "not " };
        (conclusion, verdict, format!("{shown} is {not}{}", limits.success))
    }

    /// Tells the value, how far beyond its limit it is, and between which values that lies.
    fn fill(&self, analysis: &Analysis, limits: &Threshold, finding: &mut Finding) {
        let beyond = |value: f64| match limits.success {
            Bound::AtMost(limit) => value - limit.get(),
            Bound::AtLeast(limit) => limit.get() - value,
        };
        let (ends, alpha) = match self.between {
            Between::Nothing => (None, 0.0),
            Between::Bucket(ends) => (Some(ends), 0.0),
            Between::Share(counts) => (share_interval(analysis, counts), ALPHA),
        };
        let mut ends = ends.map(|ends| ends.map(beyond));
        if let (Some(ends), Bound::AtLeast(_)) = (&mut ends, limits.success) {
            ends.reverse();
        }
        let [low, high] = ends.map_or([None; 2], |ends| ends.map(|end| Finite::new(end).ok()));
        let tolerated = limits.failure.map_or(0.0, |bound| match bound {
            Bound::AtMost(limit) | Bound::AtLeast(limit) => beyond(limit.get()),
        });
        let estimate = Finite::new(beyond(self.number)).ok();
        let tolerated = finite(tolerated);
        finding.harm = Some(Harm { scale: Scale::Beyond, estimate, low, high, tolerated });
        finding.alpha = if ends.is_some() { finite(alpha) } else { Finite::ZERO };
        let samples = finite(self.samples());
        // What lies beyond all buckets is at least as great as the last bound.
        let mut numbers = [self.number].into_iter().chain(self.ends().into_iter().flatten());
        let value = numbers.find_map(|number| Finite::new(number).ok());
        finding.canary = value.map(|value| Seen { value, samples });
    }
}

/// Where a share lies of which so many of so many were seen: a sequence of intervals that all hold it, tightest when there are
/// as many samples as are needed.
fn share_interval(analysis: &Analysis, [part, whole]: [f64; 2]) -> Option<[f64; 2]> {
    let tightest = u32::try_from(analysis.min_samples).map_or(f64::from(u32::MAX), f64::from);
    let interval = bernoulli_interval(part, whole, 2.0 * ALPHA, tightest.max(1.0), 2.0 * ALPHA);
    interval.ok().map(|interval| [interval.lower, interval.upper])
}

/// What a measurement of the version that is judged says. `side` is where good values lie.
pub(super) fn told(
    of: (&Metric, Bound),
    case: &Case<'_>,
    measurement: &Measurement,
) -> Result<Told, String> {
    value(of, case.analysis, case.wanted(), measurement, case.at)
}

fn value(
    (metric, side): (&Metric, Bound),
    analysis: &Analysis,
    wanted: Digest,
    measurement: &Measurement,
    now: Timestamp,
) -> Result<Told, String> {
    let of = |digest: Digest| {
        if digest == wanted { Ok(()) } else { Err(format!("measured {digest}, not {wanted}")) }
    };
    match (metric, measurement) {
        (_, Measurement::NoData { reason }) => Err(format!("no data: {reason}")),
        (
            metric @ (Metric::Ratio { .. } | Metric::Mean { .. }),
            Measurement::Ratio { digest, numerator, denominator },
        ) => {
            of(*digest)?;
            // Both are finite; their quotient may still not be, for example when the whole is 0.
            let value = Finite::new(numerator.get() / denominator.get())
                .map_err(|_| format!("{numerator} of {denominator} is no ratio"))?;
            let sums = matches!(metric, Metric::Mean { .. });
            if denominator < &Finite::ZERO || !sums && numerator < &Finite::ZERO {
                return Err(format!("{numerator} of {denominator} cannot be counts"));
            }
            // A limit up to 1 is that of a share; more than the whole is none, and would be good for the wrong reason.
            let share = matches!(side, Bound::AtLeast(limit) if limit.get() <= 1.0);
            if share && !sums && numerator > denominator {
                return Err(format!("{numerator} of {denominator} is more than the whole"));
            }
            let shown = format!("{:.4} ({numerator} of {denominator})", value.get());
            let counts = !sums && numerator <= denominator;
            let between = if counts {
                Between::Share([numerator.get(), denominator.get()])
            } else {
                Between::Nothing
            };
            Ok(Told { number: value.get(), shown, of: Of::Samples(*denominator), between })
        }
        (Metric::Quantile { quantile, .. }, Measurement::Histogram { digest, buckets }) => {
            of(*digest)?;
            let all = reading::total(buckets)?;
            if all <= 0.0 {
                return Err("nothing was observed".into());
            }
            let rank = quantile.get() * all;
            let end =
                |bound: fn(Finite) -> Bound| reading::place(buckets, rank, bound(Finite::ZERO));
            let ends = [end(Bound::AtLeast), end(Bound::AtMost)];
            let value = reading::place(buckets, rank, side);
            let samples = Finite::new(all).map_err(|error| error.to_string())?;
            let percent = quantile.get() * 100.0;
            let shown = match side {
                Bound::AtMost(_) => format!("the {percent:.1} % quantile, up to {value} of {all}"),
                Bound::AtLeast(_) => format!("the {percent:.1} % quantile, above {value} of {all}"),
            };
            Ok(Told {
                number: value,
                shown,
                of: Of::Samples(samples),
                between: Between::Bucket(ends),
            })
        }
        (Metric::Query { .. }, Measurement::Value { digest, value, at }) => {
            of(*digest)?;
            reading::fresh(*at, now, analysis)?;
            let (number, shown) = (value.get(), value.to_string());
            Ok(Told { number, shown, of: Of::Moment(*at), between: Between::Nothing })
        }
        (metric, _) => Err(format!("the answer is no measurement of a {}", metric.kind())),
    }
}

#[cfg(test)]
mod tests;
