//! What is stored comes back as it was.

use release_core::journal::History;
use release_core::model::Digest;

use crate::conformance::journal::JournalSandbox;
use crate::conformance::journal::writer::{Writer, content, with};
use crate::conformance::{Check, broken};
use crate::fixtures;

/// Texts that stores have been known to change.
const ODD: [&str; 14] = [
    "",
    " blanks before and behind  ",
    "\ttabs\r\nand lines\n",
    "a nought \0 and an escape \u{1b}[31m",
    "'; DROP TABLE records; --",
    "% _ ? * $1 :name {}",
    "\"quoted\" and \\escaped\\ \\u0041",
    "naïve café, and e\u{301} of two characters",
    "Straße İstanbul ΣΑΣ",
    "发布 リリース 출시",
    "🚀👩‍🔬",
    "\u{feff}\u{200b}\u{202e}",
    "\u{10ffff}",
    "last",
];

pub(super) async fn unknown_run_is_empty(sandbox: &JournalSandbox) -> Check {
    let (mut known, unknown) = (Writer::new("known"), Writer::new("unknown"));
    sandbox.has(&unknown).await?;
    sandbox.store(known.next(2)).await?;
    sandbox.has(&unknown).await?;
    sandbox.has_heads(&[known.head(false)]).await
}

pub(super) async fn unknown_blob_is_none(sandbox: &JournalSandbox) -> Check {
    let (unknown, _) = content("never stored");
    sandbox.has_blob(unknown, None).await?;
    sandbox.store(with(Writer::new("run").next(1), [b"stored"])).await?;
    sandbox.has_blob(unknown, None).await?;
    sandbox.has_blob(Digest::of(b""), None).await
}

pub(super) async fn records_come_back_as_written(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    sandbox.store(writer.next(1)).await?;
    sandbox.store(writer.says(ODD)).await?;
    for text in ODD {
        sandbox.store(writer.says([text])).await?;
    }
    sandbox.has(&writer).await?;
    let long = "long é ".repeat(40_000);
    sandbox.store(writer.says([&*long, "short", &long])).await?;
    sandbox.has(&writer).await?;
    // An heir's records stand beside those of who was before, each with its own epoch.
    let mut heir = writer.heir(2);
    sandbox.store(heir.says(ODD)).await?;
    sandbox.has(&heir).await
}

pub(super) async fn blobs_come_back_as_written(sandbox: &JournalSandbox) -> Check {
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let blobs: [&[u8]; 6] =
        [b"", b"{\"steps\":[]}", b"a line\r\n", b"\0\0", b"\xff\xfe no UTF-8 \xc3\x28", &all];
    let batch = with(Writer::new("run").next(1), blobs);
    sandbox.store(batch.clone()).await?;
    sandbox.has_blobs(&batch).await
}

pub(super) async fn batch_is_stored_whole(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    for (count, blobs) in
        [(5, [b"a".as_slice(), b"b", b"c"]), (1, [b"d", b"e", b"f"]), (4, [b"g", b"h", b"i"])]
    {
        let batch = with(writer.next(count), blobs);
        sandbox.store(batch.clone()).await?;
        sandbox.has(&writer).await?;
        sandbox.has_blobs(&batch).await?;
        sandbox.has_heads(&[writer.head(false)]).await?;
    }
    // The last batch of a run is one as any other.
    let batch = with(writer.ends(3), [b"j".as_slice(), b"k"]);
    sandbox.store(batch.clone()).await?;
    sandbox.has(&writer).await?;
    sandbox.has_blobs(&batch).await
}

pub(super) async fn large_batch_survives(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    sandbox.store(writer.next(10_000)).await?;
    sandbox.has(&writer).await?;
    sandbox.store(writer.next(1)).await?;
    sandbox.has(&writer).await
}

pub(super) async fn large_blob_survives(sandbox: &JournalSandbox) -> Check {
    let mebibyte = "0123456789abcde\n".repeat(1 << 16);
    let batch = with(Writer::new("run").next(1), [mebibyte.as_bytes()]);
    sandbox.store(batch.clone()).await?;
    sandbox.has_blobs(&batch).await
}

pub(super) async fn blob_twice_is_one(sandbox: &JournalSandbox) -> Check {
    let (mut one, mut other) = (Writer::new("one"), Writer::new("other"));
    let plan = b"plan".as_slice();
    for batch in [
        with(one.next(2), [plan]),
        with(one.next(2), [b"before".as_slice(), plan, plan, b"behind"]),
        with(other.next(3), [plan, b"of the other"]),
    ] {
        sandbox.store(batch.clone()).await?;
        sandbox.has_blobs(&batch).await?;
    }
    sandbox.has(&one).await?;
    sandbox.has(&other).await
}

pub(super) async fn sealed_records_verify(sandbox: &JournalSandbox) -> Check {
    let mut writer = Writer::new("run");
    sandbox.store(writer.next(1)).await?;
    sandbox.store(writer.says(["«wait»", "go on"])).await?;
    let mut heir = writer.heir(2);
    sandbox.store(heir.next(1)).await?;
    sandbox.store(heir.next(12)).await?;
    let mut heir = heir.heir(4);
    sandbox.store(heir.ends(3)).await?;

    let run = fixtures::literal("run");
    let history = History::verify(&run, &sandbox.read(&run).await?)
        .map_err(|damage| broken("a chain that verifies", damage))?;
    let found = (history.head(), history.facts().len() as u64, history.epoch());
    let head = heir.head(true);
    let wanted = (head.hash, head.seq, head.epoch);
    if found == wanted {
        return Ok(());
    }
    let show = |(head, count, epoch)| format!("{count} records up to {head} in epoch {epoch}");
    Err(broken(show(wanted), show(found)))
}
