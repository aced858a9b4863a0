//! Plans and rollbacks for people: drawings that nothing breaks out of, and differences.

use release_core::model::{RollbackScope, Strategy};
use release_core::plan::{Action, EdgeKind, Reach, Step, Touched, Undo, plan, rollback};

use super::support::samples::{builder, custom, id, one_service, shop};

#[test]
fn drawings_escape_what_could_break_out() {
    let mut plan = builder();
    let hostile = "a\"]; click s0 call alert() <script>&\\\nend";
    let mut step = Step::new(id("a"), custom(hostile));
    step.undo = Undo::Nothing;
    plan.step(step);
    let plan = plan.build().unwrap();
    let mermaid = plan.to_mermaid();
    assert_eq!(mermaid.lines().count(), 2, "{mermaid}");
    let label = mermaid.split('"').collect::<Vec<_>>();
    assert_eq!(label.len(), 3, "one quoted label: {mermaid}");
    assert!(!mermaid.contains("<script") && mermaid.contains("#lt;script#gt;#amp;"), "{mermaid}");
    let dot = plan.to_dot();
    assert_eq!(dot.lines().count(), 5, "{dot}");
    assert!(dot.contains(r#"label="a\na\"]; click s0 call alert() <script>&\\\nend""#), "{dot}");
}

#[test]
fn drawings_show_steps_and_why_they_wait() {
    let mut plan = builder();
    let [a, b, c] = ["a", "b", "c"].map(|name| plan.step(Step::new(id(name), Action::Sync)));
    plan.edge(a, b, EdgeKind::Dependency);
    plan.edge(b, c, EdgeKind::Sync);
    let plan = plan.build().unwrap();
    assert_eq!(
        plan.to_mermaid(),
        "flowchart TD\n  s0([\"a<br/>wait for all\"])\n  s1([\"b<br/>wait for all\"])\n  \
         s2([\"c<br/>wait for all\"])\n  s0 ==> s1\n  s1 -.-> s2\n"
    );
}

#[test]
fn a_difference_tells_what_changes() {
    let old = plan(&one_service(Strategy::Recreate)).unwrap();
    assert!(old.diff(&old).is_empty());
    let mut definition = one_service(Strategy::Recreate);
    definition.services[0].replicas = 5;
    definition.notify = vec![id("ops")];
    let new = plan(&definition).unwrap();
    let text = old.diff(&new).to_string();
    assert_eq!(
        text,
        "+ notify/ops\n\
         ~ prod/eu/api/ready (action): 4 × 2.0.0 ready => 5 × 2.0.0 ready\n\
         ~ prod/eu/api/serve (undo): route 100%→2.0.0 => route 100%→2.0.0\n\
         ~ prod/eu/api/start (action): scale 2.0.0 to 4 => scale 2.0.0 to 5\n\
         ~ prod/eu/api/still-ready (action): 4 × 2.0.0 ready => 5 × 2.0.0 ready\n\
         ~ prod/eu/api/stop-old (undo): scale 1.0.0 to 0 => scale 1.0.0 to 0\n\
         + prod/eu/verified -> notify/ops\n"
    );
    let back = new.diff(&old);
    assert_eq!((back.added.len(), back.removed.len(), back.changed.len()), (0, 1, 5));
    assert_eq!((back.edges_added.len(), back.edges_removed.len()), (0, 1));
}

/// Found in review: `#` began an entity, and Mermaid read Markdown, formulas and directives in labels.
#[test]
fn nothing_in_a_label_is_read_as_more_than_text() {
    let drawn = |text: &str| {
        let mut plan = builder();
        let undo = Undo::Nothing;
        plan.step(Step::new(id("a"), custom(text)).undo(undo));
        let plan = plan.build().unwrap();
        let part = |text: String, before: &str, after: &str| {
            let from = text.find(before).unwrap() + before.len();
            text[from..from + text[from..].rfind(after).unwrap()].to_owned()
        };
        let (mermaid, dot) = (plan.to_mermaid(), plan.to_dot());
        (part(mermaid, "\"a<br/>", "\"]"), part(dot, "label=\"a\\n", "\"];"))
    };
    for (text, mermaid, dot) in [
        ("90%→1.0.0", "90%→1.0.0", "90%→1.0.0"),
        ("#quot;", "#35;quot;", "#quot;"),
        ("a\"b", "a#quot;b", "a\\\"b"),
        ("`**b**`", "#96;**b**#96;", "`**b**`"),
        ("$$x$$", "#36;#36;x#36;#36;", "$$x$$"),
        ("%%{init: {}}%%", "%#37;#123;init: #123;#125;#125;%#37;", "%%{init: {}}%%"),
        ("x]; y", "x#93;; y", "x]; y"),
        ("<br/>", "#lt;br/#gt;", "<br/>"),
        ("a\nb\r\u{0}c", "a<br/>b  c", "a\\nb  c"),
        ("&lt;&#60;& b", "#amp;lt;#amp;#35;60;#amp; b", "&amp;lt;&amp;#60;& b"),
        ("a\\", "a#92;", "a\\\\"),
    ] {
        assert_eq!(drawn(text), (mermaid.to_owned(), dot.to_owned()), "{text:?}");
    }
}

/// Found in review: a rollback could be computed, but not looked at.
#[test]
fn a_rollback_is_drawn_and_compared_as_a_plan_is() {
    let plan = plan(&shop()).unwrap().freeze();
    let trigger = plan.find(&id("production/us/api/promote")).unwrap();
    let back = |scope| {
        rollback(
            &plan,
            |_| Touched::Done,
            &Reach::of(plan.plan(), plan.get(trigger).unwrap(), scope),
        )
        .unwrap()
    };
    let (region, release) = (back(RollbackScope::Region), back(RollbackScope::Release));
    assert!(region.diff(&region).is_empty());
    let difference = region.diff(&release);
    assert!(difference.removed.is_empty() && difference.added.len() > 10, "{difference}");
    assert!(difference.to_string().contains("+ rollback/staging/eu/api/"), "{difference}");
    let (mermaid, dot) = (region.to_mermaid(), region.to_dot());
    assert!(mermaid.starts_with("flowchart TD\n  s0[\"rollback/production/us/web/"), "{mermaid}");
    assert_eq!(mermaid.lines().count(), 1 + region.steps.len() + region.edges.len());
    assert_eq!(dot.lines().count(), 4 + region.steps.len() + region.edges.len());
}
