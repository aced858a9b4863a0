//! Commands and gates of plans.

use super::*;

#[test]
fn a_leave_for_another_plan_gives_no_command() {
    let rules = set(&[needs_case()]).define("any", quorum(&["sre"]));
    let case = |plan: Digest| {
        let about = Subject { policy: rules.digest(), plan, ..subject() };
        let scope = ChangeScope::everywhere();
        let question = Question { subject: about, scope, ..question("qa") };
        ApprovalCase { question, facts: approvals(&["ann"], about) }
    };
    let plan = plan([deploy("production")]);
    for (of, denied) in [(plan.digest(), false), (subject().plan, true)] {
        let book = PolicyBook::new(rules.clone());
        book.know(id("r"), Facts::new().case("any", case(of)));
        book.publish_directory(people(50, &TEAM)).unwrap();
        let mut state = run(&plan, book.digest());
        let by = Principal::human(id("req"));
        let pause = Input::Directive(Directive::new(Command::Pause, by, "a rest"));
        let events = happens(&mut state, Some(&pause), 100, &book);
        let was = events.iter().any(|event| matches!(event, Event::CommandDenied { .. }));
        assert_eq!(was, denied, "{events:?}");
    }
}

/// A step behind a gate for one `sre`, and the book that knows these people.
fn gated(directory: Directory) -> (PolicyBook, RunState) {
    let book = PolicyBook::new(set(&[anything()]));
    book.publish_directory(directory).unwrap();
    let mut step = deploy("production");
    let gate = model::Approval::new(id("production/go"));
    step.gates.push(Gate::Approval(model::Approval { roles: vec![id("sre")], ..gate }));
    step.gates.push(Gate::NotBefore(at(200)));
    let state = run(&plan([step]), book.digest());
    (book, state)
}

fn approve(by: &str) -> Input {
    let by = Principal::human(id(by)).with_role(id("sre"));
    let command = Command::Approve { gate: id("production/go") };
    Input::Directive(Directive::new(command, by, "yes"))
}

#[test]
fn f24_the_second_account_of_the_requester_opens_no_gate_of_a_plan() {
    let mut linked = Identity::human(id("req-2")).with(grant("sre"));
    linked.linked.insert(id("req"));
    let ann = Identity::human(id("ann")).with(grant("sre"));
    let (book, mut state) = gated(directory(50, [Identity::human(id("req")), linked, ann]));
    happens(&mut state, Some(&approve("req-2")), 100, &book);
    let events = happens(&mut state, None, 210, &book);
    assert_eq!(starts(&events), 0, "{events:?}");
    assert_eq!(starts(&happens(&mut state, Some(&approve("ann")), 220, &book)), 1, "somebody else");
}

#[test]
fn f22_a_gate_of_a_plan_counts_nobody_who_left_or_lost_their_role() {
    let (book, mut state) = gated(people(50, &TEAM));
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.publish_directory(people(190, &[("ann", "ops"), ("bob", "sre")])).unwrap();
    assert_eq!(starts(&happens(&mut state, None, 200, &book)), 0, "ann is of operations now");
    assert_eq!(starts(&happens(&mut state, Some(&approve("bob")), 210, &book)), 1);
    let (book, mut state) = gated(people(50, &TEAM));
    happens(&mut state, Some(&approve("ann")), 100, &book);
    book.lose_directory(at(190));
    assert_eq!(starts(&happens(&mut state, None, 200, &book)), 0, "nobody knows who is who");
}

#[test]
fn who_may_approve_in_qa_opens_no_gate_before_a_step_in_production() {
    let mut reach = grant("dev");
    reach.reach.environment = Some(id("qa"));
    let rights =
        rights(rbac::Action::Approve, directory(50, [Identity::human(id("lou")).with(reach)]));
    let ask = |environment: &str| {
        let mut step = deploy(environment);
        step.gates.push(Gate::Approval(model::Approval::new(id("qa/go"))));
        let state = run(&plan([step]), None);
        let (lou, approve) = (Principal::human(id("lou")), Command::Approve { gate: id("qa/go") });
        let mut asked =
            CommandRequest::new(state.run(), state.requester(), &lou, &approve, at(100));
        asked.state = Some(&state);
        rights.authorize(&asked).is_permit()
    };
    assert!(ask("qa"));
    assert!(!ask("production"), "whatever the gate is called");
}

/// A gate for two of `sre`: what ann lent speaks for her, not besides her; and who lent the requester the role is a
/// party to the run.
#[test]
fn f24_a_right_that_was_lent_is_one_voice_and_none_for_who_asked_with_it() {
    let lend = |from: &str, to: &str| Delegation {
        from: id(from),
        to: id(to),
        role: id("sre"),
        starts: at(0),
        ends: at(1_000),
        reason: "holidays".into(),
    };
    let sre = |name: &str| Identity::human(id(name)).with(grant("sre"));
    let count = |quorum: u32, lent: Delegation, by: &[&str]| {
        let all = [sre("ann"), sre("bob"), Identity::human(id("dan")), Identity::human(id("req"))];
        let directory = Directory::new(1, at(50), all, [lent]).unwrap();
        let book = PolicyBook::new(set(&[anything()]));
        book.publish_directory(directory).unwrap();
        let mut step = deploy("production");
        let gate = model::Approval::new(id("production/go"));
        let gate = model::Approval { roles: vec![id("sre")], quorum, ..gate };
        step.gates.extend([Gate::Approval(gate), Gate::NotBefore(at(200))]);
        let mut state = run(&plan([step]), book.digest());
        for by in by {
            happens(&mut state, Some(&approve(by)), 100, &book);
        }
        starts(&happens(&mut state, None, 210, &book))
    };
    assert_eq!(count(2, lend("ann", "dan"), &["ann", "dan"]), 0, "ann twice");
    assert_eq!(count(2, lend("ann", "dan"), &["bob", "dan"]), 1, "bob, and ann by dan");
    assert_eq!(count(1, lend("ann", "req"), &["ann"]), 0, "she lent the right to ask");
    assert_eq!(count(1, lend("ann", "req"), &["bob"]), 1);
}
