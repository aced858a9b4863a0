//! Scopes, sign-offs that are bound to them, and what is missing.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{Digest, ItemId, Principal, SignOffId, Span, Timestamp};
use release_policy::train::{
    Changed, Coverage, How, ItemKind, Lack, MAX_ITEMS, MAX_SIGN_OFFS, Objective, ReleaseScope,
    Requirement, ScopeError, ScopeItem, SignOff, SignOffError, SignOffs, Signing, Slack, Statement,
};

use super::support::{directory, id, minute};

const TEAMS: [&str; 4] = ["billing", "search", "web", "data"];
const ROLES: [&str; 3] = ["product", "legal", "operations"];

fn item(number: usize) -> ScopeItem {
    let kind = if number.is_multiple_of(3) { ItemKind::Fix } else { ItemKind::Feature };
    let item =
        ScopeItem::new(id(&format!("item-{number}")), kind, "something", id(TEAMS[number % 4]));
    item.serving(id(&format!("goal-{}", number % 5)))
}

fn objective(number: usize) -> Objective {
    Objective::new(id(&format!("goal-{number}")), "more of it", id("board"))
}

fn scope(count: usize) -> ReleaseScope {
    ReleaseScope::new((0..count).map(item), (0..5).map(objective)).unwrap()
}

/// A change of a scope.
#[derive(Debug, Clone)]
enum Change {
    Add(ScopeItem),
    Remove(ScopeItem),
    Alter(ScopeItem, ScopeItem),
    Goal(Objective, Objective),
}

/// Adds or removes an item, or alters any one field of an item or of an objective.
fn changes() -> impl Strategy<Value = Change> {
    (0_usize..100, 0_usize..12, 1_usize..5).prop_map(|(which, what, other)| {
        let (old, goal) = (item(which), objective(which % 5));
        let alter = |new: ScopeItem| Change::Alter(old.clone(), new);
        let serving = |goals: &[usize]| goals.iter().map(|n| id(&format!("goal-{n}"))).collect();
        match what {
            0 => Change::Add(item(100 + which % 2)),
            1 => Change::Remove(old),
            2 => alter(ScopeItem { title: "something else".into(), ..old.clone() }),
            3 => alter(ScopeItem { owner: id(TEAMS[(which + other.min(3)) % 4]), ..old.clone() }),
            4 => {
                let kind =
                    if old.kind == ItemKind::Fix { ItemKind::Feature } else { ItemKind::Fix };
                alter(ScopeItem { kind, ..old.clone() })
            }
            5 => alter(ScopeItem { due: Some(minute(other as u64)), ..old.clone() }),
            6 => alter(ScopeItem { objectives: serving(&[(which + other) % 5]), ..old.clone() }),
            7 => alter(ScopeItem {
                objectives: serving(&[which % 5, (which + other) % 5]),
                ..old.clone()
            }),
            8 => alter(ScopeItem { objectives: serving(&[]), ..old.clone() }),
            9 => Change::Goal(goal.clone(), Objective { title: "less of it".into(), ..goal }),
            10 => Change::Goal(goal.clone(), Objective { owner: id("nobody"), ..goal }),
            _ => alter(ScopeItem { owner: id("strangers"), ..old.clone() }),
        }
    })
}

impl Change {
    fn apply(&self, scope: &mut ReleaseScope) {
        match self.clone() {
            Self::Add(item) => scope.add(item).unwrap(),
            Self::Remove(item) => drop(scope.remove(&item.id).unwrap()),
            Self::Alter(_, new) => scope.change(new).unwrap(),
            Self::Goal(_, new) => {
                let mut objectives: Vec<_> = scope.objectives().cloned().collect();
                objectives.retain(|one| one.id != new.id);
                objectives.push(new);
                *scope = ReleaseScope::new(scope.items().cloned(), objectives).unwrap();
            }
        }
    }

    fn back(&self) -> Self {
        match self.clone() {
            Self::Add(item) => Self::Remove(item),
            Self::Remove(item) => Self::Add(item),
            Self::Alter(old, new) => Self::Alter(new, old),
            Self::Goal(old, new) => Self::Goal(new, old),
        }
    }

    /// Whether it is of something that is covered, before or after, in so many words: an objective is covered that is named, or that
    /// a covered item serves, and each is where all is covered.
    fn concerns(&self, covers: &Coverage, scope: &ReleaseScope) -> bool {
        match self {
            Self::Add(item) | Self::Remove(item) => covers.contains(item),
            Self::Alter(old, new) => covers.contains(old) || covers.contains(new),
            Self::Goal(old, _) => {
                let serves = |item: &ScopeItem| item.objectives.contains(&old.id);
                *covers == Coverage::default()
                    || covers.objectives.contains(&old.id)
                    || scope.items().any(|item| covers.contains(item) && serves(item))
            }
        }
    }
}

fn coverage() -> impl Strategy<Value = Coverage> {
    let kinds = proptest::collection::btree_set(
        prop_oneof![Just(ItemKind::Fix), Just(ItemKind::Feature)],
        0..2,
    );
    let owners = proptest::collection::btree_set((0_usize..4).prop_map(|n| id(TEAMS[n])), 0..3);
    let objectives =
        proptest::collection::btree_set((0_usize..5).prop_map(|n| id(&format!("goal-{n}"))), 0..3);
    let some = proptest::collection::btree_set(
        (0_usize..102).prop_map(|n| id(&format!("item-{n}"))),
        1..60,
    );
    let items = prop_oneof![Just(BTreeSet::new()), some];
    (kinds, owners, objectives, items).prop_map(|(kinds, owners, objectives, items)| Coverage {
        kinds,
        owners,
        objectives,
        items,
    })
}

/// Three roles, each with a part of the scope.
fn required(coverages: Vec<Coverage>) -> SignOffs {
    let of = |((role, covers), due): ((&str, Coverage), u64)| {
        let owner = id(&format!("{role}-team"));
        Requirement::new(id(role), owner, id(role), minute(due)).covering(covers)
    };
    // One is due before it is asked, and one just then.
    SignOffs::new(ROLES.into_iter().zip(coverages).zip([1, 2, 600]).map(of)).unwrap()
}

/// All that can be signed is, by somebody of each role.
fn all_signed(sign_offs: &SignOffs, scope: &ReleaseScope) -> Vec<Statement> {
    let directory = directory(&ROLES.map(|role| (role, &ROLES[..])));
    let mut said = Vec::new();
    for required in sign_offs.required() {
        let by = Principal::human(id(required.role.as_str()));
        let covered = sign_offs.covered(scope, &required.id).unwrap();
        let asked = Signing { scope, said: &said, by: &by, directory: &directory, at: minute(1) };
        match sign_offs.sign(&required.id, covered.digest(), &asked) {
            Ok(statement) => said.push(statement),
            Err(error) => {
                assert_eq!((error, covered.len()), (SignOffError::Empty(required.id.clone()), 0));
            }
        }
    }
    said
}

fn voided(sign_offs: &SignOffs, scope: &ReleaseScope, said: &[Statement]) -> BTreeSet<SignOffId> {
    let missing = sign_offs.readiness(scope, said, &BTreeSet::new(), minute(2)).missing;
    let voided = missing.iter().filter_map(|missing| match &missing.what {
        Lack::Voided { id, .. } => Some(id.clone()),
        _ => None,
    });
    let voided: BTreeSet<SignOffId> = voided.collect();
    // Each is missing once, with its owner and the time there is, or it was given and holds.
    let mut lacking = BTreeSet::new();
    for one in &missing {
        let (Lack::Unsigned { id: sign_off }
        | Lack::CoversNothing { id: sign_off }
        | Lack::Voided { id: sign_off, .. }) = &one.what
        else {
            continue;
        };
        assert!(lacking.insert(sign_off.clone()), "{one}");
        let required = sign_offs.required().find(|required| required.id == *sign_off).unwrap();
        assert_eq!(one.owner, required.owner);
        assert_eq!(one.slack, Some(Slack::until(required.due, minute(2))));
        let nothing = sign_offs.covered(scope, sign_off).unwrap().is_empty();
        assert!(nothing || !matches!(one.what, Lack::CoversNothing { .. }), "{one}");
        assert!(!nothing || !matches!(one.what, Lack::Unsigned { .. }), "{one}");
    }
    let signed = said.iter().filter_map(|statement| match statement {
        Statement::Signed(signed) => Some(&signed.id),
        _ => None,
    });
    let holding: BTreeSet<_> = signed.filter(|id| !voided.contains(*id)).cloned().collect();
    assert!(lacking.is_disjoint(&holding));
    assert_eq!(lacking.len() + holding.len(), sign_offs.required().len());
    voided
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_change_voids_exactly_the_sign_offs_that_cover_it(
        coverages in proptest::collection::vec(prop_oneof![9 => coverage(), 1 => Just(Coverage::default())], 3),
        change in changes(),
    ) {
        let mut scope = scope(100);
        let sign_offs = required(coverages);
        let said = all_signed(&sign_offs, &scope);
        prop_assert!(voided(&sign_offs, &scope, &said).is_empty());
        let before = scope.clone();
        change.apply(&mut scope);
        prop_assert_ne!(scope.digest(), before.digest());
        let signed: BTreeSet<_> = said.iter().map(|statement| match statement {
            Statement::Signed(signed) => signed.id.clone(),
            other => panic!("{other:?}"),
        }).collect();
        let concerned = sign_offs.required().filter(|required| change.concerns(&required.covers, &before));
        let expected: BTreeSet<_> = concerned.map(|required| required.id.clone()).filter(|id| signed.contains(id)).collect();
        prop_assert_eq!(voided(&sign_offs, &scope, &said), expected);
        // Put back as it was, all hold again: what is signed is content.
        change.back().apply(&mut scope);
        prop_assert_eq!(&scope, &before);
        prop_assert!(voided(&sign_offs, &scope, &said).is_empty());
    }

    /// Two sign-offs cover the same, and one something else.
    #[test]
    fn what_is_found_once_for_all_is_what_each_sign_off_finds_alone(
        same in prop_oneof![3 => coverage(), 1 => Just(Coverage::default())],
        other in coverage(),
        changes in proptest::collection::vec(changes(), 0..4),
    ) {
        let mut scope = scope(100);
        let sign_offs = required(vec![same.clone(), other, same]);
        let said = all_signed(&sign_offs, &scope);
        for change in &changes {
            // What is not there any more cannot be taken out again.
            let mut next = scope.clone();
            let is_there = match change {
                Change::Add(item) => next.item(&item.id).is_none(),
                Change::Remove(item) | Change::Alter(item, _) => next.item(&item.id).is_some(),
                Change::Goal(..) => true,
            };
            if is_there {
                change.apply(&mut next);
            }
            scope = next;
        }
        let readiness = sign_offs.readiness(&scope, &said, &BTreeSet::new(), minute(2));
        prop_assert_eq!(readiness.scope, scope.digest());
        for required in sign_offs.required() {
            let now = sign_offs.covered(&scope, &required.id).unwrap();
            let signed = said.iter().find_map(|statement| match statement {
                Statement::Signed(signed) if signed.id == required.id => Some(signed),
                _ => None,
            });
            let alone = match signed {
                None if now.is_empty() => Some(Lack::CoversNothing { id: required.id.clone() }),
                None => Some(Lack::Unsigned { id: required.id.clone() }),
                Some(signed) => {
                    let changes = signed.covers.changes(&now);
                    let (id, by) = (required.id.clone(), signed.by.clone());
                    (!changes.is_empty()).then_some(Lack::Voided { id, by, at: signed.at, changes })
                }
            };
            let found = readiness.missing.iter().map(|missing| &missing.what);
            let found = found.filter(|what| match what {
                Lack::Unsigned { id } | Lack::CoversNothing { id } | Lack::Voided { id, .. } => *id == required.id,
                _ => false,
            });
            prop_assert_eq!(found.collect::<Vec<_>>(), alone.iter().collect::<Vec<_>>());
        }
    }
}

/// Each of a hundred items, one after the other: taken out, altered, and one more put in.
#[test]
fn adding_removing_and_altering_each_item_voids_just_the_sign_offs_that_cover_it() {
    let fixes = Coverage { kinds: [ItemKind::Fix].into(), ..Coverage::default() };
    let web = Coverage { owners: [id("web"), id("data")].into(), ..Coverage::default() };
    let some =
        (0..100).filter(|number| number % 7 == 2).map(|number| id(&format!("item-{number}")));
    let named = Coverage { items: some.collect(), ..Coverage::default() };
    let before = scope(100);
    let sign_offs = required(vec![fixes, web, named]);
    let said = all_signed(&sign_offs, &before);
    assert_eq!(said.len(), 3);
    let mut counts = [0_usize; 4];
    for number in 0..100 {
        let (one, other) = (item(number), item(100 + number));
        let altered = ScopeItem { title: "something else".into(), ..one.clone() };
        for change in [Change::Add(other), Change::Remove(one.clone()), Change::Alter(one, altered)]
        {
            let mut scope = before.clone();
            change.apply(&mut scope);
            let covering = sign_offs.required().filter(|one| change.concerns(&one.covers, &before));
            let covering: BTreeSet<_> = covering.map(|one| one.id.clone()).collect();
            assert_eq!(voided(&sign_offs, &scope, &said), covering, "{change:?}");
            counts[covering.len()] += 1;
        }
    }
    assert_eq!(counts.iter().sum::<usize>(), 300);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[test]
fn a_sign_off_of_nothing_is_missing_whatever_was_said_of_it() {
    let nothing = Coverage { owners: BTreeSet::from([id("nobody")]), ..Coverage::default() };
    let of_nothing =
        Requirement::new(id("legal"), id("law"), id("legal"), minute(30)).covering(nothing);
    let sign_offs = SignOffs::new([of_nothing]).unwrap();
    let all: BTreeSet<ItemId> = scope(5).items().map(|item| item.id.clone()).collect();
    let told = |scope: &ReleaseScope, said: &[Statement]| {
        let readiness = sign_offs.readiness(scope, said, &all, minute(10));
        readiness.missing.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let why = "sign-off `legal` covers no item of the scope, and nobody can give it; add what it is of, or leave it out (law, 20m left)";
    assert_eq!(told(&scope(5), &[]), [why]);
    // What a host kept of something else, or made up, does not help.
    let empty = sign_offs.covered(&scope(5), &id("legal")).unwrap();
    let made_up = SignOff { id: id("legal"), by: id("eve"), at: minute(1), covers: empty };
    assert_eq!(told(&scope(5), &[Statement::Signed(made_up)]), [why]);
    let back = Statement::Withdrawn { id: id("legal"), by: id("eve"), at: minute(2) };
    assert_eq!(told(&scope(5), &[back]), [why]);
    // An empty scope has nothing that could be signed either.
    let whole = SignOffs::new([Requirement::new(id("go"), id("law"), id("legal"), minute(5))]);
    let readiness = whole.unwrap().readiness(&scope(0), &[], &all, minute(10));
    let [first, ..] = &readiness.missing[..] else { panic!("{readiness:?}") };
    assert_eq!(first.what, Lack::CoversNothing { id: id("go") });
    assert_eq!((first.owner.as_str(), first.slack), ("law", Some(Slack::Overdue(Span::secs(300)))));
    // Once there is something of it, it can be given; once that is gone again, it is void.
    let mut scope = scope(5);
    let one = ScopeItem::new(id("extra"), ItemKind::Fix, "x", id("nobody"));
    scope.add(one).unwrap();
    let directory = directory(&[("ann", &["legal"])]);
    let ann = Principal::human(id("ann"));
    let asked =
        Signing { scope: &scope, said: &[], by: &ann, directory: &directory, at: minute(3) };
    let seen = sign_offs.covered(&scope, &id("legal")).unwrap().digest();
    let said = [sign_offs.sign(&id("legal"), seen, &asked).unwrap()];
    scope.remove(&id("extra")).unwrap();
    assert!(told(&scope, &said)[0].contains("is void: item `extra` was removed"));
    let text = serde_json::to_string(&first.what).unwrap();
    assert_eq!(text, r#"{"type":"covers_nothing","id":"go"}"#);
}

#[test]
fn readiness_lists_what_is_missing_whose_it_is_and_how_much_time_there_is() {
    let mut scope = scope(0);
    let due = minute(120);
    let item = |name: &str| {
        ScopeItem::new(id(name), ItemKind::Feature, "x", id("billing"))
            .due(due)
            .serving(id("goal-0"))
    };
    scope.add(item("pay-1")).unwrap();
    scope.add(ScopeItem { due: None, ..item("pay-2") }).unwrap();
    let late = Requirement::new(id("legal"), id("law"), id("legal"), minute(30));
    let sign_offs =
        SignOffs::new([late.clone(), Requirement { id: id("go"), due: minute(90), ..late }])
            .unwrap();
    let complete = BTreeSet::from([id::<ItemId>("pay-2")]);
    let told = |said: &[Statement], scope: &ReleaseScope, at: Timestamp| -> Vec<String> {
        let readiness = sign_offs.readiness(scope, said, &complete, at);
        assert_eq!(
            (readiness.at, readiness.scope, readiness.is_ready()),
            (at, scope.digest(), readiness.missing.is_empty())
        );
        readiness.missing.iter().map(ToString::to_string).collect()
    };
    let missing = told(&[], &scope, minute(60));
    assert_eq!(
        missing[..4],
        [
            "sign-off `legal` was not given (law, 30m overdue)",
            "sign-off `go` was not given (law, 30m left)",
            "item `pay-1` is not complete (billing, 1h left)",
            "no item serves objective `goal-1` (board)",
        ]
    );
    assert_eq!(missing.len(), 7);
    let directory = directory(&[("ann", &["legal"]), ("bob", &[])]);
    let ann = Principal::human(id("ann"));
    let asked =
        Signing { scope: &scope, said: &[], by: &ann, directory: &directory, at: minute(10) };
    let mut said = vec![sign_offs.sign(&id("legal"), scope.digest(), &asked).unwrap()];
    assert_eq!(told(&said, &scope, minute(60)).len(), 6);
    // Before it was said, it was not.
    assert_eq!(told(&said, &scope, minute(9)).len(), 7);
    scope.change(ScopeItem { title: "y".into(), ..item("pay-1") }).unwrap();
    scope.add(item("pay-3")).unwrap();
    let void = "sign-off `legal`, given by ann at 1970-01-01T00:10:00.000000Z, is void: item `pay-1` was altered, item `pay-3` was added (law, 30m overdue)";
    assert_eq!(told(&said, &scope, minute(60))[0], void);
    let asked =
        Signing { scope: &scope, said: &said, by: &ann, directory: &directory, at: minute(61) };
    said.push(sign_offs.withdraw(&id("legal"), &asked).unwrap());
    let back =
        "sign-off `legal` was taken back by ann at 1970-01-01T01:01:00.000000Z (law, 32m overdue)";
    assert_eq!(told(&said, &scope, minute(62))[0], back);
    assert_eq!(Slack::until(minute(3), minute(3)), Slack::Left(Span::ZERO));
    // All of it is data.
    let again: Vec<Statement> =
        serde_json::from_str(&serde_json::to_string(&said).unwrap()).unwrap();
    assert_eq!(again, said);
    let again: (ReleaseScope, SignOffs) =
        serde_json::from_str(&serde_json::to_string(&(&scope, &sign_offs)).unwrap()).unwrap();
    assert_eq!(again, (scope, sign_offs));
}

#[test]
fn nobody_signs_what_they_have_not_seen_or_may_not() {
    let scope = scope(10);
    let fixes = Coverage { kinds: BTreeSet::from([ItemKind::Fix]), ..Coverage::default() };
    let nothing = Coverage { owners: BTreeSet::from([id("nobody")]), ..Coverage::default() };
    let of = |name: &str| Requirement::new(id(name), id("x"), id("boss"), minute(9));
    let sign_offs = SignOffs::new([
        of("one").covering(fixes),
        of("other").apart_from(id("one")),
        of("nothing").covering(nothing),
    ])
    .unwrap();
    let directory = directory(&[("ann", &["boss"]), ("bob", &["boss"]), ("eve", &[])]);
    let sign = |name: &str, seen: Digest, by: &Principal, said: &[Statement]| {
        let asked = Signing { scope: &scope, said, by, directory: &directory, at: minute(1) };
        sign_offs.sign(&id(name), seen, &asked)
    };
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| Principal::human(id(name)));
    let seen = sign_offs.covered(&scope, &id("one")).unwrap().digest();
    let stale = sign("one", scope.digest(), &ann, &[]).unwrap_err();
    assert_eq!(stale, SignOffError::Stale { id: id("one"), seen: scope.digest(), now: seen });
    assert!(stale.to_string().contains("look at the scope again"), "{stale}");
    assert!(matches!(sign("one", seen, &eve, &[]), Err(SignOffError::NoRole { .. })));
    assert!(matches!(
        sign("one", seen, &Principal::service(id("ann")), &[]),
        Err(SignOffError::NoPerson(_))
    ));
    assert!(matches!(sign("two", seen, &ann, &[]), Err(SignOffError::Unknown(_))));
    assert!(matches!(sign("nothing", seen, &ann, &[]), Err(SignOffError::Empty(_))));
    let said = [sign("one", seen, &ann, &[]).unwrap()];
    let same = SignOffError::SamePerson { id: id("other"), by: id("ann"), other: id("one") };
    assert_eq!(sign("other", scope.digest(), &ann, &said).unwrap_err(), same);
    assert!(sign("other", scope.digest(), &bob, &said).is_ok());
    // The other way round as well: it is about people, not about order.
    let said = [sign("other", scope.digest(), &bob, &[]).unwrap()];
    assert!(matches!(sign("one", seen, &bob, &said), Err(SignOffError::SamePerson { .. })));
}

#[test]
fn scopes_that_are_none_are_refused_in_words() {
    let twice = ReleaseScope::new([item(1), item(1)], []).unwrap_err();
    assert!(matches!(twice, ScopeError::UnknownObjective { .. }), "{twice}");
    let mut scope = scope(3);
    assert_eq!(scope.add(item(1)), Err(ScopeError::SameItem(id("item-1"))));
    assert_eq!(scope.remove(&id("item-7")), Err(ScopeError::NoItem(id("item-7"))));
    assert_eq!(scope.change(item(7)), Err(ScopeError::NoItem(id("item-7"))));
    let lost = item(2).serving(id("world-peace"));
    let error = scope.change(lost).unwrap_err().to_string();
    assert!(error.contains("`world-peace`, which is no objective"), "{error}");
    let many = |count| {
        (0..count).map(|n| ScopeItem::new(id(&format!("i-{n}")), ItemKind::Fix, "", id("t")))
    };
    assert_eq!(
        ReleaseScope::new(many(MAX_ITEMS + 1), []).unwrap_err(),
        ScopeError::TooMany(MAX_ITEMS + 1)
    );
    let all = ReleaseScope::new(many(MAX_ITEMS), []).unwrap();
    let changes = all
        .covered(&Coverage::default())
        .changes(&ReleaseScope::default().covered(&Coverage::default()));
    assert_eq!(changes.len(), MAX_ITEMS);
    assert_eq!(changes[0], Changed::Item(id("i-0"), How::Removed));
    let of = |name: &str| Requirement::new(id(name), id("x"), id("boss"), minute(9));
    assert_eq!(SignOffs::new([of("a"), of("a")]), Err(SignOffError::Same(id("a"))));
    let many = |count| SignOffs::new((0..count).map(|n| of(&format!("s-{n}"))));
    assert_eq!(many(1_000_000), Err(SignOffError::TooMany));
    assert_eq!(many(MAX_SIGN_OFFS).unwrap().required().len(), MAX_SIGN_OFFS);
    let lost = SignOffs::new([of("a").apart_from(id("b"))]).unwrap_err().to_string();
    assert!(lost.contains("`b`, which is none"), "{lost}");
    let json = r#"{"items":[],"objectives":[],"owner":"x"}"#;
    assert!(serde_json::from_str::<ReleaseScope>(json).is_err());
}
