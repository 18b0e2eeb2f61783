//! What rows say: estimates and intervals, verdicts, comparisons, and limits.

pub mod compare;
pub mod cover_letter;
pub mod headline;
pub mod huge_pages;
pub mod judge;
pub mod limits;
pub mod statistics;
pub mod summary;
pub mod verdicts;
