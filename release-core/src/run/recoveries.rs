//! How often a run was taken over in vain: what tells a run that brings its engines down from one that
//! only waits.

use super::event::Event;
use super::state::{Phase, RunState};
use crate::time::Timestamp;

impl RunState {
    /// How often in a row the run was taken over, with something to do each time, without getting
    /// anywhere. Getting somewhere is a step that is done, measured or failed for good, an answer of a
    /// person, a change of phase; to start, to look and to try again are not, since a run that brings
    /// its engines down does all of these just before.
    ///
    /// Taking over a run that has nothing to do but wait does not count: it brings nobody down, however
    /// often the engine is restarted for another reason.
    pub const fn recoveries(&self) -> u32 {
        self.recoveries
    }

    /// Notes that the run is about to be taken over.
    pub(super) fn count_recovery(&mut self, at: Timestamp) {
        if !self.only_waits(at) {
            self.recoveries = self.recoveries.saturating_add(1);
        }
    }

    pub(super) fn note_progress(&mut self, event: &Event) {
        match event {
            Event::TakenOver { .. }
            | Event::StepStarted { .. }
            | Event::StepBlocked { .. }
            | Event::StepRetried { .. }
            | Event::OutcomeUnknown { .. }
            | Event::CommandDenied { .. } => {}
            _ => self.recoveries = 0,
        }
    }

    /// Whether nothing is under way, nothing is due and nothing may start.
    fn only_waits(&self, at: Timestamp) -> bool {
        let ends = match self.phase {
            Phase::Stopping(_) => !self.waits_for_a_word(),
            Phase::Abandoning { .. } => true,
            Phase::Forward | Phase::RollingBack(_) | Phase::Finished(_) => false,
        };
        let starts = self.may_start() && !(self.ready.is_empty() && self.ready_pure.is_empty());
        let due = self.next_wakeup().is_some_and(|instant| instant <= at);
        self.in_flight == 0 && !ends && !starts && !due
    }
}
