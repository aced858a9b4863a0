//! Bakes that people end before their time: what was to follow follows, and nothing is left out.

use release_core::model::{BlueGreen, Canary, CanaryStep, Span, Strategy};
use release_core::plan::{Action, Step, plan};
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Command, Event, Outcome, Rejected, Status};

use super::strategies::step;
use super::support::drive::{End, Run};
use super::support::engines::{command, events, start};
use super::support::samples::{builder, chain, change, id, one_service};
use super::support::words::started;
use super::support::world::{Act, World, memory};

const HOUR: Span = Span::secs(3600);
const BAKE: &str = "prod/eu/api/weight-50/bake";

fn end(step: &str) -> Command {
    Command::EndBake { step: id(step) }
}

fn half() -> Strategy {
    let half = CanaryStep { bake: HOUR, ..step(50) };
    Strategy::Canary(Canary { keep_new_after_abort: HOUR.into(), ..Canary::new(vec![half]) })
}

/// Everything ends well until `bake` has begun.
#[track_caller]
fn baking(mut run: Run, bake: &str) -> Run {
    for _ in 0..100 {
        if run.status(bake) == Status::Waiting {
            return run;
        }
        let Some(step) = run.effects.keys().next().copied() else { break };
        run.outcome(step, End::Good);
    }
    panic!("`{bake}` is {:?}", run.status(bake));
}

fn canary() -> Run {
    baking(Run::start(&plan(&one_service(half())).unwrap().freeze()), BAKE)
}

#[test]
fn what_follows_follows_at_once_and_is_judged_all_the_same() {
    let mut run = canary();
    run.pass(Span::secs(60));
    let now = run.now;
    let told = run.command(end(BAKE), "bob").unwrap();
    let names: Vec<_> = told.iter().map(Event::name).collect();
    assert_eq!(names[..2], ["bake_ended", "step_succeeded"]);
    let Event::BakeEnded { step, by, reason } = &told[0] else { panic!("{told:?}") };
    assert_eq!((step.id.as_str(), by.id.as_str(), reason.as_str()), (BAKE, "bob", "because"));
    assert_eq!(run.now, now);
    assert_eq!(run.status("prod/eu/api/weight-50/errors"), Status::Running);
    assert_eq!(run.heal(100), Outcome::Succeeded);
    assert!(run.now < now.plus(HOUR), "nobody waited");
}

/// A preview that switches by itself after an hour, as with `autoPromotionSeconds`.
#[test]
fn people_switch_sooner_than_the_preview_would_by_itself() {
    let spec = BlueGreen { preview: HOUR, ..BlueGreen::default() };
    let plan = plan(&one_service(Strategy::BlueGreen(spec))).unwrap().freeze();
    let mut run = baking(Run::start(&plan), "prod/eu/api/preview/bake");
    let begun = run.now;
    run.command(end("prod/eu/api/preview/bake"), "bob").unwrap();
    // That it is still ready, and the traffic where it was, is looked at as if time had passed.
    assert_eq!(run.heal(100), Outcome::Succeeded);
    assert!(run.now < begun.plus(HOUR));
    assert!(started(&run).contains(&"prod/eu/api/switch 1".to_owned()), "{:?}", started(&run));
    // Nobody did: it switches when it is time.
    let mut alone = baking(Run::start(&plan), "prod/eu/api/preview/bake");
    assert_eq!(alone.heal(100), Outcome::Succeeded);
    assert!(alone.now >= begun.plus(HOUR));
}

#[test]
fn only_what_bakes_can_be_ended_and_only_once() {
    let mut run = canary();
    let refused = |run: &mut Run, step: &str| run.command(end(step), "bob").unwrap_err();
    assert!(matches!(refused(&mut run, "prod/eu/api/nobody"), Rejected::UnknownStep { .. }));
    for step in ["prod/eu/api/weight-50", "prod/eu/api/promote"] {
        let error = refused(&mut run, step);
        assert!(matches!(&error, Rejected::WrongState { command: "end_bake", .. }), "{error}");
    }
    run.command(end(BAKE), "bob").unwrap();
    let error = refused(&mut run, BAKE);
    assert!(error.to_string().contains("`end_bake` needs a step that waits for it"), "{error}");
}

#[test]
fn while_the_run_is_paused_the_bake_ends_and_nothing_else_begins() {
    let mut run = canary();
    run.command(Command::Pause, "bob").unwrap();
    run.command(end(BAKE), "bob").unwrap();
    assert_eq!(run.status(BAKE), Status::Succeeded);
    assert!(run.effects.is_empty(), "{:?}", run.effects);
    run.command(Command::Resume, "bob").unwrap();
    assert_eq!(run.heal(100), Outcome::Succeeded);
}

/// A run that stops does not wait for its bakes.
#[test]
fn a_run_that_stops_has_no_bake_that_could_be_ended() {
    let mut plan = builder();
    let bake = |name: &str| Step::new(id(name), Action::Bake { duration: HOUR });
    plan.step(bake("bake"));
    plan.step(change("slow"));
    let mut run = Run::start(&plan.build().unwrap().freeze());
    run.command(Command::Cancel, "bob").unwrap();
    let error = run.command(end("bake"), "bob").unwrap_err();
    assert!(matches!(error, Rejected::WrongPhase { command: "end_bake", .. }), "{error}");
}

/// What was taken back is kept for an hour, unless somebody has seen enough.
#[test]
fn a_version_that_is_kept_goes_sooner_if_people_say_so() {
    let mut run = canary();
    run.command(Command::Cancel, "bob").unwrap();
    let kept = "rollback/prod/eu/api/start/bake";
    let mut run = baking(run, kept);
    let begun = run.now;
    run.command(end(kept), "bob").unwrap();
    let outcome = run.heal(100);
    assert!(
        matches!(outcome, Outcome::Cancelled { .. } | Outcome::RolledBack { .. }),
        "{outcome:?}"
    );
    assert!(run.now < begun.plus(HOUR));
}

/// Bakes end when it is time.
#[derive(Debug)]
struct Patient;

impl Policy for Patient {
    fn admit(&self, _: &Admission<'_>) -> Decision {
        Decision::permit()
    }
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        match request.command {
            Command::EndBake { .. } => {
                let why = "a bake lasts as long as was agreed";
                Decision::deny(vec![Reason::new("soak", why, "waiting")])
            }
            _ => Decision::permit(),
        }
    }
}

#[test]
fn a_policy_may_keep_people_from_it() {
    let plan = plan(&one_service(half())).unwrap().freeze();
    let mut run = baking(Run::start_with(&plan, Box::new(Patient), 1_000), BAKE);
    let told = run.command(end(BAKE), "bob").unwrap();
    assert!(
        matches!(&told[..], [Event::CommandDenied { command, .. }] if command == "end_bake"),
        "{told:?}"
    );
    assert_eq!(run.status(BAKE), Status::Waiting);
}

#[tokio::test(start_paused = true)]
async fn an_engine_goes_on_as_soon_as_it_is_told() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let bake = Step::new(id("bake"), Action::Bake { duration: HOUR });
    let handle = start(&journal, &world, chain(vec![change("a"), bake, change("b")])).await;
    let mut seen = handle.events(0);
    let begun = loop {
        let recorded = seen.next().await.unwrap().expect("the bake begins");
        if matches!(&recorded.event, Event::StepStarted { step, .. } if step.id.as_str() == "bake")
        {
            break recorded.at;
        }
    };
    handle.send(command(end("bake"), "bob")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let mut ended = None;
    while let Some(recorded) = seen.next().await.unwrap() {
        if matches!(recorded.event, Event::RunFinished { .. }) {
            ended = Some(recorded.at);
        }
    }
    assert!(ended.is_some_and(|at| at < begun.plus(HOUR)), "{begun} to {ended:?}");
    let all = events(&journal).await;
    assert!(all.iter().any(|event| event.name() == "bake_ended"), "{all:?}");
    assert!(world.performed().iter().any(|step| step.starts_with('b')), "{:?}", world.performed());
}
