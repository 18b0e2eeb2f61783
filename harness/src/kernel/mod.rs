//! Linux's own lookups: compiled on the user's machine from the headers of a kernel, and loaded into
//! this process.
//!
//! ```text
//!  headers ──▶ compiler ──▶ cache ──▶ image ──▶ the contestant compiled-VERSION (engine/compiled/)
//!  (Debian's package,  (gcc, unit.c)   (object file)  (below 2 GiB, relocated)
//!   or a folder)
//! ```
//!
//! Compiled kernel code is under the GPL. It stays in the cache of the user who made it.

pub mod alternatives;
pub mod cache;
pub mod code;
pub mod compiler;
pub mod debian;
pub mod error;
pub mod facts;
pub mod headers;
pub mod image;
pub mod listing;
mod low_memory;
mod per_cpu;
pub mod release;
pub mod support;
