//! The host's desk: it starts releases, writes down what people say of them, and keeps the policy informed.
//!
//! What is said is a note in the run's own journal. From notes, directory and clock follow, by pure functions,
//! the cases that the rules ask for: whoever has the journal can decide them again years later.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use release_core::engine::{Engine, RunHandle};
use release_core::explain::Position;
use release_core::model::{
    self, ChangeScope, Digest, Gate, GateId, Principal, RunId, Span, StepId, Timestamp, WaiverId,
};
use release_core::plan::{
    Action, Compensation, FrozenPlan, Place, Plan, Step, StepScope, Undo, UndoPhase,
};
use release_core::port::{
    AuthorizedCommand, BindingError, Clock as _, EffectError, Evidence, Observed, Performer,
};
use release_core::run::{Command, Directive, Event, Note};
use release_policy::AllOf;
use release_policy::approval::{
    Approval, ApprovalFact, ApprovalFacts, Parties, Question, Statement, Subject, Verdict,
    artifact_set, evaluate,
};
use release_policy::cab::{self, Ballot, BoardFacts, Interest, Vote};
use release_policy::change::{ChangeType, RiskInputs, Route, Routing, Standing};
use release_policy::decision::{
    ApprovalCase, BoardCase, Fact, Facts, GlassCase, PolicyBook, ReviewsCase,
};
use release_policy::directory::{Directory, DirectoryState};
use release_policy::emergency::{
    GlassAnswer, GlassFact, GlassFacts, GlassRequest, ObligationFact, Obligations, Review, Word,
    owed, usable,
};
use release_policy::window::{Scope, Waiver, WaiverSpec};
use release_providers::sqlite::SqliteJournal;
use release_testkit::VirtualClock;
use serde_json::{Value, json};

use crate::rules::{Governance, HOUR, directory, person, rules};
use crate::story::Failure;

/// Performs steps by counting them: the platform is another example's matter.
#[derive(Debug, Default)]
pub(crate) struct Hands(pub(crate) AtomicU32);

#[async_trait]
impl Performer for Hands {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }
    async fn perform(&self, _: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Evidence::Done)
    }
    async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> {
        Ok(Observed::NotApplied)
    }
}

/// No change here is of a template that has proven itself.
const UNPROVEN: Standing = Standing::NotYet { in_a_row: 0, of: 5, lost: None };

/// The glass for fixes that cannot wait.
pub(crate) const GLASS: &str = "hotfix";
/// The leave that broken glass gives, as it stands in the journal.
const LEAVE: &str = "allow/broken-glass";
/// The gate that the board sets up.
const RUNBOOK: &str = "production/runbook";

/// A release under way, and what it asks people.
pub(crate) struct Release {
    pub(crate) run: RunHandle,
    pub(crate) step: StepId,
    pub(crate) routing: Routing,
    question: Question,
}

/// The desk.
pub(crate) struct Desk {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) hands: Arc<Hands>,
    engine: Engine,
    book: Arc<PolicyBook>,
    governance: Governance,
    waivers: Vec<Waiver>,
    /// What is owed for broken glass, across all releases.
    duties: Vec<ObligationFact>,
    version: u64,
    /// What is to be told.
    pub(crate) told: String,
}

impl Desk {
    /// Tells a line.
    pub(crate) fn say(&mut self, line: &str) {
        self.told.push_str(line);
        self.told.push('\n');
    }

    /// Tells the heading of a scene, with the time.
    pub(crate) fn scene(&mut self, text: &str) {
        let now = self.clock.now();
        self.say(&format!("\n{now} {text}"));
    }

    pub(crate) fn open(folder: &std::path::Path, now: Timestamp) -> Result<Self, Failure> {
        let clock = Arc::new(VirtualClock::at(now));
        let hands = Arc::<Hands>::default();
        let book = Arc::new(PolicyBook::new(rules(Vec::new())?));
        let journal = SqliteJournal::open(folder.join("journal.db"))?;
        let engine = Engine::builder(Arc::new(journal), hands.clone())
            .clock(clock.clone())
            .policy(AllOf::new().and_shared(book.clone()))
            .build();
        let governance = Governance::new()?;
        let (waivers, duties) = (Vec::new(), Vec::new());
        let (version, told) = (0, String::new());
        Ok(Self { clock, hands, engine, book, governance, waivers, duties, version, told })
    }

    /// Asks for a release of one service; what is known of its risk decides which way it goes.
    pub(crate) async fn ask(
        &mut self,
        name: &str,
        kind: ChangeType,
        risk: &RiskInputs,
    ) -> Result<Release, Failure> {
        let (plan, step) = plan(name)?;
        let by = person("ada")?;
        let subject = Subject {
            plan: plan.digest(),
            artifacts: artifact_set([]),
            environment: Digest::of(b"production, as it is declared"),
            policy: self.book.head().digest(),
            evidence: Digest::of(&serde_json::to_vec(risk)?),
        };
        let scope = ChangeScope::new("production".parse()?).of_service("payments".parse()?);
        let parties = Parties::new(by.id.clone(), self.clock.now());
        let question = Question { subject, parties, scope };
        let routing = self.governance.risk.route(risk, kind, &UNPROVEN);
        let run = self.engine.start_frozen(name.parse()?, plan, by).await?;
        let mut release = Release { run, step, routing, question };
        self.refresh(&mut release).await?;
        Ok(release)
    }

    /// Writes down what somebody says, and lets the policy know.
    pub(crate) async fn hear(
        &mut self,
        release: &mut Release,
        who: &str,
        topic: &str,
        content: Value,
    ) -> Result<(), Failure> {
        let note = Command::Note { topic: topic.parse()?, content };
        release.run.send(Directive::new(note, person(who)?, "said at the desk")).await?;
        self.refresh(release).await
    }

    /// An approval of exactly what the release is now.
    pub(crate) async fn approve(
        &mut self,
        release: &mut Release,
        who: &str,
    ) -> Result<(), Failure> {
        let content = json!({ "subject": release.question.subject });
        self.hear(release, who, "approval", content).await
    }

    /// A vote of the board on exactly what the release is now.
    pub(crate) async fn vote(&mut self, release: &mut Release, who: &str) -> Result<(), Failure> {
        let content = json!({ "ballot": Ballot::Approve, "subject": release.question.subject });
        self.hear(release, who, "vote", content).await
    }

    /// A vote for it, if somebody of operations approves at a gate that the board sets up for it.
    pub(crate) async fn vote_if(
        &mut self,
        release: &mut Release,
        who: &str,
        text: &str,
    ) -> Result<(), Failure> {
        let roles = vec!["operations".parse()?];
        let gate =
            Gate::Approval(model::Approval { roles, ..model::Approval::new(RUNBOOK.parse()?) });
        let condition = cab::Condition { text: text.to_owned(), gate };
        let ballot = Ballot::ApproveWithConditions(vec![condition]);
        let content = json!({ "ballot": ballot, "subject": release.question.subject });
        self.hear(release, who, "vote", content).await
    }

    /// What somebody says at the gate that the board set up.
    pub(crate) async fn at_gate(
        &mut self,
        release: &mut Release,
        who: &str,
    ) -> Result<(), Failure> {
        let content = json!({ "gate": RUNBOOK, "subject": release.question.subject });
        self.hear(release, who, "condition", content).await
    }

    /// Leave from the freeze for one run and its requester, granted by somebody else.
    pub(crate) fn waive(
        &mut self,
        release: &Release,
        by: &str,
        until: Timestamp,
        reason: &str,
    ) -> Result<(), Failure> {
        let id: WaiverId = format!("waiver-{}", self.waivers.len() + 1).parse()?;
        self.waivers.push(Waiver::try_from(WaiverSpec {
            id,
            window: "year-end".parse()?,
            principals: BTreeSet::from([release.question.parties.requester.clone()]),
            scope: Scope::default(),
            actions: BTreeSet::new(),
            run: Some(release.run.run().clone()),
            from: self.clock.now(),
            until,
            granted_by: by.parse()?,
            reason: reason.to_owned(),
        })?);
        self.book.publish(rules(self.waivers.clone())?);
        Ok(())
    }

    /// Somebody looked at what was done without the usual consent.
    pub(crate) fn review(&mut self, who: &str, finding: &str) -> Result<(), Failure> {
        let seq = self.duties.len() as u64 + 1;
        let opened = self.duties.iter().rev().find_map(|fact| match fact {
            ObligationFact::Opened(obligation) => Some(obligation.seq),
            _ => None,
        });
        let of = opened.ok_or("nothing is owed")?;
        let word = word(&person(who)?, self.clock.now(), seq);
        self.duties.push(ObligationFact::Reviewed(Review {
            word,
            of,
            finding: finding.to_owned(),
        }));
        Ok(())
    }

    /// Lets the policy know all that was said of a release, and has the engine ask again. The policy decides from
    /// it, and from the directory, each time it is asked.
    pub(crate) async fn refresh(&mut self, release: &mut Release) -> Result<(), Failure> {
        let now = self.clock.now();
        self.version += 1;
        let directory = Arc::new(directory(self.version, now)?);
        self.book.publish_directory(Arc::clone(&directory))?;
        let notes = release.run.state().await?.notes().to_vec();
        let question = release.question.clone();
        let facts = approvals(numbered(&notes, "approval"))?;
        let quorum = ApprovalCase { question: question.clone(), facts };
        let (facts, at_gates) = (votes(&notes, &question)?, at_gates(&notes)?);
        let board = BoardCase { question: question.clone(), facts, at_gates };
        let glass = GlassCase { facts: asked_for(&notes, release.run.run(), &question)? };
        self.tell(&quorum, &board, &glass, &directory, notes.len() as u64);
        let obligations = Obligations::fold(self.duties.iter().cloned())?;
        let (kind, directory_max_age) = (release.routing.asked, Span::secs(300));
        let reviews = ReviewsCase { obligations, kind, directory_max_age };
        let route = match release.routing.route {
            Route::Cab => "cab",
            Route::Emergency => "emergency",
            Route::Standard | Route::Normal => "normal",
        };
        let facts = Facts::new()
            .with("route", Fact::Text(route.to_owned()))
            .number("risk", i64::from(release.routing.assessment.score))
            .case("quorum", quorum)
            .case("cab", board)
            .case("glass", glass)
            .case("reviews", reviews);
        self.book.know(release.run.run().clone(), facts);
        // A run that is over needs no asking.
        let _ = release.run.reconsider().await;
        Ok(())
    }

    /// Tells of the last word if it does not count, and of glass that may be broken.
    fn tell(
        &mut self,
        quorum: &ApprovalCase,
        board: &BoardCase,
        glass: &GlassCase,
        directory: &Directory,
        last: u64,
    ) {
        let (now, snapshot) = (self.clock.now(), DirectoryState::Snapshot(directory));
        let Governance { quorum: policy, board: seats, glass: all, .. } = &self.governance;
        let ApprovalCase { question, facts } = quorum;
        let approvals = evaluate(policy, question, facts, snapshot, now).dropped;
        let approvals = approvals.iter().filter(|dropped| dropped.seq == last);
        let mut lines: Vec<_> = approvals
            .map(|dropped| format!("  {} does not count: {}", dropped.by, dropped.why))
            .collect();
        let votes = cab::decide(seats, question, &board.facts, snapshot, now).dropped;
        let votes = votes.iter().filter(|dropped| dropped.seq == last);
        lines.extend(votes.map(|dropped| {
            format!("  the vote of {} does not count: {:?}", dropped.by, dropped.why)
        }));
        if let Some(request) = glass.facts.latest(GLASS) {
            let of = request.word.seq;
            lines.push(match usable(all, &glass.facts, of, &request.scope, snapshot, now) {
                GlassAnswer::Usable { until, .. } => {
                    format!("  the glass may be broken, until {until} at the latest")
                }
                GlassAnswer::Refused { because } => format!("  the glass holds: {because}"),
            });
        }
        for line in lines {
            self.say(&line);
        }
    }

    /// Opens what is owed for broken glass: that it was used is in the run's journal, as the leave by which a
    /// step started.
    pub(crate) async fn settle(&mut self, release: &Release) -> Result<(), Failure> {
        let run = release.run.run();
        let state = self.engine.state_at(run, Position::At(self.clock.now())).await?;
        let mut events = release.run.events(0);
        let mut used = None;
        while let Some(record) = events.next().await? {
            if let Event::StepStarted { basis: Some(basis), .. } = &record.event
                && basis
                    .grants
                    .iter()
                    .any(|grant| grant.rule == LEAVE || grant.rule.starts_with("break_glass/"))
            {
                used = Some(record.at);
            }
        }
        let Some(at) = used else { return Ok(()) };
        let mut facts = asked_for(state.notes(), run, &release.question)?;
        let of = facts.latest(GLASS).ok_or("nobody asked for it")?.word.seq;
        let word = word(state.requester(), at, state.notes().len() as u64 + 1);
        facts.apply(GlassFact::Used { word, of })?;
        let seq = self.duties.len() as u64 + 1;
        let duty = owed(&self.governance.glass, &facts, of, seq).ok_or("nothing is owed")?;
        self.say(&format!("  glass was broken at {at}"));
        self.say(&format!(
            "  owed: a review by somebody else who is {}, due {}",
            duty.reviewer, duty.due
        ));
        self.duties.push(ObligationFact::Opened(duty));
        Ok(())
    }
}

/// One step that deploys to production.
fn plan(name: &str) -> Result<(FrozenPlan, StepId), Failure> {
    let place = Place {
        region: Some("eu".parse()?),
        service: Some("payments".parse()?),
        ..Place::new("production".parse()?)
    };
    let id: StepId = "production/eu/payments/deploy".parse()?;
    let custom = |name: &str| Action::Custom { capability: name.to_owned(), input: Value::Null };
    let back = Compensation { action: custom("undeploy"), phase: UndoPhase::Remove };
    let mut plan = Plan::builder("payments".parse()?, name.parse()?);
    plan.step(
        Step::new(id.clone(), custom("deploy"))
            .scope(StepScope::of(place))
            .undo(Undo::Compensate(vec![back])),
    );
    Ok((plan.build().map_err(|errors| errors.to_string())?.freeze(), id))
}

/// The notes about a topic, each with its number among all.
fn numbered<'a>(notes: &'a [Note], topic: &'a str) -> impl Iterator<Item = (&'a Note, u64)> {
    notes.iter().zip(1..).filter(move |(note, _)| note.topic.as_str() == topic)
}

/// A part of what was said; null, if it was not.
fn said(note: &Note, name: &str) -> Value {
    note.content.get(name).cloned().unwrap_or_default()
}

/// Who said something, with the roles that the host's login vouched for.
fn word(by: &Principal, at: Timestamp, seq: u64) -> Word {
    Word { seq, by: by.id.clone(), linked: BTreeSet::new(), roles: by.roles.clone(), at }
}

/// What was said in favour, each about exactly what the release was then.
fn approvals<'a>(notes: impl Iterator<Item = (&'a Note, u64)>) -> Result<ApprovalFacts, Failure> {
    let mut facts = ApprovalFacts::default();
    for (note, seq) in notes {
        let statement = statement(note, seq)?;
        let (verdict, comment) = (Verdict::Approve, String::new());
        facts.apply(ApprovalFact::Given(Box::new(Approval { statement, verdict, comment })))?;
    }
    Ok(facts)
}

/// What was said of the board's conditions, by their gates.
fn at_gates(notes: &[Note]) -> Result<BTreeMap<GateId, ApprovalFacts>, Failure> {
    let mut all = BTreeMap::new();
    for (note, _) in numbered(notes, "condition") {
        let gate = said(note, "gate");
        let ours = numbered(notes, "condition").filter(|(note, _)| said(note, "gate") == gate);
        all.insert(serde_json::from_value(gate.clone())?, approvals(ours)?);
    }
    Ok(all)
}

/// Who asked to break the glass, and who confirmed it.
fn asked_for(notes: &[Note], run: &RunId, question: &Question) -> Result<GlassFacts, Failure> {
    let (mut facts, mut asked) = (GlassFacts::default(), None);
    for (note, seq) in numbered(notes, "glass") {
        let word = word(&note.by, note.at, seq);
        let text = |name: &str| said(note, name).as_str().unwrap_or_default().to_owned();
        facts.apply(match asked {
            None => GlassFact::Requested(GlassRequest {
                word,
                capability: GLASS.to_owned(),
                run: run.clone(),
                plan: question.subject.plan,
                scope: question.scope.clone(),
                reason: text("reason"),
                incident: text("incident"),
            }),
            Some(of) => GlassFact::Confirmed { word, of },
        })?;
        asked.get_or_insert(seq);
    }
    Ok(facts)
}

fn statement(note: &Note, seq: u64) -> Result<Statement, Failure> {
    let Word { seq, by, linked, roles, at } = word(&note.by, note.at, seq);
    let bound_to = serde_json::from_value(said(note, "subject"))?;
    Ok(Statement { seq, by, linked, roles, at, expires: at.plus(Span::secs(24 * HOUR)), bound_to })
}

fn votes(notes: &[Note], question: &Question) -> Result<BoardFacts, Failure> {
    let mut votes = Vec::new();
    for (note, seq) in numbered(notes, "vote") {
        let ballot = serde_json::from_value(said(note, "ballot"))?;
        votes.push(Vote { statement: statement(note, seq)?, ballot });
    }
    let interests = numbered(notes, "interest").map(|(note, seq)| {
        let reason = said(note, "reason").as_str().unwrap_or_default().to_owned();
        Interest { seq, who: note.by.id.clone(), reason }
    });
    let deadline = question.parties.requested_at.plus(Span::secs(72 * HOUR));
    Ok(BoardFacts { votes, interests: interests.collect(), deadline })
}
