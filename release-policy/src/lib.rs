//! release-policy
