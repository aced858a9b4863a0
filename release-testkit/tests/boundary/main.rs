//! One suite, both sides: the suites of the traits over the plugin boundary, with fakes on the other side, and with a
//! plugin in another language.

#[cfg(test)]
mod python;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod suites;
