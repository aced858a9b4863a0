//! Why a step waits and for how long, what is in use, and when a quota will be used up.

use super::event::{Claim, Class, Request, Unit};
use super::grant::{Kept, Obstacle, keep, obstacles, place};
use super::ledger::{Ledger, Permit, Waiting};
use crate::ids::{LimitId, RunId, TeamId};
use crate::port::Reason;
use crate::time::Timestamp;

/// Why a step waits for its permits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WhyWaiting {
    /// The step.
    pub claim: Claim,
    /// How urgent it is.
    pub class: Class,
    /// Since when it waits.
    pub since: Timestamp,
    /// What stands in its way: all of it.
    pub blockages: Vec<Blockage>,
    /// Who comes before it and needs some of the same, in order.
    pub ahead: Vec<Claim>,
    /// When it may start, as far as can be told: for each limit that is full, the mean time for which its
    /// permits were held so far, times the number of those ahead and itself, by its capacity; for a quota,
    /// when enough of it counts no more; of all that, the latest. `None` when a limit has no history yet.
    pub estimate: Option<Timestamp>,
}

/// A limit or a quota that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blockage {
    /// All permits of a limit are held.
    Full {
        /// The limit.
        limit: LimitId,
        /// How many there are.
        capacity: u32,
        /// Who has them.
        holders: Vec<Held>,
    },
    /// What is left of a limit is guaranteed to other teams.
    Guaranteed {
        /// The limit.
        limit: LimitId,
    },
    /// What is left of a limit is kept for those who waited for too long.
    Kept {
        /// The limit.
        limit: LimitId,
    },
    /// A quota is used up.
    UsedUp {
        /// The quota.
        quota: LimitId,
        /// How much there is.
        amount: u32,
        /// When there is some again.
        until: Timestamp,
    },
}

/// Who has a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// For what.
    pub unit: Unit,
    /// Whose.
    pub team: Option<TeamId>,
    /// Since when.
    pub since: Timestamp,
}

impl Held {
    fn of(permit: &Permit) -> Self {
        let Permit { run, unit, team, since, .. } = permit;
        Self { run: run.clone(), unit: unit.clone(), team: team.clone(), since: *since }
    }
}

/// How much of a limit or a quota is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Which.
    pub id: LimitId,
    /// How much is in use, or counts now.
    pub used: u32,
    /// How much there is.
    pub of: u32,
    /// How much there is besides for rollbacks alone.
    pub rollback_reserve: u32,
    /// How many requests that need some of it wait.
    pub waiting: usize,
    /// Who has the permits of a limit; nobody has any of a quota.
    pub holders: Vec<Held>,
}

/// Most holders that a reason names.
const NAMED: usize = 5;

/// Why nothing starts that a limit binds while the ledger cannot be read as it was written.
pub(crate) fn damaged(detail: &str) -> Reason {
    let text = format!("the ledger of permits is damaged: {detail}");
    Reason::new("limit/ledger", text, "a backup of the journal, or `Engine::renew_ledger`")
}

impl WhyWaiting {
    /// The earliest instant at which all quotas in the way have some again, if any is. When others give
    /// back what they have nobody knows.
    pub fn not_before(&self) -> Option<Timestamp> {
        let until = |blockage: &Blockage| match blockage {
            Blockage::UsedUp { until, .. } => Some(*until),
            _ => None,
        };
        self.blockages.iter().filter_map(until).max()
    }

    /// The same as reasons, one for each limit, as they stand in the run's journal.
    pub fn reasons(&self) -> Vec<Reason> {
        let behind = match self.ahead.len() {
            0 => String::new(),
            n => format!("; {n} come before it"),
        };
        let reason = |blockage: &Blockage| match blockage {
            Blockage::Full { limit, capacity, holders } => {
                let named = holders.iter().take(NAMED);
                let named: Vec<_> =
                    named.map(|held| format!("{} of run `{}`", held.unit, held.run)).collect();
                let others = match holders.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    n => format!(" and {n} others"),
                };
                let text = format!(
                    "{} of {capacity} permits are held by {}{others}{behind}",
                    holders.len(),
                    named.join(", ")
                );
                Reason::new(format!("limit/{limit}"), text, "a permit that is given back")
            }
            Blockage::Guaranteed { limit } => {
                let text = format!("what is free is guaranteed to other teams{behind}");
                Reason::new(format!("limit/{limit}"), text, "a permit that is given back")
            }
            Blockage::Kept { limit } => {
                let text = format!("what is free is kept for who waited for too long{behind}");
                Reason::new(format!("limit/{limit}"), text, "those who come before it")
            }
            Blockage::UsedUp { quota, amount, until } => {
                let text = format!("all {amount} are used up until {until}");
                Reason::new(format!("quota/{quota}"), text, "time, or a higher quota")
            }
        };
        self.blockages.iter().map(reason).collect()
    }
}

impl Ledger {
    /// Why a step waits; `None` when it waits for no permit.
    pub fn why_waiting(&self, claim: &Claim, now: Timestamp) -> Option<WhyWaiting> {
        let waiting = self.waiting.iter().find(|waiting| waiting.request.claim == *claim)?;
        self.why(waiting, now)
    }

    /// Why a step would wait if it asked for its permits at `now`, or does since it has asked already;
    /// `None` when nothing stands in its way.
    pub fn why_would_wait(&self, request: &Request, now: Timestamp) -> Option<WhyWaiting> {
        let asked = self.why_waiting(&request.claim, now);
        let would = || {
            let since = now.max(self.now);
            self.why(&Waiting { since, request: request.clone() }, now)
        };
        asked.or_else(would).filter(|why| !why.blockages.is_empty())
    }

    /// Why `me` waits, at its place in the line, or at the end of it.
    fn why(&self, me: &Waiting, now: Timestamp) -> Option<WhyWaiting> {
        let now = now.max(self.now);
        let claim = &me.request.claim;
        let mut line: Vec<_> = self.waiting.iter().zip(0..).collect();
        if !self.waiting.iter().any(|waiting| waiting.request.claim == *claim) {
            line.push((me, self.waiting.len()));
        }
        line.sort_by_cached_key(|(waiting, nth)| place(self, waiting, *nth, now));
        let at = line.iter().position(|(waiting, _)| waiting.request.claim == *claim)?;
        let before: Vec<&Waiting> = line.iter().take(at).map(|(waiting, _)| *waiting).collect();
        let mut kept = Kept::new();
        for other in &before {
            keep(self, other, now, &mut kept);
        }
        let obstacles: Vec<_> = obstacles(self, &me.request, &kept, now).collect();
        let mine: Vec<&LimitId> = self.needs(me).collect();
        let rivals = before.iter().filter(|other| self.needs(other).any(|id| mine.contains(&id)));
        Some(WhyWaiting {
            claim: claim.clone(),
            class: me.request.class,
            since: me.since,
            ahead: rivals.map(|other| other.request.claim.clone()).collect(),
            blockages: obstacles.iter().map(|obstacle| self.blockage(obstacle)).collect(),
            estimate: obstacles
                .iter()
                .map(|obstacle| self.estimate(obstacle, &before, now))
                .try_fold(now, |latest, at| at.map(|at| latest.max(at))),
        })
    }

    /// The limits and quotas of which a request still needs some.
    fn needs<'a>(&self, waiting: &'a Waiting) -> impl Iterator<Item = &'a LimitId> {
        self.missing(&waiting.request).flat_map(|want| want.limits.iter().chain(&want.quotas))
    }

    fn blockage(&self, obstacle: &Obstacle<'_>) -> Blockage {
        let limit = obstacle.id().clone();
        match obstacle {
            Obstacle::Full(id) => {
                let capacity = self.limits.limit(id).map_or(0, |limit| limit.capacity);
                Blockage::Full { limit, capacity, holders: self.holders(id) }
            }
            Obstacle::Guaranteed(_) => Blockage::Guaranteed { limit },
            Obstacle::Kept(_) => Blockage::Kept { limit },
            Obstacle::UsedUp(id, until) => {
                let amount = self.limits.quota(id).map_or(0, |quota| quota.amount);
                Blockage::UsedUp { quota: limit, amount, until: *until }
            }
        }
    }

    fn holders(&self, limit: &LimitId) -> Vec<Held> {
        let holders = self.permits.iter().filter(|permit| permit.limits.contains(limit));
        holders.map(Held::of).collect()
    }

    fn estimate(
        &self,
        obstacle: &Obstacle<'_>,
        before: &[&Waiting],
        now: Timestamp,
    ) -> Option<Timestamp> {
        let id = match obstacle {
            Obstacle::UsedUp(_, until) => return Some(*until),
            Obstacle::Full(id) | Obstacle::Guaranteed(id) | Obstacle::Kept(id) => *id,
        };
        let (limit, book) = self.limit(id)?;
        let book = book.filter(|book| book.over > 0)?;
        let ahead = before.iter().filter(|other| self.needs(other).any(|need| need == id)).count();
        let turns = u128::try_from(ahead).ok()?.saturating_add(1);
        let mean = u128::from(book.micros) / u128::from(book.over);
        let wait = mean.saturating_mul(turns) / u128::from(limit.capacity.max(1));
        let wait = i64::try_from(wait).unwrap_or(i64::MAX);
        Some(Timestamp::from_micros(now.as_micros().saturating_add(wait)))
    }

    /// How much of each limit and of each quota is in use, in the order of their configuration.
    pub fn usage(&self, now: Timestamp) -> Vec<Usage> {
        let waiting = |id: &LimitId| {
            self.waiting.iter().filter(|waiting| self.needs(waiting).any(|need| need == id)).count()
        };
        let limits = self.limits.limits().iter().map(|limit| Usage {
            id: limit.id.clone(),
            used: self.held(&limit.id),
            of: limit.capacity,
            rollback_reserve: limit.rollback_reserve,
            waiting: waiting(&limit.id),
            holders: self.holders(&limit.id),
        });
        let quotas = self.limits.quotas().iter().map(|quota| Usage {
            id: quota.id.clone(),
            used: u32::try_from(self.charged(&quota.id, now.max(self.now)).len())
                .unwrap_or(u32::MAX),
            of: quota.amount,
            rollback_reserve: 0,
            waiting: waiting(&quota.id),
            holders: Vec::new(),
        });
        limits.chain(quotas).collect()
    }

    /// When a quota will be used up if it is used on as since the beginning of its window: with `used`
    /// of `amount` since `begin`, at `begin + amount × (now − begin) ÷ used`. A rolling window begins
    /// with its oldest use. `now` when it is used up already; `None` when it renews before it is used
    /// up, when nothing was used yet, or when there is no such quota.
    pub fn forecast(&self, quota: &LimitId, now: Timestamp) -> Option<Timestamp> {
        let now = now.max(self.now);
        let charges = self.charged(quota, now);
        let quota = self.limits.quota(quota)?;
        if charges.len() >= quota.amount as usize {
            return Some(now);
        }
        let first = charges.first()?.at;
        let begin = match quota.window {
            super::Window::Rolling(_) => first,
            super::Window::Day | super::Window::Week => quota.window.start(now),
        };
        let passed = i128::from(now.as_micros()) - i128::from(begin.as_micros());
        let used = i128::try_from(charges.len()).ok()?;
        if passed <= 0 {
            return None;
        }
        let until = i128::from(quota.amount) * passed / used;
        let until = i128::from(begin.as_micros()).saturating_add(until);
        let at = Timestamp::from_micros(i64::try_from(until).ok()?);
        (at < quota.window.end(begin)).then_some(at)
    }
}
