//! What makes no sense in the rules of judges of burn rates, of cumulative sums, of scorecards and of objectives: rules that could find
//! nothing, that would find something in nothing, and that could not be followed.

use std::collections::BTreeSet;

use crate::analysis::{DETECTS, netflix, tells};
use crate::model::{
    Analysis, BurnRate, BurnWindows, Criterion, Cusum, Finite, Judge, Metric, Objectives,
    ScoreMethod, Scorecard,
};
use crate::port::MAX_POINTS;
use crate::stats::cusum::{alarm_within, run_length};
use crate::time::Span;

/// Most looks within the longest window: three days, looked at every minute.
const MOST_MARKS: u128 = 4_320;
/// Most looks over which a cumulative sum is planned.
const MOST_SUMMED: u32 = 100_000;
/// Most points of a scorecard's series.
const MOST_POINTS: u32 = 2_000;
/// Most metrics of a scorecard.
const MOST_METRICS: usize = 32;
/// Fewest points of a version that a rank test with 98 percent confidence tells from as many others at all.
const FEWEST_POINTS: u32 = 5;

/// Windows that could never fire, or fire for one event, or that are looked at too seldom or too often.
pub(super) fn check_burn(analysis: &Analysis, rule: &BurnRate, mut bad: impl FnMut(&str)) {
    if !matches!(analysis.metric, Metric::Ratio { .. }) {
        bad(
            "a burn rate is one of events; set `metric` to a `ratio` of bad (or good) events by all",
        );
    }
    let objective = rule.objective.get();
    if !(objective > 0.0 && objective < 1.0) {
        bad("`objective` has to lie between 0 and 1; 0.999 allows one bad event in a thousand");
        return;
    }
    if rule.windows.is_empty() {
        bad(
            "`windows` is empty, and nothing could be found; name a pair, or leave it out for the usual ones",
        );
    }
    for BurnWindows { long, short, factor } in &rule.windows {
        let of = format!("the pair of {long} and {short}");
        if *short == Span::ZERO || short >= long {
            bad(&format!(
                "{of} has no short window and a longer one; a twelfth of `long` is usual"
            ));
        }
        let most = 1.0 / (1.0 - objective);
        if *factor <= Finite::ZERO || factor.get() >= most {
            bad(&format!(
                "{of} has a `factor` of {factor}; a budget burns {most:.6} times as fast as allowed when everything fails, so set one above 0 and below that"
            ));
            continue;
        }
        if analysis.interval > *short {
            bad(&format!(
                "{of} is looked at every {}, less often than its short window is long; look more often",
                analysis.interval
            ));
        }
        let interval = analysis.interval.as_duration().as_nanos();
        if interval > 0 && long.as_duration().as_nanos() / interval > MOST_MARKS {
            bad(&format!("{of} would be looked at more than {MOST_MARKS} times; look less often"));
        }
        let needed = (1.0 / (factor.get() * (1.0 - objective)) - 1e-9).ceil();
        let least = u32::try_from(analysis.min_samples).map_or(f64::MAX, f64::from);
        if least < needed {
            bad(&format!(
                "{of} would fire for a single bad event among {least}; set `min_samples` to {needed} or more, or judge by a sequential test where there are not so many"
            ));
        }
    }
}

/// Sums that could not find a change, or would find one where there is none.
pub(super) fn check_cusum(analysis: &Analysis, rule: &Cusum, mut bad: impl FnMut(&str)) {
    if matches!(analysis.metric, Metric::Quantile { .. }) {
        bad(
            "a quantile cannot be told of the time between two looks; sum up a mean, a ratio, or the answer to a `query`",
        );
    }
    let Cusum { spread, k, h, detect, alpha, .. } = rule;
    let before = [
        (
            *spread > Finite::ZERO,
            "`spread` has to be above 0: by how much looks differ while all is well",
        ),
        (
            *k >= Finite::ZERO && k.get() <= 10.0,
            "`k` has to lie from 0 to 10 spreads; half of `detect` is usual",
        ),
        (
            *h > Finite::ZERO && h.get() <= 20.0,
            "`h` has to be above 0 and at most 20 spreads; 4 or 5 is usual",
        ),
        (
            alpha.get() > 0.0 && alpha.get() < 1.0,
            "`alpha` has to lie between 0 and 1; 0.05 is one false alarm in twenty runs",
        ),
        (analysis.count <= MOST_SUMMED, "`count` is more than 100000 looks; look less often"),
    ];
    let mut sound = true;
    for (_, problem) in before.into_iter().filter(|(good, _)| !good) {
        bad(problem);
        sound = false;
    }
    if !sound || analysis.count == 0 {
        return;
    }
    // Where the old version is what is usual, both vary, and a change is the smaller beside that.
    let (change, beside) = match rule.usual {
        Some(_) => (detect.get(), ""),
        None => (
            detect.get() / core::f64::consts::SQRT_2,
            " by the square root of 2, as both versions vary,",
        ),
    };
    if change <= k.get() {
        bad(&format!(
            "a change of `detect`, {detect} spreads,{beside} is not above `k`, {k}, which is let pass: it could not be found; set `k` to half of that"
        ));
        return;
    }
    let (k, h, count) = (k.get(), h.get(), analysis.count);
    let chances = alarm_within(k, h, 0.0, count)
        .and_then(|none| Ok((none, alarm_within(k, h, change, count)?)));
    let (none, found) = match chances {
        Ok(chances) => chances,
        Err(error) => return bad(&error.to_string()),
    };
    if none > alpha.get() {
        let lasts = run_length(k, h, 0.0).map_or_else(|_| "many".into(), |n| format!("{n:.0}"));
        bad(&format!(
            "where all is well there is an alarm after {lasts} looks in the mean, and with {:.1} % within the {count} that are planned; {} % are allowed. Raise `h`, look less often, or allow more by `alpha`",
            none * 100.0,
            alpha.get() * 100.0
        ));
    }
    if found < DETECTS {
        let takes = run_length(k, h, change).map_or_else(|_| "many".into(), |n| format!("{n:.1}"));
        bad(&format!(
            "a change of {detect} spreads is found after {takes} looks in the mean, and with {:.1} % within the {count} that are planned; at least {:.0} % are needed. Look more often or longer, lower `h`, or ask for less by `detect`",
            found * 100.0,
            DETECTS * 100.0
        ));
    }
}

/// Scorecards that leave open what they mean, or that nothing could be told by.
pub(super) fn check_scorecard(analysis: &Analysis, card: &Scorecard, mut bad: impl FnMut(&str)) {
    if card.metrics.len() > MOST_METRICS {
        bad(&format!("a scorecard has at most {MOST_METRICS} metrics; make two analyses of it"));
    }
    let mut names = BTreeSet::new();
    for scored in &card.metrics {
        let name = &scored.name;
        if !names.insert(name) {
            bad(&format!("metric `{name}` is there twice; rename one"));
        }
        if scored.groups.is_empty() {
            bad(&format!(
                "metric `{name}` is in no group, so that it would not count; put it in one"
            ));
        }
        if matches!(scored.metric, Metric::Quantile { .. }) {
            bad(&format!(
                "metric `{name}` is a quantile, which cannot be told of the time between two looks; ask for it by a `query` or a `range`"
            ));
        }
    }
    let (fewest, most) = (points(analysis, card).min(), points(analysis, card).max());
    let (fewest, most) = (fewest.unwrap_or_default(), most.unwrap_or_default());
    let sum: f64 = card.group_weights.values().map(|weight| weight.get()).sum();
    let config = netflix::CanaryConfig::from(card);
    match card.method {
        ScoreMethod::Strict { min_points } => {
            if let Err(error) = netflix::check(&config) {
                // What names a metric twice or without a group was told above.
                if !matches!(error, netflix::ConfigError::Metric { .. }) {
                    bad(&error.to_string());
                }
            }
            if fewest < u128::from(min_points) {
                bad(&format!(
                    "takes {fewest} points, and each metric needs {min_points}: it could never pass; raise `count`, or lower `min_points`"
                ));
            }
        }
        ScoreMethod::NetflixAca { .. } => {
            if card.metrics.iter().all(|scored| scored.muted) {
                bad("no metric is judged; add one, or unmute one");
            }
            if sum > 100.0 + 1e-9 || card.group_weights.values().any(|w| *w < Finite::ZERO) {
                bad(&format!(
                    "the weights of the groups sum to {sum} %, or some are below 0: groups would weigh less than nothing; mend `group_weights`"
                ));
            }
            if !(Finite::ZERO <= card.marginal
                && card.marginal <= card.pass
                && card.pass.get() <= 100.0)
            {
                bad("`marginal` and `pass` are not in order from 0 to 100; swap or mend them");
            }
        }
    }
    if let Some(why) = fewer_than_needed(analysis, card, fewest) {
        bad(&why);
    }
    if fewest < u128::from(FEWEST_POINTS) || most > u128::from(MOST_POINTS) {
        let takes = if fewest < u128::from(FEWEST_POINTS) { fewest } else { most };
        bad(&format!(
            "takes {takes} points of each version; with fewer than {FEWEST_POINTS} no difference could be told, and more than {MOST_POINTS} are not kept; set `count` to 50 or more, for example"
        ));
    }
    let looks = u128::from(analysis.count.max(1));
    let early = |every: u32| fewest * u128::from(every) / looks < u128::from(FEWEST_POINTS);
    if card.every.is_some_and(early) {
        bad(&format!(
            "is judged after fewer than {FEWEST_POINTS} points, of which nothing could be told; raise `every`"
        ));
    }
}

/// What is wrong where ranges alone are ranked, and all looks together have fewer points than are needed.
fn fewer_than_needed(analysis: &Analysis, card: &Scorecard, points: u128) -> Option<String> {
    let mut all = card.metrics.iter();
    let ranges = all.all(|scored| matches!(scored.metric, Metric::Range { .. }));
    let needed = analysis.min_samples;
    (ranges && points < u128::from(needed)).then(|| {
        format!(
            "takes {points} points of each version, and `min_samples` are {needed}: it could never pass; raise `count`, or lower `min_samples`"
        )
    })
}

/// How many points of each metric all looks have: one a look, or one a step of the time between two.
fn points(analysis: &Analysis, card: &Scorecard) -> impl Iterator<Item = u128> {
    let (count, interval) = (u128::from(analysis.count), nanos(analysis.interval));
    card.metrics.iter().map(move |scored| match &scored.metric {
        Metric::Range { step, .. } => {
            count.saturating_mul(interval.checked_div(nanos(*step)).unwrap_or(1).max(1))
        }
        _ => count,
    })
}

/// Ranges that would miss points between two looks, that would have none, or more than are kept; and such of judges that go by one
/// number of a look.
pub(super) fn check_ranges(analysis: &Analysis, mut bad: impl FnMut(&str)) {
    for metric in analysis.metrics() {
        let Metric::Range { step, over, .. } = metric else { continue };
        if !matches!(analysis.judge, Judge::Scorecard(_)) {
            bad(
                "a `range` has many points at each look, which a `scorecard` ranks; this judge goes by one number: ask for it by a `query` that looks back itself, such as `max_over_time((…)[{{window}}s:15s])`",
            );
        }
        let interval = analysis.interval;
        if *step == Span::ZERO || *step > interval {
            bad(&format!(
                "the `step` of a range is {step}; set one above 0 and up to `interval`, which is {interval}: else looks would have no new point"
            ));
            continue;
        }
        if *over < interval {
            bad(&format!(
                "a range goes back {over}, and is looked at every {interval}: points in between would be missed; set `over` to that or more"
            ));
        }
        let steps = nanos(*over) / nanos(*step);
        // Both ends are points, where none is missing; a gap stands for one or more that are, and the end may be stale.
        if steps.saturating_add(2) > u128::try_from(MAX_POINTS).unwrap_or(u128::MAX) {
            bad(&format!(
                "a range has {steps} steps, and an answer at most {MAX_POINTS} facts; look back less by `over`, take a longer `step`, or look more often"
            ));
        }
    }
}

const fn nanos(span: Span) -> u128 {
    span.as_duration().as_nanos()
}

/// Objectives that could not be told apart, that would weigh nothing, or whose score would say nothing.
pub(super) fn check_objectives(rule: &Objectives, mut bad: impl FnMut(&str)) {
    let Objectives { of, pass, warning } = rule;
    if of.len() > MOST_METRICS {
        bad(&format!("there are more than {MOST_METRICS} objectives; make two analyses of them"));
    }
    let mut names = BTreeSet::new();
    for objective in of {
        let name = &objective.name;
        if !names.insert(name) {
            bad(&format!("objective `{name}` is there twice; rename one"));
        }
        if objective.weight < Finite::ZERO {
            bad(&format!("objective `{name}` weighs less than nothing; set `weight` to 0 or more"));
        }
        if let Metric::Quantile { quantile, .. } = &objective.metric
            && !(quantile.get() > 0.0 && quantile.get() < 1.0)
        {
            bad(&format!("the quantile of objective `{name}` has to lie between 0 and 1"));
        }
        for criterion in objective.failure.iter().chain(&objective.warning) {
            if !tells(&objective.metric, criterion) {
                bad(&format!(
                    "objective `{name}` asks of a quantile, of which only a bucket is known, whether it is {criterion}; give it a limit to one side"
                ));
            }
            if let Criterion::Within { from, to } | Criterion::Outside { from, to } = criterion
                && from > to
            {
                bad(&format!("objective `{name}` goes from {from} to {to}; swap them"));
            }
        }
    }
    if of.iter().map(|objective| objective.weight.get()).sum::<f64>() <= 0.0 {
        bad("no objective weighs anything; set a `weight` above 0");
    }
    let warning = warning.unwrap_or(*pass);
    if !(Finite::ZERO <= warning && warning <= *pass && pass.get() <= 100.0 && *pass > Finite::ZERO)
    {
        bad("`warning` and `pass` are not in order from 0 to 100, or everything passes; mend them");
    }
}
