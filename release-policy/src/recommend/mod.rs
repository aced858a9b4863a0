//! Which strategy fits a change: all of them, ranked, with reasons and what each costs.
//!
//! ```
//! use release_policy::recommend::{Capacity, Change, Coexistence, Slo, recommend};
//!
//! # fn main() -> Result<(), release_policy::recommend::BadInput> {
//! let change = Change::new(Coexistence::Serve).failing(0.15);
//! let slo = Slo::new(0.999, "28d".parse().unwrap_or_default(), 1_000.0);
//! let capacity = Capacity::new(8).spare(8);
//! let ranked = recommend(&change, &slo, &capacity)?;
//! assert_eq!(ranked[0].name, "canary"); // a bad version burns the least of the error budget
//! println!("{}", ranked[0]); // why, what it costs, and what is wrong with the others
//! # Ok(())
//! # }
//! ```
//!
//! # How it is reckoned
//! A version that is bad makes [`Slo::detect`] times as many requests fail as usual, or all of them. Until it is found, its share of the
//! traffic suffers: all that fail are noticed within [`Slo::reaction`], few more than usual take longer. What the worse of the two
//! burns of the error budget, times how likely the version is bad, is the expected burn. An outage burns for certain.
//!
//! - Where both versions serve, harm is found by the sequential judge: the time is that in which
//!   [`power`](release_core::analysis::power) finds it with 95 %, and lets a version that is no worse pass all steps with 90 %. A
//!   step that does not find it leaves one twentieth to the next.
//! - Where one version serves, harm is found by counting: `(z / (√d − 1))²` usual failures are the fewest by which `d` times as many
//!   can be told from as many, each error of 5 % (`z` = 1.645; the square roots of two Poisson counts beside each other).
//!
//! What fits comes before what does not, less burn before more (alike within a factor of two), then fewer instance hours, then less time.
//! It is an estimate for people to choose by, from what they know of traffic and capacity; the plan checks what it needs.

mod candidates;
mod reckon;

use std::fmt;

use release_core::model::{Analysis, Metric, Span, Strategy};

/// Whether the versions can be there at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coexistence {
    /// Not at all: the old one has to stop before the new one starts, as with an exclusive lock or a one-way migration.
    None,
    /// Both may run, and one of them serve.
    Run,
    /// Both may serve.
    Serve,
}

/// What is to change.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// Whether the versions can be there at the same time.
    pub coexistence: Coexistence,
    /// How likely the new version is bad, from 0 to 1: the team's change failure rate, unless more is known.
    pub failure_probability: f64,
    /// Whether requests may be processed twice, so that copies do no harm.
    pub repeatable: bool,
    /// Whether clients have to stay with the version that answered them.
    pub sticky: bool,
}

impl Change {
    /// One in ten such changes is bad; requests may not be processed twice, and clients need not stay.
    pub const fn new(coexistence: Coexistence) -> Self {
        Self { coexistence, failure_probability: 0.1, repeatable: false, sticky: false }
    }

    /// Sets how likely the new version is bad.
    #[must_use]
    pub const fn failing(mut self, probability: f64) -> Self {
        self.failure_probability = probability;
        self
    }

    /// Requests may be processed twice.
    #[must_use]
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Clients have to stay with the version that answered them.
    #[must_use]
    pub const fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }
}

/// What users are promised, and how much of it is left to spend.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Slo {
    /// The share of requests that have to be good, for example 0.999.
    pub objective: f64,
    /// Over how long.
    pub window: Span,
    /// How much of the error budget is left, from 0 to 1.
    pub budget_left: f64,
    /// Requests a second in the place.
    pub per_second: f64,
    /// The share of requests that usually fail; half of what the objective allows, unless said.
    pub usual: f64,
    /// How many times as many fail of a bad version.
    pub detect: f64,
    /// How long one step may watch at the most.
    pub patience: Span,
    /// How long it takes from one sample of the metrics to the next: looks that come more often see nothing new.
    pub scrape: Span,
    /// How long it takes until a version all of whose requests fail has lost its traffic, or is being replaced.
    pub reaction: Span,
}

impl Slo {
    /// With all of the budget left, half of it spent in usual times, and 3 times as many failures of a bad version; a step
    /// watches for an hour at the most, metrics are scraped every 15 seconds, and a failure of all is answered within a minute.
    pub fn new(objective: f64, window: Span, per_second: f64) -> Self {
        let usual = (1.0 - objective) / 2.0;
        let (patience, reaction) = (Span::secs(3600), Span::secs(60));
        let scrape = Span::secs(15);
        Self {
            objective,
            window,
            budget_left: 1.0,
            per_second,
            usual,
            detect: 3.0,
            patience,
            scrape,
            reaction,
        }
    }

    /// Sets how much of the error budget is left.
    #[must_use]
    pub const fn left(mut self, budget_left: f64) -> Self {
        self.budget_left = budget_left;
        self
    }
}

/// What there is to run it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// How many instances the service has.
    pub replicas: u32,
    /// How many more can run for a while.
    pub spare: u32,
    /// How many may be missing for a while.
    pub may_miss: u32,
    /// How long an instance takes until it is ready.
    pub start: Span,
    /// In how many places the plan rolls it out, in all stages and regions, with so many requests in each: all comparisons of a
    /// run together keep its chance of a false alarm.
    pub places: u32,
    /// Whether the router divides traffic by shares.
    pub splits: bool,
    /// Whether the router copies requests.
    pub mirrors: bool,
    /// Whether the router keeps clients with a version.
    pub affinity: bool,
}

impl Capacity {
    /// So many instances in one place, none to spare and none that may be missing, a minute to start one; a router with shares.
    pub const fn new(replicas: u32) -> Self {
        Self {
            replicas,
            spare: 0,
            may_miss: 0,
            start: Span::secs(60),
            places: 1,
            splits: true,
            mirrors: false,
            affinity: false,
        }
    }

    /// Sets how many more instances can run for a while.
    #[must_use]
    pub const fn spare(mut self, instances: u32) -> Self {
        self.spare = instances;
        self
    }

    /// Sets in how many places it is rolled out.
    #[must_use]
    pub const fn places(mut self, places: u32) -> Self {
        self.places = places;
        self
    }

    /// Sets how many instances may be missing for a while.
    #[must_use]
    pub const fn missing(mut self, instances: u32) -> Self {
        self.may_miss = instances;
        self
    }
}

/// One strategy, with what speaks for and against it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recommendation {
    /// What it is called in definitions.
    pub name: &'static str,
    /// The strategy, to be put into a stage.
    pub strategy: Strategy,
    /// What judges it, as it is priced, to be put into the definition: the share of requests that fail. The strategy names those
    /// that its steps have; those of one without steps are for the release's rollback criteria.
    ///
    /// They count `failed` of `all` until [`measured`](Recommendation::measured) says what those are called.
    pub analyses: Vec<Analysis>,
    /// Why it does not fit; empty: it does.
    pub obstacles: Vec<String>,
    /// What speaks for or against it, for people.
    pub reasons: Vec<String>,
    /// What it costs.
    pub cost: Cost,
}

impl Recommendation {
    /// Whether nothing stands against it.
    pub const fn fits(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// Says by which metric failures are measured: a ratio of those that failed to all.
    #[must_use]
    pub fn measured(mut self, failures: &Metric) -> Self {
        for analysis in &mut self.analyses {
            analysis.metric = failures.clone();
        }
        self
    }
}

/// What a strategy costs in one place.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Cost {
    /// How many instances run at the most beyond the service's.
    pub extra_instances: u32,
    /// What they come to, in instance hours.
    pub instance_hours: f64,
    /// How long the rollout takes when all is well.
    pub duration: Span,
    /// How long it takes from the decision until the old version has all traffic again.
    pub way_back: Span,
    /// The largest share of users that a bad version reaches before it is found, from 0 to 1.
    pub exposed: f64,
    /// The part of the whole error budget that a bad version burns until it is found; 1 is all of it.
    pub burn_if_bad: f64,
    /// The part that is burnt for certain, by an outage.
    pub burn_for_certain: f64,
}

impl Cost {
    /// The part of the error budget that is burnt on the average.
    pub fn expected_burn(&self, failure_probability: f64) -> f64 {
        self.burn_for_certain + failure_probability * self.burn_if_bad
    }
}

impl fmt::Display for Recommendation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { extra_instances, instance_hours, duration, way_back, exposed, .. } = self.cost;
        write!(
            f,
            "{}{}: {duration} long, {extra_instances} more instances ({instance_hours:.1} hours), back in {way_back}; \
             a bad version reaches {:.0} % and burns {:.2} % of the budget",
            self.name,
            if self.fits() { "" } else { " (does not fit)" },
            exposed * 100.0,
            (self.cost.burn_if_bad + self.cost.burn_for_certain) * 100.0,
        )?;
        self.obstacles.iter().try_for_each(|obstacle| write!(f, "\n  - {obstacle}"))?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  + {reason}"))
    }
}

/// A number that is none of what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("`{field}` is {value}; {remedy}")]
pub struct BadInput {
    /// Which.
    pub field: &'static str,
    /// What was given.
    pub value: f64,
    /// What would do.
    pub remedy: &'static str,
}

/// Ranks all strategies for a change: what fits first, and of that what costs the least.
///
/// # Errors
/// [`BadInput`] for a probability, share or rate that is none.
pub fn recommend(
    change: &Change,
    slo: &Slo,
    capacity: &Capacity,
) -> Result<Vec<Recommendation>, BadInput> {
    check(change, slo, capacity)?;
    let mut all = candidates::all(change, slo, capacity);
    all.sort_by(|one, other| {
        let key = |found: &Recommendation| {
            // Alike within a factor of two.
            let burn = found.cost.expected_burn(change.failure_probability);
            (!found.fits(), burn.max(1e-12).log2().round())
        };
        let (one_key, other_key) = (key(one), key(other));
        one_key
            .0
            .cmp(&other_key.0)
            .then(one_key.1.total_cmp(&other_key.1))
            .then(one.cost.instance_hours.total_cmp(&other.cost.instance_hours))
            .then(one.cost.duration.cmp(&other.cost.duration))
    });
    Ok(all)
}

fn check(change: &Change, slo: &Slo, capacity: &Capacity) -> Result<(), BadInput> {
    let within = |field, value: f64, sound: bool, remedy| {
        if sound { Ok(()) } else { Err(BadInput { field, value, remedy }) }
    };
    let open = |value: f64| value > 0.0 && value < 1.0;
    let closed = |value: f64| (0.0..=1.0).contains(&value);
    let probability = change.failure_probability;
    within("failure_probability", probability, closed(probability), "write 0 to 1")?;
    let between = "write a share above 0 and below 1, such as 0.999";
    within("objective", slo.objective, open(slo.objective), between)?;
    within(
        "usual",
        slo.usual,
        open(slo.usual),
        "write the share of requests that usually fail, above 0 and below 1",
    )?;
    within("budget_left", slo.budget_left, closed(slo.budget_left), "write 0 to 1")?;
    let positive = |value: f64| value.is_finite() && value > 0.0;
    within(
        "per_second",
        slo.per_second,
        positive(slo.per_second),
        "write the requests a second, above 0",
    )?;
    let harm = slo.detect > 1.0 && slo.detect * slo.usual < 1.0;
    within(
        "detect",
        slo.detect,
        harm,
        "write a multiple above 1 with which not all requests fail",
    )?;
    let (window, replicas) = (slo.window.as_duration().as_secs_f64(), f64::from(capacity.replicas));
    within("window", window, window > 0.0, "write how long the objective holds for")?;
    within("replicas", replicas, capacity.replicas > 0, "write how many instances there are")
}
