//! Trials.

pub mod delivery;
