//! Releases under rules: what is blocked, why, by what it is lifted, and when.
//!
//! ```text
//! cargo run --all-features --example governed_release
//! ```
//!
//! Five releases of one service around the end of a year, on a virtual clock: a usual one, which two roles have
//! to approve; one of high risk, which goes to the board; one in a freeze, which gets a waiver; a hotfix by
//! broken glass; and one that waits because nobody reviewed that. The engine and its journal (SQLite) are
//! those of production; every word and every decision is in the journal.

mod desk;
mod rules;
mod story;

use std::io::Write as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), story::Failure> {
    let folder = tempfile::tempdir()?;
    let told = story::play(folder.path()).await?;
    std::io::stdout().write_all(told.as_bytes())?;
    Ok(())
}
