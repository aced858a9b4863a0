//! Which stops began and which are done, as the run says that asks.

use std::sync::Arc;

use release_core::plan::FrozenPlan;
use release_core::run::RunState;

use super::Fixed;
use super::fit::PlanStops;
use crate::per_plan::PerPlan;
use crate::train::departure::Event;

/// What plans do at each stop.
#[derive(Debug, Clone, Default)]
pub(super) struct Plans(PerPlan<PlanStops>);

impl Plans {
    /// The stops that began in a run, that are done, and that were left behind before they began.
    ///
    /// Costs time in proportion to the stops until there, and to what was first changed since that was asked last; of steps, it looks at no
    /// more than [`AtStop::is_done`](super::fit::AtStop::is_done) says.
    pub(super) fn seen(&self, fixed: &Fixed, run: &RunState) -> Vec<Event> {
        let known = self.of(fixed, run.plan());
        let is_lenient = run.left_behind().next().is_some() || run.halted().is_some();
        let began = known.began(fixed, run);
        let mut events = Vec::new();
        for ((nth, stop), plan) in fixed.train.spec().stops.iter().enumerate().zip(&known.stops) {
            let own = began.get(&nth).copied();
            events.extend(own.map(|at| Event::Began { stop: stop.id.clone(), at }));
            let next = began.range(nth + 1..).next().map(|(_, at)| *at);
            // A stop began only once those before it were done; of the last, its steps tell. So do those of one that never began, since
            // all of it was left behind: there is nothing to go back from.
            let done = match (own, next) {
                (Some(_), Some(next)) => Some(next),
                _ => plan.is_done(fixed, run).then(|| next.unwrap_or_else(|| run.now())),
            };
            let is_untouched = own.is_none() && is_lenient;
            events.extend(done.map(|at| {
                let stop = stop.id.clone();
                if is_untouched { Event::LeftBehind { stop, at } } else { Event::Done { stop, at } }
            }));
            if done.is_none() && next.is_none() {
                break;
            }
        }
        events
    }

    /// What a plan does at each stop.
    pub(super) fn of(&self, fixed: &Fixed, plan: &FrozenPlan) -> Arc<PlanStops> {
        self.0.of(plan, |plan| PlanStops::new(fixed, plan))
    }
}
