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

/// Since which minute the scope is complete that is so at `at`, without a break.
fn complete_since(history: &TrainHistory, at: u64) -> u64 {
    (0..=at).rev().take_while(|at| complete(history, minute(*at))).last().unwrap()
}

/// Whether a model lets a train depart in a minute in which it is still there, and why.
fn lets_depart(model: &ReleaseModel, history: &TrainHistory, at: u64) -> Option<Because> {
    let by_scope = || Because::Complete { last: last_of(history, complete_since(history, at)) };
    match model {
        ReleaseModel::TimeBased { departs, .. } => {
            (minute(at) >= *departs).then_some(Because::OnTime)
        }
        ReleaseModel::FeatureBased => complete(history, minute(at)).then(by_scope),
        ReleaseModel::Hybrid { deadline } => {
            let complete = complete(history, minute(at)).then(by_scope);
            complete.or((minute(at) >= *deadline).then_some(Because::Deadline))
        }
        other => panic!("{other:?}"),
    }
}

/// When a model that holds since minute `from` lets a train depart, if by `now`: minute by minute.
fn departs_at(
    model: &ReleaseModel,
    history: &TrainHistory,
    from: u64,
    now: u64,
) -> Option<(u64, Because)> {
    (from..=now).find_map(|at| Some((at, lets_depart(model, history, at)?)))
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
        if let Some((departed, _)) = departs_at(&from, &history, 0, at) {
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
            // What was so before and is not any more counts for nothing, and nothing departs in the past.
            let then = departs_at(&to, &history, at, at).map(|(departs, _)| minute(departs));
            prop_assert_eq!(report.after.at(), then);
            prop_assert_eq!(train.departure(&history, minute(at)).unwrap(), report.after);
            let then = train.departure(&history, minute(now)).unwrap();
            if now < at {
                prop_assert_eq!(then.at(), None, "until then the old model holds, and nothing departed");
            } else {
                let expected = departs_at(&to, &history, at, now);
                prop_assert_eq!(then.at(), expected.as_ref().map(|(departs, _)| minute(*departs)));
                if let Some((_, because)) = expected {
                    prop_assert_eq!(aboard(&then).3, because);
                }
            }
        }
    }

    #[test]
    fn no_train_departs_with_unmet_scope_by_its_scope_however_often_its_model_changes(
        history in histories(), first in models(), changes in proptest::collection::vec((0_u64..100, by_scope()), 1..4), now in 0_u64..150,
    ) {
        let mut changes = changes;
        changes.sort_by_key(|(at, _)| *at);
        let mut train = TrainModel::new(first.clone()).unwrap();
        // Minute by minute: a model that holds in a minute lets it depart before it is changed in it.
        let (mut model, mut since, mut departed) = (first, 0, None);
        for (at, to) in &changes {
            departed = departs_at(&model, &history, since, *at);
            let decided = train.switch(to.clone(), &history, (minute(*at), id("ann"), "the season ends"));
            prop_assert_eq!(decided.is_ok(), departed.is_none());
            if departed.is_some() {
                break;
            }
            (model, since) = (to.clone(), *at);
        }
        let last = now.max(since);
        let expected = departed.or_else(|| departs_at(&model, &history, since, last));
        let found = train.departure(&history, minute(last.max(expected.as_ref().map_or(0, |(at, _)| *at)))).unwrap();
        prop_assert_eq!(found.at(), expected.as_ref().map(|(at, _)| minute(*at)));
        let Some((_, why)) = expected else {
            return Ok(());
        };
        let (at, on_board, late, because) = aboard(&found);
        prop_assert_eq!(&because, &why);
        let whole = matches!(because, Because::Complete { .. });
        prop_assert!(whole || *train.model() != ReleaseModel::FeatureBased);
        if whole {
            let scope = items(&history, at);
            prop_assert!(scope.iter().all(|(_, complete)| *complete), "{:?}", scope);
            prop_assert_eq!(on_board, scope.into_iter().map(|(item, _)| item).collect::<BTreeSet<_>>());
            prop_assert!(late.is_empty());
        }
    }
}

/// A model by which the scope counts.
fn by_scope() -> impl Strategy<Value = ReleaseModel> {
    prop_oneof![
        2 => Just(ReleaseModel::FeatureBased),
        1 => (0_u64..120).prop_map(|deadline| ReleaseModel::Hybrid { deadline: minute(deadline) }),
    ]
}

/// Complete for a minute, and then not any more: a model that comes to hold later knows nothing of that minute.
#[test]
fn what_was_complete_before_a_model_came_to_hold_lets_nothing_depart() {
    let history = |entries: &[(u64, &str, Became)]| {
        let entry =
            |(at, item, became): &(u64, &str, Became)| Entry::new(minute(*at), id(item), *became);
        TrainHistory::try_from(entries.iter().map(entry).collect::<Vec<_>>()).unwrap()
    };
    let begin = [(0, "a", Became::Joined), (2, "a", Became::Complete)];
    let with = |more: &[(u64, &str, Became)]| history(&[&begin[..], more].concat());
    let time = ReleaseModel::TimeBased { boards_until: minute(9), departs: minute(10) };
    let switched = |to: &ReleaseModel, history: &TrainHistory| {
        let mut train = TrainModel::new(time.clone()).unwrap();
        let report = train.switch(to.clone(), history, (minute(5), id("ann"), "all or nothing"));
        (report.unwrap().after.clone(), train)
    };
    let hybrid = ReleaseModel::Hybrid { deadline: minute(8) };
    for (then, item, complete) in [
        (vec![(3, "b", Became::Joined), (7, "b", Became::Complete)], "b", 7),
        (vec![(3, "a", Became::Reopened), (6, "a", Became::Complete)], "a", 6),
        (vec![(3, "b", Became::Joined), (6, "b", Became::Left)], "b", 6),
    ] {
        let history = with(&then);
        for (to, until) in [(&ReleaseModel::FeatureBased, None), (&hybrid, Some(minute(8)))] {
            let (after, train) = switched(to, &history);
            assert_eq!(after, Departure::Waits { until, lacks: [id(item)].into() }, "{to:?}");
            let found = aboard(&train.departure(&history, minute(9)).unwrap());
            let because = Because::Complete { last: id(item) };
            assert_eq!((found.0, found.2.len(), found.3), (minute(complete), 0, because));
        }
    }
    // Never again: a hybrid departs at its deadline without it, and says so.
    let history = with(&[(3, "b", Became::Joined)]);
    let (_, train) = switched(&hybrid, &history);
    let found = aboard(&train.departure(&history, minute(9)).unwrap());
    assert_eq!(found, (minute(8), [id("a")].into(), [id("b")].into(), Because::Deadline));
    // What is still complete departs at once, and so does what is past a deadline, as it is then.
    let done = with(&[(3, "b", Became::Joined), (4, "b", Became::Left)]);
    let (after, _) = switched(&ReleaseModel::FeatureBased, &done);
    let because = Because::Complete { last: id("b") };
    assert_eq!(aboard(&after), (minute(5), [id("a")].into(), BTreeSet::new(), because));
    let past = ReleaseModel::Hybrid { deadline: minute(3) };
    let late = with(&[(3, "b", Became::Joined), (4, "a", Became::Reopened)]);
    let (after, _) = switched(&past, &late);
    let both = [id("a"), id("b")].into();
    assert_eq!(aboard(&after), (minute(5), BTreeSet::new(), both, Because::Deadline));
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
