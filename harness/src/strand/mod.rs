//! Stranded memory: what a range loses when it is cut inwards to whole memory blocks.
//!
//! RAM is added in memory blocks. The driver that makes RAM of a DAX device (`kmem`) cuts each range of the
//! device inwards to whole blocks; the rest has no use as RAM. As device memory (device DAX) the unit is a
//! sub-section of 2 MiB. Everything here takes plain values and prints nothing.
//!
//! | module | contents |
//! | --- | --- |
//! | [`mod@loss`] | what one range loses, by block size |
//! | [`candidates`] | the ranges of a machine that can lose something, each once |
//! | [`table`] | ranges by block sizes, totals, the largest block size without loss |
//! | [`block_size`] | the block size that Linux chooses on a map |
//! | [`namespaces`] | the alignment of namespaces |

pub mod block_size;
pub mod candidates;
pub mod loss;
pub mod namespaces;
pub mod table;

pub use block_size::{Chosen, chosen_block_size};
pub use candidates::{Candidate, CandidateKind, Candidates};
pub use loss::{Loss, loss};
pub use table::{RangeLosses, Stranding};

/// Unit of device memory (a sub-section) in bytes.
pub const DEVICE_UNIT: u64 = 2 << 20;

/// Sizes of memory blocks in bytes for which losses are computed: a sub-section, the section of ppc64,
/// and the blocks of x86-64.
pub const BLOCK_SIZES: [u64; 7] = [DEVICE_UNIT, 16 << 20, SMALLEST_BLOCK, 256 << 20, 512 << 20, 1 << 30, LARGEST_BLOCK];

/// The smallest memory block of x86-64 in bytes: a section.
pub const SMALLEST_BLOCK: u64 = 128 << 20;

/// The largest memory block that x86-64 chooses by itself, in bytes.
pub const LARGEST_BLOCK: u64 = 2 << 30;
