//! What the run knows of feature flags: how each stood before it changed anything.

use std::collections::BTreeMap;

use super::digest::{Mix, READING};
use super::event::StepRef;
use super::judge::Judgement;
use super::state::RunState;
use crate::flags::{FlagReading, FlagState};
use crate::ids::StepId;
use crate::plan::{Action, FlagDeed, FlagStep};
use crate::port::{EffectError, Evidence};

/// What steps read of flags, by the step, with a sum over it for the digest of the run's state.
#[derive(Debug, Clone, Default)]
pub(super) struct Readings {
    all: BTreeMap<StepId, FlagReading>,
    pub(super) sum: u64,
}

fn hash(step: &StepId, reading: &FlagReading) -> u64 {
    let FlagReading { environment, flag, state, revision, killed } = reading;
    let kind = match state {
        FlagState::Off => 1,
        FlagState::On => 2,
        FlagState::Share { .. } => 3,
    };
    let mix = Mix::new(READING)
        .text(step.as_str())
        .text(environment.as_str())
        .text(flag.as_str())
        .word(kind << 8 | u64::from(state.percent()))
        .word(*revision);
    killed.as_ref().map_or(mix, |why| mix.text(why)).end()
}

impl Readings {
    fn note(&mut self, step: &StepId, reading: &FlagReading) {
        let before = self.all.insert(step.clone(), reading.clone());
        let before = before.map_or(0, |before| hash(step, &before));
        self.sum = self.sum.wrapping_sub(before).wrapping_add(hash(step, reading));
    }

    pub(super) fn recount(&self) -> u64 {
        self.all.iter().fold(0, |sum, (step, reading)| sum.wrapping_add(hash(step, reading)))
    }
}

impl RunState {
    /// How a flag stood before the run changed it, as the step read it that is to be named. A rollback restores that.
    pub fn flag_before(&self, step: &StepId) -> Option<&FlagReading> {
        self.readings.all.get(step)
    }

    /// Keeps what a step read that is done.
    pub(super) fn keep_reading(&mut self, step: &StepRef, evidence: &Evidence) {
        let Evidence::Flag(reading) = evidence else { return };
        let reads =
            |action: &Action| matches!(action, Action::Flag(FlagStep { deed: FlagDeed::Read, .. }));
        if self.plan.get(step.index).is_some_and(|known| reads(&known.action)) {
            self.readings.note(&step.id, reading);
        }
    }
}

/// Whether a flag stands as was asked for.
///
/// A killed flag fails what would turn it on, for good: a person who switched it off in an emergency outweighs a plan.
/// What restores it lets it be, and has done its work.
pub(super) fn as_asked(asked: &FlagStep, found: &FlagReading) -> Judgement {
    let FlagStep { environment, flag, deed } = asked;
    if (environment, flag) != (&found.environment, &found.flag) {
        let message = format!(
            "asked for flag {flag} in {environment}, but found {} in {}",
            found.flag, found.environment
        );
        return Judgement::fail(EffectError::permanent("identity_mismatch", message));
    }
    let pass = |because: Option<String>| Judgement::Pass { because, found: None };
    let killed = found.killed.as_ref().filter(|_| found.state == FlagState::Off);
    let wrong = |wanted: FlagState| {
        let message = format!("flag {flag} is {}, and was to be {wanted}", found.state);
        Judgement::fail(EffectError::transient("wrong_state", message))
    };
    match deed {
        FlagDeed::Read => pass(Some(found.to_string())),
        FlagDeed::Set { state } | FlagDeed::Restore { state: Some(state), .. }
            if *state == found.state =>
        {
            pass(None)
        }
        FlagDeed::Set { state } => killed.map_or_else(
            || wrong(*state),
            |why| {
                let message = format!(
                    "flag {flag} was killed in {environment} by {why}, and is not turned on again; revive it in its store, then retry the step"
                );
                Judgement::fail(EffectError::permanent("flag_killed", message))
            },
        ),
        FlagDeed::Restore { state: Some(state), .. } => killed.map_or_else(
            || wrong(*state),
            |why| pass(Some(format!("it was {state} before, was killed by {why}, and stays off"))),
        ),
        FlagDeed::Restore { state: None, from } => {
            let message =
                format!("nothing was recorded of what {from} read; set flag {flag} by hand");
            Judgement::fail(EffectError::permanent("not_recorded", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(state: FlagState, killed: bool) -> FlagReading {
        FlagReading {
            environment: "prod".parse().unwrap(),
            flag: "dark-mode".parse().unwrap(),
            state,
            revision: 3,
            killed: killed.then(|| "ann: it burns".into()),
        }
    }

    fn judged(deed: FlagDeed, found: &FlagReading) -> Result<Option<String>, String> {
        let (environment, flag) = (found.environment.clone(), found.flag.clone());
        match as_asked(&FlagStep { environment, flag, deed }, found) {
            Judgement::Pass { because, .. } => Ok(because),
            Judgement::Fail { error, .. } => Err(error.kind),
            Judgement::Again { .. } => Err("again".into()),
        }
    }

    #[test]
    fn a_flag_counts_as_set_only_when_it_stands_so() {
        let set = |state| FlagDeed::Set { state };
        let half = FlagState::Share { percent: 50 };
        assert_eq!(judged(set(half), &reading(half, false)), Ok(None));
        let wrong = judged(set(half), &reading(FlagState::On, false));
        assert_eq!(wrong, Err("wrong_state".into()));
        let other = FlagStep::set("prod".parse().unwrap(), "other".parse().unwrap(), half);
        assert!(matches!(as_asked(&other, &reading(half, false)), Judgement::Fail { error, .. }
            if error.kind == "identity_mismatch"));
    }

    #[test]
    fn a_killed_flag_fails_what_would_turn_it_on_and_not_what_restores_it() {
        let killed = reading(FlagState::Off, true);
        let restore = |state| FlagDeed::Restore { from: "read".parse().unwrap(), state };
        let on = judged(FlagDeed::Set { state: FlagState::On }, &killed);
        assert_eq!(on, Err("flag_killed".into()));
        assert_eq!(judged(FlagDeed::Set { state: FlagState::Off }, &killed), Ok(None));
        let kept = judged(restore(Some(FlagState::On)), &killed).unwrap().unwrap();
        assert_eq!(kept, "it was on before, was killed by ann: it burns, and stays off");
        // A store that says killed, and has it on, is believed in nothing.
        let lies = reading(FlagState::On, true);
        let off = judged(restore(Some(FlagState::Off)), &lies);
        assert_eq!(off, Err("wrong_state".into()));
        assert_eq!(judged(restore(None), &killed), Err("not_recorded".into()));
    }
}
