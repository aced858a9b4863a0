//! Which stops began and which are done, as the run says that asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use release_core::model::{Digest, RegionId, ServiceId, StopId, Timestamp};
use release_core::plan::{FrozenPlan, OnFailure, Step};
use release_core::run::{RunState, Status};

use super::{Fixed, place};
use crate::train::departure::Event;

/// Of how many plans it is kept which steps are of which stop.
const MOST_PLANS: usize = 16;

/// What plans do at each stop: found once for each, since plans are large.
#[derive(Clone, Default)]
pub(super) struct Plans(Arc<Mutex<BTreeMap<Digest, Stops>>>);

/// What one does at each stop.
type Stops = Arc<Vec<AtStop>>;

impl fmt::Debug for Plans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plans").finish_non_exhaustive()
    }
}

/// What a plan does at a stop.
#[derive(Default)]
struct AtStop {
    /// Its steps there, but for those that tidy up behind.
    steps: Vec<u32>,
    /// Whether it changes all that is aboard in all regions of the stop.
    all: bool,
}

impl Plans {
    /// The stops that began in a run, and that are done.
    ///
    /// Costs time in proportion to the regions that began; and to the steps of the last stop that did, as far as these are done.
    pub(super) fn seen(&self, fixed: &Fixed, run: &RunState) -> Vec<Event> {
        let mut began: BTreeMap<usize, Timestamp> = BTreeMap::new();
        for (region, at) in run.entered(&fixed.train.spec().environment) {
            if let Some(nth) = fixed.stops.get(region) {
                began.entry(*nth).and_modify(|known| *known = at.min(*known)).or_insert(at);
            }
        }
        let stops = &fixed.train.spec().stops;
        let id = |nth: usize| stops.get(nth).map(|stop| stop.id.clone());
        let mut events: Vec<_> = began
            .iter()
            .filter_map(|(nth, at)| Some(Event::Began { stop: id(*nth)?, at: *at }))
            .collect();
        // A stop began only once those before it were done; of the last, its steps tell.
        let mut next: Option<Timestamp> = None;
        for (nth, at) in began.iter().rev() {
            let done = match next.replace(*at) {
                Some(next) => Some(next),
                None => self.is_done(fixed, run, *nth).then(|| run.now()),
            };
            let done = done.zip(id(*nth));
            events.extend(done.map(|(at, stop): (Timestamp, StopId)| Event::Done { stop, at }));
        }
        events
    }

    fn is_done(&self, fixed: &Fixed, run: &RunState, nth: usize) -> bool {
        let stops = self.of(fixed, run.plan());
        let Some(AtStop { steps, all }) = stops.get(nth) else { return false };
        // The last of them are the last to be done.
        *all && steps.iter().rev().all(|index| is_over(run, *index))
    }

    fn of(&self, fixed: &Fixed, plan: &FrozenPlan) -> Stops {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stops) = known.get(&plan.digest()) {
            return Arc::clone(stops);
        }
        let stops = Arc::new(at_stops(fixed, plan.plan().steps()));
        if known.len() >= MOST_PLANS {
            known.pop_first();
        }
        known.insert(plan.digest(), Arc::clone(&stops));
        stops
    }
}

fn at_stops(fixed: &Fixed, steps: &[Step]) -> Vec<AtStop> {
    let spec = fixed.train.spec();
    let mut found: Vec<AtStop> = spec.stops.iter().map(|_| AtStop::default()).collect();
    let mut changed: BTreeSet<(&RegionId, &ServiceId)> = BTreeSet::new();
    for (index, step) in (0_u32..).zip(steps) {
        let Some((environment, region, service)) = place(step) else { continue };
        let own = service.is_none_or(|service| fixed.aboard.contains_key(service));
        let stop = fixed.stops.get(region).and_then(|nth| found.get_mut(*nth));
        let Some(stop) = stop.filter(|_| own && *environment == spec.environment) else { continue };
        if !step.finale {
            stop.steps.push(index);
        }
        changed.extend(service.filter(|_| step.action.mutates()).map(|service| (region, service)));
    }
    for (at, stop) in found.iter_mut().zip(&spec.stops) {
        let everywhere = |service: &ServiceId| {
            stop.regions.iter().all(|region| changed.contains(&(region, service)))
        };
        at.all = fixed.aboard.keys().all(everywhere);
    }
    found
}

/// Whether a step is done, or failed where nobody minds.
fn is_over(run: &RunState, index: u32) -> bool {
    match run.status(index) {
        Some(Status::Succeeded) => true,
        Some(Status::Failed) => {
            run.plan().get(index).is_some_and(|step| step.on_failure == OnFailure::Continue)
        }
        _ => false,
    }
}
