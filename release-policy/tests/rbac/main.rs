//! Who may do what: tables, properties, and each answer beside the same by brute force.

#[cfg(test)]
mod support;

#[cfg(test)]
mod files;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod separation;
#[cfg(test)]
mod shortest;
