//! The season, one train after the other: whether it goes, when, and with whom.

use std::collections::BTreeSet;

use release_core::model::{Digest, Priority, RunId, ServiceId, Span, Timestamp};
use release_core::run::Outcome;
use release_policy::compat::{VerifiedSet, Versions};
use release_policy::train::WaveRegion;
use release_policy::train::calendar::ScheduledDeparture;
use release_policy::train::departure::{Boarded, Boarding, Car, Slip};
use semver::Version;

use crate::backlog::{Backlog, Feature};
use crate::hotfixes::{Emergency, emergencies};
use crate::people::{Consent, Train};
use crate::platform::{Platform, Ran, Wish};
use crate::play::Failure;
use crate::route::{Route, route};
use crate::season::{FAILING_WEEK, HOUR, LATE_WEEK, Season, WEEK, WEEKS, begins};
use crate::services::{Services, regions, wave_regions};
use crate::travel::Travelled;

/// How long before its departure a train is verified.
const VERIFYING: u64 = 6 * HOUR;

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
    /// What was verified together, in order, and what of it was gone back from.
    pub(crate) verified: Vec<VerifiedSet>,
    pub(crate) abandoned: BTreeSet<Digest>,
    pub(crate) under_way: Option<UnderWayTrain>,
}

/// A train between its first stop and its last.
#[derive(Debug, Clone)]
pub(crate) struct UnderWayTrain {
    pub(crate) run: RunId,
    pub(crate) aboard: Versions,
    pub(crate) evidence: Digest,
}

/// A season that was played.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) season: Season,
    pub(crate) trains: Vec<Told>,
    pub(crate) features: Vec<Feature>,
    pub(crate) hotfixes: Vec<Emergency>,
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
    let Line { season, backlog, hotfixes, platform, .. } = line;
    Ok(Played { season, trains, features: backlog.features, hotfixes, count: platform.count })
}

impl Line {
    /// A season before its first train: version 1.0.0 of everything is everywhere.
    fn new(season: Season) -> Result<Self, Failure> {
        let services = Services::new()?;
        let backlog = Backlog::new(&season, &services)?;
        let hotfixes = emergencies(&season, &backlog)?;
        let mut platform = Platform::new(&season, begins()?)?;
        let first = Version::new(1, 0, 0);
        let all: Versions =
            services.team.keys().map(|service| (service.clone(), first.clone())).collect();
        for service in all.keys() {
            platform.store(service, &first);
        }
        for (name, regions) in [("first-staging", None), ("first", Some(&regions()?))] {
            let wish = Wish { name: name.into(), regions, to: &all, priority: Priority::Normal };
            let ran = platform.run(&services, &wish)?;
            if ran.outcome != Outcome::Succeeded {
                return Err(format!("the first deploy: {:?}", ran.outcome).into());
            }
        }
        Ok(Self {
            verified: vec![VerifiedSet::whole(all, Digest::of(b"first"))],
            regions: wave_regions(begins()?, WEEKS + 4)?,
            departed: Vec::new(),
            abandoned: BTreeSet::new(),
            under_way: None,
            season,
            services,
            backlog,
            platform,
            hotfixes,
        })
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
        for car in &cars {
            self.platform.store(&car.service, &car.version);
        }
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
        let run = format!("{}-wave-1", dates.id).parse()?;
        let (affected, kept) =
            (self.services.affected(boarded.aboard.keys())?, self.kept(dates, route.begins));
        self.under_way = Some(UnderWayTrain { run, aboard: boarded.aboard.clone(), evidence });
        let travelled = self.travel(&dates.id, &route)?;
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
        let until = dates.boards_until;
        let boarding = Boarding { cars, shared: &[], until, deployed, verified: &[] };
        let mut to = deployed.clone();
        to.extend(boarding.board()?.aboard);
        let verifying = i64::try_from(VERIFYING * 1_000_000)?;
        self.platform.wait(Timestamp::from_micros(departs.as_micros() - verifying));
        let name = format!("{}-staging", dates.id);
        let wish = Wish { name, regions: None, to: &to, priority: Priority::Normal };
        let ran = self.platform.run(&self.services, &wish)?;
        if ran.outcome != Outcome::Succeeded {
            return Err(format!("{} was not verified: {:?}", dates.id, ran.outcome).into());
        }
        let evidence = Digest::of(format!("{} {}", ran.run, ran.ended).as_bytes());
        self.verified.push(VerifiedSet::whole(to.clone(), evidence));
        let boarded = Boarding { verified: &self.verified, ..boarding }.board()?;
        if boarded.proof != Some(evidence) {
            return Err(format!("nothing proves what is aboard {}", dates.id).into());
        }
        // No region may come to a set in which something is missing, nor past one.
        let catalogue = self.backlog.catalogue()?;
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
