//! What somebody may be allowed to do.

use std::fmt;

use release_core::run::Command;
use serde::{Deserialize, Serialize};

use crate::window::ActionClass;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What somebody may be allowed, or forbidden, to do.
        ///
        /// A closed list: a misspelt action in a rule that forbids would forbid nothing, and nobody would
        /// notice. What a host's own providers do has the class that [`Classes`](crate::window::Classes)
        /// gives it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Action {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Action {
            /// All that there are.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name as it stands in files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

actions! {
    /// Ask for a change.
    Request = "request";
    /// Bring a version into an environment.
    Deploy = "deploy";
    /// Move traffic to another version.
    Advance = "advance";
    /// Change a schema or data.
    Migrate = "migrate";
    /// Change a feature flag.
    FlagChange = "flag_change";
    /// Go back to what was.
    Rollback = "rollback";
    /// Switch something off in an emergency.
    KillSwitch = "kill_switch";
    /// Approve a gate.
    Approve = "approve";
    /// Reject a gate.
    Reject = "reject";
    /// Let a run start nothing new.
    Pause = "pause";
    /// Let it start new steps again.
    Resume = "resume";
    /// Stop a run.
    Cancel = "cancel";
    /// Try a failed step again.
    Retry = "retry";
    /// End a bake before its time, also that of an old version that is kept, which is then stopped: behind a router that does not count
    /// requests under way nothing else waits for these.
    EndBake = "end_bake";
    /// Say whether an unknown effect took place.
    Reconcile = "reconcile";
    /// Give up a run that waits for a person.
    Abandon = "abandon";
    /// Give up a run at once.
    ForceAbandon = "force_abandon";
    /// Put a newer run in the place of another.
    Supersede = "supersede";
    /// Let a run be resumed that was taken over in vain too often.
    ReleaseQuarantine = "release_quarantine";
    /// Let a run go on with another plan.
    ChangePlan = "change_plan";
    /// Leave a member of a train behind.
    Descope = "descope";
    /// Give somebody leave from a window, or take it back.
    Waive = "waive";
    /// Let a version set into a stage whose criteria it does not meet.
    Override = "override";
    /// Look at what was done without the usual consent.
    Review = "review";
    /// Set other rules for the day.
    ChangeRules = "change_rules";
    /// Say something of a run that is kept with it.
    Note = "note";
    /// Tell a run of an incident or an alert, which may take it back.
    Signal = "signal";
}

impl Action {
    /// The action that a command is, if this version knows it: what it does not know, nobody may.
    pub const fn of_command(command: &Command) -> Option<Self> {
        Some(match command {
            Command::Pause => Self::Pause,
            Command::Resume => Self::Resume,
            Command::Cancel => Self::Cancel,
            Command::Approve { .. } | Command::Withdraw { .. } => Self::Approve,
            Command::Reject { .. } => Self::Reject,
            Command::Retry { .. } => Self::Retry,
            Command::EndBake { .. } => Self::EndBake,
            Command::Reconcile { .. } => Self::Reconcile,
            Command::Abandon => Self::Abandon,
            Command::ForceAbandon => Self::ForceAbandon,
            Command::ReleaseQuarantine => Self::ReleaseQuarantine,
            Command::Migrate { .. } => Self::ChangePlan,
            Command::Supersede { .. } => Self::Supersede,
            Command::Descope { .. } => Self::Descope,
            Command::Note { .. } => Self::Note,
            Command::Signal { .. } => Self::Signal,
            _ => return None,
        })
    }

    /// The action that a step of this class is.
    pub const fn of_class(class: ActionClass) -> Self {
        match class {
            ActionClass::Deploy => Self::Deploy,
            ActionClass::Advance => Self::Advance,
            ActionClass::Approve => Self::Approve,
            ActionClass::Migrate => Self::Migrate,
            ActionClass::FlagChange => Self::FlagChange,
            ActionClass::Rollback => Self::Rollback,
            ActionClass::KillSwitch => Self::KillSwitch,
            ActionClass::Cancel => Self::Cancel,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
