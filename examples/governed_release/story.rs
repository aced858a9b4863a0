//! What happens, scene by scene. It is told as text, which a test compares with `told.txt`.

use std::path::Path;
use std::sync::atomic::Ordering;

use release_core::model::{Span, Timestamp};
use release_core::port::Clock as _;
use release_policy::change::{ChangeType, Factor, RiskInputs};
use serde_json::json;

use crate::desk::{Desk, Release};
use crate::rules::HOUR;

/// What can go wrong here.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Plays all scenes, with the journal in `folder`, and returns what is to be told of them.
pub(crate) async fn play(folder: &Path) -> Result<String, Failure> {
    let begin: Timestamp = "2026-12-17T09:00:00Z".parse()?;
    let mut desk = Desk::open(folder, begin)?;
    usual(&mut desk).await?;
    high_risk(&mut desk).await?;
    frozen(&mut desk).await?;
    hotfix(&mut desk).await?;
    owed(&mut desk).await?;
    Ok(desk.told)
}

/// Why the release has not started, as the engine explains it.
async fn why(desk: &mut Desk, release: &Release) -> Result<(), Failure> {
    for line in release.run.explain(&release.step).await?.to_string().lines() {
        desk.say(&format!("  {line}"));
    }
    Ok(())
}

/// Waits until the release is done.
async fn done(desk: &mut Desk, release: &Release) -> Result<(), Failure> {
    let outcome = release.run.wait().await?;
    let count = desk.hands.0.load(Ordering::SeqCst);
    desk.say(&format!("  {} {}; deploys so far: {count}", release.run.run(), outcome.name()));
    desk.settle(release).await
}

fn risk(services: u32, migrates: bool) -> RiskInputs {
    let factors = Factor::ALL.map(|factor| (factor, 0));
    let mut all: RiskInputs = factors.into();
    all.insert(Factor::BlastRadius, services);
    all.insert(Factor::DataMigration, u32::from(migrates));
    all
}

async fn usual(desk: &mut Desk) -> Result<(), Failure> {
    desk.scene("ada asks for usual-1");
    let mut release = desk.ask("usual-1", ChangeType::Normal, &risk(1, false)).await?;
    why(desk, &release).await?;
    desk.scene("ada approves it herself");
    desk.approve(&mut release, "ada").await?;
    why(desk, &release).await?;
    desk.scene("bob (sre) approves");
    desk.approve(&mut release, "bob").await?;
    why(desk, &release).await?;
    desk.scene("gil (sre, too) approves: that is no second role");
    desk.approve(&mut release, "gil").await?;
    why(desk, &release).await?;
    desk.scene("cleo (security) approves");
    desk.approve(&mut release, "cleo").await?;
    done(desk, &release).await
}

async fn high_risk(desk: &mut Desk) -> Result<(), Failure> {
    desk.clock.advance(Span::secs(HOUR));
    desk.scene("ada asks for moves-data-2, which moves data of five services");
    let mut release = desk.ask("moves-data-2", ChangeType::Normal, &risk(5, true)).await?;
    for given in release.routing.assessment.contributions.iter().filter(|given| given.points > 0) {
        desk.say(&format!("  risk: {given}"));
    }
    desk.say(&format!(
        "  risk: {} points; the board decides from 40",
        release.routing.assessment.score
    ));
    why(desk, &release).await?;
    desk.scene("bob and cleo approve; eve and cleo vote for it");
    desk.approve(&mut release, "bob").await?;
    desk.approve(&mut release, "cleo").await?;
    desk.vote(&mut release, "eve").await?;
    desk.vote(&mut release, "cleo").await?;
    why(desk, &release).await?;
    desk.scene("eve says that she has an interest, so that her vote does not count");
    let interest = json!({ "reason": "her team wrote it" });
    desk.hear(&mut release, "eve", "interest", interest).await?;
    why(desk, &release).await?;
    desk.scene("finn (operations) votes for it; so does dan, who leads the board, on a condition");
    desk.vote(&mut release, "finn").await?;
    desk.vote_if(&mut release, "dan", "operations has tried the way back").await?;
    why(desk, &release).await?;
    desk.scene("gil says that it was tried, and finn does");
    desk.at_gate(&mut release, "gil").await?;
    desk.at_gate(&mut release, "finn").await?;
    done(desk, &release).await
}

async fn frozen(desk: &mut Desk) -> Result<(), Failure> {
    desk.clock.set("2026-12-21T09:00:00Z".parse()?);
    desk.scene("in the freeze, ada asks for tax-3, and bob and cleo approve");
    let mut release = desk.ask("tax-3", ChangeType::Normal, &risk(1, false)).await?;
    desk.approve(&mut release, "bob").await?;
    desk.approve(&mut release, "cleo").await?;
    why(desk, &release).await?;
    desk.scene("dan gives leave from the freeze, for this run and four hours");
    let until = desk.clock.now().plus(Span::secs(4 * HOUR));
    desk.waive(&release, "dan", until, "a regulator's deadline")?;
    desk.refresh(&mut release).await?;
    done(desk, &release).await
}

async fn hotfix(desk: &mut Desk) -> Result<(), Failure> {
    desk.clock.set("2026-12-26T22:00:00Z".parse()?);
    desk.scene("an incident at night: ada asks for hotfix-4, nobody is there to approve");
    let mut release = desk.ask("hotfix-4", ChangeType::Emergency, &risk(1, false)).await?;
    why(desk, &release).await?;
    desk.scene("bob (sre) asks to break the glass");
    let ask = json!({ "incident": "INC-7", "reason": "payments are down" });
    desk.hear(&mut release, "bob", "glass", ask).await?;
    desk.scene("cleo (security) confirms");
    desk.hear(&mut release, "cleo", "glass", json!({})).await?;
    done(desk, &release).await
}

async fn owed(desk: &mut Desk) -> Result<(), Failure> {
    desk.clock.set("2027-01-05T09:00:00Z".parse()?);
    desk.scene("after the freeze, ada asks for usual-5, and bob and cleo approve");
    let mut release = desk.ask("usual-5", ChangeType::Normal, &risk(1, false)).await?;
    desk.approve(&mut release, "bob").await?;
    desk.approve(&mut release, "cleo").await?;
    why(desk, &release).await?;
    desk.scene("bob reviews what he did himself");
    desk.review("bob", "all was well")?;
    desk.refresh(&mut release).await?;
    why(desk, &release).await?;
    desk.scene("gil (auditor) reviews it");
    desk.review("gil", "the fix was needed, and the runbook now covers it")?;
    desk.refresh(&mut release).await?;
    done(desk, &release).await
}
