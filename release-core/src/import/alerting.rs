//! Alert policies of OpenSLO: how fast an error budget may burn before somebody is told.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Findings;
use super::burning::INTERVAL;
use super::openslo::span;
use super::stream::Others;
use crate::model::{BurnWindows, Finite};
use crate::time::Span;

/// The longest window that is looked at once a minute.
const LONGEST: Span = Span::secs(3 * 86_400);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(default)]
    conditions: Vec<Value>,
    alert_when_breaching: Option<bool>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Condition {
    severity: Option<String>,
    #[serde(rename = "condition")]
    burns: Burns,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Burns {
    #[serde(default = "burnrate")]
    kind: String,
    op: String,
    threshold: f64,
    lookback_window: String,
    alert_after: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn burnrate() -> String {
    "burnrate".into()
}

/// The windows that alert policies watch, where they say so here or in `others`: none, where the usual ones are to be used.
///
/// A condition becomes a pair of windows: its `lookbackWindow`, and as the short one `alertAfter`, since what has lasted so long burns
/// in that as well; where that is too short or not said, a twelfth of the long one, as in the Site Reliability Workbook.
pub(super) fn windows(
    policies: &[Value],
    others: &mut Others,
    target: Finite,
    found: &mut Findings,
) -> Vec<BurnWindows> {
    let mut all = Vec::new();
    for (policy, number) in policies.iter().zip(0..) {
        let at = format!("spec.alertPolicies[{number}]");
        let named = ("alertPolicyRef", "AlertPolicy");
        let Some((policy, at)) = others.resolve(policy, named, &at, found) else { continue };
        for (condition, number) in conditions(policy, &at, found).iter().zip(0..) {
            let at = format!("{at}.conditions[{number}]");
            let named = ("conditionRef", "AlertCondition");
            let read = others.resolve(condition, named, &at, found);
            let pair = read.and_then(|(condition, at)| pair(condition, &at, target, found));
            all.extend(pair.filter(|pair| !all.contains(pair)));
        }
    }
    if all.is_empty() && !policies.is_empty() {
        let text = "no condition of it can be watched, and the usual windows of the Site Reliability Workbook are used instead";
        found.note("spec.alertPolicies", text);
    }
    all
}

/// The conditions of a policy that are to be watched; what else it says is told.
fn conditions(policy: Policy, at: &str, found: &mut Findings) -> Vec<Value> {
    let Policy { conditions, alert_when_breaching, mut rest } = policy;
    for field in ["alertWhenNoData", "alertWhenResolved", "notificationTargets"] {
        if rest.remove(field).is_some() {
            let text = "who is told, and of what, is said by the notifications of a release here";
            found.note(&format!("{at}.{field}"), text);
        }
    }
    found.unread(at, &rest);
    if alert_when_breaching == Some(false) {
        let text = "is false, so that none of its conditions takes a version back";
        found.note(&format!("{at}.alertWhenBreaching"), text);
        return Vec::new();
    }
    conditions
}

/// The windows of a condition; where there are none, a note says why.
fn pair(
    condition: Condition,
    at: &str,
    target: Finite,
    found: &mut Findings,
) -> Option<BurnWindows> {
    let Condition { severity, burns, rest } = condition;
    found.unread(at, &rest);
    if severity.as_deref().is_some_and(|severity| severity.eq_ignore_ascii_case("ticket")) {
        found.note(&format!("{at}.severity"), "a ticket takes no version back; it is left out");
        return None;
    }
    let at = format!("{at}.condition");
    found.unread(&at, &burns.rest);
    match watched(&burns, target) {
        Ok((pair, told)) => {
            for (field, text) in told {
                found.note(&format!("{at}.{field}"), text);
            }
            Some(pair)
        }
        Err((field, why)) => {
            found.note(&format!("{at}.{field}"), format!("it is left out: {why}"));
            None
        }
    }
}

type Told = Vec<(&'static str, String)>;

/// The pair of a condition, and what is to be told of it.
///
/// # Errors
/// The field by which it cannot be watched, and why.
fn watched(
    condition: &Burns,
    target: Finite,
) -> Result<(BurnWindows, Told), (&'static str, String)> {
    let Burns { kind, op, threshold, lookback_window, alert_after, rest: _ } = condition;
    let mut told = Told::new();
    if kind != "burnrate" {
        return Err(("kind", format!("`{kind}` is no burn rate")));
    }
    let factor = match op.as_str() {
        "gt" => *threshold,
        // What is as fast fires as well, and here only what is faster.
        "gte" => threshold.next_down(),
        "lte" | "lt" => {
            let text = format!(
                "`{op}` is read as the threshold being below the burn rate, as in the examples of OpenSLO: no version is worse for burning less"
            );
            told.push(("op", text));
            if op == "lte" { threshold.next_down() } else { *threshold }
        }
        _ => return Err(("op", format!("`{op}` is none of `gt`, `gte`, `lt` and `lte`"))),
    };
    let most = 1.0 / (1.0 - target.get());
    let possible = factor > 0.0 && factor < most;
    let Some(factor) = Finite::new(factor).ok().filter(|_| possible) else {
        let why = format!("a budget of {target} burns {most:.6} times as fast at the most");
        return Err(("threshold", why));
    };
    let strange = || format!("`{lookback_window}` is no length of minutes to days");
    let long = span(lookback_window).ok_or_else(|| ("lookbackWindow", strange()))?;
    if long <= INTERVAL || long > LONGEST {
        let why = format!("{long} is not above {INTERVAL} and at most {LONGEST}");
        return Err(("lookbackWindow", why));
    }
    let lasts = alert_after.as_deref().map(|text| (text, span(text)));
    let short = match lasts {
        Some((_, Some(lasts))) if lasts >= INTERVAL && lasts < long => lasts,
        _ => Span::from(long.as_duration() / 12).max(INTERVAL),
    };
    if let Some((text, lasts)) = lasts.filter(|(_, lasts)| *lasts != Some(Span::ZERO)) {
        let text = if lasts == Some(short) {
            format!(
                "that it lasts for {text} is read as burning so fast in the last {text} as well"
            )
        } else {
            format!("`{text}` is no short window; {short} is used instead")
        };
        told.push(("alertAfter", text));
    }
    Ok((BurnWindows { long, short, factor }, told))
}
