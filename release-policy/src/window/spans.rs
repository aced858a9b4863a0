//! A window as sorted stretches of time, computed a piece at a time and only once.
//!
//! Time is cut into chunks of about 407 days. The stretches of a chunk follow from the window alone, so
//! it never matters who asked first or what else was asked: the cache only saves work.

use std::sync::OnceLock;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::Kind;
use super::civil::{Interval, merge, resolve};
use super::recurrence::Starts;

/// A chunk is `2^SHIFT` microseconds long.
const SHIFT: u32 = 45;
/// How long a chunk is, in seconds.
pub(super) const CHUNK_SECS: i64 = (1 << SHIFT) / 1_000_000;
/// How many chunks there are from 1970 on.
const CHUNKS: i64 = 122;
/// The first instant, in microseconds since 1970, that no calendar reaches: in January 2106.
pub(super) const OVER: i64 = CHUNKS << SHIFT;

/// What the stretches of a window follow from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) kind: Kind,
    pub(super) zone: Tz,
    pub(super) starts: Starts,
    pub(super) length: TimeDelta,
    /// Days on which it does not begin, sorted.
    pub(super) not_on: Vec<chrono::NaiveDate>,
}

/// The stretches of a window.
#[derive(Debug)]
pub(super) enum Spans {
    /// All of them.
    Fixed(Box<[Interval]>),
    /// By rule, chunk by chunk; before the first chunk and after the last there is nothing.
    Rule { source: Box<Source>, chunks: Box<[OnceLock<Box<[Interval]>>]> },
}

impl Spans {
    /// The stretches that `source` says; of holidays, those of `days`.
    pub(super) fn new(source: Source, days: &[chrono::NaiveDate]) -> Self {
        let begins = match &source.starts {
            Starts::Instants(from, until) => return Self::Fixed([(*from, *until)].into()),
            Starts::Once(at) => vec![*at],
            Starts::Holidays { at, .. } => days.iter().map(|day| day.and_time(*at)).collect(),
            Starts::Rule(_) | Starts::Cron(_) => {
                let end = source.starts.over().map_or(OVER - 1, |over| {
                    let over = over + source.length + TimeDelta::days(2);
                    over.and_utc().timestamp_micros().clamp(0, OVER - 1)
                });
                let count = usize::try_from((end >> SHIFT) + 1).unwrap_or(0);
                let chunks = std::iter::repeat_with(OnceLock::new).take(count).collect();
                return Self::Rule { source: Box::new(source), chunks };
            }
        };
        Self::Fixed(source.stretches(begins, (0, OVER)))
    }

    /// The stretches that overlap chunk `index`, cut to it.
    fn chunk(&self, index: usize) -> &[Interval] {
        match self {
            Self::Fixed(all) if index == 0 => all,
            Self::Fixed(_) => &[],
            Self::Rule { source, chunks } => match chunks.get(index) {
                Some(chunk) => chunk.get_or_init(|| source.chunk(index)),
                None => &[],
            },
        }
    }

    fn chunks(&self) -> usize {
        match self {
            Self::Fixed(_) => 1,
            Self::Rule { chunks, .. } => chunks.len(),
        }
    }

    fn index(&self, at: i64) -> usize {
        match self {
            Self::Fixed(_) => 0,
            Self::Rule { .. } => usize::try_from(at >> SHIFT).unwrap_or(0),
        }
    }

    /// The stretch that `at` is in, as far as it goes in its chunk.
    fn piece(&self, at: i64) -> Option<Interval> {
        let chunk = self.chunk(self.index(at));
        let before = chunk.partition_point(|(from, _)| *from <= at).checked_sub(1)?;
        chunk.get(before).copied().filter(|(_, until)| at < *until)
    }

    /// Whether it holds at `at`.
    pub(super) fn holds(&self, at: i64) -> bool {
        self.piece(at).is_some()
    }

    /// The first instant at or after `at` at which it does not hold; at most the end of reach. Looks no
    /// further once it is known to hold until `enough`.
    pub(super) fn close(&self, at: i64, enough: i64) -> i64 {
        let mut end = at;
        while end < enough
            && let Some((_, until)) = self.piece(end)
        {
            end = until;
        }
        end
    }

    /// The first instant at or after `at` at which it holds.
    pub(super) fn open(&self, at: i64) -> Option<i64> {
        if self.holds(at) {
            return Some(at);
        }
        (self.index(at)..self.chunks()).find_map(|index| {
            let chunk = self.chunk(index);
            chunk.get(chunk.partition_point(|(from, _)| *from < at)).map(|(from, _)| *from)
        })
    }

    /// When the stretch began that `at` is in; `None` when it is in none.
    pub(super) fn began(&self, at: i64) -> Option<i64> {
        let mut begin = self.piece(at)?.0;
        while let Some((from, _)) = begin.checked_sub(1).and_then(|before| self.piece(before)) {
            begin = from;
        }
        Some(begin)
    }
}

impl Source {
    fn chunk(&self, index: usize) -> Box<[Interval]> {
        let index = i64::try_from(index).unwrap_or(CHUNKS);
        let bounds = (index << SHIFT, (index + 1) << SHIFT);
        let civil = |micros, by| {
            let utc = DateTime::<Utc>::from_timestamp_micros(micros).map(|at| at.naive_utc());
            utc.map(|utc: NaiveDateTime| utc + by)
        };
        let around = TimeDelta::days(2); // the clock of no zone is further from UTC
        let (Some(from), Some(until)) =
            (civil(bounds.0, -around - self.length), civil(bounds.1, around))
        else {
            return Box::default();
        };
        self.stretches(self.starts.civil(from, until), bounds)
    }

    fn stretches(&self, begins: Vec<NaiveDateTime>, bounds: Interval) -> Box<[Interval]> {
        let last = self.starts.last_instant();
        let mut all = Vec::with_capacity(begins.len());
        for begin in begins {
            if self.not_on.binary_search(&begin.date()).is_ok() {
                continue;
            }
            let before = all.len();
            resolve(self.zone, self.kind, begin, self.length, &mut all);
            if all.get(before).is_some_and(|(from, _)| last.is_some_and(|last| *from > last)) {
                all.truncate(before);
            }
        }
        merge(all, bounds)
    }
}
