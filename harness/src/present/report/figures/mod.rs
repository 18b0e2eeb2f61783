//! The figures, one a file.

pub mod capacity;
pub mod chain;
pub mod lookups;
pub mod machines;
pub mod map;
pub mod pareto;
pub mod percentiles;
pub mod phases;
pub mod readers;
pub mod scale;
pub mod trend;
