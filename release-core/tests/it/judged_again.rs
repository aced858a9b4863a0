//! A journal that was written before holds all that its findings follow from, of every judge.

use std::collections::BTreeMap;

use release_core::analysis::{Finding, Method, Trial};
use release_core::journal::{History, Record};
use release_core::model::{
    Analysis, Canary, CanaryStep, Metric, ScoreMethod, Selector, Sequential, Span, Strategy, Unit,
};
use release_core::plan::{FrozenPlan, Plan, plan};
use release_core::report::{RunReport, html};
use release_core::run::{Event, Outcome};

use super::comparing::{comparing, definition};
use super::journal::{golden, record, run_id, same_as_golden, seal_with_digests};
use super::support::drive::Run;
use super::support::looks::finite;
use super::support::samples::{error_rate, id};
use super::{burning, drifting, scorecards};

/// Journals of all judges, by the edition of their numbers. In the third, it is looked whether traffic is still routed as it was;
/// in the fourth, plans say that what is undetermined holds.
const NAMES: [(&str, Method); 4] = [
    ("0.1-judged-succeeded.jsonl", Method::FirstSequentialCounts),
    ("0.1-judged-2-succeeded.jsonl", Method::SequentialCounts),
    ("0.1-judged-3-succeeded.jsonl", Method::SequentialCounts),
    ("0.1-judged-4-succeeded.jsonl", Method::SequentialCounts),
];

/// A canary at whose first step all judges look, one after the other.
fn judged_by_all() -> FrozenPlan {
    let burn = Analysis { id: id("budget"), ..burning::burning(burning::rule()) };
    let drift = drifting::drifting(drifting::latency(), drifting::rule());
    let card = |method| scorecards::card(method, scorecards::two());
    let score = scorecards::scoring(card(ScoreMethod::NetflixAca { seed: 1 }), 30);
    let strict =
        Analysis { id: id("strict"), ..scorecards::scoring(card(ScoreMethod::default()), 30) };
    let limit = Analysis { id: id("limit"), count: 3, ..error_rate() };
    let metrics = [
        ("mean", Metric::Mean { sum: Selector::series("seconds"), count: Selector::series("all") }),
        ("tail", Metric::Quantile { histogram: Selector::series("took"), quantile: finite(0.99) }),
    ];
    let [mean, tail] = metrics.map(|(name, metric)| {
        let change = |rule: &mut Sequential| {
            (rule.unit, rule.expected.spread) = (Unit::Seconds, finite(0.01));
            rule.expected.value = finite(0.2);
        };
        Analysis { id: id(name), metric, ..comparing(change) }
    });
    let others = [burn, drift, score, strict, limit, mean, tail];
    let names = others.iter().map(|analysis| analysis.id.clone()).collect();
    let step = CanaryStep { analyses: names, ..CanaryStep::new(50, Span::ZERO) };
    let canary = Canary { keep_old: Span::ZERO, ..Canary::new(vec![step]) };
    let mut definition = definition(Strategy::Canary(canary), comparing(|_| {}));
    definition.analyses.extend(others);
    plan(&definition).unwrap().freeze()
}

#[test]
fn the_golden_run_of_all_judges_is_still_sealed_byte_for_byte() {
    let plan = judged_by_all();
    let mut run = Run::start(&plan);
    assert_eq!(run.heal(1_000), Outcome::Succeeded);
    same_as_golden(NAMES[3].0, &plan, seal_with_digests(&plan, &run));
}

/// Before limits told findings, nothing of them was kept but what they said.
#[test]
fn reports_of_older_runs_say_nothing_of_limits_that_told_nothing() {
    let page = |name: &str| {
        let text = std::fs::read_to_string(golden().join(name)).unwrap();
        let mut lines = text.lines();
        let plan = Plan::decode(lines.next().unwrap().as_bytes()).unwrap();
        let records: Vec<Record> = lines.map(record).collect();
        let history = History::verify(&run_id(), &records).unwrap();
        html("a run", &[], &[RunReport::new(&history, plan).unwrap()])
    };
    for name in ["0.1-shop-succeeded.jsonl", "0.1-looks-succeeded.jsonl"] {
        let page = page(name);
        assert!(
            !page.contains("Nothing was measured") && !page.contains("not evaluated"),
            "{name}"
        );
    }
    assert!(page("0.1-limits-succeeded.jsonl").contains("how far the value is beyond its limit"));
}

#[test]
fn every_finding_of_the_golden_runs_is_found_again_to_the_last_bit() {
    for (name, counts) in NAMES {
        found_again(name, counts);
    }
}

fn found_again(name: &str, counts: Method) {
    let text = std::fs::read_to_string(golden().join(name)).unwrap();
    let mut lines = text.lines();
    let plan = Plan::decode(lines.next().unwrap().as_bytes()).unwrap();
    let records: Vec<Record> = lines.map(record).collect();
    let history = History::verify(&run_id(), &records).unwrap();
    let mut trials: BTreeMap<u32, Trial> = BTreeMap::new();
    let mut methods: Vec<(Method, u32)> = Vec::new();
    for fact in history.facts() {
        let (Event::StepMeasured { step, evidence, finding: Some(finding), .. }
        | Event::StepSucceeded { step, evidence, finding: Some(finding), .. }) = &fact.event
        else {
            continue;
        };
        let action = plan.plan().steps()[step.index as usize].action.clone();
        let trial = trials.entry(step.index).or_insert_with(|| Trial::new(action).unwrap());
        let (again, _) = trial.look(fact.at, evidence).unwrap();
        let json = |finding: &Finding| serde_json::to_string(finding).unwrap();
        assert_eq!(json(&again), json(finding), "record {step:?}");
        match methods.iter_mut().find(|(method, _)| *method == finding.method) {
            Some((_, looks)) => *looks += 1,
            None => methods.push((finding.method, 1)),
        }
    }
    let looks =
        |method| methods.iter().find(|(of, _)| *of == method).map_or(0, |(_, looks)| *looks);
    for (method, least) in [
        (counts, 16),
        (Method::SequentialMeans, 8),
        (Method::BurnRate, 3),
        (Method::Cusum, 40),
        (Method::NetflixAca, 30),
        (Method::Strict, 30),
        (Method::Threshold, 3),
    ] {
        assert!(looks(method) >= least, "{method}: {methods:?}");
    }
}
