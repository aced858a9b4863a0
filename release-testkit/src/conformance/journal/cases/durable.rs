//! What outlives a handle, and what comes of an append that goes wrong.

use release_core::journal::AppendError;

use crate::conformance::journal::JournalSandbox;
use crate::conformance::journal::writer::{Writer, with};
use crate::conformance::{Check, broken};

/// Batches of more than 32 KiB that are stored until there is no room.
const MOST_BATCHES: u64 = 480;

pub(super) async fn reopening_loses_nothing(sandbox: &JournalSandbox) -> Check {
    let (mut one, mut other) = (Writer::new("one"), Writer::new("other"));
    for round in 0..4 {
        let (first, second) = (format!("first {round}"), format!("second {round}"));
        let batch = with(one.next(3), [first.as_bytes()]);
        sandbox.store(batch.clone()).await?;
        let later = with(other.next(1), [second.as_bytes()]);
        sandbox.store(later.clone()).await?;
        sandbox.close_and_reopen().await?;
        sandbox.has(&one).await?;
        sandbox.has(&other).await?;
        sandbox.has_blobs(&batch).await?;
        sandbox.has_blobs(&later).await?;
    }
    sandbox.store(one.next(1)).await?;
    sandbox.has(&one).await
}

pub(super) async fn reopening_forgets_no_check(sandbox: &JournalSandbox) -> Check {
    let (mut open, mut over) = (Writer::new("open"), Writer::new("over"));
    sandbox.store(open.next(2)).await?;
    open = open.heir(3);
    sandbox.store(open.next(1)).await?;
    sandbox.store(over.ends(2)).await?;
    sandbox.close_and_reopen().await?;
    let run = open.run().clone();
    let fenced = AppendError::Fenced { run: run.clone(), epoch: 2, stored: 3 };
    sandbox.refused("an older epoch, after reopening", open.at(3, 2).next(1), fenced).await?;
    let conflict = AppendError::Conflict { run, expected: 2, actual: 3 };
    sandbox
        .refused("an earlier sequence, after reopening", open.at(2, 3).next(1), conflict)
        .await?;
    let finished = AppendError::Finished { run: over.run().clone() };
    sandbox.refused("a run that is over, after reopening", over.clone().next(1), finished).await?;
    sandbox.has_heads(&[open.head(false), over.head(true)]).await?;
    sandbox.store(open.next(1)).await
}

pub(super) async fn handles_fence_each_other(sandbox: &JournalSandbox) -> Check {
    let theirs = sandbox.other_handle().await?;
    let mut old = Writer::new("run");
    let run = old.run().clone();
    sandbox.store(old.next(2)).await?;
    let answer = theirs.append(old.at(0, 1).next(1)).await;
    let wanted = Err(AppendError::Conflict { run: run.clone(), expected: 0, actual: 2 });
    if answer != wanted {
        let observed = format!("the answer was {answer:?}");
        return Err(broken(format!("{wanted:?} from the other handle"), observed));
    }
    let mut heir = old.heir(2);
    let taken = theirs.append(heir.next(1)).await;
    taken.map_err(|error| broken("a take-over with the other handle", error))?;
    for seq in [2, 3] {
        let what = &format!("the old writer's handle, which expects {seq}");
        let fenced = AppendError::Fenced { run: run.clone(), epoch: 1, stored: 2 };
        sandbox.refused(what, old.at(seq, 1).next(1), fenced).await?;
    }
    sandbox.has(&heir).await?;
    let ended = theirs.append(heir.ends(1)).await;
    ended.map_err(|error| broken("an end with the other handle", error))?;
    let finished = AppendError::Finished { run };
    sandbox.refused("the other handle's run that is over", heir.clone().next(1), finished).await?;
    sandbox.has(&heir).await
}

pub(super) async fn want_of_room_stores_nothing(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    let kept = with(writer.next(2), [b"kept".as_slice()]);
    sandbox.store(kept.clone()).await?;
    sandbox.run_out_of_space().await?;
    let text = "much to say ".repeat(100);
    for number in 0..MOST_BATCHES {
        let content = format!("content {number}").repeat(1500);
        let before = writer.clone();
        let batch = with(writer.says(vec![text.as_str(); 16]), [content.as_bytes()]);
        match sandbox.append(batch.clone()).await? {
            Ok(()) => {}
            Err(AppendError::NoSpace { .. }) => {
                sandbox.has(&before).await?;
                sandbox.has_blobs(&kept).await?;
                sandbox.has_no_blobs(&batch).await?;
                sandbox.has_heads(&[before.head(false)]).await?;
                if sandbox.no_reopen().is_some() {
                    return Ok(());
                }
                // With room again, it goes on behind what was stored.
                sandbox.close_and_reopen().await?;
                sandbox.has(&before).await?;
                sandbox.store(batch.clone()).await?;
                sandbox.has_blobs(&batch).await?;
                return sandbox.has(&writer).await;
            }
            Err(error) => return Err(broken("NoSpace when there is no room", error)),
        }
    }
    Err(broken("NoSpace when there is no room", format!("{MOST_BATCHES} batches were stored")))
}

pub(super) async fn interrupted_append_is_whole_or_absent(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    sandbox.store(writer.next(2)).await?;
    for round in 0..6 {
        let (before, content) = (writer.clone(), format!("content of round {round}"));
        let batch = with(writer.next(4), [content.as_bytes()]);
        sandbox.interrupt_next().await?;
        let answer = sandbox.append(batch.clone()).await?;
        let found = sandbox.read(writer.run()).await?;
        let (nothing, all) = (found == before.written(), found == writer.written());
        let right = match &answer {
            Ok(()) => all,
            Err(AppendError::Unknown { .. }) => nothing || all,
            Err(_) => nothing,
        };
        if !right {
            let (count, before, after) = (found.len(), before.seq(), writer.seq());
            let observed = format!("{count} records are there after {answer:?}");
            return Err(broken(format!("{before} records or {after}, as announced"), observed));
        }
        if nothing {
            sandbox.has_no_blobs(&batch).await?;
            sandbox.has_heads(&[before.head(false)]).await?;
            sandbox.store(batch.clone()).await?;
        }
        sandbox.has(&writer).await?;
        sandbox.has_blobs(&batch).await?;
        sandbox.has_heads(&[writer.head(false)]).await?;
    }
    Ok(())
}
