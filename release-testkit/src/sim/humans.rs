//! How people behave: how long they take, when they work, and what they get wrong.

use release_core::model::{Principal, Span, Timestamp};

use super::chance::Chance;
use crate::fixtures;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// The people around a simulation, who approve, retry, reconcile and resume.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Humans {
    pub(super) approvers: Vec<Principal>,
    pub(super) operator: Principal,
    delay: (Span, Span),
    /// From and to which hour they work, in UTC, from Monday to Friday.
    hours: Option<(u8, u8)>,
    pub(super) wrong_button: u32,
    pub(super) twice: u32,
    pub(super) meddle: u32,
    pub(super) patience: u32,
    /// Nobody answers but as a script says, until the faults stop.
    pub(super) absent: bool,
}

impl Default for Humans {
    fn default() -> Self {
        Self::new()
    }
}

impl Humans {
    /// Two release managers and an operator, who answer within half an hour, day and night, and make no
    /// mistakes.
    pub fn new() -> Self {
        Self {
            approvers: vec![fixtures::approver(), fixtures::second_approver()],
            operator: fixtures::operator(),
            delay: (Span::secs(60), Span::secs(1800)),
            hours: None,
            wrong_button: 0,
            twice: 0,
            meddle: 0,
            patience: 3,
            absent: false,
        }
    }

    /// As [`Humans::new`], but they work from 9 to 17 o'clock UTC, from Monday to Friday.
    pub fn office() -> Self {
        Self { hours: Some((9, 17)), ..Self::new() }
    }

    /// Sets who approves.
    pub fn approvers(mut self, approvers: impl IntoIterator<Item = Principal>) -> Self {
        self.approvers = approvers.into_iter().collect();
        self
    }

    /// Sets how long they take at work, evenly between two spans.
    pub const fn delay(mut self, least: Span, most: Span) -> Self {
        self.delay = (least, most);
        self
    }

    /// Sets the hours of work in UTC: from the first to just before the second, at most 24.
    pub const fn hours(mut self, from: u8, to: u8) -> Self {
        self.hours = if from < to && to <= 24 { Some((from, to)) } else { None };
        self
    }

    /// Sets how often, in a million, somebody does the opposite of what they should: rejects instead of
    /// approving.
    pub const fn wrong_button(mut self, ppm: u32) -> Self {
        self.wrong_button = ppm;
        self
    }

    /// Sets how often, in a million, somebody says the same twice, or approves what they may not: their
    /// own request.
    pub const fn overeager(mut self, ppm: u32) -> Self {
        self.twice = ppm;
        self
    }

    /// Sets how often, in a million, somebody pauses (and later resumes) or cancels a run, each time that
    /// it waits for anything.
    pub const fn meddling(mut self, ppm: u32) -> Self {
        self.meddle = ppm;
        self
    }

    /// Sets how often a step is retried by hand before the run is given up.
    pub const fn patience(mut self, retries: u32) -> Self {
        self.patience = retries;
        self
    }

    /// When somebody who is asked at `now` answers.
    pub(super) fn answers_at(&self, now: Timestamp, chance: &mut Chance) -> Timestamp {
        self.at_work(now.plus(chance.span(self.delay.0, self.delay.1)))
    }

    /// `at`, or the next instant at which people work.
    pub(super) fn at_work(&self, at: Timestamp) -> Timestamp {
        let Some((from, to)) = self.hours else { return at };
        let (mut day, mut time) = (at.as_micros().div_euclid(DAY), at.as_micros().rem_euclid(DAY));
        let (from, to) = (i64::from(from) * HOUR, i64::from(to) * HOUR);
        if time >= to {
            (day, time) = (day + 1, from);
        }
        time = time.max(from);
        // 1970-01-01 was a Thursday.
        while (day + 3).rem_euclid(7) >= 5 {
            (day, time) = (day + 1, from);
        }
        Timestamp::from_micros(day * DAY + time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_work_in_office_hours() {
        let humans = Humans::office();
        let check = |asked: &str, answered: &str| {
            let at: Timestamp = fixtures::literal(asked);
            assert_eq!(humans.at_work(at), fixtures::literal(answered), "{asked}");
        };
        check("2026-11-23T09:00:00Z", "2026-11-23T09:00:00Z"); // a Monday
        check("2026-11-23T03:00:00Z", "2026-11-23T09:00:00Z");
        check("2026-11-23T17:00:00Z", "2026-11-24T09:00:00Z");
        check("2026-11-27T16:59:00Z", "2026-11-27T16:59:00Z");
        check("2026-11-27T17:30:00Z", "2026-11-30T09:00:00Z");
        check("2026-11-28T12:00:00Z", "2026-11-30T09:00:00Z");
        assert_eq!(Humans::new().at_work(Timestamp::default()), Timestamp::default());
    }
}
