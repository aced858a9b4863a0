//! Decides who gets the next permits.

use std::collections::BTreeMap;

use super::config::Limit;
use super::event::{Class, LedgerEvent, Request};
use super::ledger::{Book, Ledger, Waiting};
use crate::ids::{LimitId, TeamId};
use crate::time::{Span, Timestamp};

/// How long what another engine found to be free waits to be taken.
const OFFER: Span = Span::secs(60);

/// What of each limit is kept for those who waited for too long.
pub(super) type Kept<'a> = BTreeMap<&'a LimitId, u32>;

/// What stands between a request and its permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle<'a> {
    /// All permits are held.
    Full(&'a LimitId),
    /// The rest is guaranteed to other teams, and is not lent.
    Guaranteed(&'a LimitId),
    /// The rest is kept for those who waited for too long.
    Kept(&'a LimitId),
    /// The quota is used up until then.
    UsedUp(&'a LimitId, Timestamp),
}

impl<'a> Obstacle<'a> {
    pub(super) const fn id(&self) -> &'a LimitId {
        match self {
            Self::Full(id) | Self::Guaranteed(id) | Self::Kept(id) | Self::UsedUp(id, _) => id,
        }
    }
}

/// Where a request stands: the least comes first.
pub(super) type Place = (u8, bool, u64, usize);

/// Decides everything that follows from the ledger at `now`, folding each event into it: offers that
/// nobody took are over, and whoever may start is granted that. `by` is the engine that decides.
///
/// Deciding takes time in proportion to the requests that wait, for each permit that is given.
pub fn grants(ledger: &mut Ledger, now: Timestamp, by: &str) -> Vec<LedgerEvent> {
    let now = now.max(ledger.now);
    let mut all = Vec::new();
    let mut decided = |ledger: &mut Ledger, event: LedgerEvent| {
        let legal = ledger.evolve(now, &event);
        debug_assert!(legal.is_ok(), "{legal:?}");
        all.push(event);
        legal.is_ok()
    };
    for event in lapsed(ledger, now) {
        decided(ledger, event);
    }
    while let Some(request) = next(ledger, now) {
        let event = LedgerEvent::Granted { claim: request.claim.clone(), by: by.to_owned() };
        if !decided(ledger, event) {
            break;
        }
    }
    all
}

fn lapsed(ledger: &Ledger, now: Timestamp) -> Vec<LedgerEvent> {
    let over = ledger.permits.iter().filter(|p| !p.taken && p.since.plus(OFFER) <= now);
    over.map(|permit| LedgerEvent::Released {
        run: permit.run.clone(),
        units: vec![permit.unit.clone()],
        epoch: permit.epoch,
        why: format!("engine `{}` did not take it", permit.engine),
    })
    .collect()
}

/// The request that is granted next, if any can be.
fn next(ledger: &Ledger, now: Timestamp) -> Option<&Request> {
    let none = Kept::new();
    let mut in_line = Vec::new();
    let mut some = false;
    for (waiting, nth) in ledger.waiting.iter().zip(0..) {
        let free = obstacles(ledger, &waiting.request, &none, now).next().is_none();
        some |= free;
        if free || keeps(ledger, waiting, now) {
            in_line.push((place(ledger, waiting, nth, now), waiting));
        }
    }
    if !some {
        return None;
    }
    in_line.sort_unstable_by_key(|(place, _)| *place);
    let mut kept = Kept::new();
    for (_, waiting) in in_line {
        if obstacles(ledger, &waiting.request, &kept, now).next().is_none() {
            return Some(&waiting.request);
        }
        keep(ledger, waiting, now, &mut kept);
    }
    None
}

/// Whether what a request lacks is kept for it: it waited for too long, or puts something back. What
/// waits for a quota would keep things idle for days.
fn keeps(ledger: &Ledger, waiting: &Waiting, now: Timestamp) -> bool {
    let used_up = |obstacle| matches!(obstacle, Obstacle::UsedUp(..));
    (waiting.request.class == Class::Rollback || is_old(ledger, waiting, now))
        && !obstacles(ledger, &waiting.request, &Kept::new(), now).any(used_up)
}

/// Notes what is kept for a request.
pub(super) fn keep<'a>(ledger: &Ledger, waiting: &'a Waiting, now: Timestamp, kept: &mut Kept<'a>) {
    if keeps(ledger, waiting, now) {
        for id in ledger.missing(&waiting.request).flat_map(|want| &want.limits) {
            *kept.entry(id).or_insert(0) += 1;
        }
    }
}

fn is_old(ledger: &Ledger, waiting: &Waiting, now: Timestamp) -> bool {
    waiting.since.plus(ledger.limits.patience()) <= now
}

/// Where a request stands; see the documentation of [`limits`](super).
pub(super) fn place(ledger: &Ledger, waiting: &Waiting, nth: usize, now: Timestamp) -> Place {
    let Waiting { request, .. } = waiting;
    let team = request.team.as_ref();
    let rank = match request.class {
        Class::Rollback => 0,
        Class::Hotfix => 1,
        Class::Normal if is_old(ledger, waiting, now) => 1,
        Class::Normal => 2,
    };
    let (mut has_enough, mut ahead) = (true, 0);
    let ids = ledger.missing(request).flat_map(|want| &want.limits);
    for (limit, book) in ids.filter_map(|id| ledger.limit(id)) {
        let held = book.map_or(0, |book| book.team(team));
        has_enough &= held >= limit.guaranteed(team);
        // Virtual times of different limits cannot be compared, but how far ahead of them a team is.
        ahead = ahead.max(book.map_or(0, |book| book.start(team).saturating_sub(book.clock)));
    }
    (rank, has_enough, ahead, nth)
}

/// What stands between a request and its permits when `kept` is kept for others.
pub(super) fn obstacles<'a>(
    ledger: &'a Ledger,
    request: &'a Request,
    kept: &'a Kept<'_>,
    now: Timestamp,
) -> impl Iterator<Item = Obstacle<'a>> {
    // Whoever has begun what outlasts its steps may have what others wait for: it has to get on.
    let begun = ledger.has_begun(&request.claim.run);
    ledger.missing(request).flat_map(move |want| {
        let limits = want.limits.iter().filter_map(move |id| {
            let (limit, book) = ledger.limit(id)?;
            let kept = kept.get(id).copied().filter(|_| !begun).unwrap_or(0);
            full(limit, book, request, kept).map(|what| match what {
                Lack::Free => Obstacle::Full(id),
                Lack::Lent => Obstacle::Guaranteed(id),
                Lack::Kept => Obstacle::Kept(id),
            })
        });
        let quotas = want.quotas.iter().filter_map(move |id| {
            let quota = ledger.limits.quota(id)?;
            let charges = ledger.charged(id, now);
            let counted = charges.iter().any(|c| c.run == request.claim.run && c.unit == want.unit);
            let used_up = !counted && charges.len() >= quota.amount as usize;
            // Of a quota that was lowered, more than one use has to lapse.
            let oldest = charges.len().checked_sub(quota.amount as usize)?;
            let lapses = charges.get(oldest)?.at;
            used_up.then(|| Obstacle::UsedUp(id, quota.window.end(lapses)))
        });
        limits.chain(quotas)
    })
}

enum Lack {
    Free,
    Lent,
    Kept,
}

fn full(limit: &Limit, book: Option<&Book>, request: &Request, kept: u32) -> Option<Lack> {
    let held = book.map_or(0, |book| book.held);
    #[cfg(planted_bugs)]
    let held =
        held.saturating_sub(u32::from(crate::planted::is(crate::planted::Bug::GrantOneMore)));
    let reserved = request.class == Class::Rollback;
    #[cfg(planted_bugs)]
    let reserved = reserved && !crate::planted::is(crate::planted::Bug::QueueRollback);
    if reserved {
        return (held.saturating_add(kept) >= limit.most()).then_some(Lack::Free);
    }
    let free = limit.capacity.saturating_sub(held);
    let lent = free.saturating_sub(withheld(limit, book, request.team.as_ref()));
    match (free, lent, lent.saturating_sub(kept)) {
        (0, _, _) => Some(Lack::Free),
        (_, 0, _) => Some(Lack::Lent),
        (_, _, 0) => Some(Lack::Kept),
        _ => None,
    }
}

/// What other teams are guaranteed, do not hold, and do not lend.
fn withheld(limit: &Limit, book: Option<&Book>, team: Option<&TeamId>) -> u32 {
    if limit.lend {
        return 0;
    }
    let others = limit.shares.iter().filter(|share| Some(&share.team) != team);
    let unused = others.map(|share| {
        let held = book.map_or(0, |book| book.team(Some(&share.team)));
        share.guaranteed.saturating_sub(held)
    });
    unused.fold(0, u32::saturating_add)
}
