//! Whether the tables agree with each other: records belong to a run, and the row of a run says what
//! its last record says. The hash chain cannot tell either.

use std::collections::BTreeSet;
use std::path::Path;

use release_core::journal::{Head, Record};
use release_core::model::RunId;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Deserialize;

use super::read::RunRow;
use super::schema::{OpenError, sqlite_error};

/// How many runs there ever were, and how many there are. No row is ever removed.
const COUNTS: &str = "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0), \
                      (SELECT count(*) FROM runs)";
/// The first record whose run is not there.
const ORPHAN: &str = "SELECT run_id, seq, body FROM records \
                      WHERE run_id NOT IN (SELECT run_id FROM runs) ORDER BY place LIMIT 1";

/// Refuses records whose run is gone: the release would be taken for one that never was, and
/// performed again. Records are looked at only if the number of runs is not what it must be.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |e: rusqlite::Error| sqlite_error(path, &e);
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    let counts = snapshot.query_row(COUNTS, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (ever, now): (i64, i64) = counts.map_err(failed)?;
    if ever == now {
        return Ok(());
    }
    let orphan = snapshot.query_row(ORPHAN, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?))
    });
    let detail = match orphan.optional().map_err(failed)? {
        Some((id, seq, body)) => {
            let named = name(&body).map_or_else(String::new, |run| format!(" (`{run}`)"));
            format!("record {seq} belongs to run {id}{named}, which is not there")
        }
        None => format!("there were {ever} runs, and there are {now}"),
    };
    Err(OpenError::Damaged { path: path.into(), detail })
}

/// The runs whose rows in the table of runs have another name than their records. To take such a run for one
/// that never was would be to perform it again.
pub(super) fn misnamed(connection: &Connection, path: &Path) -> Result<BTreeSet<RunId>, OpenError> {
    let failed = |e: rusqlite::Error| sqlite_error(path, &e);
    let sql = format!("SELECT {} FROM runs ORDER BY run", RunRow::COLUMNS);
    let mut all = connection.prepare(&sql).map_err(failed)?;
    let mut rows = all.query([]).map_err(failed)?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next().map_err(failed)? {
        if RunRow::read(row).is_ok_and(|row| row.is_some_and(|row| row.sound)) {
            continue;
        }
        let id: i64 = row.get(RunRow::ID).map_err(failed)?;
        let first = "SELECT body FROM records WHERE run_id = ?1 ORDER BY place LIMIT 1";
        let body = connection.query_row(first, [id], |row| row.get::<_, String>(0)).ok();
        let recorded = body.and_then(|body| name(&body)).and_then(|name| RunId::new(name).ok());
        let here = row.get::<_, String>(0).ok();
        tracing::error!(path = %path.display(), row = id, name = ?here, ?recorded,
            "a row of the table of runs is not what was written there");
        found.extend(recorded.filter(|run| here.as_deref() != Some(run.as_str())));
    }
    Ok(found)
}

/// What is told of a run that [`misnamed`] found.
pub(super) fn renamed(run: &RunId) -> String {
    format!("there are records of run `{run}`, but the table of runs has another name for them")
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
