//! Every order of what people, clocks and machines may do around an admission, to a stated depth; each
//! admission is decided as the engine has it decided, by a book of rules.

use std::sync::Arc;

use release_core::model::{Principal, RunId, Span};
use release_core::plan::{Action, Place, Step, StepScope};
use release_core::port::{Admission, Policy as _};
use release_policy::approval::{
    Approval, ApprovalFact, ApprovalFacts, FactError, Question, Statement, Subject, Verdict,
};
use release_policy::decision::{ApprovalCase, Condition, Facts, Need, PolicyBook, PolicySet, Rule};
use release_policy::directory::Directory;
use release_policy::window::When;
use release_policy::{WindowSpec, Windows};

use crate::support::{at, directory, id, of_role, person, policy, question, scope, subject};

/// How many events each order has.
const DEPTH: u32 = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    ApproveAnn,
    ApproveBob,
    WithdrawBob,
    RevokeAnn,
    FreezeStart,
    PlanEdit,
    Admit,
}

const EVENTS: [Event; 7] = [
    Event::ApproveAnn,
    Event::ApproveBob,
    Event::WithdrawBob,
    Event::RevokeAnn,
    Event::FreezeStart,
    Event::PlanEdit,
    Event::Admit,
];

/// What the oracle keeps: who approves what there is now.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    approve: Both,
    revoked: bool,
    frozen: bool,
}

/// Whose word is for what there is now.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    ann: bool,
    bob: bool,
}

#[derive(Debug, Clone)]
struct State {
    facts: ApprovalFacts,
    subject: Subject,
    last_of_bob: Option<u64>,
    freezes: Windows,
    expected: Expected,
}

struct World {
    rules: PolicySet,
    with_ann: Arc<Directory>,
    without: Arc<Directory>,
    question: Question,
    step: Step,
    run: RunId,
    requester: Principal,
}

#[derive(Debug, Default)]
struct Tally {
    orders: u64,
    admissions: u64,
    admitted: u64,
}

impl World {
    fn new() -> Self {
        let others = || [person("req", &[]), person("bob", &["sre"])];
        let mut step = Step::new("production/api".parse().unwrap(), Action::Sync);
        let mut place = Place::new("production".parse().unwrap());
        place.service = Some("api".parse().unwrap());
        step.scope = StepScope::of(place);
        let mut policy = policy(of_role("sre", 2));
        policy.directory_max_age = Span::secs(3_600);
        let rule = Rule::allow("two-agree", Condition::Always, "platform");
        let needs = Need::Case { name: "two".into() };
        Self {
            rules: PolicySet::new([rule.needs(needs)]).unwrap().define("two", policy),
            with_ann: directory(others().into_iter().chain([person("ann", &["sre"])]), []).into(),
            without: directory(others().into_iter().chain([person("ann", &[])]), []).into(),
            question: question(),
            step,
            run: "r".parse().unwrap(),
            requester: Principal::human(id("req")),
        }
    }

    fn directory(&self, expected: Expected) -> &Arc<Directory> {
        if expected.revoked { &self.without } else { &self.with_ann }
    }

    fn approve(&self, state: &mut State, by: &str, seq: u64) {
        let second = 10_000 + i64::try_from(seq).unwrap();
        let directory = self.directory(state.expected);
        let statement = Statement {
            seq,
            by: id(by),
            linked: [].into(),
            roles: directory.roles(&id(by), &scope(), at(second)),
            at: at(second),
            expires: at(second + 1_000),
            bound_to: state.subject,
        };
        let (verdict, comment) = (Verdict::Approve, String::new());
        state
            .facts
            .apply(ApprovalFact::Given(Box::new(Approval { statement, verdict, comment })))
            .unwrap();
    }

    /// What the policies say, and whether an admission that they permit closes the gate.
    fn admits(&self, state: &State, seq: u64) -> bool {
        let now = at(10_000 + i64::try_from(seq).unwrap());
        let question = Question { subject: state.subject, ..self.question.clone() };
        let case = ApprovalCase { question, facts: state.facts.clone() };
        let set = self.rules.clone().windows(state.freezes.clone());
        let book =
            PolicyBook::new(set).with_facts(self.run.clone(), Facts::new().case("two", case));
        book.publish_directory(Arc::clone(self.directory(state.expected))).unwrap();
        let admission = Admission::new(&self.run, &self.requester, &self.step, now);
        let admitted = book.admit(&admission).is_permit();
        if admitted {
            let mut facts = state.facts.clone();
            let subject = state.subject.digest();
            facts.apply(ApprovalFact::Admitted { seq, at: now, subject }).unwrap();
            let of = state.last_of_bob.unwrap();
            let late = ApprovalFact::Withdrawn { seq: seq + 1, of, by: id("bob"), at: now };
            assert_eq!(facts.apply(late), Err(FactError::AlreadyAdmitted { at: now }));
        }
        admitted
    }

    fn happen(&self, state: &mut State, event: Event, seq: u64) {
        let now = at(10_000 + i64::try_from(seq).unwrap());
        match event {
            Event::ApproveAnn => {
                self.approve(state, "ann", seq);
                state.expected.approve.ann |= !state.expected.revoked;
            }
            Event::ApproveBob => {
                self.approve(state, "bob", seq);
                (state.expected.approve.bob, state.last_of_bob) = (true, Some(seq));
            }
            Event::WithdrawBob => {
                // He takes back all that he said.
                let his: Vec<_> = state.facts.approvals().map(|said| &said.statement).collect();
                let his = his.into_iter().filter(|said| said.by == id("bob"));
                let his: Vec<_> = his.map(|said| said.seq).collect();
                for (index, of) in (0_u64..).zip(his) {
                    let (seq, by) = (seq + index, id("bob"));
                    let taken = state.facts.apply(ApprovalFact::Withdrawn { seq, of, by, at: now });
                    let gone = Err(FactError::NothingToWithdraw { of });
                    assert!(taken.is_ok() || taken == gone, "{taken:?}");
                }
                state.expected.approve.bob = false;
            }
            Event::RevokeAnn => state.expected.revoked = true,
            Event::FreezeStart => {
                let from = if state.expected.frozen { at(0) } else { now };
                let when = When::Between { from, until: at(20_000) };
                let (id, owner) = ("peak".parse().unwrap(), "sre".parse().unwrap());
                let freeze = WindowSpec::freeze(id, when, owner, "busy").build();
                state.freezes = Windows::new([freeze.unwrap()]).unwrap();
                state.expected.frozen = true;
            }
            Event::PlanEdit => {
                // Each edit gives a plan that there was not before.
                state.subject.plan = subject(u8::try_from(seq / 100).unwrap() + 2).plan;
                state.expected.approve = Both::default();
            }
            Event::Admit => {}
        }
    }

    fn explore(&self, state: &State, depth: u32, trace: &mut Vec<Event>, tally: &mut Tally) {
        if depth == DEPTH {
            return;
        }
        for event in EVENTS {
            let mut next = state.clone();
            trace.push(event);
            tally.orders += 1;
            let seq = u64::from(depth + 1) * 100;
            self.happen(&mut next, event, seq);
            if event == Event::Admit {
                let Expected { approve: Both { ann, bob }, revoked, frozen } = next.expected;
                let want = ann && bob && !revoked && !frozen;
                assert_eq!(self.admits(&next, seq), want, "{trace:?}");
                tally.admissions += 1;
                tally.admitted += u64::from(want);
            }
            self.explore(&next, depth + 1, trace, tally);
            trace.pop();
        }
    }
}

#[test]
fn in_no_order_of_seven_events_is_anything_admitted_that_is_not_approved_as_it_is_now() {
    let world = World::new();
    let state = State {
        facts: ApprovalFacts::default(),
        subject: subject(1),
        last_of_bob: None,
        freezes: Windows::default(),
        expected: Expected::default(),
    };
    let mut tally = Tally::default();
    world.explore(&state, 0, &mut Vec::new(), &mut tally);
    // All orders with repetition: 7 + 7² + … + 7⁷, of which every seventh event is an admission.
    assert_eq!(tally.orders, (1..=DEPTH).map(|length| 7_u64.pow(length)).sum::<u64>());
    assert_eq!(tally.orders, 960_799);
    assert_eq!(tally.admissions, tally.orders / 7);
    assert!(tally.admitted > 1_000, "few orders lead to an admission: {tally:?}");
    println!("{tally:?}");
}
