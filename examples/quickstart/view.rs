//! Shows a run live: bars on a terminal, lines elsewhere.

use std::collections::BTreeMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use release_core::engine::{Events, Recorded, RunHandle};
use release_core::run::{Event, RunState, StepRef};
use tokio::task::JoinSet;

pub(crate) struct View {
    tasks: JoinSet<()>,
}

impl View {
    /// Shows the events behind number `after`.
    pub(crate) async fn follow(handle: &RunHandle, after: u64, plain: bool) -> Self {
        let events = handle.events(after);
        let mut tasks = JoinSet::new();
        // A run that is over already has nothing to show.
        if let Ok(state) = handle.state().await {
            let screen = Screen::new(&state, plain);
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
            Err(error) => return screen.line(&format!("(what follows cannot be shown: {error})")),
        }
    }
}

/// Bars by group of steps (`production/eu/payments`, …), or lines.
struct Screen {
    bars: Option<(MultiProgress, BTreeMap<String, ProgressBar>)>,
    actions: BTreeMap<String, String>,
}

impl Screen {
    fn new(state: &RunState, plain: bool) -> Self {
        let steps = state.plan().plan().steps();
        let actions =
            steps.iter().map(|step| (step.id.to_string(), step.action.to_string())).collect();
        let bars = (!plain).then(|| {
            let (all, mut bars) = (MultiProgress::new(), BTreeMap::<String, ProgressBar>::new());
            let style = ProgressStyle::with_template(
                "{prefix:32} {bar:30.green} {pos:>2}/{len:2} {wide_msg}",
            );
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            for step in steps {
                let group = group(step.id.as_str());
                let bar = bars.entry(group.clone()).or_insert_with(|| {
                    all.add(ProgressBar::new(0).with_style(style.clone()).with_prefix(group))
                });
                bar.inc_length(1);
            }
            (all, bars)
        });
        Self { bars, actions }
    }

    fn event(&mut self, recorded: &Recorded) {
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
            Event::TakenOver { engine } => self.line(&format!("  * taken over by {engine}")),
            Event::RollbackStarted { cause, extension } => {
                self.line(&format!("  < rolling back, because {cause}"));
                for step in &extension.steps {
                    self.actions.insert(step.id.to_string(), step.action.to_string());
                }
            }
            Event::RunFinished { outcome } => self.line(&format!("  = the run {outcome}")),
            _ => {}
        }
    }

    fn line(&self, line: &str) {
        match &self.bars {
            // A terminal that went away is no fault of the run.
            Some((all, _)) => all.println(line).unwrap_or_default(),
            None => println!("{line}"),
        }
    }

    fn bar(&self, step: &StepRef, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) =
            self.bars.as_ref().and_then(|(_, bars)| bars.get(&group(step.id.as_str())))
        {
            change(bar);
        }
    }

    fn close(&self) {
        for bar in self.bars.iter().flat_map(|(_, bars)| bars.values()) {
            bar.abandon();
        }
    }
}

/// The first parts of a step's path: the target, or what there is.
fn group(step: &str) -> String {
    let parts: Vec<_> = step.split('/').collect();
    let count = if parts.len() > 3 { 3 } else { parts.len().saturating_sub(1).max(1) };
    parts.into_iter().take(count).collect::<Vec<_>>().join("/")
}
