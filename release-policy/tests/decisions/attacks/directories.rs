//! Directories that are torn, lost, too old, or brought in by others.

use release_core::port::PermitAll;
use release_policy::window::{Invokers, Scope, WaiverSpec};

use super::gates::approve;
use super::*;

/// What is said of gates goes by the rules (how old a directory may be), and says so.
#[test]
fn what_is_said_of_gates_names_the_rules_and_the_directory_that_it_is_made_from() {
    let known = || people(50, &TEAM);
    let ask = |age: u64, second: i64| {
        let role = Role::new(id("sre")).may([rbac::Action::Approve]);
        let access = Access::new(Rules::new([role], []).unwrap(), known(), Span::secs(age));
        let book = PolicyBook::new(set(&[anything()]).rights(Rbac::new(access)));
        let mut state = run(&gated_by(go(&["sre"])), None);
        happens(&mut state, Some(&approve("ann")), 100, &PermitAll);
        let step = state.plan().get(0).unwrap().clone();
        let mut request = Admission::new(state.run(), state.requester(), &step, at(second));
        request.at = Some((&state, 0));
        book.opens(&request)
    };
    let (long, short) = (ask(300, 210), ask(100, 210));
    assert_ne!(long.is_permit(), short.is_permit(), "the rules decide how old is too old");
    assert!(short.inputs().is_some(), "made from nothing? {short:?}");
    assert_ne!(long.inputs(), short.inputs(), "two answers, one and the same inputs: {long:?}");
    assert!(long.inputs().is_some_and(|inputs| inputs.policy.is_some()), "{long:?}");
}

/// Who agrees to other rules agrees to no other directory.
#[test]
fn rules_that_were_approved_bring_no_directory_that_nobody_approved() {
    let known = |second: i64, req: &str| {
        directory(
            second,
            [
                Identity::human(id("ann")).with(grant("sre")),
                Identity::human(id("req")).with(grant(req)),
            ],
        )
    };
    let with = |of: Directory, why: &str| {
        let rights = rights(rbac::Action::Deploy, of);
        set(&[anything().because(why)]).guarded_by(quorum(&["sre"])).rights(rights)
    };
    let book = PolicyBook::new(with(known(50, "ops"), "old"));
    let reviewed = with(known(50, "ops"), "new");
    let about = book.change_to(&reviewed);
    let question =
        Question { subject: about, scope: ChangeScope::everywhere(), ..question("production") };
    let case = ApprovalCase { question, facts: approvals(&["ann"], about) };
    // The same rules to the digest, with a directory in which req is a dev.
    let forged = with(known(99, "dev"), "new");
    let _ = book.publish_approved(forged, &case, at(100));
    assert!(
        !ask_of(&book, &deploy("production"), 100).is_permit(),
        "req has given themselves a role, with an approval of something else"
    );
}

/// A directory that was lost stays lost until one comes that was read afterwards.
#[test]
fn a_directory_that_is_out_of_reach_does_not_come_back_with_older_rights() {
    let dev = || directory(50, [Identity::human(id("req")).with(grant("dev"))]);
    let book = PolicyBook::new(set(&[anything()]));
    book.lose_directory(at(95));
    book.publish(set(&[anything()]).rights(rights(rbac::Action::Deploy, dev())));
    let decision = ask_of(&book, &deploy("production"), 100);
    assert!(decision.is_deny(), "it is still out of reach: {decision:?}");
}

/// What is asked of gates and what is asked of the effect are one question at one instant: a directory that is
/// published in between makes neither of the two states permit it.
#[test]
fn no_step_starts_by_half_of_one_directory_and_half_of_another() {
    /// A host that publishes a directory while the engine asks.
    #[derive(Debug)]
    struct Between(PolicyBook, Directory);
    impl Policy for Between {
        fn admit(&self, request: &Admission<'_>) -> Decision {
            let decision = self.0.admit(request);
            self.0.publish_directory(self.1.clone()).unwrap();
            decision
        }
        fn opens(&self, request: &Admission<'_>) -> Decision {
            self.0.opens(request)
        }
        fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
            self.0.authorize(request)
        }
    }
    let known = |second: i64, req: &str, ann: &str| {
        let all = [("req", req), ("ann", ann)];
        directory(second, all.map(|(who, role)| Identity::human(id(who)).with(grant(role))))
    };
    // First req may deploy and ann is no sre; then ann is one, and req may not.
    let (first, then) = (|| known(50, "dev", "ops"), || known(60, "ops", "sre"));
    let book = || PolicyBook::new(set(&[anything()]).rights(rights(rbac::Action::Deploy, first())));
    let mut ready = run(&gated_by(go(&["sre"])), None);
    let only_admits = set(&[Rule::deny("wait", Condition::Always, "x")]);
    happens(&mut ready, None, 90, &only_admits);
    happens(&mut ready, Some(&approve("ann")), 100, &AuthorizeAll(only_admits));
    let starts_with = |policy: &dyn Policy| {
        starts(&happens(&mut ready.clone(), Some(&Input::Reconsider), 210, policy))
    };
    let later = book();
    later.publish_directory(then()).unwrap();
    assert_eq!((starts_with(&book()), starts_with(&later)), (0, 0), "neither permits it");
    assert_eq!(starts_with(&Between(book(), then())), 0, "half of each does");
}

/// Rights that come with the news that the directory is out of reach do not go on with the last one.
#[test]
fn rights_that_lost_their_directory_allow_nothing_in_a_book_that_has_an_older_one() {
    let dev = directory(80, [Identity::human(id("req")).with(grant("dev"))]);
    let head = |rights: Rbac| set(&[anything()]).rights(rights);
    let book = PolicyBook::new(head(rights(rbac::Action::Deploy, dev.clone())));
    let lost = rights(rbac::Action::Deploy, dev);
    lost.lose_directory(at(95));
    book.publish(head(lost));
    let decision = ask_of(&book, &deploy("production"), 100);
    assert!(decision.is_deny(), "it is out of reach since 95: {decision:?}");
}

/// Whoever keeps what the digests of a decision are of can make it again: so two answers have two inputs.
#[test]
fn a_directory_that_is_out_of_reach_is_an_input_of_what_it_denies() {
    let waiver = WaiverSpec {
        id: id("hotfix"),
        window: id("frozen"),
        principals: [id("req")].into(),
        scope: Scope::default(),
        actions: [].into(),
        run: None,
        from: at(0),
        until: at(1_000),
        granted_by: id("ann"),
        reason: "INC-7".into(),
    };
    let waivers = vec![Waiver::try_from(waiver).unwrap()];
    let book = PolicyBook::new(set(&[anything()]).windows(frozen(50, 5_000, waivers)));
    let unread = ask_of(&book, &deploy("production"), 100);
    book.lose_directory(at(90));
    let down = ask_of(&book, &deploy("production"), 100);
    assert_ne!(unread.is_permit(), down.is_permit());
    assert_ne!(unread.inputs(), down.inputs(), "one request, one set of inputs, two answers");
}

/// Who has which role is the directory's to say, also where a rule asks for a role.
#[test]
fn a_rule_that_asks_for_a_role_goes_by_the_directory_of_the_day() {
    let roles = Invokers { roles: [id("sre")].into(), ..Invokers::default() };
    let book = PolicyBook::new(set(&[Rule::allow("sre", Condition::By(roles), "x")]));
    let req = Principal::human(id("req")).with_role(id("sre"));
    let ask = |book: &PolicyBook| {
        book.admit(&Admission::new(&id("r"), &req, &deploy("production"), at(100))).is_permit()
    };
    book.publish_directory(people(50, &[("req", "sre")])).unwrap();
    assert!(ask(&book));
    book.publish_directory(people(60, &[("req", "ops")])).unwrap();
    let lost = ask(&book);
    book.lose_directory(at(90));
    assert_eq!((lost, ask(&book)), (false, false), "req lost the role; nobody knows who has it");
}

/// A directory that is too old tells nobody who is who.
#[test]
fn a_waiver_is_none_while_the_directory_is_too_old_to_tell_who_granted_it() {
    let waiver = WaiverSpec {
        id: id("hotfix"),
        window: id("frozen"),
        principals: [id("req")].into(),
        scope: Scope::default(),
        actions: [].into(),
        run: None,
        from: at(0),
        until: at(9_000),
        granted_by: id("new"),
        reason: "INC-7".into(),
    };
    let waivers = vec![Waiver::try_from(waiver).unwrap()];
    let book = PolicyBook::new(set(&[anything()]).windows(frozen(50, 9_000, waivers)));
    book.publish_directory(people(50, &[("req", "dev")])).unwrap();
    let old = ask_of(&book, &deploy("production"), 8_000).is_permit();
    book.lose_directory(at(60));
    let down = ask_of(&book, &deploy("production"), 8_000).is_permit();
    assert_eq!((old, down), (false, false));
}

/// Commands are nobody's business; all else as the set says.
#[derive(Debug)]
struct AuthorizeAll(PolicySet);

impl Policy for AuthorizeAll {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        self.0.admit(request)
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}
