//! A capacity request: a size or an amount of data at a given start, under the rules of several
//! kernels.

use super::{Breakdown, CapacityError, CapacityPlan};
use crate::pmem::refusal::{Refusal, Subject};
use crate::pmem::suggestion::{Candidate, working};
use crate::pmem::{HOST, KernelRules, NearbyMemory};
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::division::{DivisionError, MIN_HOST_BYTES};
use memmap_layouts::nvdimm::region::RegionAlign;
use memmap_layouts::nvdimm::{Extent, MACHINE_SPACE_BYTES, RecordsOn};

/// What a capacity request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapacityTarget {
    /// A namespace of this many bytes.
    Size(u64),
    /// The smallest namespace with at least this many bytes of data.
    Usable(u64),
}

/// A namespace whose capacity is to be determined.
///
/// ```
/// use memmap_layouts::nvdimm::RecordsOn;
/// use memmap_layouts::nvdimm::region::DEFAULT_ALIGN;
/// use pfnbench::pmem::{KernelRules, NearbyMemory};
/// use pfnbench::pmem::capacity::{CapacityRequest, CapacityTarget};
///
/// let request = CapacityRequest {
///     target: CapacityTarget::Size(1 << 30),
///     start: 4 << 30,
///     align: 2 << 20,
///     records: RecordsOn::Medium,
///     nearby: NearbyMemory::default(),
///     region_align: DEFAULT_ALIGN.into(),
///     region: None,
/// };
/// for result in request.evaluate(&KernelRules::ALL)? {
///     let breakdown = result.result?;
///     assert!(breakdown.lost_bytes() < 32 << 20);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CapacityRequest {
    /// Its size, or the size of its data.
    pub target: CapacityTarget,
    /// Physical address of the first byte.
    pub start: u64,
    /// Alignment of the data in bytes: 4 KiB, 2 MiB or 1 GiB.
    pub align: u64,
    /// Where the records are stored.
    pub records: RecordsOn,
    /// RAM and regions around the namespace.
    pub nearby: NearbyMemory,
    /// Alignment of the region; sizes are multiples of it.
    pub region_align: RegionAlign,
    /// The region; `None` if its end is unknown.
    pub region: Option<Extent>,
}

/// The capacity under the rules of one kernel.
#[derive(Clone, Debug)]
pub struct CapacityResult {
    /// The kernel whose rules apply.
    pub rules: KernelRules,
    /// Size of the namespace in bytes; `None` if no size holds the requested data.
    pub size: Option<u64>,
    /// Where its bytes go, or why it is refused.
    pub result: Result<Breakdown, Box<Refusal>>,
}

impl CapacityRequest {
    /// Determines the capacity under the rules of each of `kernels`, in their order.
    ///
    /// # Errors
    /// The refusal of a request that is invalid under any rules: a misaligned size or start, an
    /// unsupported alignment, a request for no data, or one that exceeds the physical address space
    /// of 46 bits.
    pub fn evaluate(&self, kernels: &[KernelRules]) -> Result<Vec<CapacityResult>, Box<Refusal>> {
        let last = kernels.last().copied().unwrap_or(KernelRules::Merged);
        self.check().map_err(|error| self.refusal(&error, last))?;
        let evaluated: Vec<_> = kernels.iter().map(|rules| (*rules, self.breakdown(*rules))).collect();
        if let [.., (rules, Err((_, error)))] = &evaluated[..]
            && error.is_beyond_space()
            && evaluated.iter().all(|(_, result)| result.is_err())
        {
            return Err(self.refusal(error, *rules).into());
        }
        let result = |(rules, result)| match result {
            Ok((size, breakdown)) => CapacityResult { rules, size: Some(size), result: Ok(breakdown) },
            Err((size, error)) => CapacityResult { rules, size, result: Err(self.refusal(&error, rules).into()) },
        };
        Ok(evaluated.into_iter().map(result).collect())
    }

    /// Refuses requests that no kernel accepts.
    fn check(&self) -> Result<(), CapacityError> {
        let (align, step, start) = (self.region_align, self.region_align.bytes, self.start);
        if !align.is_valid(u64::MAX, HOST.page_bytes) {
            return Err(CapacityError::RegionAlign { align });
        }
        let off = start % HOST.page_bytes;
        if off != 0 {
            return Err(CapacityError::StartOffPage { start, off });
        }
        if !HOST.aligns.contains(&self.align) {
            let (align, page, aligns) = (self.align, HOST.page_bytes, HOST.aligns);
            return Err(DivisionError::Align { align, page, aligns }.into());
        }
        match self.target {
            CapacityTarget::Usable(0) => Err(CapacityError::NothingWanted),
            CapacityTarget::Usable(_) => Ok(()),
            CapacityTarget::Size(size) if size == 0 || size % step != 0 => Err(CapacityError::Size { size, step }),
            CapacityTarget::Size(size) if size < MIN_HOST_BYTES => Err(DivisionError::BelowMinimum { size }.into()),
            CapacityTarget::Size(_) => Ok(()),
        }
    }

    fn plan(&self) -> CapacityPlan<'_> {
        let around = self.nearby.surroundings();
        CapacityPlan { start: self.start, align: self.align, records: self.records, around, region: self.region }
    }

    /// Size and breakdown, or the size, if there is one, and why it is refused.
    fn breakdown(&self, rules: KernelRules) -> Result<(u64, Breakdown), (Option<u64>, CapacityError)> {
        let plan = self.plan();
        let size = match self.target {
            CapacityTarget::Usable(wanted) => {
                plan.size_for(wanted, self.region_align.bytes, rules).map_err(|error| (None, error))?
            }
            CapacityTarget::Size(size) => size,
        };
        let breakdown = plan.breakdown(size, rules).map_err(|error| (Some(size), error))?;
        Ok((size, breakdown))
    }

    fn refusal(&self, error: &CapacityError, rules: KernelRules) -> Refusal {
        Refusal::from_capacity(error, &self.subject().with_suggestions(self.suggestions(error, rules)))
    }

    /// The requested namespace and what is around it.
    fn subject(&self) -> Subject {
        let start = self.start;
        let subject = match self.target {
            CapacityTarget::Usable(_) => Subject::new(format!("a namespace at {start:#x}")),
            CapacityTarget::Size(size) => match Extent::new(start, size) {
                Some(extent) => Subject::at("a namespace", extent),
                None => Subject::new(format!("a namespace of {} ({size} bytes) at {start:#x}", ByteSize(size))),
            },
        };
        subject.with_neighbours(self.nearby.named())
    }

    /// Arguments that would work instead.
    fn suggestions(&self, error: &CapacityError, rules: KernelRules) -> Vec<String> {
        let with = |arguments: String, change: &dyn Fn(&mut Self)| {
            let mut request = self.clone();
            change(&mut request);
            Candidate::new(arguments, request)
        };
        let step = self.region_align.bytes.max(1);
        let size =
            |size| with(format!("--size {}", argument(size)), &|request| request.target = CapacityTarget::Size(size));
        let usable = |usable| {
            with(format!("--usable {}", argument(usable)), &|request| request.target = CapacityTarget::Usable(usable))
        };
        let start = |start: u64| with(format!("--start {start:#x}"), &|request| request.start = start);
        let align = |align| with(format!("--align {}", argument(align)), &|request| request.align = align);
        let ways = self.region_align.mappings;
        let region_align = |align: RegionAlign| {
            with(format!("--region-align {}", argument(align.bytes)), &|request| request.region_align = align)
        };
        let per_dimm = |bytes| RegionAlign::from_per_mapping(bytes, ways);
        let in_ram = |align| {
            with(format!("--memmap mem --align {}", argument(align)), &|request| {
                (request.records, request.align) = (RecordsOn::Ram, align);
            })
        };
        let grid = HOST.compat_bytes;
        let candidates: Vec<Candidate<Self>> = match error {
            CapacityError::Size { size: requested, step } => {
                let (below, above) = self.plan().sizes_beside(*requested, *step, rules);
                below.into_iter().chain(above).map(size).chain([region_align(per_dimm(HOST.page_bytes))]).collect()
            }
            CapacityError::RegionAlign { .. } => {
                let default = RegionAlign::default_for(u64::MAX, ways, HOST.page_bytes);
                let aligns = [default, per_dimm(grid), per_dimm(HOST.page_bytes)];
                // With the size rounded up, if it is not a multiple of the alignment.
                let rounded = aligns.into_iter().filter_map(|align| match self.target {
                    CapacityTarget::Size(requested) => {
                        let rounded = requested.checked_next_multiple_of(align.bytes)?;
                        let arguments =
                            format!("--region-align {} --size {}", argument(align.bytes), argument(rounded));
                        Some(with(arguments, &|request| {
                            (request.region_align, request.target) = (align, CapacityTarget::Size(rounded));
                        }))
                    }
                    CapacityTarget::Usable(_) => None,
                });
                aligns.into_iter().map(region_align).chain(rounded).collect()
            }
            CapacityError::OutsideRegion { start: at, region, .. } => {
                let room = region.end().saturating_sub(*at.max(&region.start));
                vec![size(room - room % step), start(region.start)]
            }
            CapacityError::StartOffPage { start: at, .. } => {
                let below = at - at % grid;
                vec![start(below), start(below.saturating_add(grid))]
            }
            CapacityError::Division(DivisionError::StartMisaligned { start: at, off, compat }) => {
                vec![start(at.saturating_add(compat - off)), start(at - off)]
            }
            CapacityError::Division(DivisionError::Align { aligns, .. }) => {
                aligns.iter().rev().map(|one| align(*one)).collect()
            }
            CapacityError::Division(DivisionError::BelowMinimum { .. }) => (0..2)
                .filter_map(|nr| MIN_HOST_BYTES.checked_next_multiple_of(step)?.checked_add(nr * step))
                .map(size)
                .collect(),
            // A start at a section boundary avoids occupying an additional section.
            CapacityError::Machine(_) => {
                let below = self.start - self.start % HOST.section_bytes;
                vec![start(below.saturating_add(HOST.section_bytes)), start(below), in_ram(self.align)]
            }
            CapacityError::Division(DivisionError::TooSmall { works, .. }) => {
                let larger = works.and_then(|works| works.checked_next_multiple_of(step)).map(size).into_iter();
                larger.chain([in_ram(self.align), align(grid), in_ram(grid)]).collect()
            }
            CapacityError::BeyondSpace { start: at, size: requested } => {
                let last = MACHINE_SPACE_BYTES.saturating_sub(*requested);
                let room = MACHINE_SPACE_BYTES.saturating_sub(*at);
                vec![size(room - room % step), start(last - last % grid)]
            }
            CapacityError::Overlaps { start: at, overlap, .. } => {
                let room = overlap.other.start.saturating_sub(*at);
                let others = self.nearby.ram.iter().chain(&self.nearby.regions);
                let mut above: Vec<_> = others.filter_map(|other| other.end().checked_next_multiple_of(grid)).collect();
                above.sort_unstable();
                above.retain(|above| above > at);
                std::iter::once(size(room - room % step)).chain(above.into_iter().map(start)).collect()
            }
            CapacityError::NoSize { most, .. } => vec![usable(*most), in_ram(self.align)],
            CapacityError::NothingWanted => vec![usable(1 << 30), usable(1)],
        };
        // A request for an amount of data is answered with amounts of data, not with sizes.
        let is_meant = |one: &Candidate<Self>| {
            matches!((self.target, one.request.target), (CapacityTarget::Size(_), _) | (_, CapacityTarget::Usable(_)))
        };
        working(candidates.into_iter().filter(is_meant), |request| {
            request.check().is_ok() && request.breakdown(rules).is_ok()
        })
    }
}
