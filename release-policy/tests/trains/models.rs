//! When trains depart, over thousands of histories.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{ItemId, Timestamp};
use release_policy::train::{
    Became, Because, Departure, Entry, MAX_ENTRIES, ModelError, ReleaseModel, TrainHistory,
    TrainModel,
};

use super::support::{id, minute};

/// Up to 40 entries about 8 items, within 100 minutes.
fn histories() -> impl Strategy<Value = TrainHistory> {
    let became = prop_oneof![
        3 => Just(Became::Joined),
        1 => Just(Became::Left),
        4 => Just(Became::Complete),
        1 => Just(Became::Reopened),
    ];
    let entry = (0_u64..100, 0_u8..8, became);
    proptest::collection::vec(entry, 0..40).prop_map(|mut entries| {
        entries.sort_by_key(|(at, ..)| *at);
        let mut history = TrainHistory::default();
        for (at, item, became) in entries {
            history.push(Entry::new(minute(at), id(&format!("item-{item}")), became)).unwrap();
        }
        history
    })
}

/// The items at an instant, reckoned anew from the start: of each, whether it is complete.
fn items(history: &TrainHistory, at: Timestamp) -> Vec<(ItemId, bool)> {
    let mut items: Vec<(ItemId, bool)> = Vec::new();
    for entry in history.entries().iter().filter(|entry| entry.at <= at) {
        let place = items.iter().position(|(item, _)| *item == entry.item);
        match (entry.became, place) {
            (Became::Joined, None) => items.push((entry.item.clone(), false)),
            (Became::Left, Some(place)) => drop(items.remove(place)),
            (Became::Complete, Some(place)) => items[place].1 = true,
            (Became::Reopened, Some(place)) => items[place].1 = false,
            _ => {}
        }
    }
    items
}

fn complete(history: &TrainHistory, at: Timestamp) -> bool {
    let items = items(history, at);
    !items.is_empty() && items.iter().all(|(_, complete)| *complete)
}

/// Minute by minute, which is all that there is.
fn first_complete(history: &TrainHistory, until: u64) -> Option<u64> {
    (0..=until).find(|at| complete(history, minute(*at)))
}

/// What happened last in a minute.
fn last_of(history: &TrainHistory, at: u64) -> ItemId {
    let mut of_minute = history.entries().iter().filter(|entry| entry.at == minute(at));
    of_minute.next_back().unwrap().item.clone()
}

/// A model of any kind.
fn models() -> impl Strategy<Value = ReleaseModel> {
    prop_oneof![
        (0_u64..60, 0_u64..60).prop_map(|(boards, more)| ReleaseModel::TimeBased {
            boards_until: minute(boards),
            departs: minute(boards + more),
        }),
        Just(ReleaseModel::FeatureBased),
        (0_u64..120).prop_map(|deadline| ReleaseModel::Hybrid { deadline: minute(deadline) }),
    ]
}

/// When a model lets a train depart of which nothing is known after `now`, if by then, and whether its scope does.
fn departs_at(model: &ReleaseModel, history: &TrainHistory, now: u64) -> Option<(u64, bool)> {
    let of = |at: &Timestamp| u64::try_from(at.as_micros()).unwrap() / 60_000_000;
    match model {
        ReleaseModel::TimeBased { departs, .. } => {
            Some((of(departs), false)).filter(|(at, _)| *at <= now)
        }
        ReleaseModel::FeatureBased => first_complete(history, now).map(|at| (at, true)),
        ReleaseModel::Hybrid { deadline } => {
            let complete = first_complete(history, now.min(of(deadline))).map(|at| (at, true));
            complete.or(Some((of(deadline), false)).filter(|(at, _)| *at <= now))
        }
        other => panic!("{other:?}"),
    }
}

fn aboard(departure: &Departure) -> (Timestamp, BTreeSet<ItemId>, BTreeSet<ItemId>, Because) {
    let Departure::Departs { at, aboard, late, because } = departure.clone() else {
        panic!("{departure:?}")
    };
    (at, aboard, late, because)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_time_based_train_is_never_late_for_its_scope(
        history in histories(), boards in 0_u64..60, more in 0_u64..40, now in 0_u64..120,
    ) {
        let (boards_until, departs) = (minute(boards), minute(boards + more));
        let model = ReleaseModel::TimeBased { boards_until, departs };
        let found = model.departure(&history, minute(now)).unwrap();
        prop_assert_eq!(found.at().is_some(), minute(now) >= departs);
        if found.at().is_some() {
            let (at, aboard, late, because) = aboard(&found);
            prop_assert_eq!((at, because), (departs, Because::OnTime));
            let boarded = items(&history, boards_until);
            let still: BTreeSet<_> = items(&history, departs).into_iter().map(|(item, _)| item).collect();
            let expected: BTreeSet<_> = boarded.into_iter().filter(|(item, complete)| *complete && still.contains(item)).map(|(item, _)| item).collect();
            prop_assert_eq!(&aboard, &expected);
            prop_assert_eq!(late, still.difference(&expected).cloned().collect::<BTreeSet<_>>());
        }
    }

    #[test]
    fn a_feature_based_train_never_departs_with_unmet_scope(history in histories(), now in 0_u64..120) {
        let found = ReleaseModel::FeatureBased.departure(&history, minute(now)).unwrap();
        match first_complete(&history, now) {
            None => {
                let Departure::Waits { until: None, lacks } = found else { panic!("{found:?}") };
                let lacking: BTreeSet<_> = items(&history, minute(now)).into_iter().filter(|(_, complete)| !complete).map(|(item, _)| item).collect();
                prop_assert_eq!(lacks, lacking);
            }
            Some(first) => {
                let (at, aboard, late, because) = aboard(&found);
                prop_assert_eq!(at, minute(first));
                let on_board: BTreeSet<_> = items(&history, at).into_iter().map(|(item, _)| item).collect();
                prop_assert_eq!(&aboard, &on_board);
                prop_assert!(late.is_empty());
                prop_assert_eq!(because, Because::Complete { last: last_of(&history, first) });
            }
        }
    }

    #[test]
    fn a_hybrid_departs_at_whatever_comes_first_with_its_reason(
        history in histories(), deadline in 0_u64..100, now in 0_u64..120,
    ) {
        let model = ReleaseModel::Hybrid { deadline: minute(deadline) };
        let found = model.departure(&history, minute(now)).unwrap();
        let expected = first_complete(&history, now.min(deadline))
            .map(|at| (at, true))
            .or((now >= deadline).then_some((deadline, false)));
        match expected {
            None => {
                let Departure::Waits { until, .. } = found else { panic!("{found:?}") };
                prop_assert_eq!(until, Some(minute(deadline)));
            }
            Some((at, by_scope)) => {
                let (when, _, late, because) = aboard(&found);
                prop_assert_eq!(when, minute(at));
                let expected = if by_scope { Because::Complete { last: last_of(&history, at) } } else { Because::Deadline };
                prop_assert_eq!(because, expected);
                prop_assert!(!by_scope || late.is_empty());
            }
        }
    }

    #[test]
    fn what_departed_stays_so_whatever_comes_later(
        history in histories(), deadline in 0_u64..100, now in 0_u64..100, later in 0_u64..50, which in 0_u8..3,
    ) {
        let model = match which {
            0 => ReleaseModel::TimeBased { boards_until: minute(deadline / 2), departs: minute(deadline) },
            1 => ReleaseModel::FeatureBased,
            _ => ReleaseModel::Hybrid { deadline: minute(deadline) },
        };
        let found = model.departure(&history, minute(now)).unwrap();
        if found.at().is_some() {
            prop_assert_eq!(model.departure(&history, minute(now + later)).unwrap(), found);
        }
    }

    #[test]
    fn a_model_changes_with_a_report_or_not_at_all(
        history in histories(), from in models(), to in models(), at in 0_u64..100, now in 0_u64..150,
    ) {
        let mut train = TrainModel::new(from.clone()).unwrap();
        let before = train.departure(&history, minute(at)).unwrap();
        let decided = train.switch(to.clone(), &history, (minute(at), id("ann"), "the season ends")).cloned();
        if let Some((departed, _)) = departs_at(&from, &history, at) {
            prop_assert_eq!(before.at(), Some(minute(departed)));
            prop_assert_eq!(decided, Err(ModelError::Departed(minute(departed))));
            prop_assert!(train.changes().is_empty());
            prop_assert_eq!(train.model(), &from);
        } else {
            let report = decided.unwrap();
            prop_assert_eq!(before.at(), None);
            prop_assert_eq!(&report.before, &before);
            prop_assert_eq!((&report.from, &report.to, train.model()), (&from, &to, &to));
            prop_assert_eq!((report.at, train.changes().len()), (minute(at), 1));
            // What the new model would have let depart before departs now, and never in the past.
            let since = |found: Option<(u64, bool)>| found.map(|(departs, _)| minute(departs.max(at)));
            prop_assert_eq!(report.after.at(), since(departs_at(&to, &history, at)));
            prop_assert_eq!(train.departure(&history, minute(at)).unwrap(), report.after);
            let then = train.departure(&history, minute(now)).unwrap();
            if now < at {
                prop_assert_eq!(then.at(), None, "until then the old model holds, and nothing departed");
            } else {
                let expected = departs_at(&to, &history, now);
                prop_assert_eq!(then.at(), since(expected));
                if let Some((departs, by_scope)) = expected {
                    let because = aboard(&then).3;
                    let clock = if matches!(to, ReleaseModel::TimeBased { .. }) { Because::OnTime } else { Because::Deadline };
                    let scope = by_scope.then(|| Because::Complete { last: last_of(&history, departs) });
                    prop_assert_eq!(because, scope.unwrap_or(clock));
                }
            }
        }
    }
}

#[test]
fn reports_tell_what_a_change_means() {
    let mut history = TrainHistory::default();
    for (at, item, became) in
        [(0, "pay-1", Became::Joined), (0, "pay-2", Became::Joined), (5, "pay-1", Became::Complete)]
    {
        history.push(Entry::new(minute(at), id(item), became)).unwrap();
    }
    let mut train = TrainModel::new(ReleaseModel::FeatureBased).unwrap();
    let to = ReleaseModel::TimeBased { boards_until: minute(8), departs: minute(9) };
    let report =
        train.switch(to, &history, (minute(6), id("ann"), "the market will not wait")).unwrap();
    let told = "1970-01-01T00:06:00.000000Z: ann changed the model from feature-based to time-based (the market will not wait)\n\
                before: departs when its scope is complete, and lacks pay-2\n\
                after: departs at 1970-01-01T00:09:00.000000Z at the latest, and lacks pay-2";
    assert_eq!(report.to_string(), told);
    let json = serde_json::to_string(&train).unwrap();
    assert_eq!(serde_json::from_str::<TrainModel>(&json).unwrap(), train);
    let late =
        train.switch(ReleaseModel::FeatureBased, &history, (minute(9), id("ann"), "never mind"));
    assert_eq!(late.unwrap_err(), ModelError::Departed(minute(9)));
    let back =
        train.switch(ReleaseModel::FeatureBased, &history, (minute(5), id("ann"), "never mind"));
    assert!(matches!(back, Err(ModelError::Backwards { .. })));
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let model = ReleaseModel::TimeBased { boards_until: minute(2), departs: minute(1) };
    let error = TrainModel::new(model.clone()).unwrap_err().to_string();
    assert!(error.contains("let it end before"), "{error}");
    assert!(model.departure(&TrainHistory::default(), minute(3)).is_err());
    let entries = r#"[{"at":"1970-01-01T00:02:00Z","item":"a","became":"joined"},{"at":"1970-01-01T00:01:00Z","item":"a","became":"left"}]"#;
    let error = serde_json::from_str::<TrainHistory>(entries).unwrap_err().to_string();
    assert!(error.contains("put them in order"), "{error}");
    // An empty train: no scope that could be complete.
    let empty = TrainHistory::default();
    let waits = ReleaseModel::FeatureBased.departure(&empty, minute(9)).unwrap();
    assert_eq!(waits, Departure::Waits { until: None, lacks: BTreeSet::new() });
    let hybrid = ReleaseModel::Hybrid { deadline: minute(9) };
    let (at, on_board, _, because) = aboard(&hybrid.departure(&empty, minute(9)).unwrap());
    assert_eq!((at, on_board.len(), because), (minute(9), 0, Because::Deadline));
}

/// Half a million items join, and all are done one after the other; one is open until the end.
#[test]
fn a_million_entries_are_gone_through_at_once_and_more_are_refused() {
    let items: Vec<ItemId> = (0..MAX_ENTRIES / 2).map(|nth| id(&format!("i-{nth}"))).collect();
    let mut history = TrainHistory::default();
    let mut entries = (0_u64..).zip(
        [Became::Joined, Became::Complete]
            .into_iter()
            .flat_map(|became| items.iter().map(move |item| (item.clone(), became))),
    );
    entries
        .try_for_each(|(at, (item, became))| history.push(Entry::new(minute(at), item, became)))
        .unwrap();
    assert_eq!(history.entries().len(), MAX_ENTRIES);
    let last = MAX_ENTRIES as u64 - 1;
    let before = ReleaseModel::FeatureBased.departure(&history, minute(last - 1)).unwrap();
    let open = BTreeSet::from([items[items.len() - 1].clone()]);
    assert_eq!(before, Departure::Waits { until: None, lacks: open });
    let found = ReleaseModel::FeatureBased.departure(&history, minute(last + 9)).unwrap();
    let (at, on_board, late, because) = aboard(&found);
    assert_eq!((at, on_board.len(), late.len()), (minute(last), items.len(), 0));
    assert_eq!(because, Because::Complete { last: items[items.len() - 1].clone() });
    let more = Entry::new(minute(last), items[0].clone(), Became::Left);
    let error = history.push(more).unwrap_err();
    assert_eq!((history.entries().len(), &error), (MAX_ENTRIES, &ModelError::TooMany));
    assert!(error.to_string().contains("at most 1000000 entries"), "{error}");
}
