//! Rules that cannot be used are named, with what is wrong and how to mend it.

use std::collections::BTreeSet;

use super::support::{at, risk};
use release_policy::decision::{
    Condition, MAX_CONDITIONS, MAX_DEPTH, MAX_RULES, Need, PolicySet, Rule, Test,
};

fn nested(depth: usize) -> Condition {
    (1..depth).fold(Condition::Always, |inner, _| Condition::Not(Box::new(inner)))
}

#[test]
fn a_rule_that_cannot_be_used_is_named() {
    let allow = |when| Rule::allow("bad", when, "sre");
    let need = Need::NotBefore { at: at(0) };
    let nameless = Need::Case { name: String::new() };
    let table = [
        (Rule::allow(" ", Condition::Always, "sre"), "it has no name"),
        (Rule::allow("bad", Condition::Always, ""), "it has no owner; say who can change it"),
        (Rule::allow("good", Condition::Always, "sre"), "rule number 1 has the same name; rename"),
        (Rule::deny("bad", Condition::Always, "sre").needs(need), "it denies and names `needs`"),
        (allow(Condition::Always).needs(nameless), "a fact or an approval has no name"),
        (allow(Condition::Action(BTreeSet::new())), "`action` lists nothing; name something"),
        (allow(Condition::Command(BTreeSet::new())), "`command` lists nothing"),
        (allow(Condition::All(vec![])), "`all` lists nothing"),
        (allow(Condition::Any(vec![])), "`any` lists nothing"),
        (allow(risk(Test::OneOf(BTreeSet::new()))), "`one_of` lists nothing"),
        (allow(Condition::Fact { name: " ".into(), is: Test::AtMost(1) }), "has no name"),
        (allow(nested(MAX_DEPTH + 1)), "its conditions are nested deeper than 16; split"),
        (allow(Condition::All(vec![Condition::Always; MAX_CONDITIONS])), "more than 256"),
    ];
    for (rule, says) in table {
        let name = rule.name.clone();
        let good = Rule::allow("good", Condition::Always, "sre");
        let error = PolicySet::new([good, rule]).unwrap_err();
        assert_eq!((&*error.rule, error.number), (&*name, 2), "{says}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("rule `{name}` (number 2): ")) && text.contains(says),
            "{text}"
        );
    }
    assert!(PolicySet::new([allow(nested(MAX_DEPTH))]).is_ok());
}

#[test]
fn a_rule_too_many_is_named() {
    let rule = |n: usize| Rule::allow(format!("r{n}"), Condition::Always, "sre");
    assert!(PolicySet::new((0..MAX_RULES).map(rule)).is_ok());
    let error = PolicySet::new((0..=MAX_RULES).map(rule)).unwrap_err().to_string();
    assert_eq!(error, "rule `r10000` (number 10001): a set has at most 10000 rules; merge some");
}

#[test]
fn rules_are_data_that_stand_in_files_and_an_unknown_field_is_refused() {
    let when = Condition::All(vec![risk(Test::AtLeast(7)), Condition::Always]);
    let need = Need::Case { name: "cab".into() };
    let rule = Rule::allow("r", when, "sre").needs(need).because("it is so");
    let stored = serde_json::to_string(&rule).unwrap();
    assert_eq!(serde_json::from_str::<Rule>(&stored).unwrap(), rule);
    let typo = stored.replacen("\"owner\"", "\"ownr\"", 1);
    assert!(serde_json::from_str::<Rule>(&typo).unwrap_err().to_string().contains("ownr"));
}
