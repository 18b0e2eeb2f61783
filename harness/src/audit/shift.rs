//! The same machine after its firmware moved everything but RAM.
//!
//! An existing namespace keeps what its info block says: where its data begins, and what is padded.
//! At another address the data may be misaligned, or its sections shared with other memory.
//!
//! Source: `nd_pfn_validate` of `drivers/nvdimm/pfn_devs.c`.

use super::ledger::WinBack;
use crate::map::inventory::{Namespace, RecordsPlace, RegionKind, Span};
use crate::map::{Kind, MapRange, Reading};
use crate::pmem::capacity::StatedCapacity;
use crate::pmem::{HOST, KernelRules, NearbyMemory};
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::forecast::{Mapped, forecast};
use memmap_layouts::nvdimm::region::RegionAlign;
use memmap_layouts::nvdimm::{Extent, RecordsOn};
use thiserror::Error;

/// A machine with other addresses.
#[derive(Debug)]
pub struct Shifted {
    /// The machine.
    pub reading: Reading,
    /// Namespaces that would be refused.
    refused: Vec<RefusedNamespace>,
    /// Parts of memory, at their new addresses, that RAM has already.
    pub(super) covered: Vec<Span>,
    /// Remarks.
    pub(super) notes: Vec<String>,
}

/// A namespace that would be refused at its new address.
#[derive(Debug)]
pub(super) struct RefusedNamespace {
    name: String,
    /// Why.
    pub(super) cause: String,
    by: i64,
}

impl RefusedNamespace {
    /// What would win the namespace back.
    pub(super) fn win_back(&self, bytes: u64) -> Option<WinBack> {
        let how = format!("let the firmware move the region back by {}", ByteSize(self.by.unsigned_abs()));
        Some(WinBack { how, bytes })
    }
}

impl Shifted {
    /// Why a namespace would be refused; `None` if it would not.
    pub(super) fn refused(&self, namespace: &Namespace) -> Option<&RefusedNamespace> {
        self.refused.iter().find(|refused| refused.name == namespace.name)
    }
}

fn moved(span: Span, by: i64) -> Span {
    match (span.start.checked_add_signed(by), span.end.checked_add_signed(by)) {
        (Some(start), Some(end)) if end >> crate::map::MAX_PHYS_BITS == 0 => Span { start, end },
        _ => span,
    }
}

/// A range that has no address after a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{span} would leave the physical address space, which ends at 2^{}", crate::map::MAX_PHYS_BITS)]
pub struct LeavesAddressSpace {
    span: Span,
}

/// Checks that everything but RAM has an address after a move by so many bytes.
///
/// # Errors
/// The first range that has none.
pub fn check_shift(reading: &Reading, by: i64) -> Result<(), LeavesAddressSpace> {
    let inventory = &reading.inventory;
    let ranges = reading.map.ranges.iter().filter(|range| range.kind != Kind::Ram).map(MapRange::span);
    let windows = inventory.windows.iter().map(|window| window.span);
    let regions = inventory.regions.iter().filter_map(|region| region.span);
    let mut all = ranges.chain(windows).chain(regions);
    match all.find(|span| moved(*span, by) == *span && by != 0) {
        Some(span) => Err(LeavesAddressSpace { span }),
        None => Ok(()),
    }
}

/// The machine after everything but RAM moved by so many bytes. What would leave the address space stays.
pub fn shifted(reading: &Reading, by: i64) -> Shifted {
    let mut after = reading.clone();
    let shift = |span: &mut Span| *span = moved(*span, by);
    let is_ram = |range: &MapRange| range.kind == Kind::Ram;
    let (ram, others): (Vec<MapRange>, Vec<MapRange>) = after.map.ranges.into_iter().partition(is_ram);
    // RAM is where it was, so that what moves onto it is not there.
    let at_new_address = |mut range: MapRange| {
        let span = moved(range.span(), by);
        (range.start, range.end) = (span.start, span.end);
        range
    };
    let kept = others.into_iter().flat_map(|range| at_new_address(range).without(ram.iter()));
    let kept: Vec<MapRange> = kept.collect();
    let regions = reading.inventory.regions.iter().filter_map(|region| region.span);
    let devices = reading.inventory.devices.iter().flat_map(|device| device.spans.iter().copied());
    let listed: Vec<Span> = regions.chain(devices).collect();
    let pieces = reading.map.disjoint().into_iter().filter(|range| !is_ram(range)).map(|range| range.span());
    let unlisted = pieces.filter(|piece| !listed.iter().any(|span| span.contains(*piece)));
    let covered =
        unlisted.flat_map(|piece| ram.iter().filter_map(move |ram| moved(piece, by).intersect(ram.span()))).collect();
    after.map.ranges = ram.into_iter().chain(kept).collect();
    after.map.ranges.sort_by_key(|range| range.start);
    let inventory = &mut after.inventory;
    inventory.windows.iter_mut().for_each(|window| shift(&mut window.span));
    inventory.regions.iter_mut().filter_map(|region| region.span.as_mut()).for_each(shift);
    inventory.namespaces.iter_mut().filter_map(|namespace| namespace.span.as_mut()).for_each(shift);
    inventory.devices.iter_mut().flat_map(|device| device.spans.iter_mut()).for_each(shift);
    after.unused.iter_mut().for_each(|part| shift(&mut part.span));
    let direction = if by < 0 { "down" } else { "up" };
    let mut notes = vec![format!("everything but RAM was moved {direction} by {}", ByteSize(by.unsigned_abs()))];
    let ram: Vec<Span> =
        after.map.ranges.iter().filter(|range| range.kind == Kind::Ram).map(|range| range.span()).collect();
    for region in &after.inventory.regions {
        let overlap = region.span.and_then(|span| ram.iter().find_map(|ram| ram.intersect(span)));
        if let Some(overlap) = overlap {
            notes.push(format!("{} would overlap RAM at {overlap}", region.name));
        }
    }
    let refused = refused_namespaces(reading, &after, by);
    Shifted { reading: after, refused, covered, notes }
}

fn extent(span: Span) -> Option<Extent> {
    Extent::new(span.start, span.bytes())
}

/// The namespaces that are alone in their region and that a current kernel would refuse.
fn refused_namespaces(before: &Reading, after: &Reading, by: i64) -> Vec<RefusedNamespace> {
    let regions =
        before.inventory.regions.iter().filter(|region| region.kind == RegionKind::Persistent && region.enabled);
    let mut refused = Vec::new();
    for region in regions {
        let Some(span) = region.span else { continue };
        let mut own =
            before.inventory.namespaces.iter().filter(|namespace| namespace.region.as_ref() == Some(&region.name));
        let (Some(namespace), None) = (own.next(), own.next()) else { continue };
        let used = span.bytes() - region.available_bytes.unwrap_or(0).min(span.bytes());
        let Some(whole) = Extent::new(span.start, used) else { continue };
        let align = namespace.align.unwrap_or(2 << 20);
        let records = match namespace.records {
            Some(RecordsPlace::Mem) => RecordsOn::Ram,
            _ => RecordsOn::Medium,
        };
        let region_align = match region.align {
            Some(bytes) => RegionAlign { bytes, mappings: 1 },
            None => RegionAlign::default_for(region.bytes, 1, HOST.page_bytes),
        };
        let around = nearby(before, span);
        let around = around.surroundings();
        let stated =
            StatedCapacity { extent: whole, region_align, align, records, usable_bytes: namespace.bytes, around };
        let Some((_, all)) = stated.creators().into_iter().next_back() else { continue };
        let at = moved(span, by);
        let (start, dataoff) =
            (at.start + all.start_pad_bytes, all.head_bytes + all.records_bytes + all.alignment_bytes);
        let off = (start + dataoff) % align.max(HOST.compat_bytes);
        let mapped_bytes = all.raw_bytes - all.start_pad_bytes - all.end_trunc_bytes;
        let cause = match Extent::new(start, mapped_bytes) {
            _ if off != 0 => Some(format!(
                "its data would begin {} past a multiple of {}",
                ByteSize(off),
                ByteSize(align.max(HOST.compat_bytes))
            )),
            None => Some("it would leave the physical address space".to_owned()),
            Some(extent) => {
                let around = nearby(after, at);
                let mapped = Mapped { extent, dataoff, records };
                let rules = KernelRules::Merged.rule_set();
                forecast(&mapped, &around.surroundings(), &HOST, &rules).err().map(|error| error.to_string())
            }
        };
        refused.extend(cause.map(|cause| RefusedNamespace { name: namespace.name.clone(), cause, by }));
    }
    refused
}

fn nearby(reading: &Reading, own: Span) -> NearbyMemory {
    let ranges = reading.map.ranges.iter().filter(|range| range.kind == Kind::Ram);
    let regions = reading.inventory.regions.iter().filter(|region| region.enabled).filter_map(|region| region.span);
    NearbyMemory {
        ram: ranges.filter_map(|range| extent(range.span())).collect(),
        regions: regions.filter(|span| *span != own).filter_map(extent).collect(),
    }
}
