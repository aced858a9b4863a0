//! What is written down, and what is refused by name.

use release_policy::rbac::{
    Action, Condition, Deny, Fact, MAX_CONDITIONS, Role, RuleError, Rules, Whom,
};

use crate::support::{Dice, at, deny, id, role};

fn refused(
    roles: impl IntoIterator<Item = Role>,
    denies: impl IntoIterator<Item = Deny>,
) -> String {
    Rules::new(roles, denies).unwrap_err().to_string()
}

#[track_caller]
fn check(change: impl FnOnce(&mut Deny), wanted: &str) {
    let mut bad = deny("d", Whom::Everyone, Action::Deploy);
    change(&mut bad);
    let error = refused([], [bad]);
    assert!(error.starts_with(wanted), "{wanted}: {error}");
}

#[test]
fn a_rule_that_cannot_be_used_is_refused_by_name() {
    check(|deny| deny.actions.clear(), "denies/d: it names no actions");
    check(|deny| deny.whom = Whom::principals([]), "denies/d: it names nobody");
    check(|deny| deny.whom = Whom::roles([role("opps")]), "denies/d: there is no role `opps`");
    check(|deny| (deny.from, deny.until) = (Some(at(5)), Some(at(5))), "denies/d: it ends before");
    check(|deny| deny.reason = "  ".into(), "denies/d: it has no reason");
    check(|deny| deny.id = String::new(), "denies: `` is no name");
    check(|deny| deny.id = "a\u{202e}b".into(), "denies: `a\\u{202e}b` is no name");
    let when = |fact: &str| Condition::is(fact, Fact::Flag(true));
    check(|deny| deny.when = vec![when("")], "denies/d: `` is no name");
    check(|deny| deny.when = vec![when("a"); MAX_CONDITIONS + 1], "denies/d: it has 33 conditions");
    let twice = || deny("d", Whom::Everyone, Action::Deploy);
    assert!(refused([], [twice(), twice()]).starts_with("denies/d: there are two rules"));
    let dev = || Role::new(role("dev"));
    assert!(refused([dev(), dev()], []).starts_with("roles/dev: there are two roles"));
    let empty = dev().may([Action::Deploy]).may([]);
    assert!(refused([empty], []).starts_with("roles/dev/permissions/1: it names no actions"));
}

#[test]
fn a_misspelt_word_in_a_file_is_refused() {
    let read = |text: &str| serde_json::from_str::<Rules>(text).unwrap_err().to_string();
    assert!(
        read(r#"{"roles":[{"id":"dev","permissions":[{"actions":["deplyo"]}]}]}"#)
            .contains("deplyo")
    );
    assert!(read(r#"{"rolls":[]}"#).contains("rolls"));
    assert!(read(r#"{"denies":[{"id":"d","whom":"everybody"}]}"#).contains("everybody"));
    let nobody = r#"{"denies":[{"id":"d","whom":{"any":{}},"actions":["deploy"],"owner":"sec","reason":"x"}]}"#;
    assert!(read(nobody).contains("denies/d: it names nobody"));
}

#[test]
fn rules_come_back_as_they_were_written_and_each_part_counts() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..500 {
        let world = Dice(seed).world();
        let rules = Rules::new(world.roles, world.denies).unwrap();
        let text = serde_json::to_string(&rules).unwrap();
        let again: Rules = serde_json::from_str(&text).unwrap();
        assert_eq!(again, rules);
        assert_eq!(again.digest(), rules.digest());
        seen.insert((rules.digest().to_string(), text));
    }
    let digests: std::collections::BTreeSet<_> = seen.iter().map(|(digest, _)| digest).collect();
    assert_eq!(digests.len(), seen.len(), "two sets of rules share a digest");
    let error = Rules::new([], [deny("d", Whom::roles([role("x")]), Action::Deploy)]).unwrap_err();
    assert_eq!(error, RuleError::UnknownRole { rule: "denies/d".into(), role: role("x") });
    assert_eq!(id("sec").as_str(), "sec");
}
