//! A policy of many rules, windows and grants, and requests that it is asked.

use std::fmt::Write as _;

use release_core::journal::{History, Sealer};
use release_core::model::{
    Identity, Principal, Reach, RoleGrant, RunId, ServiceId, Span, Timestamp,
};
use release_core::plan::{Action, FrozenPlan, Place, Plan, Step, StepScope, Undo};
use release_core::port::Evidence;
use release_core::run::{Event, Mode, Outcome, StepRef};
use release_policy::decision::{Condition, Facts, PolicyBook, PolicySet, Rule, Test};
use release_policy::directory::Directory;
use release_policy::rbac::{Access, Action as May, Rbac, Role, Rules};
use release_policy::window::{Scope, When};
use release_policy::{WindowSpec, Windows};

use crate::Failure;

/// How many services the rules tell apart.
pub const SERVICES: usize = 100;

/// Thursday 26 November 2026, noon.
///
/// # Errors
/// Never: it is a literal.
pub fn noon() -> Result<Timestamp, Failure> {
    Ok("2026-11-26T12:00:00Z".parse()?)
}

fn service(index: usize) -> Result<ServiceId, Failure> {
    Ok(format!("service-{}", index % SERVICES).parse()?)
}

fn in_service(index: usize) -> Result<Condition, Failure> {
    let services = [service(index)?].into();
    let environments = ["production".parse()?].into();
    Ok(Condition::In(Scope { services, environments, ..Scope::default() }))
}

/// A tenth of the rules allow, each for a service in production; the others deny there what is too risky.
fn rules(count: usize) -> Result<PolicySet, Failure> {
    let one = |index: usize| -> Result<Rule, Failure> {
        let place = in_service(index)?;
        Ok(if index < count / 10 {
            Rule::allow(format!("usual-{index}"), place, "platform")
        } else {
            let least = i64::try_from(60 + index % 40)?;
            let risk = Condition::Fact { name: "risk".into(), is: Test::AtLeast(least) };
            Rule::deny(format!("risky-{index}"), Condition::All(vec![place, risk]), "sre")
        })
    };
    Ok(PolicySet::new((0..count).map(one).collect::<Result<Vec<_>, _>>()?)?)
}

/// The same rules in Cedar.
///
/// # Errors
/// Never: text takes all that is written to it.
pub fn in_cedar(count: usize) -> Result<String, Failure> {
    let mut all = String::new();
    for index in 0..count {
        let (effect, name, when) = if index < count / 10 {
            ("permit", "usual", String::new())
        } else {
            let least = 60 + index % 40;
            (
                "forbid",
                "risky",
                format!(" when {{ context.facts has risk && context.facts.risk >= {least} }}"),
            )
        };
        let service = service(index)?;
        writeln!(
            all,
            "@id(\"{name}-{index}\") @owner(\"sre\") {effect} (principal, action, resource in \
             Release::Service::\"{service}\"){when};"
        )?;
    }
    Ok(all)
}

/// Nightly freezes, each of one service.
fn windows(count: usize) -> Result<Windows, Failure> {
    let one = |index: usize| -> Result<_, Failure> {
        let when = When::cron("0 22 * * *", "8h");
        let id = format!("night-{index}").parse()?;
        let spec = WindowSpec::freeze(id, when, "sre".parse()?, "nobody is there");
        Ok(spec.zone("Europe/Berlin").of_service(service(index)?).build()?)
    };
    Ok(Windows::new((0..count).map(one).collect::<Result<Vec<_>, _>>()?)?)
}

/// People with five grants each; everybody may deploy anywhere in production.
fn rights(grants: usize) -> Result<Rbac, Failure> {
    let role = Role::new("release-manager".parse()?).may([May::Deploy, May::Cancel]);
    let at = noon()?;
    let person = |index: usize| -> Result<Identity, Failure> {
        let mut who = Identity::human(format!("person-{index}").parse()?);
        for nth in 0..5 {
            let role = if nth == 0 { "release-manager" } else { "reader" };
            let given = RoleGrant::new(role.parse()?, at, "hr".parse()?, "their job");
            let reach = Reach::environment("production".parse()?);
            who = who.with(RoleGrant { reach, ..given });
        }
        Ok(who)
    };
    let people = (0..grants.div_ceil(5)).map(person).collect::<Result<Vec<_>, _>>()?;
    let directory = Directory::new(1, at, people, [])?;
    Ok(Rbac::new(Access::new(Rules::new([role], [])?, directory, Span::secs(3_600))))
}

/// A book of so many rules, windows and grants, which knows of the run [`run`] that its risk is 10.
///
/// # Errors
/// Never for counts within the limits of `release-policy`.
pub fn book(count: usize, many_windows: usize, grants: usize) -> Result<PolicyBook, Failure> {
    let set = rules(count)?.windows(windows(many_windows)?).rights(rights(grants)?);
    Ok(PolicyBook::new(set).with_facts(run()?, Facts::new().number("risk", 10)))
}

/// Rules alone: for what is asked of recorded runs, too, whose risk nobody knows.
///
/// # Errors
/// Never.
pub fn open_rules(frozen: bool) -> Result<PolicySet, Failure> {
    let anything = Rule::allow("anything", Condition::Always, "platform");
    let set = PolicySet::new([anything])?;
    Ok(if frozen { set.windows(windows(SERVICES)?) } else { set })
}

/// The run that requests are of.
///
/// # Errors
/// Never: it is a literal.
pub fn run() -> Result<RunId, Failure> {
    Ok("bench".parse()?)
}

/// Who asks.
///
/// # Errors
/// Never: it is a literal.
pub fn person() -> Result<Principal, Failure> {
    Ok(Principal::human("person-0".parse()?))
}

/// A step of each service, in production.
///
/// # Errors
/// Never.
pub fn steps() -> Result<Vec<Step>, Failure> {
    (0..SERVICES)
        .map(|index| {
            let input = serde_json::Value::Null;
            let action = Action::Custom { capability: "deploy".into(), input };
            let kept = Undo::point_of_no_return("it is a benchmark", "lead".parse()?);
            let service = service(index)?;
            let mut step = Step::new(format!("production/{service}").parse()?, action).undo(kept);
            let mut place = Place::new("production".parse()?);
            place.service = Some(service);
            step.scope = StepScope::of(place);
            Ok(step)
        })
        .collect()
}

/// Journals of runs that went through all of [`steps`], and their plan.
///
/// # Errors
/// Never.
pub fn journals(count: usize) -> Result<(FrozenPlan, Vec<History>), Failure> {
    let mut plan = Plan::builder("bench".parse()?, "bench".parse()?);
    for step in steps()? {
        plan.step(step);
    }
    let plan = plan.build().map_err(|errors| errors.to_string())?.freeze();
    let journals = (0..count).map(|number| journal(&plan, number)).collect::<Result<_, _>>()?;
    Ok((plan, journals))
}

/// One run, an hour after the one before.
fn journal(plan: &FrozenPlan, number: usize) -> Result<History, Failure> {
    let run: RunId = format!("run-{number}").parse()?;
    let mut at = noon()?.plus(Span::secs(3_600 * u64::try_from(number)?));
    let created = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        requester: person()?,
        supersedes: None,
        policy: None,
    };
    let mut sealer = Sealer::new(&run);
    let mut records = vec![sealer.seal(at, &created)];
    for (index, step) in (0_u32..).zip(plan.plan().steps()) {
        let step = StepRef { index, id: step.id.clone() };
        let begun =
            Event::StepStarted { step: step.clone(), attempt: 1, mode: Mode::Perform, basis: None };
        records.push(sealer.seal(at, &begun));
        at = at.plus(Span::secs(1));
        let done = Event::StepSucceeded {
            step,
            evidence: Evidence::Done,
            because: None,
            basis: None,
            finding: None,
        };
        records.push(sealer.seal(at, &done));
    }
    records.push(sealer.seal(at, &Event::RunFinished { outcome: Outcome::Succeeded }));
    Ok(History::verify(&run, &records)?)
}
