//! Plugins in processes of their own: ordinary ones, and one that does everything wrong.

mod contract;
mod hostile;
mod ordinary;
mod support;
