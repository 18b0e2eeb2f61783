//! Device mappings: `memremap_pages` and `memunmap_pages`.
//!
//! | state | looked up | `get_dev_pagemap` |
//! | --- | --- | --- |
//! | live | yes | a reference |
//! | dying: no new references, waits for the last one | yes | none |
//! | gone | no | none |
//!
//! Source: `mm/memremap.c`. The kernel looks for other mappings at the two ends of a range only.
//! Here the whole range is tested before anything is changed (D-4).

use super::{Machine, PagemapError, Resource, ResourceKind, State, first_refusal};
use crate::altmap::Altmap;
use crate::geometry::Geometry;
use crate::memmap::*;
use crate::page::Zone;
use crate::pfn::{Pfn, PfnRange};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

/// The kind of memory that a mapping covers. Source: `enum memory_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagemapKind {
    /// Memory that CPUs cannot access; its pages migrate back to RAM. It has no direct map and does
    /// not raise `max_pfn`.
    Private {
        /// The driver has an owner that can migrate pages back. Without one the mapping is refused.
        has_owner: bool,
    },
    /// Accelerator memory that CPUs can access coherently.
    Coherent,
    /// Persistent memory with a DAX file system on it.
    FsDax,
    /// A DAX device, e.g. `/dev/dax0.0`.
    Generic,
    /// Memory of a PCI device for peer-to-peer DMA.
    PciP2pDma,
}

/// A request to map device memory. Source: `struct dev_pagemap`.
#[derive(Clone, Debug)]
pub struct PagemapSpec {
    /// Name of the resource, as in `/proc/iomem`.
    pub name: String,
    /// Page frames to map: at least one range.
    pub ranges: Vec<PfnRange>,
    /// The kind of memory.
    pub kind: PagemapKind,
    /// Where to keep the records; `None` for RAM. Allowed with exactly one range.
    pub altmap: Option<Arc<Altmap>>,
    /// NUMA node of the pages.
    pub node: u8,
    /// The memory is used in compound pages of `1 << vmemmap_shift` page frames, as a DAX device maps
    /// it; 0 for single pages.
    pub vmemmap_shift: u32,
}

impl PagemapSpec {
    /// One range of a DAX device on node 0, records in RAM.
    pub fn device(range: PfnRange) -> Self {
        Self {
            name: "dax0.0".into(),
            ranges: vec![range],
            kind: PagemapKind::Generic,
            altmap: None,
            node: 0,
            vmemmap_shift: 0,
        }
    }
}

/// A device mapping, and the references that keep it alive.
///
/// ```
/// use memmap_layouts::layouts::Subsection;
/// use memmap_layouts::machine::{Machine, MachineConfig, PagemapSpec};
/// use memmap_layouts::{BootMap, Config, Pfn, PfnRange, RecordStore};
///
/// let (config, layout) = (MachineConfig::default(), Config::default());
/// let machine = Machine::<Subsection>::boot(&BootMap::default(), config, &layout, RecordStore::unlimited())?;
/// let pagemap = machine.memremap_pages(PagemapSpec::device(PfnRange::from_len(0x100000, 512).unwrap()))?;
/// let reference = machine.get_dev_pagemap(Pfn(0x100000)).ok_or("mapped above")?;
/// assert_eq!(reference.pagemap().spec().name, "dax0.0");
/// // Unmapping waits for the last reference.
/// drop(reference);
/// machine.memunmap_pages(&pagemap)?;
/// assert!(machine.get_dev_pagemap(Pfn(0x100000)).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pagemap {
    spec: PagemapSpec,
    references: Mutex<References>,
    idle: Condvar,
}

#[derive(Debug, Default)]
struct References {
    count: u64,
    dying: bool,
}

impl Pagemap {
    /// The request that created the mapping.
    pub fn spec(&self) -> &PagemapSpec {
        &self.spec
    }

    fn references(&self) -> MutexGuard<'_, References> {
        // Counts are changed in one step, so they are correct even after a panic under the lock.
        self.references.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a reference; `None` if the mapping is being taken down.
    fn get(self: &Arc<Self>) -> Option<PagemapRef> {
        let mut references = self.references();
        if references.dying {
            return None;
        }
        references.count += 1;
        drop(references);
        Some(PagemapRef(Arc::clone(self)))
    }

    /// Stops new references. False if another caller has already done so.
    fn kill(&self) -> bool {
        !std::mem::replace(&mut self.references().dying, true)
    }

    fn revive(&self) {
        self.references().dying = false;
    }

    fn wait_until_idle(&self) {
        let mut references = self.references();
        while references.count > 0 {
            references = self.idle.wait(references).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether `pfn` is a data page of the mapping. With an altmap, the pages before the data are
    /// not. Source: `pgmap_pfn_valid`.
    pub fn pfn_valid(&self, pfn: Pfn) -> bool {
        let first_data = self.spec.altmap.as_ref().map_or(0, |altmap| altmap.data_borders().1);
        self.spec.ranges.iter().any(|range| range.contains(pfn)) && pfn.0 >= first_data
    }
}

/// A reference to a mapping, which cannot be taken down while the reference lives. A thread that
/// takes the mapping down while it holds a reference waits forever, as in the kernel.
#[derive(Debug)]
pub struct PagemapRef(Arc<Pagemap>);

impl PagemapRef {
    /// The mapping that this reference keeps alive.
    pub fn pagemap(&self) -> &Arc<Pagemap> {
        &self.0
    }
}

impl Drop for PagemapRef {
    fn drop(&mut self) {
        let mut references = self.0.references();
        references.count -= 1;
        if references.count == 0 {
            self.0.idle.notify_all();
        }
    }
}

/// The mapped ranges, by first page frame.
#[derive(Debug, Default)]
pub(super) struct Pgmaps(RwLock<BTreeMap<u64, (PfnRange, Arc<Pagemap>)>>);

impl Pgmaps {
    pub(super) fn find(&self, range: PfnRange) -> Option<(PfnRange, Arc<Pagemap>)> {
        let ranges = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (_, last) = ranges.range(..range.end()).next_back()?;
        last.0.overlaps(range).then(|| last.clone())
    }

    /// Whether `pfn` is in a mapped range.
    pub(super) fn covers(&self, pfn: Pfn) -> bool {
        PfnRange::from_len(pfn.0, 1).is_some_and(|page| self.find(page).is_some())
    }

    /// All mapped ranges, in ascending order.
    pub(super) fn ranges(&self) -> Vec<PfnRange> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().map(|(range, _)| *range).collect()
    }

    /// Adds every mapping, and whether it is being taken down, to a digest.
    pub(super) fn digest(&self, hasher: &mut impl Hasher) {
        for (range, pagemap) in self.0.read().unwrap_or_else(PoisonError::into_inner).values() {
            let altmap = pagemap.spec.altmap.as_ref().map(|altmap| altmap.used());
            (range, Arc::as_ptr(pagemap).addr(), pagemap.references().dying, altmap).hash(hasher);
        }
    }

    fn insert(&self, range: PfnRange, pagemap: &Arc<Pagemap>) {
        let mut ranges = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ranges.insert(range.start(), (range, Arc::clone(pagemap)));
    }

    fn remove(&self, range: PfnRange) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&range.start());
    }
}

impl<L: Hotplug + SectionFlags + Inspect> Machine<L> {
    /// Maps device memory: adds records, ZONE_DEVICE pages and a lookup entry. It creates no memory
    /// block, and the pages never go online.
    ///
    /// # Errors
    /// [`PagemapError`]; nothing has changed.
    pub fn memremap_pages(&self, spec: PagemapSpec) -> Result<Arc<Pagemap>, PagemapError> {
        self.memremap_pages_watched(spec, &mut ())
    }

    /// Like [`memremap_pages`](Self::memremap_pages), and reports the phases of each addition to
    /// `phases`.
    ///
    /// # Errors
    /// [`PagemapError`]; nothing has changed.
    pub(crate) fn memremap_pages_watched(
        &self,
        spec: PagemapSpec,
        phases: &mut impl PhaseSink,
    ) -> Result<Arc<Pagemap>, PagemapError> {
        let Some(first) = spec.ranges.first() else { return Err(PagemapError::NoRange) };
        if spec.kind == (PagemapKind::Private { has_owner: false }) {
            return Err(PagemapError::PrivateWithoutOwner { span: first.phys(L::Geometry::PAGE_SHIFT) });
        }
        if spec.altmap.is_some() && spec.ranges.len() > 1 {
            return Err(PagemapError::AltmapNeedsOneRange { nr_ranges: spec.ranges.len() });
        }
        spec.ranges.iter().try_for_each(|&range| self.admission.mapping_space(range))?;
        let mut state = self.lock()?;
        for &range in &spec.ranges {
            first_refusal(self.admission.mapping_place(range, &self.occupied(&state)))?;
        }
        self.claim(&mut state, &spec)?;
        let (node, altmap, vmemmap_shift) = (spec.node, spec.altmap.clone(), spec.vmemmap_shift);
        let params = AddParams { node, altmap, vmemmap_shift, ..AddParams::default() };
        let pagemap = Arc::new(Pagemap { spec, references: Mutex::default(), idle: Condvar::new() });
        for (done, &range) in pagemap.spec.ranges.iter().enumerate() {
            // Insert the range before its pages are visible, so that none of them looks online.
            self.pgmaps.insert(range, &pagemap);
            if let Err(error) = self.layout.add(self.admission.added_for(range), &params, phases) {
                self.pgmaps.remove(range);
                for &range in &pagemap.spec.ranges[..done] {
                    let undone = self.layout.remove(self.admission.added_for(range), &RemoveParams::default(), &mut ());
                    debug_assert!(undone.is_ok(), "{undone:?}");
                    self.pgmaps.remove(range);
                }
                Self::release(&mut state, &pagemap.spec.ranges);
                return Err(error.into());
            }
        }
        for &range in &pagemap.spec.ranges {
            state.zones.grow((pagemap.spec.node, Zone::Device), self.admission.added_for(range));
            if !matches!(pagemap.spec.kind, PagemapKind::Private { .. }) {
                state.max_pfn = state.max_pfn.max(range.end());
            }
        }
        Ok(pagemap)
    }

    /// Claims the ranges of a mapping in the resource tree, all or none.
    fn claim(&self, state: &mut State, spec: &PagemapSpec) -> Result<(), PagemapError> {
        for (done, &range) in spec.ranges.iter().enumerate() {
            let claim = Resource::new(range, ResourceKind::Other, spec.name.clone(), true);
            if let Err(at) = state.resources.request(claim) {
                Self::release(state, &spec.ranges[..done]);
                return Err(self.admission.claimed(range, &at));
            }
        }
        Ok(())
    }

    fn release(state: &mut State, ranges: &[PfnRange]) {
        for &range in ranges {
            state.resources.remove(range, ResourceKind::Other);
        }
    }

    /// Takes a mapping down: stops new references, waits for the last one, then removes each range
    /// from zone, records and lookup.
    ///
    /// The wait for references has no timeout.
    ///
    /// # Errors
    /// The mapping is gone, or another thread is taking it down; or the grace period would never
    /// end. If one of several ranges fails, the ranges before it are gone.
    pub fn memunmap_pages(&self, pagemap: &Arc<Pagemap>) -> Result<(), PagemapError> {
        // Fail before references are stopped: the layout refuses a thread that holds a reader.
        drop(self.lock()?);
        let mapped = |range: &PfnRange| self.pgmaps.find(*range).is_some_and(|(_, found)| Arc::ptr_eq(&found, pagemap));
        if !pagemap.spec.ranges.iter().any(mapped) || !pagemap.kill() {
            let span = pagemap.spec.ranges[0].phys(L::Geometry::PAGE_SHIFT);
            return Err(PagemapError::NotMapped { span });
        }
        pagemap.wait_until_idle();
        let mut state = match self.lock() {
            Ok(state) => state,
            Err(error) => {
                pagemap.revive();
                return Err(error.into());
            }
        };
        for &range in pagemap.spec.ranges.iter().filter(|range| mapped(range)) {
            let (added, id) = (self.admission.added_for(range), (pagemap.spec.node, Zone::Device));
            if let Err(error) = self.remove_from_zone(&mut state, id, added) {
                pagemap.revive();
                return Err(error.into());
            }
            self.pgmaps.remove(range);
            Self::release(&mut state, &[range]);
        }
        Ok(())
    }

    /// Takes a reference to the mapping of a page; `None` if the page is not mapped, or the mapping
    /// is being taken down.
    pub fn get_dev_pagemap(&self, pfn: Pfn) -> Option<PagemapRef> {
        let page = PfnRange::from_len(pfn.0, 1)?;
        self.pgmaps.find(page)?.1.get()
    }
}
