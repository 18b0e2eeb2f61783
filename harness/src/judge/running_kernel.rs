//! Compares a model with the running kernel, as far as it can be seen.
//!
//! The model is a machine with the RAM of `/proc/iomem`. Three sources say what the kernel has:
//!
//! | source | what it says | not judged |
//! | --- | --- | --- |
//! | `/proc/kcore` and BTF | the kernel's own section table, so `pfn_valid` | sections with device memory, of which iomem does not say whether a driver has mapped it |
//! | `/proc/kpageflags` | flags of a page frame that is valid and online | page frames without flags: they may be invalid, offline, or of a device |
//! | memory blocks in sysfs | blocks that are online, so valid | blocks that are offline |

use crate::kernel::release::layout_of;
use crate::map::{Kind, PhysicalMap};
use crate::running::{RunningSections, Snapshot};
use memmap_layouts::layouts::{Linux5_10, Linux6_1, Linux7_2};
use memmap_layouts::{
    AddParams, BackedSections, BootError, Config, Geometry, Hotplug, HotplugError, Inspect, Lookup, MemoryKind, Pfn,
    RecordStore, SectionFlags, X86_64,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use thiserror::Error;

/// What one source says of a predicate, compared with the model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Predicate {
    /// The predicate, e.g. `pfn_valid`.
    pub predicate: &'static str,
    /// Where the kernel's answer comes from.
    pub source: &'static str,
    /// Page frames that were judged.
    pub judged: u64,
    /// Those on which the model agrees.
    pub agreed: u64,
    /// Page frames on which the source says nothing that could be compared.
    pub not_judged: u64,
    /// The first page frame on which the model differs.
    pub first_difference: Option<u64>,
    /// Why the source cannot be read.
    pub unavailable: Option<String>,
}

impl Predicate {
    fn of(predicate: &'static str, source: &'static str) -> Self {
        Self { predicate, source, ..Self::default() }
    }

    fn judge(&mut self, pfn: u64, agrees: bool) {
        self.judged += 1;
        if agrees {
            self.agreed += 1;
        } else {
            self.first_difference.get_or_insert(pfn);
        }
    }
}

/// Why the model of this machine cannot be built.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The layout does not boot on the map.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// RAM that was added cannot be added to the model.
    #[error(transparent)]
    Hotplug(#[from] HotplugError),
}

/// Compares the model with the rules of a kernel's release with what can be seen of it.
///
/// # Errors
/// The model of the map cannot be built.
pub fn running_kernel(map: &PhysicalMap, release: &str) -> Result<Vec<Predicate>, ModelError> {
    match layout_of(release) {
        "linux-5.10" => compare::<Linux5_10>(map),
        "linux-6.1" => compare::<Linux6_1>(map),
        _ => compare::<Linux7_2>(map),
    }
}

fn compare<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
    map: &PhysicalMap,
) -> Result<Vec<Predicate>, ModelError> {
    // Answers need the index only.
    let store = RecordStore { backed: BackedSections::only([]), ..RecordStore::unlimited() };
    let layout = L::boot(&map.boot_map()?, &Config::default(), store)?;
    let mut devices = BTreeSet::new();
    for range in &map.ranges {
        match range.kind {
            Kind::Ram => {}
            Kind::HotplugRam => {
                let how = AddParams { kind: MemoryKind::Ram, ..AddParams::default() };
                range.pages().map(|pages| layout.add(pages, &how, &mut ())).transpose()?;
            }
            Kind::Persistent | Kind::SoftReserved | Kind::Window => {
                devices.extend(range.start >> X86_64::SECTION_SIZE_BITS..=(range.end - 1) >> X86_64::SECTION_SIZE_BITS);
            }
        }
    }
    let end = map.end().div_ceil(X86_64::PAGE_SIZE);
    let reader = layout.reader();
    let valid = |pfn| reader.pfn_valid(Pfn(pfn));
    Ok(vec![section_table(end, &devices, &valid), page_flags(end, &valid), memory_blocks(&valid)])
}

/// The kernel's section table.
fn section_table(end: u64, devices: &BTreeSet<u64>, valid: &dyn Fn(u64) -> bool) -> Predicate {
    let mut predicate = Predicate::of("pfn_valid", "/proc/kcore and BTF");
    let snapshot = RunningSections::open().and_then(|table| Snapshot::take(&table, end));
    let snapshot = match snapshot {
        Ok(snapshot) => snapshot,
        Err(error) => {
            predicate.unavailable = Some(error.to_string());
            predicate.not_judged = end;
            return predicate;
        }
    };
    let sections: BTreeMap<u64, _> = snapshot.sections.iter().map(|section| (section.nr, section)).collect();
    for nr in 0..end.div_ceil(X86_64::PAGES_PER_SECTION) {
        if devices.contains(&nr) {
            predicate.not_judged += X86_64::PAGES_PER_SECTION;
            continue;
        }
        let bits = sections.get(&nr).map_or(0, |section| snapshot.valid_sub_sections(section));
        let first = X86_64::section_start(nr);
        for pfn in first..first + X86_64::PAGES_PER_SECTION {
            predicate.judge(pfn, valid(pfn) == (bits >> X86_64::subsection_index(pfn) & 1 == 1));
        }
    }
    predicate
}

/// Page frames that have flags are valid.
fn page_flags(end: u64, valid: &dyn Fn(u64) -> bool) -> Predicate {
    /// `KPF_NOPAGE`: the page frame is not valid, not online, or of a device.
    const NO_PAGE: u64 = 1 << 20;
    const AT_ONCE: u64 = 1 << 16;
    let mut predicate = Predicate::of("pfn_valid, if it has flags", "/proc/kpageflags");
    let path = "/proc/kpageflags";
    let unavailable = |error: std::io::Error| Some(format!("cannot read {path}: {error}"));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => {
            predicate.unavailable = unavailable(error);
            predicate.not_judged = end;
            return predicate;
        }
    };
    let mut bytes = vec![0; 8 * AT_ONCE as usize];
    let mut pfn = 0;
    while pfn < end {
        let wanted = 8 * (end - pfn).min(AT_ONCE) as usize;
        let len = match file.read_at(&mut bytes[..wanted], pfn * 8) {
            Ok(len) => len / 8 * 8,
            Err(error) => {
                predicate.unavailable = unavailable(error);
                0
            }
        };
        // The file ends with the last page frame that the kernel knows.
        if len == 0 {
            predicate.not_judged += end - pfn;
            break;
        }
        for flags in bytes[..len].as_chunks().0 {
            match u64::from_le_bytes(*flags) {
                // A free page has no flag; nor has, since 6.17, a page frame that is not valid.
                flags if flags == 0 || flags & NO_PAGE != 0 => predicate.not_judged += 1,
                _ => predicate.judge(pfn, valid(pfn)),
            }
            pfn += 1;
        }
    }
    predicate
}

/// Memory blocks that are online are valid.
fn memory_blocks(valid: &dyn Fn(u64) -> bool) -> Predicate {
    let mut predicate = Predicate::of("pfn_valid, if its block is online", "/sys/devices/system/memory");
    let folder = Path::new("/sys/devices/system/memory");
    let size = std::fs::read_to_string(folder.join("block_size_bytes")).ok();
    let Some(size) = size.and_then(|size| u64::from_str_radix(size.trim(), 16).ok()).filter(|&size| size > 0) else {
        predicate.unavailable = Some("the kernel shows no memory blocks".to_owned());
        return predicate;
    };
    let pages = size / X86_64::PAGE_SIZE;
    for (nr, state) in crate::running::snapshot::blocks(folder) {
        match &*state {
            "online" => (nr * pages..(nr + 1) * pages).for_each(|pfn| predicate.judge(pfn, valid(pfn))),
            _ => predicate.not_judged += pages,
        }
    }
    predicate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_and_the_first_is_named() {
        let mut predicate = Predicate::of("pfn_valid", "a test");
        [(5, true), (7, false), (9, false)].into_iter().for_each(|(pfn, agrees)| predicate.judge(pfn, agrees));
        assert_eq!((predicate.judged, predicate.agreed, predicate.first_difference), (3, 1, Some(7)));
    }

    /// Whatever this machine shows, every page frame is either judged or not.
    #[test]
    fn every_page_frame_of_this_machine_is_accounted_for() {
        let map = crate::map::source::Source::ThisMachine.load().unwrap();
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let predicates = running_kernel(&map, &release).unwrap();
        assert_eq!(predicates.len(), 3);
        for predicate in &predicates {
            assert!(predicate.agreed <= predicate.judged);
            assert_eq!(predicate.first_difference.is_some(), predicate.agreed < predicate.judged, "{predicate:?}");
            let is_whole = predicate.judged + predicate.not_judged >= map.end() / 4096;
            assert!(is_whole || predicate.source.starts_with("/sys"), "{predicate:?}");
        }
    }
}
