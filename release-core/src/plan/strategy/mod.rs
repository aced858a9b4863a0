//! Strategies: functions that return steps. The engine knows nothing of them.
//!
//! A strategy sees a [`Site`] (one service in one target) and returns a [`Rollout`]: the steps that bring the new version in,
//! analyses that go on beside them, and the finale that removes the old version once the whole set is verified. The types of
//! [`model`](crate::model) that describe strategies are such strategies; a host adds its own by
//! [`Planner::strategy`](crate::plan::Planner::strategy):
//!
//! ```
//! use release_core::model::Definition;
//! use release_core::plan::Planner;
//! use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
//!
//! /// One percent for the curious, then everybody.
//! #[derive(Debug)]
//! struct Toe;
//!
//! impl RolloutStrategy for Toe {
//!     fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
//!         let all = site.replicas();
//!         let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", all)?];
//!         steps.push(site.route("toe", 1)?);
//!         steps.extend(site.judge("toe/", &[], &steps)?);
//!         steps.extend(site.still_routed("toe/", &steps)?);
//!         steps.push(site.route("everybody", 100)?);
//!         steps.push(site.still_ready("", all)?);
//!         let finale = site.retire("10m".parse().unwrap_or_default())?;
//!         Ok(Rollout { finale, ..Rollout::of(steps) })
//!     }
//! }
//!
//! # fn plan(definition: &Definition) -> Result<(), Box<dyn std::error::Error>> {
//! // A stage says `strategy: { other: { name: toe } }`.
//! let planner = Planner::new().strategy("toe", |_settings| Ok(Box::new(Toe)));
//! let plan = planner.plan(definition)?;
//! # Ok(())
//! # }
//! ```
#![doc = include_str!("table.md")]

mod blue_green;
mod canary;
mod experiment;
mod hooks;
mod judging;
mod looked;
pub(super) mod recreate;
mod roles;
mod rolling;
mod shares;
mod site;

use std::fmt;

pub(super) use hooks::{Called, OLD_READY_AGAIN, READY_AGAIN, ROUTED_AGAIN};
pub use roles::Roles;
pub use site::Site;

use self::shares::distributed;
use super::{Action, Step, Weight};
use crate::ids::{AnalysisId, IdError, StepId};
use crate::model::{AntiAffinity, Gate, KeepNew, Stage};
use crate::time::Span;

/// The setting by which strategies keep the old version for a while once the new one has all of the traffic.
const KEEP_OLD: &str = "keep_old";

/// How a version replaces another in one target, as steps.
///
/// Only [`rollout`](Self::rollout) has to be there. What the other methods tell lets the planner find what is wrong with a
/// definition before anything is made of it, with all other faults at once.
///
/// # Contract
/// The same site gives the same steps. Every step before which the new version has no full set of instances leaves the old
/// version enough of them for its share; the old version is removed by the finale alone. Steps that change something are
/// undone as [`Site`]'s are, or as safely: from every state, what undoes them leads back to the old version with all of
/// the traffic and all of its instances, and no traffic goes to it that it was not just seen to be ready for. Where not all
/// instances of both versions may be there at once, the way back is that of the methods of [`Site`] that end in `in_turn`.
/// `release-testkit` explores that ([`explore`](https://docs.rs/release-testkit)).
pub trait RolloutStrategy: fmt::Debug + Send + Sync {
    /// The steps at one site, where another version serves now.
    ///
    /// # Errors
    /// [`StrategyError`] for names of steps that are none, and for settings that do not fit the service.
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError>;

    /// What is wrong with its settings whatever the service, and how to mend it.
    fn problem(&self) -> Option<String> {
        None
    }

    /// The analyses that its settings name, where they judge. Where none of these places has both versions served, an analysis of
    /// the release's criteria that compares them is refused; without any place nothing is known of that.
    fn judged(&self) -> Vec<Judged<'_>> {
        Vec::new()
    }

    /// The gates of its settings. Within each list, the ids of approvals differ.
    fn gates(&self) -> Vec<&[Gate]> {
        Vec::new()
    }

    /// The durations of its settings, with their names.
    fn spans(&self) -> Vec<(&'static str, Span)> {
        Vec::new()
    }

    /// How long the new version is kept after it was taken back.
    fn keeps_new_after_abort(&self) -> KeepNew {
        KeepNew::NOT
    }

    /// What instances carry by the role of their version; `None`: nothing is said of that. Where it is, all that [`Site`] starts of
    /// the new version carries what belongs to its role, and [`Site::promoted`] are the steps that change the roles.
    fn roles(&self) -> Option<Roles> {
        None
    }

    /// Which machines the new version's instances keep away from; where it is asked for, all that [`Site`] starts of it do, and
    /// so do those of a version that was live a short while ago.
    fn anti_affinity(&self) -> Option<AntiAffinity> {
        None
    }

    /// Whether all instances of both versions may be there at once. Where they may not, a version that was live a short
    /// while ago comes back in this strategy's steps too, and not in those of [`BlueGreen`](crate::model::BlueGreen).
    fn runs_both(&self) -> bool {
        true
    }

    /// The names that its steps have beside those of analyses, which cannot have them too.
    fn names(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it judges where nobody is served in earnest.
    fn judges_outside_production(&self) -> bool {
        true
    }
}

/// Analyses that a strategy names for one place.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    /// Which.
    pub analyses: Vec<&'a AnalysisId>,
    /// Where the new version is alone, so that nothing can be compared: when that is.
    pub alone: Option<&'static str>,
}

/// The steps of one rollout.
#[derive(Debug, Default)]
pub struct Rollout {
    /// Bring the new version in, each after the one before.
    pub steps: Vec<Step>,
    /// Go on beside them.
    pub beside: Vec<Watch>,
    /// Remove the old version, once the whole set is verified; each after the one before.
    pub finale: Vec<Step>,
}

/// A step that goes on beside the others of its rollout. What comes after the rollout waits for it too.
#[derive(Debug)]
pub struct Watch {
    /// The step of the rollout that it begins after; without one, it begins with the rollout.
    pub after: Option<StepId>,
    /// The step.
    pub step: Step,
}

impl Rollout {
    /// Steps with nothing beside and nothing after them.
    pub const fn of(steps: Vec<Step>) -> Self {
        Self { steps, beside: Vec::new(), finale: Vec::new() }
    }

    /// Judges the new version by an analysis until all of `steps` are done, beginning after the one at `begins`.
    ///
    /// # Errors
    /// A name that is none, and an analysis that is not defined.
    pub fn watch(
        &mut self,
        site: &Site<'_>,
        analysis: &AnalysisId,
        begins: Option<usize>,
    ) -> Result<(), StrategyError> {
        let first = begins.and_then(|at| self.steps.get(at));
        let after = first.map(|step| step.id.clone());
        let from = first.filter(|step| step.action.begins_a_window()).map(|step| step.id.clone());
        let known = site.analysis(analysis)?;
        if known.compares() {
            let text = format!(
                "watches by `{analysis}`, which compares versions, in the background, where shares change under it; name it at a step"
            );
            return Err(StrategyError::Refused(text));
        }
        let name = format!("background/{analysis}");
        let mut step = site.analyze((&site.new, &name), known, from, None)?;
        if let Action::Analyze { until, .. } = &mut step.action {
            *until = self.steps.last().map(|step| step.id.clone());
        }
        self.beside.push(Watch { after, step });
        Ok(())
    }

    /// How many steps there are in all.
    pub fn len(&self) -> usize {
        self.steps.len() + self.beside.len() + self.finale.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a strategy makes no steps of a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// A name that is none.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Settings that do not fit the service: what it does, and how to mend it, as in `runs 5 instances of 3; set …`.
    #[error("the strategy {0}")]
    Refused(String),
}

/// The strategy that a definition names.
#[derive(Debug)]
pub(super) enum Known<'a> {
    Ours(&'a dyn RolloutStrategy),
    Theirs(Box<dyn RolloutStrategy>),
}

impl Known<'_> {
    pub(super) fn get(&self) -> &dyn RolloutStrategy {
        match self {
            Self::Ours(strategy) => *strategy,
            Self::Theirs(strategy) => &**strategy,
        }
    }
}

/// Expands `strategy` at `site`. Where nothing ran before, there is nothing to shift traffic from,
/// and every strategy comes to the same: start, check, serve. No analysis is evaluated then: there is
/// nothing to compare with or to return to, and often no load yet, so that a verdict would be
/// inconclusive for want of data.
pub(super) fn expand(
    strategy: &dyn RolloutStrategy,
    stage: &Stage,
    site: &Site<'_>,
) -> Result<Rollout, StrategyError> {
    let mut rollout = if site.old.is_none() {
        first(strategy, site)?
    } else if site.returns && strategy.runs_both() {
        // Behind a router that does not count requests, how long the old version is kept is all the time that they have.
        let keep_old = keeps_old(strategy, site);
        crate::model::BlueGreen { keep_old, ..crate::model::BlueGreen::default() }.rollout(site)?
    } else {
        let rollout = strategy.rollout(site)?;
        judged_somewhere(strategy, site, &rollout)?;
        cleared(site, &rollout)?;
        rollout
    };
    hooks::weave(&mut rollout, site, &stage.before_traffic, &stage.hooks)?;
    Ok(rollout)
}

/// How long a strategy keeps the old version once the new one has all of the traffic: as it says, or as its own rollout does.
fn keeps_old(strategy: &dyn RolloutStrategy, site: &Site<'_>) -> Span {
    let mut spans = strategy.spans().into_iter();
    if let Some((_, told)) = spans.find(|(name, _)| *name == KEEP_OLD) {
        return told;
    }
    let finale = strategy.rollout(site).map(|rollout| rollout.finale).unwrap_or_default();
    let bakes = finale.iter().filter_map(|step| match step.action {
        Action::Bake { duration } => Some(duration),
        _ => None,
    });
    bakes.max().unwrap_or_default()
}

/// Refuses a rollout in which nothing is judged by an analysis that was to judge it: one that compares versions, where both are
/// served nowhere with as many instances as the service has.
fn judged_somewhere(
    strategy: &dyn RolloutStrategy,
    site: &Site<'_>,
    rollout: &Rollout,
) -> Result<(), StrategyError> {
    let steps = || rollout.steps.iter().chain(rollout.beside.iter().map(|watch| &watch.step));
    let judges = |id: &AnalysisId| {
        steps().any(
            |step| matches!(&step.action, Action::Analyze { analysis, .. } if analysis.id == *id),
        )
    };
    let named = strategy.judged();
    let named = named.iter().flat_map(|judged| judged.analyses.iter().copied());
    let named = named.filter(|_| site.production || strategy.judges_outside_production());
    let criteria = site.criteria.iter().filter(|_| site.production);
    for id in named.chain(criteria) {
        if site.analysis(id)?.compares() && !judges(id) {
            let (service, all) = (&site.new.target.service, site.replicas);
            return Err(StrategyError::Refused(format!(
                "never serves both versions of `{service}`, which has {all} instances, so that `{id}`, which compares them, \
                 would judge nothing; let it take more steps, or judge by an analysis that looks at one version"
            )));
        }
    }
    Ok(())
}

/// Refuses a rollout after which the old version would never be removed: whose last change of traffic is another than the finale
/// demands to see, for example one that leaves rules behind. It would be held there, as if somebody had meddled.
fn cleared(site: &Site<'_>, rollout: &Rollout) -> Result<(), StrategyError> {
    let looks = rollout.finale.iter().find_map(|step| match &step.action {
        Action::Confirm { weights, rules, .. } => Some((weights, rules)),
        _ => None,
    });
    let Some((wanted, bare)) = looks else { return Ok(()) };
    let set = distributed(&rollout.steps);
    let is_wanted = set
        .as_ref()
        .is_some_and(|(_, weights, rules)| Weight::same_shares(weights, wanted) && rules == bare);
    if is_wanted {
        return Ok(());
    }
    let service = &site.new.target.service;
    let set = set.map_or_else(
        || "as it was before".to_owned(),
        |(_, weights, rules)| Weight::in_words(&weights, rules.as_deref()),
    );
    Err(StrategyError::Refused(format!(
        "would remove the old version of `{service}` while the traffic is {set}; let its last change of traffic give all of it to the new version, without rules"
    )))
}

/// The gates of all steps of a strategy stand before what is served first, too: it is all of the traffic at once. What several
/// steps ask for in the same words is asked for once.
fn first(strategy: &dyn RolloutStrategy, site: &Site<'_>) -> Result<Rollout, StrategyError> {
    let mut serve = site.route("serve", 100)?;
    let lists = strategy.gates();
    let mut known: Vec<&Gate> = Vec::new();
    for (gates, n) in lists.iter().zip(1..) {
        let path = if lists.len() == 1 { String::new() } else { format!("step-{n}") };
        for gate in *gates {
            if !known.contains(&gate) {
                known.push(gate);
                serve.gates.extend(site.own_gates(&path, std::slice::from_ref(gate))?);
            }
        }
    }
    Ok(Rollout::of(vec![
        site.scale_new("start", site.replicas)?,
        site.probe("ready", site.replicas)?,
        serve,
        site.still_ready("", site.replicas)?,
    ]))
}
