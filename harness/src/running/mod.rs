//! The running kernel's own tables, read and not modelled.
//!
//! `/proc/kcore` shows the memory of the kernel, `/proc/kallsyms` where its tables begin, and
//! `/sys/kernel/btf/vmlinux` how its structures are laid out and which bit a flag is. Only root may
//! read them, and a kernel in lockdown refuses `/proc/kcore` to root too.

pub mod btf;
pub mod error;
pub mod kcore;
pub mod section_table;
pub mod snapshot;

pub use error::RunningError;
pub use section_table::{FlagBits, RunningSection, RunningSections};
pub use snapshot::Snapshot;
