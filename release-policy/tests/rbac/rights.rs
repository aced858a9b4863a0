//! What each rule says, one case a line.

use release_core::model::{ChangeScope, Identity, Reach, RoleGrant, Span, Timestamp};
use release_policy::directory::{Directory, DirectoryFault};
use release_policy::rbac::{
    Access, Action, Change, Condition, Denied, Fact, Facts, Miss, Permission, Query, Role, Rules,
    Whom,
};

use crate::support::{World, at, deny, grant, id, lend, person, production, role};

fn world() -> World {
    let roles = vec![
        Role::new(role("dev"))
            .may([Action::Request])
            .may_within(Reach::environment("qa".parse().unwrap()), [Action::Deploy]),
        Role::new(role("ops")).may([Action::Deploy, Action::Cancel]),
        Role::new(role("contractor")),
    ];
    let people = vec![
        person("ann", &["dev"]),
        person("bob", &["ops"]),
        person("cyd", &["ops", "contractor"]),
    ];
    World { people, lent: Vec::new(), roles, denies: Vec::new() }
}

fn qa() -> ChangeScope {
    ChangeScope::new("qa".parse().unwrap())
}

#[test]
fn a_role_reaches_as_far_as_its_permission_and_its_grant() {
    let mut world = world();
    assert!(world.may("ann", Action::Deploy, &qa(), 1));
    assert!(!world.may("ann", Action::Deploy, &production(), 1));
    assert!(world.may("bob", Action::Deploy, &production(), 1));
    assert!(world.may("bob", Action::Cancel, &ChangeScope::everywhere(), 1));
    assert!(!world.may("bob", Action::Approve, &production(), 1));
    // One train, and then neither another nor all of them.
    let train = Some("web".parse().unwrap());
    world.people[1].grants[0].reach = Reach { train, ..Reach::default() };
    assert!(world.may("bob", Action::Deploy, &production().of_train("web".parse().unwrap()), 1));
    assert!(!world.may("bob", Action::Deploy, &production().of_train("app".parse().unwrap()), 1));
    assert!(!world.may("bob", Action::Deploy, &production(), 1));
}

#[test]
fn grants_and_loans_are_half_open_in_time() {
    let mut world = world();
    world.people[1].grants[0].from = at(10);
    world.people[1].grants[0].until = Some(at(20));
    let mut lent = lend("bob", "ann", "ops");
    (lent.starts, lent.ends) = (at(5), at(15));
    world.lent.push(lent);
    for (who, second, may) in [
        ("bob", 9, false),
        ("bob", 10, true),
        ("bob", 19, true),
        ("bob", 20, false),
        ("ann", 9, false),
        ("ann", 10, true),
        ("ann", 14, true),
        ("ann", 15, false),
    ] {
        assert_eq!(world.may(who, Action::Deploy, &production(), second), may, "{who} at {second}");
    }
}

#[test]
fn what_was_lent_cannot_be_lent_on() {
    let mut world = world();
    world.people.push(person("dan", &[]));
    world.lent = vec![lend("bob", "ann", "ops"), lend("ann", "dan", "ops")];
    assert!(world.may("ann", Action::Deploy, &production(), 1));
    assert!(!world.may("dan", Action::Deploy, &production(), 1));
}

#[test]
fn nobody_lends_more_than_they_may_do_themselves() {
    let mut world = world();
    world.lent = vec![lend("bob", "ann", "ops")];
    world.denies = vec![deny("d", Whom::principals([id("bob")]), Action::Deploy)];
    let (access, ann, resource) = (world.access(), id("ann"), production());
    let answer = access.authorize(&Query::new(&ann, Action::Deploy, &resource, at(1)));
    assert!(!answer.is_allowed() && answer.denied.is_empty());
    assert!(answer.missed.iter().any(|one| one.why == Miss::LenderDenied { lender: id("bob") }));
    // And what they lent does not help in what they asked for.
    world.denies.clear();
    let (access, bob) = (world.access(), id("bob"));
    let query = Query::new(&ann, Action::Deploy, &resource, at(1));
    assert!(access.authorize(&query).is_allowed());
    assert!(!access.authorize(&query.requested_by(&bob)).is_allowed());
}

#[test]
fn people_are_forbidden_not_accounts() {
    let mut world = world();
    let mut second = person("bob-2", &["ops"]);
    second.linked.insert(id("bob"));
    let mut bot = Identity::service(id("bot")).with(grant("ops"));
    bot.acts_for.insert(id("bob-2"));
    world.people.extend([second, bot]);
    let all = |world: &World| {
        ["bob", "bob-2", "bot", "cyd"].map(|who| world.may(who, Action::Deploy, &production(), 1))
    };
    assert_eq!(all(&world), [true; 4]);
    world.denies = vec![deny("d", Whom::principals([id("bob")]), Action::Deploy)];
    assert_eq!(all(&world), [false, false, false, true]);
    world.denies = vec![deny("d", Whom::roles([role("contractor")]), Action::Deploy)];
    assert_eq!(all(&world), [true, true, true, false]);
}

#[test]
fn a_deny_concerns_whatever_it_touches() {
    let mut world = world();
    let mut frozen = deny("d", Whom::Everyone, Action::Deploy);
    frozen.reach = Reach { region: Some("eu".parse().unwrap()), ..Reach::default() };
    world.denies = vec![frozen];
    let region = |name: &str| production().in_region(name.parse().unwrap());
    assert!(!world.may("bob", Action::Deploy, &region("eu"), 1));
    assert!(!world.may("bob", Action::Deploy, &production(), 1));
    assert!(world.may("bob", Action::Deploy, &region("us"), 1));
}

#[test]
fn what_cannot_be_judged_forbids_and_does_not_allow() {
    let urgent = || vec![Condition::is("urgent", Fact::Flag(true))];
    let mut world = world();
    let permission =
        Permission { actions: [Action::Approve].into(), reach: Reach::default(), when: urgent() };
    world.roles[1].permissions.push(permission);
    let mut forbids = deny("d", Whom::Everyone, Action::Deploy);
    forbids.when = urgent();
    world.denies = vec![forbids];
    let (access, bob, resource) = (world.access(), id("bob"), production());
    let cases = [
        (None, false, false),
        (Some(Fact::Text("yes".into())), false, false),
        (Some(Fact::Flag(true)), true, false),
        (Some(Fact::Flag(false)), false, true),
    ];
    for (fact, approves, deploys) in cases {
        let facts: Facts = fact.into_iter().map(|fact| ("urgent".to_owned(), fact)).collect();
        let may = |action| {
            let query = Query::new(&bob, action, &resource, at(1)).facts(&facts);
            access.authorize(&query).is_allowed()
        };
        assert_eq!((may(Action::Approve), may(Action::Deploy)), (approves, deploys), "{facts:?}");
    }
    let answer = access.authorize(&Query::new(&bob, Action::Deploy, &resource, at(1)));
    let [Denied::Rule { rule, error: Some(error), .. }] = &answer.denied[..] else {
        panic!("{answer:?}")
    };
    assert_eq!(rule, "d");
    assert!(error.to_string().contains("`urgent` is missing"), "{error}");
}

#[test]
fn without_a_fresh_directory_nobody_may_anything() {
    let taken = at(100);
    let rules = || Rules::new(world().roles, []).unwrap();
    let snapshot = Directory::new(1, taken, world().people, []).unwrap();
    let access = Access::new(rules(), snapshot, Span::secs(60));
    let (bob, resource) = (id("bob"), production());
    let faults = |access: &Access, now: Timestamp| {
        let query = Query::new(&bob, Action::Deploy, &resource, now);
        let answer = access.authorize(&query);
        let fault = access.who_can(&query).err();
        assert_eq!(answer.is_allowed(), fault.is_none());
        assert_eq!(access.separation_of_duties(&[], now).err(), fault);
        if fault.is_some() {
            assert_eq!(access.why_not(&query), Some(vec![Change::RefreshDirectory]));
        }
        fault
    };
    let at_most = Span::secs(60);
    assert_eq!(faults(&access, at(159)), None);
    assert_eq!(faults(&access, at(160)), Some(DirectoryFault::Stale { taken_at: taken, at_most }));
    assert_eq!(faults(&access, at(99)), Some(DirectoryFault::Future { taken_at: taken }));
    let down = Access::down(rules(), at(90));
    assert_eq!(faults(&down, at(100)), Some(DirectoryFault::Down { since: at(90) }));
}

#[test]
fn an_answer_says_because_of_what() {
    let mut world = world();
    let mut ends = RoleGrant::new(role("ops"), at(0), id("boss"), "on call");
    ends.until = Some(at(50));
    world.people[0].grants.push(ends.clone());
    let (ann, resource) = (id("ann"), production());
    let ask = |second| {
        let access = world.access();
        access.authorize(&Query::new(&ann, Action::Deploy, &resource, at(second)))
    };
    let answer = ask(49);
    assert_eq!(*answer.granted[0].grant, ends);
    assert_eq!(answer.granted[0].until, Some(at(50)));
    assert_eq!(answer.directory.map(|stamp| stamp.version), Some(1));
    assert_eq!(answer.rules, world.access().rules().digest());
    let missed: Vec<_> =
        ask(50).missed.iter().map(|one| format!("{} {}", one.role, one.why)).collect();
    assert_eq!(
        missed,
        ["dev does not reach over all of this", "ops ended at 1970-01-01T00:00:50.000000Z"]
    );
}

#[test]
fn roles_that_no_rules_define_allow_nothing_and_are_found() {
    let mut world = world();
    world.people[0].grants.push(grant("opps"));
    let access = world.access();
    let undefined: Vec<_> =
        access.undefined_roles().map(|(who, role)| format!("{who} {role}")).collect();
    assert_eq!(undefined, ["ann opps"]);
    assert!(!world.may("ann", Action::Deploy, &production(), 1));
}
