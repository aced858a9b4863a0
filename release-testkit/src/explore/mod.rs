//! Explores a plan exhaustively: every way in which each effect can end, a cancel and a crash at every state. It shows that a
//! strategy keeps its contract, or how it does not.
//!
//! In every state, every version with a share of the traffic, a header route or copies has instances; shares are 100 percent;
//! and there are instances enough ([`Exploration::missing`]). Whenever a version gets more of the traffic, by its share, headers or
//! copies, as many of its instances as that needs were just seen to be ready: before any bake, wait for people or hook that
//! came since, they may have died, those of the version from before too. A look at a new version shows just as many as it asks for,
//! since a strategy may ask for fewer than run, and whatever is stopped is one of those. Nor are there more instances than there
//! may be, if that is said ([`Exploration::surge`], [`Exploration::apart`]). Every end is whole: all traffic on versions that run
//! with all their instances, without rules, and nothing left over on tracks. What was rolled back or cancelled is as it was before.
//!
//! # What an outage leaves
//! At an end, whoever has a part of the traffic is alive, with one exception. The version from before may have died by itself, which no
//! release causes and no abort heals. Where the new version has no traffic, nothing is to be given back, and nobody looks at the old one:
//! an abort removes the new instances, though they are well, and the run ends as `cancelled` or `rolled_back` with all traffic on the
//! version from before, as it was, dead. What holds then is that the run had no hand in it: it brings back no traffic to what is dead,
//! and waits for a person instead; it leaves no mere part of the traffic there; and it does not succeed with any. In an exploration in
//! which [the versions from before live](Exploration::old_lives), nobody is dead at all.
//!
//! ```
//! use release_core::model::{Canary, CanaryStep, Span, Strategy};
//! use release_core::plan::plan;
//! use release_testkit::explore::Exploration;
//! use release_testkit::fixtures;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let canary = Canary::new(vec![CanaryStep::new(10, Span::secs(60))]);
//! let definition = fixtures::one_service(Strategy::Canary(canary), 2);
//! let explored = Exploration::new().run(&definition, plan(&definition)?)?;
//! assert!(explored.states > 100, "{explored}");
//! # Ok(())
//! # }
//! ```
//!
//! An effect ends well, is refused, fails in passing, or nobody hears of it, and it took effect or did not; a measurement is
//! good or bad. In a rollback, effects fail in passing only: one that fails for good waits for a person. Once, while the run goes forward, all
//! instances of the versions from before may die: they run, and are not ready, until a person whom the run waits for mends
//! them. Analyses are good
//! or bad look by look; of those that compare versions the stream is not told apart, so that they are tried as all good and
//! all bad. Time passes when nothing is under way.

mod breach;
mod node;
#[cfg(test)]
mod tests;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use breach::Breach;
use node::{Key, Node};
use release_core::model::Definition;
use release_core::plan::Plan;
use release_core::run::Outcome;
use world::{Ceiling, World};

/// What goes wrong beside what people say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    /// Effects fail, in each way.
    OfEffects,
    /// And the versions from before die.
    All,
}

/// How a plan is explored.
#[derive(Debug, Clone, Copy)]
pub struct Exploration {
    faults: Faults,
    outage: bool,
    missing: u32,
    ceiling: Option<Ceiling>,
    partly: bool,
    kept: bool,
    most: usize,
}

impl Default for Exploration {
    fn default() -> Self {
        Self::new()
    }
}

impl Exploration {
    /// With all faults; nobody may go unserved, no instance may be missing, as many as one likes may be there, and two million
    /// states are the most.
    pub const fn new() -> Self {
        Self {
            faults: Faults::All,
            outage: false,
            missing: 0,
            ceiling: None,
            partly: false,
            kept: false,
            most: 2_000_000,
        }
    }

    /// Every effect ends well; only the cancel comes at every state.
    #[must_use]
    pub const fn without_faults(mut self) -> Self {
        self.faults = Faults::None;
        self
    }

    /// Nobody needs to be served in between, as where the old version is stopped first.
    #[must_use]
    pub const fn with_outage(mut self) -> Self {
        self.outage = true;
        self
    }

    /// So many instances of a service may be missing in between, as with the `max_unavailable` of rolling and blue-green
    /// strategies.
    #[must_use]
    pub const fn missing(mut self, instances: u32) -> Self {
        self.missing = instances;
        self
    }

    /// So many instances of a service may be there beyond those that it has, as with a rolling strategy's `max_surge`: on the way
    /// forward as well as on the way back.
    #[must_use]
    pub const fn surge(mut self, instances: u32) -> Self {
        self.ceiling = Some(Ceiling::Surge(instances));
        self
    }

    /// No two versions of a service may run at once, not even one instance of each, as where each needs a lock for itself.
    #[must_use]
    pub const fn apart(mut self) -> Self {
        self.ceiling = Some(Ceiling::Apart);
        self
    }

    /// The versions from before do not die: fewer states, where there would be too many.
    #[must_use]
    pub const fn old_lives(mut self) -> Self {
        if matches!(self.faults, Faults::All) {
            self.faults = Faults::OfEffects;
        }
        self
    }

    /// What is rolled back may be a part, as with the scope of a region: the rest is whole, on either version.
    #[must_use]
    pub const fn partly(mut self) -> Self {
        self.partly = true;
        self
    }

    /// What was taken back may stay, without traffic, as where a strategy keeps it for good. Whoever serves has the traffic and all
    /// instances all the same.
    #[must_use]
    pub const fn leaving_new(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Gives up after so many states.
    #[must_use]
    pub const fn at_most(mut self, states: usize) -> Self {
        self.most = states;
        self
    }

    /// Explores `plan`, which was made of `definition`.
    ///
    /// # Errors
    /// The [`Counterexample`]: what broke, and how it came to that.
    pub fn run(
        &self,
        definition: &Definition,
        plan: Plan,
    ) -> Result<Explored, Box<Counterexample>> {
        let before = World::before(definition);
        let (mut seen, mut open) = (BTreeSet::new(), Vec::new());
        let mut ends: BTreeMap<&'static str, usize> = BTreeMap::new();
        match Node::begin(plan.freeze(), before.clone(), self.missing) {
            Ok(node) => open.push(node),
            Err(problem) => {
                let (breach, course) = (Breach::Rejected(problem), Vec::new());
                return Err(Box::new(Counterexample { breach, course, states: 0 }));
            }
        }
        while let Some(node) = open.pop() {
            if !is_new(&mut seen, &node)? {
                continue;
            }
            let states = seen.len();
            let broken =
                |breach| Box::new(Counterexample { breach, course: node.course(), states });
            if states > self.most {
                return Err(broken(Breach::TooManyStates(self.most)));
            }
            if let Some(breach) = node.world.breach(self.outage, self.missing) {
                return Err(broken(breach));
            }
            if let Some(breach) = self.ceiling.and_then(|ceiling| node.world.crowd(ceiling)) {
                return Err(broken(breach));
            }
            if let Some(outcome) = node.state.outcome() {
                *ends.entry(outcome.name()).or_default() += 1;
                if let Some(breach) = self.end(outcome, &node.world, &before) {
                    return Err(broken(breach));
                }
                continue;
            }
            let next = node.successors(self.faults != Faults::None, self.faults == Faults::All);
            if next.is_empty() {
                return Err(broken(Breach::Stuck(format!("{:?}", node.state.awaiting()))));
            }
            open.extend(next);
        }
        Ok(Explored { states: seen.len(), ends })
    }

    /// What is wrong with the world at the end of a run.
    fn end(&self, outcome: &Outcome, world: &World, before: &World) -> Option<Breach> {
        let back = match outcome {
            Outcome::RolledBack { .. } => !self.partly,
            Outcome::Cancelled { .. } => true,
            _ => false,
        };
        let name = outcome.name();
        // What stays is passed over where it gets no requests: it changes nothing for anybody. Where nothing else was changed, the run
        // has only failed.
        let stays = self.kept && (back || matches!(outcome, Outcome::Failed { .. }));
        let world = &if stays { world.without_idle() } else { world.clone() };
        if back && !world.is_like(before) {
            return Some(Breach::NotAsBefore { outcome: name, world: world.to_string() });
        }
        if !world.is_whole() {
            return Some(Breach::NotWhole { outcome: name, world: world.to_string() });
        }
        world.left_dead(name, matches!(outcome, Outcome::Succeeded))
    }
}

/// Whether a state was not seen before.
///
/// # Errors
/// What broke on the way to it, be it that others came to the same state without that.
fn is_new(seen: &mut BTreeSet<Key>, node: &Node) -> Result<bool, Box<Counterexample>> {
    if let Some(breach) = node.breach.clone() {
        let (course, states) = (node.course(), seen.len());
        return Err(Box::new(Counterexample { breach, course, states }));
    }
    Ok(seen.insert(node.key()))
}

/// That everything was explored, and nothing broke.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// How many different states there are.
    pub states: usize,
    /// How many of them are ends, by their outcome's name.
    pub ends: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states, ends {:?}", self.states, self.ends)
    }
}

/// A state in which something does not hold that has to, and how a run comes to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Counterexample {
    /// What does not hold.
    pub breach: Breach,
    /// What happened until then, first things first.
    pub course: Vec<String>,
    /// How many states had been seen.
    pub states: usize,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after:", self.breach)?;
        self.course.iter().try_for_each(|event| write!(f, "\n  {event}"))
    }
}

impl std::error::Error for Counterexample {}
