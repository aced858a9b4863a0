//! Shares as they are asked for.

use std::collections::BTreeSet;

use release_core::model::TrafficRules;
use release_core::plan::Weight;

use crate::spi::SetWeights;
use crate::{Abilities, ErrorKind, ProviderError};

/// The shares of a request in order, without those of nothing; checks that they make a whole, and that nothing is asked that
/// is not declared.
pub(crate) fn wanted(
    operation: &'static str,
    request: &SetWeights,
    able: &Abilities,
) -> Result<Vec<Weight>, ProviderError> {
    if let Some(what) = able.lacks(request) {
        let text = format!("this router does not {what}");
        return Err(ProviderError::new(ErrorKind::Unsupported, operation, text)
            .with_context("target", &request.target));
    }
    if let Some(problem) = request.rules.as_ref().and_then(TrafficRules::problem) {
        return Err(ProviderError::new(ErrorKind::Invalid, operation, problem)
            .with_context("target", &request.target));
    }
    let sum: u32 = request.weights.iter().map(|weight| u32::from(weight.percent)).sum();
    let different: BTreeSet<_> =
        request.weights.iter().map(|weight| (weight.digest, &weight.track)).collect();
    let text = if different.len() != request.weights.len() {
        "a version is named twice; give each version one share"
    } else if sum != 100 && !request.weights.is_empty() {
        "shares must add up to 100 percent"
    } else {
        let mut weights = request.weights.clone();
        weights.retain(|weight| weight.percent > 0);
        weights.sort();
        return Ok(weights);
    };
    Err(ProviderError::new(ErrorKind::Invalid, operation, text)
        .with_context("target", &request.target)
        .with_context("sum", sum))
}
