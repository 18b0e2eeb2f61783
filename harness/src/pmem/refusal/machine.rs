//! Refusals by the machine that would map a namespace.

use super::rule::{self, Rule};
use super::{Refusal, Subject, range};
use memmap_layouts::backing::BackingError;
use memmap_layouts::machine::PagemapError;
use memmap_layouts::nvdimm::forecast::ForecastError;
use memmap_layouts::nvdimm::namespace::NamespaceError;
use memmap_layouts::{ByteSize, HotplugError, VmemError};
use std::io::ErrorKind;

/// What is full, if the cause of the error is lack of space.
fn full(error: &VmemError) -> Option<String> {
    match error {
        VmemError::Backing(BackingError::Full { place, len, .. }) => {
            Some(format!("{place} has no space for {} of records", ByteSize(*len)))
        }
        VmemError::MapDevice { source, .. } if source.kind() == ErrorKind::StorageFull => Some(error.to_string()),
        error if error.is_no_room() => Some(error.to_string()),
        _ => None,
    }
}

const OTHER_SECTION: &str =
    "choose a start in another section, or a layout that adds sub-sections instead of sections (--layout dax-x86)";

const RECORDS_IN_RAM: &str = "use --layout dax-x86, which keeps the records of partial sections in RAM; or create it \
                              with --memmap mem";

const FREE_SPACE: &str = "free space for its records on the file system of the medium (df shows it); or create it \
                          with --memmap mem";

impl Refusal {
    /// The refusal of a namespace that a machine would not map.
    pub fn from_forecast(error: &ForecastError, subject: &Subject) -> Self {
        let by = |rule: &'static Rule| {
            Self::new(rule, subject).errno(error.errno()).off_by(error.to_string()).cost("the machine would not map it")
        };
        let elsewhere = "choose another start, or a kernel since 5.3, which adds sub-sections (--rules merged)";
        match error {
            ForecastError::Beyond { beyond } => {
                by(&rule::BEYOND).works_or(subject, format!("choose a start at least {} lower", ByteSize(*beyond)))
            }
            ForecastError::Shared { with, is_ram: true, .. } => {
                by(&rule::RAM).who(Some(format!("RAM at {}", range(with)))).works_or(subject, elsewhere)
            }
            ForecastError::Shared { with, is_ram: false, .. } => {
                by(&rule::CONFLICT).who(Some(format!("the mapping at {}", range(with)))).works_or(subject, elsewhere)
            }
            ForecastError::Records { .. } => by(&rule::ALTMAP).works_or(subject, elsewhere),
        }
    }

    /// The refusal of a namespace that a machine does not enable or disable.
    pub fn from_namespace(error: &NamespaceError, subject: &Subject) -> Self {
        let by = |rule: &'static Rule| {
            Self::new(rule, subject).errno(error.errno()).cost("it is not mapped; the medium is unchanged")
        };
        match error {
            NamespaceError::Region(error) => Self::from_region(error, subject),
            NamespaceError::Medium(error) => by(&rule::DEVICE)
                .off_by(error.to_string())
                .fix("create it with --memmap mem (records in RAM), or use a device with a mapping unit of 4 KiB"),
            NamespaceError::Disabled { name } => {
                by(&rule::DISABLED).fix(format!("run pfnbench namespace enable {}", subject.arguments_for(name)))
            }
            NamespaceError::Pages { start, end } => by(&rule::START_PAGE)
                .off_by(format!("{start:#x} to {end:#x} is not a range of whole pages"))
                .fix("choose a start that is a multiple of 4 KiB; pfnbench namespace plan checks it"),
            NamespaceError::Pagemap(PagemapError::Conflict { at, .. }) => {
                by(&rule::CONFLICT).who(Some(format!("a mapping at {at}"))).fix(OTHER_SECTION)
            }
            NamespaceError::Pagemap(PagemapError::OverlapsRam { at, .. }) => {
                by(&rule::RAM).who(Some(format!("RAM at {at}"))).fix(OTHER_SECTION)
            }
            NamespaceError::Pagemap(PagemapError::Layout(HotplugError::AltmapExhausted { need, left, .. })) => {
                by(&rule::ALTMAP)
                    .off_by(format!("the next block of records needs {need} pages, and {left} are left"))
                    .fix(format!("{RECORDS_IN_RAM}, or on whole sections"))
            }
            NamespaceError::Pagemap(PagemapError::Layout(HotplugError::Misaligned {
                start_off_bytes,
                end_off_bytes,
                granule_bytes,
                ..
            })) => by(&rule::GRID)
                .off_by(format!(
                    "its start is {} past a multiple of {granule}, its end {}",
                    ByteSize(*start_off_bytes),
                    ByteSize(*end_off_bytes),
                    granule = ByteSize(*granule_bytes)
                ))
                .fix(format!(
                    "use a layout with sub-sections (--layout dax-x86), or a start and an end at multiples of {}",
                    ByteSize(*granule_bytes)
                )),
            NamespaceError::Pagemap(PagemapError::Layout(HotplugError::Vmem {
                source: source @ VmemError::DeviceUnit { .. },
                ..
            })) => by(&rule::DEVICE).off_by(source.to_string()).fix(RECORDS_IN_RAM),
            NamespaceError::Pagemap(PagemapError::BeyondMappable { beyond_bytes, .. }) => by(&rule::BEYOND)
                .off_by(format!("it ends {} above the physical address space of this machine", ByteSize(*beyond_bytes)))
                .fix(format!("choose a start (--at) at least {} lower", ByteSize(*beyond_bytes))),
            NamespaceError::Pagemap(error) => {
                let full = match error {
                    PagemapError::Layout(HotplugError::Vmem { source, .. }) => full(source),
                    _ => None,
                };
                match full {
                    Some(full) => by(&rule::MEDIUM_IO).off_by(full).fix(FREE_SPACE),
                    None => by(&rule::MACHINE)
                        .off_by(error.to_string())
                        .fix("choose another start (--at) or another layout (--layout)"),
                }
            }
        }
    }
}
