//! F35: permits, quotas and queues, case by case.

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::engine::desk::{Desk as EngineDesk, Said};
use release_core::limits::{
    Blockage, Class, IllegalEntry, Ledger, LedgerEvent, Limit, Limits, LimitsFile, Per, Quota,
    Request, Scope, Share, Standing, Subject, Unit, Want, Window, grants,
};
use release_core::model::{LimitId, Span, Timestamp};
use release_core::plan::{Place, Step, StepScope};

use super::support::desk::{Desk, ENGINE, claim, limits, request, unit};
use super::support::samples::{change, id, person};
use super::support::world::START;

fn share(team: &str, guaranteed: u32) -> Share {
    Share { team: id(team), weight: 1, guaranteed }
}

fn quota(amount: u32, window: Window) -> Limits {
    let quota = Quota { id: id("week"), scope: Scope::default(), per: Per::Step, amount, window };
    Limits::new(LimitsFile { quotas: vec![quota], ..LimitsFile::default() }).unwrap()
}

fn uses(run: &str) -> Request {
    let mut request = request(run, None, Class::Normal, &[]);
    request.wants[0].quotas = vec![id("week")];
    request
}

fn ask_all(desk: &mut Desk, runs: &[(&str, Option<&str>, Class)]) {
    for (run, team, class) in runs {
        desk.ask(request(run, *team, *class, &["all"]));
    }
}

#[test]
fn f35_hotfixes_come_first_then_who_came_first() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 1)]));
    ask_all(&mut desk, &[("a", None, Class::Normal)]);
    assert_eq!(desk.runs(), ["a"]);
    ask_all(
        &mut desk,
        &[("b", None, Class::Normal), ("c", None, Class::Normal), ("d", None, Class::Hotfix)],
    );
    assert_eq!(desk.runs(), [""; 0]);
    for (done, next) in [("a", "d"), ("d", "b"), ("b", "c")] {
        desk.release(done);
        assert_eq!(desk.runs(), [next]);
    }
}

#[test]
fn f35_a_step_gets_all_its_permits_at_once_or_none() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("x"), 1), Limit::new(id("y"), 1)]));
    desk.ask(request("a", None, Class::Normal, &["x"]));
    assert_eq!(desk.runs(), ["a"]);
    desk.ask(request("both", None, Class::Normal, &["x", "y"]));
    assert_eq!(desk.runs(), [""; 0]);
    assert_eq!(desk.ledger.held(&id("y")), 0, "nothing is held while something lacks");
    // Who needs less may pass, for a while.
    desk.ask(request("b", None, Class::Normal, &["y"]));
    assert_eq!(desk.runs(), ["b"]);
    desk.release("b");
    desk.pass(Span::secs(1800));
    desk.ask(request("c", None, Class::Normal, &["y"]));
    assert_eq!(desk.runs(), [""; 0], "now what it lacks is kept for who waited too long");
    let why = desk.ledger.why_waiting(&claim("c"), desk.now).unwrap();
    assert_eq!(why.blockages, [Blockage::Kept { limit: id("y") }]);
    assert_eq!(why.ahead, [claim("both")]);
    desk.release("a");
    assert_eq!(desk.runs(), ["both"]);
    desk.release("both");
    assert_eq!(desk.runs(), ["c"]);
}

/// Found by the simulator: what was kept for the one was needed by the other, who had what the one lacked.
#[test]
fn f35_nothing_is_kept_from_a_run_that_has_what_others_wait_for() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 1), Limit::new(id("region"), 1)]));
    let in_region = |run: &str, step: &str| {
        let mut request = request(run, None, Class::Normal, &["all"]);
        request.claim.step = id(step);
        request.wants[0].unit = unit(&request.claim);
        let (environment, region) = (id("production"), id("eu"));
        let unit = Unit::Region { environment, region, finale: false };
        request.wants.push(Want { unit, limits: vec![id("region")], quotas: vec![] });
        request
    };
    desk.ask(in_region("begun", "one"));
    assert_eq!(desk.runs(), ["begun"]);
    desk.ask(in_region("old", "one"));
    desk.pass(Span::secs(3600));
    desk.note(LedgerEvent::Released {
        run: id("begun"),
        units: vec![Unit::Step { step: id("one"), generation: 0 }],
        epoch: 1,
        why: "over".into(),
    });
    desk.ask(request("newer", None, Class::Normal, &["all"]));
    assert_eq!(desk.runs(), [""; 0], "it is kept for the old one");
    desk.ask(in_region("begun", "two"));
    assert_eq!(desk.runs(), ["begun"]);
}

/// Found by the simulator: what a fenced engine asked for was given to its run, whose new driver knew
/// nothing of it and waited for itself.
#[test]
fn f35_a_fenced_engine_gets_nothing_more() {
    let of = limits(vec![Limit::new(id("all"), 1)]);
    let mut desk = EngineDesk::new(Arc::new(of), "here".to_owned());
    let mut ledger = Ledger::new();
    desk.say(Said::Adopted { run: id("a"), epoch: 3 });
    let events = desk.decide(&mut ledger, START, &BTreeSet::new());
    assert!(matches!(&events[..], [_, LedgerEvent::Adopted { epoch: 3, .. }]), "{events:?}");
    assert_eq!(desk.durable(&ledger, START), (vec![], false));
    let late = request("a", None, Class::Normal, &["all"]);
    desk.ask(0, Request { epoch: 2, ..late.clone() }, START);
    assert_eq!(desk.decide(&mut ledger, START, &BTreeSet::new()), []);
    let (told, more) = desk.durable(&ledger, START);
    assert!(
        !more && told[0].waits.as_ref().unwrap()[0].text.contains("another engine"),
        "{told:?}"
    );
    assert_eq!(desk.durable(&ledger, START), (vec![], false));
    desk.ask(0, Request { epoch: 3, ..late }, START);
    assert_eq!(desk.decide(&mut ledger, START, &BTreeSet::new()).len(), 2);
    let (verdicts, more) = desk.durable(&ledger, START);
    assert_eq!((verdicts.len(), verdicts[0].waits.is_none(), more), (1, true, false));
}

#[test]
fn f35_what_is_lent_comes_back_with_the_next_permit() {
    let limit = Limit { shares: vec![share("pay", 2)], ..Limit::new(id("all"), 2) };
    let mut desk = Desk::new(limits(vec![limit]));
    let web = Some("web");
    ask_all(&mut desk, &[("w1", web, Class::Normal), ("w2", web, Class::Normal)]);
    assert_eq!(desk.runs(), ["w1", "w2"], "borrowed: pay has nothing to do");
    ask_all(
        &mut desk,
        &[
            ("w3", web, Class::Normal),
            ("p1", Some("pay"), Class::Normal),
            ("p2", Some("pay"), Class::Normal),
        ],
    );
    assert_eq!(desk.runs(), [""; 0], "what is under way is not stopped for it");
    desk.release("w1");
    assert_eq!(desk.runs(), ["p1"]);
    desk.release("w2");
    assert_eq!(desk.runs(), ["p2"]);
    desk.release("p1");
    assert_eq!(desk.runs(), ["w3"]);
}

#[test]
fn f35_what_is_not_lent_stays_free() {
    let limit = Limit { shares: vec![share("pay", 1)], lend: false, ..Limit::new(id("all"), 2) };
    let mut desk = Desk::new(limits(vec![limit]));
    let web = Some("web");
    ask_all(&mut desk, &[("w1", web, Class::Normal), ("w2", web, Class::Hotfix)]);
    assert_eq!(desk.runs(), ["w2"]);
    let why = desk.ledger.why_waiting(&claim("w1"), desk.now).unwrap();
    assert_eq!(why.blockages, [Blockage::Guaranteed { limit: id("all") }]);
    ask_all(&mut desk, &[("p1", Some("pay"), Class::Normal)]);
    assert_eq!(desk.runs(), ["p1"]);
}

#[test]
fn f35_why_waiting_names_holders_who_is_ahead_and_an_estimate() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 2)]));
    ask_all(&mut desk, &[("a", Some("web"), Class::Normal), ("b", None, Class::Normal)]);
    assert_eq!(desk.runs().len(), 2);
    ask_all(&mut desk, &[("c", None, Class::Normal), ("d", None, Class::Hotfix)]);
    assert!(desk.grant().is_empty());
    let why = desk.ledger.why_waiting(&claim("c"), desk.now).unwrap();
    assert_eq!(why.estimate, None, "no permit was given back yet");
    assert_eq!((why.since, why.ahead), (START, vec![claim("d")]));
    let [Blockage::Full { limit, capacity: 2, holders }] = &why.blockages[..] else {
        panic!("{:?}", why.blockages)
    };
    assert_eq!((limit, holders.len()), (&id::<LimitId>("all"), 2));
    assert_eq!((&holders[0].run, &holders[0].team), (&id("a"), &Some(id("web"))));
    desk.pass(Span::secs(600));
    desk.release("a");
    assert_eq!(desk.runs(), ["d"]);
    // Permits are held for 600 s, of which there are two: the next is free in 300 s.
    let why = desk.ledger.why_waiting(&claim("c"), desk.now).unwrap();
    assert_eq!(why.estimate, Some(desk.now.plus(Span::secs(300))));
    let reasons: Vec<_> = why.reasons().iter().map(ToString::to_string).collect();
    assert_eq!(
        reasons,
        ["limit/all: 2 of 2 permits are held by step `go` of run `b`, step `go` of run `d` \
          (lifted by a permit that is given back)"]
    );
    assert_eq!(desk.ledger.why_waiting(&claim("b"), desk.now), None, "it does not wait");
    let usage = desk.ledger.usage(desk.now);
    assert_eq!((usage[0].used, usage[0].of, usage[0].waiting), (2, 2, 1));
}

#[test]
fn f35_a_quota_holds_in_its_window_and_says_when_it_renews() {
    // START is Monday 2026-11-23 at 14:00.
    let midnight = |days: u64| Some(START.plus(Span::secs(10 * 3600 + days * 86_400)));
    for (window, until) in [
        (Window::Day, midnight(0)),
        (Window::Week, midnight(6)),
        (Window::Rolling(Span::secs(3600)), Some(START.plus(Span::secs(3600)))),
    ] {
        let mut desk = Desk::new(quota(2, window));
        for run in ["a", "b", "c"] {
            desk.ask(uses(run));
        }
        assert_eq!(desk.runs(), ["a", "b"]);
        desk.release("a");
        assert_eq!(desk.runs(), [""; 0], "{window:?}: what was used is not given back");
        let why = desk.ledger.why_waiting(&claim("c"), desk.now).unwrap();
        assert_eq!(why.estimate, until, "{window:?}");
        let until = until.unwrap();
        desk.now = Timestamp::from_micros(until.as_micros() - 1);
        assert_eq!(desk.runs(), [""; 0], "{window:?}");
        desk.now = until;
        assert_eq!(desk.runs(), ["c"], "{window:?}");
    }
}

#[test]
fn f35_what_is_begun_once_is_charged_once_and_a_rollback_never() {
    let mut desk = Desk::new(quota(1, Window::Week));
    desk.ask(uses("a"));
    assert_eq!(desk.runs(), ["a"]);
    desk.release("a");
    desk.ask(uses("a"));
    assert_eq!(desk.runs(), ["a"], "the same unit of the same run goes on");
    desk.ask(uses("b"));
    assert_eq!(desk.runs(), [""; 0]);
    let limits = quota(1, Window::Week);
    let (step, provider) = (change("s"), None);
    let subject = |rollback| Subject { step: &step, provider, generation: 0, rollback };
    assert_eq!(limits.wants(&subject(false)).len(), 1);
    assert_eq!(limits.wants(&subject(true)), []);
}

#[test]
fn f35_forecasts_follow_the_rate_since_the_window_began() {
    let mut desk = Desk::new(quota(10, Window::Rolling(Span::secs(7 * 86_400))));
    let forecast = |desk: &Desk| desk.ledger.forecast(&id("week"), desk.now);
    assert_eq!(forecast(&desk), None, "nothing was used");
    let day = Span::secs(86_400);
    for nth in 0..4 {
        desk.ask(uses(&format!("r{nth}")));
        assert_eq!(desk.grant().len(), 1);
        desk.pass(if nth == 3 { day } else { Span::ZERO });
    }
    // Four in a day: ten in two and a half.
    assert_eq!(forecast(&desk), Some(START.plus(Span::secs(86_400 * 5 / 2))));
    desk.pass(day);
    desk.pass(day);
    assert_eq!(forecast(&desk), None, "four in three days are less than ten in seven");
    (4..10).for_each(|nth| desk.ask(uses(&format!("r{nth}"))));
    assert_eq!(desk.grant().len(), 6);
    assert_eq!(forecast(&desk), Some(desk.now), "used up");
}

#[test]
fn f35_what_another_engine_found_is_an_offer_that_lapses() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 1)]));
    let far = Request { engine: "there".into(), ..request("a", None, Class::Normal, &["all"]) };
    let wants = far.wants.clone();
    let standing = |desk: &Desk| desk.ledger.standing(&claim("a"), &wants);
    assert_eq!(standing(&desk), Standing::Unknown);
    desk.ask(far.clone());
    assert_eq!(standing(&desk), Standing::Waiting);
    assert_eq!(desk.runs(), ["a"]);
    assert_eq!(standing(&desk), Standing::Offered);
    desk.ask(request("b", None, Class::Normal, &["all"]));
    desk.pass(Span::secs(59));
    assert!(desk.grant().is_empty());
    desk.pass(Span::secs(1));
    assert_eq!(desk.runs(), ["b"], "an engine that is gone keeps nobody waiting");
    assert_eq!(standing(&desk), Standing::Unknown);
    let late = desk.ledger.evolve(desk.now, &LedgerEvent::Taken { claim: claim("a") });
    assert_eq!(late, Err(IllegalEntry::NotOffered(claim("a"))));
    // One that comes in time is as good as any.
    desk.release("b");
    desk.ask(far);
    assert_eq!(desk.runs(), ["a"]);
    desk.note(LedgerEvent::Taken { claim: claim("a") });
    desk.pass(Span::secs(3600));
    assert!(desk.grant().is_empty());
    assert_eq!(standing(&desk), Standing::Granted);
}

#[test]
fn f35_a_fenced_engine_gives_nothing_back_that_is_not_its_own() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 1)]));
    desk.ask(request("a", None, Class::Normal, &["all"]));
    assert_eq!(desk.runs(), ["a"]);
    desk.note(LedgerEvent::Adopted { run: id("a"), epoch: 2, engine: "there".into() });
    desk.release("a"); // by the writer of epoch 1
    assert_eq!(desk.ledger.held(&id("all")), 1);
    desk.ask(Request { epoch: 2, ..request("b", None, Class::Normal, &["all"]) });
    desk.ask(request("b", None, Class::Normal, &[]));
    desk.note(LedgerEvent::Withdrawn { claim: claim("b"), epoch: 1 });
    assert_eq!(desk.ledger.queue().next().map(|request| request.epoch), Some(2));
    let (by, reason) = (person("ann"), "the host burnt down".to_owned());
    desk.note(LedgerEvent::ForceReleased { run: id("a"), by, reason });
    assert_eq!(desk.runs(), ["b"]);
}

#[test]
fn f35_the_ledger_refuses_what_cannot_be() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 1)]));
    let grant = |run| LedgerEvent::Granted { claim: claim(run), by: ENGINE.into() };
    let refused = desk.ledger.evolve(desk.now, &grant("a"));
    assert_eq!(refused, Err(IllegalEntry::NotRequested(claim("a"))));
    ask_all(&mut desk, &[("a", None, Class::Normal), ("b", None, Class::Normal)]);
    assert_eq!(desk.runs(), ["a"]);
    let before = desk.ledger.clone();
    let refused = desk.ledger.evolve(desk.now, &grant("b"));
    let limit = id("all");
    assert_eq!(refused, Err(IllegalEntry::Exceeded { claim: claim("b"), limit }));
    let again = LedgerEvent::Opened { carried: None };
    assert_eq!(desk.ledger.evolve(desk.now, &again), Err(IllegalEntry::Misplaced("opened")));
    assert_eq!(desk.ledger, before);
}

#[test]
fn f35_lower_limits_take_nothing_away_and_hold_for_what_comes() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 3)]));
    ask_all(&mut desk, &["a", "b", "c", "d"].map(|run| (run, None, Class::Normal)));
    assert_eq!(desk.runs().len(), 3);
    desk.note(LedgerEvent::Configured { limits: limits(vec![Limit::new(id("all"), 1)]) });
    for run in ["a", "b"] {
        desk.release(run);
        assert_eq!(desk.runs(), [""; 0]);
    }
    desk.release("c");
    assert_eq!(desk.runs(), ["d"]);
    // A limit that is no more holds nobody.
    ask_all(&mut desk, &[("e", None, Class::Normal)]);
    desk.note(LedgerEvent::Configured { limits: Limits::default() });
    assert_eq!(desk.runs(), ["e"]);
}

#[test]
fn f35_a_unit_of_several_steps_is_had_by_all_of_them() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("regions"), 1)]));
    let eu = Unit::Region { environment: id("prod"), region: id("eu"), finale: false };
    let mut ask = |run: &str, step: &str| {
        let mut request = request(run, None, Class::Normal, &[]);
        request.claim.step = id(step);
        request.wants =
            vec![Want { unit: eu.clone(), limits: vec![id("regions")], quotas: vec![] }];
        desk.ask(request);
        desk.runs()
    };
    assert_eq!(ask("a", "one"), ["a"]);
    assert_eq!(ask("b", "one"), [""; 0], "the same region of another run is another unit");
    assert_eq!(ask("a", "two"), ["a"], "the run has the region already");
    assert_eq!(desk.ledger.held(&id("regions")), 1);
}

/// Takes the last grant back, and asks the ledger as it was.
#[test]
fn f35_deciding_twice_decides_the_same() {
    let mut desk = Desk::new(limits(vec![Limit::new(id("all"), 2)]));
    ask_all(&mut desk, &["a", "b", "c"].map(|run| (run, None, Class::Normal)));
    let mut copy = desk.ledger.clone();
    let first = grants(&mut copy, desk.now, ENGINE);
    assert_eq!(grants(&mut desk.ledger, desk.now, ENGINE), first);
    assert_eq!(grants(&mut copy, desk.now, ENGINE), []);
}

fn in_place(region: &str, team: &str, semaphore: &str) -> Step {
    let mut place = Place::new(id("prod"));
    (place.region, place.team) = (Some(id(region)), Some(id(team)));
    place.semaphores = vec![id(semaphore)];
    change("s").scope(StepScope::of(place))
}

#[test]
fn f35_limits_concern_the_steps_in_their_scope() {
    let in_scope = |name: &str, scope: Scope| Limit { scope, ..Limit::new(id(name), 1) };
    let limits = limits(vec![
        Limit::new(id("global"), 9),
        in_scope("prod", Scope { environment: Some(id("prod")), ..Scope::default() }),
        in_scope("eu", Scope { region: Some(id("eu")), ..Scope::default() }),
        in_scope("pay", Scope { team: Some(id("pay")), ..Scope::default() }),
        in_scope("k8s", Scope { provider: Some("k8s".into()), ..Scope::default() }),
        in_scope("db", Scope { semaphore: Some(id("db")), ..Scope::default() }),
        Limit { per: Per::Run, ..in_scope("runs", Scope::default()) },
        Limit { per: Per::Region, ..in_scope("regions", Scope::default()) },
    ]);
    let wants = |step: &Step, provider| {
        let subject = Subject { step, provider, generation: 2, rollback: false };
        let wants = limits.wants(&subject).into_iter();
        wants
            .map(|w| (w.unit.to_string(), w.limits.iter().map(ToString::to_string).collect()))
            .collect::<Vec<(String, Vec<String>)>>()
    };
    let all = wants(&in_place("eu", "pay", "db"), Some("k8s"));
    assert_eq!(all[0].1, ["global", "prod", "eu", "pay", "k8s", "db"]);
    assert_eq!(all[1], ("the whole run".to_owned(), vec!["runs".to_owned()]));
    assert_eq!(all[2], ("region prod/eu".to_owned(), vec!["regions".to_owned()]));
    let other = wants(&in_place("us", "web", "cache"), Some("vm"));
    assert_eq!(other[0].1, ["global", "prod"]);
    let anywhere = wants(&change("s"), None);
    assert_eq!(anywhere.iter().map(|w| w.1.len()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn f35_limits_that_cannot_be_say_why() {
    let text = r#"{"limits": [
        {"id": "a", "capacity": 0},
        {"id": "a", "capacity": 1, "shares": [{"team": "t", "weight": 0, "guaranteed": 2}]},
        {"id": "b", "capacity": 1, "per": "region", "scope": {"team": "t"}},
        {"id": "c", "capacity": 1, "per": "run", "scope": {"region": "eu"}},
        {"id": "e", "capacity": 1, "shares": [{"team": "t", "guaranteed": 1}], "lend": false}
      ], "quotas": [{"id": "d", "amount": 0, "window": {"rolling": "0s"}}]}"#;
    let error = serde_json::from_str::<Limits>(text).unwrap_err().to_string();
    for part in [
        "limit `a` has no capacity, so that nothing would ever start; give it at least 1",
        "limit `a` is there twice; rename one",
        "limit `a` guarantees more than its capacity",
        "limit `a` has a share of weight 0",
        "limit `b` counts regions, but not all of their steps; name only places, or count steps",
        "limit `c` counts runs, but not all of their steps",
        "limit `d` has no amount",
        "limit `e` guarantees all and lends none: other teams would never start; lend, or keep some",
        "limit `d` is counted over no time",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(serde_json::from_str::<Limits>(r#"{"limit": []}"#).is_err());
    let good = r#"{"limits": [{"id": "a", "capacity": 2}], "patience": "5m"}"#;
    let good: Limits = serde_json::from_str(good).unwrap();
    assert_eq!(good.patience(), Span::secs(300));
    let stored = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<Limits>(&stored).unwrap(), good);
    assert_eq!(unit(&claim("r")).to_string(), "step `go`");
}
