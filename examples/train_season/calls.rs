//! When teams say that they have seen the first wave, and who is called where one has not in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::model::{Principal, Span, TeamId, Timestamp, TrainId};
use release_policy::train::departure::{Event, Journey, Missed};
use release_providers::escalation::{Escalated, Escalation, Escalator};
use release_providers::spi::Pager;
use release_testkit::fakes::FakePager;

use crate::platform::Platform;
use crate::play::Failure;
use crate::season::{HOUR, LATE_WEEK, Season, before};

/// Who is called.
pub(crate) const CALLED: &str = "release";
/// So long before the deadline a team is there that is in time.
const AHEAD: Span = Span::secs(HOUR);

/// Calls over a pager, a fake of the testkit.
#[derive(Debug)]
pub(crate) struct Calls {
    escalator: Escalator,
    pager: Arc<FakePager>,
    /// Those about the train that is under way, by their keys.
    made: BTreeMap<String, Call>,
}

/// A call about a sync point that was missed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    about: Escalation,
    /// What was told when it was made.
    pub(crate) missed: Missed,
    pub(crate) at: Timestamp,
    /// When all were there, and it was ended.
    pub(crate) ended: Option<Timestamp>,
}

impl Calls {
    pub(crate) fn new(platform: &Platform) -> Result<Self, Failure> {
        let team: TeamId = CALLED.parse()?;
        let pager = Arc::new(FakePager::new([team]));
        let dynamic: Arc<dyn Pager> = pager.clone();
        let by = Principal::service("trains".parse()?);
        let escalator = Escalator::new(dynamic, platform.clock(), by);
        Ok(Self { escalator, pager, made: BTreeMap::new() })
    }

    /// Calls about what is missed just now, and ends the calls about what is not any more. It may be asked as often as one likes.
    pub(crate) fn look(
        &mut self,
        platform: &Platform,
        train: &TrainId,
        (journey, events): (&Journey, &[Event]),
    ) -> Result<(), Failure> {
        let at = platform.now();
        let mut open = BTreeSet::new();
        for missed in journey.missed(events, at) {
            let key = missed.key(train);
            let teams = [missed.escalate.clone()];
            let about = Escalation::new(key.clone(), teams, missed.to_string())?;
            for (team, became) in platform.drive(self.escalator.missed(&about))? {
                match became {
                    Escalated::Called | Escalated::Stands(_) => {}
                    other => return Err(format!("{team} was not called: {other:?}").into()),
                }
            }
            let call = Call { about, missed, at, ended: None };
            self.made.entry(key.clone()).or_insert(call);
            open.insert(key);
        }
        let over = |(key, call): &(&String, &mut Call)| {
            call.ended.is_none() && !open.contains(key.as_str())
        };
        for (_, call) in self.made.iter_mut().filter(over) {
            let became = platform.drive(self.escalator.come(&call.about))?;
            if !became.values().all(Escalated::is_settled) {
                return Err(format!("a call does not end: {became:?}").into());
            }
            call.ended = Some(at);
        }
        Ok(())
    }

    /// Those that were made about a train that is through, or back.
    pub(crate) fn take(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.made).into_values().collect()
    }

    /// The keys of all calls, as the pager has them.
    pub(crate) fn paged(&self) -> Vec<String> {
        self.pager.with(|known| known.made().map(|(key, _)| key.to_owned()).collect())
    }
}

/// When each team is at the sync points of a way: an hour before the deadline, and the late team in its week well after.
pub(crate) fn arrivals(season: &Season, journey: &Journey, week: u64) -> Vec<Event> {
    let mut arrivals = Vec::new();
    for point in &journey.spec().sync_points {
        for team in &point.awaits {
            let minutes = season.dice.draw(&format!("seen/{team}"), 20, 50);
            let is_late = week == LATE_WEEK && team.as_str() == season.late;
            let at = if is_late {
                point.deadline.plus(Span::secs(60 * minutes))
            } else {
                before(point.deadline, AHEAD)
            };
            arrivals.push(Event::Arrived { point: point.id.clone(), team: team.clone(), at });
        }
    }
    arrivals
}
