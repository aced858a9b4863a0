//! Shows a run live: bars on a terminal, lines elsewhere.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use release_core::engine::{Events, Recorded, RunHandle};
use release_core::plan::Step;
use release_core::run::{Event, RunState, StepRef};
use tokio::task::JoinSet;

use crate::say;

pub(crate) struct View {
    tasks: JoinSet<()>,
}

impl View {
    /// Shows the events behind number `after`, and in bars what was done before.
    pub(crate) async fn follow(handle: &RunHandle, after: u64, plain: bool) -> Self {
        let events = handle.events(0);
        let mut tasks = JoinSet::new();
        // A run that is over already has nothing to show.
        if let Ok(state) = handle.state().await {
            let screen = Screen::new(&state, after, plain);
            tasks.spawn(show(screen, events));
        }
        Self { tasks }
    }

    /// Returns once the end of the run is shown.
    pub(crate) async fn close(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn show(mut screen: Screen, mut events: Events) {
    loop {
        match events.next().await {
            Ok(Some(recorded)) => screen.event(&recorded),
            Ok(None) => return screen.close(),
            Err(error) => {
                screen.past = false;
                screen.line(&format!("(what follows cannot be shown: {error})"));
                return screen.close();
            }
        }
    }
}

/// Bars by group of steps (`production/eu/payments`, …), or lines.
struct Screen {
    bars: Option<Bars>,
    actions: BTreeMap<String, String>,
    /// Events up to this one were told to an earlier screen.
    told: u64,
    /// Whether the event at hand is one of them.
    past: bool,
}

impl Screen {
    fn new(state: &RunState, told: u64, plain: bool) -> Self {
        let bars = (!plain).then(Bars::new);
        let mut screen = Self { bars, actions: BTreeMap::new(), told, past: false };
        screen.expect(state.plan().plan().steps());
        screen
    }

    /// Makes room for steps to come.
    fn expect(&mut self, steps: &[Step]) {
        for step in steps {
            self.actions.insert(step.id.to_string(), step.action.to_string());
            if let Some(bars) = &mut self.bars {
                bars.expect(step.id.as_str());
            }
        }
    }

    fn event(&mut self, recorded: &Recorded) {
        self.past = recorded.seq <= self.told;
        match &recorded.event {
            Event::StepStarted { step, .. } => {
                let action = self.actions.get(step.id.as_str()).cloned().unwrap_or_default();
                if self.bars.is_none() {
                    self.line(&format!("  > {} ({action})", step.id));
                }
                self.bar(step, |bar| bar.set_message(action));
            }
            Event::StepSucceeded { step, because, .. } => {
                if self.bars.is_none() {
                    let because =
                        because.as_ref().map(|because| format!(": {because}")).unwrap_or_default();
                    self.line(&format!("  + {}{because}", step.id));
                }
                self.bar(step, |bar| bar.inc(1));
            }
            Event::StepMeasured { step, because, .. } => {
                self.line(&format!("  ? {}: {because}", step.id));
            }
            Event::StepFailed { step, error, .. } => {
                self.line(&format!("  ! {} failed: {error}", step.id));
            }
            Event::StepRetried { step, error, .. } | Event::OutcomeUnknown { step, error, .. } => {
                self.line(&format!("  ~ {}: {error}", step.id));
            }
            Event::StepBlocked { step, reasons, .. } => {
                let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                self.line(&format!("  . {} waits: {}", step.id, reasons.join("; ")));
            }
            Event::Approved { gate, by, reason } => {
                self.line(&format!("  * {gate} approved by {by}: {reason}"));
            }
            Event::ApprovalWithdrawn { gate, by, reason } => {
                self.line(&format!("  * {by} takes their approval of {gate} back: {reason}"));
            }
            Event::TakenOver { engine } => self.line(&format!("  * taken over by {engine}")),
            Event::Descoped { service, by, reason } => {
                self.line(&format!("  < {service} is left behind by {by}: {reason}"));
            }
            Event::RollbackStarted { cause, extension } => {
                self.line(&format!("  < rolling back, because {cause}"));
                self.expect(&extension.steps);
            }
            Event::RunFinished { outcome } => self.line(&format!("  = the run {outcome}")),
            _ => {}
        }
    }

    fn line(&self, line: &str) {
        match &self.bars {
            _ if self.past => {}
            // A terminal that went away is no fault of the run.
            Some(bars) => bars.all.println(line).unwrap_or_default(),
            None => say(line),
        }
    }

    fn bar(&self, step: &StepRef, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) =
            self.bars.as_ref().and_then(|bars| bars.groups.get(&group(step.id.as_str())))
        {
            change(bar);
        }
    }

    fn close(&self) {
        for bar in self.bars.iter().flat_map(|bars| bars.groups.values()) {
            bar.abandon();
        }
    }
}

struct Bars {
    all: MultiProgress,
    groups: BTreeMap<String, ProgressBar>,
    style: ProgressStyle,
}

impl Bars {
    fn new() -> Self {
        // Whatever a step does must be readable on 80 columns.
        let style =
            ProgressStyle::with_template("{prefix:32} {bar:14.green} {pos:>2}/{len:2} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { all: MultiProgress::new(), groups: BTreeMap::new(), style }
    }

    fn expect(&mut self, step: &str) {
        let group = group(step);
        let bar = self.groups.entry(group.clone()).or_insert_with(|| {
            let bar = ProgressBar::new(0).with_style(self.style.clone()).with_prefix(group);
            self.all.add(bar)
        });
        bar.inc_length(1);
    }
}

/// The first parts of a step's path: the target, or what there is.
fn group(step: &str) -> String {
    let parts: Vec<_> = step.split('/').collect();
    let prefix = usize::from(parts.first() == Some(&"rollback"));
    let length = parts.len() - prefix;
    let count = prefix + if length > 3 { 3 } else { length.saturating_sub(1).max(1) };
    parts.into_iter().take(count).collect::<Vec<_>>().join("/")
}
