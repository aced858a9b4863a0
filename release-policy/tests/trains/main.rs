//! Release trains: scopes that are signed, and when trains depart.

#[cfg(test)]
mod models;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waves;
