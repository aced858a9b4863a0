//! Change requests: their types and states, the risk that routes them, and how a template earns its status.
//!
//! The words are those of ITIL. Nothing here allows anything: a risk only says *who* must agree, and a state
//! only follows once they did.
// How it is fed: the host journals each `Step` of a change and folds it; `Routing` and `Standing` are
// computed when the change is assessed, and their digests belong into the subject's evidence. A change whose
// fold says `Stepped::cancels_approvals` has an `ApprovalFact::Reset` journaled with it.

mod calibration;
mod risk;
mod standing;
mod state;

pub use self::calibration::{Bin, Calibration, Forecast, calibrate};
pub use self::risk::{
    Band, Contribution, Factor, MAX_POINTS, RiskAssessment, RiskError, RiskInputs, RiskModel,
    Route, Routing,
};
pub use self::standing::{Outcome, Standing, StandingRule, StandingRuleError, standing};
pub use self::state::{ChangeState, ChangeType, IllegalStep, Step, Stepped, step};
