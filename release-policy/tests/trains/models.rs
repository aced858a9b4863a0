//! When trains depart, over thousands of histories.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{ItemId, Timestamp};
use release_policy::train::{
    Became, Because, Departure, Entry, ModelError, ReleaseModel, TrainHistory, TrainModel,
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
                let by_item = matches!(because, Because::Complete { .. });
                prop_assert!(by_item);
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
                prop_assert_eq!(matches!(because, Because::Complete { .. }), by_scope);
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
        history in histories(), deadline in 0_u64..100, at in 0_u64..100, now in 0_u64..150,
    ) {
        let mut train = TrainModel::new(ReleaseModel::FeatureBased).unwrap();
        let to = ReleaseModel::Hybrid { deadline: minute(deadline) };
        let before = train.departure(&history, minute(at)).unwrap();
        let decided = train.switch(to.clone(), &history, (minute(at), id("ann"), "the season ends")).cloned();
        if let Some(departed) = before.at() {
            prop_assert_eq!(decided, Err(ModelError::Departed(departed)));
            prop_assert!(train.changes().is_empty());
            prop_assert_eq!(train.model(), &ReleaseModel::FeatureBased);
        } else {
            let report = decided.unwrap();
            prop_assert_eq!(&report.before, &before);
            prop_assert_eq!((&report.from, &report.to), (&ReleaseModel::FeatureBased, &to));
            // A deadline that has passed lets it depart now, and never in the past.
            prop_assert_eq!(report.after.at(), (deadline <= at).then_some(minute(at)));
            prop_assert_eq!(train.departure(&history, minute(at)).unwrap(), report.after);
            let then = train.departure(&history, minute(now)).unwrap();
            prop_assert!(then.at().is_none_or(|departed| departed >= minute(at)));
            prop_assert!(now < at || then.at().is_none_or(|departed| departed <= minute(deadline.max(at))));
            prop_assert!(now < deadline.max(at) || then.at().is_some());
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
