//! release-testkit
