//! The atomics of the publication and grace period protocols: loom's under `--cfg loom`, otherwise
//! the standard library's.

#[cfg(loom)]
pub(crate) use loom::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    thread::yield_now,
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    thread::yield_now,
};
