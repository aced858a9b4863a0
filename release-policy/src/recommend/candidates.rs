//! Each strategy as it would be set up for the change, with what it costs.

use release_core::model::{
    Analysis, AnalysisId, BlueGreen, Canary, CanaryScale, CanaryStep, Rolling, SessionAffinity,
    Shadow, Span, Strategy,
};

use super::reckon::{alone, beside, burn, burn_of, burn_of_all, compared, counted, hours};
use super::{Capacity, Change, Coexistence, Cost, Recommendation, Slo};

/// First shares that are tried, smallest first.
const FIRST: [u8; 5] = [1, 5, 10, 25, 50];
/// How likely a step overlooks harm that it has to find.
const OVERLOOKS: f64 = 0.05;

pub(super) fn all(change: &Change, slo: &Slo, capacity: &Capacity) -> Vec<Recommendation> {
    let mut all = vec![
        recreate(slo, capacity),
        rolling(change, slo, capacity),
        blue_green(change, slo, capacity),
        canary(change, slo, capacity),
        shadow(change, slo, capacity),
    ];
    for found in &mut all {
        let burnt = found.cost.burn_for_certain + found.cost.burn_if_bad;
        if burnt > slo.budget_left {
            found.obstacles.push(format!(
                "a bad version would burn {:.1} % of the error budget, and {:.1} % are left",
                burnt * 100.0,
                slo.budget_left * 100.0
            ));
        }
    }
    all
}

fn ids(analyses: &[Analysis]) -> Vec<AnalysisId> {
    analyses.iter().map(|analysis| analysis.id.clone()).collect()
}

fn together(first: Span, more: impl IntoIterator<Item = Span>) -> Span {
    more.into_iter().fold(first, |sum, span| (sum.as_duration() + span.as_duration()).into())
}

fn recreate(slo: &Slo, capacity: &Capacity) -> Recommendation {
    let (start, watched) = (capacity.start, alone(slo, 1.0));
    let outage = slo.per_second * start.as_duration().as_secs_f64();
    let cost = Cost {
        extra_instances: 0,
        instance_hours: 0.0,
        duration: together(start, [watched]),
        way_back: start,
        exposed: 1.0,
        burn_if_bad: burn_of(slo, 1.0, watched).max(burn_of_all(slo, 1.0, start)),
        burn_for_certain: burn(slo, outage),
    };
    let reasons = vec![
        "needs no more instances and no router with shares".into(),
        format!("nobody is served for {start}, and again when it is taken back"),
    ];
    Recommendation {
        name: "recreate",
        strategy: Strategy::Recreate,
        analyses: counted(slo).into_iter().collect(),
        obstacles: Vec::new(),
        reasons,
        cost,
    }
}

/// What stands against having both versions there.
fn coexist(change: &Change, needed: Coexistence) -> Vec<String> {
    if change.coexistence >= needed {
        return Vec::new();
    }
    let what = if needed == Coexistence::Serve { "serve" } else { "run" };
    vec![format!("the versions cannot {what} at the same time")]
}

fn enough(extra: u32, capacity: &Capacity, obstacles: &mut Vec<String>) {
    if extra > capacity.spare {
        obstacles.push(format!(
            "it needs {extra} more instances for a while, and {} are to spare",
            capacity.spare
        ));
    }
}

fn sticky(
    change: &Change,
    capacity: &Capacity,
    obstacles: &mut Vec<String>,
) -> Option<SessionAffinity> {
    if !change.sticky {
        return None;
    }
    if !capacity.affinity {
        obstacles.push("clients have to stay with a version, and the router keeps none".into());
    }
    Some(SessionAffinity::new("release-version"))
}

fn rolling(change: &Change, slo: &Slo, capacity: &Capacity) -> Recommendation {
    let all = capacity.replicas;
    let batches = all.clamp(1, 4);
    let batch = all.div_ceil(batches);
    let surge = batch.min(capacity.spare);
    let missing = batch.saturating_sub(surge).min(capacity.may_miss);
    let mut obstacles = coexist(change, Coexistence::Serve);
    if surge + missing == 0 {
        obstacles.push("no instance may be missing and none is to spare".into());
    }
    sticky(change, capacity, &mut obstacles);
    let size = (surge + missing).max(1);
    let rounds = all.div_ceil(size);
    let first = f64::from(size.min(all)) / f64::from(all);
    let watched = alone(slo, first);
    let duration = rounds_of(rounds, together(capacity.start, [watched]));
    let cost = Cost {
        extra_instances: surge,
        instance_hours: hours(surge, duration),
        duration,
        way_back: capacity.start,
        exposed: first,
        burn_if_bad: (burn_of(slo, first, watched) + OVERLOOKS * burn_of(slo, 1.0, duration))
            .max(burn_of_all(slo, first, capacity.start)),
        burn_for_certain: 0.0,
    };
    let analyses: Vec<_> = counted(slo).into_iter().collect();
    let strategy = Rolling {
        max_unavailable: missing.into(),
        max_surge: Some(surge.into()),
        bake: watched,
        analyses: ids(&analyses),
        ..Rolling::new(batches)
    };
    let reasons = vec![
        format!("{rounds} batches of {size}, each watched for {watched}"),
        "the way back has to start instances of the old version again".into(),
    ];
    let strategy = Strategy::Rolling(strategy);
    Recommendation { name: "rolling", strategy, analyses, obstacles, reasons, cost }
}

fn rounds_of(rounds: u32, one: Span) -> Span {
    one.as_duration().saturating_mul(rounds).into()
}

fn blue_green(change: &Change, slo: &Slo, capacity: &Capacity) -> Recommendation {
    let mut obstacles = coexist(change, Coexistence::Run);
    enough(capacity.replicas, capacity, &mut obstacles);
    let bake = alone(slo, 1.0);
    let duration = together(capacity.start, [bake]);
    let cost = Cost {
        extra_instances: capacity.replicas,
        instance_hours: hours(capacity.replicas, duration),
        duration,
        way_back: Span::ZERO,
        exposed: 1.0,
        burn_if_bad: burn_of(slo, 1.0, bake).max(burn_of_all(slo, 1.0, Span::ZERO)),
        burn_for_certain: 0.0,
    };
    let reasons = vec![
        "one version serves at any time, and the way back is a switch".into(),
        format!("everybody meets a bad version at once, until it is found after {bake}"),
    ];
    let analyses: Vec<_> = counted(slo).into_iter().collect();
    let strategy =
        BlueGreen { bake, analyses: ids(&analyses), keep_old: bake, ..BlueGreen::default() };
    let strategy = Strategy::BlueGreen(strategy);
    Recommendation { name: "blue_green", strategy, analyses, obstacles, reasons, cost }
}

fn canary(change: &Change, slo: &Slo, capacity: &Capacity) -> Recommendation {
    let mut obstacles = coexist(change, Coexistence::Serve);
    if !capacity.splits {
        obstacles.push("the router does not divide traffic by shares".into());
    }
    let affinity = sticky(change, capacity, &mut obstacles);
    let steps = ladder(slo, capacity.places);
    if steps.is_empty() {
        obstacles.push(format!(
            "with {} requests a second, {} times as many failures are not found within {}",
            slo.per_second, slo.detect, slo.patience
        ));
    }
    let shares: Vec<(u8, Span)> = if steps.is_empty() { vec![(50, slo.patience)] } else { steps };
    // As large as its share, while the old version gives up what it no longer needs; where clients stay, both are whole.
    let half = CanaryScale::Percent(50).of(capacity.replicas, 50);
    let extra = if affinity.is_some() { capacity.replicas } else { half.max(1) };
    enough(extra, capacity, &mut obstacles);
    let starts = rounds_of(u32::try_from(shares.len() + 1).unwrap_or(u32::MAX), capacity.start);
    let duration = together(starts, shares.iter().map(|(_, watched)| *watched));
    let mut overlooked = 1.0;
    let mut burn_if_bad = 0.0;
    for (share, watched) in &shares {
        burn_if_bad += overlooked * burn_of(slo, f64::from(*share) / 100.0, *watched);
        overlooked *= OVERLOOKS;
    }
    burn_if_bad += overlooked * burn_of(slo, 1.0, slo.patience);
    let exposed = shares.first().map_or(1.0, |(share, _)| f64::from(*share) / 100.0);
    let burn_if_bad = burn_if_bad.max(burn_of_all(slo, exposed, Span::ZERO));
    let cost = Cost {
        extra_instances: extra,
        instance_hours: hours(extra, duration),
        duration,
        way_back: capacity.start,
        exposed,
        burn_if_bad,
        burn_for_certain: 0.0,
    };
    let told = shares.iter().map(|(share, watched)| format!("{share} % for {watched}"));
    let reasons = vec![
        format!(
            "a bad version is found beside the old one: {}",
            told.collect::<Vec<_>>().join(", ")
        ),
        "the judge compares at the same time, so that busy hours are no harm".into(),
    ];
    let judge = |(share, watched): &(u8, Span)| compared(slo, *share, *watched);
    let step = |of: &(u8, Span)| CanaryStep {
        scale: affinity.is_none().then_some(CanaryScale::MatchTraffic),
        analyses: judge(of).into_iter().map(|analysis| analysis.id).collect(),
        ..CanaryStep::new(of.0, Span::ZERO)
    };
    let steps = shares.iter().map(step).collect();
    let analyses = shares.iter().filter_map(judge).collect();
    let canary = Canary { shrink_old: affinity.is_none(), affinity, ..Canary::new(steps) };
    let strategy = Strategy::Canary(canary);
    Recommendation { name: "canary", strategy, analyses, obstacles, reasons, cost }
}

/// The smallest share at which harm is found, and larger ones up to half, each with the time that it takes.
fn ladder(slo: &Slo, places: u32) -> Vec<(u8, Span)> {
    for (at, first) in FIRST.iter().enumerate() {
        let shares = FIRST.iter().skip(at).filter(|share| *share == first || **share >= 25);
        let shares: Vec<u8> = shares.copied().collect();
        let steps = u32::try_from(shares.len()).unwrap_or(u32::MAX);
        let comparisons = steps.saturating_mul(places.max(1));
        let found: Option<Vec<_>> =
            shares.iter().map(|share| Some((*share, beside(slo, *share, comparisons)?))).collect();
        if let Some(found) = found {
            return found;
        }
    }
    Vec::new()
}

fn shadow(change: &Change, slo: &Slo, capacity: &Capacity) -> Recommendation {
    let mut obstacles = coexist(change, Coexistence::Run);
    if !change.repeatable {
        obstacles.push("requests may not be processed twice".into());
    }
    if !capacity.mirrors {
        obstacles.push("the router copies no requests".into());
    }
    enough(capacity.replicas, capacity, &mut obstacles);
    // Copies are of all requests, and what answers them is judged alone.
    let (watched, after) = (alone(slo, 1.0), alone(slo, 1.0));
    let analyses: Vec<_> = counted(slo).into_iter().collect();
    let duration = together(capacity.start, [watched, after]);
    let cost = Cost {
        extra_instances: capacity.replicas,
        instance_hours: hours(capacity.replicas, duration),
        duration,
        way_back: Span::ZERO,
        exposed: OVERLOOKS,
        burn_if_bad: OVERLOOKS * burn_of(slo, 1.0, after), // nobody overlooks that all copies fail
        burn_for_certain: 0.0,
    };
    let reasons = vec![
        format!("copies of all requests for {watched} harm nobody"),
        "what it does to others it does twice meanwhile".into(),
    ];
    let strategy = Shadow { after, analyses: ids(&analyses), ..Shadow::new(100, watched) };
    let strategy = Strategy::Shadow(strategy);
    Recommendation { name: "shadow", strategy, analyses, obstacles, reasons, cost }
}
