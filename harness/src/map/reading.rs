//! What a text says of a machine, and what became of each of its lines.

use super::decoration::Undone;
use super::inventory::{Inventory, Listing, Span};
use super::physical_map::PhysicalMap;
use schemars::JsonSchema;
use serde::Serialize;

/// What a text says of a machine: its address ranges, what they consist of, and the lines that say so.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The address ranges with memory.
    pub map: PhysicalMap,
    /// DIMMs, windows, regions, namespaces, devices and memory blocks.
    pub inventory: Inventory,
    /// Address ranges that SRAT reserves for memory that may be added.
    pub hotplug_windows: Vec<Span>,
    /// The parts of windows that neither memory nor another resource uses.
    pub unused: Vec<UnusedPart>,
    /// The listings of the text.
    pub sources: Vec<SourceLines>,
    /// Decorations that were undone before the text was read.
    pub undone: Vec<Undone>,
    /// Lines that are known and say nothing of memory, by kind.
    pub skipped: Vec<Skipped>,
    /// Lines that were not understood.
    pub unknown: Vec<UnknownLine>,
    /// Statements of sources that contradict each other, as sentences.
    pub contradictions: Vec<String>,
}

impl Reading {
    /// A reading of a map that comes from no text.
    pub fn of_map(map: PhysicalMap) -> Self {
        let mut reading = Self {
            map,
            inventory: Inventory::default(),
            hotplug_windows: Vec::new(),
            unused: Vec::new(),
            sources: Vec::new(),
            undone: Vec::new(),
            skipped: Vec::new(),
            unknown: Vec::new(),
            contradictions: Vec::new(),
        };
        super::windows::windows_of_map(&mut reading);
        reading
    }
}

/// A part of a window that is unused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnusedPart {
    /// Name of the window.
    pub window: String,
    /// Its addresses.
    pub span: Span,
}

/// Where a listing stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceLines {
    /// The listing.
    pub listing: Listing,
    /// Number of its first line, from 1.
    pub first_line: usize,
    /// Number of its last line.
    pub last_line: usize,
    /// Number of its entries.
    pub entries: usize,
}

/// Lines that are known and say nothing of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Skipped {
    /// The kind of lines.
    pub kind: &'static str,
    /// Their number.
    pub lines: usize,
    /// Number of the first, from 1.
    pub first: usize,
}

/// A line that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnknownLine {
    /// Line number, from 1.
    pub line: usize,
    /// Its text, shortened if it is long.
    pub text: String,
}
