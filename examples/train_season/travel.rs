//! One train from wave to wave, and back where a region fails.

use std::collections::BTreeSet;

use release_core::model::{Digest, Priority, RegionId, ServiceId, StopId, Timestamp, TrainId};
use release_core::run::{Cause, Outcome};
use release_policy::compat::Versions;
use release_policy::train::departure::{Event, Next, Stop};
use semver::Version;

use crate::platform::{Ran, Wish};
use crate::play::Failure;
use crate::route::Route;
use crate::trains::Line;

/// How a train came to its end.
#[derive(Debug)]
pub(crate) struct Travelled {
    /// The waves that began, in order.
    pub(crate) stops: Vec<Stopped>,
    /// When it was through, or back.
    pub(crate) ended: Timestamp,
    pub(crate) failure: Option<Regional>,
}

/// A wave that began.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) stop: Stop,
    pub(crate) began: Timestamp,
    pub(crate) ran: Ran,
}

/// What failed in one region, and what was done.
#[derive(Debug)]
pub(crate) struct Regional {
    pub(crate) region: RegionId,
    pub(crate) service: ServiceId,
    pub(crate) version: Version,
    /// What the engine says of it.
    pub(crate) cause: String,
    pub(crate) at: Timestamp,
    /// Waves that did not begin, with their regions, in none of which anything of the train runs.
    pub(crate) not_begun: Vec<Stop>,
    /// The set that all regions have again: when it was verified, and by what.
    pub(crate) back_to: Digest,
    /// What brought the waves before back to it, and how many changes that took; none before the first.
    pub(crate) back: Option<(Ran, usize)>,
}

impl Line {
    /// Takes the train that is under way from stop to stop, as its journey says.
    pub(crate) fn travel(&mut self, id: &TrainId, route: &Route) -> Result<Travelled, Failure> {
        let (mut events, mut stops, mut failure) = (Vec::new(), Vec::new(), None);
        self.platform.wait(route.begins);
        loop {
            match route.journey.next(&events, self.platform.now()) {
                Next::Begins { stop } => {
                    let all = &route.journey.spec().stops;
                    let stop = all.iter().find(|one| one.id == stop).ok_or("an unknown stop")?;
                    stops.push(self.stop(id, stop, &mut events)?);
                }
                Next::Waits { until: Some(until), .. } => {
                    self.land_until(until)?;
                    self.platform.wait(until);
                }
                Next::Halts { .. } | Next::GoesBack { .. } => {
                    let began: BTreeSet<_> = stops.iter().map(|one| one.stop.id.clone()).collect();
                    let last = stops.last().ok_or("it halts before it began")?;
                    failure = Some(self.turn_back(id, route, (last, &began), &mut events)?);
                }
                Next::Through | Next::WentBack => break,
                other @ Next::Waits { until: None, .. } => {
                    return Err(format!("{id} waits for ever: {other:?}").into());
                }
            }
        }
        let train = self.under_way.take().ok_or("no train is under way")?;
        if failure.is_none() {
            let last = stops.last().ok_or("a train without stops")?;
            self.backlog.delivered(&train.aboard, last.ran.ended);
        }
        Ok(Travelled { stops, ended: self.platform.now(), failure })
    }

    /// Rolls out to the regions of one wave.
    fn stop(
        &mut self,
        id: &TrainId,
        stop: &Stop,
        events: &mut Vec<Event>,
    ) -> Result<Stopped, Failure> {
        let (began, aboard) = (self.platform.now(), self.aboard()?);
        let first = stop.regions.first().and_then(|region| self.platform.fleet.get(region));
        let mut to = first.ok_or("a wave without regions")?.clone();
        to.extend(aboard);
        let (name, priority) = (format!("{id}-{}", stop.id), Priority::Normal);
        let wish = Wish { name, regions: Some(&stop.regions), to: &to, priority };
        let ran = self.platform.run(&self.services, &wish)?;
        events.push(Event::Began { stop: stop.id.clone(), at: began });
        match &ran.outcome {
            Outcome::Succeeded => {
                // It is watched until the next wave may begin.
                let at = ran.ended.max(began.plus(stop.takes));
                events.push(Event::Done { stop: stop.id.clone(), at });
            }
            Outcome::RolledBack { cause } => events.push(Event::Blocked {
                blocker: format!("{}-failed", stop.id).parse()?,
                by: "trains".parse()?,
                reason: cause.to_string(),
                at: ran.ended,
            }),
            other => return Err(format!("{id} came to no end: {other:?}").into()),
        }
        Ok(Stopped { stop: stop.clone(), began, ran })
    }

    fn aboard(&self) -> Result<Versions, Failure> {
        Ok(self.under_way.as_ref().ok_or("no train is under way")?.aboard.clone())
    }

    /// The engine took the wave back that failed. Those before it go back, too, to the last set that was verified together.
    fn turn_back(
        &mut self,
        id: &TrainId,
        route: &Route,
        (last, began): (&Stopped, &BTreeSet<StopId>),
        events: &mut Vec<Event>,
    ) -> Result<Regional, Failure> {
        let Outcome::RolledBack { cause: cause @ Cause::StepFailed { step, .. } } =
            &last.ran.outcome
        else {
            return Err(format!("{id} turns back, and nothing failed").into());
        };
        let at = self.platform.now();
        events.push(Event::TurnedBack { at });
        let train = self.under_way.clone().ok_or("no train is under way")?;
        self.abandoned.insert(train.evidence);
        let mut path = step.id.as_str().split('/').skip(1);
        let region: RegionId = path.next().ok_or("a step without a region")?.parse()?;
        let service: ServiceId = path.next().ok_or("a step without a service")?.parse()?;
        let version = train.aboard.get(&service).ok_or("what failed is not aboard")?.clone();

        let mut reached = began.clone();
        reached.remove(&last.stop.id);
        let all = &route.journey.spec().stops;
        let regions = all.iter().filter(|stop| reached.contains(&stop.id));
        let regions: BTreeSet<_> = regions.flat_map(|stop| stop.regions.clone()).collect();
        let mut to = self.platform.fleet.get(&region).ok_or("an unknown region")?.clone();
        let mut back = None;
        if let Some(live) = regions.first().and_then(|first| self.platform.fleet.get(first)) {
            let catalogue = self.backlog.catalogue()?;
            let (set, order) = catalogue.way_back(live, &self.verified, &self.abandoned)?;
            if set.over(live) != to {
                return Err(format!("the wave of {id} went back elsewhere than others").into());
            }
            to = set.over(live);
            let (name, priority) = (format!("{id}-back"), Priority::Hotfix);
            let wish = Wish { name, regions: Some(&regions), to: &to, priority };
            let ran = self.platform.run(&self.services, &wish)?;
            if ran.outcome != Outcome::Succeeded {
                return Err(format!("{id} did not come back: {:?}", ran.outcome).into());
            }
            back = Some((ran, order.steps.len()));
        }
        events.push(Event::WentBack { at: self.platform.now() });
        let verified = self.verified.iter().rev().find(|set| set.versions == to);
        let back_to = verified.ok_or("what is live was never verified")?.evidence;
        let not_begun: Vec<_> =
            all.iter().filter(|stop| !began.contains(&stop.id)).cloned().collect();
        let all_regions = self.platform.fleet.keys();
        for region in all_regions {
            let runs = |(id, version)| self.platform.runs(region, id, version);
            if let Some((id, version)) = train.aboard.iter().find(|one| runs(*one)) {
                return Err(format!("{id} {version} runs in {region}").into());
            }
        }
        self.backlog.mend(&service, &version, at);
        let cause = cause.to_string();
        Ok(Regional { region, service, version, cause, at, not_begun, back_to, back })
    }
}
