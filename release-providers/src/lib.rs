//! release-providers
