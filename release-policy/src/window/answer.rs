//! What windows say to a question: open or not, until when, from when on.

use release_core::model::{Principal, RunId, Span, Timestamp};
use release_core::plan::Place;
use serde::{Deserialize, Serialize};

use super::spans::{OVER, Spans};
use super::{ActionClass, Kind, OnStart, Overlap, Waiver, Window, Windows};

/// How many openings and closings are looked through for one answer.
const MAX_LOOKS: usize = 20_000;

/// Whether a step may go on past the closing of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Straddle {
    /// It may: windows say what may begin.
    #[default]
    Allowed,
    /// It starts only if it is over before, by its timeout at the latest.
    Never,
}

impl Straddle {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    pub(super) const fn is_default(&self) -> bool {
        matches!(self, Self::Allowed)
    }
}

/// What is asked of windows.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Query<'a> {
    /// What is to be done.
    pub action: ActionClass,
    /// Where; `None` is the whole release.
    pub place: Option<&'a Place>,
    /// Who asked for it.
    pub by: &'a Principal,
    /// In which run; waivers may be for one.
    pub run: Option<&'a RunId>,
    /// When.
    pub at: Timestamp,
    /// How long it takes: it is not to begin unless windows stay open as long.
    pub lasting: Span,
}

impl<'a> Query<'a> {
    /// Whether `by` may begin to do something at `at`, anywhere.
    pub const fn new(action: ActionClass, by: &'a Principal, at: Timestamp) -> Self {
        Self { action, place: None, by, run: None, at, lasting: Span::ZERO }
    }

    /// Narrows it to a place.
    #[must_use]
    pub const fn place(mut self, place: &'a Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Sets the run.
    #[must_use]
    pub const fn run(mut self, run: &'a RunId) -> Self {
        self.run = Some(run);
        self
    }

    /// The same question at another instant.
    #[must_use]
    pub const fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    /// Sets how long it takes (the no-straddle rule).
    #[must_use]
    pub const fn lasting(mut self, span: Span) -> Self {
        self.lasting = span;
        self
    }
}

/// Why something is never open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NeverOpens {
    /// No deployment window opens any more.
    #[error("no deployment window opens after {after}: the last of them is over")]
    NoWindowLeft {
        /// From when on that is so.
        after: Timestamp,
    },
    /// A freeze holds until the end of the calendar.
    #[error("from {since} on freezes hold until the end of the calendar")]
    Frozen {
        /// From when on.
        since: Timestamp,
    },
    /// Windows are open, but never as long as it takes.
    #[error("it takes {needed}, and windows stay open for {longest} at most")]
    TooShort {
        /// How long it takes.
        needed: Span,
        /// The longest opening.
        longest: Span,
    },
    /// So many openings and closings were looked through without finding one that will do.
    #[error("no opening was found until {until}; there the search was given up")]
    GivenUp {
        /// Until when it is certain that there is none.
        until: Timestamp,
    },
    /// The instant lies where no calendar reaches.
    #[error("{0} is out of reach: calendars go from 1970 to the end of 2105")]
    OutOfRange(Timestamp),
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

    /// The first instant at or after `at` at which deployment windows let through.
    fn allowed(&self, at: i64) -> Option<i64> {
        if self.whole.is_empty() && self.parts.is_empty() {
            return Some(at);
        }
        let whole = self.whole.iter().filter_map(|window| window.opens(at)).min();
        let whole_now = whole == Some(at);
        let parts = if self.parts.is_empty() || whole_now { None } else { self.all_parts(at) };
        [whole, parts].into_iter().flatten().min()
    }

    /// The first instant at or after `at` at which a window of each part is open.
    fn all_parts(&self, at: i64) -> Option<i64> {
        let mut all = at;
        for _ in 0..MAX_LOOKS {
            let before = all;
            for part in &self.parts {
                all = part.iter().filter_map(|window| window.opens(all)).min()?;
            }
            if all == before {
                return Some(all);
            }
        }
        None
    }

    /// Until when deployment windows let through without a break; `at` if not now.
    fn allowed_until(&self, at: i64, enough: i64) -> i64 {
        if self.whole.is_empty() && self.parts.is_empty() {
            return i64::MAX;
        }
        let latest = |windows: &[Applied<'_>], end| {
            windows.iter().map(|window| window.lets_through(end, enough)).max().unwrap_or(end)
        };
        let mut end = at;
        while end < enough {
            let parts = self.parts.iter().map(|part| latest(part, end)).min().unwrap_or(end);
            let next = latest(&self.whole, end).max(parts);
            if next == end {
                break;
            }
            end = next;
        }
        end
    }

    /// Whether deployment windows let through from `at` until `end` without a break.
    pub(super) fn allowed_through(&self, at: i64, end: i64) -> bool {
        self.allowed_until(at, end) >= end
    }

    /// The first instant at or after `at` at which nothing stands in the way.
    fn free(&self, mut at: i64, looks: &mut usize) -> Result<i64, NeverOpens> {
        while *looks > 0 {
            *looks -= 1;
            let lifted = self.freezes.iter().map(|freeze| freeze.lifted(at)).max().unwrap_or(at);
            if lifted >= OVER {
                return Err(NeverOpens::Frozen { since: Timestamp::from_micros(at) });
            }
            if lifted > at {
                at = lifted;
                continue;
            }
            match self.allowed(at) {
                None => {
                    return Err(NeverOpens::NoWindowLeft { after: Timestamp::from_micros(at) });
                }
                Some(open) if open == at => return Ok(at),
                Some(open) => at = open,
            }
        }
        Err(NeverOpens::GivenUp { until: Timestamp::from_micros(at) })
    }

    /// Of an instant at which nothing stands in the way: the first after it at which something does.
    /// Looks no further than `enough`.
    pub(super) fn blocked(&self, at: i64, enough: i64) -> Option<i64> {
        let frozen = self.freezes.iter().filter_map(|freeze| freeze.blocks(at)).min();
        let enough = enough.min(frozen.unwrap_or(OVER));
        let closed = Some(self.allowed_until(at, enough)).filter(|closed| *closed < enough);
        [frozen, closed].into_iter().flatten().min().filter(|at| *at < OVER)
    }

    /// The first instant at or after `at` from which on nothing stands in the way for `lasting`.
    pub(super) fn open(&self, at: i64, lasting: Span) -> Result<i64, NeverOpens> {
        let length = i64::try_from(lasting.as_duration().as_micros()).unwrap_or(i64::MAX);
        let mut looks = MAX_LOOKS;
        if length == 0 {
            return self.free(at, &mut looks);
        }
        let mut longest = 0;
        let mut free = at;
        loop {
            free = match self.free(free, &mut looks) {
                Err(_) if longest > 0 && looks > 0 => {
                    let longest = Timestamp::from_micros(longest).since(Timestamp::default());
                    return Err(NeverOpens::TooShort { needed: lasting, longest });
                }
                other => other?,
            };
            let enough = free.saturating_add(length);
            match self.blocked(free, enough).filter(|blocked| *blocked < enough) {
                None => return Ok(free),
                Some(blocked) => {
                    longest = longest.max(blocked - free);
                    free = blocked;
                }
            }
        }
    }
}

impl Windows {
    /// The waivers that give leave from a window for what is asked.
    fn waivers_of<'a, 'q>(
        &'a self,
        window: &'q Window,
        query: &'q Query<'q>,
    ) -> impl Iterator<Item = &'a Waiver> + use<'a, 'q> {
        let of =
            move |waiver: &&'a Waiver| waiver.spec().window == *window.id() && waiver.is_for(query);
        self.rules.waivers.iter().filter(of)
    }

    pub(super) fn concerned(&self, query: &Query<'_>) -> Result<(Concerned<'_>, i64), NeverOpens> {
        let at = query.at.as_micros();
        let reached = (0..OVER).contains(&at);
        if reached {
            Ok((Concerned::new(self, query), at))
        } else {
            Err(NeverOpens::OutOfRange(query.at))
        }
    }

    /// Whether nothing stands in the way at the instant of the question, and for as long as it takes.
    pub fn is_open(&self, query: &Query<'_>) -> bool {
        if query.lasting == Span::ZERO
            && let Some(open) = self.is_open_now(query)
        {
            return open;
        }
        self.next_open(query) == Ok(query.at)
    }

    /// The same for now alone and without a list of what concerns the question; `None` when a
    /// deployment window concerns a part of it only.
    fn is_open_now(&self, query: &Query<'_>) -> Option<bool> {
        let at = query.at.as_micros();
        if !(0..OVER).contains(&at) {
            return Some(false);
        }
        let (mut wanted, mut open) = (false, false);
        for (window, spans) in self.rules.windows.iter().zip(&self.spans) {
            let spec = &window.spec;
            let overlap = spec.scope.overlap(query.place);
            if overlap == Overlap::Apart || !spec.concerns(query) {
                continue;
            }
            let lets_through = |holds| holds || self.waivers_of(window, query).any(|w| w.holds(at));
            match (spec.kind, overlap) {
                (Kind::Freeze, _) if lets_through(!spans.holds(at)) => {}
                (Kind::Freeze, _) => return Some(false),
                (Kind::Deployment, Overlap::Part | Overlap::Apart) => return None,
                (Kind::Deployment, Overlap::Whole) => {
                    wanted = true;
                    open = open || lets_through(spans.holds(at));
                }
            }
        }
        Some(open || !wanted)
    }

    /// The first instant at or after that of the question at which it can begin.
    ///
    /// # Errors
    /// [`NeverOpens`] says why there is none.
    pub fn next_open(&self, query: &Query<'_>) -> Result<Timestamp, NeverOpens> {
        let (concerned, at) = self.concerned(query)?;
        concerned.open(at, query.lasting).map(Timestamp::from_micros)
    }

    /// The first instant at or after that of the question at which it can no longer begin: that of the
    /// question if it cannot now, and `None` if it can until the end of the calendar.
    pub fn next_close(&self, query: &Query<'_>) -> Option<Timestamp> {
        let query = Query { lasting: Span::ZERO, ..*query };
        let Ok((concerned, at)) = self.concerned(&query) else { return Some(query.at) };
        if concerned.open(at, Span::ZERO) != Ok(at) {
            return Some(query.at);
        }
        concerned.blocked(at, OVER).map(Timestamp::from_micros)
    }
}

impl Windows {
    /// What becomes of a rollout that is under way, by the windows that stand in the way of what is
    /// asked: the strictest of them. `None` when none does.
    pub fn on_start(&self, query: &Query<'_>) -> Option<OnStart> {
        let (concerned, at) = self.concerned(query).ok()?;
        let frozen = concerned.freezes.iter().filter(|freeze| freeze.blocks(at) == Some(at));
        let closed = concerned.allowed(at) != Some(at);
        let closed = concerned.deployments().filter(|_| closed);
        frozen.chain(closed).map(|applied| applied.window.spec.on_start).max()
    }
}
