//! What the tests of decisions share.

use release_core::model::{Digest, Principal, RunId, Timestamp};
use release_core::plan::{Action, Place, Step, StepScope};
use release_core::port::{Admission, Decision, Policy};
use release_policy::approval::Subject;
use release_policy::decision::{Condition, PolicySet, Rule, Test};

pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

pub(crate) fn set(rules: &[Rule]) -> PolicySet {
    PolicySet::new(rules.to_vec()).unwrap()
}

pub(crate) fn risk(is: Test) -> Condition {
    Condition::Fact { name: "risk".into(), is }
}

pub(crate) fn step() -> Step {
    let mut step = Step::new(id("production/api"), Action::Sync);
    step.scope = StepScope::of(Place::new(id("production")));
    step
}

/// Asks about a step in production at second 100.
pub(crate) fn ask(policy: &dyn Policy, pinned: Option<Digest>) -> Decision {
    let (run, ann): (RunId, _) = (id("r"), Principal::human(id("ann")));
    policy.admit(&Admission::new(&run, &ann, &step(), at(100)).pinned(pinned))
}

/// A subject, each part of which is another.
pub(crate) fn subject() -> Subject {
    let part = |name: &str| Digest::of(name.as_bytes());
    Subject {
        plan: part("plan"),
        artifacts: part("artifacts"),
        environment: part("environment"),
        policy: part("policy"),
        evidence: part("evidence"),
    }
}
