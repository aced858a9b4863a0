//! What other rules would have cost: recorded decisions, made again under two policies.

use std::fmt;

use release_core::journal::History;
use release_core::model::{RunId, Span, StepId, Timestamp};
use release_core::plan::{FrozenPlan, Step};
use release_core::port::{Admission, Decision, Policy, Reason, ReasonKind};
use release_core::run::{Event, IllegalTransition, Mode, Outcome, RunState, StepRef, WakeUp};
use serde::{Deserialize, Serialize};

use crate::all_of::combine;
use crate::window::is_to_come;

/// How often a wait is followed to the instant that it names before it counts as endless.
const MOST_WAITS: usize = 1_000;

/// A run as it was recorded.
#[derive(Debug, Clone, Copy)]
pub struct Recorded<'a> {
    /// Its verified journal.
    pub history: &'a History,
    /// The plan that it pins.
    pub plan: &'a FrozenPlan,
}

/// Two policies, as they answer the same recorded requests. The same inputs give the same comparison, to
/// the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// How many requests were made again: the first of each step that has an effect and goes forward.
    pub decisions: u64,
    /// What the first permits at once and the second does not.
    pub blocked: Vec<Change>,
    /// What the second permits at once and the first does not.
    pub freed: Vec<Change>,
    /// Lead times under the first.
    pub before: LeadTimes,
    /// Lead times under the second.
    pub after: LeadTimes,
}

/// A request that is answered otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    /// The run.
    pub run: RunId,
    /// When it was asked.
    pub at: Timestamp,
    /// The step.
    pub step: StepId,
    /// The rule that decides it: the first, by name, of those that stand in the way then, or did before it was
    /// freed. A freeze that only begins before the wait is over decides where nothing else does.
    pub rule: String,
    /// What it says.
    pub text: String,
    /// Whether it is denied, rather than to wait.
    pub denied: bool,
}

/// Lead times of runs that succeeded, from their creation until the last step of the plan was done; by the
/// method of the nearest rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadTimes {
    /// How many runs end under the policy.
    pub runs: u64,
    /// How many would wait for ever, or for something other than time: they have no lead time.
    pub held: u64,
    /// The median.
    pub median: Option<Span>,
    /// The 95th percentile.
    pub p95: Option<Span>,
}

impl Comparison {
    /// By how much the median changes, in microseconds.
    pub fn median_change(&self) -> Option<i64> {
        change(self.before.median, self.after.median)
    }

    /// By how much the 95th percentile changes, in microseconds.
    pub fn p95_change(&self) -> Option<i64> {
        change(self.before.p95, self.after.p95)
    }
}

fn change(before: Option<Span>, after: Option<Span>) -> Option<i64> {
    let micros = |span: Span| i64::try_from(span.as_duration().as_micros()).ok();
    micros(after?)?.checked_sub(micros(before?)?)
}

/// A journal that cannot be made again.
#[derive(Debug, thiserror::Error)]
#[error("run `{run}` cannot be replayed with its plan; give the plan that it pins")]
pub struct CompareError {
    /// The run.
    pub run: RunId,
    /// What is wrong.
    #[source]
    pub source: IllegalTransition,
}

/// Makes the recorded decisions about steps again under two policies.
///
/// Each is asked as if no run had pinned any rules: what allows are its own. It sees the run as it was when
/// it was created, with its plan; and at gates, those who had approved by the time at which the step began. What is
/// blocked or freed goes by the instant at which a step first asked. Lead times go by the plan: a step asks again once
/// those before it are done (later than it was recorded, if they are), waits as long as the policy says, and then
/// takes as long as it took; waits for people and for permits are as long as they were, and at the end of a wait for
/// people their approvals have to count. Rollbacks and runs that did not succeed have no lead time.
///
/// # Errors
/// [`CompareError`] for a journal that does not fit its plan. One with gates is folded, and needs the plans that the
/// run went on with ([`FrozenPlan::with_later`]).
pub fn compare(
    before: &dyn Policy,
    after: &dyn Policy,
    journals: &[Recorded<'_>],
) -> Result<Comparison, CompareError> {
    let mut journals: Vec<_> = journals.to_vec();
    journals.sort_by(|a, b| a.history.run().cmp(b.history.run()));
    let (mut decisions, mut blocked, mut freed) = (0, Vec::new(), Vec::new());
    let (mut first, mut second) = (Times::default(), Times::default());
    for recorded in journals {
        let run = replay(&recorded, [before, after])?;
        for (index, asked) in (0_u32..).zip(&run.steps) {
            let Some(at) = asked.asked else { continue };
            decisions += 1;
            let [one, two] = [before, after].map(|policy| run.ask(policy, index, at));
            let (Some(mut one), Some(mut two)) = (one, two) else { continue };
            if let Some([first, second]) = asked.gates.as_deref() {
                (one, two) = (both(one, first), both(two, second));
            }
            match (one.is_permit(), two.is_permit()) {
                (true, false) => blocked.extend(run.change(index, at, &two)),
                (false, true) => freed.extend(run.change(index, at, &one)),
                _ => {}
            }
        }
        if run.succeeded {
            first.add(run.lead_time(before));
            second.add(run.lead_time(after));
        }
    }
    blocked.sort();
    freed.sort();
    let (before, after) = (first.summary(), second.summary());
    Ok(Comparison { decisions, blocked, freed, before, after })
}

/// What is known of a run that was recorded.
struct Run<'a> {
    plan: &'a FrozenPlan,
    /// As it was created.
    state: RunState,
    /// As it is so far; kept only where the plan has gates, which nothing else is asked about.
    so_far: Option<RunState>,
    created: i64,
    succeeded: bool,
    steps: Vec<Recording>,
}

/// When things happened to a step that was asked about; pure steps have no `asked`.
#[derive(Debug, Clone, Default)]
struct Recording {
    asked: Option<Timestamp>,
    /// What both policies say of its gates as it began.
    gates: Option<Box<[Decision; 2]>>,
    seen: Option<i64>,
    began: Option<i64>,
    ended: Option<i64>,
    /// How long it waited for people and permits.
    others: i64,
    /// Since when it does.
    since: Option<i64>,
}

fn replay<'a>(
    recorded: &Recorded<'a>,
    policies: [&dyn Policy; 2],
) -> Result<Run<'a>, CompareError> {
    let Recorded { history, plan } = *recorded;
    let facts = history.facts();
    let failed = |source| CompareError { run: history.run().clone(), source };
    let first = facts.first().ok_or(IllegalTransition::NotCreated).map_err(failed)?;
    let state = RunState::create(history.run().clone(), plan.clone(), first).map_err(failed)?;
    let gated = plan.plan().steps().iter().any(Step::is_gated);
    let mut run = Run {
        plan,
        so_far: gated.then(|| state.clone()),
        state,
        created: first.at.as_micros(),
        succeeded: false,
        steps: vec![Recording::default(); plan.len()],
    };
    for fact in facts.iter().skip(1) {
        run.note(fact.at, &fact.event);
        if let Event::StepStarted { step, mode: Mode::Perform, .. } = &fact.event {
            run.open(step.index, policies);
        }
        if let Some(so_far) = &mut run.so_far {
            so_far.evolve(fact.at, &fact.event).map_err(failed)?;
        }
    }
    for index in (0..).take(run.steps.len()) {
        run.open(index, policies);
    }
    Ok(run)
}

impl Run<'_> {
    fn note(&mut self, at: Timestamp, event: &Event) {
        if let Event::RunFinished { outcome } = event {
            self.succeeded = matches!(outcome, Outcome::Succeeded);
            return;
        }
        let Some(StepRef { index, id }) = event.step() else { return };
        let Some(step) = self.plan.get(*index).filter(|step| step.id == *id) else { return };
        let effect = !step.action.is_pure() && !self.plan.in_rollback(*index);
        let Some(recording) = self.steps.get_mut(*index as usize) else { return };
        let micros = at.as_micros();
        recording.seen.get_or_insert(micros);
        if let Some(since) = recording.since.take() {
            recording.others += micros.saturating_sub(since);
        }
        match event {
            Event::StepBlocked { wake, .. } => {
                if effect {
                    recording.asked.get_or_insert(at);
                }
                if matches!(wake, WakeUp::Approval { .. } | WakeUp::Permit) {
                    recording.since = Some(micros);
                }
            }
            Event::StepStarted { mode: Mode::Perform, .. } => {
                if effect {
                    recording.asked.get_or_insert(at);
                }
                recording.began.get_or_insert(micros);
            }
            Event::StepSucceeded { .. } | Event::StepFailed { .. } => {
                recording.ended = Some(micros);
            }
            _ => {}
        }
    }

    /// Asks about the gates before an effect, once.
    fn open(&mut self, index: u32, policies: [&dyn Policy; 2]) {
        let recorded = self.steps.get(index as usize);
        let asked = recorded.filter(|recorded| recorded.gates.is_none());
        let Some(at) = asked.and_then(|recorded| recorded.asked) else { return };
        let [one, two] = policies.map(|policy| self.opens(policy, index, at));
        let both = one.zip(two).map(|(one, two)| Box::new([one, two]));
        if let Some(recorded) = self.steps.get_mut(index as usize) {
            recorded.gates = both;
        }
    }

    /// The policy's answer, by its own rules.
    fn ask(&self, policy: &dyn Policy, index: u32, at: Timestamp) -> Option<Decision> {
        Some(policy.admit(&self.request(&self.state, index, at)?))
    }

    /// What it says of the gates before a step, as the run is so far; `None`: there are none.
    fn opens(&self, policy: &dyn Policy, index: u32, at: Timestamp) -> Option<Decision> {
        let so_far = self.so_far.as_ref()?;
        let request = self.request(so_far, index, at)?;
        // Another plan, which the run went on with, may have another step there.
        so_far.plan().get(index).filter(|step| step.id == request.step.id)?;
        request.gates().next()?;
        Some(policy.opens(&request))
    }

    fn request<'b>(
        &'b self,
        state: &'b RunState,
        index: u32,
        at: Timestamp,
    ) -> Option<Admission<'b>> {
        let step = self.plan.get(index)?;
        let mut request = Admission::new(state.run(), state.requester(), step, at);
        request.at = Some((state, index));
        Some(request)
    }

    fn change(&self, index: u32, at: Timestamp, why: &Decision) -> Option<Change> {
        // What denies, decides; not what would only have held it. And what is in the way now, not what will be before that is over.
        let holds = |reason: &Reason| why.is_deny() && only_holds(reason);
        let key = |reason: &&Reason| {
            let later = (holds(reason), is_to_come(reason));
            (later, reason.rule.clone(), reason.text.clone())
        };
        let (rule, text) = match why.reasons().iter().min_by_key(key) {
            Some(reason) => (reason.rule.clone(), reason.text.clone()),
            None => ("policy".to_owned(), "it gives no reason".to_owned()),
        };
        let step = self.plan.get(index)?.id.clone();
        let run = self.state.run().clone();
        Some(Change { run, at, step, rule, text, denied: why.is_deny() })
    }

    /// How long the run takes under a policy; `None` if it is held until something other than time helps.
    fn lead_time(&self, policy: &dyn Policy) -> Option<u64> {
        let mut ends: Vec<Option<i64>> = vec![None; self.plan.len()];
        let mut last = self.created;
        for index in self.plan.plan().order().ok()? {
            let Some(step) = self.steps.get(index as usize) else { continue };
            let before = |ends: &dyn Fn(usize) -> Option<i64>| {
                self.plan.predecessors(index).filter_map(|at| ends(at as usize)).max()
            };
            let was = before(&|at| self.steps.get(at).and_then(|step| step.ended));
            let is = before(&|at| ends.get(at).copied().flatten());
            let (was, is) = (was.unwrap_or(self.created), is.unwrap_or(self.created));
            let seen = step.seen.unwrap_or(was);
            let queued = seen.saturating_sub(was).max(0);
            let ready = is.saturating_add(queued);
            let start = match step.asked {
                Some(_) => self.admitted(policy, index, ready.saturating_add(step.others))?,
                None => ready,
            };
            // Without an effect, waiting for people is all that it does.
            let took = step.ended?.saturating_sub(step.began.unwrap_or(seen)).max(0);
            let mut end = start.saturating_add(took);
            if self.plan.get(index).is_some_and(|step| step.action.is_pure() && step.is_gated()) {
                end = self.admitted(policy, index, end)?;
            }
            last = last.max(end);
            if let Some(slot) = ends.get_mut(index as usize) {
                *slot = Some(end);
            }
        }
        u64::try_from(last.saturating_sub(self.created)).ok()
    }

    /// What it says of a step, and of the gates before it.
    fn answer(&self, policy: &dyn Policy, index: u32, at: Timestamp) -> Option<Decision> {
        let opens = self.opens(policy, index, at);
        if self.plan.get(index)?.action.is_pure() {
            return Some(opens.unwrap_or_else(Decision::permit));
        }
        let acts = self.ask(policy, index, at)?;
        Some(match opens {
            Some(opens) => both(acts, &opens),
            None => acts,
        })
    }

    /// The first instant from `at` on at which the policy permits the step.
    fn admitted(&self, policy: &dyn Policy, index: u32, mut at: i64) -> Option<i64> {
        for _ in 0..MOST_WAITS {
            match self.answer(policy, index, Timestamp::from_micros(at))? {
                Decision::Permit { .. } => return Some(at),
                Decision::Wait { until: Some(until), .. } if until.as_micros() > at => {
                    at = until.as_micros();
                }
                Decision::Wait { .. } | Decision::Deny { .. } => return None,
            }
        }
        None
    }
}

fn both(acts: Decision, opens: &Decision) -> Decision {
    combine([acts, opens.clone()].into_iter())
}

/// Whether a reason that is told beside a denial tells of what would only have been waited for: windows, and what
/// rules that allow, boards and gates still lack.
fn only_holds(reason: &Reason) -> bool {
    let of = |kind: &str| reason.rule.split('/').next() == Some(kind);
    let windows = of("freeze") || of("deployment-window");
    let none = reason.rule == "allow" || reason.rule == "permit";
    windows || reason.kind == ReasonKind::Missing && !of("rbac") && !none
}

/// Lead times in microseconds.
#[derive(Debug, Default)]
struct Times {
    all: Vec<u64>,
    held: u64,
}

impl Times {
    fn add(&mut self, time: Option<u64>) {
        match time {
            Some(time) => self.all.push(time),
            None => self.held += 1,
        }
    }

    fn summary(mut self) -> LeadTimes {
        self.all.sort_unstable();
        // Nearest rank: the smallest time that at least that share of all does not exceed.
        let rank = |percent: usize| {
            let rank = (self.all.len() * percent).div_ceil(100).saturating_sub(1);
            let micros = std::time::Duration::from_micros(*self.all.get(rank)?);
            Some(Span::from(micros))
        };
        let (median, p95) = (rank(50), rank(95));
        LeadTimes { runs: self.all.len() as u64, held: self.held, median, p95 }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decisions, blocked, freed, before, after } = self;
        writeln!(f, "{decisions} decisions: {} blocked, {} freed", blocked.len(), freed.len())?;
        for (what, changes) in [("blocked", blocked), ("freed", freed)] {
            for Change { run, at, step, rule, text, .. } in changes {
                writeln!(f, "{what}: `{step}` of `{run}` at {at}: {rule}: {text}")?;
            }
        }
        let shown = |span: Option<Span>| span.map_or("none".to_owned(), |span| span.to_string());
        for (what, one, two) in
            [("median", before.median, after.median), ("p95", before.p95, after.p95)]
        {
            writeln!(f, "{what} of lead times: {}, then {}", shown(one), shown(two))?;
        }
        write!(f, "held for ever: {}, then {}", before.held, after.held)
    }
}
