//! Scenarios as text.

use release_core::model::Span;
use release_testkit::fixtures::Shop;
use release_testkit::sim::{Script, Sim, SimReport, days, invariants};

#[track_caller]
fn play(shop: &Shop, script: &str) -> SimReport {
    let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
    let sim = Sim::new(5).definition(&shop.definition()).unwrap();
    sim.run_for(days(1)).check(invariants::all()).script(&script).report()
}

#[track_caller]
fn green(shop: &Shop, script: &str) {
    let report = play(shop, script);
    assert!(report.is_green(), "{report}");
}

/// One claim of a script is wrong, and it is named.
#[track_caller]
fn denied(shop: &Shop, script: &str, why: &str) {
    let report = play(shop, script);
    let told: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{report}");
    assert!(told[0].contains(why), "{report}");
}

fn shop() -> Shop {
    Shop::new().regions(["eu"]).bake(Span::secs(60))
}

#[test]
fn a_freeze_of_a_script_holds_what_it_is_of() {
    let freeze = "
        # staging first, and then nothing for two hours
        at day 1 09:00: freeze production for 2h
        then by day 1 11:00: staging/eu succeeded
        then by day 1 10:59: production/eu never started
        then by day 2: run succeeded
    ";
    green(&shop(), freeze);
    denied(&shop(), "then by day 1 10:59: production/eu never started", "it did at 2026-01-05");
    green(
        &shop().regions(["eu", "us"]),
        "at 0s: freeze production/us for 2h\nthen by day 1 10:59: production/eu started\nthen by day 1 10:59: production/us never started",
    );
}

#[test]
fn what_nobody_answers_waits_until_the_script_does() {
    let shop = shop().approvals(1);
    let waits = "given nobody answers\nthen by day 1 20:00: run is not over";
    green(&shop, waits);
    let approved = "
        given nobody answers
        when production blocks: approve production/cab
        then by day 1 12:00: run succeeded
    ";
    green(&shop, approved);
    let rejected = "
        given nobody answers
        at 1h: reject production/cab
        then by 59m: run is not over
        then by 2h: run failed
    ";
    green(&shop, rejected);
    let abandoned = "
        given nobody answers
        at 3h: abandon
        then by 2h: run is not over
        then run abandoned
    ";
    green(&shop, abandoned);
}

#[test]
fn faults_and_commands_of_a_script_strike() {
    let script = "
        given faults: provider: transient 20%
        when production/eu/web/weight-25 starts: crash engine
        when production/eu/web/weight-25 succeeds: cancel of run 1
        then run rolled back
        then production/eu/web/promote never started
    ";
    let shop = shop().weights([25]);
    let report = play(&shop, script);
    assert!(report.is_green(), "{report}");
    assert!(report.coverage.count("run going forward", "crash") > 0, "{report}");
    assert!(report.coverage.count("step performing", "transient") > 0, "{report}");
}

/// A claim about what is not there, or a deed to nobody, would be green whatever happened.
#[test]
fn a_script_that_names_what_is_not_there_fails_and_tells_what_is() {
    let shop = shop().approvals(1);
    let check = |script: &str, why: &str| denied(&shop, script, why);
    check(
        "then prodction/eu/catalog/start never started",
        "there is no step `prodction/eu/catalog/start`; there is `production/",
    );
    check("then production/eu/catalog/stat never failed", "there is no step");
    check("when prodction blocks: pause", "there is no step `prodction`");
    check(
        "at day 1 09:01: freeze prodction for 2h\nthen run succeeded",
        "there is no place `prodction`; there is `production`, `production/eu`, `staging`",
    );
    check("at 1m: freeze production/us for 2h", "there is no place `production/us`");
    check("at 1m: cancel of run 9\nthen run succeeded", "there is no run 9; there are 1");
    check(
        "at 1m: approve production/cub\nthen run succeeded",
        "there is no gate `production/cub`; there is `production/cab`",
    );
    check("when production blocks: reject production/cub", "there is no gate `production/cub`");
    check("at 1m: retry production/eu/web", "there is no step `production/eu/web`");
    // What puts something back has a name also where nothing had to be put back.
    green(&shop, "then rollback never started\nthen rollback/production/eu/web never started");
}

#[test]
fn a_deed_that_is_refused_or_comes_too_late_fails() {
    denied(
        &shop(),
        "at 1m: cancel\nat 2m: retry production/eu/web/start\nthen run is over",
        "`retry production/eu/web/start of run 1`",
    );
    denied(&shop(), "at 20h: pause\nthen run succeeded", "`pause of run 1`: the run was over");
    denied(
        &shop().approvals(1),
        "given nobody answers\nat 1m: approve production/cab\nat 2h: crash engine\nat 3h: abandon",
        "`force_abandon of run 1`: the run was over",
    );
}

#[test]
fn errors_name_the_line_and_what_could_stand_there() {
    #[track_caller]
    fn check(text: &str, line: usize, found: &str, help: &str) {
        let error = Script::parse(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.problem.contains(found), "{error}");
        assert!(error.help.contains(help), "{error}");
    }
    check("\n# x\nsometimes: pause", 3, "`sometimes:`", "`given`");
    check("given somebody", 1, "`somebody`", "`nobody answers`");
    check("given faults: crash engin 2%", 1, "`engin`", "`engine`");
    check("at noon: pause", 1, "`noon`", "`day 3 10:00`");
    check("at day 0: pause", 1, "`day 0`", "`90m`");
    check("at day 1 25:00: pause", 1, "`day 1 25:00`", "`day 3 10:00`");
    check("at day 1 pause", 1, "`day 1 pause`", "`: `");
    check("at 1h: freeze production", 1, "`production`", "for 2h");
    check("at 1h: freeze Produc!on for 2h", 1, "`Produc!on`", "an environment");
    check("at 1h: pause the run", 1, "`the run`", "`of run 2`");
    check("at 1h: pause of run 0", 1, "`0`", "from 1");
    check("at 1h: explode", 1, "`explode`", "`cancel`");
    check("when a explodes: pause", 1, "`explodes`", "`fails`");
    check("then run was fun", 1, "`was fun`", "`rolled back`");
    check("then a/b vanished", 1, "`vanished`", "`never`");
    check("then", 1, "too early", "`never`");
}
