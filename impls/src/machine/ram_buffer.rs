//! The "RAM buffer": what x86 keeps busy behind RAM, up to the next border of 64 MiB, because
//! firmware is known to hide memory of its own there.
//!
//! Memory that is a resource at boot is spared. Until Linux 6.x that was soft-reserved memory too.
//! Since 7.x it becomes a resource only when a device claims it, so a DAX device that begins in the
//! buffer is refused with EBUSY.
//!
//! Source: `e820__reserve_resources_late` and `ram_alignment` in `arch/x86/kernel/e820.c`.

use super::{Machine, MachineError, Resource, ResourceKind, ResourceTree};
use crate::geometry::Geometry;
use crate::memmap::*;
use crate::pfn::PfnRange;
use crate::rules::Rules;

/// The border up to which the bytes behind RAM that ends at `end` are kept.
fn ram_alignment(end: u64) -> u64 {
    match end >> 20 {
        0 => 64 << 10,
        1..16 => 1 << 20,
        _ => 64 << 20,
    }
}

/// The parts of the RAM buffers that no resource has.
pub(super) fn ram_buffers(boot: &BootMap, resources: &ResourceTree, page_shift: u32) -> Vec<Resource> {
    let mut buffers = Vec::new();
    for boot in boot.ranges() {
        let start = boot.range.end();
        let bytes = start << page_shift;
        let Some(end) = bytes.checked_next_multiple_of(ram_alignment(bytes)).map(|end| end >> page_shift) else {
            continue;
        };
        let others = resources.iter().map(|resource| resource.range);
        let mut others: Vec<PfnRange> = others.filter(|other| other.start() < end && other.end() > start).collect();
        others.sort_by_key(|other| other.start());
        // What lies between the others.
        let starts = [start].into_iter().chain(others.iter().map(|other| other.end()));
        let ends = others.iter().map(|other| other.start()).chain([end]);
        let gaps = starts.zip(ends).filter_map(|(from, to)| PfnRange::new(from, to)).filter(|gap| !gap.is_empty());
        buffers.extend(gaps.map(|gap| Resource::new(gap, ResourceKind::Other, "RAM buffer", true)));
    }
    buffers
}

impl<L: Hotplug + SectionFlags + Inspect> Machine<L> {
    /// Claims the RAM buffers of a machine that has soft-reserved memory behind its RAM, by the
    /// rules of its kernel: since 7.x they cover that memory. Call it after resources were inserted
    /// that exist at boot.
    ///
    /// ```
    /// use memmap_layouts::layouts::{Linux6_1, Linux7_2};
    /// use memmap_layouts::machine::{Machine, MachineConfig, PagemapSpec};
    /// use memmap_layouts::{BootMap, BootRange, Config, Hotplug, Inspect, PfnRange, RecordStore, SectionFlags};
    ///
    /// /// Whether a device right behind 1 GiB + 16 MiB of RAM is mapped.
    /// fn is_mapped<L: Hotplug + SectionFlags + Inspect>() -> Result<bool, Box<dyn std::error::Error>> {
    ///     let ram = BootRange { range: PfnRange::from_len(0, 0x41000).unwrap(), node: 0 };
    ///     let (config, layout) = (MachineConfig::default(), Config::default());
    ///     let machine = Machine::<L>::boot(&BootMap::new([ram])?, config, &layout, RecordStore::unlimited())?;
    ///     machine.claim_ram_buffers()?;
    ///     Ok(machine.memremap_pages(PagemapSpec::device(PfnRange::from_len(0x41000, 512).unwrap())).is_ok())
    /// }
    /// assert!(is_mapped::<Linux6_1>()? && !is_mapped::<Linux7_2>()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The state cannot be locked.
    pub fn claim_ram_buffers(&self) -> Result<(), MachineError> {
        if !<L::Rules as Rules>::SET.ram_buffer_covers_soft_reserved {
            return Ok(());
        }
        let mut state = self.lock()?;
        for buffer in ram_buffers(&self.boot, &state.resources, L::Geometry::PAGE_SHIFT) {
            // It is free, so nothing is in the way.
            let _ = state.resources.request(buffer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::{Linux6_1, Linux7_2};
    use crate::machine::MachineConfig;
    use crate::store::RecordStore;

    fn buffers<L: Hotplug + SectionFlags + Inspect>() -> Vec<(u64, u64)> {
        let ram = |start, end| BootRange { range: PfnRange::new(start, end).unwrap(), node: 0 };
        let map = BootMap::new([ram(0, 0x9f), ram(0x100, 0x3_ffe0), ram(0x4_0000, 0x4_1000)]).unwrap();
        let machine =
            Machine::<L>::boot(&map, MachineConfig::default(), &Config::default(), RecordStore::unlimited()).unwrap();
        let known = Resource::new(PfnRange::new(0x4_2000, 0x4_2200).unwrap(), ResourceKind::Other, "ACPI", true);
        machine.insert_resource(known).unwrap();
        machine.claim_ram_buffers().unwrap();
        let tree = machine.resources().unwrap();
        let buffers = tree.iter().filter(|resource| resource.name == "RAM buffer");
        buffers.map(|resource| (resource.range.start(), resource.range.end())).collect()
    }

    #[test]
    fn a_buffer_reaches_the_next_border_and_spares_what_is_known() {
        let expected = [(0x9f, 0xa0), (0x3_ffe0, 0x4_0000), (0x4_1000, 0x4_2000), (0x4_2200, 0x4_4000)];
        assert_eq!(buffers::<Linux7_2>(), expected);
        assert_eq!(buffers::<Linux6_1>(), []);
    }
}
