//! Conditions on one number, as Argo Rollouts writes them: a part of the language `expr`.

use crate::model::{Bound, Finite};

/// The bound that a condition demands of a result.
///
/// # Errors
/// What of the condition cannot be said by one bound.
pub(super) fn bound(condition: &str) -> Result<Bound, String> {
    let mut found = None;
    for term in condition.split("&&").map(str::trim) {
        if says_nothing(term) {
            continue; // what is no number, or nothing at all, is inconclusive here anyhow
        }
        let bound = comparison(term)?;
        if found.replace(bound).is_some() {
            return Err(format!("`{condition}` has two bounds; write a metric for each"));
        }
    }
    found.ok_or_else(|| format!("`{condition}` has no bound; compare `result[0]` with a number"))
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
