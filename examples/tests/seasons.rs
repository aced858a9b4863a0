//! What the season of trains tells is the same for the same seed, byte for byte, and is what the issue says, whatever the seed.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may fail as tests do"
)]

use std::collections::BTreeSet;

use release_core::model::{RegionId, ServiceId, Span, TeamId};
use release_core::run::{Cause, Outcome};
use release_policy::compat::{Offer, VerifiedSets, Versions};
use release_policy::train::departure::Behind;
use semver::Version;

#[path = "../train_season/backlog.rs"]
mod backlog;
#[path = "../train_season/calls.rs"]
mod calls;
#[path = "../train_season/hotfixes.rs"]
mod hotfixes;
#[path = "../train_season/numbers.rs"]
mod numbers;
#[path = "../train_season/people.rs"]
mod people;
#[path = "../train_season/picture.rs"]
mod picture;
#[path = "../train_season/platform.rs"]
mod platform;
#[path = "../train_season/play.rs"]
mod play;
#[path = "../train_season/report.rs"]
mod report;
#[path = "../train_season/route.rs"]
mod route;
#[path = "../train_season/season.rs"]
mod season;
#[path = "../train_season/services.rs"]
mod services;
#[path = "../train_season/trains.rs"]
mod trains;
#[path = "../train_season/travel.rs"]
mod travel;
#[path = "../train_season/what_if.rs"]
mod what_if;

use numbers::Numbers;
use platform::{Platform, Wish};
use play::Written;
use season::{FAILING_WEEK, HOTFIX_WEEKS, LATE_WEEK, Season};
use services::{Services, TEAMS};
use trains::{Played, Told, Trip};

fn train(played: &Played, week: u64) -> &Told {
    &played.trains[usize::try_from(week).unwrap() - 1]
}

fn trip(played: &Played, week: u64) -> &Trip {
    train(played, week).trip().unwrap()
}

/// Two seeds, one of them twice: every file and every line.
#[test]
fn a_seed_gives_the_same_bytes_and_another_gives_others() {
    let [one, again, other] = [1, 1, 2].map(|seed| {
        let played = play::play(seed).unwrap();
        let written = play::write(seed, &played).unwrap();
        all_hold(&played, &written);
        written
    });
    assert_eq!(one.summary, again.summary);
    assert_eq!(one.files, again.files);
    let names: Vec<_> = one.files.keys().copied().collect();
    assert_eq!(names, ["plan.svg", "report.md", "season.ics", "season.svg"]);
    assert_ne!(one.summary, other.summary);
    for name in names {
        assert_ne!(one.files[name], other.files[name], "{name}");
    }
}

#[test]
fn all_of_it_holds_for_other_seeds_too() {
    for seed in [0, 7, u64::MAX] {
        let played = play::play(seed).unwrap();
        all_hold(&played, &play::write(seed, &played).unwrap());
    }
}

/// Runs a set in staging; a record with that alone.
fn staged(platform: &mut Platform, name: &str, to: &Versions) -> VerifiedSets {
    let built = to.iter().map(|(service, version)| Offer::new(service.clone(), version.clone()));
    let built: Vec<Offer> = built.collect();
    platform.store(&built.iter().collect::<Vec<_>>()).unwrap();
    let wish = Wish::new(name.to_owned(), to);
    let run = platform.start(&Services::new().unwrap(), &wish).unwrap();
    let mut verified = VerifiedSets::default();
    verified.record(platform.end(&run).unwrap().verified.unwrap()).unwrap();
    verified
}

/// Brings a set to production, if it may; else why not.
fn brought(
    platform: &mut Platform,
    name: &str,
    to: &Versions,
    verified: &VerifiedSets,
) -> Result<Outcome, String> {
    let everywhere = services::regions().unwrap();
    platform.record.replace(verified.clone());
    let wish = Wish { verified: true, ..Wish::new(name.to_owned(), to) };
    let wish = Wish { regions: Some(&everywhere), ..wish };
    let run = platform.start(&Services::new().unwrap(), &wish).map_err(|why| why.to_string())?;
    Ok(platform.end(&run).unwrap().outcome)
}

/// Neither a set that no run verified, nor one after which a rollback would return to such a set.
#[test]
fn nothing_is_brought_that_was_not_verified_together() {
    let (season, services) = (Season::new(1, false).unwrap(), Services::new().unwrap());
    let mut platform = Platform::new(&season, season::begins().unwrap()).unwrap();
    let first: Versions =
        services.team.keys().map(|service| (service.clone(), Version::new(1, 0, 0))).collect();
    let mut second = first.clone();
    second.insert("accounts".parse().unwrap(), Version::new(1, 1, 0));
    let mut of_both = staged(&mut platform, "staging-1", &first);
    // It is built, and was not tried.
    let built = Offer::new("accounts".parse().unwrap(), Version::new(1, 1, 0));
    platform.store(&[&built]).unwrap();
    let refused = brought(&mut platform, "early", &second, &of_both).unwrap_err();
    assert_eq!(refused, "what `early` brings was not verified together");
    assert_eq!(brought(&mut platform, "first", &first, &of_both), Ok(Outcome::Succeeded));
    let of_second = staged(&mut platform, "staging-2", &second);
    let refused = brought(&mut platform, "second", &second, &of_second).unwrap_err();
    let why =
        "what the release returns to was not verified together: `accounts` is 1.0.0, and 1.1.0";
    assert!(refused.starts_with(why), "{refused}");
    of_both.record(of_second.sets()[0].clone()).unwrap();
    assert_eq!(brought(&mut platform, "second", &second, &of_both), Ok(Outcome::Succeeded));
}

/// What the issue names.
fn all_hold(seasons: &[Played; 2], written: &Written) {
    let [played, fridays] = seasons;
    let counts = (TEAMS.len(), TEAMS.iter().map(|(_, all)| all.len()).sum::<usize>());
    assert_eq!(counts, (8, 40));
    assert_eq!((services::regions().unwrap().len(), played.trains.len()), (5, 13));
    for played in seasons {
        holidays(played);
        late_team(played);
        regional_failure(played);
        hotfixes_landed(played);
        in_no_freeze(played);
        all_is_verified(played);
        one_version_for_two_teams(played);
        somebody_is_called_once(played);
    }
    a_hotfix_takes_the_place_of_a_wave(played);
    // With Fridays frozen it waits until no train is under way.
    assert_eq!(replaced(fridays), 0);
    assert_eq!(fridays.hotfixes[0].landed.as_ref().unwrap().superseded, None);
    hotfixes_move_what_they_do_not_fit(played);
    told(played, written);
    fridays_cost_something(played, fridays, written);
}

fn holidays(played: &Played) {
    for week in [8, 9] {
        assert!(train(played, week).trip().is_none(), "{week}");
    }
    let departed = |week| train(played, week).trip().is_some();
    assert!([1, 2, 3, 4, 5, 6, 10, 11, 12, 13].into_iter().all(departed));
}

/// What boards and what hotfixes bring was run in staging before, and is on record by that run.
fn all_is_verified(played: &Played) {
    for trip in played.trains.iter().filter_map(Told::trip) {
        let set = trip.staging.verified.as_ref().unwrap();
        assert_eq!(trip.boarded.proof, Some(set.evidence));
        assert_eq!(set.versions.len(), 40);
        assert!(trip.boarded.aboard.iter().all(|(id, version)| set.versions[id] == *version));
        assert!(trip.staging.ended <= trip.kept.departs);
    }
    for hotfix in &played.hotfixes {
        let landed = hotfix.landed.as_ref().unwrap();
        assert!(!landed.runs.is_empty());
        assert_eq!(landed.staging.len(), landed.runs.len());
        for (staged, ran) in landed.staging.iter().zip(&landed.runs) {
            let [set, brought] = [staged, ran].map(|one| one.verified.as_ref().unwrap());
            assert_eq!(set.versions, brought.versions);
            assert!(staged.ended < ran.ended && set.versions[&hotfix.service].patch > 0);
        }
    }
}

/// Two teams' services go along in one version, or both stay behind: with the late one the other.
fn one_version_for_two_teams(played: &Played) {
    let services = Services::new().unwrap();
    let pair: Vec<&ServiceId> = played.season.shared.iter().collect();
    let [one, other] = pair[..] else { panic!("{pair:?}") };
    assert_ne!(services.team[one], services.team[other]);
    let trips = || played.trains.iter().filter_map(Told::trip);
    for trip in trips() {
        let is_car = |id: &ServiceId| trip.cars.iter().any(|car| car.service == *id);
        assert_eq!(is_car(one), is_car(other));
        let aboard = &trip.boarded.aboard;
        assert_eq!(aboard.get(one), aboard.get(other));
    }
    assert!(trips().any(|trip| trip.boarded.aboard.contains_key(one)));
    let behind = &trip(played, LATE_WEEK).boarded.behind;
    let is_late = services.team[one] == played.season.late;
    let (late, with) = if is_late { (one, other) } else { (other, one) };
    assert_eq!(services.team[late], played.season.late);
    assert!(matches!(behind[late], Behind::Late { .. }));
    assert_eq!(behind[with], Behind::Shares { service: late.clone() });
}

/// The late team misses the sync point of its week, and no other is missed. One call is made when the deadline passes, and ended
/// before the wave that waits is due, which begins in time.
fn somebody_is_called_once(played: &Played) {
    for (told, week) in played.trains.iter().zip(1..) {
        let Some(trip) = told.trip() else { continue };
        let point = &trip.route.journey.spec().sync_points[0];
        assert_eq!((point.before.as_str(), point.awaits.len()), ("wave-2", 8));
        if week != LATE_WEEK {
            assert!(trip.travelled.calls.is_empty(), "{}", told.dates.id);
            continue;
        }
        let [call] = &trip.travelled.calls[..] else { panic!("{:?}", trip.travelled.calls) };
        let missing: Vec<&str> = call.missed.missing.iter().map(TeamId::as_str).collect();
        assert_eq!((missing, call.missed.waiting.len()), (vec![played.season.late], 7));
        let second = trip.travelled.stops[1].began;
        assert_eq!((call.at, second), (point.deadline, trip.route.plan.waves[1].begins));
        assert!(call.ended.unwrap() > call.at && call.ended.unwrap() <= second);
        assert_eq!(played.paged, [format!("{}/seen/release", told.dates.id)]);
    }
}

/// The first hotfix finds the last wave of its train under way. What the season decides is what the engine has on record: the wave
/// goes back, regions that had the train before are mended, and the wave comes again with what is mended. Nothing else is replaced.
fn a_hotfix_takes_the_place_of_a_wave(played: &Played) {
    let [first, second] = &played.hotfixes[..] else { panic!("{:?}", played.hotfixes) };
    let (landed, trip) = (first.landed.as_ref().unwrap(), trip(played, HOTFIX_WEEKS[0]));
    let decision = landed.superseded.as_ref().unwrap();
    let [before @ .., last] = &trip.travelled.stops[..] else { panic!("nothing began") };
    let [(began, gone)] = &last.replaced[..] else { panic!("{:?}", last.replaced) };
    let old = trip.boarded.aboard[&first.service].clone();
    assert_eq!(landed.version, Version { patch: old.patch + 1, ..old.clone() });
    assert_eq!(decision.version, landed.version);
    assert_eq!(decision.replaces, [(gone.run.clone(), old)]);
    let [ran] = &landed.runs[..] else { panic!("{:?}", landed.runs) };
    assert_eq!(ran.instead_of, std::slice::from_ref(&gone.run));
    let Outcome::RolledBack { cause: Cause::Superseded { run: by, reason, .. } } = &gone.outcome
    else {
        panic!("{}", gone.outcome)
    };
    assert_eq!((by, reason), (&ran.run, &decision.to_string()));
    assert!(*began < decision.at && decision.at <= gone.ended);
    assert!(gone.ended < ran.ended && ran.ended <= last.began);
    assert_eq!(last.ran.outcome, Outcome::Succeeded);
    let [again, mended] = [&last.ran, ran].map(|one| one.verified.as_ref().unwrap());
    assert_eq!(again.versions, mended.versions);
    let earlier: BTreeSet<&RegionId> = before.iter().flat_map(|one| &one.stop.regions).collect();
    assert_eq!(earlier.len() + last.stop.regions.len(), 5);
    assert_eq!(second.landed.as_ref().unwrap().superseded, None);
    assert_eq!(replaced(played), 1);
}

/// How many runs of waves a hotfix took the place of.
fn replaced(played: &Played) -> usize {
    let trips = played.trains.iter().filter_map(Told::trip);
    trips.flat_map(|trip| &trip.travelled.stops).map(|one| one.replaced.len()).sum()
}

/// Nothing begins while a freeze holds, and nothing is half done when one begins.
fn in_no_freeze(played: &Played) {
    let trips = played.trains.iter().filter_map(Told::trip);
    let trips = trips.map(|trip| (trip.kept.departs, trip.travelled.ended));
    for (departs, ended) in trips {
        for (from, until) in &played.season.closed {
            assert!(ended <= *from || departs >= *until, "{departs} {ended}: {from} {until}");
        }
    }
    for landed in played.hotfixes.iter().filter_map(|one| one.landed.as_ref()) {
        let held = |(from, until): &&_| (*from..*until).contains(&landed.at);
        assert_eq!(played.season.closed.iter().find(held), None);
    }
}

/// Who stays behind is who is late, and who needs one of those or shares its version, and nobody else; the train departs as planned.
fn late_team(played: &Played) {
    let services = Services::new().unwrap();
    for told in &played.trains {
        let Some(trip) = told.trip() else { continue };
        let late = trip.cars.iter().filter(|car| car.ready.unwrap() > told.dates.boards_until);
        let late: BTreeSet<ServiceId> = late.map(|car| car.service.clone()).collect();
        let mut closure = late.clone();
        loop {
            let shared = &played.season.shared;
            let needs = |id: &ServiceId| {
                let with_it = shared.contains(id) && !shared.is_disjoint(&closure);
                with_it || services.needs[id].iter().any(|on| closure.contains(on))
            };
            let more = trip.cars.iter().map(|car| &car.service);
            let more = more.filter(|id| !closure.contains(*id) && needs(id)).cloned();
            let more: Vec<_> = more.collect();
            if more.is_empty() {
                break;
            }
            closure.extend(more);
        }
        assert_eq!(trip.boarded.behind.keys().cloned().collect::<BTreeSet<_>>(), closure);
        let said = |id| matches!(trip.boarded.behind[id], Behind::Late { .. });
        assert!(closure.iter().all(|id| said(id) == late.contains(id)));
        assert_eq!(trip.boarded.aboard.len() + closure.len(), trip.cars.len());
    }
    let (told, late) = (train(played, LATE_WEEK), trip(played, LATE_WEEK));
    let of_team = |(id, why): (&ServiceId, &Behind)| {
        matches!(why, Behind::Late { .. }) && services.team[id] == played.season.late
    };
    assert!(late.boarded.behind.iter().any(of_team));
    assert!(late.boarded.behind.len() < late.cars.len(), "{} departs without it", told.dates.id);
    // Somebody had asked it to wait: that was refused, on record.
    let changes = late.consent.model.changes();
    assert_eq!(changes[0].reason, "no train waits for a team");
    assert!(!late.consent.without.is_ready() && late.consent.at_departure.is_ready());
    assert!(played.season.conflict.contains("This cannot all be"), "{}", played.season.conflict);
}

fn regional_failure(played: &Played) {
    let trip = trip(played, FAILING_WEEK);
    let failed = trip.travelled.failure.as_ref().unwrap();
    let [before @ .., last] = &trip.travelled.stops[..] else { panic!("nothing began") };
    assert!(last.stop.regions.contains(&failed.region));
    assert!(matches!(last.ran.outcome, Outcome::RolledBack { .. }));
    assert!(!before.is_empty() && before.iter().all(|one| one.ran.outcome == Outcome::Succeeded));
    assert!(!failed.not_begun.is_empty());
    let began: usize = trip.travelled.stops.iter().map(|one| one.stop.regions.len()).sum();
    let rest: usize = failed.not_begun.iter().map(|stop| stop.regions.len()).sum();
    assert_eq!(began + rest, 5);
    let (back, changes) = failed.back.as_ref().unwrap();
    assert_eq!((&back.outcome, *changes), (&Outcome::Succeeded, trip.boarded.aboard.len()));
    assert_eq!(failed.verified_by, self::trip(played, FAILING_WEEK - 1).staging.run);
    // No other train failed, and what went back went along with the next one.
    let others = played.trains.iter().filter_map(Told::trip);
    assert_eq!(others.filter(|trip| trip.travelled.failure.is_some()).count(), 1);
    let next = self::trip(played, FAILING_WEEK + 1);
    let (aboard, behind) = (&next.boarded.aboard, &next.boarded.behind);
    let goes_along = |id| aboard.contains_key(id) || behind.contains_key(id);
    assert!(trip.boarded.aboard.keys().all(goes_along));
    assert!(aboard.get(&failed.service).is_none_or(|version| *version > failed.version));
}

fn hotfixes_landed(played: &Played) {
    assert_eq!(played.hotfixes.len(), 2);
    for hotfix in &played.hotfixes {
        let landed = hotfix.landed.as_ref().unwrap();
        assert!(landed.at > hotfix.arrives && landed.version.patch > 0);
        assert!(landed.runs.iter().all(|ran| ran.outcome == Outcome::Succeeded));
    }
}

/// The first fits; for the second, the next train departs later by just what does not.
fn hotfixes_move_what_they_do_not_fit(played: &Played) {
    let slips: Vec<_> = played.trains.iter().filter_map(|one| one.trip()?.slip.clone()).collect();
    let [slip] = &slips[..] else { panic!("{slips:?}") };
    let second = &played.hotfixes[1];
    assert_eq!(slip.train, train(played, 6).dates.id);
    let kept = trip(played, 5).kept.clone();
    let room = kept.closes.since(kept.validated).as_duration();
    let over = second.work.as_duration().checked_sub(room).unwrap();
    assert_eq!(slip.because, [(second.id.clone(), Span::from(over))]);
    let moved = trip(played, 6);
    assert_eq!(moved.kept.departs, slip.departs);
    let on_time = played.trains.iter().filter(|one| one.dates.id != slip.train);
    for told in on_time {
        let Some(trip) = told.trip() else { continue };
        assert_eq!(trip.kept.departs, told.dates.departs, "{}", told.dates.id);
    }
}

fn told(played: &Played, written: &Written) {
    let report = &written.files["report.md"];
    let failed = trip(played, FAILING_WEEK).travelled.failure.as_ref().unwrap();
    for text in [
        format!("failed in {}", failed.region),
        "Did not begin: wave-".into(),
        "The waves before went back to the same set".into(),
        "stays behind (late)".into(),
        "no train waits for a team".into(),
        "it fits the time kept for hotfixes".into(),
        "departs later for it".into(),
        format!("hotfix-1-1 in place of {}-wave-5", train(played, HOTFIX_WEEKS[0]).dates.id),
        "rolled back, because superseded by `hotfix-1-1`".into(),
        "nothing that it could replace was under way".into(),
        "Missed sync point `seen`: stop `wave-2` waits with ".into(),
        "share one version, and stay behind together".into(),
        "share one version, and go along as 1.".into(),
        "shares its version with `".into(),
        "freeze `holidays` holds when it is due".into(),
        what_if::QUESTION.into(),
    ] {
        let text = text.replace("departs later for it", " later for it");
        assert!(report.contains(&text), "{text} is not in\n{report}");
    }
    let picture = &written.files["season.svg"];
    assert!(picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n"));
    for class in
        ["freeze", "planned", "cut", "departs", "valid", "buffer", "late", "hotfix", "back"]
    {
        assert!(picture.contains(&format!("class=\"{class}\"")), "{class}");
    }
    // Twice: in the row of its train, and in the legend.
    assert_eq!(picture.matches("class=\"failed\"").count(), 2);
    assert_eq!(picture.matches("class=\"planned\"").count(), 13 + 1);
    let trips = played.trains.iter().filter_map(Told::trip);
    let behind: usize = trips.map(|trip| trip.boarded.behind.len()).sum();
    assert_eq!(picture.matches("class=\"late\"").count(), behind + 1);
    assert!(written.files["season.ics"].contains("RRULE:FREQ=WEEKLY;BYDAY=TH\r\n"));
}

fn fridays_cost_something(played: &Played, fridays: &Played, written: &Written) {
    let (now, then) = (Numbers::of(played), Numbers::of(fridays));
    assert_eq!((now.departed.len(), now.features.1), (11, 0));
    assert!(then.departed.len() < now.departed.len(), "the last before the holidays cannot go");
    assert!(then.lead.0 > now.lead.0 && then.lead.1 > now.lead.1, "{:?} {:?}", now.lead, then.lead);
    assert!(what_if::late(&then) > what_if::late(&now));
    let later = then.hotfixes.iter().zip(&now.hotfixes).filter(|(then, now)| then.1 > now.1);
    assert!(later.count() >= 1);
    let question = written.summary.split_once(what_if::QUESTION).unwrap().1;
    for numbers in
        ["departures move: weekly-", "median", "hotfix-1 is live after", "beyond the time kept"]
    {
        assert!(question.contains(numbers), "{question}");
    }
}
