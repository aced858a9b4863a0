//! What is simulated: everything that is fixed before chance has its say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::engine::ledger::Pages;
use release_core::limits::Limits;
use release_core::model::{Digest, Principal, RunId, Span, Target, Timestamp};
use release_core::plan::{Action, FrozenPlan, Weight};
use release_core::port::{PermitAll, Policy};
use release_core::run::Directive;
use release_policy::Windows;

use super::fakes::Fakes;
use super::faults::FaultPlan;
use super::humans::Humans;
use super::pct::Scheduler;
use super::provider::Providers;
use super::script::{Deed, When};
use super::world::{Badness, Place};

/// A run, and when it is to start.
#[derive(Debug, Clone)]
pub(super) struct Departure {
    pub(super) run: RunId,
    pub(super) plan: FrozenPlan,
    pub(super) requester: Principal,
    pub(super) after: Span,
}

#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) start: Timestamp,
    pub(super) departures: Vec<Departure>,
    pub(super) places: BTreeMap<Target, Place>,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) windows: Vec<Windows>,
    pub(super) tightened: Vec<(Timestamp, Windows)>,
    pub(super) faults: FaultPlan,
    pub(super) humans: Humans,
    pub(super) providers: Providers,
    pub(super) engines: usize,
    pub(super) scheduler: Scheduler,
    pub(super) limits: Option<Arc<Limits>>,
    /// After how many records a stream of the ledger of permits is full.
    pub(super) ledger_page: Option<u64>,
    pub(super) bad: Vec<(Digest, Badness)>,
    pub(super) fakes: Option<Fakes>,
    pub(super) commands: Vec<(Span, usize, Directive)>,
    pub(super) max_recoveries: u32,
    pub(super) poison: BTreeSet<usize>,
    /// When which run is to go on with which plan.
    pub(super) migrations: Vec<(Span, usize, FrozenPlan)>,
    pub(super) deeds: Vec<(Timestamp, Deed)>,
    pub(super) whens: Vec<When>,
    pub(super) span: Span,
    pub(super) heal_for: Span,
    pub(super) most_happenings: u64,
}

impl Setup {
    pub(super) fn new(start: Timestamp) -> Self {
        Self {
            start,
            departures: Vec::new(),
            places: BTreeMap::new(),
            policy: Arc::new(PermitAll),
            windows: Vec::new(),
            tightened: Vec::new(),
            faults: FaultPlan::none(),
            humans: Humans::new(),
            providers: Providers::new(),
            engines: 1,
            scheduler: Scheduler::Uniform,
            limits: None,
            ledger_page: None,
            bad: Vec::new(),
            fakes: None,
            commands: Vec::new(),
            max_recoveries: u32::MAX,
            poison: BTreeSet::new(),
            migrations: Vec::new(),
            deeds: Vec::new(),
            whens: Vec::new(),
            span: Span::secs(24 * 3600),
            heal_for: Span::secs(60 * 24 * 3600),
            most_happenings: 5_000_000,
        }
    }

    /// The ledger of permits, of which nothing was read.
    pub(super) fn pages(&self) -> Option<Pages> {
        let pages = Pages::new(1)?;
        Some(match self.ledger_page {
            Some(records) => pages.full_after(records),
            None => pages,
        })
    }

    /// Puts what a plan replaces where it is replaced, unless something is there already: all instances,
    /// and all the traffic.
    pub(super) fn place_old(&mut self, plan: &FrozenPlan) {
        for step in plan.plan().steps() {
            let release_core::plan::Undo::Compensate(undo) = &step.undo else { continue };
            for compensation in undo {
                match &compensation.action {
                    Action::Scale { deployment, replicas, .. } if *replicas > 0 => {
                        let digest = deployment.artifact.digest();
                        let place = self.places.entry(deployment.target.clone()).or_default();
                        if place.running.is_empty() {
                            place.running.insert(digest, *replicas);
                        }
                    }
                    Action::Route { target, weights, .. } => {
                        let place = self.places.entry(target.clone()).or_default();
                        if place.weights.is_empty() {
                            place.weights = weights
                                .iter()
                                .filter(|w| w.percent > 0)
                                .cloned()
                                .collect::<Vec<Weight>>();
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}
