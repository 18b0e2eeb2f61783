//! Device memory as System RAM: what the driver of a DAX device adds and removes when it is bound to
//! `kmem`.
//!
//! The driver rounds each range of the device inwards to whole memory blocks, and loses what is left.
//! A range that has no whole block is left out.
//!
//! Source: `dev_dax_kmem_probe`, `dev_dax_kmem_remove` in `drivers/dax/kmem.c`.

use super::{AddMemory, Machine, MachineError};
use crate::memmap::*;
use crate::pfn::PfnRange;
use crate::rules::Rules;

impl<L: Hotplug + SectionFlags + Inspect> Machine<L> {
    /// The part of a range that the driver adds: its [`whole_blocks`](super::whole_blocks). `None` if it has none.
    pub fn whole_blocks(&self, range: PfnRange) -> Option<PfnRange> {
        self.admission.whole_blocks(range)
    }

    /// Adds the ranges of a DAX device as RAM, and returns what was added. As in the kernel, ranges
    /// that fail after one was added are left out.
    ///
    /// ```
    /// use memmap_layouts::layouts::Subsection;
    /// use memmap_layouts::machine::{AddMemory, Machine, MachineConfig};
    /// use memmap_layouts::{BootMap, Config, PfnRange, RecordStore};
    ///
    /// let (config, layout) = (MachineConfig::default(), Config::default());
    /// let machine = Machine::<Subsection>::boot(&BootMap::default(), config, &layout, RecordStore::unlimited())?;
    /// // 304 MiB, of which the 256 MiB between 4 GiB and 4.25 GiB are whole blocks.
    /// let device = PfnRange::from_len(0x100000 - 0x1000, 0x13000).unwrap();
    /// let added = machine.add_device_memory(&[device], &AddMemory::default())?;
    /// assert_eq!(added, [PfnRange::from_len(0x100000, 0x10000).unwrap()]);
    /// machine.remove_device_memory(&added)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No range has a whole memory block (since Linux 5.15; before, the driver is bound and adds
    /// nothing), or the first that has cannot be added. Nothing has changed.
    pub fn add_device_memory(&self, ranges: &[PfnRange], how: &AddMemory) -> Result<Vec<PfnRange>, MachineError> {
        self.admission.add_whole_blocks(ranges, |range| self.add_memory(range, how))
    }

    /// Removes what [`add_device_memory`](Self::add_device_memory) added, when the driver is
    /// unbound. A range with an online block stays, in the kernel until the next reboot, and the
    /// others go. In what is queued after 7.2, nothing goes then.
    ///
    /// # Errors
    /// The first range that cannot be removed.
    pub fn remove_device_memory(&self, ranges: &[PfnRange]) -> Result<(), MachineError> {
        if <L::Rules as Rules>::SET.kmem_removes_all_or_nothing {
            for &range in ranges {
                self.check_removable(range)?;
            }
        }
        ranges.iter().map(|&range| self.remove_memory(range)).fold(Ok(()), Result::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::{Linux5_10, Linux6_1, LinuxNext};
    use crate::machine::MachineConfig;
    use crate::store::RecordStore;

    /// Two blocks of 128 MiB at 4 GiB, and one at 5 GiB.
    const RANGES: [(u64, u64); 2] = [(0x10_0000, 0x1_0000), (0x14_0000, 0x8000)];

    fn machine<L: Hotplug + SectionFlags + Inspect>() -> Machine<L> {
        let config = MachineConfig { block_bytes: Some(128 << 20), ..MachineConfig::default() };
        Machine::boot(&BootMap::default(), config, &Config::default(), RecordStore::unlimited()).unwrap()
    }

    fn ranges() -> Vec<PfnRange> {
        RANGES.map(|(start, len)| PfnRange::from_len(start, len).unwrap()).to_vec()
    }

    #[test]
    fn ranges_are_cut_to_whole_blocks() {
        let machine = machine::<Linux6_1>();
        let off = [PfnRange::from_len(0x10_7000, 0x1_1800).unwrap(), PfnRange::from_len(0x13_fe00, 0x400).unwrap()];
        let added = machine.add_device_memory(&off, &AddMemory::default()).unwrap();
        assert_eq!(added, [PfnRange::from_len(0x10_8000, 0x1_0000).unwrap()]);
        assert_eq!(machine.blocks().unwrap().into_keys().collect::<Vec<_>>(), [33, 34]);
    }

    #[test]
    fn a_device_without_a_whole_block_is_refused_since_5_14() {
        // Behind its first page, and across the border of two blocks.
        for (start, len) in [(0x10_0200, 0x7e00), (0x10_0200, 0xfc00)] {
            let small = [PfnRange::from_len(start, len).unwrap()];
            let told = machine::<Linux6_1>().add_device_memory(&small, &AddMemory::default()).unwrap_err();
            assert!(matches!(told, MachineError::NoWholeBlock { .. }) && told.errno() == 22, "{told}");
            assert!(machine::<Linux5_10>().add_device_memory(&small, &AddMemory::default()).unwrap().is_empty());
        }
    }

    #[test]
    fn a_range_that_is_busy_is_left_out_after_one_that_was_added() {
        let machine = machine::<Linux6_1>();
        let all = ranges();
        machine.add_memory(all[1], &AddMemory::default()).unwrap();
        assert_eq!(machine.add_device_memory(&all, &AddMemory::default()).unwrap(), all[..1]);
        machine.add_device_memory(&all, &AddMemory::default()).unwrap_err();
    }

    #[test]
    fn an_online_block_keeps_its_range_and_in_what_is_queued_all_ranges() {
        fn left<L: Hotplug + SectionFlags + Inspect>() -> Vec<u64> {
            let machine = machine::<L>();
            let added = machine.add_device_memory(&ranges(), &AddMemory::default()).unwrap();
            machine.write_state(40, "online").unwrap();
            let told = machine.remove_device_memory(&added).unwrap_err();
            assert!(matches!(told, MachineError::BlockOnline { block: 40, .. }), "{told}");
            machine.blocks().unwrap().into_keys().collect()
        }
        assert_eq!(left::<Linux6_1>(), [40]);
        assert_eq!(left::<LinuxNext>(), [32, 33, 40]);
    }
}
