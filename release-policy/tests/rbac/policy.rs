//! Rights as the engine asks for them.

use release_core::model::{Identity, Principal, Reach, RoleGrant, RunId, Span};
use release_core::plan::{Action as StepAction, Place, Plan, Step, StepScope};
use release_core::port::{Admission, CommandRequest, Decision, Policy};
use release_core::run::{Command, Event, RunState};
use release_policy::directory::Directory;
use release_policy::rbac::{
    Access, Action, Condition, Deny, Fact, OWN_RUN, Rbac, Role, Rules, Whom,
};

use crate::support::{at, grant, id, person, role};

fn rules() -> Rules {
    let production = || Reach::environment("production".parse().unwrap());
    let mut own = Deny::new("no-self", Whom::Everyone, [Action::Approve], id("sec"), "two people");
    own.when = vec![Condition::is(OWN_RUN, Fact::Flag(true))];
    let roles = [
        Role::new(role("dev")).may([Action::Pause, Action::Deploy]),
        Role::new(role("manager"))
            .may([Action::Pause, Action::Cancel])
            .may_within(production(), [Action::Approve]),
    ];
    Rules::new(roles, [own]).unwrap()
}

fn directory(taken: i64) -> Directory {
    let mut second = person("ann-2", &["manager"]);
    second.linked.insert(id("ann"));
    let bot = Identity::service(id("bot")).with(grant("manager"));
    let people = [person("ann", &["dev"]), person("max", &["manager"]), second, bot];
    Directory::new(1, at(taken), people, []).unwrap()
}

fn command(policy: &Rbac, by: &Principal, command: &Command, second: i64) -> Option<String> {
    let (run, requester): (RunId, _) = ("r".parse().unwrap(), human("ann"));
    said(policy.authorize(&CommandRequest::new(&run, &requester, by, command, at(second))))
}

fn said(decision: Decision) -> Option<String> {
    match decision {
        Decision::Permit { .. } => None,
        Decision::Deny { reasons, .. } => {
            Some(reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
        other @ Decision::Wait { .. } => panic!("rights never wait: {other:?}"),
    }
}

fn human(name: &str) -> Principal {
    Principal::human(id(name))
}

fn approve(gate: &str) -> Command {
    Command::Approve { gate: gate.parse().unwrap() }
}

#[test]
fn roles_that_the_host_vouches_for_say_who_may_give_which_command() {
    let policy = Rbac::vouched(rules()).commands_only();
    let with = |name: &str| human("bob").with_role(role(name));
    assert_eq!(command(&policy, &with("dev"), &Command::Pause, 1), None);
    assert_eq!(
        command(&policy, &with("other").with_role(role("manager")), &Command::Pause, 1),
        None
    );
    assert_eq!(command(&policy, &with("manager"), &Command::Cancel, 1), None);
    let lacks = "rbac/cancel: bob has no role here that may cancel (lifted by somebody who is manager, or whoever grants roles)";
    assert_eq!(command(&policy, &with("dev"), &Command::Cancel, 1).as_deref(), Some(lacks));
    assert_eq!(command(&policy, &human("bob"), &Command::Cancel, 1).as_deref(), Some(lacks));
    let nobody = "rbac/abandon: no role may abandon (lifted by whoever maintains the rules)";
    assert_eq!(command(&policy, &with("manager"), &Command::Abandon, 1).as_deref(), Some(nobody));
    let own = human("ann").with_role(role("manager"));
    let text = command(&policy, &own, &approve("production/cab"), 1).unwrap();
    assert!(text.starts_with("deny/no-self: ann is forbidden this: two people"), "{text}");
}

#[test]
fn what_a_principal_says_of_its_roles_counts_for_nothing_beside_a_directory() {
    let policy = Rbac::new(Access::new(rules(), directory(0), Span::secs(100)));
    let liar = human("ann").with_role(role("manager"));
    assert!(command(&policy, &liar, &Command::Cancel, 1).is_some());
    assert_eq!(command(&policy, &human("max"), &Command::Cancel, 1), None);
    assert!(
        command(&policy, &human("nobody"), &Command::Cancel, 1).unwrap().contains("rbac/unknown")
    );
}

#[test]
fn nobody_approves_their_own_run_by_another_account() {
    let policy = Rbac::new(Access::new(rules(), directory(0), Span::secs(100)));
    let gate = approve("production/cab");
    assert_eq!(command(&policy, &human("max"), &gate, 1), None);
    assert!(command(&policy, &human("ann-2"), &gate, 1).unwrap().contains("deny/no-self"));
    // Only where the role reaches, and a gate of no environment is everywhere.
    assert!(command(&policy, &human("max"), &approve("qa/cab"), 1).is_some());
    assert!(command(&policy, &human("max"), &approve("cab"), 1).is_some());
}

#[test]
fn the_requester_must_be_allowed_what_a_step_does() {
    let policy = Rbac::new(Access::new(rules(), directory(0), Span::secs(100)));
    let run: RunId = "r".parse().unwrap();
    let mut step = Step::new("s".parse().unwrap(), StepAction::Sync);
    let admit = |who: &str, step: &Step, rollback| {
        let who = human(who);
        said(policy.admit(&Admission::new(&run, &who, step, at(1)).in_rollback(rollback)))
    };
    assert_eq!(admit("max", &step, false), None, "a step of no place is not asked about");
    step.scope = StepScope::of(Place::new("production".parse().unwrap()));
    assert_eq!(admit("ann", &step, false), None);
    assert!(admit("max", &step, false).unwrap().contains("may deploy"));
    assert!(admit("ann", &step, true).unwrap().contains("no role may rollback"));
}

/// The directory dies, ages, and comes back, at every step of a run.
#[test]
fn a_directory_that_is_down_denies_at_each_step() {
    for dies_at in 0..6_i64 {
        let policy = Rbac::new(Access::new(rules(), directory(0), Span::secs(100)));
        for second in 0..6_i64 {
            if second == dies_at {
                policy.lose_directory(at(second));
            }
            let answer = command(&policy, &human("max"), &Command::Cancel, second);
            assert_eq!(answer.is_some(), second >= dies_at, "{second} of {dies_at}");
            if let Some(text) = answer {
                assert!(
                    text.starts_with("rbac/directory: the directory is out of reach since"),
                    "{text}"
                );
            }
        }
        policy.publish_directory(directory(6)).unwrap();
        assert_eq!(command(&policy, &human("max"), &Command::Cancel, 7), None);
        assert!(command(&policy, &human("max"), &Command::Cancel, 106).is_some(), "stale");
    }
}

/// A run of train `web`, with a step in each of two environments.
fn run() -> RunState {
    let mut plan = Plan::builder("web".parse().unwrap(), "rel".parse().unwrap());
    for name in ["staging", "production"] {
        let mut step = Step::new(format!("{name}/api").parse().unwrap(), StepAction::Sync);
        step.scope = StepScope::of(Place::new(name.parse().unwrap()));
        plan.step(step);
    }
    let plan = plan.build().unwrap().freeze();
    let (definition, supersedes, policy) = (None, None, None);
    let (digest, requester) = (plan.digest(), human("ann"));
    let event = Event::RunCreated { plan: digest, definition, requester, supersedes, policy };
    RunState::create("r".parse().unwrap(), plan, &release_core::run::Fact { at: at(0), event })
        .unwrap()
}

#[test]
fn rights_over_a_train_are_rights_over_its_runs_and_no_others() {
    let may = Role::new(role("driver")).may([Action::Cancel, Action::Deploy]);
    let rules = Rules::new([may], []).unwrap();
    let ask = |train: &str| {
        let reach = Reach { train: Some(train.parse().unwrap()), ..Reach::default() };
        let who = Identity::human(id("ann")).with(RoleGrant { reach, ..grant("driver") });
        let directory = Directory::new(1, at(0), [who], []).unwrap();
        let policy = Rbac::new(Access::new(rules.clone(), directory, Span::secs(100)));
        let (state, ann) = (run(), human("ann"));
        let mut command =
            CommandRequest::new(state.run(), state.requester(), &ann, &Command::Cancel, at(1));
        let alone = policy.authorize(&command).is_permit();
        command.state = Some(&state);
        let step = &state.plan().plan().steps()[0];
        let mut start = Admission::new(state.run(), state.requester(), step, at(1));
        start.at = Some((&state, 0));
        (policy.authorize(&command).is_permit(), policy.admit(&start).is_permit(), alone)
    };
    assert_eq!(ask("web"), (true, true, false), "without the run nobody knows its train");
    assert_eq!(ask("mobile"), (false, false, false));
}

#[test]
fn a_command_about_one_step_asks_for_rights_where_that_step_is() {
    let may = Role::new(role("mender")).may([Action::Retry, Action::Cancel]);
    let rules = Rules::new([may], []).unwrap();
    let reach = Reach::environment("staging".parse().unwrap());
    let who = Identity::human(id("max")).with(RoleGrant { reach, ..grant("mender") });
    let directory = Directory::new(1, at(0), [who], []).unwrap();
    let policy = Rbac::new(Access::new(rules, directory, Span::secs(100)));
    let (state, max) = (run(), human("max"));
    let ask = |command: &Command| {
        let mut asked = CommandRequest::new(state.run(), state.requester(), &max, command, at(1));
        asked.state = Some(&state);
        policy.authorize(&asked).is_permit()
    };
    let retry = |step: &str| Command::Retry { step: step.parse().unwrap() };
    assert!(ask(&retry("staging/api")));
    assert!(!ask(&retry("production/api")));
    assert!(!ask(&retry("staging/unheard-of")), "of what is not there all rights are needed");
    assert!(!ask(&Command::Cancel), "it concerns the whole release");
}
