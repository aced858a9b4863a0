//! Whoever talks to people: desks, channels, notifiers, pagers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use release_providers::ErrorKind;
use release_providers::spi::{
    ApprovalAnswers, AskApproval, ChangeState, ChangeStatus, JobRef, Notification, PagePhase,
    PageStatus, PageTeam, Severity, UpdateChange,
};

use super::{AnyFault, OwnFault, sabotage};
use crate::fakes::lock;

sabotage!(
    ChangeDesk,
    [],
    [
        OwnFault::answers::<JobRef, ChangeStatus>(
            "speaks of another change",
            &["a_change_gets_one_ticket", "nobodys_change_has_no_ticket"],
            |_, status| status.operation.push_str("-2"),
        ),
        OwnFault::answers::<JobRef, ChangeStatus>(
            "has one ticket for all",
            &["a_change_gets_one_ticket"],
            |_, status| {
                if let Some(ticket) = &mut status.ticket {
                    "CHG-1".clone_into(ticket);
                }
            },
        ),
        OwnFault::answers::<JobRef, ChangeStatus>(
            "does not tell that it is under way",
            &["what_is_told_is_observed"],
            |_, status| {
                if status.state == Some(ChangeState::Implementing) {
                    status.state = Some(ChangeState::Approved);
                }
            },
        ),
        says_old_things_again(),
        {
            // Of what it was told itself.
            let told = Arc::new(Mutex::new(BTreeMap::new()));
            let notes = Arc::clone(&told);
            OwnFault::requests::<UpdateChange>(
                "knows what it said, not what was decided",
                &["what_the_desk_decides_is_observed"],
                move |_, request| {
                    lock(&notes).insert(request.operation.clone(), request.state);
                },
            )
            .and(OwnFault::answers::<JobRef, ChangeStatus>(
                "",
                &[],
                move |_, status| {
                    if matches!(status.state, Some(ChangeState::Approved | ChangeState::Rejected)) {
                        let told = lock(&told).get(&status.operation).copied();
                        status.state = told.or(Some(ChangeState::Requested));
                    }
                },
            ))
        },
        OwnFault::forgives::<UpdateChange, ()>(
            "takes what is told of a closed change",
            &["what_is_closed_stays_closed"],
            |_, kind| (kind == ErrorKind::Conflict).then_some(()),
        ),
        OwnFault::answers::<JobRef, ChangeStatus>(
            "has a ticket of everything",
            &["nobodys_change_has_no_ticket", "what_is_done_is_seen"],
            |_, status| {
                status.ticket = Some("CHG-0".into());
                status.state.get_or_insert(ChangeState::Approved);
            },
        ),
    ]
);

sabotage!(
    ApprovalChannel,
    [],
    [
        OwnFault::answers::<JobRef, ApprovalAnswers>(
            "turns the order of answers round",
            &["answers_are_collected_in_their_order"],
            |_, answers| answers.answers.reverse(),
        ),
        asks_anew(),
        OwnFault::answers::<JobRef, ApprovalAnswers>(
            "knows the last answer of each, by name",
            &["answers_are_collected_in_their_order"],
            |_, answers| {
                let all = std::mem::take(&mut answers.answers);
                let last: BTreeMap<_, _> =
                    all.into_iter().map(|answer| (answer.by.clone(), answer)).collect();
                answers.answers = last.into_values().collect();
            },
        ),
        OwnFault::forgives::<JobRef, ApprovalAnswers>(
            "has been asked everything",
            &["what_is_done_is_seen"],
            |request, kind| {
                let asked = || ApprovalAnswers::new(request.operation.clone(), true, Vec::new());
                (kind == ErrorKind::NotFound).then(asked)
            },
        ),
        OwnFault::says_done(
            "takes nothing back",
            &["what_is_taken_back_takes_no_answers"],
            ("approval_channel", "withdraw"),
        ),
    ]
);

sabotage!(
    Notifier,
    [(AnyFault::LosesAllWhenReopened, "what was sent is with whom it was sent to")],
    [
        OwnFault::requests::<Notification>(
            "takes nothing to be urgent",
            &["a_message_comes_as_it_was_sent"],
            |_, message| message.severity = Severity::Info,
        ),
        {
            let texts = Mutex::new(BTreeMap::new());
            OwnFault::requests::<Notification>(
                "tells messages apart by their text",
                &["another_key_is_another_message"],
                move |cx, message| {
                    let mut texts = lock(&texts);
                    let first =
                        texts.entry(message.message.clone()).or_insert_with(|| cx.key.clone());
                    if *first != cx.key {
                        "known".clone_into(&mut message.message);
                    }
                },
            )
        },
        {
            let sent = Mutex::new(BTreeSet::new());
            OwnFault::requests::<Notification>(
                "loses every fourth message",
                &["messages_keep_their_order"],
                move |cx, message| {
                    let mut sent = lock(&sent);
                    if sent.insert(cx.key.clone()) && sent.len() % 4 == 0 {
                        "lost".clone_into(&mut message.message);
                    }
                },
            )
        },
    ]
);

sabotage!(
    Pager,
    [],
    [
        OwnFault::answers::<JobRef, PageStatus>(
            "never rests",
            &["a_call_is_told_until_it_is_over"],
            |_, status| {
                if status.phase == PagePhase::Resolved {
                    status.phase = PagePhase::Calling;
                }
            },
        ),
        OwnFault::says_done(
            "ends no call",
            &["a_call_is_told_until_it_is_over"],
            ("pager", "resolve"),
        ),
        OwnFault::answers::<JobRef, PageStatus>(
            "speaks of another call",
            &["a_used_key_calls_nobody_again", "an_unused_key_is_unknown"],
            |_, status| status.operation.push_str("-2"),
        ),
        rings_again(),
        ends_all_calls(),
        OwnFault::answers::<JobRef, PageStatus>(
            "has called everybody",
            &["an_unused_key_is_unknown"],
            |_, status| {
                if status.phase == PagePhase::Unknown {
                    status.phase = PagePhase::Resolved;
                }
            },
        ),
    ]
);

/// A pager that calls again for a key whose call is over.
fn rings_again() -> OwnFault {
    let (name, caught_by) = ("rings again", &["a_used_key_calls_nobody_again"]);
    let counted = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let pages = Arc::clone(&counted);
    let counts = OwnFault::requests::<PageTeam>(name, caught_by, move |cx, _| {
        *lock(&pages).entry(cx.key.clone()).or_default() += 1;
    });
    counts.and(OwnFault::answers::<JobRef, PageStatus>(name, caught_by, move |asked, status| {
        let times = lock(&counted).get(&asked.operation).copied().unwrap_or_default();
        if times > 1 && status.phase == PagePhase::Resolved {
            status.phase = PagePhase::Calling;
        }
    }))
}

/// A pager that has one call for a team.
fn ends_all_calls() -> OwnFault {
    let (name, caught_by) = ("ends all calls at once", &["calls_are_over_one_by_one"]);
    let made = Arc::new(Mutex::new(BTreeSet::new()));
    let (pages, over) = (Arc::clone(&made), Arc::new(Mutex::new(BTreeSet::new())));
    let ended = Arc::clone(&over);
    OwnFault::requests::<PageTeam>(name, caught_by, move |cx, _| {
        lock(&pages).insert(cx.key.clone());
    })
    .and(OwnFault::answers::<JobRef, ()>(name, caught_by, move |request, ()| {
        let made = lock(&made);
        if made.contains(&request.operation) {
            lock(&ended).extend(made.iter().cloned());
        }
    }))
    .and(OwnFault::answers::<JobRef, PageStatus>(name, caught_by, move |request, status| {
        if lock(&over).contains(&request.operation) {
            status.phase = PagePhase::Resolved;
        }
    }))
}

/// A desk that sets a state as often as it is told to, whatever came after it.
fn says_old_things_again() -> OwnFault {
    let (name, caught_by) = ("says old things again", &["what_was_said_is_said_once"]);
    let last = Arc::new(Mutex::new(BTreeMap::new()));
    let told = Arc::clone(&last);
    OwnFault::requests::<UpdateChange>(name, caught_by, move |_, request| {
        lock(&told).insert(request.operation.clone(), request.state);
    })
    .and(OwnFault::answers::<JobRef, ChangeStatus>(
        name,
        caught_by,
        move |request, status| {
            let last = lock(&last).get(&request.operation).copied();
            // What is refused is not said.
            let closed = status.state.is_some_and(ChangeState::is_closed);
            if last == Some(ChangeState::Implementing) && closed {
                status.state = last;
            }
        },
    ))
}

/// A channel that begins a question anew whenever it is asked.
fn asks_anew() -> OwnFault {
    let (name, caught_by) = ("begins questions anew", &["a_question_is_asked_once"]);
    let times = Arc::new(Mutex::new(BTreeMap::<String, u32>::new()));
    let asked = Arc::clone(&times);
    OwnFault::requests::<AskApproval>(name, caught_by, move |cx, _| {
        *lock(&asked).entry(cx.key.clone()).or_default() += 1;
    })
    .and(OwnFault::answers::<JobRef, ApprovalAnswers>(
        name,
        caught_by,
        move |request, answers| {
            if lock(&times).get(&request.operation).is_some_and(|times| *times > 1) {
                (answers.open, answers.answers) = (true, Vec::new());
            }
        },
    ))
}
