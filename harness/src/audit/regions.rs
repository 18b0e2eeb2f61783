//! Regions with their namespaces and devices, and memory that belongs to none.

use super::Machine;
use super::blocks::{self, ram_inside, whole_blocks};
use super::ledger::{Ledger, Loss, Stage, WinBack};
use super::shift::Shifted;
use crate::kernel_version::KernelVersion;
use crate::map::inventory::{Device, Inventory, Namespace, RecordsPlace, Region, RegionKind, Span};
use crate::map::{Kind, MapRange};
use crate::pmem::capacity::{Breakdown, CapacityPlan, StatedCapacity};
use crate::pmem::{HOST, KernelRules, NearbyMemory};
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::region::RegionAlign;
use memmap_layouts::nvdimm::{Extent, RecordsOn};

/// Data of a namespace is aligned to this many bytes unless the listing states otherwise.
const DEFAULT_DATA_ALIGN: u64 = 2 << 20;

/// The first release that makes RAM of a DAX device.
const FIRST_KMEM: KernelVersion = KernelVersion::new(5, 1);

/// The info block of a namespace and the space in front of it, in bytes.
const INFO_BYTES: u64 = 8 << 10;

/// Memory whose records are in RAM.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Added {
    /// Bytes that are RAM.
    pub(super) ram_bytes: u64,
    /// Bytes that are mapped by devices.
    pub(super) mapped_bytes: u64,
}

/// Enters everything but RAM of the boot.
pub(super) fn enter(machine: &Machine<'_>, moved: Option<&Shifted>, ledger: &mut Ledger) -> Added {
    let mut added = Added::default();
    let inventory = &machine.reading.inventory;
    let mut seen: Vec<Span> = Vec::new();
    let mut used: Vec<&str> = Vec::new();
    let implied = implied_region(machine);
    for region in inventory.regions.iter().filter(|region| region.enabled).chain(&implied) {
        let is_implied = implied.as_ref().is_some_and(|implied| std::ptr::eq(implied, region));
        let (namespaces, devices) = members(inventory, region, is_implied);
        used.extend(devices.iter().map(|device| device.name.as_str()));
        seen.extend(region.span);
        match region.kind {
            RegionKind::Persistent => {
                Persistent { machine, region, moved }.enter(&namespaces, &devices, &mut added, ledger);
            }
            RegionKind::Volatile => volatile(machine, region, &devices, &mut added, ledger),
        }
    }
    for device in inventory.devices.iter().filter(|device| !used.contains(&device.name.as_str())) {
        if device.spans.iter().any(|span| seen.iter().any(|known| known.overlaps(*span))) {
            continue;
        }
        device_memory(machine, device, &device.spans, device.bytes, None, &mut added, ledger);
        seen.extend(device.spans.iter().copied());
    }
    for range in machine.reading.map.disjoint() {
        for rest in without(range.span(), &seen) {
            unclaimed(machine, &range, rest, &mut added, ledger);
        }
    }
    added
}

/// The namespaces and devices of a region: by its name, or by their addresses.
fn members<'i>(inventory: &'i Inventory, region: &Region, is_implied: bool) -> (Vec<&'i Namespace>, Vec<&'i Device>) {
    let of_region = |owner: &Option<String>, span: Option<Span>| {
        owner.as_deref() == Some(region.name.as_str())
            || region.span.zip(span).is_some_and(|(region, span)| region.contains(span))
    };
    let has = |namespace: &&Namespace| {
        of_region(&namespace.region, namespace.span) || is_implied && namespace.region.is_none()
    };
    let namespaces: Vec<&Namespace> = inventory.namespaces.iter().filter(has).collect();
    let is_of = |device: &&Device| {
        of_region(&device.region, device.spans.first().copied())
            || namespaces.iter().any(|namespace| device.region.as_ref() == Some(&namespace.name))
    };
    let devices = inventory.devices.iter().filter(is_of).collect();
    (namespaces, devices)
}

/// The addresses of namespaces, and of the devices that are their data, which no source states: they follow
/// from the place of the region.
pub(super) fn addresses(machine: &Machine<'_>) -> Vec<(String, Span)> {
    let inventory = &machine.reading.inventory;
    let implied = implied_region(machine);
    let mut found = Vec::new();
    for region in inventory.regions.iter().filter(|region| region.enabled).chain(&implied) {
        let is_implied = implied.as_ref().is_some_and(|implied| std::ptr::eq(implied, region));
        if region.kind != RegionKind::Persistent || region.span.is_none() || region.base_assumed {
            continue;
        }
        let (namespaces, devices) = members(inventory, region, is_implied);
        let around = machine.around(region.span);
        let divided = Persistent { machine, region, moved: None }.divided(&namespaces, &around);
        for (namespace, (division, start, raw)) in namespaces.iter().zip(divided) {
            found.extend(Span::new(start, start.saturating_add(raw)).map(|span| (namespace.name.clone(), span)));
            let data = division.breakdown.as_ref().and_then(|all| data_span(start, all));
            let device = own_device(namespace, None, &devices);
            found.extend(device.zip(data).map(|(device, data)| (device.name.clone(), data)));
        }
    }
    found
}

/// The region of namespaces of which a listing names no region: the only persistent memory of the map
/// that belongs to none. All have the number of the region in their names.
fn implied_region(machine: &Machine<'_>) -> Option<Region> {
    let inventory = &machine.reading.inventory;
    let number = |namespace: &Namespace| {
        let number = namespace.name.strip_prefix("namespace")?.split('.').next()?;
        Some(number.to_owned()).filter(|_| namespace.region.is_none() && namespace.mode.is_some())
    };
    let mut numbers = inventory.namespaces.iter().filter_map(number);
    let first = numbers.next()?;
    let known: Vec<Span> = inventory.regions.iter().filter_map(|region| region.span).collect();
    let ranges = machine.reading.map.ranges.iter().filter(|range| range.kind == Kind::Persistent);
    let mut spans = ranges.map(MapRange::span).filter(|span| !known.iter().any(|known| known.overlaps(*span)));
    let span = spans.next()?;
    let name = format!("region{first}");
    let is_only = spans.next().is_none() && numbers.all(|number| number == first);
    let is_free = !inventory.regions.iter().any(|region| region.name == name);
    let bytes: u64 = inventory.namespaces.iter().map(|namespace| namespace.bytes).fold(0, u64::saturating_add);
    let region = Region { span: Some(span), ..Region::new(name, span.bytes(), RegionKind::Persistent, Vec::new()) };
    (is_only && is_free && bytes <= span.bytes()).then_some(region)
}

/// The parts of a range outside of others.
pub(super) fn without(span: Span, others: &[Span]) -> Vec<Span> {
    let mut left = vec![span];
    for other in others.iter().filter(|other| other.overlaps(span)) {
        let cut = |part: Span| {
            let before = Span::new(part.start, part.end.min(other.start));
            let after = Span::new(part.start.max(other.end), part.end);
            [before, after].into_iter().flatten()
        };
        left = left.into_iter().flat_map(cut).collect();
    }
    left
}

/// Enters memory that no region and no device of the listings has.
fn unclaimed(machine: &Machine<'_>, range: &MapRange, span: Span, added: &mut Added, ledger: &mut Ledger) {
    let bytes = span.bytes();
    match range.kind {
        Kind::Ram | Kind::Window => {}
        Kind::HotplugRam => {
            ledger.use_("added RAM", "RAM that a driver added", bytes, Some(span));
            added.ram_bytes += bytes;
        }
        Kind::Persistent => {
            // The resource of a device namespace is its header and its records; the device stands beside it.
            let inventory = &machine.reading.inventory;
            let number = |name: &str| name.trim_start_matches(|char: char| char.is_alphabetic()).to_owned();
            let header = inventory.namespaces.iter().find(|namespace| {
                let has_device =
                    || inventory.devices.iter().any(|device| number(&device.name) == number(&namespace.name));
                namespace.span.is_some_and(|inner| span.contains(inner)) && namespace.mode.is_none() && has_device()
            });
            if let Some((namespace, inner)) = header.and_then(|namespace| Some((namespace, namespace.span?))) {
                let cause = format!("{} keeps its header and the records of its device there", namespace.name);
                let rule = "a namespace with records has an info block, and records of its data";
                let loss = Loss { cause, rule, win_back: None };
                let what = if inner.bytes() <= INFO_BYTES { "header with info block" } else { "header and records" };
                ledger.lose_span(Stage::Namespace, &namespace.name, what, Some(inner), loss);
                // Between the header and the device, its data is aligned.
                let beside =
                    inventory.devices.iter().flat_map(|device| &device.spans).any(|device| device.start == span.end);
                let behind = Span::new(inner.end, span.end).filter(|_| beside && inner.start == span.start);
                let data: u64 = inventory
                    .devices
                    .iter()
                    .flat_map(|device| &device.spans)
                    .filter(|device| device.start == span.end)
                    .map(|device| device.bytes())
                    .sum();
                let what = match inner.bytes() < data / 64 {
                    true => "records and alignment",
                    false => "alignment of the data",
                };
                let cause = format!("the data of {} begins behind it", namespace.name);
                let loss = Loss { cause, rule: "data begins at a multiple of its alignment", win_back: None };
                ledger.lose_span(Stage::Namespace, &namespace.name, what, behind, loss);
                for rest in without(span, &[inner]).into_iter().filter(|_| behind.is_none()) {
                    unclaimed(machine, range, rest, added, ledger);
                }
                return;
            }
            ledger.notes.push(format!(
                "{span} is persistent memory whose namespaces are unknown: add the output of ndctl list -RNDv to the text"
            ));
            ledger.use_("persistent memory", "namespaces unknown", bytes, Some(span));
        }
        Kind::SoftReserved => {
            let blocks = whole_blocks(span, machine.block_bytes).map_or(0, Span::bytes);
            let how = "daxctl reconfigure-device --mode=system-ram, once the driver dax_hmem made a device of it";
            let win_back = (blocks > 0).then(|| WinBack { how: how.to_owned(), bytes: blocks });
            let cause = "the firmware reserved it for a purpose, and no DAX device uses it".to_owned();
            let rule = "Linux leaves memory with EFI_MEMORY_SP to devices (Linux 5.5 and later)";
            let loss = Loss { cause, rule, win_back };
            ledger.lose_span(Stage::Namespace, "soft reserved", "without a device", Some(span), loss);
        }
    }
}

/// Enters a device with the memory that it has.
fn device_memory(
    machine: &Machine<'_>,
    device: &Device,
    spans: &[Span],
    bytes: u64,
    better: Option<WinBack>,
    added: &mut Added,
    ledger: &mut Ledger,
) {
    if !device.enabled {
        let how = format!("daxctl enable-device {}", device.name);
        let win_back = Some(WinBack { how, bytes });
        let cause = format!("{} is disabled", device.name);
        let rule = "a DAX device is mapped only while it is enabled";
        ledger.lose(Stage::Namespace, &device.name, "device disabled", bytes, Loss { cause, rule, win_back });
    } else if let Some(kernel) = machine.options.kernel.filter(|kernel| device.is_ram && *kernel < FIRST_KMEM) {
        let cause = format!("Linux {kernel} has no driver that makes RAM of {}", device.name);
        let rule = "a DAX device becomes RAM by the driver dax/kmem (Linux 5.1 and later)";
        let win_back = Some(WinBack { how: format!("use Linux {FIRST_KMEM} or later"), bytes });
        ledger.lose(Stage::Block, &device.name, "no driver for RAM", bytes, Loss { cause, rule, win_back });
    } else if device.is_ram {
        added.ram_bytes += blocks::enter(machine, device, spans, bytes, better, ledger);
    } else {
        let span = if let [span] = spans { Some(*span) } else { None };
        ledger.use_(&device.name, "DAX device", bytes, span);
    }
}

/// Enters a region of CXL expanders, or of memory that the firmware reserved for a purpose.
fn volatile(machine: &Machine<'_>, region: &Region, devices: &[&Device], added: &mut Added, ledger: &mut Ledger) {
    let name = region.name.as_str();
    let mut left = region.bytes;
    for device in devices {
        let bytes = device.bytes.min(left);
        left -= bytes;
        let better = region.span.and_then(|span| better_place(machine, span));
        device_memory(machine, device, &device.spans, bytes, better, added, ledger);
        if !device.is_ram && device.enabled {
            added.mapped_bytes += bytes;
        }
    }
    // RAM that no listed device has.
    let ram: Vec<Span> = region.span.map(|span| ram_inside(machine, span)).unwrap_or_default();
    let ram_bytes: u64 = ram.iter().map(|span| span.bytes()).sum();
    if devices.is_empty() && ram_bytes > 0 {
        let bytes = ram_bytes.min(left);
        left -= bytes;
        added.ram_bytes += bytes;
        ledger.use_(name, "RAM of the region", bytes, None);
        let cause = format!("the rest of {name} is no whole memory block");
        let rule = "a range is cut inwards to whole memory blocks (dax/kmem, Linux 5.1 and later)";
        let win_back = region.span.and_then(|span| better_place(machine, span));
        ledger.lose(Stage::Block, name, "outside whole blocks", left, Loss { cause, rule, win_back });
        return;
    }
    let win_back = (left > 0).then(|| WinBack { how: format!("daxctl create-device -r {name}"), bytes: left });
    let cause = format!("{} of {name} are in no DAX device", ByteSize(left));
    let rule = "memory of a region is used through a DAX device (Linux 5.10 and later)";
    ledger.lose(Stage::Region, name, "in no device", left, Loss { cause, rule, win_back });
}

/// A place of a region that would lose less.
fn better_place(machine: &Machine<'_>, span: Span) -> Option<WinBack> {
    let block = machine.block_bytes;
    let lost = span.bytes() - whole_blocks(span, block).map_or(0, Span::bytes);
    let start = span.start.checked_next_multiple_of(block)?;
    // The region may only move inside of its window, over what nothing uses.
    let moved = Span::new(start, start.checked_add(span.bytes())?)?;
    let windows = machine.reading.inventory.windows.iter();
    windows.clone().find(|window| window.span.contains(span) && window.span.contains(moved))?;
    let is_free = |part: &Span| machine.reading.unused.iter().any(|unused| unused.span.contains(*part));
    let is_ram = |range: &MapRange| range.kind == Kind::Ram && range.span().overlaps(moved);
    if machine.reading.map.ranges.iter().any(is_ram) {
        return None;
    }
    if !without(moved, &[span]).iter().all(is_free) {
        return None;
    }
    let fits = whole_blocks(moved, block)?;
    let gained = fits.bytes().checked_sub(span.bytes() - lost).filter(|gained| *gained > 0)?;
    Some(WinBack { how: format!("a region that begins at {start:#x} instead of {:#x}", span.start), bytes: gained })
}

/// The addresses of the data of a namespace.
fn data_span(start: u64, all: &Breakdown) -> Option<Span> {
    let begin = start + all.start_pad_bytes + all.head_bytes + all.records_bytes + all.alignment_bytes;
    Span::new(begin, begin + all.usable_bytes)
}

/// The device of a namespace: by its name, its addresses, or its size.
fn own_device<'d>(namespace: &Namespace, data: Option<Span>, devices: &[&'d Device]) -> Option<&'d Device> {
    let is_own = |device: &&&Device| {
        device.region.as_ref() == Some(&namespace.name)
            || data.is_some_and(|data| device.spans.iter().any(|inner| data.contains(*inner)))
            || device.bytes == namespace.bytes && namespace.mode.as_deref() != Some("fsdax")
    };
    devices.iter().find(is_own).copied()
}

/// A region of persistent memory.
struct Persistent<'a> {
    machine: &'a Machine<'a>,
    region: &'a Region,
    moved: Option<&'a Shifted>,
}

/// How the bytes of a namespace are used.
struct Division {
    raw: u64,
    breakdown: Option<Breakdown>,
    /// Bytes of data.
    data: u64,
    /// Why the requested kernel refuses it.
    refused: Option<String>,
    /// The kernels that divide namespaces like this, and the bytes of a record on the medium.
    creator: Option<(&'static str, u16)>,
}

impl Persistent<'_> {
    fn start(&self) -> u64 {
        self.region.span.map_or(4 << 30, |span| span.start)
    }

    fn align(&self) -> RegionAlign {
        let mappings = self.region.ways.and_then(|ways| u16::try_from(ways).ok()).unwrap_or(1).max(1);
        match self.region.align {
            Some(bytes) => RegionAlign { bytes, mappings },
            None => RegionAlign::default_for(self.region.bytes, mappings, HOST.page_bytes),
        }
    }

    /// The namespaces of the region, one behind the other: how each is divided, its start and its size.
    fn divided(&self, namespaces: &[&Namespace], around: &NearbyMemory) -> Vec<(Division, u64, u64)> {
        let (mut left, mut at) = (self.region.bytes, self.start());
        let available = self.available_bytes();
        let divide = |namespace: &&Namespace| {
            // All that the listing does not call available, if there is only one.
            let only = (namespaces.len() == 1).then(|| available.map(|free| self.region.bytes - free)).flatten();
            let division = self.divide(namespace, at, only, left, around);
            let (start, raw) = (at, division.raw.min(left));
            left -= raw;
            at = at.saturating_add(raw);
            (division, start, raw)
        };
        namespaces.iter().map(divide).collect()
    }

    fn available_bytes(&self) -> Option<u64> {
        self.region.available_bytes.filter(|bytes| *bytes <= self.region.bytes)
    }

    fn enter(&self, namespaces: &[&Namespace], devices: &[&Device], added: &mut Added, ledger: &mut Ledger) {
        let Self { region, .. } = self;
        let around = self.machine.around(region.span);
        let mut left = region.bytes;
        for (namespace, (division, start, raw)) in namespaces.iter().zip(self.divided(namespaces, &around)) {
            left -= raw;
            self.namespace(namespace, &division, start, raw, &around, devices, added, ledger);
        }
        // Namespaces lie one behind the other.
        let at = self.start().saturating_add(region.bytes - left);
        let available = self.available_bytes();
        let free = if namespaces.is_empty() { left } else { available.unwrap_or(left).min(left) };
        let name = region.name.as_str();
        let win_back = self.plan_rest(at, free, &around);
        let cause = format!("no namespace uses {} of {name}", ByteSize(free));
        let rule = "persistent memory is used through a namespace";
        ledger.lose(Stage::Region, name, "in no namespace", free, Loss { cause, rule, win_back });
        let cause =
            format!("the namespaces of {name} are multiples of its alignment of {}", ByteSize(self.align().bytes));
        let rule = "sizes of namespaces are multiples of the region's alignment (Linux 5.7 and later)";
        ledger.lose(Stage::Region, name, "alignment of the region", left - free, Loss { cause, rule, win_back: None });
    }

    /// What a namespace in the rest of the region would win.
    fn plan_rest(&self, start: u64, free: u64, around: &NearbyMemory) -> Option<WinBack> {
        let step = self.align().bytes.max(1);
        let size = free - free % step;
        let plan = self.plan(start, DEFAULT_DATA_ALIGN, RecordsOn::Medium, around);
        let usable = plan.breakdown(size, self.machine.rules()).ok()?.usable_bytes;
        let how = format!("ndctl create-namespace -m devdax -r {}", self.region.name);
        Some(WinBack { how, bytes: usable })
    }

    fn plan<'p>(&self, start: u64, align: u64, records: RecordsOn, around: &'p NearbyMemory) -> CapacityPlan<'p> {
        CapacityPlan { start, align, records, around: around.surroundings(), region: None }
    }

    /// Size and use of a namespace: as the kernel with the requested rules divides it, or as the kernel did
    /// that left as much data as the listing states.
    fn divide(
        &self,
        namespace: &Namespace,
        start: u64,
        only: Option<u64>,
        room: u64,
        around: &NearbyMemory,
    ) -> Division {
        let has_records = !matches!(namespace.mode.as_deref(), Some("raw" | "sector" | "safe"));
        let align = namespace.align.unwrap_or(DEFAULT_DATA_ALIGN);
        let records = match namespace.records {
            Some(RecordsPlace::Mem) => RecordsOn::Ram,
            _ => RecordsOn::Medium,
        };
        let stated = namespace.bytes;
        let plan = self.plan(start, align, records, around);
        let mut raw = only.or_else(|| namespace.span.map(Span::bytes).filter(|bytes| *bytes >= stated));
        // Of the kernels that leave this data, the newest.
        let creator_of = |extent| {
            let around = around.surroundings();
            let region_align = self.align();
            let stated = StatedCapacity { extent, region_align, align, records, usable_bytes: stated, around };
            stated.creators().into_iter().max_by_key(|(creator, _)| creator.kernel)
        };
        let mut created = None;
        if has_records {
            let size = raw.unwrap_or(room);
            if let Some(extent) = Extent::new(start, size) {
                created = creator_of(extent);
            }
            if created.is_none() && raw.is_none() {
                let size = plan.size_for(stated, self.align().bytes.max(1), KernelRules::Merged).ok();
                raw = size.filter(|size| *size <= room);
                created = raw.and_then(|size| Extent::new(start, size)).and_then(creator_of);
            }
        }
        let creator = created.as_ref().map(|(creator, _)| (creator.versions, creator.medium_record_bytes()));
        let created = created.map(|(_, breakdown)| breakdown);
        let raw = created
            .as_ref()
            .map(|breakdown| breakdown.raw_bytes)
            .or(raw)
            .unwrap_or(stated)
            .clamp(stated.min(room), room);
        let wanted = self.machine.options.kernel.filter(|_| has_records).map(KernelRules::Version);
        let (breakdown, refused) = match wanted.map(|rules| plan.breakdown(raw, rules)) {
            Some(Ok(all)) => (Some(all), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (created, None),
        };
        let data =
            breakdown.as_ref().map_or(if wanted.is_some() { 0 } else { stated.min(raw) }, |all| all.usable_bytes);
        Division { raw, breakdown, data, refused, creator: creator.filter(|_| wanted.is_none()) }
    }

    #[allow(clippy::too_many_arguments)]
    fn namespace(
        &self,
        namespace: &Namespace,
        division: &Division,
        start: u64,
        raw: u64,
        around: &NearbyMemory,
        devices: &[&Device],
        added: &mut Added,
        ledger: &mut Ledger,
    ) {
        let name = namespace.name.as_str();
        if let Some(refused) = self.moved.and_then(|moved| moved.refused(namespace)) {
            let rule = "an enabled namespace keeps the division of its info block, whatever its address (all versions)";
            let loss = Loss { cause: refused.cause.clone(), rule, win_back: refused.win_back(raw) };
            ledger.lose(Stage::Namespace, name, "refused at its new address", raw, loss);
            return;
        }
        if let Some(cause) = division.refused.clone() {
            let rule = "a namespace is enabled only if the kernel can divide and map it (all versions)";
            ledger.lose(Stage::Namespace, name, "refused", raw, Loss { cause, rule, win_back: None });
            return;
        }
        let Some(all) = &division.breakdown else {
            let rest = raw - division.data.min(raw);
            let is_sector = matches!(namespace.mode.as_deref(), Some("sector" | "safe"));
            if is_sector {
                let cause = format!("{name} is a block translation table (BTT)");
                let rule = "a BTT keeps a map of 4 bytes a sector, a log, spare blocks and info blocks (all versions)";
                let loss = Loss { cause, rule, win_back: None };
                ledger.lose(Stage::Namespace, name, "map and log of sectors", rest, loss);
                self.data(namespace, None, division.data.min(raw), None, devices, added, ledger);
                return;
            }
            let cause = match division.data {
                0 => format!("this kernel cannot divide {name}"),
                _ => format!(
                    "no known kernel divides {name} like this, so how much each takes is unknown; --kernel VERSION tells what that kernel would"
                ),
            };
            let rule = "a namespace with records has an info block, and records of its data";
            ledger.lose(
                Stage::Namespace,
                name,
                "header, records and alignment",
                rest,
                Loss { cause, rule, win_back: None },
            );
            self.data(namespace, None, division.data.min(raw), None, devices, added, ledger);
            return;
        };
        let record_rule = "64 bytes for each page of 4 KiB, on the medium with map=dev (128 in Linux 6.1 to 6.1.11)";
        let align = namespace.align.unwrap_or(DEFAULT_DATA_ALIGN);
        let own = own_device(namespace, None, devices);
        let is_ram = own.is_some_and(|device| device.is_ram && device.enabled);
        // What counts is what can be used: data, or whole memory blocks of it.
        let useful = |all: &Breakdown| match is_ram {
            true => {
                let data = data_span(start, all);
                data.and_then(|data| whole_blocks(data, self.machine.block_bytes)).map_or(0, Span::bytes)
            }
            false => all.usable_bytes,
        };
        let gained = |records, rules| {
            let other = self.plan(start, align, records, around).breakdown(raw, rules).ok()?;
            // Records that move to RAM are not won, unless they make whole memory blocks of the data.
            let moved = match (records, is_ram) {
                (RecordsOn::Ram, false) => other.usable_bytes / HOST.page_bytes * u64::from(HOST.record_bytes),
                _ => 0,
            };
            useful(&other).checked_sub(useful(all))?.checked_sub(moved).filter(|gained| *gained >= align)
        };
        let is_wide = division.creator.is_some_and(|(_, bytes)| bytes > HOST.record_bytes) && all.records_bytes > 0;
        let by_kernel = gained(RecordsOn::Medium, KernelRules::Merged).filter(|_| is_wide);
        let win_back = match by_kernel {
            Some(bytes) => Some(WinBack { how: format!("recreate {name} with Linux 6.1.12, or 6.2 or later"), bytes }),
            None => gained(RecordsOn::Ram, self.machine.rules()).map(|bytes| WinBack {
                how: format!("recreate {name} with --map=mem: its records are in RAM then"),
                bytes,
            }),
        };
        let data = ByteSize(all.usable_bytes);
        let records = match division.creator {
            Some((versions, bytes)) => {
                format!("{name} has {bytes} bytes for each page of its data, as {versions} creates it")
            }
            None => format!("{name} keeps the records of {data} of data"),
        };
        let parts = [
            (
                "padding at the start",
                all.start_pad_bytes,
                format!("{name} begins in a section that other memory shares"),
                "a namespace is padded to whole sections that it shares with other memory (until Linux 5.2)",
            ),
            (
                "header with info block",
                all.head_bytes,
                format!("{name} describes itself in front of its data"),
                "the first 8 KiB hold the info block",
            ),
            ("records on the medium", all.records_bytes, records, record_rule),
            (
                "alignment of the data",
                all.alignment_bytes,
                match all.records_bytes {
                    0 => format!("the data of {name} begins at the next multiple of {}", ByteSize(align)),
                    _ => format!(
                        "room for records of what is no data in {name}, and its data begins at a multiple of {}",
                        ByteSize(align)
                    ),
                },
                "records are reserved for the whole namespace; data begins at a multiple of its alignment",
            ),
            (
                "padding at the end",
                all.end_trunc_bytes,
                format!("the end of {name} is no multiple of what its data is aligned to"),
                "data ends at a multiple of its alignment; until Linux 5.2 of a section that is shared",
            ),
            (
                "less than a page",
                all.rest_bytes,
                format!("{name} does not end with a page"),
                "only whole pages are mapped",
            ),
        ];
        for (what, bytes, cause, rule) in parts {
            let win_back = win_back.clone().filter(|_| what == "records on the medium");
            ledger.lose(Stage::Namespace, name, what, bytes, Loss { cause, rule, win_back });
        }
        let span = self.region.span.and_then(|_| data_span(start, all));
        let better = span.and_then(|span| self.better_namespace(namespace, start, raw, span, around));
        self.data(namespace, span, all.usable_bytes, better, devices, added, ledger);
    }

    /// Enters the data of a namespace.
    #[allow(clippy::too_many_arguments)]
    fn data(
        &self,
        namespace: &Namespace,
        span: Option<Span>,
        bytes: u64,
        better: Option<WinBack>,
        devices: &[&Device],
        added: &mut Added,
        ledger: &mut Ledger,
    ) {
        let own = own_device(namespace, span, devices);
        let mode = namespace.mode.as_deref().unwrap_or("unknown mode");
        match own.filter(|device| device.is_ram || !device.enabled) {
            Some(device) => {
                let known: Vec<Span> =
                    if device.spans.is_empty() { span.into_iter().collect() } else { device.spans.clone() };
                let known_bytes: u64 = known.iter().map(|span| span.bytes()).sum();
                let known = if known_bytes == bytes { known } else { span.into_iter().collect() };
                device_memory(self.machine, device, &known, bytes, better, added, ledger);
            }
            None if !namespace.enabled => {
                let name = namespace.name.as_str();
                let win_back = Some(WinBack { how: format!("ndctl enable-namespace {name}"), bytes });
                let cause = format!("{name} is disabled");
                let rule = "the data of a namespace can be used only while it is enabled";
                ledger.lose(Stage::Namespace, name, "namespace disabled", bytes, Loss { cause, rule, win_back });
            }
            None => {
                let what = match mode {
                    "fsdax" => "data, fsdax",
                    "devdax" => "data, devdax",
                    "sector" | "safe" => "data, sector",
                    "raw" => "data, raw",
                    _ => "data",
                };
                ledger.use_(&namespace.name, what, bytes, span);
                if namespace.records == Some(RecordsPlace::Mem) {
                    added.mapped_bytes += bytes;
                }
            }
        }
    }

    /// What would give a namespace more whole memory blocks: records in RAM, or the room of the region that
    /// is free.
    fn better_namespace(
        &self,
        namespace: &Namespace,
        start: u64,
        raw: u64,
        data: Span,
        around: &NearbyMemory,
    ) -> Option<WinBack> {
        let block = self.machine.block_bytes;
        let now = whole_blocks(data, block).map_or(0, Span::bytes);
        let align = namespace.align.unwrap_or(DEFAULT_DATA_ALIGN);
        let blocks = |size: u64, records| {
            let all = self.plan(start, align, records, around).breakdown(size, self.machine.rules()).ok()?;
            whole_blocks(data_span(start, &all)?, block).map(Span::bytes)
        };
        let in_ram = blocks(raw, RecordsOn::Ram).map(|bytes| ("--map=mem".to_owned(), 0, bytes));
        let step = self.align().bytes.max(1);
        let free = self.region.available_bytes.unwrap_or(0);
        let larger = (1..=64).map(|nr| nr * step).take_while(|more| *more <= free).filter_map(|more| {
            let size = raw + more;
            Some((
                format!("--size={size}, with {} of free capacity", ByteSize(more)),
                more,
                blocks(size, RecordsOn::Medium)?,
            ))
        });
        // What is taken from free capacity is not won back.
        let gain = |(_, more, bytes): &(String, u64, u64)| bytes.checked_sub(now + more).filter(|gain| *gain > 0);
        // A region of expanders needs no namespace.
        let is_cxl =
            |span: &Span| self.machine.reading.inventory.windows.iter().any(|window| window.span.contains(*span));
        let whole = self.region.span.filter(|_| free == 0).filter(is_cxl).and_then(|span| whole_blocks(span, block));
        let whole = whole.map(|span| {
            ("cxl create-region -t ram in its place, if the expander has volatile capacity".to_owned(), 0, span.bytes())
        });
        let best = in_ram.into_iter().chain(larger).chain(whole).filter_map(|option| Some((gain(&option)?, option.0)));
        let (bytes, how) = best.max_by_key(|(gain, _)| *gain)?;
        let how = if how.starts_with("--") { format!("recreate {} with {how}", namespace.name) } else { how };
        Some(WinBack { how, bytes })
    }
}
