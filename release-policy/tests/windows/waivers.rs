//! Leave from windows: whose, where, how long, and by whose grace.

use release_core::model::{Principal, PrincipalId, RunId, Span};
use release_core::plan::{Action, Place, Step, StepScope};
use release_core::port::{Admission, CommandRequest, Policy};
use release_core::run::Command;
use release_policy::window::{
    ActionClass, Query, Scope, Waiver, WaiverProblem, WaiverSpec, WindowRules, WindowSpec, Windows,
    WindowsError,
};

use super::support::{ann, at, between, deployment, march, may_deploy, name, place, robot};

pub(crate) fn waiver() -> WaiverSpec {
    WaiverSpec {
        id: name("hotfix"),
        window: name("f"),
        principals: [name("ann")].into(),
        scope: Scope::default(),
        actions: [].into(),
        run: None,
        from: at("2026-03-05T10:00"),
        until: at("2026-03-05T12:00"),
        granted_by: name("eve"),
        reason: "INC-7".to_owned(),
    }
}

pub(crate) fn waived(specs: impl IntoIterator<Item = WindowSpec>, waiver: WaiverSpec) -> Windows {
    let windows = specs.into_iter().map(|spec| spec.build().unwrap()).collect();
    let waivers = vec![Waiver::try_from(waiver).unwrap()];
    WindowRules { windows, waivers, ..WindowRules::default() }.try_into().unwrap()
}

#[test]
fn a_waiver_is_personal_expires_and_lifts_nothing_but_its_window() {
    let windows = waived([march("f")], waiver());
    let admin = Principal::human(name("root")).with_role(name("admin"));
    for (who, text, want) in [
        (&ann(), "2026-03-05T09:59", false),
        (&ann(), "2026-03-05T10:00", true),
        (&ann(), "2026-03-05T11:59", true),
        (&ann(), "2026-03-05T12:00", false),
        (&robot(), "2026-03-05T11:00", false),
        (&admin, "2026-03-05T11:00", false), // nobody is let through for being somebody
    ] {
        assert_eq!(may_deploy(&windows, who, text), want, "{who} at {text}");
    }
    let ann = ann();
    let query = Query::new(ActionClass::Deploy, &ann, at("2026-03-05T09:00"));
    assert_eq!(windows.next_open(&query), Ok(at("2026-03-05T10:00")));
    assert_eq!(windows.next_close(&query.at(at("2026-03-05T10:30"))), Some(at("2026-03-05T12:00")));
    assert!(windows.is_open(&query.at(at("2026-03-05T10:30")).lasting(Span::secs(5_400))));
    assert!(!windows.is_open(&query.at(at("2026-03-05T10:31")).lasting(Span::secs(5_400))));
    let two = waived([march("f"), march("g")], waiver());
    assert!(!may_deploy(&two, &ann, "2026-03-05T11:00"), "the other one holds");
    let closed = deployment("f", between("2026-03-07T00:00", "2026-03-08T00:00"));
    let opened = waived([closed], waiver());
    assert!(may_deploy(&opened, &ann, "2026-03-05T11:00"), "leave from a closed deployment window");
    assert_eq!(opened.next_open(&query.at(at("2026-03-05T12:00"))), Ok(at("2026-03-07T00:00")));
}

#[test]
fn a_waiver_is_for_its_run_its_place_and_its_actions() {
    let (ann, run): (_, RunId) = (ann(), name("r-1"));
    let (eu, wide) = (place("production", Some("eu")), place("production", None));
    let scope = Scope { regions: [name("eu")].into(), ..Scope::default() };
    let narrow = WaiverSpec {
        run: Some(run.clone()),
        scope,
        actions: [ActionClass::Deploy].into(),
        ..waiver()
    };
    let windows = waived([march("f")], narrow);
    let ask = |class| Query::new(class, &ann, at("2026-03-05T11:00"));
    assert!(windows.is_open(&ask(ActionClass::Deploy).run(&run).place(&eu)));
    assert!(!windows.is_open(&ask(ActionClass::Advance).run(&run).place(&eu)));
    assert!(!windows.is_open(&ask(ActionClass::Deploy).place(&eu)), "another run, or none");
    assert!(
        !windows.is_open(&ask(ActionClass::Deploy).run(&run).place(&wide)),
        "more than its place"
    );
}

#[test]
fn waivers_that_nobody_may_have_are_refused() {
    let refused = |spec: WaiverSpec| Waiver::try_from(spec).unwrap_err().problem;
    assert_eq!(refused(WaiverSpec { principals: [].into(), ..waiver() }), WaiverProblem::Nobody);
    let own = refused(WaiverSpec { granted_by: name("ann"), ..waiver() });
    assert_eq!(own, WaiverProblem::SelfGranted(name("ann")));
    assert_eq!(refused(WaiverSpec { reason: " ".into(), ..waiver() }), WaiverProblem::NoReason);
    let empty = refused(WaiverSpec { until: waiver().from, ..waiver() });
    assert!(matches!(empty, WaiverProblem::Empty { .. }), "{empty}");
    let long = refused(WaiverSpec { until: at("2026-04-05T00:00"), ..waiver() });
    assert!(matches!(long, WaiverProblem::TooLong(_)), "{long}");
    let unknown = WaiverSpec { window: name("g"), ..waiver() };
    let rules =
        WindowRules { waivers: vec![unknown.try_into().unwrap()], ..WindowRules::default() };
    let WindowsError::Waiver(unknown) = Windows::try_from(rules).unwrap_err() else { panic!() };
    assert_eq!(unknown.to_string(), "waiver `hotfix`: there is no window `g`; mend the name");
}

/// Whoever grants a waiver to another account of theirs has none, once somebody knows who is who.
#[test]
fn f24_a_waiver_of_ones_own_second_account_is_none() {
    let windows = waived(
        [march("f").actions([ActionClass::Deploy, ActionClass::Cancel])],
        WaiverSpec {
            principals: [name("ann"), name("bob")].into(),
            granted_by: name("ann-2"),
            ..waiver()
        },
    );
    let person = |account: &PrincipalId| account.as_str().trim_end_matches("-2").to_owned();
    let linked = |one: &PrincipalId, two: &PrincipalId| person(one) == person(two);
    let (run, now) = (name("r"), at("2026-03-05T11:00"));
    let mut step = Step::new(name("s"), Action::Sync);
    step.scope = StepScope::of(Place::new(name("production")));
    for (who, leave) in [("ann", false), ("bob", true)] {
        let who = Principal::human(name(who));
        let step = Admission::new(&run, &who, &step, now);
        assert_eq!(windows.admit_knowing(&step, &linked).is_permit(), leave, "{who:?}");
        assert!(windows.admit(&step).is_permit(), "as far as windows know, ann-2 is somebody else");
        let cancel = CommandRequest::new(&run, &who, &who, &Command::Cancel, now);
        assert_eq!(windows.authorize_knowing(&cancel, &linked).is_permit(), leave, "{who:?}");
        let query = Query::new(ActionClass::Deploy, &who, now).knowing(&linked);
        assert_eq!(windows.is_open(&query), leave, "{who:?}");
        let opens = if leave { now } else { at("2026-04-01T00:00") };
        assert_eq!(windows.next_open(&query), Ok(opens), "{who:?}");
    }
}
