//! Why an object file cannot be loaded.

use super::facts::Misfit;
use std::io;
use thiserror::Error;

/// Why an object file cannot be loaded.
#[derive(Debug, Error)]
pub enum ImageError {
    /// It is not an object file that this processor can execute.
    #[error("not a relocatable object file for x86-64: {0}")]
    NotAnObject(String),
    /// It needs something of the kernel that does not exist in user space.
    #[error("the compiled lookups use {symbol} of the kernel, which pfnbench does not provide")]
    Symbol {
        /// Name of the symbol.
        symbol: String,
    },
    /// It has a relocation that is not supported.
    #[error("section {section} has a relocation of type {kind} for {symbol:?}, which pfnbench does not support")]
    Relocation {
        /// Name of the section.
        section: String,
        /// Type of the relocation in the ABI, e.g. 2 for `R_X86_64_PC32`.
        kind: u32,
        /// Name of its symbol.
        symbol: String,
    },
    /// An address does not fit into a relocation.
    #[error("{symbol:?} is too far from section {section} for an address of 32 bits")]
    TooFar {
        /// Name of the section.
        section: String,
        /// Name of the symbol.
        symbol: String,
    },
    /// The kernel has another configuration than the layouts.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// It lacks a loop or a constant.
    #[error("the object file does not define {0}")]
    Missing(String),
    /// The alternatives of the kernel's code do not have the form that its headers describe.
    #[error("the alternatives of the compiled lookups are damaged: {0}")]
    Alternatives(&'static str),
    /// No memory below 2 GiB.
    #[error("no free memory below 2 GiB for the compiled lookups: {0}")]
    NoMemory(io::Error),
}
