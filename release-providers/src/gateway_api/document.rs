//! The rules of a route, and the notes of what they mean.

use std::collections::BTreeSet;

use release_core::model::{Affinity, HeaderRoute, RunId, TrafficRules};
use release_core::plan::Weight;
use release_core::time::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::matches::{any, check_order, picked};
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
    check_sessions(&own)?;
    let copies = match &own.mirror {
        Some(mirror) => vec![json!({
            "type": "RequestMirror",
            "requestMirror": {
                "backendRef": backend(target, &Pool::whole(mirror.to), None)?,
                "percent": mirror.percent,
            },
        })],
        None => Vec::new(),
    };
    let only = own.mirror.as_ref().map_or(&[][..], |mirror| &mirror.only);
    let mut all = Vec::new();
    // Where some requests are copied, a rule of theirs stands before each rule: it says more, and so it counts before it.
    let mut add = |route: Option<&HeaderRoute>, backends: &[Value]| {
        let headers = route.map_or(&[][..], |route| &route.rule.matches);
        let some = picked(headers, only)?;
        if !some.is_empty() {
            all.push(rule(&some, backends, &copies, None));
        }
        let of_all = if only.is_empty() { &copies[..] } else { &[] };
        let stay = own.affinity.as_ref().filter(|_| route.is_none());
        all.push(rule(&[any(headers)], backends, of_all, stay));
        Ok::<_, ProviderError>(())
    };
    for route in &own.headers {
        add(Some(route), &[backend(target, &Pool::whole(route.to), Some(1))?])?;
    }
    let mut backends = Vec::new();
    for weight in &shares.weights {
        backends.push(backend(target, &Pool::of(weight), Some(weight.percent))?);
    }
    add(None, &backends)?;
    Ok(Value::Array(all))
}

/// Whether rules are those that were made. Kubernetes may add what goes without saying inside of them; what else a rule or
/// one of its matches or backends says was put there by somebody else.
pub(super) fn are(made: &Value, there: &Value) -> bool {
    covers(made, there)
        && list(made).zip(list(there)).all(|(made, there)| {
            let alike = |part: &str| {
                let parts = [made, there].map(|rule| rule.get(part).unwrap_or(&Value::Null));
                let [made, there] = parts.map(list);
                made.zip(there).all(|(made, there)| keys(made) == keys(there))
            };
            keys(made) == keys(there) && alike("matches") && alike("backendRefs")
        })
}

/// A session belongs to one rule, and its name to one session.
fn check_sessions(rules: &TrafficRules) -> Result<(), ProviderError> {
    let picks = rules.mirror.as_ref().is_some_and(|mirror| !mirror.only.is_empty());
    if picks && rules.affinity.is_some() {
        let text = "in the Gateway API clients stay by the session of one rule, and copies of some requests need two; copy all \
                    requests, or leave out the affinity";
        return Err(ProviderError::new(ErrorKind::Unsupported, SET, text));
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn keys(value: &Value) -> BTreeSet<&String> {
    value.as_object().into_iter().flat_map(serde_json::Map::keys).collect()
}

fn rule(matches: &[Value], backends: &[Value], copies: &[Value], stay: Option<&Affinity>) -> Value {
    let mut rule = serde_json::Map::new();
    rule.insert("matches".into(), matches.into());
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

/// As of GEP-2257: hours, minutes and seconds, of five digits at the most.
fn duration(span: Span) -> String {
    let seconds = span.as_duration().as_secs();
    let (hours, minutes) = ((seconds / 3_600).min(99_999), seconds / 60 % 60);
    format!("{hours}h{minutes}m{}s", seconds % 60)
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
    use release_core::model::{
        Digest, HeaderMatch, HeaderRule, Mirror, RequestMatch, Target, TextMatch,
    };

    use super::*;

    fn target() -> GatewayTarget {
        let target =
            Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), "api".parse().unwrap());
        GatewayTarget::new(target, "shop", "api", 80)
    }

    #[test]
    fn shares_are_weights_and_rules_are_matches_before_them() {
        let digest = Digest::of(b"a");
        let weight = |percent| Weight::new(digest, semver::Version::new(1, 0, 0), percent);
        let value = TextMatch::Prefix("a.b".into());
        let matches = vec![HeaderMatch { name: "x-canary".into(), value }];
        let prefix = HeaderRoute { rule: HeaderRule { matches }, to: Digest::of(b"a") };
        let rules = TrafficRules {
            headers: vec![prefix],
            mirror: Some(Mirror::new(Digest::of(b"b"), 5)),
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

    /// Before each rule one for the requests of which there are copies, which goes where that goes.
    #[test]
    fn some_requests_are_copied_by_rules_of_their_own() {
        let digest = Digest::of(b"a");
        let weights = vec![Weight::new(digest, semver::Version::new(1, 0, 0), 100)];
        let only = [
            RequestMatch::header("x-kind", "a").with_method("POST"),
            RequestMatch::header("x-canary", "no"),
            RequestMatch::default().with_path(TextMatch::Exact("/a".into())),
        ];
        let rule = HeaderRule::exact("x-canary", "yes");
        let mut rules = TrafficRules {
            headers: vec![HeaderRoute { rule, to: Digest::of(b"b") }],
            mirror: Some(Mirror::new(Digest::of(b"b"), 5).with_only(only)),
            affinity: None,
        };
        let shares =
            |rules: &TrafficRules| Shares { weights: weights.clone(), rules: Some(rules.clone()) };
        let made = super::rules(&target(), &shares(&rules)).unwrap();
        assert_eq!(made.as_array().map(Vec::len), Some(4));
        for rules in [0, 2] {
            let [own, plain] = [&made[rules], &made[rules + 1]];
            assert_eq!(own["backendRefs"], plain["backendRefs"]);
            assert_eq!(own["filters"][0]["requestMirror"]["percent"], 5);
            assert!(plain.get("filters").is_none());
        }
        let lengths = [0, 1, 2, 3].map(|n| made[n]["matches"].as_array().map_or(0, Vec::len));
        // Who says `yes` does not say `no`.
        assert_eq!(lengths, [2, 1, 3, 1]);
        // What somebody adds to a match is seen.
        let mut other = made.clone();
        other[0]["matches"][1]["method"] = "GET".into();
        assert!(are(&made, &made) && !are(&made, &other));
        rules.affinity = Some(Affinity::new("stay"));
        let refused = super::rules(&target(), &shares(&rules)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
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
