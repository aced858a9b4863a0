//! Space that is set aside for the time when there is none: a file of zeros beside the journal
//! (`-reserve`), and the last pages of a quota. What begins nothing new (outcomes of effects under way,
//! steps of rollbacks) may use it; what does is refused from then on, until the reserve is whole again.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::SqliteOptions;

/// What its name ends with.
pub(super) const END: &str = "-reserve";
/// Bytes of a page.
const PAGE: usize = 4096;

/// The reserve of one journal.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    pages: u32,
    /// The quota, if there is one: the pages for everything, and all.
    quota: Option<(u32, u32)>,
    /// Whether its file was given up and is not there again.
    spent: bool,
    /// Whether the journal has more pages than what begins something new may have.
    over: bool,
}

impl Reserve {
    /// Sets the reserve of the journal at `path` aside. Where there is no room for it, it counts as spent;
    /// where it cannot be kept for another reason, there is none.
    pub(super) fn open(path: &Path, options: SqliteOptions) -> Self {
        let path = super::birth::beside(path, END);
        let pages = options.reserve_pages;
        let quota = options.max_pages.map(|all| (all - pages.min(all / 2), all));
        let mut reserve = Self { path, pages, quota, spent: true, over: false };
        if pages > 0
            && let Err(error) = reserve.build()
        {
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                tracing::warn!(path = %reserve.path.display(), "no room for the journal's reserve");
            } else {
                tracing::warn!(path = %reserve.path.display(), %error, "the journal has no reserve");
                reserve.pages = 0;
            }
        }
        reserve
    }

    /// The most pages for what begins something new.
    fn ordinary_pages(&self) -> Option<u32> {
        self.quota.map(|(ordinary, all)| if self.pages == 0 { all } else { ordinary })
    }

    /// Whether it has to be whole again before anything new begins.
    pub(super) const fn is_spent(&self) -> bool {
        (self.spent || self.over) && self.pages > 0
    }

    /// Gives the space to what begins nothing. Returns whether there was any.
    pub(super) fn release(&mut self, connection: &Connection) -> bool {
        if self.pages == 0 {
            return false;
        }
        if let Some((_, all)) = self.quota {
            limit(connection, all);
        }
        if !self.spent {
            tracing::warn!(path = %self.path.display(), "the journal uses its reserve");
            // What is not there any more takes no room.
            let _ = fs::remove_file(&self.path);
            self.spent = true;
        }
        true
    }

    /// What used it is stored: nothing else may.
    pub(super) fn close(&mut self, connection: &Connection) {
        if let Some(pages) = self.ordinary_pages() {
            limit(connection, pages);
            self.over = is_over(connection, pages);
        }
    }

    /// Sets the space aside again. Returns whether there was room for it.
    pub(super) fn rebuild(&mut self, connection: &Connection) -> bool {
        self.over = self.ordinary_pages().is_some_and(|pages| is_over(connection, pages));
        !self.over && self.build().is_ok()
    }

    fn build(&mut self) -> io::Result<()> {
        let wanted = u64::from(self.pages) * PAGE as u64;
        let there = fs::metadata(&self.path).is_ok_and(|file| file.len() == wanted);
        if !there && let Err(error) = self.write() {
            let _ = fs::remove_file(&self.path); // a part of it would be in the way
            return Err(error);
        }
        self.spent = false;
        Ok(())
    }

    /// Written, not only made long: a file with holes takes no room, and so keeps none.
    fn write(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        for _ in 0..self.pages {
            file.write_all(&[0; PAGE])?;
        }
        file.sync_all()
    }
}

/// Sets the most pages of the file. What it has already it keeps.
fn limit(connection: &Connection, pages: u32) {
    let set = connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
    if let Err(error) = set {
        tracing::warn!(%error, "the quota of the journal was not set");
    }
}

/// Whether more than `pages` are in use. What cannot be counted is not over: SQLite's own limit holds.
fn is_over(connection: &Connection, pages: u32) -> bool {
    let count = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    match (count("page_count"), count("freelist_count")) {
        (Ok(all), Ok(free)) => all - free > i64::from(pages),
        _ => false,
    }
}
