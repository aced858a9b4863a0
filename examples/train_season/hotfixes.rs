//! Two hotfixes: what they do to the next train, and how they land.

use std::collections::BTreeSet;

use release_core::model::{HotfixId, Priority, RegionId, RunId, ServiceId, Span, Timestamp};
use release_core::run::Outcome;
use release_policy::compat::Versions;
use release_policy::train::WaveRegion;
use release_policy::train::calendar::ScheduledDeparture;
use release_policy::train::departure::{Hotfix, Slip, Superseded, lane};
use semver::Version;

use crate::backlog::Backlog;
use crate::platform::{Ran, Running, Wish};
use crate::play::Failure;
use crate::route::route;
use crate::season::{HOTFIX_WEEKS, HOUR, Season, WEEK, before};
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
    /// The newest of the versions that mend it: one for each that was live and is mended.
    pub(crate) version: Version,
    /// How what users get was verified before.
    pub(crate) staging: Vec<Ran>,
    pub(crate) runs: Vec<Ran>,
    /// What it replaced that was under way.
    pub(crate) superseded: Option<Superseded>,
}

impl Emergency {
    /// When it can be rolled out, if no freeze holds it.
    pub(crate) fn made(&self) -> Timestamp {
        self.arrives.plus(making(self.work))
    }

    fn in_version(&self, version: Version) -> Hotfix {
        let Self { id, arrives, work, service, .. } = self.clone();
        Hotfix { id, arrives, work, service, version }
    }
}

/// How many hours of the time for hotfixes each takes: the first fits the time that is kept, and the second does not.
const WORK: [(u64, u64); 2] = [(5, 7), (28, 30)];
/// The first can be rolled out so many minutes after the last wave of its train has begun, when that is under way.
const INTO_THE_WAVE: (u64, u64) = (2, 4);
/// The second is asked for so many minutes after its train departed, when that is nearly through.
const AFTER: (u64, u64) = (22 * 60, 26 * 60);

/// Those of a season, each in a service that the train changed.
pub(crate) fn emergencies(
    season: &Season,
    backlog: &Backlog,
    regions: &[WaveRegion],
) -> Result<Vec<Emergency>, Failure> {
    let each = HOTFIX_WEEKS.into_iter().zip(WORK).zip(1..);
    let each = each.map(|((week, (least, most)), number)| {
        let departs = season.calendar.departures().get(usize::try_from(week - 1)?);
        let departs = departs.ok_or("a week without a train")?.departs;
        let changed = backlog.features.iter().filter(|feature| feature.week == week);
        // What shares its version with others is not mended alone.
        let changed = changed.flat_map(|one| one.services.difference(&season.shared));
        let changed: Vec<&ServiceId> = changed.collect::<BTreeSet<_>>().into_iter().collect();
        let (dice, topic) = (season.dice, |what: &str| format!("hotfix/{number}/{what}"));
        let service = *dice.one_of(&topic("service"), &changed).ok_or("nothing was changed")?;
        let work = Span::secs(dice.draw(&topic("work"), least, most) * HOUR);
        let minutes = |(from, to)| Span::secs(60 * dice.draw(&topic("arrives"), from, to));
        let arrives = if number == 1 {
            let way = route(regions, &[], departs, departs.plus(Span::secs(WEEK)))?;
            let waves = way.ok_or("a train without a way")?.plan.waves;
            let last = waves.last().ok_or("a train without waves")?.begins;
            before(last.plus(minutes(INTO_THE_WAVE)), making(work))
        } else {
            departs.plus(minutes(AFTER))
        };
        let (id, service) = (format!("hotfix-{number}").parse()?, service.clone());
        Ok(Emergency { id, arrives, work, service, landed: None })
    });
    each.collect()
}

/// How long a hotfix is made, before it is rolled out.
fn making(work: Span) -> Span {
    work.as_duration().saturating_sub(ROLLOUT.as_duration()).into()
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
        self.land_those(|one| one.made() < until)
    }

    /// Rolls out the hotfixes that have not landed and of which this is so.
    pub(crate) fn land_those(&mut self, due: impl Fn(&Emergency) -> bool) -> Result<(), Failure> {
        let due = |one: &Emergency| one.landed.is_none() && due(one);
        while let Some(at) = self.hotfixes.iter().position(due) {
            let Some(hotfix) = self.hotfixes.get(at).cloned() else { break };
            let landed = self.land(&hotfix)?;
            if let Some(known) = self.hotfixes.get_mut(at) {
                known.landed = Some(landed);
            }
        }
        Ok(())
    }

    /// Mends what is live: of a train under way what that brings, wherever it did already. Each set is run in staging first. Of the train,
    /// the other regions get what is mended.
    fn land(&mut self, hotfix: &Emergency) -> Result<Landed, Failure> {
        let (id, service) = (&hotfix.id, &hotfix.service);
        self.platform.wait(hotfix.made())?;
        let train = self.under_way.as_ref();
        let brought = train.and_then(|train| train.aboard.get(service)).cloned();
        let mut groups = self.groups();
        groups.retain(|(live, _)| brought.is_none() || live.get(service) == brought.as_ref());
        let (mut newest, mut superseded) = (Version::new(0, 0, 0), None);
        let (mut staging, mut runs) = (Vec::new(), Vec::new());
        for ((mut to, regions), number) in groups.into_iter().zip(1..) {
            let live = to.get(service).cloned().ok_or("a service that is not there")?;
            let version = self.backlog.patch(service, &live);
            self.platform.store(&[self.backlog.built(service, &version)?])?;
            to.insert(service.clone(), version.clone());
            let (verified, evidence) = self.verify(format!("{id}-{number}-staging"), &to)?;
            staging.push(verified);
            let (decision, older) = self.decide(&hotfix.in_version(version.clone()))?;
            let reason = decision.as_ref().map(ToString::to_string).unwrap_or_default();
            let wish = Wish {
                regions: Some(&regions),
                priority: Priority::Hotfix,
                verified: true,
                instead_of: (&older, &reason),
                ..Wish::new(format!("{id}-{number}"), &to)
            };
            let running = self.platform.start(&self.services, &wish)?;
            let ran = self.platform.end(&running)?;
            if ran.outcome != Outcome::Succeeded {
                return Err(format!("{id} did not land: {}", ran.outcome).into());
            }
            runs.push(ran);
            superseded = superseded.or(decision);
            newest = newest.max(version.clone());
            if let Some(train) = self.under_way.as_mut().filter(|_| brought.is_some()) {
                train.aboard.insert(service.clone(), version);
                train.evidence.push(evidence);
            }
        }
        if runs.is_empty() {
            return Err(format!("{id} comes before what it mends is live anywhere").into());
        }
        Ok(Landed { at: self.platform.now(), version: newest, staging, runs, superseded })
    }

    /// What a hotfix takes the place of, of what is under way just now: decided once, and on record.
    fn decide(&mut self, hotfix: &Hotfix) -> Result<(Option<Superseded>, Vec<Running>), Failure> {
        let wave = self.under_way.as_ref().and_then(|train| train.wave.clone());
        let mut open = Vec::new();
        if let Some(run) = wave
            && self.platform.is_under_way(&run)?
        {
            open.push(run);
        }
        let under_way: Vec<_> = open.iter().filter_map(|run| run.of(&hotfix.service)).collect();
        let decision = hotfix.supersedes(&under_way, &self.decided, self.platform.now());
        let gone = decision.iter().flat_map(|decision| &decision.replaces);
        let gone: BTreeSet<&RunId> = gone.map(|(run, _)| run).collect();
        open.retain(|run| gone.contains(run.run()));
        self.decided.extend(decision.clone());
        Ok((decision, open))
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
