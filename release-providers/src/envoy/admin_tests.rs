//! What Envoy says is read, and garbage is an error.

use release_core::model::{Digest, Target};
use serde_json::{Value, json};

use super::*;
use crate::envoy::documents;

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
    let document = documents::routes(&target(), shares);
    let mut table = document["resources"][0].clone();
    for route in table["virtual_hosts"][0]["routes"].as_array_mut().unwrap() {
        if let Some(fraction) = route["match"].get_mut("runtime_fraction") {
            fraction["default_value"].as_object_mut().unwrap().remove("denominator");
        }
    }
    json!({ "configs": [
        { "version_info": "1", "route_config": { "name": "another" } },
        { "version_info": document["version_info"], "route_config": table },
    ] })
}

fn read(dump: &Value) -> Result<Shares, String> {
    shares_of(parse(dump.to_string().as_bytes())?, &target())
}

#[test]
fn every_percent_is_read_as_it_was_written() {
    for percent in 1..=99 {
        let weights = vec![weight("a", percent), weight("b", 100 - percent)];
        let shares = Shares { generation: 7, weights };
        assert_eq!(read(&dump(&shares)), Ok(shares));
    }
    for weights in [vec![], vec![weight("a", 100)]] {
        let shares = Shares { generation: 7, weights };
        assert_eq!(read(&dump(&shares)), Ok(shares));
    }
    assert_eq!(read(&json!({})), Ok(Shares::default()));
}

#[test]
fn routes_of_somebody_else_are_not_believed() {
    let good = dump(&Shares { generation: 7, weights: vec![weight("a", 5), weight("b", 95)] });
    let changes: [(&str, Value); 10] = [
        ("/configs/1/route_config/virtual_hosts/0/routes/1/stat_prefix", json!("x")),
        ("/configs/1/version_info", json!("new")),
        ("/configs/0/route_config/name", json!("prod@eu@api")),
        ("/configs/1/route_config/virtual_hosts", json!([])),
        ("/configs/1/route_config/virtual_hosts/0/routes/0/match", json!({})),
        ("/configs/1/route_config/virtual_hosts/0/routes/0/metadata", json!(null)),
        ("/configs/1/route_config/virtual_hosts/0/routes/0/route/cluster", json!("x")),
        (
            "/configs/1/route_config/virtual_hosts/0/routes/0/match/runtime_fraction/default_value",
            json!({ "numerator": 5, "denominator": "MILLION" }),
        ),
        (
            "/configs/1/route_config/virtual_hosts/0/routes/1/match",
            json!({ "runtime_fraction": { "default_value": { "numerator": 50 } } }),
        ),
        (
            "/configs/1/route_config/virtual_hosts/0/routes/0/metadata/filter_metadata/release/digest",
            json!("sha256:12"),
        ),
    ];
    for (at, value) in changes {
        let mut bad = good.clone();
        *bad.pointer_mut(at).unwrap() = value;
        assert!(read(&bad).is_err(), "{at}");
    }
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
