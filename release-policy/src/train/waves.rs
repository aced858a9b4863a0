//! In which waves regions get a release: bounded, growing, never both of a failover pair, at hours at which somebody is there,
//! and as soon as all of that allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use release_core::model::{RegionId, Span, Timestamp};
use serde::{Deserialize, Serialize};

mod exact;
mod hours;
mod steps;

use self::hours::Hours;

/// Up to so many regions, all divisions into waves are looked at; beyond, the best that is found step by step is taken.
pub const EXACT: usize = 12;
/// How many regions there may be.
pub const MAX_REGIONS: usize = 60;
/// How many hours on call a region may have: those of 27 years, day by day.
pub const MAX_HOURS: usize = 10_000;

/// A region that is to get a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveRegion {
    /// Its name.
    pub id: RegionId,
    /// Its users, or requests, or whatever is exposed; what counts is its part of all regions together.
    pub users: u64,
    /// The regions that take its traffic over when it fails: they are never changed in one wave with it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failover: BTreeSet<RegionId>,
    /// When somebody is there who can help, from and until, in order; empty: always. At most [`MAX_HOURS`] of them. Hours that begin as
    /// others end are one with them: whoever takes over goes on helping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_call: Vec<(Timestamp, Timestamp)>,
}

impl WaveRegion {
    /// A region without a partner, with somebody on call at all times.
    pub const fn new(id: RegionId, users: u64) -> Self {
        Self { id, users, failover: BTreeSet::new(), on_call: Vec::new() }
    }

    /// When somebody is there, hours that begin as those before them end as one with these.
    pub(super) fn attended_hours(&self) -> Vec<(Timestamp, Timestamp)> {
        let mut joined: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(self.on_call.len());
        for (begins, ends) in self.on_call.iter().copied() {
            match joined.last_mut() {
                Some(last) if last.1 == begins && last.0 < begins && begins < ends => last.1 = ends,
                _ => joined.push((begins, ends)),
            }
        }
        joined
    }
}

/// What waves have to keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveRules {
    /// The largest part of all users that one wave may reach, in percent.
    pub most_percent: u8,
    /// The largest part that the first wave may reach, in percent.
    pub first_percent: u8,
    /// How many times as many users as all waves before it together a wave may reach, in percent: 200 is twice as many.
    pub growth_percent: u32,
    /// How long a wave takes to roll out.
    pub rollout: Span,
    /// How long the first wave is watched before the next may begin.
    pub first_bake: Span,
    /// How long every other wave is watched.
    pub bake: Span,
    /// For how long after its beginning somebody has to be there in each of a wave's regions.
    pub attended: Span,
    /// Whether no wave may reach fewer users than the one before it, so that exposure only ever grows. The last wave may: it has what is
    /// left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never_smaller: bool,
}

/// One wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// When it begins.
    pub begins: Timestamp,
    /// When it has been watched for long enough.
    pub baked: Timestamp,
    /// Its regions.
    pub regions: BTreeSet<RegionId>,
}

/// All waves, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WavePlan {
    /// The waves.
    pub waves: Vec<Wave>,
    /// Whether no other division ends sooner.
    pub shortest: bool,
}

impl WavePlan {
    /// When the last wave has been watched for long enough; none without waves.
    pub fn ends(&self) -> Option<Timestamp> {
        self.waves.last().map(|wave| wave.baked)
    }
}

impl fmt::Display for WavePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, wave) in self.waves.iter().enumerate() {
            let regions: Vec<_> = wave.regions.iter().map(RegionId::as_str).collect();
            let line = if nth == 0 { "" } else { "\n" };
            let regions = regions.join(", ");
            write!(
                f,
                "{line}wave {}: {regions} at {}, watched until {}",
                nth + 1,
                wave.begins,
                wave.baked
            )?;
        }
        Ok(())
    }
}

/// Why there are no waves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaveError {
    /// There is nothing to divide.
    #[error("there are no regions; name at least one")]
    Empty,
    /// It is too much.
    #[error("{0} regions are more than {MAX_REGIONS}; divide them by hand first")]
    TooMany(usize),
    /// Two regions have one name.
    #[error("there are two regions `{0}`; give one of them another name")]
    Same(RegionId),
    /// A region is its own partner, or its partner is none.
    #[error(
        "region `{region}` fails over to `{to}`, which is no other region of the release; correct the name"
    )]
    FailsOverToNothing {
        /// The region.
        region: RegionId,
        /// What it names.
        to: RegionId,
    },
    /// Hours out of order.
    #[error(
        "the hours of region `{0}` are out of order; each has to end after it begins, and no later than the next begins"
    )]
    Hours(RegionId),
    /// A region has too many hours.
    #[error(
        "region `{region}` has {hours} hours on call, and at most {MAX_HOURS} are looked at; leave out those long after the release, and join those that follow each other"
    )]
    TooManyHours {
        /// Which.
        region: RegionId,
        /// How many it has.
        hours: usize,
    },
    /// A rule that allows nothing.
    #[error("`{field}` is {value}; {remedy}")]
    Rule {
        /// Which.
        field: &'static str,
        /// What it is.
        value: u32,
        /// What would do.
        remedy: &'static str,
    },
    /// A region is more than a wave may reach.
    #[error(
        "region `{region}` has {percent} % of all users, and a wave may reach {most} %; allow that, or divide the region"
    )]
    TooLarge {
        /// The region.
        region: RegionId,
        /// Its part, in percent, rounded down.
        percent: u64,
        /// What a wave may reach.
        most: u8,
    },
    /// Nobody is there for long enough.
    #[error("nobody is on call in {} for {attended} at any time from {from} on; name more hours", names(.regions))]
    NobodyThere {
        /// Those of the regions that are left in which nobody is: what only has to wait for others is not named.
        regions: Vec<RegionId>,
        /// For how long somebody has to be there.
        attended: Span,
        /// From when on: when what goes before them is done, at the earliest.
        from: Timestamp,
    },
    /// Not all divisions were looked at, and of those that were none comes to an end.
    #[error(
        "step by step no waves were found for all regions: {} are left at the end of the best try. There may be some all the same: of more than {EXACT} regions not all divisions are looked at. Divide the release into parts of at most {EXACT} regions, name more hours, or allow more growth",
        names(.regions)
    )]
    NoneFound {
        /// The regions that are left.
        regions: Vec<RegionId>,
    },
    /// There are waves, but of each division one that is not the last is smaller than the one before it.
    #[error(
        "there are waves, but one is always smaller than the one before it: {} are left; set `never_smaller` to false, or allow a smaller first wave or more growth",
        names(.regions)
    )]
    Smaller {
        /// The regions that are left.
        regions: Vec<RegionId>,
    },
    /// After some waves none may follow.
    #[error("no first wave is small enough, or none may follow: {} are left; allow more growth or a larger first wave", names(.regions))]
    Stuck {
        /// The regions that are left.
        regions: Vec<RegionId>,
    },
}

fn names(regions: &[RegionId]) -> String {
    let names: Vec<_> = regions.iter().map(|id| format!("`{id}`")).collect();
    names.join(", ")
}

/// Regions by number, as sets of bits.
struct Setting<'a> {
    regions: &'a [WaveRegion],
    rules: WaveRules,
    all: u128,
    partners: Vec<u64>,
    hours: Hours,
}

/// Divides regions into waves from `start` on.
///
/// Of all plans that keep the rules it is one that ends first, with rather more and smaller waves, few users first, and the same one whenever it is
/// asked. Beyond [`EXACT`] regions it takes wave by wave as many as it may, in several orders, and
/// [`shortest`](WavePlan::shortest) says that there may be better ones.
///
/// # Errors
/// [`WaveError`] says what cannot be, and what to change; [`WaveError::NoneFound`] alone, that nothing was found and there may be some.
pub fn waves(
    regions: &[WaveRegion],
    rules: WaveRules,
    start: Timestamp,
) -> Result<WavePlan, WaveError> {
    let setting = Setting::new(regions, rules)?;
    if regions.len() <= EXACT { setting.exactly(start) } else { setting.by_steps(start) }
}

impl<'a> Setting<'a> {
    fn new(regions: &'a [WaveRegion], rules: WaveRules) -> Result<Self, WaveError> {
        if regions.is_empty() {
            return Err(WaveError::Empty);
        }
        if regions.len() > MAX_REGIONS {
            return Err(WaveError::TooMany(regions.len()));
        }
        check_rules(rules)?;
        let mut numbers = BTreeMap::new();
        for (number, region) in regions.iter().enumerate() {
            if numbers.insert(&region.id, number).is_some() {
                return Err(WaveError::Same(region.id.clone()));
            }
            check_hours(region)?;
        }
        let mut partners = vec![0_u64; regions.len()];
        for (number, region) in regions.iter().enumerate() {
            for to in &region.failover {
                let other = numbers.get(to).filter(|other| **other != number);
                let Some(&other) = other else {
                    let (region, to) = (region.id.clone(), to.clone());
                    return Err(WaveError::FailsOverToNothing { region, to });
                };
                for (one, two) in [(number, other), (other, number)] {
                    if let Some(set) = partners.get_mut(one) {
                        *set |= 1 << two;
                    }
                }
            }
        }
        let all: u128 = regions.iter().map(|region| u128::from(region.users)).sum();
        for region in regions {
            let part = u128::from(region.users) * 100;
            if part > all * u128::from(rules.most_percent) {
                let percent = u64::try_from(part / all.max(1)).unwrap_or(u64::MAX);
                let (region, most) = (region.id.clone(), rules.most_percent);
                return Err(WaveError::TooLarge { region, percent, most });
            }
        }
        let hours = Hours::of(regions, rules.attended);
        Ok(Self { regions, rules, all, partners, hours })
    }

    const fn everything(&self) -> u64 {
        u64::MAX >> (64 - self.regions.len())
    }

    fn of(&self, set: u64) -> impl Iterator<Item = (usize, &'a WaveRegion)> {
        self.regions.iter().enumerate().filter(move |(number, _)| set >> number & 1 == 1)
    }

    fn users(&self, set: u64) -> u128 {
        self.of(set).map(|(_, region)| u128::from(region.users)).sum()
    }

    /// Whether a wave of these regions may follow when those are done.
    fn allowed(&self, done: u64, wave: u64) -> bool {
        let (users, before) = (self.users(wave), self.users(done));
        let part = |percent: u8| self.all * u128::from(percent);
        let small = users * 100 <= part(self.rules.most_percent);
        let grows = if before == 0 {
            users * 100 <= part(self.rules.first_percent)
        } else {
            users * 100 <= before * u128::from(self.rules.growth_percent)
        };
        small && grows && self.apart(wave)
    }

    /// Whether a wave may follow one that reached so many users, by that alone.
    fn large_enough(&self, done: u64, wave: u64, last: u128) -> bool {
        !self.rules.never_smaller || done | wave == self.everything() || self.users(wave) >= last
    }

    fn apart(&self, wave: u64) -> bool {
        let partner = |number: usize| self.partners.get(number).copied().unwrap_or(0);
        self.of(wave).all(|(number, _)| partner(number) & wave == 0)
    }

    /// Until when a wave that begins then has been watched for long enough.
    fn baked(&self, done: u64, begins: Timestamp) -> Timestamp {
        let bake = if done == 0 { self.rules.first_bake } else { self.rules.bake };
        begins.plus(self.rules.rollout).plus(bake)
    }

    fn wave(&self, done: u64, wave: u64, from: Timestamp) -> Option<Wave> {
        let begins = self.hours.together(wave, from)?;
        let baked = self.baked(done, begins);
        let regions = self.of(wave).map(|(_, region)| region.id.clone()).collect();
        Some(Wave { begins, baked, regions })
    }
}

fn check_rules(rules: WaveRules) -> Result<(), WaveError> {
    let within = |field, value: u32, sound: bool, remedy| {
        if sound { Ok(()) } else { Err(WaveError::Rule { field, value, remedy }) }
    };
    let percent = "write 1 to 100";
    let (most, first) = (rules.most_percent, rules.first_percent);
    within("most_percent", most.into(), (1..=100).contains(&most), percent)?;
    within("first_percent", first.into(), (1..=100).contains(&first), percent)?;
    let growth = rules.growth_percent;
    within(
        "growth_percent",
        growth,
        growth > 0,
        "write how much more a wave may reach than all before it",
    )
}

fn check_hours(region: &WaveRegion) -> Result<(), WaveError> {
    let hours = region.on_call.len();
    if hours > MAX_HOURS {
        return Err(WaveError::TooManyHours { region: region.id.clone(), hours });
    }
    let ordered = region.on_call.iter().all(|(begins, ends)| begins < ends)
        && region
            .on_call
            .iter()
            .zip(region.on_call.iter().skip(1))
            .all(|(one, next)| one.1 <= next.0);
    if ordered { Ok(()) } else { Err(WaveError::Hours(region.id.clone())) }
}
