//! Ratios of counters of OpenSLO, whose error budget is watched.

use super::Findings;
use super::indicator::{RatioMetric, Source};
use crate::ids::AnalysisId;
use crate::model::{Analysis, BurnRate, BurnWindows, Direction, Finite, Judge, Metric, Selector};
use crate::stats::burn::{RULES, Urgency, threshold};
use crate::time::Span;

/// How often it is looked at: often enough for the short windows of the workbook.
pub(super) const INTERVAL: Span = Span::secs(60);

/// A ratio of counters over a rolling window.
pub(super) struct Counted {
    metric: Metric,
    direction: Direction,
    window: Span,
}

/// The counters of a ratio, where its budget can be watched.
///
/// # Errors
/// Why it cannot.
pub(super) fn counted(
    ratio: &RatioMetric,
    (window, method): (Option<Span>, Option<&str>),
    found: &mut Findings,
) -> Result<Counted, String> {
    let RatioMetric { counter, good, bad, total, .. } = ratio;
    if let Some(other) = method.filter(|method| *method != "Occurrences") {
        return Err(format!("`budgetingMethod` is `{other}`, and events are counted here"));
    }
    if !counter {
        return Err("`counter` is not true, and what is no counter cannot be summed".into());
    }
    let window = window.ok_or("there is no rolling window")?;
    let (part, direction) = match (good, bad) {
        (Some(good), None) => (good, Direction::HigherIsBetter),
        (None, Some(bad)) => (bad, Direction::LowerIsBetter),
        _ => return Err("there is not one of `good` and `bad`".into()),
    };
    let total = total.as_ref().ok_or("there is no `total`")?;
    let numerator = selector(part, found)?;
    let denominator = selector(total, found)?;
    Ok(Counted { metric: Metric::Ratio { numerator, denominator }, direction, window })
}

/// The burn rate of a ratio, in these windows; where there are none, in those of the workbook.
///
/// # Errors
/// Why there is none.
pub(super) fn burning(
    Counted { metric, direction, window }: Counted,
    id: &AnalysisId,
    target: Finite,
    own: Vec<BurnWindows>,
) -> Result<Analysis, String> {
    let left = 1.0 - target.get();
    let windows = if own.is_empty() { usual(window, left) } else { own };
    // Of so many, a single bad one does not fire yet.
    let least =
        windows.iter().map(|pair| (1.0 / (pair.factor.get() * left)).ceil()).fold(0.0, f64::max);
    if windows.is_empty() {
        return Err(format!("{target} leaves so much that no burn is fast enough to tell soon"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and saturates"
    )]
    let min_samples = least as u64;
    let rule = BurnRate { objective: target, direction, windows };
    let analysis = Analysis::judged(id.clone(), metric, Judge::BurnRate(rule));
    Ok(Analysis { interval: INTERVAL, min_samples, ..analysis })
}

/// The rules of the workbook that call somebody, for a budget of another window, the same part of which is used up by another
/// factor.
fn usual(window: Span, left: f64) -> Vec<BurnWindows> {
    let pages = RULES.iter().filter(|rule| rule.urgency == Urgency::Page);
    let pair = |rule: &crate::stats::burn::BurnRule| {
        let factor = threshold(rule.budget_share, rule.long, window).ok()?;
        let fires = factor > 0.0 && factor * left < 1.0;
        let factor = Finite::new(factor).ok().filter(|_| fires)?;
        Some(BurnWindows { long: rule.long, short: rule.short, factor })
    };
    pages.filter_map(pair).collect()
}

/// The series that a query of Prometheus selects, where it does nothing else but sum them.
fn selector(source: &Source, found: &mut Findings) -> Result<Selector, String> {
    let query = source.query().ok_or("a query is missing")?;
    let strange =
        || format!("`{query}` is no plain selector of a counter; write `name{{label=\"value\"}}`");
    if !source.kind().eq_ignore_ascii_case("prometheus") {
        return Err(format!("`{query}` is one of {}, and not of Prometheus", source.kind()));
    }
    let text = query.trim();
    let summed = text.strip_prefix("sum(").and_then(|text| text.strip_suffix(')'));
    let text = summed.unwrap_or(text).trim();
    let end = text.find('{').unwrap_or(text.len());
    let (name, labels) = text.split_at_checked(end).ok_or_else(strange)?;
    if !is_name(name, ":") {
        return Err(strange());
    }
    let mut selector = Selector::series(name);
    if labels.is_empty() {
        return Ok(selector);
    }
    let inner = labels.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let mut rest = inner.ok_or_else(strange)?.trim();
    while !rest.is_empty() {
        let (label, after) = rest.split_once('=').ok_or_else(strange)?;
        let (value, after) = after
            .trim()
            .strip_prefix('"')
            .and_then(|text| text.split_once('"'))
            .ok_or_else(strange)?;
        if !is_name(label.trim(), "") || value.contains('\\') {
            return Err(strange());
        }
        if value.contains("{{") {
            let text =
                format!("`{}` is left to the source, which knows version and target", label.trim());
            found.note(query, text);
        } else {
            selector = selector.label(label.trim(), value);
        }
        let after = after.trim();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim(),
            None if after.is_empty() => "",
            None => return Err(strange()),
        };
    }
    Ok(selector)
}

/// Whether it is a name of a series or a label, in which these are allowed besides.
fn is_name(text: &str, besides: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || besides.contains(c))
}
