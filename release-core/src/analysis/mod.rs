//! Judging versions by what is measured of them. Pure: the same measurements always give the same findings.
//!
//! What providers report is read (`reading`) and folded into a [`Stream`] of constant memory (`stream`, `lagged`); a judge
//! says at every look what all looks come to ([`Finding`]). A [`Threshold`](crate::model::Threshold) holds each measurement
//! of the new version against a limit; a [`Sequential`](crate::model::Sequential) test compares it with the old one, which
//! serves beside it.
//!
//! Each measurement counts once: counts go on from the beginning of a window, and where they have not grown since the look before,
//! or a number is of the same moment, nothing was measured. There is one exception: a limit on a
//! [`Query`](crate::model::Metric::Query) knows a number of the same moment only where the analysis says
//! [`fresh_for`](crate::model::Analysis::fresh_for), as is told below. A comparison of events takes a look in which neither version had a request
//! for one that saw none: where there is little traffic, that is what there is to see.
//!
//! # Fresh samples
//! A number of the moment is of it for twice the `interval` of the analysis. Sources that scrape have no sample younger than their
//! last scrape, so that an analysis that looks more often than it is scraped has to say for how long a sample is fresh:
//! [`fresh_for`](crate::model::Analysis::fresh_for), such as two scrape intervals. A limit's looks then wait for the next sample:
//! one that finds none is [`Undetermined`](crate::run::Verdict::Undetermined), and counts neither as good, bad nor inconclusive, until
//! the newest sample (of counts: the last growth that a look saw) is older than that. From then on each such look is
//! inconclusive. Judges that compare versions or sum levels look at an `interval` that is no shorter than that of the
//! scrapes: their looks without a new number are inconclusive.
//!
//! Without `fresh_for` a limit takes a number of the moment as often as it is looked at, as it always did: looked at every second, one
//! sample is up to three good measurements, of 0, 1 and 2 seconds of age, and a `count` of 3 may go by a single scrape. So give limits on
//! a `Query` a `fresh_for` wherever their `interval` is shorter than that of the scrapes, or look no more often than it is scraped.
//!
//! # Points
//! A scorecard ranks the points of two series. A count, a sum or a [`Query`](crate::model::Metric::Query) gives one at each look; a
//! [`Range`](crate::model::Metric::Range) gives one at each step of the time between two looks, by one query of a range. What is no
//! number, NaN or two values of one instant, is a point without a value, and so is each step that lacks a point between two: what
//! becomes of these, the metric's [`nan`](crate::model::NoValue) says. Looks may overlap: what a look before had seen counts once, as
//! it was first seen, and what comes late fills its step, if that had lacked a point until then. A look of counts or queries without
//! anything new is one point without a value; after such a look of a range, each step until then is one, until a later look sees it.
//! An answer whose newest point is not fresh counts as none, and points from before the window do not count. Of each version the newest
//! 2,000 steps are kept. Nothing is concluded of a range that has fewer numbers than
//! [`min_samples`](crate::model::Analysis::min_samples), of either version.
//!
//! # The sequential judge
//! *It may be looked at as often as one likes.* The chance that a version which is no worse is found to be worse is at most `alpha`
//! over all looks of all such analyses of a run together: the planner counts them and divides `alpha` among them. That is so for one
//! attempt of each: when people let an analysis begin anew ([`Command::Retry`](crate::run::Command::Retry)), that is a new test of new
//! looks, with all of its chance. With `k` retries in a run it is at most `(k + 1) * alpha`. So take another decision, or plan longer, rather
//! than to look again until it passes.
//!
//! - **Events** (ratios, quantiles): of all bad events, those of the canary, beside its part of the requests, by the mixture of
//!   likelihood ratios of [`CountTest`](crate::stats::counts::CountTest). A quantile is a count of the observations beyond it,
//!   where «it» is fixed by the first look at which the old version has observations enough (so many that about ten lie beyond the
//!   quantile, and `min_samples` at the least), at the nearest bound of the histogram's buckets, and counting begins with the next. Looks
//!   until then are undetermined, as long as both versions are observed at all. Where the buckets are so coarse that beyond no bound there are within a factor of ten as many, the version
//!   is healthy while its quantile certainly stays in the bucket of the old one's.
//! - **Levels** (means, queries): the differences of each look, by the scale-invariant mixture of Student's t, whose effects
//!   are of the size of one standard deviation.
//! - **Waves**: what one look sees, the next often sees again. `dispersion` says how few independent looks the looks are worth,
//!   and both tests count only these. In the first eight looks, which do not tell, nothing is concluded of many events but what
//!   is more than any wave: rates that are so many times as high that waves of their own size would hardly ever make it, as in
//!   an outage (21 times with an `alpha` of 0.05, 38 with 0.01).
//!
//! *Regressed* is an interval of harm that lies above what is tolerated; *healthy* is one that lies below the margin: that no
//! harm was shown is not health. Between the two it is *undetermined*, which never passes: after the last planned look the run holds
//! and people decide, unless the analysis says that it goes back ([`Undecided`](crate::model::Undecided)). No data goes back. What would
//! be concluded from versions that did not get their shares, or beside an old version that is ill itself, is
//! not concluded.
//!
//! *What it costs*: a fixed test that is looked at once finds the same harm with about half the data. [`power`] says before a
//! run what can be found, and the planner refuses a plan that could not find its own threshold, or in which no version could
//! pass. `release-testkit/tests/judge` measures errors and power;
//! what it prints of two equal versions is both the share of runs that were found regressed, which is at most `alpha`, and that of runs
//! that ended undetermined, which is a matter of power: at most 10 % where the planner accepts the plan and the traffic is as
//! expected, and no bound where it comes in waves.
//! `JUDGE_PATHS=100000 cargo test --release -p release-testkit --test judge -- --nocapture` takes that many paths where looks are
//! independent, a tenth where they come in waves, and a hundredth where hardly any path ends early, and hours.
//! Measured at an `alpha` of 0.05, for one metric and for four, over 24, 100 and 1,000 looks. Where looks are independent, of 100,000
//! paths at most so many were false alarms: 0.63 % of 0.2 errors a look, 0.07 % of 5, 0.25 % of 5 of which a tenth comes to the
//! canary, 0.06 % where requests are divided by chance, 0.86 % of means, 0.78 % of sums, 0.11 % of a 99th percentile; less than 0.005 % of
//! 500 and of 5,000 whose rate swings by a fifth from look to look.
//! Where rates swing by up to a half (the standard deviation of their logarithm) and one look goes with the next by up to 0.8, of 10,000
//! paths at most 5.0 % (with a standard error of 0.2), over 1,000 looks with four metrics: that is where the canary has a quarter of 5
//! events a look; with a fifth of 10 it is 4.8 %, with a tenth of 5 it is 4.0 %, with half of 5 at most 4.1 %.
//!
//! *What it does not see*: harm that the margin tolerates, harm of less than the planned size, waves longer than the time that
//! is watched, and clients who are not given to versions by chance.
//!
//! # Other judges
//! - [`BurnRate`](crate::model::BurnRate): how fast one version burns an error budget, in pairs of windows.
//! - [`Cusum`](crate::model::Cusum): whether a level drifts from what is usual in the time after a release.
//! - [`Objectives`](crate::model::Objectives): several metrics of one version, each against criteria, scored together as Keptn does.
//! - [`Scorecard`](crate::model::Scorecard): several metrics scored together, for those who come from Kayenta: [`netflix`] is the judge that Kayenta made common, quirks included, for those who come from there; and the same one mended.

mod burn;
mod cusum;
mod dispersion;
mod events;
mod example;
mod finding;
mod increment;
mod lagged;
mod memory;
pub mod netflix;
mod objectives;
mod power;
pub(crate) mod ranged;
pub(crate) mod reading;
mod scorecard;
mod sequential;
mod stream;
mod threshold;
mod trial;

pub use burn::Burned;
pub use cusum::Summed;
pub use example::example;
pub use finding::{Conclusion, Finding, Harm, Method, Part, Scale, Seen};
pub use memory::Memory;
pub use objectives::Scores;
pub(crate) use objectives::tells;
pub use power::{DETECTS, PASSES, Power, power};
pub(crate) use power::{fewest_samples, power_after};
pub use scorecard::Points;
pub use stream::Stream;
pub use threshold::Sampled;
pub use trial::Trial;

pub(crate) use memory::{Judged, When};

#[cfg(test)]
pub(crate) use threshold::measure;
