//! Whole measurements: a duel of two builds.

pub mod duel;
