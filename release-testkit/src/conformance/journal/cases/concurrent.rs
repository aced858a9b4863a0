//! Several who write and read at once, and one who gives up.

use std::sync::Arc;

use release_core::journal::{AppendError, Batch, Journal};
use tokio::task::JoinSet;

use crate::conformance::journal::JournalSandbox;
use crate::conformance::journal::sandbox::same_records;
use crate::conformance::journal::writer::{Writer, with};
use crate::conformance::{Broken, Check, broken, interrupt};

/// What a task came to.
fn joined<T>(joined: Result<T, tokio::task::JoinError>) -> Result<T, Broken> {
    joined.map_err(|error| broken("an answer to every call", error))
}

pub(super) async fn one_of_many_appenders_wins(sandbox: &JournalSandbox) -> Check {
    race(sandbox, &[sandbox.journal()?]).await
}

pub(super) async fn one_of_many_handles_wins(sandbox: &JournalSandbox) -> Check {
    let [second, third] = [sandbox.other_handle().await?, sandbox.other_handle().await?];
    race(sandbox, &[sandbox.journal()?, second, third]).await
}

/// Lets many append with one expected sequence, in turns with each handle, and demands one winner.
async fn race(sandbox: &JournalSandbox, handles: &[Arc<dyn Journal>]) -> Check {
    let mut writer = Writer::new("run");
    for round in 0..6 {
        let mut calls = JoinSet::new();
        for (number, journal) in (0..16_u64).zip(handles.iter().cycle()) {
            let (journal, mut mine) = (Arc::clone(journal), writer.clone());
            let texts = (0..=number % 4).map(|part| format!("{round}: {number}, part {part}"));
            let batch = mine.says(texts);
            calls.spawn(async move { (mine, journal.append(batch).await) });
        }
        let (mut winner, mut losers) = (None, Vec::new());
        while let Some(call) = calls.join_next().await {
            match joined(call)? {
                (mine, Ok(())) => {
                    if winner.replace(mine).is_some() {
                        return Err(broken("one winner", "two batches were accepted"));
                    }
                }
                (_, Err(error)) => losers.push(error),
            }
        }
        let winner = winner.ok_or_else(|| broken("one winner", "all batches were refused"))?;
        let (run, expected, actual) = (writer.run().clone(), writer.seq(), winner.seq());
        let due = AppendError::Conflict { run, expected, actual };
        // A store of several processes may be too busy for some of them.
        let fair = |error: &AppendError| {
            *error == due || handles.len() > 1 && matches!(error, AppendError::Unavailable { .. })
        };
        if let Some(other) = losers.iter().find(|error| !fair(error)) {
            return Err(broken(format!("{due:?} for all others"), format!("one got {other:?}")));
        }
        sandbox.has(&winner).await?;
        writer = winner;
    }
    Ok(())
}

pub(super) async fn concurrent_runs_get_all_their_records(sandbox: &JournalSandbox) -> Check {
    let mut calls = JoinSet::new();
    for number in 0..24 {
        let (journal, mut writer) = (sandbox.journal()?, Writer::new(&format!("run-{number}")));
        calls.spawn(async move {
            for count in [1, 3, 2, 1, 5, 1, 2, 3] {
                journal.append(writer.next(count)).await?;
            }
            Ok::<_, AppendError>(writer)
        });
    }
    let mut heads = Vec::new();
    while let Some(call) = calls.join_next().await {
        let writer = joined(call)?
            .map_err(|error| broken("batches of different runs to be stored", error))?;
        sandbox.has(&writer).await?;
        heads.push(writer.head(false));
    }
    heads.sort_by(|a, b| a.run.cmp(&b.run));
    sandbox.has_heads(&heads).await
}

pub(super) async fn reads_see_whole_batches(sandbox: &JournalSandbox) -> Check {
    const BATCHES: u64 = 32;
    const RECORDS: u64 = 8;
    let mut writer = Writer::new("run");
    let batches: Vec<Batch> = (0..BATCHES).map(|_| writer.next(RECORDS)).collect();
    let journal = sandbox.journal()?;
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        for batch in batches {
            journal.append(batch).await?;
        }
        Ok::<_, AppendError>(())
    });
    let mut ended = None;
    // One look more after the end: it must see everything.
    while ended.is_none() {
        ended = writing.try_join_next();
        let found = sandbox.read(writer.run()).await?;
        let head = sandbox.heads().await?.first().map_or(0, |head| head.seq);
        let whole = |count: u64| count.is_multiple_of(RECORDS);
        if !whole(found.len() as u64) || !whole(head) {
            let observed = format!("{} records, and then a head at {head}", found.len());
            return Err(broken(format!("batches of {RECORDS} records as a whole"), observed));
        }
        let written = writer.written().get(..found.len()).unwrap_or(writer.written());
        same_records(&found, written)?;
        tokio::task::yield_now().await;
    }
    if let Some(answer) = ended {
        joined(answer)?.map_err(|error| broken("all batches to be stored", error))?;
    }
    sandbox.has(&writer).await
}

pub(super) async fn dropped_append_is_whole_or_absent(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    sandbox.store(writer.next(1)).await?;
    for round in 0..8 {
        let (journal, expected) = (sandbox.journal()?, writer.seq());
        let content = format!("content of round {round}");
        let batch = with(writer.next(4), [content.as_bytes()]);
        interrupt(journal.append(batch.clone()), round).await;
        settle(&journal, &batch, expected, writer.seq()).await?;
        sandbox.has(&writer).await?;
        sandbox.has_blobs(&batch).await?;
    }
    Ok(())
}

/// Appends what was given up once more: it is stored now, or was before.
async fn settle(journal: &Arc<dyn Journal>, batch: &Batch, expected: u64, end: u64) -> Check {
    let run = batch.run.clone();
    let answer = journal.append(batch.clone()).await;
    if answer.is_ok() || answer == Err(AppendError::Conflict { run, expected, actual: end }) {
        return Ok(());
    }
    let due =
        format!("a dropped batch to be stored now, or to be in conflict with itself at {end}");
    Err(broken(due, format!("the answer was {answer:?}")))
}
