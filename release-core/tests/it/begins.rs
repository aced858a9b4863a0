//! Analyses that begin later than their step is reached.

use release_core::model::{
    Analysis, BlueGreen, Canary, CanaryStep, Definition, Gate, Span, Strategy, Timestamp,
};
use release_core::plan::{Action, PlanError, PlanErrors, plan};
use release_core::port::Evidence;
use release_core::run::Outcome;

use super::comparing::{comparing, definition};
use super::support::drive::Run;
use super::support::looks::{go, part};
use super::support::samples::{approval, artifact, error_rate, id};

fn half() -> Strategy {
    Strategy::Canary(Canary {
        keep_old: Span::ZERO,
        ..Canary::new(vec![CanaryStep::new(50, Span::ZERO)])
    })
}

/// When it is first looked at.
fn first_look(begin_after: Option<Span>) -> Timestamp {
    let analysis = Analysis { begin_after, ..comparing(|_| {}) };
    let mut run = Run::start(&plan(&definition(half(), analysis)).unwrap().freeze());
    let mut first = None;
    let of = |version, look: u32| {
        let look = f64::from(look);
        Box::new(part(artifact("api", version).digest(), 100.0 * look, 10_000.0 * look))
    };
    let outcome = go(&mut run, "/errors", |look, now| {
        first.get_or_insert(now);
        Evidence::Comparison { canary: of("2.0.0", look), baseline: of("1.0.0", look) }
    });
    assert_eq!(outcome, Outcome::Succeeded);
    first.unwrap()
}

#[test]
fn an_analysis_is_not_looked_at_before_it_begins() {
    let (at_once, later) = (first_look(None), first_look(Some(Span::secs(90))));
    assert_eq!(later.since(at_once), Span::secs(90));
}

#[test]
fn when_an_analysis_begins_is_a_gate_of_its_step_and_bounded() {
    let soaked = |begin_after: Option<Span>| {
        let analysis = Analysis { begin_after, ..comparing(|_| {}) };
        let plan = plan(&definition(half(), analysis))?;
        let judge = plan.steps().iter().find(|step| matches!(step.action, Action::Analyze { .. }));
        Ok::<_, PlanErrors>(judge.unwrap().gates.clone())
    };
    assert_eq!(soaked(None).unwrap(), []);
    let delay = Span::secs(90);
    assert_eq!(soaked(Some(delay)).unwrap(), [Gate::Soak(delay)]);
    let PlanErrors(errors) = soaked(Some(Span::secs(1 << 40))).unwrap_err();
    assert!(
        errors.iter().all(|error| matches!(error, PlanError::TooLong { .. })) && !errors.is_empty(),
        "{errors:?}"
    );
}

/// Found in review: what a change of shares waits for took the place of the delay of the analysis that comes first, also where it
/// waits for nothing.
#[test]
fn an_analysis_that_stands_first_begins_later_too() {
    let delay = Span::secs(90);
    let delayed = || Analysis { begin_after: Some(delay), ..error_rate() };
    let gates = |definition: &Definition, name: &str| {
        let plan = plan(definition).unwrap();
        let step = plan.steps().iter().find(|step| step.id.as_str().ends_with(name));
        step.unwrap().gates.clone()
    };
    let mut before = definition(half(), delayed());
    before.stages[0].before_traffic = vec![id("errors")];
    assert_eq!(gates(&before, "/before-traffic/errors"), [Gate::Soak(delay)]);
    let green = BlueGreen { gates: vec![approval("go")], ..BlueGreen::default() };
    let mut switched = definition(Strategy::BlueGreen(green), delayed());
    switched.stages[0].before_traffic = vec![id("errors")];
    // Where the shares stay as they are, a step of a canary begins with what judges it.
    let again = CanaryStep { gates: vec![approval("go")], ..CanaryStep::new(20, Span::ZERO) };
    let twice = Canary::new(vec![CanaryStep::new(20, Span::ZERO), again]);
    let twice = definition(Strategy::Canary(twice), delayed());
    for (definition, name) in [(switched, "/before-traffic/errors"), (twice, "/weight-20-2/errors")]
    {
        let found = gates(&definition, name);
        let both = matches!(&found[..], [Gate::Approval(_), Gate::Soak(found)] if *found == delay);
        assert!(both, "{name}: {found:?}");
    }
}

#[test]
fn when_an_analysis_begins_is_written_only_where_it_is_said() {
    let delayed = Analysis { begin_after: Some(Span::secs(120)), ..comparing(|_| {}) };
    let json = serde_json::to_string(&delayed).unwrap();
    assert!(json.contains(r#""begin_after":"2m""#), "{json}");
    assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), delayed);
    assert!(!serde_json::to_string(&comparing(|_| {})).unwrap().contains("begin_after"));
}
