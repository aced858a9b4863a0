//! Decisions of a policy, beside `cedar-policy` with as many rules of the same meaning.
//!
//! - «admission»: one decision about a step, by 1,000 rules, 200 windows and 50 grants, with its reasons, leaves
//!   and digests; Cedar decides by the rules alone, its request and entities made before, once;
//! - «grants»: the same, with 10 to 100,000 grants in the directory;
//! - «compare»: 100,000 recorded decisions, made again under two policies.
//!
//! `ours policy` tells the slowest decisions.

use benches::policy;
use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use criterion::{Criterion, criterion_group, criterion_main};
use release_core::plan::Step;
use release_core::port::{Admission, Policy};
use release_policy::decision::{Recorded, compare};

/// A benchmark that fails must not give figures.
#[expect(clippy::panic, reason = "criterion has no other way to stop")]
fn sure<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

fn decide(criterion: &mut Criterion, group: &str, name: &str, book: &dyn Policy) {
    let (run, who, at) = (sure(policy::run()), sure(policy::person()), sure(policy::noon()));
    let steps = sure(policy::steps());
    for step in &steps {
        let decision = book.admit(&Admission::new(&run, &who, step, at));
        assert!(decision.is_permit(), "{decision:?}");
    }
    let mut all = steps.iter().cycle();
    let mut group = criterion.benchmark_group(group);
    group.bench_function(name, |bencher| {
        bencher.iter(|| all.next().map(|step| book.admit(&Admission::new(&run, &who, step, at))));
    });
    group.finish();
}

/// A request about a step, as Cedar has it, with its entities.
fn in_cedar(step: &Step) -> (Request, Entities) {
    let uid = |text: &str| -> EntityUid { sure(text.parse()) };
    let service = step.scope.place().and_then(|place| place.service.clone());
    let service = uid(&format!("Release::Service::\"{}\"", sure(service.ok_or("no service"))));
    let entity = |id: &EntityUid, parents: &[EntityUid]| {
        sure(Entity::new(id.clone(), [].into(), parents.iter().cloned().collect()))
    };
    let resource = uid(&format!("Release::Step::\"{}\"", step.id));
    let (principal, action) =
        (uid("Release::Person::\"person-0\""), uid("Release::Action::\"deploy\""));
    let entities = [
        entity(&principal, &[]),
        entity(&action, &[]),
        entity(&service, &[]),
        entity(&resource, std::slice::from_ref(&service)),
    ];
    let risk =
        RestrictedExpression::new_record([("risk".to_owned(), RestrictedExpression::new_long(10))]);
    let context = sure(Context::from_pairs([("facts".to_owned(), sure(risk))]));
    let request = sure(Request::new(principal, action, resource, context, None));
    (request, sure(Entities::from_entities(entities, None)))
}

fn admission(criterion: &mut Criterion) {
    let name = "policy/admission by 1,000 rules";
    decide(
        criterion,
        name,
        "release, with 200 windows and 50 grants",
        &sure(policy::book(1_000, 200, 50)),
    );
    let set: PolicySet = sure(sure(policy::in_cedar(1_000)).parse());
    let asked: Vec<_> = sure(policy::steps()).iter().map(in_cedar).collect();
    let authorizer = Authorizer::new();
    for (request, entities) in &asked {
        let response = authorizer.is_authorized(request, &set, entities);
        assert!(response.decision() == cedar_policy::Decision::Allow, "{response:?}");
    }
    let mut all = asked.iter().cycle();
    let mut group = criterion.benchmark_group(name);
    group.bench_function("cedar-policy", |bencher| {
        bencher.iter(|| {
            all.next().map(|(request, entities)| authorizer.is_authorized(request, &set, entities))
        });
    });
    group.finish();
}

fn grants(criterion: &mut Criterion) {
    for count in [10, 1_000, 100_000] {
        let book = sure(policy::book(1_000, 200, count));
        decide(criterion, "policy/grants", &format!("release/{count}"), &book);
    }
}

fn compared(criterion: &mut Criterion) {
    let (plan, journals) = sure(policy::journals(1_000));
    let recorded: Vec<_> =
        journals.iter().map(|history| Recorded { history, plan: &plan }).collect();
    let (before, after) = (sure(policy::open_rules(false)), sure(policy::open_rules(true)));
    let found = sure(compare(&before, &after, &recorded));
    assert!(found.decisions == 100_000 && !found.blocked.is_empty(), "{}", found.decisions);
    let mut group = criterion.benchmark_group("policy/compare");
    group.sample_size(10);
    group.bench_function("release, 100,000 decisions", |bencher| {
        bencher.iter(|| sure(compare(&before, &after, &recorded)));
    });
    group.finish();
}

criterion_group!(policies, admission, grants, compared);
criterion_main!(policies);
