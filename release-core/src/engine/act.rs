//! What a durable event makes of the effects: they start, are told that nobody needs them, or are dropped.

use std::sync::Arc;

use super::driver::Driver;
use super::rules::{self, OnEffects};
use crate::port::{AuthorizedCommand, Mandate};
use crate::run::{Event, Mode, Phase};

impl Driver {
    /// Starts, tells or drops effects, as a durable event says.
    pub(super) fn act_on(&mut self, event: &Event) {
        match rules::on_effects(event, self.state.plan()) {
            OnEffects::Launch { step, attempt, mode } => self.launch(step, attempt, mode),
            OnEffects::LeaveOff => self.leave_off(),
            OnEffects::DropOne { step } => self.effects.drop_one(step),
            OnEffects::DropAll => self.effects.drop_all(),
            OnEffects::Keep => {}
        }
        match event {
            // The plan has changed, or grown.
            Event::AlternateChosen { .. }
            | Event::TakeBackStarted { .. }
            | Event::RollbackStarted { .. } => self.mandate = None,
            Event::RollbackBlocked { .. } => self.forward = *self.state.phase() == Phase::Forward,
            _ => {}
        }
    }

    /// Tells the effects that go forward that nobody needs them, once the run no longer does.
    pub(super) fn leave_off(&mut self) {
        if self.forward && *self.state.phase() != Phase::Forward {
            let next = self.driven.child_token();
            std::mem::replace(&mut self.cancellation, next).cancel();
            self.forward = false;
            self.mandate = None;
        }
    }

    pub(super) fn launch(&mut self, step: u32, attempt: u32, mode: Mode) {
        let mandate = self.mandate.get_or_insert_with(|| {
            Arc::new(Mandate {
                run: self.state.run().clone(),
                plan: self.state.plan().clone(),
                epoch: self.sealer.epoch(),
                requester: Arc::clone(self.state.requester()),
                cancellation: self.cancellation.clone(),
            })
        });
        let active = self.state.active(step);
        let command = AuthorizedCommand {
            mandate: Arc::clone(mandate),
            step,
            attempt,
            generation: self.state.generation(step),
            generations: match self.state.generations() {
                none if none.is_empty() => None,
                some => Some(Arc::new(some.clone())),
            },
            deadline: active
                .and_then(|active| active.wait.instant())
                .unwrap_or_else(|| self.now.plus(self.state.plan().step(step).timeout)),
            since: self.state.window_start(step),
        };
        let performer = Arc::clone(&self.shared.performer);
        self.effects.launch(performer, command, mode, self.state.plan().len());
    }
}
