//! Somebody does what a script says, and whether that comes to anything.

use release_core::model::Span;
use release_core::run::{Command, Directive, Event, Input, Rejected};
use release_policy::window;
use release_policy::{WindowSpec, Windows};

use super::Deed;
use crate::sim::machine::{Happening, Machine};
use crate::sim::people::Act;

/// Why somebody says what a script has them say.
const SAYS_SO: &str = "as the script says";

impl Machine<'_> {
    /// What became durable of a run: whatever a script waits for happens a second later.
    pub(in crate::sim) fn follow_script(&mut self, run: usize, events: &[Event]) {
        for (nth, when) in self.setup.whens.iter().enumerate() {
            if !self.fired.contains(&(run, nth)) && events.iter().any(|event| when.is(event)) {
                self.fired.insert((run, nth));
                let mut deed = when.deed.clone();
                deed.concerns(run);
                self.later(self.now.plus(Span::secs(1)), Happening::Deed(deed));
            }
        }
    }

    /// Somebody does what a script says.
    pub(in crate::sim) fn deed(&mut self, deed: Deed) {
        let humans = &self.setup.humans;
        let (operator, approvers) = (humans.operator.clone(), humans.approvers.clone());
        let text = deed.to_string();
        let (run, command, by) = match deed {
            Deed::Freeze { place, span } => return self.freeze(place.as_deref(), span),
            Deed::CrashEngine => {
                match (0..self.engines.len()).find(|engine| self.acts(*engine)) {
                    Some(engine) => self.crash(engine),
                    None => self.undone.push(format!("`{text}`: no engine was up")),
                }
                return;
            }
            Deed::Approve { run, gate } => {
                // Another one each time: a quorum is of different people.
                let count = self.people.approves(run, &gate);
                let by = approvers.get(count % approvers.len().max(1)).cloned();
                (run, Command::Approve { gate }, by.unwrap_or(operator))
            }
            Deed::Reject { run, gate } => {
                let by = approvers.first().cloned();
                (run, Command::Reject { gate }, by.unwrap_or(operator))
            }
            Deed::Retry { run, step } => (run, Command::Retry { step }, operator),
            Deed::Give { run, command } => (run, command, operator),
        };
        match self.over.get(run) {
            Some(false) => {
                self.told.push((run, command.name(), text));
                self.human(run, Act::Scripted(Directive::new(command, by, SAYS_SO)));
            }
            Some(true) => self.undone.push(format!("`{text}`: the run was over")),
            None => {} // there is no such run, which the script's names tell
        }
    }

    /// A run decided on what it was told.
    pub(in crate::sim) fn heard(&mut self, run: usize, input: &Input, refused: Option<&Rejected>) {
        let Input::Directive(Directive { command, reason, .. }) = input else { return };
        if reason != SAYS_SO {
            return;
        }
        let name = command.name();
        let told = self.told.iter().position(|(of, told, _)| (*of, *told) == (run, name));
        if let Some((_, _, text)) = told.map(|at| self.told.remove(at))
            && let Some(refused) = refused
        {
            self.undone.push(format!("`{text}`: {refused}"));
        }
    }

    /// What came to nothing of all that a script says is done, and why.
    pub(in crate::sim) fn undone(&mut self) -> Vec<String> {
        let unheard = self.told.drain(..).map(|(_, _, text)| {
            format!("`{text}`: its run did not live to hear it, or was over; say it again later")
        });
        self.undone.extend(unheard);
        std::mem::take(&mut self.undone)
    }

    fn freeze(&mut self, place: Option<&str>, span: Span) {
        use crate::fixtures::literal;
        let id = literal(&format!("script-{}", self.tightened.len() + 1));
        let (from, until) = (self.now, self.now.plus(span));
        let when = window::When::Between { from, until };
        let window = WindowSpec::freeze(id, when, literal("script"), "as the script says");
        let window = match place.map(|place| place.split_once('/').unwrap_or((place, ""))) {
            None => window,
            Some((environment, "")) => window.in_environment(literal(environment)),
            Some((environment, region)) => {
                window.in_environment(literal(environment)).in_region(literal(region))
            }
        };
        // INVARIANT: a span of a script is not empty, and its places were read as ids.
        let window = window.build().ok().and_then(|window| Windows::new([window]).ok());
        let Some(window) = window else { return };
        self.struck(&format!("freeze until {until}"));
        self.tightened = self.tightened.iter().cloned().chain([(from, window)]).collect();
        for engine in &mut self.engines {
            engine.policy.tighten(&self.tightened);
        }
    }
}
