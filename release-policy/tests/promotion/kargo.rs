//! The sources of a stage in Kargo: `direct`, `stages`, `availabilityStrategy`, `requiredSoakTime`, manual approval;
//! and where we differ on purpose: a verification that fails when it is done again closes what comes after.

use release_core::model::WaiverId;
use release_policy::promotion::Found::{Bad, Good, Unknown};
use release_policy::promotion::{
    Availability, History, HistoryError, Override, Pipeline, PromotionEvent, PromotionFact,
    Sources, Standing, Verdict, Waivable,
};

use crate::support::{
    at, enter, entered, env, history, pending, pipeline, secs, set, stage, subject, verdict,
    verified,
};

/// dev -> test -> prod
fn chain() -> Pipeline {
    pipeline([
        stage("dev", Sources::direct()),
        stage("test", Sources::one_of([env("dev")])),
        stage("prod", Sources::one_of([env("test")])),
    ])
}

/// east and west, then prod
fn two(sources: Sources) -> Pipeline {
    pipeline([
        stage("east", Sources::direct()),
        stage("west", Sources::direct()),
        stage("prod", sources),
    ])
}

fn leave(second: i64, waives: &[Waivable], until: i64) -> PromotionFact {
    let over = Override {
        id: "hotfix-1".parse().unwrap(),
        stage: env("prod"),
        set: set(1),
        waives: waives.iter().copied().collect(),
        by: "ann".parse().unwrap(),
        until: at(until),
        reason: "login is down".into(),
    };
    PromotionFact { at: at(second), event: PromotionEvent::Overridden(over) }
}

#[test]
fn kargo_sources_direct_takes_any_set_at_once() {
    assert!(verdict(&chain(), &History::default(), "dev", 0).is_pass());
    let both = Sources { direct: true, ..Sources::one_of([env("east")]) };
    assert!(verdict(&two(both), &History::default(), "prod", 0).is_pass());
}

#[test]
fn kargo_sources_stages_ask_for_a_verification_upstream() {
    let there = history([entered(0, "dev", 1)]);
    assert_eq!(verdict(&chain(), &there, "test", 1), pending(None), "there, and not verified");
    let good = history([entered(0, "dev", 1), verified(1, "dev", 1, Good)]);
    assert!(verdict(&chain(), &good, "test", 1).is_pass());
    assert_eq!(verdict(&chain(), &good, "prod", 1), pending(None), "no stage is left out");
    let other = history([entered(0, "dev", 2), verified(1, "dev", 2, Good)]);
    assert_eq!(verdict(&chain(), &other, "test", 1), pending(None), "of another set");
}

#[test]
fn kargo_sources_availability_is_one_of_unless_it_says_all() {
    assert_eq!(Sources::default().availability, Availability::OneOf);
    let stages = || [env("east"), env("west")];
    let east = history([entered(0, "east", 1), verified(1, "east", 1, Good)]);
    assert!(verdict(&two(Sources::one_of(stages())), &east, "prod", 1).is_pass());
    assert_eq!(verdict(&two(Sources::all_of(stages())), &east, "prod", 1), pending(None));
    let both = history([verified(1, "east", 1, Good), verified(1, "west", 1, Good)]);
    assert!(verdict(&two(Sources::all_of(stages())), &both, "prod", 1).is_pass());
}

#[test]
fn kargo_sources_soak_is_time_without_a_break_in_the_stage_after_verification() {
    let soaking = two(Sources::one_of([env("east")]).soak(secs(100)));
    let running = history([entered(0, "east", 1), verified(30, "east", 1, Good)]);
    assert_eq!(verdict(&soaking, &running, "prod", 129), pending(Some(130)));
    assert!(verdict(&soaking, &running, "prod", 130).is_pass());
    // Another set came in between: time is not added up.
    let facts = [
        entered(0, "east", 1),
        verified(0, "east", 1, Good),
        entered(60, "east", 2),
        entered(70, "east", 1),
    ];
    assert_eq!(verdict(&soaking, &history(facts), "prod", 169), pending(Some(170)));
    // It soaked long enough once: that counts also when it is gone.
    let gone = [entered(0, "east", 1), verified(0, "east", 1, Good), entered(100, "east", 2)];
    assert!(verdict(&soaking, &history(gone), "prod", 500).is_pass());
    // It left too early: time alone changes nothing.
    let early = [entered(0, "east", 1), verified(0, "east", 1, Good), entered(99, "east", 2)];
    assert_eq!(verdict(&soaking, &history(early), "prod", 500), pending(None));
}

#[test]
fn kargo_sources_soak_counts_for_each_stage_by_itself() {
    let stages = || [env("east"), env("west")];
    let facts = || {
        history([
            entered(0, "east", 1),
            verified(0, "east", 1, Good),
            entered(50, "west", 1),
            verified(50, "west", 1, Good),
        ])
    };
    let one = two(Sources::one_of(stages()).soak(secs(100)));
    assert_eq!(verdict(&one, &facts(), "prod", 99), pending(Some(100)));
    assert!(verdict(&one, &facts(), "prod", 100).is_pass());
    let all = two(Sources::all_of(stages()).soak(secs(100)));
    assert!(!verdict(&all, &facts(), "prod", 149).is_pass());
    assert!(verdict(&all, &facts(), "prod", 150).is_pass());
}

#[test]
fn kargo_sources_manual_approval_supersedes_verification_and_soak() {
    let hotfix = history([leave(0, &[Waivable::Verification, Waivable::Soak], 1_000)]);
    let soaking = two(Sources::all_of([env("east"), env("west")]).soak(secs(100)));
    let answer = enter(&soaking, &hotfix, "prod", 1);
    assert!(answer.verdict.is_pass());
    let used: Vec<WaiverId> = vec!["hotfix-1".parse().unwrap()];
    assert_eq!(answer.eligibility.unwrap().overrides, used);
    assert_eq!(verdict(&soaking, &hotfix, "prod", 1_000), pending(None), "it ends");
}

#[test]
fn an_override_waives_what_it_names_and_nothing_else() {
    let soaking = two(Sources::one_of([env("east")]).soak(secs(100)));
    let facts = |waives: &[Waivable]| {
        history([leave(0, waives, 1_000), entered(5, "east", 1), verified(10, "east", 1, Good)])
    };
    assert!(verdict(&soaking, &facts(&[Waivable::Soak]), "prod", 10).is_pass());
    assert!(!verdict(&soaking, &facts(&[Waivable::Soak]), "prod", 9).is_pass(), "not verified");
    let verification = facts(&[Waivable::Verification]);
    assert_eq!(verdict(&soaking, &verification, "prod", 104), pending(Some(105)), "not soaked");
    assert!(verdict(&soaking, &verification, "prod", 105).is_pass());
}

#[test]
fn a_failed_reverification_closes_every_stage_behind_it() {
    let mut facts = vec![
        entered(0, "dev", 1),
        verified(1, "dev", 1, Good),
        entered(2, "test", 1),
        verified(3, "test", 1, Good),
    ];
    assert!(verdict(&chain(), &history(facts.clone()), "prod", 4).is_pass());
    facts.push(verified(5, "dev", 1, Bad));
    for stage in ["test", "prod"] {
        assert_eq!(verdict(&chain(), &history(facts.clone()), stage, 5), Verdict::Fail, "{stage}");
    }
    let why = enter(&chain(), &history(facts.clone()), "prod", 5).eligibility.unwrap();
    assert_eq!(why.sources[0].standing, Standing::Revoked);
    // A good verification opens them again, and its soak begins anew.
    facts.push(verified(6, "dev", 1, Good));
    assert!(verdict(&chain(), &history(facts), "prod", 6).is_pass());
}

#[test]
fn a_reverification_that_cannot_tell_holds_and_does_not_fail() {
    let facts = [verified(1, "dev", 1, Good), verified(2, "dev", 1, Unknown)];
    assert_eq!(verdict(&chain(), &history(facts), "test", 2), Verdict::Inconclusive);
}

#[test]
fn a_failed_reverification_begins_the_soak_anew() {
    let soaking = two(Sources::one_of([env("east")]).soak(secs(100)));
    let facts = [
        entered(0, "east", 1),
        verified(0, "east", 1, Good),
        verified(90, "east", 1, Bad),
        verified(95, "east", 1, Good),
    ];
    assert_eq!(verdict(&soaking, &history(facts), "prod", 150), pending(Some(195)));
}

#[test]
fn what_another_source_carries_stays_open() {
    let one = two(Sources::one_of([env("east"), env("west")]));
    let facts =
        [verified(0, "east", 1, Good), verified(0, "west", 1, Good), verified(1, "east", 1, Bad)];
    assert!(verdict(&one, &history(facts.clone()), "prod", 1).is_pass());
    let all = two(Sources::all_of([env("east"), env("west")]));
    assert_eq!(verdict(&all, &history(facts), "prod", 1), Verdict::Fail);
}

#[test]
fn an_override_says_nothing_of_a_failure_that_came_after_it() {
    let every = [Waivable::Verification, Waivable::Soak];
    let before = [leave(0, &every, 1_000), verified(1, "dev", 1, Bad)];
    assert!(!verdict(&chain(), &history(before), "prod", 2).is_pass());
    let after = [verified(1, "dev", 1, Bad), leave(2, &every, 1_000)];
    assert!(verdict(&chain(), &history(after), "prod", 2).is_pass());
}

#[test]
fn an_override_can_be_taken_back() {
    let event = PromotionEvent::Withdrawn { id: "hotfix-1".parse().unwrap() };
    let every = [Waivable::Verification, Waivable::Soak];
    let facts = [leave(0, &every, 1_000), PromotionFact { at: at(5), event }];
    assert!(verdict(&chain(), &history(facts.clone()), "prod", 4).is_pass());
    assert!(!verdict(&chain(), &history(facts), "prod", 5).is_pass());
}

#[test]
fn a_pass_is_bound_to_its_set_and_ends() {
    let lease = *verdict(&chain(), &History::default(), "dev", 10).lease().unwrap();
    assert_eq!(lease.valid_until, at(310));
    assert!(lease.check(&subject(1), at(309)).is_ok());
    assert!(lease.check(&subject(1), at(310)).is_err());
    assert!(lease.check(&subject(2), at(309)).is_err());
}

#[test]
fn facts_that_cannot_follow_are_refused_and_change_nothing() {
    let id: WaiverId = "hotfix-1".parse().unwrap();
    let check = |fact: PromotionFact, error: HistoryError| {
        let mut all = history([leave(10, &[Waivable::Soak], 100)]);
        let before = all.clone();
        assert_eq!(all.apply(fact), Err(error));
        assert_eq!(all, before);
    };
    check(entered(9, "dev", 1), HistoryError::Order { at: at(9), last: at(10) });
    check(leave(11, &[], 100), HistoryError::WaivesNothing(id.clone()));
    check(leave(11, &[Waivable::Soak], 11), HistoryError::Empty { id: id.clone(), until: at(11) });
    check(leave(11, &[Waivable::Soak], 100), HistoryError::Duplicate(id));
    let other: WaiverId = "hotfix-2".parse().unwrap();
    let event = PromotionEvent::Withdrawn { id: other.clone() };
    check(PromotionFact { at: at(11), event }, HistoryError::Unknown(other));
}
