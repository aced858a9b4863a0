//! Conditions on one number, as Argo Rollouts writes them: a part of the language `expr`.

use crate::model::{Bound, Criterion, Finite};

/// The values that a condition is met by: one bound, or two.
///
/// # Errors
/// What of the condition cannot be said so.
pub(super) fn met(condition: &str) -> Result<Criterion, String> {
    let either = condition.contains("||");
    let terms = condition.split(if either { "||" } else { "&&" }).map(str::trim);
    // What is no number, or nothing at all, is inconclusive here anyhow; but beside `||` that would let every number pass.
    let terms = terms.filter(|term| either || !says_nothing(term));
    let bounds = terms.map(comparison).collect::<Result<Vec<_>, _>>()?;
    match (bounds.as_slice(), either) {
        ([], _) => Err(format!("`{condition}` has no bound; compare `result[0]` with a number")),
        ([Bound::AtMost(limit)], _) => Ok(Criterion::AtMost(*limit)),
        ([Bound::AtLeast(limit)], _) => Ok(Criterion::AtLeast(*limit)),
        (
            [Bound::AtMost(to), Bound::AtLeast(from)] | [Bound::AtLeast(from), Bound::AtMost(to)],
            false,
        ) if from <= to => Ok(Criterion::Within { from: *from, to: *to }),
        (
            [Bound::AtMost(low), Bound::AtLeast(high)] | [Bound::AtLeast(high), Bound::AtMost(low)],
            true,
        ) if low < high => {
            let (from, to) = (beyond(*low, f64::next_up), beyond(*high, f64::next_down));
            Ok(Criterion::Outside { from, to })
        }
        _ => Err(format!(
            "`{condition}` is not one stretch of numbers, or all but one; write a metric for each bound"
        )),
    }
}

/// The bound that is kept where a criterion of one is met.
pub(super) const fn bound(criterion: Criterion) -> Option<Bound> {
    match criterion {
        Criterion::AtMost(limit) => Some(Bound::AtMost(limit)),
        Criterion::AtLeast(limit) => Some(Bound::AtLeast(limit)),
        _ => None,
    }
}

/// The values that do not meet a criterion.
pub(super) const fn others(criterion: Criterion) -> Criterion {
    match criterion {
        Criterion::AtMost(limit) => Criterion::Above(limit),
        Criterion::AtLeast(limit) => Criterion::Below(limit),
        Criterion::Below(limit) => Criterion::AtLeast(limit),
        Criterion::Above(limit) => Criterion::AtMost(limit),
        Criterion::Within { from, to } => Criterion::Outside { from, to },
        Criterion::Outside { from, to } => Criterion::Within { from, to },
    }
}

/// The bound that holds exactly where another one does not.
pub(super) fn opposite(bound: Bound) -> Bound {
    match bound {
        Bound::AtMost(limit) => Bound::AtLeast(beyond(limit, f64::next_up)),
        Bound::AtLeast(limit) => Bound::AtMost(beyond(limit, f64::next_down)),
    }
}

/// The next number: what is not below it is above `limit`.
fn beyond(limit: Finite, next: fn(f64) -> f64) -> Finite {
    Finite::new(next(limit.get())).unwrap_or(limit)
}

fn says_nothing(term: &str) -> bool {
    let plain: String = term.chars().filter(|c| !c.is_whitespace()).collect();
    let of = ["result[0]", "result"];
    of.iter().any(|of| plain == format!("!isNaN({of})") || plain == format!("!isInf({of})"))
        || plain == "len(result)>0"
        || plain == "len(result)!=0"
}

fn comparison(term: &str) -> Result<Bound, String> {
    let strange = || {
        format!(
            "`{term}` is no comparison of `result[0]` with a number; write `result[0] <= 0.05`, or a judge of our own"
        )
    };
    let term = term.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(term).trim();
    let at = term.find(['<', '>', '=', '!']).ok_or_else(strange)?;
    let (left, rest) = term.split_at_checked(at).ok_or_else(strange)?;
    let operators = ["<=", ">=", "<", ">"];
    let (operator, right) = operators
        .iter()
        .find_map(|operator| Some((*operator, rest.strip_prefix(operator)?)))
        .ok_or_else(strange)?;
    let is_result = |text: &str| matches!(text.trim(), "result[0]" | "result");
    let number = |text: &str| {
        let number: f64 = text.trim().parse().ok()?;
        Finite::new(number).ok()
    };
    let (limit, operator) = match (number(left), number(right)) {
        (None, Some(limit)) if is_result(left) => (limit, operator),
        (Some(limit), None) if is_result(right) => (limit, mirrored(operator)),
        _ => return Err(strange()),
    };
    Ok(match operator {
        "<=" => Bound::AtMost(limit),
        ">=" => Bound::AtLeast(limit),
        "<" => Bound::AtMost(beyond(limit, f64::next_down)),
        _ => Bound::AtLeast(beyond(limit, f64::next_up)),
    })
}

fn mirrored(operator: &str) -> &'static str {
    match operator {
        "<=" => ">=",
        ">=" => "<=",
        "<" => ">",
        _ => "<",
    }
}
