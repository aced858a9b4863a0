//! What Envoy says is read, and garbage is an error.

use release_core::model::{
    Affinity, Digest, HeaderRoute, HeaderRule, Mirror, RequestMatch, Target, TextMatch,
    TrafficRules,
};
use release_core::plan::Weight;
use serde_json::{Value, json};

use super::*;

fn target() -> EnvoyTarget {
    let [environment, region, service] = ["prod", "eu", "api"];
    EnvoyTarget::new(Target::new(
        environment.parse().unwrap(),
        region.parse().unwrap(),
        service.parse().unwrap(),
    ))
}

fn weight(name: &str, percent: u8) -> Weight {
    Weight::new(Digest::of(name.as_bytes()), semver::Version::new(1, 0, 0), percent)
}

/// As Envoy tells what it took over: without what goes without saying.
fn dump(shares: &Shares) -> Value {
    let document = table::routes(&target(), shares);
    let table = document["resources"][0].clone();
    json!({ "configs": [
        { "version_info": "1", "route_config": { "name": "another" } },
        { "version_info": document["version_info"], "route_config": table },
    ] })
}

fn read(dump: &Value) -> Result<Shares, String> {
    shares_of(parse(dump.to_string().as_bytes())?, &target())
}

fn shares(weights: Vec<Weight>, rules: Option<TrafficRules>) -> Shares {
    Shares { generation: 7, weights, rules }
}

fn rules() -> TrafficRules {
    let mut picked = HeaderRule::exact("x-canary", "y");
    picked.matches[0].value = TextMatch::Regex("a{2}\"|b".into());
    TrafficRules {
        headers: vec![HeaderRoute { rule: picked, to: Digest::of(b"c") }],
        mirror: Some(Mirror::new(Digest::of(b"b"), 30)),
        affinity: Some(Affinity::new("stay")),
    }
}

#[test]
fn every_percent_is_read_as_it_was_written() {
    for percent in 1..=99 {
        let shares = shares(vec![weight("a", percent), weight("b", 100 - percent)], None);
        assert_eq!(read(&dump(&shares)), Ok(shares));
    }
    let track = weight("a", 40).on("baseline".parse().unwrap());
    for (weights, rules) in [
        (vec![], None),
        (vec![weight("a", 100)], None),
        (vec![weight("a", 60), track], Some(rules())),
    ] {
        let shares = shares(weights, rules);
        assert_eq!(read(&dump(&shares)), Ok(shares));
    }
    assert_eq!(read(&json!({})), Ok(Shares::default()));
}

#[test]
fn only_who_keeps_clients_has_a_route_for_its_cookie_and_sets_it() {
    let new = weight("b", 5);
    let affinity = Some(Affinity::new("stay").with_only(new.digest));
    let rules = TrafficRules { affinity, ..TrafficRules::default() };
    let shares = shares(vec![weight("a", 95), new.clone()], Some(rules));
    let dump = dump(&shares);
    assert_eq!(read(&dump), Ok(shares));
    let routes = &dump["configs"][1]["route_config"]["virtual_hosts"][0]["routes"];
    let routes = routes.as_array().unwrap();
    let of_new = |route: &&Value| route["name"].as_str().unwrap().contains(&new.digest.hex());
    let named = |what: &str| {
        let all = routes.iter().filter(|route| route["name"].as_str().unwrap().ends_with(what));
        all.collect::<Vec<_>>()
    };
    assert!(matches!(&named("/cookie")[..], [one] if of_new(one)));
    let mut shares = named("/share");
    assert_eq!(shares.len(), 2);
    shares.retain(|route| route.get("response_headers_to_add").is_some());
    assert!(matches!(&shares[..], [one] if of_new(one)));
}

/// Of each route that does not go to whom copies are for: one before it for each kind of requests, and itself without copies.
#[test]
fn some_requests_are_copied_by_routes_that_go_where_all_others_go() {
    let mut rules = rules();
    let get = RequestMatch::default().with_method("GET");
    let path = |path: TextMatch| RequestMatch::default().with_path(path);
    let only = [
        RequestMatch::header("x-kind", "a").with_path(TextMatch::Exact("/a".into())),
        path(TextMatch::Prefix("/b".into())),
        path(TextMatch::Regex("/[cd]".into())),
        get,
    ];
    rules.mirror = rules.mirror.map(|mirror| mirror.with_only(only));
    let shares = shares(vec![weight("a", 5), weight("b", 95)], Some(rules));
    let dump = dump(&shares);
    assert_eq!(read(&dump), Ok(shares));
    let routes = &dump["configs"][1]["route_config"]["virtual_hosts"][0]["routes"];
    let routes = routes.as_array().unwrap();
    let copies = |route: &Value| route["route"].get("request_mirror_policies").cloned();
    // A header route, and of the version that has 5 % a cookie and a share: four kinds and all others each.
    let own: Vec<_> = routes.iter().filter(|route| copies(route).is_some()).collect();
    assert_eq!((own.len(), routes.len()), (3 * 4, 3 * 5 + 2));
    for (n, chunk) in [0, 5, 11].into_iter().map(|begin| &routes[begin..begin + 5]).enumerate() {
        let (all, some) = chunk.split_last().unwrap();
        assert_eq!(copies(all), None, "{n}");
        for route in some {
            assert_eq!(
                copies(route).unwrap()[0]["runtime_fraction"]["default_value"]["numerator"],
                30
            );
            assert_eq!(route["route"]["cluster"], all["route"]["cluster"]);
            assert_eq!(route["match"]["runtime_fraction"], all["match"]["runtime_fraction"]);
            assert_eq!(route["response_headers_to_add"], all["response_headers_to_add"]);
            assert_eq!(route["stat_prefix"], all["stat_prefix"]);
        }
        let paths = some.iter().map(|route| &route["match"]);
        let paths = paths.map(|it| [&it["path"], &it["prefix"], &it["safe_regex"]["regex"]]);
        let null = &Value::Null;
        let wanted = [json!("/a"), json!("/b"), json!("/[cd]"), json!("/")];
        let [a, b, c, any] = &wanted;
        let wanted = [[a, null, null], [null, b, null], [null, null, c], [null, any, null]];
        assert!(paths.eq(wanted), "{n}: {some:#?}");
        let headers = all["match"]["headers"].as_array().map_or(0, Vec::len);
        let more = some
            .iter()
            .map(|route| route["match"]["headers"].as_array().map_or(0, Vec::len) - headers);
        assert!(more.eq([1, 0, 0, 1]), "{n}: {some:#?}");
    }
    assert_eq!(routes[3]["match"]["headers"][1]["name"], ":method");
    assert_eq!(routes[14]["match"]["headers"][0]["string_match"], json!({ "exact": "GET" }));
}

#[test]
fn routes_of_somebody_else_are_not_believed() {
    let good = dump(&shares(vec![weight("a", 5), weight("b", 95)], Some(rules())));
    let host = "/configs/1/route_config/virtual_hosts/0";
    let changes: [(&str, Value); 13] = [
        ("/routes/4/stat_prefix", json!("x")),
        ("/routes/3/match", json!({})),
        ("/routes/3/route/cluster", json!("x")),
        ("/routes/3/route/request_mirror_policies", json!([])),
        ("/routes/3/route/prefix_rewrite", json!("/x")),
        ("/routes/3/response_headers_to_add/0/header/value", json!("stay=x")),
        ("/routes/3/match/runtime_fraction/default_value", json!({ "numerator": 50 })),
        ("/routes/0/match/headers/0/string_match", json!({ "exact": "y" })),
        ("/routes/0/match/case_sensitive", json!(false)),
        ("/routes", json!([])),
        ("/metadata/filter_metadata/release/shares", json!("{}")),
        ("/metadata", json!(null)),
        ("/domains", json!(["a"])),
    ];
    let bad = |at: &str, value: &Value| {
        let mut bad = good.clone();
        let (parent, key) = at.rsplit_once('/').unwrap();
        let parent = bad.pointer_mut(parent).unwrap();
        match parent.as_array_mut() {
            Some(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            None => parent[key] = value.clone(),
        }
        assert!(read(&bad).is_err(), "{at}");
    };
    for (at, value) in &changes {
        bad(&format!("{host}{at}"), value);
    }
    bad("/configs/1/version_info", &json!("new"));
    bad("/configs/0/route_config/name", &json!("prod@eu@api"));
    bad("/configs/1/route_config/virtual_hosts", &json!([]));
}

#[test]
fn clusters_and_stats_are_read() {
    let clusters = json!({ "cluster_statuses": [
        { "name": "a", "host_statuses": [
            { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 80 } } },
            { "address": { "pipe": { "path": "/x" } } },
        ] },
        { "name": "b" },
    ] });
    let clusters = clusters_of(clusters.to_string().as_bytes()).unwrap();
    assert_eq!(clusters["a"], BTreeSet::from(["127.0.0.1:80".parse().unwrap()]));
    assert!(clusters["b"].is_empty());
    let stats = stats_of(br#"{"stats":[{"name":"a","value":3}]}"#).unwrap();
    assert_eq!(stats["a"], 3);
}

#[test]
fn garbage_is_an_error() {
    let garbage: [&[u8]; 7] = [
        b"",
        b"garbage",
        b"\xff\x00",
        b"[1]",
        br#"{"configs":[{"route_config":7}],"cluster_statuses":[{}],"stats":[{}]}"#,
        br#"{"configs":7,"cluster_statuses":7,"stats":7}"#,
        br#"{"configs":[7],"cluster_statuses":[{"name":"a","host_statuses":[{"address":{"socket_address":{"address":"x","port_value":1}}}]}],"stats":[{"name":"a","value":-1}]}"#,
    ];
    for bytes in garbage {
        assert!(parse::<Dump>(bytes).is_err(), "{bytes:?}");
        assert!(clusters_of(bytes).is_err(), "{bytes:?}");
        assert!(stats_of(bytes).is_err(), "{bytes:?}");
    }
}
