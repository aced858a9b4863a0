//! The season, one train after the other: whether it goes, when, and with whom.

use std::collections::BTreeMap;

use release_core::model::{Digest, RunId, ServiceId, Span, Timestamp};
use release_core::run::Outcome;
use release_policy::compat::Versions;
use release_policy::train::WaveRegion;
use release_policy::train::calendar::ScheduledDeparture;
use release_policy::train::departure::{Boarded, Boarding, Car, Slip, Superseded};
use semver::Version;

use crate::backlog::{Backlog, Feature};
use crate::calls::{Calls, arrivals};
use crate::hotfixes::{Emergency, emergencies};
use crate::people::{Consent, Train};
use crate::platform::{Platform, Ran, Running, Wish};
use crate::play::Failure;
use crate::route::{Route, route};
use crate::season::{FAILING_WEEK, HOUR, LATE_WEEK, Season, WEEK, WEEKS, before, begins};
use crate::services::{Services, regions, wave_regions};
use crate::travel::Travelled;

/// How long before its departure a train is verified.
const VERIFYING: Span = Span::secs(6 * HOUR);

/// The season as far as it was played.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) season: Season,
    pub(crate) services: Services,
    pub(crate) backlog: Backlog,
    pub(crate) platform: Platform,
    regions: Vec<WaveRegion>,
    /// The trains that departed, with the dates that came of it.
    pub(crate) departed: Vec<ScheduledDeparture>,
    pub(crate) hotfixes: Vec<Emergency>,
    /// By what proves a set: the run that does.
    pub(crate) proofs: BTreeMap<Digest, RunId>,
    pub(crate) under_way: Option<UnderWayTrain>,
    /// What hotfixes took the place of.
    pub(crate) decided: Vec<Superseded>,
    pub(crate) calls: Calls,
}

/// A train between its first stop and its last.
#[derive(Debug, Clone)]
pub(crate) struct UnderWayTrain {
    /// With what was mended on the way.
    pub(crate) aboard: Versions,
    /// What proves the sets that it brought, the last that it brings now.
    pub(crate) evidence: Vec<Digest>,
    /// The run of the wave that is under way.
    pub(crate) wave: Option<Running>,
}

/// A season that was played.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) season: Season,
    pub(crate) trains: Vec<Told>,
    pub(crate) features: Vec<Feature>,
    pub(crate) hotfixes: Vec<Emergency>,
    /// The keys of all calls that the pager made.
    pub(crate) paged: Vec<String>,
    /// How many runs of the engine, and steps in them.
    pub(crate) count: (usize, usize),
}

/// What is told of a train.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) dates: ScheduledDeparture,
    pub(crate) fate: Fate,
}

/// What became of a train.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It did not depart; its cars wait for the next.
    Away(String),
    /// It departed.
    Departed(Box<Trip>),
}

impl Told {
    pub(crate) fn trip(&self) -> Option<&Trip> {
        match &self.fate {
            Fate::Departed(trip) => Some(trip),
            Fate::Away(_) => None,
        }
    }
}

/// A train that departed.
#[derive(Debug)]
pub(crate) struct Trip {
    pub(crate) route: Route,
    /// Its dates as they came to be.
    pub(crate) kept: ScheduledDeparture,
    pub(crate) slip: Option<Slip>,
    pub(crate) cars: Vec<Car>,
    pub(crate) boarded: Boarded,
    pub(crate) consent: Consent,
    /// How many builds its changes concern.
    pub(crate) affected: usize,
    /// How it was verified.
    pub(crate) staging: Ran,
    pub(crate) travelled: Travelled,
}

/// Plays a season.
pub(crate) fn play(seed: u64, fridays: bool) -> Result<Played, Failure> {
    let mut line = Line::new(Season::new(seed, fridays)?)?;
    let departures = line.season.calendar.departures().to_vec();
    let after = departures.last().map(|last| last.departs.plus(Span::secs(WEEK)));
    let nexts: Vec<_> = departures.iter().skip(1).map(|next| next.departs).chain(after).collect();
    let mut trains = Vec::new();
    for ((dates, next), week) in departures.into_iter().zip(nexts).zip(1..) {
        let fate = line.train(&dates, week, next)?;
        trains.push(Told { dates, fate });
    }
    line.land_until(begins()?.plus(Span::secs((WEEKS + 2) * WEEK)))?;
    let Line { season, backlog, hotfixes, platform, calls, .. } = line;
    let (features, paged, count) = (backlog.features, calls.paged(), platform.count);
    Ok(Played { season, trains, features, hotfixes, paged, count })
}

impl Line {
    /// A season before its first train.
    fn new(season: Season) -> Result<Self, Failure> {
        let services = Services::new()?;
        let backlog = Backlog::new(&season, &services)?;
        let regions = wave_regions(begins()?, WEEKS + 4)?;
        let hotfixes = emergencies(&season, &backlog, &regions)?;
        let platform = Platform::new(&season, begins()?)?;
        let calls = Calls::new(&platform)?;
        let mut line = Self {
            proofs: BTreeMap::new(),
            departed: Vec::new(),
            under_way: None,
            decided: Vec::new(),
            season,
            services,
            backlog,
            platform,
            regions,
            hotfixes,
            calls,
        };
        line.first()?;
        Ok(line)
    }

    /// Version 1.0.0 of everything comes everywhere, first to staging.
    fn first(&mut self) -> Result<(), Failure> {
        let first = Version::new(1, 0, 0);
        let all = self.services.team.keys().map(|service| (service.clone(), first.clone()));
        let all: Versions = all.collect();
        let built = all.keys().map(|service| self.backlog.built(service, &first));
        self.platform.store(&built.collect::<Result<Vec<_>, _>>()?)?;
        self.verify("first-staging".into(), &all)?;
        let everywhere = regions()?;
        let wish = Wish { verified: true, ..Wish::new("first".into(), &all) };
        let wish = Wish { regions: Some(&everywhere), ..wish };
        let run = self.platform.start(&self.services, &wish)?;
        match self.platform.end(&run)?.outcome {
            Outcome::Succeeded => Ok(()),
            other => Err(format!("the first deploy {other}").into()),
        }
    }

    /// Runs a set in staging. What passes is recorded as verified together, by that run's own records: nothing else is brought to users.
    pub(crate) fn verify(&mut self, name: String, to: &Versions) -> Result<(Ran, Digest), Failure> {
        let running = self.platform.start(&self.services, &Wish::new(name, to))?;
        let ran = self.platform.end(&running)?;
        let evidence = ran.verified.clone()?.evidence;
        self.proofs.insert(evidence, ran.run.clone());
        Ok((ran, evidence))
    }

    /// One train, before the next is due.
    fn train(
        &mut self,
        dates: &ScheduledDeparture,
        week: u64,
        next: Timestamp,
    ) -> Result<Fate, Failure> {
        if let Some(window) = self.season.frozen.get(&dates.id) {
            return Ok(Fate::Away(format!("freeze `{window}` holds when it is due")));
        }
        let mut moves = Vec::new();
        let mut way = self.way(dates.departs, next, &mut moves)?;
        let mut slip = None;
        if let Some(found) = &way {
            slip = self.slip(&self.kept(dates, found.begins))?;
        }
        if let Some(slip) = &slip {
            moves.push((slip.departs, slip.to_string()));
            way = self.way(slip.departs, next, &mut moves)?;
        }
        let Some(route) = way else {
            let why =
                "no freeze may find it half done, and until the next is due it cannot be through";
            return Ok(Fate::Away(why.into()));
        };
        self.land_until(route.begins)?;
        let cars = self.backlog.cars(week, &self.services)?;
        self.backlog.offer(&cars)?;
        let built = cars.iter().map(|car| self.backlog.built(&car.service, &car.version));
        self.platform.store(&built.collect::<Result<Vec<_>, _>>()?)?;
        let (boarded, staging, evidence) = self.board(dates, &cars, route.begins)?;
        let features: Vec<_> = self.backlog.waiting(week).cloned().collect();
        let aboard = self.backlog.going(week, &boarded.aboard);
        let train = Train {
            dates,
            features: &features,
            aboard: &aboard,
            asked_to_wait: week == LATE_WEEK,
            moves: &moves,
        };
        let consent = train.depart(route.begins)?;
        if week == FAILING_WEEK {
            self.something_fails(&route, &boarded.aboard)?;
        }
        let (affected, kept) =
            (self.services.affected(boarded.aboard.keys())?, self.kept(dates, route.begins));
        let aboard = boarded.aboard.clone();
        self.under_way = Some(UnderWayTrain { aboard, evidence: vec![evidence], wave: None });
        let arrivals = arrivals(&self.season, &route.journey, week);
        let travelled = self.travel(&dates.id, &route, arrivals)?;
        self.departed.push(kept.clone());
        let trip = Trip { route, kept, slip, cars, boarded, consent, affected, staging, travelled };
        Ok(Fate::Departed(Box::new(trip)))
    }

    /// The way of a train that may go from `from` on; what moves it is added to `moves`.
    fn way(
        &self,
        from: Timestamp,
        next: Timestamp,
        moves: &mut Vec<(Timestamp, String)>,
    ) -> Result<Option<Route>, Failure> {
        let found = route(&self.regions, &self.season.closed, from, next)?;
        if let Some(found) = found.as_ref().filter(|found| found.begins > from) {
            let unfrozen = route(&self.regions, &[], from, next)?;
            let why = if unfrozen.is_some_and(|other| other.begins == found.begins) {
                "nobody is on call for its first wave before"
            } else {
                "a freeze would find it half done"
            };
            moves.push((found.begins, why.to_owned()));
        }
        Ok(found)
    }

    /// The dates of a train that departs at `departs`. Time in which a freeze holds is no time for hotfixes.
    fn kept(&self, dates: &ScheduledDeparture, departs: Timestamp) -> ScheduledDeparture {
        let validated = departs.plus(dates.validated.since(dates.departs));
        let closes = validated.plus(dates.closes.since(dates.validated));
        let closes = validated.plus(self.season.free(validated, closes));
        ScheduledDeparture { departs, validated, closes, ..dates.clone() }
    }

    /// Who boards. What would go along is verified in staging with all that is deployed: without that proof it does not depart.
    fn board(
        &mut self,
        dates: &ScheduledDeparture,
        cars: &[Car],
        departs: Timestamp,
    ) -> Result<(Boarded, Ran, Digest), Failure> {
        let groups = self.groups();
        let [(deployed, _)] = groups.as_slice() else {
            return Err(format!("before {}, regions differ", dates.id).into());
        };
        let (until, shared) = (dates.boards_until, [self.season.shared.clone()]);
        let boarding = Boarding { cars, shared: &shared, until, deployed, verified: &[] };
        let mut to = deployed.clone();
        to.extend(boarding.board()?.aboard);
        self.platform.wait(before(departs, VERIFYING))?;
        let (ran, evidence) = self.verify(format!("{}-staging", dates.id), &to)?;
        let record = self.platform.record.sets();
        let boarded = Boarding { verified: record.sets(), ..boarding }.board()?;
        let (_, proof) = boarded.departing()?;
        if proof != evidence {
            return Err(format!("{} departs by an older proof", dates.id).into());
        }
        // No region may come to a set in which something is missing, nor past one.
        let catalogue = self.platform.published.catalogue();
        for live in self.platform.fleet.values() {
            catalogue.order(live, &to).map_err(|why| *why)?;
        }
        Ok((boarded, ran, evidence))
    }

    /// From now on a version fails in a region of the second wave; it is good everywhere else.
    fn something_fails(&self, route: &Route, aboard: &Versions) -> Result<(), Failure> {
        let wave = route.plan.waves.get(1).ok_or("there is no second wave")?;
        let regions: Vec<_> = wave.regions.iter().collect();
        let all: Vec<(&ServiceId, &Version)> = aboard.iter().collect();
        let dice = self.season.dice;
        let region = dice.one_of("failing/region", &regions).ok_or("a wave without regions")?;
        let (service, version) = dice.one_of("failing/service", &all).ok_or("nothing aboard")?;
        self.platform.fails(region, service, version);
        Ok(())
    }
}
