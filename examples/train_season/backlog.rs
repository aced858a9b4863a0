//! What teams have done and users have not yet: features, the cars that carry them, and what versions need of each other.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{ItemId, ServiceId, Span, Timestamp};
use release_policy::compat::{Offer, Versions};
use release_policy::train::departure::Car;
use semver::{Version, VersionReq};

use crate::play::Failure;
use crate::season::{HOUR, LATE_WEEK, Season, WEEKS};
use crate::services::{Services, TEAMS};

/// How long it takes to mend what failed.
const MENDING: Span = Span::secs(48 * HOUR);

/// What a team does in a week: a change of one to three of its services, and of what shares its version with those of others.
#[derive(Debug, Clone)]
pub(crate) struct Feature {
    pub(crate) item: ItemId,
    pub(crate) team: &'static str,
    pub(crate) week: u64,
    pub(crate) services: BTreeSet<ServiceId>,
    /// When it is done, as the calendar reckons.
    pub(crate) ready: Timestamp,
    /// Where users do not have it yet.
    open: BTreeSet<ServiceId>,
    /// Since when all users have it.
    pub(crate) live: Option<Timestamp>,
}

/// All features, and all versions.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) features: Vec<Feature>,
    /// What had failed and is mended: in which version, and since when.
    mended: BTreeMap<ServiceId, (Version, Timestamp)>,
    /// Services that have one version in common.
    shared: BTreeSet<ServiceId>,
    offers: BTreeMap<(ServiceId, Version), Offer>,
}

/// What a service is called that has all features until a week.
const fn of_week(week: u64) -> Version {
    Version::new(1, week, 0)
}

impl Backlog {
    pub(crate) fn new(season: &Season, services: &Services) -> Result<Self, Failure> {
        let mut features = Vec::new();
        for week in 1..=WEEKS {
            let before = features.len();
            for (team, all) in TEAMS {
                let Some(ready) = season.done(team, week)? else { continue };
                let topic = format!("services/{team}/{week}");
                let mut left: Vec<&str> = all.to_vec();
                let mut touched: BTreeSet<ServiceId> = BTreeSet::new();
                for nth in 0..season.dice.draw(&topic, 1, 3) {
                    let Some(one) = season.dice.one_of(&format!("{topic}/{nth}"), &left).copied()
                    else {
                        break;
                    };
                    left.retain(|other| *other != one);
                    touched.insert(one.parse()?);
                }
                let item = format!("{team}-w{week:02}").parse()?;
                let open = touched.clone();
                let services = touched;
                features.push(Feature { item, team, week, services, ready, open, live: None });
            }
            together(season, services, features.get_mut(before..).unwrap_or_default());
        }
        let offers = services.team.keys().map(|service| {
            let offer = Offer::new(service.clone(), of_week(0));
            ((service.clone(), of_week(0)), offer)
        });
        let (mended, shared) = (BTreeMap::new(), season.shared.clone());
        Ok(Self { features, mended, shared, offers: offers.collect() })
    }

    /// The features that would go along with the train of a week.
    pub(crate) fn waiting(&self, week: u64) -> impl Iterator<Item = &Feature> {
        self.features.iter().filter(move |one| one.week <= week && one.live.is_none())
    }

    /// The cars that would go along with the train of a week.
    pub(crate) fn cars(&self, week: u64, services: &Services) -> Result<Vec<Car>, Failure> {
        let mut newest: BTreeMap<&ServiceId, (u64, Timestamp)> = BTreeMap::new();
        for feature in self.waiting(week) {
            for service in &feature.open {
                let (week, ready) = newest.entry(service).or_insert((0, feature.ready));
                (*week, *ready) = (feature.week.max(*week), feature.ready.max(*ready));
            }
        }
        let each = newest.into_iter().map(|(service, (week, ready))| {
            let mended = self.mended.get(service).filter(|(version, _)| version.minor == week);
            let (version, ready) = match mended {
                Some((version, at)) => (version.clone(), ready.max(*at)),
                None => (of_week(week), ready),
            };
            let team = services.team.get(service).ok_or("a service of nobody")?.parse()?;
            let needs = services.needs.get(service).cloned().unwrap_or_default();
            Ok(Car { needs, ..Car::new(service.clone(), version, team).ready(ready) })
        });
        each.collect()
    }

    /// The features that users have everywhere once these are.
    pub(crate) fn going(&self, week: u64, aboard: &Versions) -> BTreeSet<ItemId> {
        let rides = |feature: &&Feature| {
            let there = |id| aboard.get(id).is_some_and(|version| version.minor >= feature.week);
            feature.open.iter().all(there)
        };
        self.waiting(week).filter(rides).map(|feature| feature.item.clone()).collect()
    }

    /// Makes versions known: each was built with what goes along with it, and needs that or newer.
    pub(crate) fn offer(&mut self, cars: &[Car]) -> Result<(), Failure> {
        let going: BTreeMap<_, _> = cars.iter().map(|car| (&car.service, &car.version)).collect();
        for car in cars {
            let mut offer = Offer::new(car.service.clone(), car.version.clone());
            for on in &car.needs {
                let least = going.get(on).map_or_else(|| of_week(0), |version| (*version).clone());
                let requirement: VersionReq = format!(">={least}, <2.0.0").parse()?;
                offer = offer.needing(on.clone(), requirement);
            }
            self.offers.entry((car.service.clone(), car.version.clone())).or_insert(offer);
        }
        Ok(())
    }

    /// Makes the version known that mends another and needs what that needs.
    pub(crate) fn patch(&mut self, service: &ServiceId, version: &Version) -> Version {
        let patched = Version { patch: version.patch + 1, ..version.clone() };
        let known = self.offers.get(&(service.clone(), version.clone()));
        let needs = known.map(|offer| offer.needs.clone()).unwrap_or_default();
        let offer = Offer { needs, ..Offer::new(service.clone(), patched.clone()) };
        self.offers.entry((service.clone(), patched.clone())).or_insert(offer);
        patched
    }

    /// A version that was built, with what it needs.
    pub(crate) fn built(&self, service: &ServiceId, version: &Version) -> Result<&Offer, Failure> {
        let known = self.offers.get(&(service.clone(), version.clone()));
        known.ok_or_else(|| format!("`{service}` {version} was not built").into())
    }

    /// Users everywhere have what was aboard.
    pub(crate) fn delivered(&mut self, aboard: &Versions, at: Timestamp) {
        for feature in self.features.iter_mut().filter(|one| one.live.is_none()) {
            let week = feature.week;
            feature.open.retain(|id| aboard.get(id).is_none_or(|version| version.minor < week));
            if feature.open.is_empty() {
                feature.live = Some(at);
            }
        }
    }

    /// A version failed: its team mends it for the next train. What shares its version goes along.
    pub(crate) fn mend(&mut self, service: &ServiceId, failed: &Version, at: Timestamp) {
        let version = Version { patch: failed.patch + 1, ..failed.clone() };
        let with = self.shared.iter().filter(|_| self.shared.contains(service));
        for one in with.chain([service]) {
            self.mended.insert(one.clone(), (version.clone(), at.plus(MENDING)));
        }
    }
}

/// What shares a version changes in the same weeks, of which one is that of the late team.
fn together(season: &Season, services: &Services, of_one_week: &mut [Feature]) {
    let shared = &season.shared;
    let changes = |one: &Feature| one.week == LATE_WEEK || !one.services.is_disjoint(shared);
    if !of_one_week.iter().any(changes) {
        return;
    }
    for feature in of_one_week {
        let own = shared.iter().filter(|id| services.team.get(*id) == Some(&feature.team));
        let own: BTreeSet<ServiceId> = own.cloned().collect();
        feature.services.extend(own.iter().cloned());
        feature.open.extend(own);
    }
}
