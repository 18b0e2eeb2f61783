//! A duel: two builds of this program measured against each other on one processor, in slices that
//! take turns.
//!
//! | part | what it does |
//! | --- | --- |
//! | [`arena`](crate::engine::duel::arena) | the memory that the two workers and the referee share, and the bells by which they hand over |
//! | [`referee`] | starts the workers, writes the script of each round, watches that they get on |
//! | [`instructions`] | instructions a lookup in either build, under callgrind |
//! | [`source`] | builds of commits, cached in the checkout |
//! | [`verdict`] | what the slices say, layout by layout |
//!
//! A worker is this program, or an older or newer build of it, run as `duel-worker`. It boots the
//! layouts, checks every answer, and measures a slice when its bell rings; the other participants
//! sleep meanwhile. Both workers have the same seed and therefore the same queries. One pair of
//! workers samples one placement of code and memory; several pairs give an interval.

pub mod instructions;
pub mod referee;
pub mod source;
pub mod verdict;
