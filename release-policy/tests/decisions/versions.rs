//! Rules change while runs are under way.

use release_core::port::{Decision, Policy, ReasonKind};
use release_policy::Windows;
use release_policy::decision::{Condition, PolicyBook, PolicySet, Rule, Test};
use release_policy::window::{When, WindowSpec};

use super::support::{ask, at, id, risk, set};

fn allow(name: &str) -> Rule {
    Rule::allow(name, Condition::Always, "platform")
}

fn deny(name: &str) -> Rule {
    Rule::deny(name, Condition::Always, "sre")
}

/// What changes, the rules before and after, and whether a run of before and one of after may go on.
type Row<'a> = (&'a str, &'a [Rule], &'a [Rule], bool, bool);

/// Every change of the rules, for a run that began before it and for one that begins after it.
#[test]
fn f48_tightening_applies_at_once_and_loosening_does_not() {
    let table: [Row<'_>; 6] = [
        ("nothing changes", &[allow("a")], &[allow("a")], true, true),
        ("a deny is added", &[allow("a")], &[allow("a"), deny("d")], false, false),
        ("an allow is added", &[], &[allow("a")], false, true),
        ("an allow is taken out", &[allow("a")], &[], true, false),
        (
            "a deny is taken out, by the rules of the day",
            &[allow("a"), deny("d")],
            &[allow("a")],
            true,
            true,
        ),
        ("an allow for a deny", &[deny("d")], &[allow("a")], false, true),
    ];
    for (what, before, after, old_run, new_run) in table {
        let (first, second) = (set(before), set(after));
        let (old, new) = (first.digest(), second.digest());
        let book = PolicyBook::new(first).with_head(second);
        let (pinned, fresh) = (ask(&book, Some(old)), ask(&book, Some(new)));
        assert_eq!((pinned.is_permit(), fresh.is_permit()), (old_run, new_run), "{what}");
        // Both digests are in the decision: what denied, and what allowed.
        let inputs = pinned.inputs().unwrap();
        assert_eq!(inputs.policy, Some(new), "{what}");
        assert_eq!(inputs.pinned, (old != new).then_some(old), "{what}");
        assert_eq!(fresh.inputs().unwrap().pinned, None, "{what}");
        if let Decision::Permit { grants, .. } = pinned {
            assert!(grants.iter().all(|grant| grant.bound_to.policy == Some(old)), "{what}");
        }
    }
}

#[test]
fn f48_rules_that_nobody_has_any_more_allow_nothing() {
    let lost = set(&[allow("lost")]).digest();
    let head = set(&[allow("a")]);
    for policy in [&PolicyBook::new(head.clone()) as &dyn Policy, &head] {
        let Decision::Deny { reasons, .. } = ask(policy, Some(lost)) else { panic!("it permits") };
        assert_eq!((&*reasons[0].rule, reasons[0].kind), ("policy/pinned", ReasonKind::Error));
    }
}

/// A freeze that is added holds runs that pinned rules without it.
#[test]
fn f48_a_freeze_that_is_added_holds_at_once() {
    let when = When::Between { from: at(50), until: at(500) };
    let freeze = WindowSpec::freeze(id("peak"), when, id("sre"), "peak").build().unwrap();
    let first = set(&[allow("a")]);
    let pinned = Some(first.digest());
    let book = PolicyBook::new(first.clone());
    assert!(ask(&book, pinned).is_permit());
    let book = book.with_head(first.windows(Windows::new([freeze]).unwrap()));
    let Decision::Wait { until, reasons, inputs } = ask(&book, pinned) else {
        panic!("it permits")
    };
    assert_eq!((until, &*reasons[0].rule), (Some(at(500)), "freeze/peak"));
    assert!(inputs.unwrap().calendar.is_some());
}

/// The engine holds the book while its host writes in it.
#[test]
fn f48_a_book_is_kept_up_to_date_under_a_running_engine() {
    let (first, second) = (set(&[allow("a")]), set(&[allow("b")]));
    let (old, new) = (Some(first.digest()), Some(second.digest()));
    let book = std::sync::Arc::new(PolicyBook::new(first));
    let engine: std::sync::Arc<dyn Policy> = std::sync::Arc::clone(&book) as _;
    assert_eq!((engine.digest(), ask(&*engine, new).is_permit()), (old, false));
    book.publish(second);
    assert_eq!(engine.digest(), new);
    assert!(ask(&*engine, old).is_permit() && ask(&*engine, new).is_permit());
    // A run pins the old rules: they stay. Then none does.
    book.keep(&old.into_iter().collect());
    assert!(ask(&*engine, old).is_permit() && ask(&*engine, new).is_permit());
    book.keep(&std::collections::BTreeSet::new());
    assert!(ask(&*engine, old).is_deny() && ask(&*engine, new).is_permit());
}

#[test]
fn rules_given_in_another_order_are_the_same_rules() {
    let (a, b) = (allow("a"), Rule::deny("b", risk(Test::AtMost(3)), "sre"));
    let one = PolicySet::new([a.clone(), b.clone()]).unwrap();
    assert_eq!(one.digest(), PolicySet::new([b, a.clone()]).unwrap().digest());
    let other = Rule::deny("b", risk(Test::AtMost(4)), "sre");
    assert_ne!(one.digest(), PolicySet::new([a, other]).unwrap().digest());
}
