//! Plugins in processes of their own: ordinary ones, and one that does everything wrong.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod ordinary;
#[cfg(test)]
mod python;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod support;
