//! Records of hot-added RAM, and memory blocks that hold their own (`MHP_MEMMAP_ON_MEMORY`).

use super::{AddMemory, Machine, MachineError};
use crate::altmap::Altmap;
use crate::backing::DaxDevice;
use crate::geometry::Geometry;
use crate::memmap::*;
use crate::page_record::record_bytes;
use crate::pfn::PfnRange;
use std::path::Path;
use std::sync::Arc;

impl<L: Hotplug + SectionFlags + Inspect> Machine<L> {
    /// Adds records for new RAM and returns the altmap of each block. Blocks that hold their own
    /// records are added one by one.
    pub(super) fn add_records(
        &self,
        range: PfnRange,
        how: &AddMemory,
    ) -> Result<Vec<Option<Arc<Altmap>>>, MachineError> {
        let params = AddParams { node: how.node, kind: MemoryKind::Ram, ..AddParams::default() };
        let blocks = self.block_numbers(range);
        let dir = how.memmap_on_memory.as_ref().filter(|_| self.can_hold_own_records());
        let Some(dir) = dir else {
            self.layout.add(range, &params, &mut ())?;
            return Ok(vec![None; (blocks.end - blocks.start) as usize]);
        };
        let mut altmaps = Vec::new();
        for block in blocks.clone() {
            let own = self.block_range(block);
            let added = self.own_altmap(own, dir).and_then(|altmap| {
                let params = AddParams { altmap: Some(Arc::clone(&altmap)), ..params.clone() };
                self.layout.add(own, &params, &mut ())?;
                Ok(altmap)
            });
            match added {
                Ok(altmap) => altmaps.push(Some(altmap)),
                Err(error) => {
                    for done in blocks.start..block {
                        // Removal uses the same altmap (B-28): the layout remembers where the
                        // records are.
                        let undone = self.layout.remove(self.block_range(done), &RemoveParams::default(), &mut ());
                        debug_assert!(undone.is_ok(), "{undone:?}");
                    }
                    return Err(error);
                }
            }
        }
        Ok(altmaps)
    }

    /// Whether a block can hold its own records and still have usable pages. Source:
    /// `mhp_supports_memmap_on_memory`.
    fn can_hold_own_records(&self) -> bool {
        const PMD_BYTES: u64 = 2 << 20;
        let records = self.block_pages * record_bytes::<L::Record>();
        let host = rustix::param::page_size() as u64;
        L::CAPS.records_on_device.any()
            && host == L::Geometry::PAGE_SIZE
            && records.is_multiple_of(PMD_BYTES)
            && records < self.block_bytes()
    }

    fn own_altmap(&self, block: PfnRange, dir: &Path) -> Result<Arc<Altmap>, MachineError> {
        let records = block.nr_pages() * record_bytes::<L::Record>();
        let span = block.phys(L::Geometry::PAGE_SHIFT);
        let failed = |source| MachineError::MemmapOnMemory { span, source };
        let memory = DaxDevice::on_tmpfs(dir, records).map_err(failed)?;
        let free = records >> L::Geometry::PAGE_SHIFT;
        Ok(Arc::new(Altmap::new::<L::Geometry>(Arc::new(memory), block.start(), 0, free).map_err(failed)?))
    }
}
