//! Two hotfixes: what they do to the next train, and how they land.

use std::collections::BTreeSet;

use release_core::model::{Digest, HotfixId, Priority, RegionId, ServiceId, Span, Timestamp};
use release_core::run::Outcome;
use release_policy::compat::{VerifiedSet, Versions};
use release_policy::train::calendar::ScheduledDeparture;
use release_policy::train::departure::{Hotfix, Slip, Superseded, UnderWay, lane};
use semver::Version;

use crate::backlog::Backlog;
use crate::platform::{Ran, Wish};
use crate::play::Failure;
use crate::season::{HOTFIX_WEEKS, HOUR, Season};
use crate::trains::Line;

/// The last part of the work on a hotfix is that it is rolled out.
const ROLLOUT: Span = Span::secs(HOUR);

/// Something that is mended at once.
#[derive(Debug, Clone)]
pub(crate) struct Emergency {
    pub(crate) id: HotfixId,
    pub(crate) arrives: Timestamp,
    /// How much of the time for hotfixes it takes.
    pub(crate) work: Span,
    pub(crate) service: ServiceId,
    /// What became of it.
    pub(crate) landed: Option<Landed>,
}

/// A hotfix that users have.
#[derive(Debug, Clone)]
pub(crate) struct Landed {
    pub(crate) at: Timestamp,
    /// The newest of the versions that mend it: one for each that is live or under way.
    pub(crate) version: Version,
    pub(crate) runs: Vec<Ran>,
    /// What it replaced that was under way.
    pub(crate) superseded: Option<Superseded>,
}

impl Emergency {
    /// When it can be rolled out, if no freeze holds it.
    pub(crate) fn made(&self) -> Timestamp {
        let before = self.work.as_duration().saturating_sub(ROLLOUT.as_duration());
        self.arrives.plus(before.into())
    }

    fn in_version(&self, version: Version) -> Hotfix {
        let Self { id, arrives, work, service, .. } = self.clone();
        Hotfix { id, arrives, work, service, version }
    }
}

/// How many hours after a train departs it is asked for, within how many minutes from then on, and how many hours it takes: the
/// first while the train is under way, and it fits the time that is kept for hotfixes; the second a day after, and it does not.
const COMING: [(u64, u64, (u64, u64)); 2] = [(11, 60, (5, 7)), (22, 240, (28, 30))];

/// Those of a season, each in a service that the train changed.
pub(crate) fn emergencies(season: &Season, backlog: &Backlog) -> Result<Vec<Emergency>, Failure> {
    let each = HOTFIX_WEEKS.into_iter().zip(COMING).zip(1..);
    let each = each.map(|((week, (after, within, (least, most))), number)| {
        let nth = usize::try_from(week - 1)?;
        let train = season.calendar.departures().get(nth).ok_or("a week without a train")?;
        let changed = backlog.features.iter().filter(|feature| feature.week == week);
        let changed: BTreeSet<&ServiceId> = changed.flat_map(|one| &one.services).collect();
        let changed: Vec<&ServiceId> = changed.into_iter().collect();
        let (dice, topic) = (season.dice, |what: &str| format!("hotfix/{number}/{what}"));
        let service = *dice.one_of(&topic("service"), &changed).ok_or("nothing was changed")?;
        let later = after * HOUR + 60 * dice.draw(&topic("arrives"), 0, within);
        Ok(Emergency {
            id: format!("hotfix-{number}").parse()?,
            arrives: train.departs.plus(Span::secs(later)),
            work: Span::secs(dice.draw(&topic("work"), least, most) * HOUR),
            service: service.clone(),
            landed: None,
        })
    });
    each.collect()
}

impl Line {
    /// By how much a train departs later for hotfixes that did not fit the time kept for them.
    pub(crate) fn slip(&self, next: &ScheduledDeparture) -> Result<Option<Slip>, Failure> {
        let Some(first) = self.departed.first() else { return Ok(None) };
        let departures: Vec<_> = self.departed.iter().chain([next]).cloned().collect();
        let known = self.hotfixes.iter();
        let known = known.filter(|one| (first.departs..next.departs).contains(&one.arrives));
        let known: Vec<_> = known.map(|one| one.in_version(Version::new(1, 0, 1))).collect();
        let slips = lane(&departures, &known)?.slips;
        Ok(slips.into_iter().find(|slip| slip.train == next.id))
    }

    /// Rolls out the hotfixes that are made before `until`.
    pub(crate) fn land_until(&mut self, until: Timestamp) -> Result<(), Failure> {
        let due = |one: &Emergency| one.landed.is_none() && one.made() < until;
        while let Some(at) = self.hotfixes.iter().position(due) {
            let Some(hotfix) = self.hotfixes.get(at).cloned() else { break };
            let landed = self.land(&hotfix)?;
            if let Some(known) = self.hotfixes.get_mut(at) {
                known.landed = Some(landed);
            }
        }
        Ok(())
    }

    /// Mends each version that is live, and the one that a train brings.
    fn land(&mut self, hotfix: &Emergency) -> Result<Landed, Failure> {
        let (id, service) = (&hotfix.id, &hotfix.service);
        self.platform.wait(hotfix.made());
        let mut newest = Version::new(0, 0, 0);
        let (mut under_way, mut runs) = (Vec::new(), Vec::new());
        if let Some(train) = &mut self.under_way
            && let Some(version) = train.aboard.get_mut(service)
        {
            let (run, old) = (train.run.clone(), version.clone());
            under_way.push(UnderWay { run, service: service.clone(), version: old });
            *version = self.backlog.patch(service, version);
            self.platform.store(service, version);
            newest = version.clone();
        }
        for ((before, regions), number) in self.groups().into_iter().zip(1..) {
            let live = before.get(service).ok_or("a service that is not there")?;
            let version = self.backlog.patch(service, live);
            self.platform.store(service, &version);
            newest = newest.max(version.clone());
            let mut to = before.clone();
            to.insert(service.clone(), version);
            let (name, priority) = (format!("{id}-{number}"), Priority::Hotfix);
            let wish = Wish { name, regions: Some(&regions), to: &to, priority };
            let ran = self.platform.run(&self.services, &wish)?;
            if ran.outcome != Outcome::Succeeded {
                return Err(format!("{id} did not land: {:?}", ran.outcome).into());
            }
            runs.push(ran);
        }
        let at = self.platform.now();
        if let [(versions, _)] = self.groups().as_slice() {
            let evidence = Digest::of(format!("{id} {at}").as_bytes());
            self.verified.push(VerifiedSet::whole(versions.clone(), evidence));
        }
        let superseded = hotfix.in_version(newest.clone()).supersedes(&under_way, &[], at);
        Ok(Landed { at, version: newest, runs, superseded })
    }

    /// Regions by what is deployed in them.
    pub(crate) fn groups(&self) -> Vec<(Versions, BTreeSet<RegionId>)> {
        let mut groups: Vec<(Versions, BTreeSet<RegionId>)> = Vec::new();
        for (region, versions) in &self.platform.fleet {
            match groups.iter_mut().find(|(known, _)| known == versions) {
                Some((_, regions)) => {
                    regions.insert(region.clone());
                }
                None => groups.push((versions.clone(), [region.clone()].into())),
            }
        }
        groups
    }
}
