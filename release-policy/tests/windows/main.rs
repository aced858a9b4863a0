//! What windows promise, part by part. Against brute force: `windows_oracle.rs`.

#[cfg(test)]
mod brute_force;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod files;
#[cfg(test)]
mod ical;
#[cfg(test)]
mod midflight;
#[cfg(test)]
mod others;
#[cfg(test)]
mod search;
#[cfg(test)]
mod semantics;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waivers;
