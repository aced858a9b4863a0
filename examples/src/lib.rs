//! Runnable examples: see `quickstart/` and the README.
