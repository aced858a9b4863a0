//! Who is refused, with which answer, and that nothing comes of it.

use release_core::journal::{AppendError, Batch, MAX_EPOCH};
use release_core::model::RunId;

use crate::conformance::journal::JournalSandbox;
use crate::conformance::journal::writer::{Writer, with};
use crate::conformance::{Check, broken};

fn conflict(run: &RunId, expected: u64, actual: u64) -> AppendError {
    AppendError::Conflict { run: run.clone(), expected, actual }
}

fn fenced(run: &RunId, epoch: u64, stored: u64) -> AppendError {
    AppendError::Fenced { run: run.clone(), epoch, stored }
}

fn finished(run: &RunId) -> AppendError {
    AppendError::Finished { run: run.clone() }
}

pub(super) async fn expected_sequence_is_checked(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    let run = writer.run().clone();
    for seq in [1, 5] {
        let what = &format!("a new run that is believed to be at {seq}");
        sandbox.refused(what, writer.at(seq, 1).next(2), conflict(&run, seq, 0)).await?;
    }
    sandbox.store(writer.next(3)).await?;
    for seq in [0, 1, 2, 4, 5, 100] {
        let what = &format!("a run at 3 that is believed to be at {seq}");
        sandbox.refused(what, writer.at(seq, 1).next(2), conflict(&run, seq, 3)).await?;
        sandbox.has(&writer).await?;
    }
    // A take-over is checked as well.
    sandbox.refused("an heir's first batch", writer.at(2, 2).next(1), conflict(&run, 2, 3)).await?;
    sandbox.store(writer.next(1)).await?;
    sandbox.has(&writer).await
}

pub(super) async fn older_epoch_is_fenced(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run").heir(5);
    let run = writer.run().clone();
    sandbox.store(writer.next(2)).await?;
    for epoch in [4, 1, 0] {
        for seq in [2, 0, 7] {
            let what = &format!("epoch {epoch} that expects {seq}, where epoch 5 is at 2");
            let answer = fenced(&run, epoch, 5);
            sandbox.refused(what, writer.at(seq, epoch).next(1), answer).await?;
        }
    }
    sandbox.has(&writer).await
}

pub(super) async fn higher_epoch_takes_over(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    sandbox.store(writer.next(2)).await?;
    for epoch in [2, 7, 1 << 40, MAX_EPOCH] {
        let mut heir = writer.heir(epoch);
        sandbox.store(heir.next(2)).await?;
        sandbox.store(heir.next(1)).await?;
        sandbox.has(&heir).await?;
        sandbox.has_heads(&[heir.head(false)]).await?;
        writer = heir;
    }
    Ok(())
}

pub(super) async fn fenced_epoch_stays_fenced(sandbox: &JournalSandbox) -> Check {
    let mut old = Writer::new("run");
    let run = old.run().clone();
    sandbox.store(old.next(2)).await?;
    let mut heir = old.heir(2);
    for _ in 0..3 {
        sandbox.store(heir.next(1)).await?;
        for _ in 0..2 {
            let late = heir.at(heir.seq(), 1).next(1);
            sandbox.refused("the old writer, who has read again", late, fenced(&run, 1, 2)).await?;
        }
    }
    sandbox.store(heir.next(1)).await?;
    sandbox.has(&heir).await
}

pub(super) async fn finished_run_takes_nothing(sandbox: &JournalSandbox) -> Check {
    for (name, before) in [("at-once", 0), ("later", 2)] {
        let mut writer = Writer::new(name);
        if before > 0 {
            sandbox.store(writer.next(before)).await?;
        }
        sandbox.store(writer.ends(1)).await?;
        let over = finished(writer.run());
        for (what, batch) in [
            ("another record", writer.clone().next(1)),
            ("an end after the end", writer.clone().ends(1)),
            ("a batch without records", writer.clone().next(0)),
            ("content alone", with(writer.clone().next(0), [b"late".as_slice()])),
            ("an heir", writer.heir(2).next(1)),
            ("an heir without records", writer.heir(9).next(0)),
        ] {
            sandbox.refused(&format!("{what} in a run that is over"), batch, over.clone()).await?;
        }
        sandbox.has(&writer).await?;
    }
    Ok(())
}

/// Batches whose records do not follow, each from a good one of four records.
fn misshapen(good: &Batch) -> Vec<(&'static str, Batch)> {
    let without = |place: usize| {
        let mut records = good.records.clone();
        records.remove(place.min(records.len().saturating_sub(1)));
        Batch { records, ..good.clone() }
    };
    let with_epoch = |place: usize, epoch: u64| {
        let mut batch = good.clone();
        batch.records.iter_mut().skip(place).take(1).for_each(|record| record.epoch = epoch);
        batch
    };
    let mut reversed = good.clone();
    reversed.records.reverse();
    let mut repeated = good.clone();
    repeated.records.extend_from_slice(repeated.records.clone().get(3..).unwrap_or_default());
    let mut no_text = good.clone();
    no_text.records.iter_mut().skip(2).take(1).for_each(|record| {
        record.bytes = b"\"\xff\"".to_vec().into();
    });
    let mut far = good.clone();
    far.epoch = MAX_EPOCH + 1;
    far.records.iter_mut().for_each(|record| record.epoch = MAX_EPOCH + 1);
    vec![
        ("a gap before the first record", without(0)),
        ("a gap between records", without(2)),
        ("a record twice", repeated),
        ("records in reverse order", reversed),
        ("a first record of an older epoch", with_epoch(0, good.epoch - 1)),
        ("a last record of an older epoch", with_epoch(3, good.epoch - 1)),
        ("a record of a newer epoch", with_epoch(2, good.epoch + 1)),
        ("a record that is not UTF-8", no_text),
        ("an epoch beyond the limit", far),
        ("an end without a record", Batch { records: Vec::new(), finishes: true, ..good.clone() }),
    ]
}

pub(super) async fn malformed_batch_is_refused(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    for (what, batch) in misshapen(&writer.clone().next(4)) {
        sandbox.malformed(&format!("{what} in a new run"), batch).await?;
        sandbox.has_heads(&[]).await?;
    }
    sandbox.store(writer.next(2)).await?;
    let mut heir = writer.heir(2);
    let good = heir.next(4);
    for (what, batch) in misshapen(&good) {
        sandbox.malformed(what, batch).await?;
        sandbox.has_heads(&[writer.head(false)]).await?;
        sandbox.has(&writer).await?;
    }
    sandbox.store(good).await?;
    sandbox.has(&heir).await
}

pub(super) async fn checks_come_in_order(sandbox: &JournalSandbox) -> Check {
    for over in [false, true] {
        let mut writer = Writer::new(if over { "over" } else { "open" }).heir(3);
        let run = writer.run().clone();
        let batch = if over { writer.ends(2) } else { writer.next(2) };
        sandbox.store(batch).await?;
        // Each of these is malformed, and more and more of it is right.
        let gap = |seq, epoch| {
            let mut batch = writer.at(seq, epoch).next(3);
            batch.records.pop();
            batch.records.reverse();
            batch
        };
        let what = "an older epoch that expects something else, and what does not follow";
        sandbox.refused(what, gap(1, 2), fenced(&run, 2, 3)).await?;
        let what = "another expected sequence, and what does not follow";
        sandbox.refused(what, gap(1, 3), conflict(&run, 1, 2)).await?;
        let what = "a take-over that expects something else, and what does not follow";
        sandbox.refused(what, gap(7, 4), conflict(&run, 7, 2)).await?;
        if over {
            let what = "what does not follow, in a run that is over";
            sandbox.refused(what, gap(2, 3), finished(&run)).await?;
        } else {
            sandbox.malformed("what does not follow, and nothing else", gap(2, 3)).await?;
        }
        sandbox.has(&writer).await?;
    }
    Ok(())
}

pub(super) async fn refused_batch_leaves_nothing(sandbox: &JournalSandbox) -> Check {
    let (mut open, mut over) = (Writer::new("open").heir(2), Writer::new("over"));
    sandbox.store(with(open.next(2), [b"kept".as_slice()])).await?;
    sandbox.store(over.ends(2)).await?;
    let heads = [open.head(false), over.head(true)];
    let mut gap = open.clone().next(4);
    gap.records.remove(2);
    for (what, batch) in [
        ("in conflict, behind", open.at(0, 2).next(4)),
        ("in conflict, ahead", open.at(3, 2).next(3)),
        ("fenced", open.at(2, 1).next(3)),
        ("finished", over.clone().next(3)),
        ("an heir's, finished", over.heir(2).next(3)),
        ("malformed", gap),
        ("malformed in a new run", misplaced(Writer::new("new").next(3))),
    ] {
        let (first, second) = (format!("{what}, first"), format!("{what}, second"));
        let batch = with(batch, [first.as_bytes(), second.as_bytes()]);
        let answer = sandbox.append(batch.clone()).await?;
        if answer.is_ok() {
            return Err(broken("a refusal", format!("what is {what} was accepted")));
        }
        sandbox.has(&open).await?;
        sandbox.has(&over).await?;
        sandbox.has_heads(&heads).await?;
        sandbox.has_no_blobs(&batch).await?;
    }
    // What was refused is no obstacle to what is right.
    sandbox.store(open.next(2)).await?;
    sandbox.has(&open).await
}

fn misplaced(mut batch: Batch) -> Batch {
    batch.records.reverse();
    batch
}

pub(super) async fn empty_batch_changes_nothing(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    let run = writer.run().clone();
    sandbox.store(writer.clone().next(0)).await?;
    sandbox.store(writer.heir(4).next(0)).await?;
    sandbox.has_heads(&[]).await?;

    // No epoch was taken: the first writer begins.
    sandbox.store(writer.next(2)).await?;
    let mut heir = writer.heir(2);
    sandbox.store(heir.next(1)).await?;
    sandbox.store(heir.clone().next(0)).await?;
    let batch = with(heir.heir(9).next(0), [b"content without records".as_slice()]);
    sandbox.store(batch.clone()).await?;
    sandbox.has_blobs(&batch).await?;
    sandbox.has_heads(&[heir.head(false)]).await?;
    sandbox.has(&heir).await?;

    let empty = |seq, epoch| heir.at(seq, epoch).next(0);
    sandbox.refused("an old epoch without records", empty(3, 1), fenced(&run, 1, 2)).await?;
    sandbox.refused("no records behind another", empty(2, 2), conflict(&run, 2, 3)).await?;
    sandbox.store(heir.next(1)).await?;
    sandbox.has(&heir).await
}
