//! A table of routes: what requests say first, then cookies, then shares. Where some requests are copied, each of these has a route
//! before it for them.

use std::collections::BTreeSet;

use release_core::model::{Affinity, HeaderMatch, HeaderRoute, Mirror, RequestMatch, TextMatch};
use release_core::plan::Weight;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::documents::{Shares, add, answer};
use super::settings::EnvoyTarget;
use crate::routing::covers;
use crate::shares::{Pool, cookie, cookie_regex};

/// Under which our notes stand in Envoy's metadata.
const METADATA: &str = "release";
/// The share of a whole.
const WHOLE: u32 = 100;

/// What stands beside the routes of a table: what they were made of.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    weights: Vec<Weight>,
    rules: Option<release_core::model::TrafficRules>,
}

/// A table of routes.
pub(super) fn routes(target: &EnvoyTarget, shares: &Shares) -> Value {
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": target.name(),
        "virtual_hosts": [host(target, shares)],
    });
    answer(&shares.generation.to_string(), &[resource])
}

fn host(target: &EnvoyTarget, shares: &Shares) -> Value {
    let rules = shares.rules.clone().unwrap_or_default();
    let table = Table { target, shares };
    let mut routes = Vec::new();
    for (n, route) in rules.headers.iter().enumerate() {
        routes.extend(table.by_headers(n, route));
    }
    let keeps = |weight: &Weight| rules.affinity.as_ref().filter(|it| it.keeps(weight.digest));
    for weight in &shares.weights {
        let affinity = keeps(weight).into_iter();
        routes.extend(affinity.flat_map(|affinity| table.by_cookie(affinity, weight)));
    }
    let mut bound = 0;
    for weight in &shares.weights {
        bound += u32::from(weight.percent);
        routes.extend(table.by_share(bound, keeps(weight), weight));
    }
    if shares.weights.is_empty() {
        let body = json!({ "inline_string": "no version has a share" });
        routes.push(json!({
            "name": "nobody",
            "match": { "prefix": "/" },
            "direct_response": { "status": 503, "body": body },
        }));
    }
    let note = Note { weights: shares.weights.clone(), rules: shares.rules.clone() };
    // As text: Envoy has numbers with a point alone.
    let note = serde_json::to_string(&note).unwrap_or_default();
    json!({
        "name": target.name(),
        "domains": ["*"],
        "routes": routes,
        "metadata": { "filter_metadata": { METADATA: { "shares": note } } },
    })
}

struct Table<'a> {
    target: &'a EnvoyTarget,
    shares: &'a Shares,
}

impl Table<'_> {
    fn by_headers(&self, n: usize, route: &HeaderRoute) -> Vec<Value> {
        let headers: Vec<Value> = route.rule.matches.iter().map(header).collect();
        let matches = json!({ "prefix": "/", "headers": headers });
        self.routes(&format!("headers/{n}"), &Pool::whole(route.to), &matches)
    }

    fn by_cookie(&self, affinity: &Affinity, weight: &Weight) -> Vec<Value> {
        let pool = Pool::of(weight);
        let regex = json!({ "safe_regex": { "regex": cookie_regex(affinity, &pool) } });
        let headers = json!([{ "name": "cookie", "string_match": regex }]);
        self.routes("cookie", &pool, &json!({ "prefix": "/", "headers": headers }))
    }

    /// Envoy draws one number a request, and compares it with the bounds of all shares.
    fn by_share(&self, bound: u32, affinity: Option<&Affinity>, weight: &Weight) -> Vec<Value> {
        let pool = Pool::of(weight);
        let mut matches = json!({ "prefix": "/" });
        if bound < WHOLE {
            let fraction = json!({ "default_value": { "numerator": bound } });
            add(&mut matches, "runtime_fraction", fraction);
        }
        let mut routes = self.routes("share", &pool, &matches);
        if let Some(affinity) = affinity {
            let header = json!({ "key": "set-cookie", "value": cookie(affinity, &pool) });
            for route in &mut routes {
                add(route, "response_headers_to_add", json!([{ "header": header }]));
            }
        }
        routes
    }

    /// The route of requests that match, and before it one for each kind of them of which there are copies: the first that fits
    /// counts.
    fn routes(&self, kind: &str, pool: &Pool, matches: &Value) -> Vec<Value> {
        let mirror = self.shares.rules.as_ref().and_then(|rules| rules.mirror.as_ref());
        // Whoever answers gets no copy.
        let mirror = mirror.filter(|mirror| mirror.to != pool.digest);
        let only = mirror.map_or(&[][..], |mirror| &mirror.only);
        let copied = only.iter().enumerate().map(|(n, only)| {
            self.route(&format!("copied/{n}/{kind}"), pool, &both(matches, only), mirror)
        });
        let of_all = mirror.filter(|mirror| mirror.only.is_empty());
        copied.chain([self.route(kind, pool, matches, of_all)]).collect()
    }

    fn route(&self, kind: &str, pool: &Pool, matches: &Value, mirror: Option<&Mirror>) -> Value {
        let mut to = json!({
            "cluster": self.target.cluster(pool),
            "timeout": "0s", // whoever asks decides how long to wait
            "retry_policy": {
                // What certainly was not begun.
                "retry_on": "connect-failure,refused-stream,reset-before-request",
                "num_retries": 3,
                "retry_host_predicate": [{
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                    },
                }],
                "host_selection_retry_max_attempts": "5",
            },
        });
        if let Some(mirror) = mirror {
            let fraction = json!({ "default_value": { "numerator": mirror.percent } });
            let cluster = self.target.copies(mirror.to);
            let copies = json!([{ "cluster": cluster, "runtime_fraction": fraction }]);
            add(&mut to, "request_mirror_policies", copies);
        }
        let stat = stat(self.shares.generation, pool);
        json!({
            "name": format!("{stat}/{kind}"),
            "stat_prefix": stat,
            "match": matches,
            "route": to,
        })
    }
}

/// What matches, and is such a request besides.
fn both(matches: &Value, only: &RequestMatch) -> Value {
    let mut both = matches.clone();
    if let (Some(path), Some(fields)) = (&only.path, both.as_object_mut()) {
        fields.remove("prefix"); // of any path
        // All three are of the path without its query.
        let (kind, value) = match path {
            TextMatch::Prefix(text) => ("prefix", json!(text)),
            TextMatch::Regex(regex) => ("safe_regex", json!({ "regex": regex })),
            other => ("path", json!(other.text())),
        };
        fields.insert(kind.to_owned(), value);
    }
    let before = matches.get("headers").and_then(Value::as_array);
    let method = only.method.iter().map(|method| said(":method", method));
    let own = method.chain(only.headers.iter().map(header));
    let headers: Vec<Value> = before.into_iter().flatten().cloned().chain(own).collect();
    if !headers.is_empty() {
        add(&mut both, "headers", headers.into());
    }
    both
}

fn header(one: &HeaderMatch) -> Value {
    said(&one.name, &one.value)
}

fn said(name: &str, value: &TextMatch) -> Value {
    let matches = match value {
        TextMatch::Prefix(text) => json!({ "prefix": text }),
        TextMatch::Regex(regex) => json!({ "safe_regex": { "regex": regex } }),
        other => json!({ "exact": other.text() }),
    };
    json!({ "name": name, "string_match": matches })
}

/// Under which name Envoy counts what instances served of these shares.
pub(super) fn stat(generation: u64, pool: &Pool) -> String {
    format!("{generation}-{}", pool.tag())
}

/// Reads what [`routes`] made, as Envoy shows it: the shares of a table's one virtual host. What is there has to be all of what
/// they make, and nothing that decides where a request goes may stand beside it.
pub(super) fn read(
    generation: u64,
    actual: &Value,
    target: &EnvoyTarget,
) -> Result<Shares, String> {
    let note = actual.pointer(&format!("/metadata/filter_metadata/{METADATA}/shares"));
    let note = note.and_then(Value::as_str).ok_or("nothing says what its shares are")?;
    let note: Note = serde_json::from_str(note).map_err(|e| e.to_string())?;
    let shares = Shares { generation, weights: note.weights, rules: note.rules };
    let expected = host(target, &shares);
    let (made, there) = (list(&expected), list(actual));
    if made.len() != there.len() {
        return Err(format!("it has {} routes, and not {}", there.len(), made.len()));
    }
    for (made, there) in made.iter().zip(there) {
        let exact = ["match", "route"].into_iter().all(|key| keys(&made[key]) == keys(&there[key]));
        if made["match"] != there["match"] || !exact || !covers(made, there) {
            return Err(format!("route {} is not what its shares make", made["name"]));
        }
    }
    if covers(&expected, actual) { Ok(shares) } else { Err("it serves other domains".into()) }
}

fn list(host: &Value) -> &[Value] {
    host["routes"].as_array().map_or(&[], Vec::as_slice)
}

/// In no order: a map of `serde_json` has one by name or by insertion, as the features of a build are.
fn keys(value: &Value) -> BTreeSet<&String> {
    value.as_object().into_iter().flat_map(serde_json::Map::keys).collect()
}
