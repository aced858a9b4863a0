//! No traffic without evidence: what was measured of the new version before it gets any, and what findings say of limits.

use release_core::analysis::{Conclusion, Finding, Method, Scale};
use release_core::model::{
    Analysis, BlueGreen, Bound, Canary, CanaryStep, Copies, Definition, Digest, Experiment,
    ExperimentTemplate, HeaderRule, Judge, Metric, Other, RollForwardOnly, Rolling, Selector,
    Service, Span, Strategy, TemplateVersion, Threshold, Tier, Undecided, Unit, Unmeasured,
    VersionSet,
};
use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
use release_core::plan::{Action, Plan, PlanError, PlanErrors, Planner, plan};
use release_core::port::{Bucket, Evidence, Measurement};
use release_core::run::{Event, Outcome, Verdict};
use release_core::time::Timestamp;

use super::comparing::definition;
use super::support::drive::Run;
use super::support::looks::{findings, finite, go_on, page, part, repeat};
use super::support::samples::{artifact, error_rate, id};

type Say = fn(u32, Timestamp) -> Measurement;

const LOOK: &str = "/before-traffic/errors";

fn new() -> Digest {
    artifact("api", "2.0.0").digest()
}

/// A canary that has to be looked at twice by `analysis`, with 50 samples at the least, before it gets traffic.
fn waiting(analysis: Analysis) -> Run {
    let steps = vec![CanaryStep::new(50, Span::ZERO)];
    let canary = Canary { keep_old: Span::ZERO, ..Canary::new(steps) };
    let analysis = Analysis { min_samples: 50, count: 2, inconclusive_limit: 3, ..analysis };
    let mut definition = definition(Strategy::Canary(canary), analysis);
    definition.stages[0].before_traffic = vec![id("errors")];
    Run::start(&plan(&definition).unwrap().freeze())
}

/// The greatest share that the new version got.
fn reached(run: &Run) -> u8 {
    let shares = run.facts.iter().filter_map(|fact| {
        let Event::StepStarted { step, .. } = &fact.event else { return None };
        let Action::Route { weights, .. } = &run.state.plan().get(step.index)?.action else {
            return None;
        };
        Some(weights.iter().filter(|to| to.digest == new()).map(|to| to.percent).sum())
    });
    shares.max().unwrap_or(0)
}

fn verdicts(run: &Run) -> Vec<Verdict> {
    let measured = run.facts.iter().filter_map(|fact| match &fact.event {
        Event::StepMeasured { step, verdict, .. } if step.id.as_str().ends_with(LOOK) => {
            Some(*verdict)
        }
        _ => None,
    });
    measured.collect()
}

#[test]
fn a_plan_tells_which_versions_nobody_measured_before_their_first_traffic() {
    let analysis = Analysis { min_samples: 50, ..error_rate() };
    let steps = vec![CanaryStep::new(10, Span::ZERO), CanaryStep::new(50, Span::ZERO)];
    let strategies = [
        Strategy::Canary(Canary { keep_old: Span::ZERO, ..Canary::new(steps) }),
        Strategy::BlueGreen(BlueGreen::default()),
    ];
    for (strategy, first) in
        strategies.into_iter().zip(["prod/eu/api/weight-10", "prod/eu/api/switch"])
    {
        let mut definition = definition(strategy, analysis.clone());
        assert_eq!(unmeasured(&definition), [first]);
        definition.stages[0].before_traffic = vec![id("errors")];
        assert_eq!(unmeasured(&definition), [""; 0]);
    }
}

fn unmeasured(definition: &Definition) -> Vec<String> {
    let plan = plan(definition).unwrap();
    plan.unmeasured_before_traffic().into_iter().map(ToString::to_string).collect()
}

/// Found in review: only shares were looked at, and those whom headers bring to a version are users of it.
#[test]
fn whom_headers_bring_to_a_version_is_traffic_and_copies_are_none() {
    let headers = vec![HeaderRule::exact("x-canary", "yes")];
    let with = |first: CanaryStep| {
        let canary = Canary::new(vec![first, CanaryStep::new(50, Span::ZERO)]);
        definition(Strategy::Canary(canary), Analysis { min_samples: 50, ..error_rate() })
    };
    let step = || CanaryStep::new(0, Span::ZERO);
    let steered = with(CanaryStep { headers: headers.clone(), ..step() });
    assert_eq!(unmeasured(&steered), ["prod/eu/api/weight-0"]);
    let green = BlueGreen { preview_headers: headers, ..BlueGreen::default() };
    let green = definition(Strategy::BlueGreen(green), error_rate());
    assert_eq!(unmeasured(&green), ["prod/eu/api/preview/route"]);
    // What is answered to copies, nobody gets; and it is measured before the share comes.
    let copied = with(CanaryStep { mirror: Some(Copies::of(10)), ..step() });
    assert_eq!(unmeasured(&copied), [""; 0]);
    for mut definition in [steered, green] {
        definition.stages[0].before_traffic = vec![id("errors")];
        assert_eq!(unmeasured(&definition), [""; 0]);
    }
}

/// Found in review: nothing follows of a dry run, whatever it finds, and it was taken for evidence.
#[test]
fn a_dry_run_is_no_evidence() {
    let previewed = |dry_run| {
        let green = BlueGreen { preview_analyses: vec![id("look")], ..BlueGreen::default() };
        let mut definition = definition(Strategy::BlueGreen(green), error_rate());
        definition.analyses.push(Analysis { id: id("look"), dry_run, ..error_rate() });
        definition
    };
    assert_eq!(unmeasured(&previewed(false)), [""; 0]);
    assert_eq!(unmeasured(&previewed(true)), ["prod/eu/api/switch"]);
    assert!(Planner::new().plan(&previewed(false)).is_ok());
    assert!(Planner::new().plan(&previewed(true)).is_err());
}

/// Found in review: what was measured of a version on a track was not seen where its other instances get traffic.
#[test]
fn what_is_measured_on_a_track_is_measured_of_the_version() {
    let with = |of: TemplateVersion, analyses: Vec<_>| {
        let set = ExperimentTemplate::new(id("fresh"), of, 1);
        let experiment = Experiment { analyses, ..Experiment::of([set], Span::secs(60)) };
        let first = CanaryStep { experiment: Some(experiment), ..CanaryStep::new(0, Span::ZERO) };
        let canary = Canary::new(vec![first, CanaryStep::new(50, Span::ZERO)]);
        definition(Strategy::Canary(canary), error_rate())
    };
    let judged = with(TemplateVersion::New, vec![id("errors")]);
    assert_eq!(unmeasured(&judged), [""; 0]);
    assert!(Planner::new().plan(&judged).is_ok());
    for silent in [with(TemplateVersion::New, vec![]), with(TemplateVersion::Old, vec![])] {
        assert_eq!(unmeasured(&silent), ["prod/eu/api/weight-50"]);
    }
}

/// Found in review: the quick way back has no previews, and was refused in the middle of an incident.
#[test]
fn a_version_that_was_live_a_short_while_ago_comes_back_without_evidence() {
    let green = BlueGreen { preview_analyses: vec![id("errors")], ..BlueGreen::default() };
    let mut definition = definition(Strategy::BlueGreen(green), error_rate());
    assert!(Planner::new().plan(&definition).is_ok());
    definition.stages[0].rollback_window = 1;
    definition.release.recent = vec![definition.release.versions.clone()];
    assert_eq!(unmeasured(&definition), ["prod/eu/api/switch"]);
    assert!(Planner::new().plan(&definition).is_ok());
    // Who owns the planner has the last word.
    assert!(Planner::new().measured_before_traffic(true).plan(&definition).is_err());
    // What was live longer ago is as any other.
    let green = Strategy::BlueGreen(BlueGreen::default());
    let others = VersionSet::new().with(id("api"), id("0.9.0"), artifact("api", "0.9.0"));
    definition.release.recent.insert(0, others);
    definition.stages[0].strategy = green;
    assert!(Planner::new().plan(&definition).is_err());
    definition.stages[0].rollback_window = 2;
    assert!(Planner::new().plan(&definition).is_ok());
}

/// The old version is looked at before it gets back what it gave up, and served before all of that.
#[test]
fn the_version_from_before_is_none_that_nobody_measured() {
    let steps = [50, 20].map(|weight| CanaryStep::new(weight, Span::ZERO)).to_vec();
    let mut falling = definition(Strategy::Canary(Canary::new(steps)), error_rate());
    assert_eq!(unmeasured(&falling), ["prod/eu/api/weight-50"]);
    falling.stages[0].before_traffic = vec![id("errors")];
    assert_eq!(unmeasured(&falling), [""; 0]);
}

/// Starts the new version, and gives it all of the traffic.
#[derive(Debug)]
struct Blind;

impl RolloutStrategy for Blind {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let mut steps = vec![site.scale_new("start", site.replicas())?, site.route("all", 100)?];
        steps.extend(site.judge("", &[], &steps)?);
        Ok(Rollout { finale: site.retire(Span::ZERO)?, ..Rollout::of(steps) })
    }
}

fn one_way() -> RollForwardOnly {
    RollForwardOnly { by: id("ann"), reason: "1.0.0 is not kept".into(), services: Vec::new() }
}

/// Found in review: only what a plan looked for was taken for new, and this looks for nothing.
#[test]
fn a_version_that_is_started_and_never_looked_at_is_new_all_the_same() {
    let planner = || Planner::new().strategy("blind", |_| Ok(Box::new(Blind)));
    let other = Other { name: "blind".into(), with: serde_json::Value::Null };
    let mut blind = definition(Strategy::Other(other), error_rate());
    let refused = |blind: &Definition| {
        let PlanErrors(errors) = planner().plan(blind).unwrap_err();
        let [PlanError::UnmeasuredBeforeTraffic { steps, more: 0 }] = &errors[..] else {
            panic!("{errors:?}");
        };
        steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(refused(&blind), ["prod/eu/api/all"]);
    let whole = planner().measured_before_traffic(false).plan(&blind).unwrap();
    let told: Vec<_> =
        whole.unmeasured_before_traffic().into_iter().map(ToString::to_string).collect();
    assert_eq!(told, ["prod/eu/api/all"]);
    // Also where nothing can be undone, which would say that it was not there.
    let back = blind.release.roll_forward_only.replace(one_way());
    assert_eq!(refused(&blind), ["prod/eu/api/all"]);
    blind.release.roll_forward_only = back;
    blind.stages[0].before_traffic = vec![id("errors")];
    assert!(planner().plan(&blind).is_ok());
}

/// What makes room stops some of the old version, and starts none of it.
#[test]
fn a_version_of_which_fewer_run_is_not_started() {
    let rolling = Rolling { max_unavailable: 1.into(), ..Rolling::new(2) };
    let mut rolled = definition(Strategy::Rolling(rolling), error_rate());
    assert_eq!(unmeasured(&rolled), ["prod/eu/api/batch-1/serve"]);
    rolled.stages[0].before_traffic = vec![id("errors")];
    assert_eq!(unmeasured(&rolled), [""; 0]);
    rolled.release.roll_forward_only = Some(one_way());
    assert_eq!(unmeasured(&rolled), [""; 0]);
    assert!(Planner::new().plan(&rolled).is_ok());
}

#[test]
fn a_planner_refuses_unmeasured_versions_in_production() {
    let mut definition = definition(Strategy::Rolling(Rolling::new(2)), error_rate());
    // As many services as are named, and five more.
    for number in 2..=25 {
        let service = format!("api-{number}");
        definition.services.push(Service::new(id(&service), id("team-a")));
        for (set, version) in [
            (&mut definition.release.versions, "2.0.0"),
            (&mut definition.release.previous, "1.0.0"),
        ] {
            let artifact = artifact(&service, version);
            *set = std::mem::take(set).with(id(&service), id(version), artifact);
        }
    }
    let careful = || Planner::new().measured_before_traffic(true);
    assert_eq!(unmeasured(&definition).len(), 25);
    assert!(Planner::new().measured_before_traffic(false).plan(&definition).is_ok());
    let refused = careful().plan(&definition).unwrap_err();
    let [PlanError::UnmeasuredBeforeTraffic { steps, more }] = &refused.0[..] else {
        panic!("{refused}");
    };
    assert_eq!((steps.len(), *more), (20, 5));
    let told: Vec<_> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(told, unmeasured(&definition)[..20]);
    let text = refused.to_string();
    for part in
        ["steps `", "`prod/eu/api/batch-1/serve`", "` and 5 more: users", "`before_traffic`"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    // In other tiers nobody is served in earnest.
    let mut staging = definition.clone();
    staging.environments[0].tier = Tier::Staging;
    assert_eq!(unmeasured(&staging).len(), 25);
    assert!(careful().plan(&staging).is_ok());
    definition.stages[0].before_traffic = vec![id("errors")];
    assert!(careful().plan(&definition).is_ok());
}

#[test]
fn a_planner_wants_evidence_in_production_or_a_word_why_there_is_none() {
    let mut definition = definition(Strategy::BlueGreen(BlueGreen::default()), error_rate());
    let planned = |definition: &Definition| Planner::new().plan(definition);
    let is_refused = |definition: &Definition| {
        let PlanErrors(errors) = planned(definition).unwrap_err();
        assert!(matches!(&errors[..], [PlanError::UnmeasuredBeforeTraffic { .. }]), "{errors:?}");
    };
    is_refused(&definition);
    // What is not going to run is planned as it was before there was such a rule, byte for byte.
    let whole = plan(&definition).unwrap();
    assert!(whole.unmeasured_by_word().is_empty());
    assert!(!serde_json::to_string(&whole).unwrap().contains("unmeasured"));
    assert!(!serde_json::to_string(&definition).unwrap().contains("unmeasured"));

    // A word that says nothing is none.
    definition.stages[0].unmeasured = Some(Unmeasured::because(" "));
    for refused in [planned(&definition), plan(&definition)] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("`unmeasured` has no `reason`; say why"), "{text}");
    }
    let word = Unmeasured::because("nobody sends synthetic requests");
    definition.stages[0].unmeasured = Some(word.clone());
    let accepted = planned(&definition).unwrap();
    let kept = |plan: &Plan| plan.unmeasured_by_word().clone().into_iter().collect::<Vec<_>>();
    assert_eq!(kept(&accepted), [(id("prod"), word)]);
    let read = Plan::decode(&serde_json::to_vec(&accepted).unwrap()).unwrap();
    assert_eq!(kept(read.plan()), kept(&accepted));
    let text = page(&Run::start(&accepted.freeze()));
    assert!(text.contains("<dt>unmeasured in prod</dt>"), "{text}");
    assert!(text.contains("nobody sends synthetic requests"), "{text}");
    // Who owns the planner has the last word.
    assert!(Planner::new().measured_before_traffic(true).plan(&definition).is_err());

    // Where nothing served before, nobody's version is replaced.
    definition.stages[0].unmeasured = None;
    definition.release.previous = VersionSet::new();
    assert!(planned(&definition).is_ok());
    assert!(Planner::new().measured_before_traffic(true).plan(&definition).is_err());
}

#[test]
fn without_evidence_of_the_new_version_it_gets_no_traffic() {
    let query = || {
        let metric = Metric::Query { query: "errors".into() };
        let limits = Threshold::new(error_rate().success().unwrap()).of(Unit::Share);
        let judge = Judge::Threshold(limits);
        Analysis { metric, judge, min_samples: 0, ..error_rate() }
    };
    let no_data: Say = |_, _| Measurement::NoData { reason: "silence".into() };
    let of_the_old: Say =
        |look, _| part(artifact("api", "1.0.0").digest(), 0.0, 100.0 * f64::from(look));
    let too_few: Say = |look, _| part(new(), 0.0, 9.0 + f64::from(look));
    let the_same: Say = |look, _| part(new(), 0.0, if look == 1 { 100.0 } else { 200.0 });
    let stale: Say = |_, now| Measurement::Value {
        digest: new(),
        value: finite(0.0),
        at: Timestamp::from_micros(now.as_micros() - 3_600_000_000),
    };
    for (what, analysis, say) in [
        ("no data", error_rate(), no_data),
        ("another version", error_rate(), of_the_old),
        ("too few samples", error_rate(), too_few),
        ("stale samples", query(), stale),
    ] {
        for undecided in [Undecided::Fail, Undecided::Hold] {
            let mut run = waiting(Analysis { undecided, ..analysis.clone() });
            let outcome = go_on(&mut run, LOOK, |look, at| Evidence::Measurement(say(look, at)));
            assert_eq!(reached(&run), 0, "{what}: {outcome:?}");
            assert_eq!(verdicts(&run), [Verdict::Inconclusive; 3], "{what}");
            let found = findings(&run, LOOK);
            assert_eq!(found.len(), 4, "{what}: as often as is tolerated, and once more");
            let nothing = |found: &Finding| found.conclusion == Conclusion::NoData;
            assert!(found.iter().all(nothing), "{what}: {found:?}");
            let back = matches!(outcome, Some(Outcome::RolledBack { .. } | Outcome::Failed { .. }));
            assert_eq!(back, undecided == Undecided::Fail, "{what}: {outcome:?}");
            assert_eq!(repeat(&run, LOOK), 4, "{what}");
        }
    }
    // Two looks that tell are a reason to go on, whatever is between them.
    let mut run = waiting(error_rate());
    let told = go_on(&mut run, LOOK, |look, at| Evidence::Measurement(the_same(look, at)));
    assert_eq!((told, reached(&run)), (Some(Outcome::Succeeded), 100));
    let mut run = waiting(error_rate());
    let seen = |look: u32, at| match look {
        2 => no_data(look, at),
        _ => part(new(), 0.0, 100.0 * f64::from(look)),
    };
    let told = go_on(&mut run, LOOK, |look, at| Evidence::Measurement(seen(look, at)));
    assert_eq!((told, reached(&run)), (Some(Outcome::Succeeded), 100));
    assert_eq!(verdicts(&run), [Verdict::Pass, Verdict::Inconclusive]);
}

#[test]
fn a_limit_tells_the_value_how_far_it_is_beyond_and_where_it_may_lie() {
    let [success, failure] = [0.05, 0.1].map(|limit| Bound::AtMost(finite(limit)));
    let limits = Threshold { unit: Some(Unit::Share), ..Threshold::between(success, failure) };
    let mut run = waiting(Analysis { judge: Judge::Threshold(limits), ..error_rate() });
    let looks = [[2.0, 100.0], [14.0, 200.0], [60.0, 300.0]];
    let at = |look: u32| looks[look as usize - 1];
    let outcome = go_on(&mut run, LOOK, |look, _| {
        let [bad, all] = at(look);
        Evidence::Measurement(part(new(), bad, all))
    });
    assert!(matches!(outcome, Some(Outcome::RolledBack { .. } | Outcome::Failed { .. })));
    let found = findings(&run, LOOK);
    let conclusions: Vec<_> = found.iter().map(|finding| finding.conclusion).collect();
    let expected = [Conclusion::Healthy, Conclusion::Undetermined, Conclusion::Regressed];
    assert_eq!(conclusions, expected);
    for (finding, [bad, all]) in found.iter().zip(looks) {
        let harm = finding.harm.unwrap();
        assert_eq!((finding.method, harm.scale), (Method::Threshold, Scale::Beyond));
        let seen = finding.canary.unwrap();
        assert_eq!((seen.value, seen.samples), (finite(bad / all), finite(all)));
        assert_eq!(harm.estimate, Some(finite(bad / all - 0.05)));
        assert_eq!(harm.tolerated, finite(0.1 - 0.05));
        let [low, high] = [harm.low, harm.high].map(|end| end.unwrap().get() + 0.05);
        assert!(0.0 <= low && low < bad / all && bad / all < high && high < 1.0, "{low} {high}");
        assert_eq!((finding.looks, finding.seed, finding.alpha), (1, None, finite(0.025)));
    }
    // Of 2 in 100: the interval of every look together, and no wider than it has to be.
    let harm = found[0].harm.unwrap();
    let [low, high] = [harm.low, harm.high].map(|end| end.unwrap().get() + 0.05);
    assert!(low < 0.005 && (0.07..0.13).contains(&high), "{low} {high}");
    let mut samples: Vec<_> = found.iter().map(|finding| finding.samples).collect();
    samples.dedup();
    assert_eq!(samples.len(), 3);
    assert_eq!(repeat(&run, LOOK), 3);
    let page = page(&run);
    assert!(page.contains("how far the value is beyond its limit"), "{page}");
    assert!(page.contains("before-traffic/errors</code>: regressed, 3 looks"));
    assert!(page.contains("errors, a ratio, in shares: new"), "{page}");
}

#[test]
fn a_quantile_lies_in_its_bucket_and_a_number_of_the_moment_is_what_it_is() {
    let histogram = Selector::series("took");
    let metric = Metric::Quantile { histogram, quantile: finite(0.9) };
    let limits = Threshold::new(Bound::AtMost(finite(0.4))).of(Unit::Seconds);
    let judge = Judge::Threshold(limits);
    let mut run = waiting(Analysis { metric, judge, ..error_rate() });
    let bucket =
        |bound: Option<f64>, count| Bucket { at_most: bound.map(finite), count: finite(count) };
    go_on(&mut run, LOOK, |look, _| {
        let look = f64::from(look);
        let counts = [(Some(0.1), 50.0), (Some(0.25), 95.0), (None, 100.0)];
        let buckets = counts.map(|(bound, count)| bucket(bound, count * look)).to_vec();
        Evidence::Measurement(Measurement::Histogram { digest: new(), buckets })
    });
    let harm = findings(&run, LOOK)[0].harm.unwrap();
    let ends = [harm.low, harm.estimate, harm.high].map(|end| end.unwrap().get() + 0.4);
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(near(ends[0], 0.1) && near(ends[1], 0.25) && near(ends[2], 0.25), "{ends:?}");

    // Beyond all buckets it is at least as great as the last bound, and nobody knows how great.
    let limits = Threshold::new(Bound::AtMost(finite(0.4))).of(Unit::Seconds);
    let judge = Judge::Threshold(limits);
    let histogram = Selector::series("took");
    let metric = Metric::Quantile { histogram, quantile: finite(0.99) };
    let mut run = waiting(Analysis { metric, judge, ..error_rate() });
    go_on(&mut run, LOOK, |_, _| {
        let buckets = vec![bucket(Some(0.1), 50.0), bucket(Some(0.25), 95.0), bucket(None, 100.0)];
        Evidence::Measurement(Measurement::Histogram { digest: new(), buckets })
    });
    let found = findings(&run, LOOK).remove(0);
    let harm = found.harm.unwrap();
    assert_eq!((harm.estimate, harm.high), (None, None));
    assert!(near(harm.low.unwrap().get() + 0.4, 0.25), "{harm:?}");
    let seen = found.canary.unwrap();
    assert_eq!((seen.value, seen.samples), (finite(0.25), finite(100.0)));
    assert_eq!(found.conclusion, Conclusion::Regressed);

    let metric = Metric::Query { query: "free".into() };
    let judge = Judge::Threshold(Threshold::new(Bound::AtLeast(finite(10.0))).of(Unit::Bytes));
    let mut run = waiting(Analysis { metric, judge, ..error_rate() });
    go_on(&mut run, LOOK, |_, at| {
        Evidence::Measurement(Measurement::Value { digest: new(), value: finite(7.0), at })
    });
    let found = findings(&run, LOOK);
    let harm = found[0].harm.unwrap();
    assert_eq!((harm.estimate, harm.low, harm.high), (Some(finite(3.0)), None, None));
    assert_eq!((found[0].alpha, found[0].conclusion), (finite(0.0), Conclusion::Regressed));
    assert_eq!(repeat(&run, LOOK), found.len());
}
