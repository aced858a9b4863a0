//! Whether the tables agree with each other: records belong to a run, and the row of a run says what
//! its last record says. The hash chain cannot tell either.

use std::path::Path;

use release_core::journal::{Head, Record};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Deserialize;

use super::schema::{OpenError, sqlite_error};

/// The first run at or after `?1` that has records.
const NEXT: &str = "SELECT run_id, seq, body FROM records WHERE run_id >= ?1 \
                    ORDER BY run_id, seq LIMIT 1";

/// Refuses records whose run is gone: the release would be taken for one that never was, and
/// performed again. One look-up a run.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| sqlite_error(path, &e);
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    let mut next = snapshot.prepare(NEXT).map_err(failed)?;
    let mut known = snapshot.prepare("SELECT 1 FROM runs WHERE run_id = ?1").map_err(failed)?;
    let mut from = i64::MIN;
    loop {
        let found = next.query_row([from], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
        });
        let Some((id, seq, body)) = found.optional().map_err(failed)? else { return Ok(()) };
        if !known.exists(params![id]).map_err(failed)? {
            let named = name(&body).map_or_else(String::new, |run| format!(" (`{run}`)"));
            let detail = format!("record {seq} belongs to run {id}{named}, which is not there");
            return Err(OpenError::Damaged { path: path.into(), detail });
        }
        let Some(after) = id.checked_add(1) else { return Ok(()) };
        from = after;
    }
}

/// What the row of a run says that its last record does not.
pub(super) fn disagreement(head: &Head, last: Option<&Record>) -> Option<String> {
    let run = &head.run;
    let seq = last.map_or(0, |record| record.seq);
    let Some(last) = last.filter(|last| last.seq == head.seq && last.hash == head.hash) else {
        return Some(format!(
            "run `{run}` must end with record {} ({}), but record {seq} is the last",
            head.seq, head.hash
        ));
    };
    if last.epoch != head.epoch {
        let (row, record) = (head.epoch, last.epoch);
        return Some(format!(
            "the table of runs has run `{run}` in epoch {row}, but record {seq}, its last, is of \
             epoch {record}"
        ));
    }
    // What cannot be read was changed, which the chain tells.
    let over = kind(&last.bytes)? == "run_finished";
    (over != head.finished).then(|| {
        let (row, record) =
            if over { ("not over", "ends it") } else { ("over", "does not end it") };
        format!("the table of runs has run `{run}` as {row}, but record {seq}, its last, {record}")
    })
}

#[derive(Deserialize)]
struct Named {
    run: String,
}

fn name(body: &str) -> Option<String> {
    serde_json::from_str(body).ok().map(|Named { run }| run)
}

#[derive(Deserialize)]
struct Body {
    event: Tag,
}

#[derive(Deserialize)]
struct Tag {
    r#type: String,
}

fn kind(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice(bytes).ok().map(|Body { event }| event.r#type)
}
