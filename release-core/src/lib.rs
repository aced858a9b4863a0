//! release-core
