//! Release trains: scopes that are signed, and when trains depart.

#[cfg(test)]
mod calendar;
#[cfg(test)]
mod calendar_bounds;
#[cfg(test)]
mod calendar_deadlines;
#[cfg(test)]
mod calendar_hostile;
#[cfg(test)]
mod calendar_ical;
#[cfg(test)]
mod calendar_path;
#[cfg(test)]
mod calendar_refused;
#[cfg(test)]
mod calendar_together;
#[cfg(test)]
mod compat;
#[cfg(test)]
mod conducted;
#[cfg(test)]
mod conducted_parts;
#[cfg(test)]
mod departures;
#[cfg(test)]
mod hotfixes;
#[cfg(test)]
mod journeys;
#[cfg(test)]
mod millions;
#[cfg(test)]
mod models;
#[cfg(test)]
mod one_train;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod season;
#[cfg(test)]
mod support;
#[cfg(test)]
mod waves;
#[cfg(test)]
mod waves_hours;
#[cfg(test)]
mod waves_many;
