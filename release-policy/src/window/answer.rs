//! What windows say to a question: open or not, until when, from when on.

use std::fmt;

use release_core::model::{Principal, PrincipalId, RunId, Span, Timestamp};
use release_core::plan::Place;
use serde::{Deserialize, Serialize};

use super::concerned::{Concerned, Looks};
use super::spans::OVER;
use super::{ActionClass, Kind, OnStart, Overlap, Waiver, Window, Windows};

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

/// Whether two accounts are one person's.
pub type SamePerson<'a> = &'a (dyn Fn(&PrincipalId, &PrincipalId) -> bool + Sync);

/// Who is who, as far as whoever asks knows.
#[derive(Clone, Copy)]
pub(super) struct People<'a>(SamePerson<'a>);

impl fmt::Debug for People<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("People").finish_non_exhaustive()
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
    people: People<'a>,
}

impl<'a> Query<'a> {
    /// Whether `by` may begin to do something at `at`, anywhere.
    pub const fn new(action: ActionClass, by: &'a Principal, at: Timestamp) -> Self {
        let people = People(&|one, two| one == two);
        Self { action, place: None, by, run: None, at, lasting: Span::ZERO, people }
    }

    /// Says who is who: a waiver that somebody granted by another account of theirs is none for them.
    /// Unless it is said, every account is somebody else.
    #[must_use]
    pub const fn knowing(mut self, same_person: SamePerson<'a>) -> Self {
        self.people = People(same_person);
        self
    }

    /// Whether whoever asks is behind `account`, too.
    pub(super) fn is_by(&self, account: &PrincipalId) -> bool {
        let People(same_person) = self.people;
        *account == self.by.id || same_person(account, &self.by.id)
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
    #[error("no deployment window opens after {after}, as far as calendars reach")]
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
    /// So much was looked through for one answer without finding an opening that will do; there may be one
    /// later.
    #[error(
        "no opening was found until {until}; there the search was given up: ask again then, or use fewer or \
         rarer windows"
    )]
    GivenUp {
        /// Until when it is certain that there is none; ask again from there.
        until: Timestamp,
    },
    /// The instant lies where no calendar reaches.
    #[error("{0} is out of reach: calendars go from 1970 to the end of 2105")]
    OutOfRange(Timestamp),
}

impl Windows {
    /// The waivers that give leave from a window for what is asked.
    pub(super) fn waivers_of<'a, 'q>(
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
        self.concerned(query).is_ok_and(|(concerned, at)| concerned.is_open(at, query.lasting))
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
        if !concerned.is_open(at, Span::ZERO) {
            return Some(query.at);
        }
        let blocked = concerned.blocked(at, OVER, &mut Looks::endless());
        blocked.ok().flatten().map(Timestamp::from_micros)
    }
}

impl Windows {
    /// What becomes of a rollout that is under way, by the windows that stand in the way of what is
    /// asked: the strictest of them. `None` when none does.
    pub fn on_start(&self, query: &Query<'_>) -> Option<OnStart> {
        let (concerned, at) = self.concerned(query).ok()?;
        let frozen = concerned.freezes.iter().filter(|freeze| freeze.blocks(at) == Some(at));
        let closed = !concerned.allows(at);
        let closed = concerned.deployments().filter(|_| closed);
        frozen.chain(closed).map(|applied| applied.window.spec.on_start).max()
    }
}
