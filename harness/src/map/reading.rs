//! What a text says of a machine.

use super::inventory::Inventory;
use super::physical_map::PhysicalMap;

/// What a text says of a machine: its address ranges, and what they consist of.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The address ranges with memory.
    pub map: PhysicalMap,
    /// DIMMs, windows, regions, namespaces, devices and memory blocks.
    pub inventory: Inventory,
}
