//! A duel: compares the speed of two builds of this program on one CPU, in alternating slices.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`arena`](crate::engine::duel::arena) | the memory that the two workers and the referee share, with the futexes by which they hand over |
//! | [`referee`] | starts the workers, writes the script of each round, detects workers that hang or die |
//! | [`instructions`] | counts instructions per lookup in each build, under callgrind |
//! | [`source`] | builds commits, and caches the builds in the checkout |
//! | [`verdict`] | compares the times of the slices, case by case |
//!
//! A worker is this program, or an older or newer build of it, run as `duel-worker`. It boots the
//! layouts, checks every answer, and measures a slice when it is woken; the other participants
//! sleep meanwhile. Both workers have the same seed and therefore the same queries. One pair of
//! workers samples one placement of code and memory; several pairs give an interval.

pub mod instructions;
pub mod referee;
pub mod source;
pub mod verdict;
