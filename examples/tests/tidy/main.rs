//! Rules of the workspace that neither rustc nor clippy can check, each shown to be able to fail.

#[cfg(test)]
mod rules;
#[cfg(test)]
mod rules_can_fail;
#[cfg(test)]
mod workspace;
