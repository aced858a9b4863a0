//! What is said of a run is kept in its journal, and policies can go by it.

use release_core::model::{Principal, TopicId};
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Command, Event, Fact, MAX_NOTES, Rejected, RunState};
use serde_json::{Value, json};

use super::support::drive::{End, Run};
use super::support::samples::{chain, change, id, person};

fn note(topic: &str, content: Value) -> Command {
    Command::Note { topic: id::<TopicId>(topic), content }
}

/// Nothing starts before somebody vouched for it; whoever is called mallory says nothing.
#[derive(Debug)]
struct Vouched;

impl Policy for Vouched {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let vouched = request.at.is_some_and(|(state, _)| {
            state.notes().iter().any(|note| note.topic.as_str() == "vouched")
        });
        let reason = || Reason::new("vouched", "nobody vouched for it", "anybody who does");
        if vouched { Decision::permit() } else { Decision::wait(None, vec![reason()]) }
    }
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let who = &request.by.id;
        if who.as_str() != "mallory" {
            return Decision::permit();
        }
        Decision::deny(vec![Reason::new("voices", format!("{who} has no say"), "nobody")])
    }
}

#[test]
fn a_note_is_kept_with_who_said_it_and_policies_can_go_by_it() {
    let mut run = Run::start_with(&chain(vec![change("a")]), Box::new(Vouched), 100);
    assert_eq!(run.state.in_flight(), 0);
    let denied = run.command(note("vouched", json!("for sure")), "mallory").unwrap();
    assert!(matches!(&denied[..], [Event::CommandDenied { command, .. }] if command == "note"));
    assert!(run.state.notes().is_empty());
    run.command(note("vouched", json!({ "by": ["tests", 7] })), "ada").unwrap();
    let [kept] = run.state.notes() else { panic!("{:?}", run.state.notes()) };
    assert_eq!((kept.topic.as_str(), &kept.by), ("vouched", &person("ada")));
    assert_eq!((&kept.content, kept.at), (&json!({ "by": ["tests", 7] }), run.now));
    run.input(&release_core::run::Input::Reconsider).unwrap();
    assert_eq!(run.state.in_flight(), 1, "the policy was asked again");
    run.end("a", End::Good);
    assert!(run.state.outcome().is_some());
}

#[test]
fn notes_are_part_of_the_state_and_of_its_digest() {
    let plan = chain(vec![change("a")]);
    let mut run = Run::start(&plan);
    run.command(note("finding", json!("one")), "ada").unwrap();
    let (one, facts) = (run.state.digest(), run.facts.clone());
    assert_eq!(one, run.state.digest_recounted());
    let replayed = |facts: &[Fact]| RunState::replay(run.state.run().clone(), plan.clone(), facts);
    let again = replayed(&facts).unwrap();
    assert_eq!((again.notes(), again.digest()), (run.state.notes(), one));
    let other = |content: Value, by: Principal| {
        let mut facts = facts.clone();
        for fact in &mut facts {
            if let Event::Noted { content: kept, by: who, .. } = &mut fact.event {
                (*kept, *who) = (content.clone(), by.clone());
            }
        }
        replayed(&facts).unwrap().digest()
    };
    assert_ne!(other(json!("two"), person("ada")), one);
    assert_ne!(other(json!("one"), person("bob")), one);
    assert_eq!(other(json!("one"), person("ada")), one);
}

#[test]
fn what_is_too_much_is_not_kept() {
    let mut run = Run::start(&chain(vec![change("a")]));
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    for (content, why) in [(json!("x".repeat(70_000)), "larger"), (deep, "deep")] {
        let refused = run.command(note("finding", content), "ada").unwrap_err();
        assert!(matches!(&refused, Rejected::BadNote { .. }), "{refused}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    for _ in 0..MAX_NOTES {
        run.command(note("finding", json!(1)), "ada").unwrap();
    }
    let refused = run.command(note("finding", json!(1)), "ada").unwrap_err();
    assert_eq!(refused, Rejected::TooManyNotes { limit: MAX_NOTES });
}
