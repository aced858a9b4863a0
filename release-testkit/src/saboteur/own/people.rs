//! Whoever talks to people: desks, channels, notifiers, pagers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use release_providers::ErrorKind;
use release_providers::spi::{
    ApprovalAnswers, ChangeState, ChangeStatus, JobRef, Notification, PagePhase, PageStatus,
    PageTeam, Severity, UpdateChange,
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
                status.state.get_or_insert(ChangeState::Requested);
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
