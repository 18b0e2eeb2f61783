//! Analysis of rows: estimates and confidence intervals, verdicts, comparisons of runs, and limits.

pub mod compare;
pub mod headline;
pub mod huge_pages;
pub mod judge;
pub mod limits;
pub mod model_cost;
pub mod running_ratio;
pub mod statistics;
pub mod summary;
pub mod verdicts;
