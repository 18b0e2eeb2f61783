//! The figures of the report, one per file: its data first, then the picture drawn from them.

pub mod answer;
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
mod together;
pub mod trend;
