//! How much of each limit and each quota a simulation used: how long steps would wait for permits, and
//! which quota would be too small.

use std::collections::BTreeMap;
use std::fmt;

use release_core::limits::{Claim, LedgerEvent};
use release_core::model::{LimitId, Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::invariants::permits::walk;

/// How one limit was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LimitUse {
    /// The limit.
    pub id: LimitId,
    /// How many permits there are, without what is kept for rollbacks.
    pub of: u32,
    /// The most that were held at once, rollbacks included.
    pub most: usize,
    /// How many were held on average, in a thousandth of a permit.
    pub average_milli: u64,
    /// How many steps asked for one and got it.
    pub granted: usize,
    /// How long half of these waited at most.
    pub median_wait: Span,
    /// How long the one waited that waited longest.
    pub longest_wait: Span,
    /// How many still waited at the end.
    pub waiting: usize,
}

/// How one quota was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QuotaUse {
    /// The quota.
    pub id: LimitId,
    /// How many may begin in its window.
    pub amount: u32,
    /// The most that were begun in one window.
    pub most: usize,
    /// When that was reached first.
    pub at: Option<Timestamp>,
    /// How many were begun altogether.
    pub begun: usize,
    /// Steps that waited until it was renewed.
    pub waited: usize,
}

impl fmt::Display for LimitUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = |span: Span| Span::secs(span.as_duration().as_secs());
        let (whole, rest) = (self.average_milli / 1000, self.average_milli % 1000);
        write!(
            f,
            "limit {}: at most {} of {} permits held, {whole}.{rest:03} on average; {} steps waited \
             {} (half of them) to {}",
            self.id,
            self.most,
            self.of,
            self.granted,
            secs(self.median_wait),
            secs(self.longest_wait)
        )?;
        if self.waiting > 0 { write!(f, ", {} still wait", self.waiting) } else { Ok(()) }
    }
}

impl fmt::Display for QuotaUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, amount, most, begun, waited, .. } = self;
        write!(f, "quota {id}: at most {most} of {amount} in a window")?;
        if let Some(at) = self.at {
            write!(f, " (first at {at})")?;
        }
        write!(f, ", {begun} altogether, {waited} steps waited for it")
    }
}

/// How each limit was used.
pub(super) fn limits(course: &Course) -> Vec<LimitUse> {
    let mut waits: BTreeMap<LimitId, Vec<Span>> = BTreeMap::new();
    let mut asked: BTreeMap<Claim, (Timestamp, Vec<LimitId>)> = BTreeMap::new();
    let mut held: BTreeMap<LimitId, (usize, usize, u128, Timestamp)> = BTreeMap::new();
    let end = walk(course, |account, entry, _| {
        match &entry.event {
            LedgerEvent::Requested { request } => {
                let wanted = request.wants.iter().flat_map(|want| want.limits.clone()).collect();
                asked.entry(request.claim.clone()).or_insert((entry.at, wanted));
            }
            LedgerEvent::Granted { claim, .. } => {
                if let Some((since, wanted)) = asked.remove(claim) {
                    for id in wanted {
                        waits.entry(id).or_default().push(entry.at.since(since));
                    }
                }
            }
            LedgerEvent::Withdrawn { claim, .. } => drop(asked.remove(claim)),
            _ => {}
        }
        for limit in course.limits.limits() {
            let count = account.holds(&limit.id);
            let (now, most, sum, since) =
                held.entry(limit.id.clone()).or_insert((0, 0, 0, course.start));
            let passed = entry.at.since(*since).as_duration().as_micros();
            *sum += passed * u128::try_from(*now).unwrap_or(0);
            (*now, *most, *since) = (count, (*most).max(count), entry.at.max(*since));
        }
    });
    let last = course.permits.last().map_or(course.start, |entry| entry.at);
    let span = last.since(course.start).as_duration().as_micros().max(1);
    let of = |limit: &release_core::limits::Limit| {
        let mut all = waits.remove(&limit.id).unwrap_or_default();
        all.sort_unstable();
        let (_, most, sum, _) = held.get(&limit.id).copied().unwrap_or_default();
        let waiting = end.waiting.values().filter(|(_, request)| {
            request.wants.iter().any(|want| want.limits.contains(&limit.id))
        });
        LimitUse {
            id: limit.id.clone(),
            of: limit.capacity,
            most,
            average_milli: u64::try_from(sum * 1000 / span).unwrap_or(u64::MAX),
            granted: all.len(),
            median_wait: all.get(all.len() / 2).copied().unwrap_or(Span::ZERO),
            longest_wait: all.last().copied().unwrap_or(Span::ZERO),
            waiting: waiting.count(),
        }
    };
    course.limits.limits().iter().map(of).collect()
}

/// How each quota was used.
pub(super) fn quotas(course: &Course) -> Vec<QuotaUse> {
    let fresh = |quota: &release_core::limits::Quota| QuotaUse {
        id: quota.id.clone(),
        amount: quota.amount,
        most: 0,
        at: None,
        begun: 0,
        waited: 0,
    };
    let mut all: Vec<_> = course.limits.quotas().iter().map(fresh).collect();
    if all.is_empty() {
        return all;
    }
    let mut short: std::collections::BTreeSet<(LimitId, Claim)> = std::collections::BTreeSet::new();
    walk(course, |account, entry, last| {
        for of in &mut all {
            let begun = account.begun.get(&of.id).map_or(&[][..], Vec::as_slice);
            if matches!(entry.event, LedgerEvent::Granted { .. }) {
                of.begun += begun.iter().filter(|(at, _)| *at == entry.at).count().min(1);
                if begun.len() > of.most {
                    (of.most, of.at) = (begun.len(), Some(entry.at));
                }
            }
            let Some(quota) = course.limits.quota(&of.id).filter(|_| last) else { continue };
            let start = quota.window.start(entry.at);
            let used = begun.iter().filter(|(at, _)| *at >= start).count();
            if used < of.amount as usize {
                continue;
            }
            for (claim, (_, request)) in &account.waiting {
                if request.wants.iter().any(|want| want.quotas.contains(&of.id)) {
                    short.insert((of.id.clone(), (*claim).clone()));
                }
            }
        }
    });
    for of in &mut all {
        of.waited = short.iter().filter(|(id, _)| *id == of.id).count();
    }
    all
}
