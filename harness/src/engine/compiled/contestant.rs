//! A compiled kernel in a race: its lookups on the records and rules of its twin.

use super::Twin;
use super::tables::Tables;
use crate::case::{Asked, Dependency, LookupGroup, LookupOp, Memory, Position};
use crate::engine::blame::of_layout;
use crate::engine::contestant::{Contestant, HotplugContestant};
use crate::engine::probe::hotplug::{HotplugProbeError, Latencies, Manner};
use crate::engine::probe::lookup::{AskedOf, Part, Prepared, Queries, Window, prepare_walk};
use crate::engine::probe::loops::BATCH;
use crate::engine::probe::place::{NoPlace, Place};
use crate::engine::probe::query_array::Placement;
use crate::kernel::code::{Code, InUse, Loop};
use hdrhistogram::Histogram;
use memmap_layouts::backing::DaxDevice;
use memmap_layouts::oracle::Oracle;
use memmap_layouts::{
    BootError, BootMap, Capabilities, Config, Footprint, Geometry, HotplugError, Lookup, Memmap, Page, Pfn, PfnRange,
    RecordStore, X86_64,
};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A booted contestant `compiled-VERSION`.
pub(super) struct Compiled {
    id: &'static str,
    /// Id of the kernel, the same for all its boots.
    own_id: &'static str,
    code: Arc<Code>,
    twin: Twin,
    tables: Mutex<Tables>,
    vmemmap: u64,
    store: RecordStore,
}

impl Compiled {
    /// Boots the twin, and builds the tables of the kernel.
    ///
    /// # Errors
    /// As for [`Subsection`], or the tables need memory that is not there.
    pub(super) fn boot(
        id: &'static str,
        own_id: &'static str,
        code: Arc<Code>,
        map: &BootMap,
        config: &Config,
        store: RecordStore,
    ) -> Result<Self, BootError> {
        // The twin's tables are not read by lookups, and not counted.
        let of_twin = RecordStore { index: Default::default(), ..store.clone() };
        let twin = Twin::boot(map, config, of_twin)?;
        let mut tables = Tables::new(code.facts(), code.physical_bits(), config, &store)?;
        for (nr, _) in map.sections::<X86_64>() {
            let no_memory = BootError::NoMemory { what: "a section's descriptor or usage", bytes: 4096 };
            tables.mirror(code.facts(), &twin, nr).ok_or(no_memory)?;
        }
        // SAFETY: the address of the record of pfn 0 is only computed. The array was reserved for the
        // whole physical space.
        let vmemmap = unsafe { twin.reader().pfn_to_page(Pfn(0)) }.as_ptr().expose_provenance() as u64;
        Ok(Self { id, own_id, code, twin, tables: Mutex::new(tables), vmemmap, store })
    }

    /// Lets compiled code run on the tables of this boot, until the result is dropped.
    pub(super) fn enter(&self) -> Entered<'_> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = self.code.on(tables.roots(), self.vmemmap, tables.last);
        let in_use = in_use.expect("user space on x86-64 can set the base of %gs");
        Entered { compiled: self, _tables: tables, _in_use: in_use }
    }

    /// Rebuilds the descriptors of the sections of a range after a change.
    fn follow(&self, range: PfnRange) -> Result<(), HotplugError> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let sections = X86_64::section_nr(range.start())..=X86_64::section_nr(range.end().max(1) - 1);
        for nr in sections {
            tables.mirror(self.code.facts(), &self.twin, nr).ok_or_else(|| HotplugError::NoMemory {
                span: range.phys(X86_64::PAGE_SHIFT),
                what: "a section's descriptor or usage",
            })?;
        }
        Ok(())
    }

    fn is_backed(&self) -> impl Fn(Pfn) -> bool {
        |pfn| self.twin.backed().contains(X86_64::section_nr(pfn.0))
    }
}

/// Compiled code that may run on the tables of one boot. It must not be held by a thread that takes
/// another.
pub(super) struct Entered<'a> {
    compiled: &'a Compiled,
    _tables: MutexGuard<'a, Tables>,
    _in_use: InUse,
}

// SAFETY: `pfn_to_page` returns the twin's records only, and the oracle says for which page frames
// they exist. The tables and the twin do not change while this value lives.
unsafe impl Lookup for Entered<'_> {
    type Record = Page;

    fn pfn_valid(&self, pfn: Pfn) -> bool {
        // SAFETY: the code reads the tables, which are complete and locked, for any number.
        unsafe { (self.compiled.code.functions.valid)(pfn.0) != 0 }
    }

    unsafe fn pfn_to_page(&self, pfn: Pfn) -> NonNull<Page> {
        // SAFETY: the code computes an address.
        let found = unsafe { (self.compiled.code.functions.to_page)(pfn.0) };
        // SAFETY: the twin computes an address; the caller's pfn is valid.
        let page = unsafe { self.compiled.twin.reader().pfn_to_page(pfn) };
        // Another address is a wrong answer, which must not be read: no record lies at this one.
        if found == page.addr().get() as u64 { page } else { NonNull::dangling() }
    }

    unsafe fn page_to_pfn(&self, page: NonNull<Page>) -> Pfn {
        // SAFETY: the code computes a number from an address.
        Pfn(unsafe { (self.compiled.code.functions.to_pfn)(page.addr().get() as u64) })
    }

    fn section_flags(&self, pfn: Pfn) -> u64 {
        self.compiled.twin.reader().section_flags(pfn)
    }

    fn pfn_section_valid(&self, pfn: Pfn) -> bool {
        self.compiled.twin.reader().pfn_section_valid(pfn)
    }
}

impl Contestant<X86_64> for Compiled {
    fn id(&self) -> &'static str {
        self.id
    }
    fn layout_id(&self) -> &'static str {
        self.own_id
    }
    fn caps(&self) -> Capabilities {
        Twin::CAPS
    }
    fn dependency(&self, memory: Memory) -> Option<Dependency> {
        self.code.dependency(memory)
    }
    fn footprint(&self) -> Footprint {
        Footprint { index_bytes: self.store.index.bytes(), ..self.twin.footprint() }
    }
    fn bytes_in_huge_pages(&self) -> Option<u64> {
        self.twin.bytes_in_huge_pages()
    }
    fn index_bytes_in_huge_pages(&self) -> Option<u64> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).memory.bytes_in_huge_pages()
    }
    fn agree(&self, oracle: &Oracle<X86_64>) -> Result<(), String> {
        of_layout(self.own_id, || {
            let (id, reader) = (self.layout_id(), self.enter());
            let probes = oracle.probes();
            oracle
                .compare(Twin::CAPS.validity, &reader, &probes)
                .map_err(|wrong| format!("{id}: pfn_valid({:#x}) should be {}", wrong.pfn.0, wrong.expected))?;
            let valid: Vec<Pfn> = probes.into_iter().filter(|&pfn| reader.pfn_valid(pfn)).collect();
            let asked_of = AskedOf { id, caps: Twin::CAPS, reader: &reader, backed: self.is_backed() };
            let asked = Asked::plain(LookupOp::PfnToPage);
            asked_of.pfns(asked, &valid, |_| true, &mut Placement::aligned()).map(drop)
        })
    }
    fn prepare_checked(
        &self,
        asked: Asked,
        queries: &Queries,
        oracle: &Oracle<X86_64>,
        placement: &mut Placement,
    ) -> Result<Prepared, String> {
        of_layout(self.own_id, || {
            let (id, reader) = (self.layout_id(), self.enter());
            match queries {
                Queries::Pfns(pfns) => {
                    let asked_of = AskedOf { id, caps: Twin::CAPS, reader: &reader, backed: self.is_backed() };
                    asked_of.pfns(asked, pfns, |pfn| oracle.pfn_valid(Twin::CAPS.validity, pfn), placement)
                }
                Queries::Walk { range, nr_sections } => {
                    let walk = self.code.functions.walk.ok_or_else(|| format!("{id}: the kernel has no such walk"))?;
                    // SAFETY: the tables are complete and locked.
                    let found = unsafe { walk(range.start(), range.end()) };
                    prepare_walk(id, Twin::CAPS.validity, (*range, *nr_sections), found, asked, oracle)
                }
            }
        })
    }
    fn prepare(&self, op: LookupOp, pfns: &[Pfn]) -> Result<Prepared, String> {
        of_layout(self.own_id, || {
            let (id, reader) = (self.layout_id(), self.enter());
            let asked_of = AskedOf { id, caps: Twin::CAPS, reader: &reader, backed: self.is_backed() };
            asked_of.pfns(Asked::plain(op), pfns, |_| true, &mut Placement::aligned())
        })
    }
    fn pfn_valid(&self, pfn: Pfn) -> bool {
        self.enter().pfn_valid(pfn)
    }
    fn run(&self, prepared: &Prepared, window: Window) -> u64 {
        of_layout(self.own_id, || {
            let _entered = self.enter();
            let looped = self.code.looped(prepared.asked());
            // As in Rust's loops, each batch has a reader, which keeps the records of the twin alive.
            let batch = |looped: Loop, first: *const u64, len: usize| {
                let _reader = self.twin.reader();
                // SAFETY: `prepare` checked every query on this boot, whose tables are locked.
                unsafe { looped(first, len as u64) }
            };
            let sum = |part: Part<'_>| match (part, looped) {
                // A pfn is a u64, and so is the address of a record.
                (Part::Pfns(pfns), Some(looped)) => {
                    let sums = pfns.chunks(BATCH).map(|pfns| batch(looped, pfns.as_ptr().cast(), pfns.len()));
                    sums.fold(0, u64::wrapping_add)
                }
                (Part::Records(pages), Some(looped)) => {
                    let sums = pages.chunks(BATCH).map(|pages| batch(looped, pages.as_ptr().cast(), pages.len()));
                    sums.fold(0, u64::wrapping_add)
                }
                (Part::Walks(range, times), _) => {
                    // SAFETY: as above.
                    let once =
                        || self.code.functions.walk.map_or(0, |walk| unsafe { walk(range.start(), range.end()) });
                    (0..times).map(|_| once()).fold(0, u64::wrapping_add)
                }
                (Part::Pfns(_) | Part::Records(_), None) => 0,
            };
            prepared.parts(window).map(sum).fold(0, u64::wrapping_add)
        })
    }
    fn lookup_code(&self, asked: Asked) -> usize {
        match (self.code.looped(asked), self.code.functions.walk) {
            (Some(looped), _) => looped as usize,
            (None, Some(walk)) => walk as usize,
            (None, None) => 0,
        }
    }
    fn time_batches(&self, _: &[Pfn], _: &mut Histogram<u64>) -> u64 {
        0
    }
    fn hotplug(&self) -> Option<&dyn HotplugContestant> {
        Some(self)
    }
    fn lacks(&self, group: &LookupGroup) -> Option<&'static str> {
        match group.op {
            LookupOp::NextValidPfn if self.code.functions.walk.is_none() => {
                Some("this kernel has no walk over valid page frames; Linux 6.16 added it")
            }
            LookupOp::WalkEveryPfn | LookupOp::ScanPageblocks | LookupOp::IsContiguous => {
                Some("the loop of this walk is not in the headers of a kernel")
            }
            _ => None,
        }
    }
    fn not_beside_a_writer(&self) -> Option<&'static str> {
        Some("compiled kernel code does not take part in grace periods, so it is not measured beside a writer")
    }
}

impl HotplugContestant for Compiled {
    fn add_window(&self, window: PfnRange, device: Option<&Arc<DaxDevice>>) -> Result<(), HotplugProbeError> {
        HotplugContestant::add_window(&self.twin, window, device)?;
        Ok(self.follow(window)?)
    }
    fn remove_window(&self, window: PfnRange) -> Result<(), HotplugError> {
        HotplugContestant::remove_window(&self.twin, window)?;
        self.follow(window)
    }
    fn place(&self, window: PfnRange, size_bytes: u64, position: Position) -> Result<Place, NoPlace> {
        HotplugContestant::place(&self.twin, window, size_bytes, position)
    }
    fn time(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError> {
        HotplugContestant::time(&self.twin, range, manner, into)?;
        Ok(self.follow(range)?)
    }
    fn time_add(&self, range: PfnRange, manner: Manner<'_>, into: &mut Latencies) -> Result<(), HotplugProbeError> {
        HotplugContestant::time_add(&self.twin, range, manner, into)?;
        Ok(self.follow(range)?)
    }
    fn digest(&self) -> u64 {
        HotplugContestant::digest(&self.twin)
    }
}
