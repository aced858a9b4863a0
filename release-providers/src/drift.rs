//! Looks after traffic when a run is over: whether routers still show what it left.
//!
//! While a run is under way it looks itself, by steps of its plan. A [`DriftWatch`] goes on from there: it takes what the
//! [report](RunReport) of a run that has ended says of each target ([`RunReport::routed`]), asks the routers again and again, and tells
//! what is not so any more. It changes nothing. Where another run of the same service is under way, that run is told by a signal, and
//! does what its release planned for alerts whose source is [`SOURCE`]
//! ([`RollbackTrigger::Signal`](release_core::model::RollbackTrigger::Signal)); else the host is told alone.
//!
//! Drift that was mended and comes again is another one, also where it looks the same: a run that was held and went on is held again. So
//! that traffic which goes to and fro does not use up what a run can be told ([`MAX_SIGNALS`](release_core::run::MAX_SIGNALS)), and incidents
//! still reach it, a run is told [`MOST_EPISODES`] times of one target; after that the host is told alone. A watch remembers nothing
//! beyond its own end: another one tells what it finds as new.
//!
//! ```
//! use std::sync::Arc;
//! use release_core::model::Principal;
//! use release_core::report::RunReport;
//! use release_providers::Registry;
//! use release_providers::drift::DriftWatch;
//!
//! # async fn example(registry: Arc<Registry>, report: RunReport) -> Result<(), Box<dyn std::error::Error>> {
//! let mut watch = DriftWatch::new(registry, Principal::service("drift-watch".parse()?));
//! watch.left(&report);
//! for drifted in watch.look().await.drifted {
//!     println!("{drifted}");
//! }
//! # Ok(()) }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::{Digest, Principal, RunId, Signal, SignalKind, Target, TrafficRules};
use release_core::plan::Weight;
use release_core::port::EffectCertainty;
use release_core::report::{Routed, RunReport};
use release_core::run::{Command, Directive};
use release_core::time::{Span, Timestamp};

use crate::incidents::{Heard, WatchedRun};
use crate::spi::ObserveTraffic;
use crate::{Context, ErrorKind, ProviderError, Registry};

/// What signals of drift are from.
pub const SOURCE: &str = "drift";
/// The operation, as errors name it.
const OBSERVE: &str = "traffic.observe";
/// How often traffic is looked at before it is not as it was left: a server that was just started anew may not have read its shares.
const LOOKS: u32 = 3;
/// The time between these looks.
const PAUSE: Span = Span::millis(500);
/// How often one run is told of drift of one target.
pub const MOST_EPISODES: u32 = 20;

/// What a router shows in the place of what a run left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen {
    /// This distribution.
    Traffic {
        /// The shares in effect.
        weights: Vec<Weight>,
        /// What holds beside them.
        rules: Option<TrafficRules>,
    },
    /// Something that it does not know as its own: somebody else's hand was there.
    Foreign {
        /// What the router says of it.
        said: String,
    },
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Traffic { weights, rules } => {
                f.write_str(&Weight::in_words(weights, rules.as_ref()))
            }
            Self::Foreign { said } => write!(f, "what the router did not write: {said}"),
        }
    }
}

/// Traffic that is not any more as a run left it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drifted {
    /// How it was left.
    pub left: Routed,
    /// How it is.
    pub seen: Seen,
    /// When that was seen.
    pub at: Timestamp,
    /// When it was first seen so, with nothing else in between: what tells it from the same at another time.
    pub since: Timestamp,
}

impl Drifted {
    /// What a run is told of it. While it lasts it is the same signal; something else, and the same once more after it was mended, is
    /// another one.
    pub fn signal(&self) -> Signal {
        let Target { environment, region, service, .. } = self.left.target.clone();
        let what = Digest::of(self.seen.to_string().as_bytes()).short();
        let reference = format!("{}/{what}/{}", self.left.target, self.since);
        let mut signal = Signal::new(SignalKind::Alert, SOURCE, reference);
        signal.environment = Some(environment);
        signal.region = Some(region);
        signal.service = Some(service);
        signal
    }
}

impl fmt::Display for Drifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { left, seen, .. } = self;
        write!(
            f,
            "the traffic of {} was left at {} by step `{}`, and is now {seen}",
            left.target,
            left.in_words(),
            left.step
        )
    }
}

/// What one look found.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "drift that nobody hears of stays"]
pub struct Looked {
    /// What is not as it was left: told once, and again when it changes, or when it was mended in between.
    pub drifted: Vec<Drifted>,
    /// Where it was told that it is not, and is again as it was left; or where a run has left something else since.
    pub mended: Vec<Target>,
    /// Where nobody could look, which says nothing of the traffic there.
    pub blind: Vec<(Target, ProviderError)>,
}

/// Who a watch looks for: a host that drives runs.
#[async_trait]
pub trait DriftHost: fmt::Debug + Send + Sync {
    /// The reports of runs that have ended since this was asked last. What they left takes the place of what was left there before.
    async fn settled(&self) -> Vec<RunReport>;

    /// Whether a run is under way that changes the traffic of a target: it looks itself, so nobody else does.
    fn changes(&self, target: &Target) -> bool;

    /// The run under way of the service of a target whose traffic it does not change, if there is one.
    fn run_of(&self, target: &Target) -> Option<Arc<dyn WatchedRun>>;

    /// Hears of drift; and what the run under way answered, if there is one that was told. Whoever could [not](Heard::NotNow) take it is told
    /// again at the next look, as is the host.
    async fn drifted(&self, drifted: &Drifted, run: Option<Heard>);

    /// Hears that traffic is again as it was left, or that another run has left something else: what was told of it is over.
    async fn mended(&self, target: &Target);

    /// Hears that nobody could look.
    fn blind(&self, target: &Target, error: &ProviderError);

    /// Returns once the watch is to end.
    async fn over(&self);
}

/// Looks whether traffic is still as runs left it.
#[derive(Debug)]
pub struct DriftWatch {
    registry: Arc<Registry>,
    by: Principal,
    interval: Span,
    patience: Span,
    left: BTreeMap<Target, Routed>,
    /// What was told and is still so.
    told: BTreeMap<Target, Episode>,
    /// Where a run has left something else since drift was told.
    over: BTreeSet<Target>,
    /// How often the run of a target's service was told of it.
    heard: BTreeMap<Target, (Option<RunId>, u32)>,
}

/// Drift that lasts.
#[derive(Debug)]
struct Episode {
    seen: Seen,
    since: Timestamp,
    /// Whether drift of the target was told before, and not that it was mended.
    told_before: bool,
    /// Whether it has to be told once more.
    again: bool,
}

impl DriftWatch {
    /// A watch over the routers of `registry`, on behalf of `by`. It looks every minute, and one question may take 30 seconds.
    pub const fn new(registry: Arc<Registry>, by: Principal) -> Self {
        Self {
            registry,
            by,
            interval: Span::secs(60),
            patience: Span::secs(30),
            left: BTreeMap::new(),
            told: BTreeMap::new(),
            over: BTreeSet::new(),
            heard: BTreeMap::new(),
        }
    }

    /// The time from the end of one look to the next.
    #[must_use]
    pub const fn every(mut self, interval: Span) -> Self {
        self.interval = interval;
        self
    }

    /// How long one question may take.
    #[must_use]
    pub const fn patience(mut self, patience: Span) -> Self {
        self.patience = patience;
        self
    }

    /// Takes what a run has left, in the place of what was left there before. Of targets of which the report does not know how
    /// their traffic is, nothing changes. What was told of drift there is over: the next look says so.
    pub fn left(&mut self, report: &RunReport) {
        for routed in &report.routed {
            if self.told.remove(&routed.target).is_some() {
                self.over.insert(routed.target.clone());
            }
            self.left.insert(routed.target.clone(), routed.clone());
        }
    }

    /// Does not look there any more, for example because the service is gone. Whether it did.
    pub fn forget(&mut self, target: &Target) -> bool {
        self.told.remove(target);
        self.over.remove(target);
        self.heard.remove(target);
        self.left.remove(target).is_some()
    }

    /// Looks at every target once, one after the other.
    pub async fn look(&mut self) -> Looked {
        let targets = self.left.keys().cloned().collect();
        self.look_at(targets).await
    }

    /// Looks again and again until the host says that it is over.
    pub async fn watch(&mut self, host: &dyn DriftHost) {
        tokio::select! {
            biased;
            () = host.over() => {}
            () = self.look_again_and_again(host) => {}
        }
    }

    async fn look_again_and_again(&mut self, host: &dyn DriftHost) {
        let registry = Arc::clone(&self.registry);
        loop {
            host.settled().await.iter().for_each(|report| self.left(report));
            let still = self.left.keys().filter(|target| !host.changes(target)).cloned().collect();
            // Who comes next is told anew.
            self.heard.retain(|target, _| host.run_of(target).is_some());
            let looked = self.look_at(still).await;
            self.tell(host, looked).await;
            registry.clock.sleep_until(registry.clock.now().plus(self.interval)).await;
        }
    }

    async fn tell(&mut self, host: &dyn DriftHost, looked: Looked) {
        for target in &looked.mended {
            host.mended(target).await;
        }
        for drifted in &looked.drifted {
            let target = &drifted.left.target;
            // A run may have begun meanwhile that changes it: what was seen is its doing, and it looks itself.
            if host.changes(target) {
                self.unsee(target);
                continue;
            }
            let heard = self.tell_run(host, drifted).await;
            if let Some(episode) = self.told.get_mut(target) {
                episode.again = heard == Some(Heard::NotNow);
            }
            host.drifted(drifted, heard).await;
        }
        for (target, error) in &looked.blind {
            host.blind(target, error);
        }
    }

    /// What the run of the service answers, if there is one that may still be told.
    async fn tell_run(&mut self, host: &dyn DriftHost, drifted: &Drifted) -> Option<Heard> {
        let target = &drifted.left.target;
        let run = host.run_of(target)?;
        let (known, told) = self.heard.entry(target.clone()).or_default();
        if *known != run.id() {
            (*known, *told) = (run.id(), 0);
        }
        if *told >= MOST_EPISODES {
            return None;
        }
        let command = Command::Signal { signal: Box::new(drifted.signal()) };
        let directive = Directive::new(command, self.by.clone(), drifted.to_string());
        let heard = run.hear(directive).await;
        if heard != Heard::NotNow {
            *told = told.saturating_add(1);
        }
        Some(heard)
    }

    /// Forgets what was just seen, and was told to nobody. What was told before it is over.
    fn unsee(&mut self, target: &Target) {
        if self.told.remove(target).is_some_and(|episode| episode.told_before) {
            self.over.insert(target.clone());
        }
    }

    async fn look_at(&mut self, targets: Vec<Target>) -> Looked {
        let over = std::mem::take(&mut self.over);
        let mut looked = Looked { mended: over.into_iter().collect(), ..Looked::default() };
        for target in targets {
            let Some(left) = self.left.get(&target) else { continue };
            match self.seen(left).await {
                Ok(None) => {
                    if self.told.remove(&target).is_some() {
                        looked.mended.push(target);
                    }
                }
                Ok(Some(seen)) => {
                    let (left, at) = (left.clone(), self.registry.clock.now());
                    let before = self.told.get(&target);
                    let same = before.filter(|episode| episode.seen == seen);
                    if same.is_some_and(|episode| !episode.again) {
                        continue;
                    }
                    let since = same.map_or(at, |episode| episode.since);
                    let told_before = before.is_some();
                    looked.drifted.push(Drifted { left, seen: seen.clone(), at, since });
                    self.told.insert(target, Episode { seen, since, told_before, again: false });
                }
                Err(error) => looked.blind.push((target, error)),
            }
        }
        looked
    }

    /// What a router shows, where that is not what was left.
    async fn seen(&self, left: &Routed) -> Result<Option<Seen>, ProviderError> {
        let (target, clock) = (&left.target, &self.registry.clock);
        let router = self.registry.router_of(target).ok_or_else(|| {
            let text = "no traffic router is registered for a target any more; register one, or forget the target";
            ProviderError::new(ErrorKind::NotFound, OBSERVE, text).with_context("target", target)
        })?;
        let mut look = 1;
        loop {
            let cx = Context::new(OBSERVE, clock.now().plus(self.patience), self.by.clone());
            let observe = router.observe(&cx, ObserveTraffic::new(target.clone()));
            let answer = cx.within(&**clock, OBSERVE, EffectCertainty::NotApplied, observe).await;
            let seen = match answer {
                Ok(status) if left.is_still(&status.weights, status.rules.as_ref()) => {
                    return Ok(None);
                }
                Ok(status) => {
                    let (mut weights, rules) = (status.weights, status.rules);
                    weights.sort();
                    Seen::Traffic { weights, rules }
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    Seen::Foreign { said: error.to_string() }
                }
                Err(error) => return Err(error),
            };
            if look == LOOKS {
                return Ok(Some(seen));
            }
            look += 1;
            clock.sleep_until(clock.now().plus(PAUSE)).await;
        }
    }
}
