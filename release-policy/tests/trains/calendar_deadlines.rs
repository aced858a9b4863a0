//! Deadlines that people wrote, along whatever waits for what.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{ActivityId, Span};
use release_policy::train::calendar::{Activity, Calendar, CalendarError, CalendarSpec, Phase};

use super::calendar::{HOURS, hour, name};
use super::season::autumn;
use super::support::id;

#[test]
fn a_deadline_before_that_of_something_far_before_is_refused() {
    let due = |day: u64| autumn().from.plus(Span::secs(day * 86_400));
    let work = |name: &str| Activity::new(id(name), Phase::Qa, id("team"), Span::secs(1));
    let chain = |last: u64| {
        autumn()
            .with_activity(work("c").after(id("b")).due(due(last)))
            .with_activity(work("b").after(id("a")))
            .with_activity(work("a").due(due(20)))
    };
    let error = Calendar::new(chain(19)).unwrap_err();
    let (activity, after) = (id("c"), id("a"));
    assert_eq!(
        error,
        CalendarError::DueBeforeWhatItWaitsFor { activity, due: due(19), after, its_due: due(20) }
    );
    let told = format!(
        "activity `c` is due at {}, and comes after `a`, which is due at {}; set one of the deadlines otherwise",
        due(19),
        due(20)
    );
    assert_eq!(error.to_string(), told);
    Calendar::new(chain(20)).unwrap();
}

/// Which of those before it something comes after, and until when it has to be done, if that is said.
type Drawn = (u8, Option<u64>);

/// All that comes before one, by whatever path.
fn earlier(drawn: &[Drawn], one: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    for before in (0..one).filter(|before| drawn[one].0 >> before & 1 == 1) {
        all.insert(before);
        all.extend(earlier(drawn, before));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_deadline_is_refused_where_any_path_leads_to_it_from_a_later_one(
        drawn in proptest::collection::vec(
            (any::<u8>(), proptest::option::weighted(0.5, 0..=HOURS)), 1..=8,
        ),
        backwards in any::<bool>(),
    ) {
        let mut spec = CalendarSpec::new(hour(0), hour(HOURS));
        for (nth, (_, due)) in drawn.iter().enumerate() {
            let work = Activity::new(name(nth), Phase::Qa, id("team"), Span::ZERO);
            let after = (0..nth).filter(|before| drawn[nth].0 >> before & 1 == 1).map(name);
            let (after, due) = (after.collect(), due.map(hour));
            spec.activities.push(Activity { after, due, ..work });
        }
        if backwards {
            spec.activities.reverse();
        }
        // Each with the latest deadline of all that comes before it.
        let awaited = |one: usize| earlier(&drawn, one).into_iter().filter_map(|at| drawn[at].1).max();
        let late = |one: usize| drawn[one].1.is_some_and(|due| awaited(one) > Some(due));
        match Calendar::new(spec) {
            Ok(_) => prop_assert!(!(0..drawn.len()).any(late)),
            Err(CalendarError::DueBeforeWhatItWaitsFor { activity, due, after, its_due }) => {
                let number = |wanted: &ActivityId| {
                    (0..drawn.len()).find(|nth| name(*nth) == *wanted).unwrap()
                };
                let (one, before) = (number(&activity), number(&after));
                prop_assert!(late(one) && earlier(&drawn, one).contains(&before));
                prop_assert_eq!(Some(due), drawn[one].1.map(hour));
                prop_assert_eq!(Some(its_due), drawn[before].1.map(hour));
                prop_assert_eq!(drawn[before].1, awaited(one), "the last of all deadlines before it");
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
