//! Promotion: where version sets may come from, which gates they pass, and what a pipeline says before it runs.

#[cfg(test)]
mod support;

#[cfg(test)]
mod analysis;
#[cfg(test)]
mod azure;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod kargo;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod owners;
