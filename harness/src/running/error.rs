//! Why the tables of the running kernel cannot be read.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why the tables of the running kernel cannot be read.
#[derive(Debug, Error)]
pub enum RunningError {
    /// A file of the kernel cannot be read: the user is not root, or the kernel is in lockdown.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system reported.
        source: io::Error,
    },
    /// A symbol is missing or its address is hidden.
    #[error("/proc/kallsyms {what} {symbol}")]
    Symbol {
        /// Name of the symbol.
        symbol: &'static str,
        /// `has no` or `hides the address of`.
        what: &'static str,
    },
    /// The type information is damaged, or lacks a structure.
    #[error("/sys/kernel/btf/vmlinux {0}")]
    Btf(String),
    /// An address is in no segment of the kernel's memory.
    #[error("/proc/kcore has no memory at {0:#x}")]
    NoMemory(u64),
    /// `/proc/kcore` is no core file.
    #[error("/proc/kcore is not a 64-bit ELF core file")]
    NotACore,
}
