//! When work begins and ends beside what holds it.

/// How many stretches are tried one by one before they are searched.
const NEAR: usize = 2;

/// What holds the work of a team: its own stretches, and those of freezes. Both are sorted, and no two of one of them touch; those of
/// one may overlap those of the other. They are put together as somebody goes by them, so that those of freezes are there once, however
/// many teams they hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked<'a> {
    pub(super) own: &'a [(i64, i64)],
    pub(super) frozen: &'a [(i64, i64)],
}

impl<'a> Blocked<'a> {
    /// Those that end after `at`, the first to begin first. One that lies in another that was told is left out.
    fn after(self, at: i64) -> impl Iterator<Item = (i64, i64)> + 'a {
        let (mut own, mut frozen) = (ends_after(self.own, at), ends_after(self.frozen, at));
        std::iter::from_fn(move || {
            let next = match (own.first(), frozen.first()) {
                (Some(one), Some(other)) if other.0 < one.0 => *other,
                (Some(one), _) => *one,
                (None, other) => *other?,
            };
            (own, frozen) = (ends_after(own, next.1), ends_after(frozen, next.1));
            Some(next)
        })
    }

    /// Those that begin before `at`, the last to end first. One that lies in another that was told is left out.
    fn before(self, at: i64) -> impl Iterator<Item = (i64, i64)> + 'a {
        let (mut own, mut frozen) = (begins_before(self.own, at), begins_before(self.frozen, at));
        std::iter::from_fn(move || {
            let next = match (own.last(), frozen.last()) {
                (Some(one), Some(other)) if other.1 > one.1 => *other,
                (Some(one), _) => *one,
                (None, other) => *other?,
            };
            (own, frozen) = (begins_before(own, next.0), begins_before(frozen, next.0));
            Some(next)
        })
    }
}

fn ends_after(all: &[(i64, i64)], at: i64) -> &[(i64, i64)] {
    let near = all.iter().take(NEAR).position(|(_, until)| *until > at);
    let first = near.unwrap_or_else(|| all.partition_point(|(_, until)| *until <= at));
    all.get(first..).unwrap_or_default()
}

fn begins_before(all: &[(i64, i64)], at: i64) -> &[(i64, i64)] {
    let near = all.iter().rev().take(NEAR).position(|(from, _)| *from < at);
    let search = || all.partition_point(|(from, _)| *from < at);
    let count = near.map_or_else(search, |skipped| all.len().saturating_sub(skipped));
    all.get(..count).unwrap_or_default()
}

/// When work of so long begins and ends at the earliest that begins at `at` or later; nothing takes no time, at any time.
pub(super) fn forwards(blocked: Blocked<'_>, at: i64, work: i64) -> (i64, i64) {
    if work == 0 {
        return (at, at);
    }
    let (mut begins, mut now, mut left) = (None, at, work);
    for (from, until) in blocked.after(at) {
        let free = from.saturating_sub(now);
        if free > 0 {
            begins.get_or_insert(now);
            if free >= left {
                break;
            }
            left -= free;
        }
        now = now.max(until);
    }
    (begins.unwrap_or(now), now.saturating_add(left))
}

/// When work of so long begins and ends at the latest that ends at `at` or sooner.
pub(super) fn backwards(blocked: Blocked<'_>, at: i64, work: i64) -> (i64, i64) {
    if work == 0 {
        return (at, at);
    }
    let (mut ends, mut now, mut left) = (None, at, work);
    for (from, until) in blocked.before(at) {
        let free = now.saturating_sub(until);
        if free > 0 {
            ends.get_or_insert(now);
            if free >= left {
                break;
            }
            left -= free;
        }
        now = now.min(from);
    }
    (now.saturating_sub(left), ends.unwrap_or(now))
}

/// How much time is not blocked from one instant until another.
pub(super) fn between(blocked: Blocked<'_>, from: i64, until: i64) -> i64 {
    let (mut lost, mut seen) = (0, from);
    for (begin, end) in blocked.after(from).take_while(|(begin, _)| *begin < until) {
        let (begin, end) = (begin.max(seen), end.min(until));
        if begin < end {
            lost += end - begin;
            seen = end;
        }
    }
    until - from - lost
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Stretches of a short time that do not touch.
    fn apart() -> impl Strategy<Value = Vec<(i64, i64)>> {
        proptest::collection::vec((1..6_i64, 1..9_i64), 0..8).prop_map(|all| {
            let mut now = 0;
            let each = |(free, lasts): (i64, i64)| {
                let from = now + free;
                now = from + lasts;
                (from, now)
            };
            all.into_iter().map(each).collect()
        })
    }

    proptest! {
        #[test]
        fn two_kinds_of_stretches_hold_work_as_they_do_minute_by_minute(
            own in apart(), frozen in apart(), at in 0..120_i64, work in 1..40_i64,
        ) {
            let blocked = Blocked { own: &own, frozen: &frozen };
            let within = |minute: i64| {
                let mut all = own.iter().chain(&frozen);
                all.any(|(from, until)| *from <= minute && minute < *until)
            };
            let count = usize::try_from(work).unwrap();
            let later: Vec<i64> = (at..).filter(|minute| !within(*minute)).take(count).collect();
            prop_assert_eq!(forwards(blocked, at, work), (later[0], later[count - 1] + 1));
            let sooner = (i64::MIN..at).rev().filter(|minute| !within(*minute));
            let sooner: Vec<i64> = sooner.take(count).collect();
            prop_assert_eq!(backwards(blocked, at, work), (sooner[count - 1], sooner[0] + 1));
            let free = (at..at + work).filter(|minute| !within(*minute)).count();
            prop_assert_eq!(between(blocked, at, at + work), i64::try_from(free).unwrap());
        }
    }
}
