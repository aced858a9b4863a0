//! What stands around a provider, in its one order.

#[cfg(test)]
mod order;
#[cfg(test)]
mod redact;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tape;
