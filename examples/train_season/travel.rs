//! One train from wave to wave, and back where a region fails.

use std::collections::BTreeSet;

use release_core::model::{Priority, RegionId, RunId, ServiceId, StopId, Timestamp, TrainId};
use release_core::run::{Cause, Outcome};
use release_policy::compat::Versions;
use release_policy::train::departure::{Event, Next, Stop, Why};
use semver::Version;

use crate::calls::Call;
use crate::hotfixes::Emergency;
use crate::platform::{Ran, Wish};
use crate::play::Failure;
use crate::route::{Route, TICK};
use crate::trains::Line;

/// How a train came to its end.
#[derive(Debug)]
pub(crate) struct Travelled {
    /// The waves that began, in order.
    pub(crate) stops: Vec<Stopped>,
    /// When it was through, or back.
    pub(crate) ended: Timestamp,
    pub(crate) failure: Option<Regional>,
    /// Who was called on the way.
    pub(crate) calls: Vec<Call>,
}

/// A wave that began.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) stop: Stop,
    /// When its last run began.
    pub(crate) began: Timestamp,
    pub(crate) ran: Ran,
    /// The runs before, in whose place a hotfix went or that brought what it mended meanwhile, with when each began.
    pub(crate) replaced: Vec<(Timestamp, Ran)>,
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
    /// The run that verified the set that all regions have again.
    pub(crate) verified_by: RunId,
    /// What brought the waves before back to it, and how many changes that took; none before the first.
    pub(crate) back: Option<(Ran, usize)>,
}

impl Line {
    /// Takes the train that is under way from stop to stop, as its journey says. `events` are those that are known to come.
    pub(crate) fn travel(
        &mut self,
        id: &TrainId,
        route: &Route,
        mut events: Vec<Event>,
    ) -> Result<Travelled, Failure> {
        let (mut stops, mut failure) = (Vec::new(), None);
        self.platform.wait(route.begins)?;
        loop {
            let now = self.platform.now();
            match route.journey.next(&events, now) {
                Next::Begins { stop } => {
                    let all = &route.journey.spec().stops;
                    let stop = all.iter().find(|one| one.id == stop).ok_or("an unknown stop")?;
                    stops.push(self.stop(id, stop, &mut events)?);
                }
                Next::Waits { until: Some(until), .. } => {
                    let until = if until > now { until } else { now.plus(TICK) };
                    self.pass(id, route, &events, until)?;
                }
                // Somebody has been called, and comes.
                Next::Waits { why: Why::Missed(_), .. } => {
                    self.pass(id, route, &events, now.plus(TICK))?;
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
        Ok(Travelled { stops, ended: self.platform.now(), failure, calls: self.calls.take() })
    }

    /// Lets time pass. Hotfixes land; once a tick, and as a deadline passes, somebody looks whether all teams are where they should be.
    fn pass(
        &mut self,
        id: &TrainId,
        route: &Route,
        events: &[Event],
        until: Timestamp,
    ) -> Result<(), Failure> {
        let points = &route.journey.spec().sync_points;
        while self.platform.now() < until {
            let now = self.platform.now();
            let deadlines = points.iter().map(|point| point.deadline).filter(|at| *at > now);
            let next = deadlines.fold(until.min(now.plus(TICK)), Timestamp::min);
            self.land_until(next)?;
            self.platform.wait(next)?;
            self.calls.look(&self.platform, id, (&route.journey, events))?;
        }
        Ok(())
    }

    /// Rolls out to the regions of one wave; once more, where a hotfix took the place of that.
    fn stop(
        &mut self,
        id: &TrainId,
        stop: &Stop,
        events: &mut Vec<Event>,
    ) -> Result<Stopped, Failure> {
        let (mut name, mut replaced) = (format!("{id}-{}", stop.id), Vec::new());
        let (began, ran) = loop {
            let began = self.platform.now();
            events.push(Event::Began { stop: stop.id.clone(), at: began });
            let aboard = self.aboard()?;
            let ran = self.wave(name.clone(), &stop.regions)?;
            let is_replaced = matches!(
                &ran.outcome,
                Outcome::RolledBack { cause: Cause::Superseded { .. } }
                    | Outcome::Cancelled { cause: Cause::Superseded { .. } }
            );
            // What came through before a hotfix could take its place is not what is to be there.
            let is_old = ran.outcome == Outcome::Succeeded && self.aboard()? != aboard;
            if !is_replaced && !is_old {
                break (began, ran);
            }
            replaced.push((began, ran));
            name.push_str("-again");
        };
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
            other => return Err(format!("{id} came to no end: {other}").into()),
        }
        Ok(Stopped { stop: stop.clone(), began, ran, replaced })
    }

    fn aboard(&self) -> Result<Versions, Failure> {
        Ok(self.under_way.as_ref().ok_or("no train is under way")?.aboard.clone())
    }

    /// One run of a wave. Hotfixes of what is aboard that are made while it is under way land in between.
    fn wave(&mut self, name: String, regions: &BTreeSet<RegionId>) -> Result<Ran, Failure> {
        let live = regions.first().and_then(|region| self.platform.fleet.get(region));
        let mut to = live.ok_or("a wave without regions")?.clone();
        let aboard = self.aboard()?;
        to.extend(aboard.clone());
        let wish = Wish { regions: Some(regions), verified: true, ..Wish::new(name, &to) };
        let running = self.platform.start(&self.services, &wish)?;
        let under_way = self.under_way.as_mut().ok_or("no train is under way")?;
        under_way.wave = Some(running.clone());
        let comes = |one: &Emergency| one.landed.is_none() && aboard.contains_key(&one.service);
        loop {
            let made = self.hotfixes.iter().filter(|one| comes(one)).map(Emergency::made).min();
            if self.platform.is_over_by(&running, made)? {
                break;
            }
            let now = self.platform.now();
            self.land_those(|one| comes(one) && one.made() <= now)?;
        }
        let ran = self.platform.end(&running)?;
        if let Some(train) = &mut self.under_way {
            train.wave = None;
        }
        if ran.outcome != Outcome::Succeeded {
            self.none_runs(&running.changes, regions)?;
        }
        Ok(ran)
    }

    /// That none of these versions runs in any of these regions.
    fn none_runs<'a>(
        &self,
        versions: &Versions,
        regions: impl IntoIterator<Item = &'a RegionId>,
    ) -> Result<(), Failure> {
        for region in regions {
            let runs = |(id, version)| self.platform.runs(region, id, version);
            if let Some((id, version)) = versions.iter().find(|one| runs(*one)) {
                return Err(format!("{id} {version} runs in {region}").into());
            }
        }
        Ok(())
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
        for evidence in &train.evidence {
            self.platform.record.abandon(*evidence);
        }
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
            let catalogue = self.platform.published.catalogue();
            let record = self.platform.record.sets();
            let (set, order) = record.way_back(&catalogue, live)?;
            if set.over(live) != to {
                return Err(format!("the wave of {id} went back elsewhere than others").into());
            }
            to = set.over(live);
            let (here, priority) = (Some(&regions), Priority::Hotfix);
            let wish = Wish { regions: here, priority, ..Wish::new(format!("{id}-back"), &to) };
            let running = self.platform.start(&self.services, &wish)?;
            let ran = self.platform.end(&running)?;
            if ran.outcome != Outcome::Succeeded {
                return Err(format!("{id} did not come back: {}", ran.outcome).into());
            }
            back = Some((ran, order.steps.len()));
        }
        events.push(Event::WentBack { at: self.platform.now() });
        let record = self.platform.record.sets();
        let mut sets = record.sets().iter().rev();
        let set = sets.find(|set| set.versions == to).ok_or("what is live was not verified")?;
        let verified_by = self.proofs.get(&set.evidence).ok_or("a set without a run")?.clone();
        let not_begun: Vec<_> =
            all.iter().filter(|stop| !began.contains(&stop.id)).cloned().collect();
        self.none_runs(&train.aboard, self.platform.fleet.keys())?;
        self.backlog.mend(&service, &version, at);
        let cause = cause.to_string();
        Ok(Regional { region, service, version, cause, at, not_begun, verified_by, back })
    }
}
