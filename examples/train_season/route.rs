//! Waves, and when a train can go so that no freeze finds it half done.

use release_core::model::{Span, TeamId, Timestamp};
use release_policy::train::departure::{Journey, JourneySpec, Next, Stop, SyncPoint, Why};
use release_policy::train::{WavePlan, WaveRegion, WaveRules, waves};

use crate::calls::CALLED;
use crate::play::Failure;
use crate::season::{HOUR, before};
use crate::services::TEAMS;

/// A small first wave that is watched for four hours, then up to three times as many users as have it already.
const RULES: WaveRules = WaveRules {
    most_percent: 50,
    first_percent: 15,
    growth_percent: 300,
    rollout: Span::secs(2 * HOUR),
    first_bake: Span::secs(4 * HOUR),
    bake: Span::secs(2 * HOUR),
    attended: Span::secs(2 * HOUR),
    never_smaller: false,
};
/// How long it takes to go back from any wave.
const BACK: Span = Span::secs(2 * HOUR);
pub(crate) const TICK: Span = Span::secs(HOUR / 2);
/// All teams have to say that they have seen their services in the first wave, so long before the second is due.
const SEEN: Span = Span::secs(HOUR);

/// The way of a train.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) begins: Timestamp,
    pub(crate) plan: WavePlan,
    pub(crate) journey: Journey,
}

/// The way of a train that may go from `from` on; none where it could only go once the next is due.
pub(crate) fn route(
    regions: &[WaveRegion],
    closed: &[(Timestamp, Timestamp)],
    from: Timestamp,
    next: Timestamp,
) -> Result<Option<Route>, Failure> {
    let mut from = from;
    while from < next {
        let plan = waves(regions, RULES, from)?;
        let begins = plan.waves.first().ok_or("no waves")?.begins;
        let journey = journey(&plan, begins, closed)?;
        match journey.next(&[], begins) {
            Next::Begins { .. } => return Ok(Some(Route { begins, plan, journey })),
            Next::Waits { until: Some(until), why: Why::Closed } => from = until,
            other => return Err(format!("at its departure, a train: {other:?}").into()),
        }
    }
    Ok(None)
}

/// Stops as the waves are; each lasts until the next begins.
fn journey(
    plan: &WavePlan,
    departs: Timestamp,
    closed: &[(Timestamp, Timestamp)],
) -> Result<Journey, Failure> {
    let nexts = plan.waves.iter().skip(1).map(|wave| Some(wave.begins)).chain([None]);
    let stops = plan.waves.iter().zip(nexts).zip(1..).map(|((wave, next), number)| {
        let takes = next.unwrap_or(wave.baked).since(wave.begins);
        let id = format!("wave-{number}").parse()?;
        Ok(Stop { id, regions: wave.regions.clone(), takes })
    });
    let stops = stops.collect::<Result<_, Failure>>()?;
    let (sync_points, closed) = (seen(plan)?.into_iter().collect(), closed.to_vec());
    let spec = JourneySpec { departs, stops, sync_points, closed, back: BACK, tick: TICK };
    Ok(Journey::new(spec)?)
}

/// Where all teams wait for each other before many users get the train.
fn seen(plan: &WavePlan) -> Result<Option<SyncPoint>, Failure> {
    let Some(second) = plan.waves.get(1) else { return Ok(None) };
    let awaits = TEAMS.into_iter().map(|(team, _)| team.parse::<TeamId>());
    Ok(Some(SyncPoint {
        id: "seen".parse()?,
        before: "wave-2".parse()?,
        awaits: awaits.collect::<Result<_, _>>()?,
        deadline: before(second.begins, SEEN),
        escalate: CALLED.parse()?,
    }))
}
