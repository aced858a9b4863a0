//! What is written down, and what is refused when it is read.

use release_policy::approval::{
    ApprovalFact, ApprovalPolicy, Expression, MAX_DEPTH, MAX_PARTS, Quorum, QuorumError, Verdict,
};
use release_policy::directory::Directory;

use crate::support::{directory, lend, of_role, person, policy, says};

#[track_caller]
fn refused(text: &str, rule: &str) {
    let error = serde_json::from_str::<Quorum>(text).unwrap_err().to_string();
    assert!(error.contains(rule), "{rule}: {error}");
}

#[test]
fn a_quorum_that_cannot_be_used_is_refused_by_name() {
    refused(r#"{"all_of": []}"#, "quorum/empty");
    refused(r#"{"any_of": [{"all_of": []}]}"#, "quorum/empty");
    refused(r#"{"of_role": {"role": "sre", "n": 0}}"#, "quorum/empty");
    refused(r#"{"anyone": {"n": 0}}"#, "quorum/empty");
    refused(r#"{"of_role": {"role": "sre", "n": 33}}"#, "quorum/slots");
    refused(r#"{"of_role": {"role": "sre", "n": 4294967295}}"#, "quorum/slots");
    refused(r#"{"of_role": {"role": "sre", "n": -1}}"#, "-1");
    refused(r#"{"of_role": {"role": "sre", "count": 2}}"#, "unknown field `count`");
    refused(r#"{"of_role": {"role": "Sre"}}"#, "role id");
    refused(r#"{"some_of": []}"#, "unknown variant `some_of`");
    let deep = |depth: usize| {
        let (open, close) = (r#"{"all_of":["#.repeat(depth), "]}".repeat(depth));
        format!(r#"{open}{{"must_include":"ann"}}{close}"#)
    };
    assert!(serde_json::from_str::<Quorum>(&deep(MAX_DEPTH - 1)).is_ok());
    refused(&deep(MAX_DEPTH), "quorum/depth");
    refused(&deep(100), "quorum/depth");
    let wide = |parts: usize| {
        let part = vec![r#"{"must_include":"ann"}"#; parts].join(",");
        format!(r#"{{"any_of":[{part}]}}"#)
    };
    assert!(serde_json::from_str::<Quorum>(&wide(MAX_PARTS - 1)).is_ok());
    refused(&wide(MAX_PARTS), "quorum/parts");
    // Nine choices of two are 512 ways.
    let choice = r#"{"any_of":[{"must_include":"ann"},{"of_role":{"role":"sre"}}]}"#;
    refused(&format!(r#"{{"all_of":[{}]}}"#, [choice; 9].join(",")), "quorum/ways");
}

#[test]
fn what_is_built_is_checked_like_what_is_read() {
    let nested = (0..MAX_DEPTH).fold(of_role("sre", 1), |part, _| Expression::AnyOf(vec![part]));
    assert_eq!(Quorum::new(nested), Err(QuorumError::TooDeep));
    let wide = Expression::AllOf(vec![of_role("sre", 1); MAX_PARTS]);
    assert_eq!(Quorum::new(wide), Err(QuorumError::TooManyParts));
    let many = Expression::AllOf(vec![of_role("sre", 20), of_role("qa", 13)]);
    assert_eq!(Quorum::new(many), Err(QuorumError::TooManySlots));
}

#[test]
fn everything_comes_back_as_it_was_written() {
    let team =
        directory([person("ann", &["sre"]), person("bob", &[])], [lend("ann", "bob", "sre")]);
    let text = serde_json::to_string(&team).unwrap();
    let again: Directory = serde_json::from_str(&text).unwrap();
    assert_eq!((again.stamp(), &again), (team.stamp(), &team));

    let policy = policy(Expression::AnyOf(vec![of_role("sre", 2), of_role("qa", 1)]));
    let text = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<ApprovalPolicy>(&text).unwrap(), policy);

    let fact = says(&team, 1, "bob", 9_000, Verdict::Veto);
    let text = serde_json::to_string(&fact).unwrap();
    assert_eq!(serde_json::from_str::<ApprovalFact>(&text).unwrap(), fact);
}

#[test]
fn every_part_of_a_directory_is_in_its_digest() {
    let text = serde_json::to_string(&directory(
        [person("ann", &["sre"]), person("bob", &[]), person("hr", &[])],
        [lend("ann", "bob", "sre")],
    ))
    .unwrap();
    let stamp = |text: &str| serde_json::from_str::<Directory>(text).unwrap().stamp().digest;
    for (from, to) in [
        (r#""version":1"#, r#""version":2"#),
        (r#""active":true"#, r#""active":false"#),
        (r#""role":"sre""#, r#""role":"qa""#),
        (r#""reason":"job""#, r#""reason":"fun""#),
        (r#""reason":"holidays""#, r#""reason":"sick""#),
        (r#""id":"hr""#, r#""id":"hr","linked":["bob"]"#),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not in {text}");
        assert_ne!(stamp(&changed), stamp(&text), "{from}");
    }
}
