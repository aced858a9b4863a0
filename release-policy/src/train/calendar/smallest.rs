//! The smallest set of constraints because of which an activity is late, or the smallest that is found with so much work.

use std::collections::{BTreeMap, BTreeSet};

use super::Calendar;
use super::hours::{Hours, Stretch, merged};
use super::reckon::{Blocked, forwards};

/// How many stretches and activities are gone by altogether to make a set smaller: enough to try each of some thousands.
const MOST_LOOKS: usize = 50_000_000;

/// A constraint by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The so manieth activity of the path may not begin before a time.
    NotBefore(usize),
    /// What keeps a team from work: a number of [`Hours::blockers`].
    Blocker(usize),
}

/// Which constraints count.
struct Kept {
    begins: Vec<bool>,
    blockers: Vec<bool>,
}

impl Kept {
    fn set(&mut self, parts: &[Part], counts: bool) {
        for part in parts {
            let one = match *part {
                Part::NotBefore(nth) => self.begins.get_mut(nth),
                Part::Blocker(by) => self.blockers.get_mut(by),
            };
            if let Some(one) = one {
                *one = counts;
            }
        }
    }

    fn has(&self, by: usize) -> bool {
        self.blockers.get(by).copied().unwrap_or(false)
    }
}

/// What makes an activity late: those that wait for each other, of which it is the last.
pub(super) struct Path<'a> {
    calendar: &'a Calendar,
    blockers: usize,
    pub(super) activities: Vec<usize>,
    /// What holds these: of each of their owners, and of each set of freezes.
    stretches: Vec<Vec<Stretch>>,
    /// Of each activity of the path, what of its owner's and what of freezes holds it: places in `stretches`.
    of: Vec<[usize; 2]>,
}

impl<'a> Path<'a> {
    pub(super) fn new(calendar: &'a Calendar, hours: &Hours, activities: Vec<usize>) -> Self {
        let (mut places, mut stretches) = (BTreeMap::new(), Vec::new());
        let mut place = |set: usize| {
            *places.entry(set).or_insert_with(|| {
                stretches.push(hours.stretches(set).to_vec());
                stretches.len() - 1
            })
        };
        let of = activities.iter().map(|number| hours.sets_of(*number).map(&mut place)).collect();
        Self { calendar, blockers: hours.blockers.len(), activities, stretches, of }
    }

    /// All constraints but the links from one activity to the next.
    fn all(&self) -> Kept {
        Kept { begins: vec![true; self.activities.len()], blockers: vec![true; self.blockers] }
    }

    /// When each activity is asked for and done if those from `first` on wait for each other, with these constraints alone.
    fn times(&self, first: usize, kept: &Kept, mut each: impl FnMut(usize, i64, i64)) -> i64 {
        let counts = |by| kept.has(by);
        let free: Vec<_> = self.stretches.iter().map(|all| merged(all, counts)).collect();
        let mut done = self.calendar.spec.from.as_micros();
        let path = self.activities.iter().zip(&self.of).enumerate().skip(first);
        let of = |place: usize| free.get(place).map_or(&[][..], Vec::as_slice);
        for (nth, (number, [own, frozen])) in path {
            if kept.begins.get(nth).copied().unwrap_or(false) {
                done = done.max(self.calendar.begins(*number));
            }
            let (asked, blocked) = (done, Blocked { own: of(*own), frozen: of(*frozen) });
            (_, done) = forwards(blocked, asked, self.calendar.work(*number));
            each(nth, asked, done);
        }
        done
    }

    fn done(&self, first: usize, kept: &Kept) -> i64 {
        self.times(first, kept, |_, _, _| {})
    }

    /// Leaves out what comes before the last activity with which the last one still is late although nothing before is waited for: the
    /// fewer are waited for, the sooner it is done. So each link behind is needed.
    pub(super) fn shorten(&mut self, due: i64) {
        let all = self.all();
        let (mut late, mut sound) = (0, self.activities.len());
        while late + 1 < sound {
            let middle = late + (sound - late) / 2;
            if self.done(middle, &all) > due { late = middle } else { sound = middle }
        }
        self.activities.drain(..late);
        self.of.drain(..late);
    }

    /// The constraints that are felt when all of them hold. Without all others, everything is done at the same instants.
    fn felt(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        // When something is worked on or waited for that these hold, in order.
        let mut busy = vec![Vec::new(); self.stretches.len()];
        let mut before = self.calendar.spec.from.as_micros();
        self.times(0, &self.all(), |nth, asked, done| {
            if asked > before {
                parts.push(Part::NotBefore(nth));
            }
            for place in self.of.get(nth).filter(|_| asked < done).into_iter().flatten() {
                if let Some(busy) = busy.get_mut(*place) {
                    busy.push((asked, done));
                }
            }
            before = done;
        });
        let mut blockers = BTreeSet::new();
        for (stretches, busy) in self.stretches.iter().zip(&busy) {
            for stretch in stretches {
                let next = busy.partition_point(|(_, done)| *done <= stretch.from);
                if busy.get(next).is_some_and(|(asked, _)| *asked < stretch.until) {
                    blockers.insert(stretch.by);
                }
            }
        }
        parts.extend(blockers.into_iter().map(Part::Blocker));
        parts
    }

    /// Leaves out whatever can be left out while the last one stays late: first halves, then quarters, at last each alone. With fewer
    /// constraints it is done no later, so that what could not be left out once cannot be later. Says whether each was tried.
    pub(super) fn smallest(&mut self, due: i64) -> (Vec<Part>, bool) {
        let mut parts = self.felt();
        let mut kept = Kept {
            begins: vec![false; self.activities.len()],
            blockers: vec![false; self.blockers],
        };
        kept.set(&parts, true);
        for stretches in &mut self.stretches {
            stretches.retain(|stretch| kept.has(stretch.by));
        }
        let once = self.activities.len() + self.stretches.iter().map(Vec::len).sum::<usize>();
        let mut tries = MOST_LOOKS / once.max(1);
        let mut size = parts.len();
        while size > 0 {
            let mut at = 0;
            while at < parts.len() {
                if tries == 0 {
                    return (parts, false);
                }
                tries -= 1;
                let end = (at + size).min(parts.len());
                kept.set(parts.get(at..end).unwrap_or_default(), false);
                if self.done(0, &kept) > due {
                    parts.drain(at..end);
                } else {
                    kept.set(parts.get(at..end).unwrap_or_default(), true);
                    at = end;
                }
            }
            size /= 2;
        }
        (parts, true)
    }
}
