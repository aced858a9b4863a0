//! Ready-made values, all of them valid.
//!
//! ```
//! use release_core::model::Span;
//! use release_core::plan::plan;
//! use release_testkit::fixtures::Shop;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shop = Shop::new().weights([25]).bake(Span::secs(600)).regions(["eu", "us", "asia"]);
//! let plan = plan(&shop.definition())?;
//! assert!(plan.steps().iter().any(|step| step.id.as_str() == "production/asia/web/weight-25"));
//! # Ok(())
//! # }
//! ```

mod shop;

use std::fmt;
use std::str::FromStr;

use release_core::model::{
    Analysis, ArtifactRef, Bound, Digest, Direction, Edition, Expected, Finite, Identity, Judge,
    Margin, Metric, Principal, RoleGrant, Selector, Sequential, Target, Timestamp, Unit,
};
use release_providers::Context;
use semver::Version;

pub use shop::{Shop, one_service};

/// The series that counts failed requests.
pub const FAILED_REQUESTS: &str = "http_requests_failed_total";
/// The series that counts all requests.
pub const ALL_REQUESTS: &str = "http_requests_total";

/// Reads a literal.
///
/// # Panics
/// When `text` is not valid: it is a literal of a test, which is then wrong.
#[track_caller]
#[expect(clippy::panic, reason = "a wrong literal is a fault of the test that has it")]
pub fn literal<T: FromStr<Err: fmt::Display>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("a literal is wrong: {error}"))
}

/// A semantic version, for example `1.2.0`.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn version(text: &str) -> Version {
    literal(text)
}

/// The content that stands for `version` of `service`.
pub fn content(service: &str, version: &str) -> Vec<u8> {
    format!("{service} {version}\n").into_bytes()
}

/// The digest of [`content`].
pub fn digest(service: &str, version: &str) -> Digest {
    Digest::of(&content(service, version))
}

/// The artifact whose content is [`content`].
///
/// # Panics
/// When `service` is not a name.
#[track_caller]
pub fn artifact(service: &str, version: &str) -> ArtifactRef {
    reference(service, digest(service, version))
}

/// A reference to the content `digest` under `name`.
///
/// # Panics
/// When `name` is not a name.
#[track_caller]
pub fn reference(name: &str, digest: Digest) -> ArtifactRef {
    ArtifactRef::new(literal(name), digest)
}

/// The target `production/eu/<service>`.
///
/// # Panics
/// When `service` is not a name.
#[track_caller]
pub fn target(service: &str) -> Target {
    target_in("production", "eu", service)
}

/// A target.
///
/// # Panics
/// When one of these is not a name.
#[track_caller]
pub fn target_in(environment: &str, region: &str, service: &str) -> Target {
    Target::new(literal(environment), literal(region), literal(service))
}

/// Ann, a developer, who asks for runs.
pub fn requester() -> Principal {
    Principal::human(literal("ann")).with_role(literal("developer"))
}

/// Bob, a release manager, who approves.
pub fn approver() -> Principal {
    Principal::human(literal("bob")).with_role(literal("release-manager"))
}

/// Eve, another release manager, where two have to agree.
pub fn second_approver() -> Principal {
    Principal::human(literal("eve")).with_role(literal("release-manager"))
}

/// Olga, who is on call and gives commands.
pub fn operator() -> Principal {
    Principal::human(literal("olga")).with_role(literal("on-call"))
}

/// A machine without roles.
pub fn robot() -> Principal {
    Principal::service(literal("ci"))
}

/// The accounts of all of these, with their roles since 1970, for a directory. Olga has a second account,
/// `olga-admin`, and the machine acts for Ann.
pub fn accounts() -> Vec<Identity> {
    let mut accounts = Vec::new();
    for person in [requester(), approver(), second_approver(), operator()] {
        let account = Identity::human(person.id.clone());
        accounts.push(person.roles.into_iter().fold(account, |account, role| {
            let (since, by) = (Timestamp::default(), literal("hr"));
            account.with(RoleGrant::new(role, since, by, "their job"))
        }));
    }
    let mut admin = Identity::human(literal("olga-admin"));
    admin.linked.insert(operator().id);
    let mut machine = Identity::service(robot().id);
    machine.acts_for.insert(requester().id);
    accounts.extend([admin, machine]);
    accounts
}

/// A context for calls outside a run, whose deadline never comes.
pub fn context(key: &str) -> Context {
    Context::new(key, Timestamp::from_micros(i64::MAX), robot())
}

/// The analysis `error-rate` as a comparison: three times the errors of the version from before have to be found.
pub fn compared_error_rate() -> Analysis {
    let finite = |value: f64| Finite::new(value).unwrap_or(Finite::ZERO);
    let rule = Sequential {
        direction: Direction::LowerIsBetter,
        unit: Unit::Share,
        margin: Margin { relative: finite(0.5), absolute: Finite::ZERO },
        expected: Expected {
            per_second: finite(50_000.0),
            value: finite(0.01),
            spread: Finite::ZERO,
            detect: finite(3.0),
        },
        alpha: finite(0.05),
        critical: false,
        warm_up: 0,
        baseline: None,
        comparisons: 1,
        edition: Edition::default(),
    };
    Analysis { judge: Judge::Sequential(rule), count: 80, ..error_rate() }
}

/// The analysis `error-rate`: at most 5 % of at least 20 requests fail.
pub fn error_rate() -> Analysis {
    let metric = Metric::Ratio {
        numerator: Selector::series(FAILED_REQUESTS),
        denominator: Selector::series(ALL_REQUESTS),
    };
    let limit = Bound::AtMost(Finite::new(0.05).unwrap_or(Finite::ZERO));
    Analysis { min_samples: 20, ..Analysis::new(literal("error-rate"), metric, limit) }
}
