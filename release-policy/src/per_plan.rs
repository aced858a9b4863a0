//! What is found once for each plan, since plans are large.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use release_core::model::Digest;
use release_core::plan::{FrozenPlan, Plan};

/// Of how many plans it is kept.
const MOST_PLANS: usize = 16;

/// Something that follows from a plan alone, kept for the last that were asked about. A clone knows what the other does.
pub(crate) struct PerPlan<T>(Arc<Mutex<BTreeMap<Digest, Arc<T>>>>);

impl<T> PerPlan<T> {
    /// What was made of this plan, or what `make` makes of it.
    pub(crate) fn of(&self, plan: &FrozenPlan, make: impl FnOnce(&Plan) -> T) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&plan.digest()) {
            return Arc::clone(found);
        }
        let new = Arc::new(make(plan.plan()));
        if known.len() >= MOST_PLANS {
            known.pop_first();
        }
        known.insert(plan.digest(), Arc::clone(&new));
        new
    }
}

impl<T> Clone for PerPlan<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for PerPlan<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for PerPlan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerPlan").finish_non_exhaustive()
    }
}
