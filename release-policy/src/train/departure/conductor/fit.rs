//! What a plan does at each stop of a train, and whether it can go where the train goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use release_core::model::{EnvironmentId, RegionId, RunId, ServiceId, StopId, Timestamp};
use release_core::plan::{Part, Plan, Step};
use release_core::run::RunState;

use super::{Fixed, place};

/// How many of the changes that a plan lacks at a stop are known by name.
const MOST_LACKS: usize = 64;
/// Of how many runs of one plan it is kept how far they are.
const MOST_RUNS: usize = 16;

/// One way in which a plan does not fit a train.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFault {
    /// What the train does first, the plan does last: each would wait for the other for ever.
    #[error(
        "the plan goes to `{region}` of stop `{stop}` after `{before}` of the later stop `{later}`, so that each would wait for the other; put waves and stops in one order"
    )]
    Order {
        /// The stop that comes first.
        stop: StopId,
        /// A region of it.
        region: RegionId,
        /// A stop that comes later.
        later: StopId,
        /// The region of that which comes first in the plan.
        before: RegionId,
    },
    /// It does not bring all that is aboard to all regions of a stop, so that no run of it shows that the stop is done.
    #[error(
        "the plan lacks {count} changes at stop `{stop}`, first `{service}` in `{region}`; plan them, leave them out of the train, or tell when the stop is done"
    )]
    Lacks {
        /// The stop.
        stop: StopId,
        /// How many changes of a service in a region are not part of the plan.
        count: usize,
        /// The first such service.
        service: ServiceId,
        /// The region in which it is not changed.
        region: RegionId,
    },
}

/// All ways in which a plan does not fit a train: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanMismatch(Vec<PlanFault>);

impl PlanMismatch {
    /// All of them: what is in another order, then what is lacking, each in the order of the stops.
    pub fn all(&self) -> &[PlanFault] {
        &self.0
    }

    /// Whether no run of the plan can end well under the train ([`PlanFault::Order`]). Where none does, the plan is a part of what the train
    /// brings, and the host has to tell of the stops that others bring as well.
    pub fn contradicts(&self) -> bool {
        self.0.iter().any(PlanFault::contradicts)
    }
}

impl PlanFault {
    const fn contradicts(&self) -> bool {
        matches!(self, Self::Order { .. })
    }
}

impl fmt::Display for PlanMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(nth, fault)| {
            write!(f, "{}{fault}", if nth == 0 { "" } else { "; also, " })
        })
    }
}

impl std::error::Error for PlanMismatch {}

/// What a plan does at each stop.
pub(super) struct PlanStops {
    pub(super) stops: Vec<AtStop>,
    faults: Vec<PlanFault>,
    entries: Mutex<BTreeMap<RunId, Entries>>,
}

/// When stops began in a run, by what of it was looked at: that is looked at no more, unless the state that asks has something else in its
/// place ([`RunState::entered_mark`]). So an answer depends on that state alone.
#[derive(Default)]
struct Entries {
    /// How much was looked at, and its mark.
    count: usize,
    mark: u64,
    /// By the places of the stops.
    began: BTreeMap<usize, Timestamp>,
}

/// What a plan does at a stop.
#[derive(Default)]
pub(super) struct AtStop {
    /// Its steps there, but for those that tidy up behind: the last first, which are the last to be done.
    steps: Vec<u32>,
    /// What is aboard and not changed in a region of the stop: how often, and the first of them.
    lacking: usize,
    lacks: Vec<(RegionId, ServiceId)>,
    cursors: Mutex<BTreeMap<RunId, Cursor>>,
}

/// How far a run is at a stop, as it was when it was asked last. It only says where to look first, or repeats what was found in a state of
/// which the same is known: an answer depends on the run as it stands alone.
#[derive(Default)]
struct Cursor {
    /// The place of a step that was not settled.
    open: usize,
    /// In which states all were settled ([`RunState::settled_mark`]).
    settled: Option<u64>,
}

impl PlanStops {
    /// Costs time in proportion to the plan, and to what is aboard in all regions of the stops.
    pub(super) fn new(fixed: &Fixed, plan: &Plan) -> Self {
        let own: Vec<_> = plan.steps().iter().map(|step| concerned(fixed, step)).collect();
        let stops = at_stops(fixed, plan.steps(), &own);
        let mut faults = orders(fixed, plan, &own);
        for (stop, at) in fixed.train.spec().stops.iter().zip(&stops) {
            faults.extend(at.lacks.first().map(|(region, service)| PlanFault::Lacks {
                stop: stop.id.clone(),
                count: at.lacking,
                service: service.clone(),
                region: region.clone(),
            }));
        }
        Self { stops, faults, entries: Mutex::default() }
    }

    /// When stops began in a run, by their places. Costs time in proportion to what was first changed since the same run asked last, and
    /// to the stops.
    pub(super) fn began(&self, fixed: &Fixed, run: &RunState) -> BTreeMap<usize, Timestamp> {
        let environment = &fixed.train.spec().environment;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MOST_RUNS && !entries.contains_key(run.run()) {
            entries.pop_first();
        }
        let known = entries.entry(run.run().clone()).or_default();
        if run.entered_mark(environment, known.count) != Some(known.mark) {
            *known = Entries::default();
        }
        for (region, service, at) in run.entered_since(environment, known.count) {
            known.count += 1;
            // What is not aboard goes as it likes, and says nothing of stops.
            let aboard = service.is_none_or(|service| fixed.aboard.contains_key(service));
            if let Some(nth) = fixed.stops.get(region).filter(|_| aboard) {
                known.began.entry(*nth).and_modify(|began| *began = at.min(*began)).or_insert(at);
            }
        }
        known.mark = run.entered_mark(environment, known.count).unwrap_or_default();
        known.began.clone()
    }

    /// All in which the plan does not fit the train.
    pub(super) fn fits(self) -> Result<(), PlanMismatch> {
        if self.faults.is_empty() { Ok(()) } else { Err(PlanMismatch(self.faults)) }
    }

    /// Why no run of the plan can end well under the train.
    pub(super) fn contradictions(&self) -> impl Iterator<Item = &PlanFault> {
        self.faults.iter().filter(|fault| fault.contradicts())
    }

    /// What the plan lacks at a stop, but for what `run` left behind.
    pub(super) fn lacks(&self, fixed: &Fixed, run: &RunState, stop: &StopId) -> Option<&PlanFault> {
        let place = fixed.train.spec().stops.iter().position(|one| one.id == *stop)?;
        if self.stops.get(place)?.is_whole(fixed, run) {
            return None;
        }
        let here =
            |fault: &&PlanFault| matches!(fault, PlanFault::Lacks { stop: one, .. } if one == stop);
        self.faults.iter().find(here)
    }
}

impl AtStop {
    /// Whether a run has done there all that it will do, and that is all that there was to do.
    ///
    /// While it is under way, this looks at a step that was not done when it was asked last, and on from there. Once it is done, it looks
    /// at all again only when other steps of the run have ended.
    pub(super) fn is_done(&self, fixed: &Fixed, run: &RunState) -> bool {
        self.is_whole(fixed, run) && self.is_settled(run)
    }

    /// Whether all that is aboard is changed in all regions of the stop, but for what the run left behind.
    fn is_whole(&self, fixed: &Fixed, run: &RunState) -> bool {
        let environment = &fixed.train.spec().environment;
        let left = |(region, service): &(RegionId, ServiceId)| {
            run.left_behind().any(|part| covers(part, (environment, region, service)))
        };
        self.lacking <= self.lacks.len() && self.lacks.iter().all(left)
    }

    fn is_settled(&self, run: &RunState) -> bool {
        let mark = run.settled_mark();
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if cursors.len() >= MOST_RUNS && !cursors.contains_key(run.run()) {
            cursors.pop_first();
        }
        let cursor = cursors.entry(run.run().clone()).or_default();
        if cursor.settled == Some(mark) {
            return true;
        }
        let (before, behind) = self.steps.split_at(cursor.open.min(self.steps.len()));
        let is_open = |index: &u32| !run.is_settled(*index);
        let found = behind.iter().position(is_open).map(|nth| nth + before.len());
        let open = found.or_else(|| before.iter().position(is_open));
        if let Some(open) = open {
            cursor.open = open;
        } else {
            cursor.settled = Some(mark);
        }
        open.is_none()
    }
}

fn covers(part: &Part, at: (&EnvironmentId, &RegionId, &ServiceId)) -> bool {
    match part {
        Part::Service { service } => service == at.2,
        Part::Region { environment, region } => environment == at.0 && region == at.1,
    }
}

/// The place of the stop at which a step is, its region, and its service, if it is the train's.
type Own<'p> = Option<(usize, &'p RegionId, Option<&'p ServiceId>)>;

fn concerned<'p>(fixed: &Fixed, step: &'p Step) -> Own<'p> {
    let (environment, region, service) = place(step)?;
    let aboard = service.is_none_or(|service| fixed.aboard.contains_key(service));
    let nth = *fixed.stops.get(region)?;
    (aboard && *environment == fixed.train.spec().environment).then_some((nth, region, service))
}

fn at_stops(fixed: &Fixed, steps: &[Step], own: &[Own<'_>]) -> Vec<AtStop> {
    let specs = &fixed.train.spec().stops;
    let mut found: Vec<AtStop> = specs.iter().map(|_| AtStop::default()).collect();
    let mut changed: Vec<BTreeSet<(&RegionId, &ServiceId)>> = vec![BTreeSet::new(); specs.len()];
    for ((index, step), own) in (0_u32..).zip(steps).zip(own) {
        let Some((nth, region, service)) = *own else { continue };
        if let Some(stop) = found.get_mut(nth).filter(|_| !step.finale) {
            stop.steps.push(index);
        }
        if let (Some(service), Some(here)) = (service, changed.get_mut(nth))
            && step.action.mutates()
        {
            here.insert((region, service));
        }
    }
    for ((at, stop), changed) in found.iter_mut().zip(specs).zip(&changed) {
        at.steps.reverse();
        let all = stop
            .regions
            .iter()
            .flat_map(|region| fixed.aboard.keys().map(move |service| (region, service)));
        at.lacking = (stop.regions.len() * fixed.aboard.len()).saturating_sub(changed.len());
        let lacks = all.filter(|one| !changed.contains(one)).take(at.lacking.min(MOST_LACKS));
        at.lacks = lacks.map(|(region, service)| (region.clone(), service.clone())).collect();
    }
    found
}

/// Where the plan goes to a region of a stop only behind one of a later stop: once for each such region.
fn orders(fixed: &Fixed, plan: &Plan, own: &[Own<'_>]) -> Vec<PlanFault> {
    let steps = plan.steps();
    // A plan that was made has an order.
    let Ok(order) = plan.order() else { return Vec::new() };
    let mut places = vec![0_usize; steps.len()];
    for (nth, index) in order.iter().enumerate() {
        if let Some(place) = places.get_mut(*index as usize) {
            *place = nth;
        }
    }
    let mut edges: Vec<_> = plan.edges().iter().collect();
    edges.sort_by_key(|edge| places.get(edge.from as usize).copied());
    // Of each step, the latest stop at which something waits for the train before it, and in which region.
    let mut latest: Vec<Option<(usize, &RegionId)>> = vec![None; steps.len()];
    for edge in edges {
        let from = edge.from as usize;
        let held = steps.get(from).filter(|step| !step.action.is_pure());
        let here = held.and_then(|_| own.get(from).copied().flatten());
        let here = here.map(|(nth, region, _)| (nth, region));
        let before = latest.get(from).copied().flatten().max(here);
        if let Some(known) = latest.get_mut(edge.to as usize) {
            *known = before.max(*known);
        }
    }
    let mut found: BTreeMap<(usize, &RegionId), (usize, &RegionId)> = BTreeMap::new();
    for ((step, own), latest) in steps.iter().zip(own).zip(latest) {
        if let (Some((nth, region, _)), Some(before)) = (*own, latest)
            && before.0 > nth
            && !step.finale
        {
            found.entry((nth, region)).or_insert(before);
        }
    }
    let id = |nth: usize| fixed.train.spec().stops.get(nth).map(|stop| stop.id.clone());
    let faults = found.into_iter().filter_map(|((nth, region), (later, before))| {
        let (region, before) = (region.clone(), before.clone());
        Some(PlanFault::Order { stop: id(nth)?, region, later: id(later)?, before })
    });
    faults.collect()
}
