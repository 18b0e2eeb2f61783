//! Where the memory of a machine went: every byte in one row, from DIMMs up to what can be used.
//!
//! ```text
//!  DIMMs, expanders ─▶ regions ─▶ namespaces, DAX devices ─▶ memory blocks ─▶ RAM
//!    in no region       free,       header, records,          outside whole     records
//!                       disabled    alignment, padding        blocks, offline
//! ```
//! What is left at each step is the next step's memory. Rows of [`Stage::Usable`] are what is left at
//! the end.
//!
//! | module | contents |
//! | --- | --- |
//! | `ledger` | rows, losses, and what would win bytes back |
//! | `media` | capacity of DIMMs and expanders that no region uses |
//! | `regions` | regions with their namespaces and devices |
//! | `blocks` | memory blocks of devices that are RAM |
//! | `ram` | RAM, and the records in it |
//! | [`shift`] | the same machine with other addresses of its devices |

mod blocks;
mod ledger;
mod media;
mod ram;
mod regions;
pub mod shift;

pub use ledger::{Audit, AuditListing, Loss, Row, Stage, WinBack};

use crate::kernel_version::KernelVersion;
use crate::map::Reading;
use crate::map::inventory::{Device, Span};
use crate::pmem::{HOST, KernelRules, NearbyMemory};
use crate::strand::chosen_block_size;
use memmap_layouts::nvdimm::Extent;

/// What an audit is to assume.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Kernel whose rules apply; `None` for those that created what exists, and the current ones for the
    /// rest.
    pub kernel: Option<KernelVersion>,
    /// Size of a memory block in bytes; `None` for what the text states, or what a kernel would choose.
    pub block_bytes: Option<u64>,
    /// Bytes by which firmware moved everything but RAM, before the audit.
    pub shift: Option<i64>,
}

/// What all parts of an audit need.
struct Machine<'a> {
    reading: &'a Reading,
    options: Options,
    block_bytes: u64,
}

impl Machine<'_> {
    /// The kernel's rules for what is created new.
    fn rules(&self) -> KernelRules {
        self.options.kernel.map_or(KernelRules::Merged, KernelRules::Version)
    }

    /// RAM and the regions apart from one.
    fn around(&self, own: Option<Span>) -> NearbyMemory {
        let extent = |span: Span| Extent::new(span.start, span.bytes());
        let ranges = self.reading.map.ranges.iter();
        let ram = ranges.filter(|range| range.kind == crate::map::Kind::Ram).filter_map(|range| extent(range.span()));
        let regions = self.reading.inventory.regions.iter().filter(|region| region.enabled);
        let others = regions.filter_map(|region| region.span).filter(|span| Some(*span) != own);
        NearbyMemory { ram: ram.collect(), regions: others.filter_map(extent).collect() }
    }
}

/// Size of a memory block in bytes on a machine, and the reason.
fn block_size(reading: &Reading, options: &Options) -> (u64, String) {
    if let Some(bytes) = options.block_bytes {
        return (bytes, "as requested".to_owned());
    }
    if let Some(bytes) = reading.inventory.block_bytes {
        return (bytes, "as the text states".to_owned());
    }
    let version = options.kernel.unwrap_or(KernelVersion::CURRENT);
    match chosen_block_size(version, &reading.map, &reading.inventory, true) {
        Some(chosen) => (chosen.block_bytes, format!("as Linux {version} would choose it on x86-64, bare metal")),
        None => (HOST.section_bytes, "a section of x86-64, since the text does not say where RAM ends".to_owned()),
    }
}

/// Audits a machine.
///
/// ```
/// use pfnbench::audit::{Options, audit};
/// use pfnbench::map::read_machine;
///
/// let text = r#"{"dev":"region0","size":1073741824,"resource":4294967296,"type":"pmem","namespaces":[
///   {"dev":"namespace0.0","mode":"fsdax","map":"dev","size":1054867456,"align":2097152}]}"#;
/// let audit = audit(&read_machine("small", "an example", text)?, &Options::default());
/// assert_eq!(audit.total_bytes, 1 << 30);
/// assert_eq!(audit.rows.iter().map(|row| row.bytes).sum::<u64>(), 1 << 30);
/// assert_eq!(audit.usable_bytes, 1_054_867_456);
/// # Ok::<(), pfnbench::map::MapError>(())
/// ```
pub fn audit(reading: &Reading, options: &Options) -> Audit {
    let shifted;
    let (reading, moved) = match options.shift {
        Some(by) => {
            shifted = shift::shifted(reading, by);
            (&shifted.reading, Some(&shifted))
        }
        None => (reading, None),
    };
    let (block_bytes, block_reason) = block_size(reading, options);
    let machine = Machine { reading, options: *options, block_bytes };
    let mut ledger = ledger::Ledger::default();
    media::enter(&machine, &mut ledger);
    for span in moved.iter().flat_map(|moved| &moved.covered) {
        let cause = format!("RAM has {span} already");
        let rule = "an address belongs to one memory (all versions)";
        let loss = Loss { cause, rule, win_back: None };
        ledger.lose(Stage::Region, "memory of devices", "on addresses of RAM", span.bytes(), loss);
    }
    let added = regions::enter(&machine, moved, &mut ledger);
    ram::enter(&machine, &added, &mut ledger);
    let mut notes = ledger.notes.clone();
    notes.extend(moved.into_iter().flat_map(|moved| moved.notes.clone()));
    if ledger.nr_win_backs() > 1 {
        notes.push("each win-back is computed for its loss alone; together they may give less".to_owned());
    }
    ledger.finish(options.kernel, block_bytes, block_reason, reading.unused.clone(), notes)
}

/// Fills in the addresses of namespaces and of their DAX devices that no source states. They follow from the
/// place of the region, if that is known: namespaces lie one behind the other, and their data behind its
/// header and records.
pub fn place_namespaces(reading: &mut Reading) {
    let options = Options::default();
    let (block_bytes, _) = block_size(reading, &options);
    let found = regions::addresses(&Machine { reading, options, block_bytes });
    let inventory = &mut reading.inventory;
    for (name, span) in found {
        for namespace in inventory.namespaces.iter_mut().filter(|namespace| namespace.name == name) {
            namespace.span = namespace.span.or(Some(span));
        }
        let is_own = |device: &&mut Device| device.name == name && device.spans.is_empty();
        inventory.devices.iter_mut().filter(is_own).for_each(|device| device.spans.push(span));
    }
}

#[cfg(test)]
mod tests;
