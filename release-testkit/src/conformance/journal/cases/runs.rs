//! Many runs in one store.

use crate::conformance::Check;
use crate::conformance::journal::JournalSandbox;
use crate::conformance::journal::writer::Writer;

pub(super) async fn heads_tell_the_ends(sandbox: &JournalSandbox) -> Check {
    let (mut a, mut b, mut c) = (Writer::new("a"), Writer::new("b"), Writer::new("c"));
    sandbox.has_heads(&[]).await?;
    sandbox.store(a.next(1)).await?;
    sandbox.has_heads(&[a.head(false)]).await?;
    sandbox.store(a.next(3)).await?;
    sandbox.has_heads(&[a.head(false)]).await?;
    sandbox.store(c.ends(2)).await?;
    sandbox.has_heads(&[a.head(false), c.head(true)]).await?;
    sandbox.store(b.next(2)).await?;
    sandbox.has_heads(&[a.head(false), b.head(false), c.head(true)]).await?;
    let mut heir = b.heir(6);
    sandbox.store(heir.next(2)).await?;
    sandbox.store(a.ends(2)).await?;
    sandbox.has_heads(&[a.head(true), heir.head(false), c.head(true)]).await
}

pub(super) async fn heads_are_in_order_of_ids(sandbox: &JournalSandbox) -> Check {
    // Not in order, and such that neither birth nor length nor language gives the right one.
    let names =
        ["b", "a_c", "a1", "10", "a-d", "a", "z", "a.b", "9", "ab", "a-", "a10", "a2", "aa", "0"];
    let mut heads = Vec::new();
    for name in names {
        let mut writer = Writer::new(name);
        sandbox.store(writer.next(1)).await?;
        heads.push(writer.head(false));
    }
    heads.sort_by(|a, b| a.run.as_str().cmp(b.run.as_str()));
    sandbox.has_heads(&heads).await
}

pub(super) async fn runs_do_not_disturb_each_other(sandbox: &JournalSandbox) -> Check {
    // Names of which one passes for the other where they are patterns or are not compared whole.
    let mut writers = ["r", "r-1", "r.1", "r_1", "r1", "r-10", "r-1-"].map(Writer::new);
    for round in 0..4 {
        for (writer, more) in writers.iter_mut().zip(1..) {
            sandbox.store(writer.next(more + round)).await?;
        }
    }
    // One is taken over, one is over: that is nothing to the others.
    let [first, second, ..] = &mut writers;
    *first = first.heir(5);
    sandbox.store(first.next(2)).await?;
    sandbox.store(second.ends(1)).await?;
    for writer in writers.iter_mut().skip(2) {
        sandbox.store(writer.next(2)).await?;
    }
    let mut young = Writer::new("young");
    sandbox.store(young.next(1)).await?;
    for writer in writers.iter().chain([&young]) {
        sandbox.has(writer).await?;
    }
    Ok(())
}
