//! The rules of a route, and the notes of what they mean.

use std::collections::BTreeSet;

use release_core::model::{Affinity, HeaderMatch, HeaderRoute, RunId, TextMatch, TrafficRules};
use release_core::plan::Weight;
use release_core::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::settings::GatewayTarget;
use crate::routing::{SET, covers};
use crate::shares::Pool;
use crate::{ErrorKind, ProviderError};

/// The annotation with what the rules mean.
pub(super) const TRAFFIC: &str = "release/traffic";
/// The annotation with the highest epoch of each run.
pub(super) const EPOCHS: &str = "release/epochs";
/// So many runs have their highest epoch in a route.
pub const MOST_RUNS: usize = 2_000;

/// What a route divides traffic by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shares {
    /// In order, without those of nothing.
    pub(super) weights: Vec<Weight>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rules: Option<TrafficRules>,
}

/// What the rules of a route mean, and what those meant that were in effect before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    pub(super) now: Shares,
    pub(super) before: Shares,
}

/// The highest epoch of each run, those heard of last at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Epochs(Vec<(RunId, u64)>);

impl Epochs {
    pub(super) fn of(&self, run: &RunId) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == run).map(|(_, epoch)| *epoch)
    }

    pub(super) fn raise(&mut self, run: &RunId, epoch: u64) {
        self.0.retain(|(known, _)| known != run);
        self.0.push((run.clone(), epoch));
        let surplus = self.0.len().saturating_sub(MOST_RUNS);
        self.0.drain(..surplus);
    }
}

/// The rules that make these shares.
pub(super) fn rules(target: &GatewayTarget, shares: &Shares) -> Result<Value, ProviderError> {
    let own = shares.rules.clone().unwrap_or_default();
    check_order(&own.headers)?;
    let copies = match own.mirror {
        Some(mirror) => vec![json!({
            "type": "RequestMirror",
            "requestMirror": {
                "backendRef": backend(target, &Pool::whole(mirror.to), None)?,
                "percent": mirror.percent,
            },
        })],
        None => Vec::new(),
    };
    let mut all = Vec::new();
    for route in &own.headers {
        let headers = route.rule.matches.iter().map(header).collect::<Vec<_>>();
        let path = json!({ "type": "PathPrefix", "value": "/" });
        all.push(rule(
            &json!([{ "path": path, "headers": headers }]),
            &[backend(target, &Pool::whole(route.to), Some(1))?],
            &copies,
            None,
        ));
    }
    let mut backends = Vec::new();
    for weight in &shares.weights {
        backends.push(backend(target, &Pool::of(weight), Some(weight.percent))?);
    }
    let everything = json!([{ "path": { "type": "PathPrefix", "value": "/" } }]);
    all.push(rule(&everything, &backends, &copies, own.affinity.as_ref()));
    Ok(Value::Array(all))
}

/// Whether rules are those that were made. Kubernetes may add what goes without saying inside of them; what else a rule or
/// one of its backends says was put there by somebody else.
pub(super) fn are(made: &Value, there: &Value) -> bool {
    covers(made, there)
        && list(made).zip(list(there)).all(|(made, there)| {
            let backends = |rule: &Value| rule.get("backendRefs").cloned().unwrap_or_default();
            let (all, found) = (backends(made), backends(there));
            keys(made) == keys(there)
                && list(&all).zip(list(&found)).all(|(made, there)| keys(made) == keys(there))
        })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn keys(value: &Value) -> BTreeSet<&String> {
    value.as_object().into_iter().flat_map(serde_json::Map::keys).collect()
}

fn rule(matches: &Value, backends: &[Value], copies: &[Value], stay: Option<&Affinity>) -> Value {
    let mut rule = serde_json::Map::new();
    rule.insert("matches".into(), matches.clone());
    // Without a backend a gateway answers with an error: nobody is served.
    if !backends.is_empty() {
        rule.insert("backendRefs".into(), backends.into());
    }
    if !copies.is_empty() {
        rule.insert("filters".into(), copies.into());
    }
    if let Some(affinity) = stay {
        let persistence = json!({
            "type": "Cookie",
            "sessionName": affinity.cookie,
            "absoluteTimeout": duration(affinity.max_age),
            "cookieConfig": { "lifetimeType": "Permanent" },
        });
        rule.insert("sessionPersistence".into(), persistence);
    }
    Value::Object(rule)
}

/// With every field that Kubernetes would add by itself, so that what comes back is the same.
fn backend(
    target: &GatewayTarget,
    pool: &Pool,
    weight: Option<u8>,
) -> Result<Value, ProviderError> {
    let name = target.service(SET, pool)?;
    let mut backend = json!({ "group": "", "kind": "Service", "name": name, "port": target.port });
    if let (Some(weight), Some(fields)) = (weight, backend.as_object_mut()) {
        fields.insert("weight".into(), weight.into());
    }
    Ok(backend)
}

fn header(one: &HeaderMatch) -> Value {
    let (kind, value) = match &one.value {
        TextMatch::Prefix(text) => ("RegularExpression", format!("{}.*", literal(text))),
        TextMatch::Regex(regex) => ("RegularExpression", regex.clone()),
        other => ("Exact", other.text().to_owned()),
    };
    json!({ "type": kind, "name": one.name, "value": value })
}

/// Text that means itself in a regular expression.
fn literal(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// As of GEP-2257: hours, minutes and seconds, of five digits at the most.
fn duration(span: Span) -> String {
    let seconds = span.as_duration().as_secs();
    let (hours, minutes) = ((seconds / 3_600).min(99_999), seconds / 60 % 60);
    format!("{hours}h{minutes}m{}s", seconds % 60)
}

/// The API lets the match with more headers count, and of equal ones the first; and it sees one match for a name.
fn check_order(routes: &[HeaderRoute]) -> Result<(), ProviderError> {
    let refuse = |text: &'static str| Err(ProviderError::new(ErrorKind::Invalid, SET, text));
    for (n, later) in routes.iter().enumerate() {
        let matches = &later.rule.matches;
        let twice = |(n, one): (usize, &HeaderMatch)| {
            matches.iter().take(n).any(|other| other.name == one.name)
        };
        if matches.iter().enumerate().any(twice) {
            let text = "a header route has two matches for one header, of which the Gateway API takes the first; make them one";
            return refuse(text);
        }
        let overtakes = |earlier: &HeaderRoute| {
            earlier.rule.matches.len() < matches.len() && earlier.to != later.to
        };
        if routes.iter().take(n).any(overtakes) {
            let text = "in the Gateway API a header route of more headers counts before one of fewer; put it first";
            return refuse(text);
        }
    }
    Ok(())
}

/// All whose services have to be there.
pub(super) fn pools(shares: &Shares) -> Vec<Pool> {
    let whole = shares.rules.iter().flat_map(TrafficRules::targets).map(Pool::whole);
    let mut all: Vec<Pool> = shares.weights.iter().map(Pool::of).chain(whole).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use release_core::model::{Digest, HeaderRule, Mirror, Target};

    use super::*;

    fn target() -> GatewayTarget {
        let target =
            Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), "api".parse().unwrap());
        GatewayTarget::new(target, "shop", "api", 80)
    }

    fn route(names: &[&str], to: &str) -> HeaderRoute {
        let matches = names.iter().map(|name| HeaderMatch::exact(*name, "1")).collect();
        HeaderRoute { rule: HeaderRule { matches }, to: Digest::of(to.as_bytes()) }
    }

    #[test]
    fn shares_are_weights_and_rules_are_matches_before_them() {
        let digest = Digest::of(b"a");
        let weight = |percent| Weight::new(digest, semver::Version::new(1, 0, 0), percent);
        let mut prefix = route(&["x-canary"], "a");
        prefix.rule.matches[0].value = TextMatch::Prefix("a.b".into());
        let rules = TrafficRules {
            headers: vec![prefix],
            mirror: Some(Mirror { to: Digest::of(b"b"), percent: 5 }),
            affinity: Some(Affinity { max_age: Span::secs(90_061), ..Affinity::new("stay") }),
        };
        let weights = vec![weight(60), weight(40).on("baseline".parse().unwrap())];
        let made = super::rules(&target(), &Shares { weights, rules: Some(rules) }).unwrap();
        let name = format!("api-{}", digest.short());
        assert_eq!(made[0]["matches"][0]["headers"][0]["value"], "a\\.b.*");
        assert_eq!(made[0]["filters"][0]["requestMirror"]["percent"], 5);
        assert_eq!(made[1]["backendRefs"][0]["name"], name);
        assert_eq!(made[1]["backendRefs"][0]["weight"], 60);
        assert_eq!(made[1]["backendRefs"][1]["name"], format!("{name}-baseline"));
        assert_eq!(made[1]["sessionPersistence"]["absoluteTimeout"], "25h1m1s");
        assert!(made[0].get("sessionPersistence").is_none());
        let nobody = super::rules(&target(), &Shares::default()).unwrap();
        assert!(nobody[0].get("backendRefs").is_none() && nobody.as_array().unwrap().len() == 1);
    }

    #[test]
    fn rules_that_the_api_would_take_in_another_order_are_refused() {
        assert!(check_order(&[route(&["a", "b"], "x"), route(&["a"], "y")]).is_ok());
        assert!(check_order(&[route(&["a"], "x"), route(&["a", "b"], "x")]).is_ok());
        let kind = |routes: &[HeaderRoute]| check_order(routes).unwrap_err().kind();
        assert_eq!(kind(&[route(&["a"], "x"), route(&["a", "b"], "y")]), ErrorKind::Invalid);
        assert_eq!(kind(&[route(&["a", "a"], "x")]), ErrorKind::Invalid);
    }

    #[test]
    fn of_too_many_runs_the_oldest_are_forgotten() {
        let (mut epochs, run) = (Epochs::default(), |n| format!("r{n}").parse::<RunId>().unwrap());
        for n in 0..=MOST_RUNS {
            epochs.raise(&run(n), 1);
            epochs.raise(&run(1), 2);
        }
        assert_eq!((epochs.of(&run(0)), epochs.of(&run(1))), (None, Some(2)));
        assert_eq!(epochs.0.len(), MOST_RUNS);
    }
}
