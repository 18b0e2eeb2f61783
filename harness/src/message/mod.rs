//! Messages about memory that Linux, ndctl, daxctl, cxl, QEMU and Hyper-V print: what they mean.
//!
//! The messages are in `harness/messages/`, a file for each program or subsystem. An entry has the
//! exact formats, a pattern with named groups, what the message means, and the rule behind it.
//! [`recognise`] finds the message in a line and parses its numbers; [`Recognised::facts`] computes what
//! follows from them, e.g. how far an address is past a block boundary. [`read_lines`] reads a paste of
//! several lines, of which some may be wrapped. [`neighbours`] looks up on a map who else is there.

mod derive;
mod errno;
mod fact;
mod neighbour;
mod paste;
mod place;
mod recognise;
mod table;
mod value;

pub use fact::Fact;
pub use neighbour::{Neighbour, Neighbourhood, Relation, neighbours};
pub use paste::{Paste, PastedMessage, UnknownLine, read_lines};
pub use place::Place;
pub use recognise::{Recognised, nearest, recognise, recognise_all};
pub use table::{Message, Program, by_id, messages};
pub use value::{Unit, Value};

/// Bytes of a section of x86-64, and of arm64 with 4 KiB pages.
const SECTION_BYTES: u64 = 128 << 20;

/// Bytes of a sub-section.
const SUB_SECTION_BYTES: u64 = 2 << 20;
