//! Refusals by the machine that maps a namespace.

use super::rule::{self, Rule};
use super::{Refusal, Subject, of_region, range};
use memmap_layouts::backing::BackingError;
use memmap_layouts::machine::PagemapError;
use memmap_layouts::nvdimm::forecast::ForecastError;
use memmap_layouts::nvdimm::namespace::NamespaceError;
use memmap_layouts::{Bytes, HotplugError, VmemError};
use std::io::ErrorKind;

/// What has no room, if the error is for lack of room.
fn no_room(error: &VmemError) -> Option<String> {
    match error {
        VmemError::Backing(BackingError::Full { place, len, .. }) => {
            Some(format!("{place} has no room for {} of records", Bytes(*len)))
        }
        VmemError::MapDevice { source, .. } if source.kind() == ErrorKind::StorageFull => Some(error.to_string()),
        error if error.is_no_room() => Some(error.to_string()),
        _ => None,
    }
}

/// The refusal of a namespace that a machine would not map.
pub fn of_forecast(error: &ForecastError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| {
        Refusal::by(rule, subject).errno(error.errno()).off_by(error.to_string()).cost("it would not be brought up")
    };
    let elsewhere = "another place, or a kernel since 5.3, which adds sub-sections (--rules merged)";
    match error {
        ForecastError::Beyond { beyond } => {
            by(&rule::BEYOND).works_or(subject, format!("a start at least {} lower", Bytes(*beyond)))
        }
        ForecastError::Shared { with, is_ram: true, .. } => {
            by(&rule::RAM).who(Some(format!("RAM at {}", range(with)))).works_or(subject, elsewhere)
        }
        ForecastError::Shared { with, is_ram: false, .. } => {
            by(&rule::CONFLICT).who(Some(format!("what is mapped at {}", range(with)))).works_or(subject, elsewhere)
        }
        ForecastError::Records { .. } => by(&rule::ALTMAP).works_or(subject, elsewhere),
    }
}

/// The refusal of a namespace that a machine cannot activate.
pub fn refusal(error: &NamespaceError, subject: &Subject) -> Refusal {
    let by = |rule: &'static Rule| {
        Refusal::by(rule, subject).errno(error.errno()).cost("it is not brought up; the medium is as it was")
    };
    match error {
        NamespaceError::Region(error) => of_region::refusal(error, subject),
        NamespaceError::Medium(error) => by(&rule::DEVICE)
            .off_by(error.to_string())
            .fix("records in RAM (create it with --map mem), or a device that maps in units of 4 KiB"),
        NamespaceError::Disabled { name } => by(&rule::DISABLED).fix(format!("pfnbench namespace enable {}", subject.named(name))),
        NamespaceError::Pages { start, end } => by(&rule::START_PAGE)
            .off_by(format!("{start:#x} to {end:#x} are no whole pages"))
            .fix("a start on a page, as pfnbench namespace plan shows"),
        NamespaceError::Pagemap(PagemapError::Conflict { at, .. }) => by(&rule::CONFLICT)
            .who(Some(format!("a mapping at {at}")))
            .fix("a start in another section; or, where whole sections are added, a layout with sub-sections (--layout dax-x86)"),
        NamespaceError::Pagemap(PagemapError::OverlapsRam { at, .. }) => by(&rule::RAM)
            .who(Some(format!("RAM at {at}")))
            .fix("a start in another section; or, where whole sections are added, a layout with sub-sections (--layout dax-x86)"),
        NamespaceError::Pagemap(PagemapError::Layout(HotplugError::AltmapExhausted { need, left, .. })) => {
            by(&rule::ALTMAP)
                .off_by(format!("{need} pages are needed for the next piece, and {left} are left"))
                .fix("--layout dax-x86, which keeps the records of parts of sections in RAM; or create it with --map mem, or on whole sections")
        }
        NamespaceError::Pagemap(PagemapError::Layout(HotplugError::Misaligned {
            start_off_bytes, end_off_bytes, granule_bytes, ..
        })) => by(&rule::GRID)
            .off_by(format!(
                "its start is {} and its end {} past a multiple of {}",
                Bytes(*start_off_bytes),
                Bytes(*end_off_bytes),
                Bytes(*granule_bytes)
            ))
            .fix(format!(
                "a layout with sub-sections (--layout dax-x86), or a namespace that begins and ends on multiples of {}",
                Bytes(*granule_bytes)
            )),
        NamespaceError::Pagemap(PagemapError::Layout(HotplugError::Vmem {
            source: source @ VmemError::DeviceUnit { .. },
            ..
        })) => by(&rule::DEVICE)
            .off_by(source.to_string())
            .fix("--layout dax-x86, which keeps the records of parts of sections in RAM; or create it with --map mem"),
        NamespaceError::Pagemap(PagemapError::BeyondMappable { beyond_bytes, .. }) => by(&rule::BEYOND)
            .off_by(format!("it ends {} behind the physical space of this machine", Bytes(*beyond_bytes)))
            .fix(format!("a start (--at) at least {} lower", Bytes(*beyond_bytes))),
        NamespaceError::Pagemap(error) => {
            let of_records = match error {
                PagemapError::Layout(HotplugError::Vmem { source, .. }) => no_room(source),
                _ => None,
            };
            match of_records {
                Some(no_room) => by(&rule::MEDIUM_IO).off_by(no_room).fix(
                    "room for its records in the file system of the medium (df shows it); or create it with --map mem",
                ),
                None => by(&rule::MACHINE)
                    .off_by(error.to_string())
                    .fix("another start (--at), or another layout (--layout)"),
            }
        }
    }
}
