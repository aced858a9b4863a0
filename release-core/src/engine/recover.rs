//! What a run does when its journal fails: it waits, reads, and decides anew.
//!
//! A decision that could not be made durable was never made. It is not kept for later, because it may
//! no longer hold: meanwhile a freeze may have begun, a deadline passed, somebody else answered. What
//! is kept is what came in from outside: outcomes of effects, and what people asked for.

use std::sync::Arc;

use super::EngineError;
use super::driver::{Driver, INBOX};
use super::handle::{Request, SendError};
use super::rules::{self, AfterFailedAppend, AfterReading, Doubt};
use super::wake::receive;
use crate::journal::{AppendError, History, ReadError, Sealer};
use crate::run::Wait;
use crate::time::Span;

impl Driver {
    /// Waits until the journal can be read, and goes on from what it says. Returns whether it turned out
    /// to have stored the batch; if not, everything that came in is decided anew.
    ///
    /// # Errors
    /// When somebody else has the run, when the journal is damaged, or when the engine shuts down.
    pub(super) async fn recover(&mut self, error: AppendError) -> Result<bool, EngineError> {
        match rules::after_failed_append(&error, self.trouble.in_doubt) {
            AfterFailedAppend::ReadBack { in_doubt } => self.trouble.in_doubt = in_doubt,
            AfterFailedAppend::Stop => return Err(error.into()),
        }
        self.trouble.crowded = matches!(error, AppendError::NoSpace { .. });
        if matches!(error, AppendError::Unknown { .. }) {
            let answers = self.asked.iter().map(|asked| asked.answer.clone()).collect();
            self.trouble.doubts.push(Doubt { head: self.sealer.head(), answers });
        }
        tracing::warn!(run = %self.state.run(), %error, "the journal fails; the run waits for it");
        let durable = self.sealer.seq().saturating_sub(self.pending.len() as u64);
        let history = self.read_when_possible(&error).await?;
        let mine = self.trouble.in_doubt || !matches!(error, AppendError::Conflict { .. });
        if !mine && !rules::only_denials(&history, durable) {
            return Err(error.into());
        }
        match rules::after_reading(&self.sealer, &history) {
            AfterReading::Fenced => {
                let run = self.state.run().clone();
                let (epoch, stored) = (self.sealer.epoch(), history.epoch());
                Err(AppendError::Fenced { run, epoch, stored }.into())
            }
            AfterReading::Stored => Ok(true),
            AfterReading::GoBack => {
                self.go_back_to(&history)?;
                Ok(false)
            }
        }
    }

    async fn read_when_possible(&mut self, error: &AppendError) -> Result<History, EngineError> {
        loop {
            let pause = rules::pause_before_reading(self.failures);
            self.failures = self.failures.saturating_add(1);
            self.rest(pause, error).await?;
            match self.shared.journal.read(self.state.run()).await {
                Ok(records) => return Ok(History::verify(self.state.run(), &records)?),
                Err(error @ ReadError::Unavailable { .. }) => {
                    tracing::debug!(run = %self.state.run(), %error, "still waiting");
                }
                Err(error @ ReadError::Damaged { .. }) => return Err(error.into()),
            }
        }
    }

    /// Waits for `pause`. What people ask for meanwhile is kept; who wants to see the state is told that
    /// nobody can know it now.
    async fn rest(&mut self, pause: Span, error: &AppendError) -> Result<(), EngineError> {
        let shared = Arc::clone(&self.shared);
        let until = shared.clock.now().plus(pause);
        loop {
            let request = tokio::select! {
                () = shared.stop.cancelled() => return Err(EngineError::ShutDown),
                () = shared.clock.sleep_until(until) => return Ok(()),
                request = receive(&mut self.inbox), if self.deferred.len() < INBOX => request,
            };
            match request {
                None => self.inbox = None, // every handle is gone; the run goes on
                Some(Request::Look(look)) => {
                    look(Err(SendError::JournalFails { detail: error.to_string() }));
                }
                Some(request) => self.deferred.push_back(request),
            }
        }
    }

    /// Forgets all decisions that are not durable, and takes up what came in since. What was stored late is
    /// answered as it was decided.
    fn go_back_to(&mut self, history: &History) -> Result<(), EngineError> {
        self.state = history.state(self.base.clone(), None)?;
        self.restart_permits();
        let (run, seq) = (self.state.run(), history.facts().len() as u64);
        self.sealer = Sealer::after(run, seq, history.epoch(), history.head());
        self.pending.clear();
        let answers = rules::stored_late(&mut self.trouble.doubts, history);
        for (asked, answer) in self.asked.drain(..answers.len().min(self.asked.len())).zip(answers)
        {
            if let Some(reply) = asked.reply {
                // A caller that went away is no fault.
                let _ = reply.send(answer);
            }
        }
        self.mandate = None;
        self.leave_off();
        self.read_clock();
        let state = &self.state;
        self.effects.drop_others(|step, attempt| {
            state.active(step).is_some_and(|active| {
                active.attempt == attempt && matches!(active.wait, Wait::Outcome { .. })
            })
        });
        self.launch_missing();
        for asked in std::mem::take(&mut self.asked) {
            self.decide(asked.input, asked.reply)?;
        }
        Ok(())
    }

    /// Starts effects that a late append announced after all. None is started twice: it is known here
    /// which ones run, and which have ended without their outcome being durable.
    fn launch_missing(&mut self) {
        let asked = self.asked.iter().map(|asked| &asked.input);
        let runs = |index, attempt| self.effects.runs(index, attempt);
        let missing = rules::unheard_of(&self.state, asked, runs);
        for (index, attempt, mode) in missing {
            self.launch(index, attempt, mode);
        }
    }
}
