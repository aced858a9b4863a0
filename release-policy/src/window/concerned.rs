//! The windows that concern a question, and the search through their openings and closings.

use release_core::model::{Span, Timestamp};

use super::spans::{OVER, Spans};
use super::{Kind, NeverOpens, Overlap, Query, Waiver, Window, Windows};

/// How many windows are looked at for one answer: so often at one instant, or at so many instants.
const MAX_LOOKS: usize = 250_000;

/// How many more windows may be looked at for one answer.
#[derive(Debug)]
pub(super) struct Looks(usize);

impl Looks {
    /// As many as calendars have.
    pub(super) const fn endless() -> Self {
        Self(usize::MAX)
    }

    pub(super) const fn new() -> Self {
        Self(MAX_LOOKS)
    }

    /// Takes some for a search that has come to `at`.
    fn take(&mut self, windows: usize, at: i64) -> Result<(), NeverOpens> {
        if self.0 == 0 {
            return Err(NeverOpens::GivenUp { until: Timestamp::from_micros(at) });
        }
        self.0 = self.0.saturating_sub(windows.max(1));
        Ok(())
    }
}

/// A window that concerns what is asked, and when somebody has leave from it.
#[derive(Debug)]
pub(super) struct Applied<'a> {
    pub(super) window: &'a Window,
    pub(super) spans: &'a Spans,
    pub(super) waivers: Vec<&'a Waiver>,
}

impl Applied<'_> {
    fn leave(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.waivers
            .iter()
            .map(|waiver| waiver.spec())
            .map(|waiver| (waiver.from.as_micros(), waiver.until.as_micros()))
    }

    fn waived(&self, at: i64) -> Option<i64> {
        self.leave()
            .filter(|(from, until)| *from <= at && at < *until)
            .map(|(_, until)| until)
            .max()
    }

    /// Of a deployment window: whether it lets through at `at`.
    fn lets(&self, at: i64) -> bool {
        self.spans.holds(at) || self.waived(at).is_some()
    }

    fn next_leave(&self, after: i64) -> Option<i64> {
        self.leave().map(|(from, _)| from).filter(|from| *from > after).min()
    }

    /// Of a freeze: the first instant at or after `at` at which it does not stand in the way.
    fn lifted(&self, at: i64) -> i64 {
        if !self.spans.holds(at) || self.waived(at).is_some() {
            return at;
        }
        let close = self.spans.close(at, OVER);
        self.next_leave(at).map_or(close, |leave| leave.min(close))
    }

    /// Of a freeze: the first instant at or after `at` at which it stands in the way.
    pub(super) fn blocks(&self, at: i64) -> Option<i64> {
        let mut at = self.spans.open(at)?;
        while let Some(until) = self.waived(at) {
            at = self.spans.open(until)?;
        }
        Some(at)
    }

    /// Of a deployment window: the first instant at or after `at` at which it lets through.
    pub(super) fn opens(&self, at: i64) -> Option<i64> {
        if self.waived(at).is_some() {
            return Some(at);
        }
        [self.spans.open(at), self.next_leave(at)].into_iter().flatten().min()
    }

    /// Of a deployment window: until when at least it lets through without a break; `at` if not now.
    fn lets_through(&self, at: i64, enough: i64) -> i64 {
        let mut end = at;
        while end < enough {
            let next = self.spans.close(end, enough).max(self.waived(end).unwrap_or(end));
            if next == end {
                break;
            }
            end = next;
        }
        end
    }
}

/// The windows that concern a question.
#[derive(Debug)]
pub(super) struct Concerned<'a> {
    pub(super) freezes: Vec<Applied<'a>>,
    /// Deployment windows that concern all of the place: one of them is enough.
    pub(super) whole: Vec<Applied<'a>>,
    /// Those that concern parts of it only, by part: one of each is needed.
    pub(super) parts: Vec<Vec<Applied<'a>>>,
}

impl<'a> Concerned<'a> {
    pub(super) fn new(windows: &'a Windows, query: &Query<'_>) -> Self {
        let mut this = Self { freezes: Vec::new(), whole: Vec::new(), parts: Vec::new() };
        for (window, spans) in windows.rules.windows.iter().zip(&windows.spans) {
            let spec = &window.spec;
            let overlap = spec.scope.overlap(query.place);
            if overlap == Overlap::Apart || !spec.concerns(query) {
                continue;
            }
            let waivers = windows.waivers_of(window, query).collect();
            let applied = Applied { window, spans, waivers };
            match (spec.kind, overlap) {
                (Kind::Freeze, _) => this.freezes.push(applied),
                (Kind::Deployment, Overlap::Whole) => this.whole.push(applied),
                (Kind::Deployment, _) => {
                    let same = |part: &&mut Vec<Applied<'_>>| {
                        part.first().is_some_and(|one| one.window.spec.scope == spec.scope)
                    };
                    match this.parts.iter_mut().find(same) {
                        Some(part) => part.push(applied),
                        None => this.parts.push(vec![applied]),
                    }
                }
            }
        }
        this
    }

    /// The deployment windows.
    pub(super) fn deployments(&self) -> impl Iterator<Item = &Applied<'a>> {
        self.whole.iter().chain(self.parts.iter().flatten())
    }

    /// Whether deployment windows let through at `at`.
    pub(super) fn allows(&self, at: i64) -> bool {
        let one = |windows: &[Applied<'_>]| windows.iter().any(|window| window.lets(at));
        let parts = || !self.parts.is_empty() && self.parts.iter().all(|part| one(part));
        self.deployments().next().is_none() || one(&self.whole) || parts()
    }

    /// The first instant at or after `at` at which deployment windows let through.
    fn allowed(&self, at: i64, looks: &mut Looks) -> Result<Option<i64>, NeverOpens> {
        if self.whole.is_empty() && self.parts.is_empty() {
            return Ok(Some(at));
        }
        looks.take(self.whole.len(), at)?;
        let whole = self.whole.iter().filter_map(|window| window.opens(at)).min();
        if self.parts.is_empty() { Ok(whole) } else { self.all_parts(at, whole, looks) }
    }

    /// The first instant at or after `at` at which a window of each part is open, or `whole` if that is
    /// earlier.
    fn all_parts(
        &self,
        at: i64,
        whole: Option<i64>,
        looks: &mut Looks,
    ) -> Result<Option<i64>, NeverOpens> {
        let mut all = at;
        while whole.is_none_or(|whole| all < whole) {
            looks.take(self.parts.iter().map(Vec::len).sum(), all)?;
            let before = all;
            for part in &self.parts {
                let Some(next) = part.iter().filter_map(|window| window.opens(all)).min() else {
                    return Ok(whole);
                };
                all = next;
            }
            if all == before {
                return Ok(Some(all));
            }
        }
        Ok(whole)
    }

    /// Until when deployment windows let through without a break; `at` if not now. Looks no further than
    /// `enough`.
    fn allowed_until(&self, at: i64, enough: i64, looks: &mut Looks) -> Result<i64, NeverOpens> {
        if self.whole.is_empty() && self.parts.is_empty() {
            return Ok(i64::MAX);
        }
        let latest = |windows: &[Applied<'_>], end| {
            windows.iter().map(|window| window.lets_through(end, enough)).max().unwrap_or(end)
        };
        let mut end = at;
        while end < enough {
            looks.take(self.deployments().count(), at)?;
            let parts = self.parts.iter().map(|part| latest(part, end)).min().unwrap_or(end);
            let next = latest(&self.whole, end).max(parts);
            if next == end {
                break;
            }
            end = next;
        }
        Ok(end)
    }

    /// Whether deployment windows are known to let through from `at` until `end` without a break.
    pub(super) fn allowed_through(&self, at: i64, end: i64) -> bool {
        self.allowed_until(at, end, &mut Looks::new()).is_ok_and(|until| until >= end)
    }

    /// The first instant at or after `at` at which nothing stands in the way.
    fn free(&self, mut at: i64, looks: &mut Looks) -> Result<i64, NeverOpens> {
        loop {
            looks.take(self.freezes.len(), at)?;
            let before = at;
            for freeze in &self.freezes {
                let lifted = freeze.lifted(at);
                if lifted >= OVER {
                    return Err(NeverOpens::Frozen { since: Timestamp::from_micros(at) });
                }
                at = lifted;
            }
            if at > before {
                continue; // one that was passed by may hold now
            }
            match self.allowed(at, looks)? {
                None => {
                    return Err(NeverOpens::NoWindowLeft { after: Timestamp::from_micros(at) });
                }
                Some(open) if open == at => return Ok(at),
                Some(open) => at = open,
            }
        }
    }

    /// Of an instant at which nothing stands in the way: the first after it at which something does.
    /// Looks no further than `enough`.
    pub(super) fn blocked(
        &self,
        at: i64,
        enough: i64,
        looks: &mut Looks,
    ) -> Result<Option<i64>, NeverOpens> {
        looks.take(self.freezes.len(), at)?;
        let frozen = self.freezes.iter().filter_map(|freeze| freeze.blocks(at)).min();
        let enough = enough.min(frozen.unwrap_or(OVER));
        let until = self.allowed_until(at, enough, looks)?;
        let closed = Some(until).filter(|closed| *closed < enough);
        Ok([frozen, closed].into_iter().flatten().min().filter(|at| *at < OVER))
    }

    /// Whether nothing stands in the way at `at` and for `lasting` from then on.
    pub(super) fn is_open(&self, at: i64, lasting: Span) -> bool {
        let enough = at.saturating_add(micros(lasting));
        let long_enough = || {
            let blocked = self.blocked(at, enough, &mut Looks::new());
            blocked.is_ok_and(|blocked| blocked.is_none_or(|blocked| blocked >= enough))
        };
        self.freezes.iter().all(|freeze| freeze.lifted(at) == at)
            && self.allows(at)
            && (lasting == Span::ZERO || long_enough())
    }

    /// The first instant at or after `at` from which on nothing stands in the way for `lasting`.
    pub(super) fn open(&self, at: i64, lasting: Span) -> Result<i64, NeverOpens> {
        let (length, mut looks) = (micros(lasting), Looks::new());
        if length == 0 {
            return self.free(at, &mut looks);
        }
        let (mut longest, mut free) = (0, at);
        loop {
            free = match self.free(free, &mut looks) {
                Err(NeverOpens::Frozen { .. } | NeverOpens::NoWindowLeft { .. }) if longest > 0 => {
                    let longest = Timestamp::from_micros(longest).since(Timestamp::default());
                    return Err(NeverOpens::TooShort { needed: lasting, longest });
                }
                other => other?,
            };
            let enough = free.saturating_add(length);
            let blocked = self.blocked(free, enough, &mut looks)?;
            match blocked.filter(|blocked| *blocked < enough) {
                None => return Ok(free),
                Some(blocked) => {
                    longest = longest.max(blocked - free);
                    free = blocked;
                }
            }
        }
    }
}

fn micros(span: Span) -> i64 {
    i64::try_from(span.as_duration().as_micros()).unwrap_or(i64::MAX)
}
