//! Physical addresses at which a refused namespace would be mapped.

use super::HOST;
use super::suggestion::{Candidate, working};
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::forecast::{Mapped, forecast};
use memmap_layouts::nvdimm::info_block::InfoBlockError;
use memmap_layouts::nvdimm::label::Label;
use memmap_layouts::nvdimm::region::{Personality, Region, RegionError};
use memmap_layouts::nvdimm::storage::StorageFile;
use memmap_layouts::rules::RuleSet;

/// Starts of the region (`--at`) at which a namespace would be mapped.
///
/// Candidates are the start with which the region was created and the two nearest ones that align
/// the data again. Without an error of the region, these are the ones at which the namespace starts
/// a section. `mapped` are the mapped namespaces of the same region, which move with it.
pub(super) fn working_starts(
    region: &Region<StorageFile>,
    label: &Label,
    error: Option<&RegionError>,
    around: &Surroundings<'_>,
    mapped: &[Extent],
    rules: &RuleSet,
) -> Vec<String> {
    let start = region.extent().start;
    let (off, grid) = match error {
        Some(RegionError::InfoBlock(InfoBlockError::BadOffset { off, align, .. })) => (*off, *align),
        Some(RegionError::InfoBlock(InfoBlockError::StartMisaligned { off, compat, .. })) => (*off, *compat),
        Some(_) => return Vec::new(),
        None => ((start + label.offset) % HOST.section_bytes, HOST.section_bytes),
    };
    let candidates = [Some(region.original_start()), start.checked_sub(off), start.checked_add(grid - off)];
    let would_be_mapped = |candidate: &u64| {
        let namespace = candidate.checked_add(label.offset).and_then(|start| Extent::new(start, label.size));
        let personality = region.probe_at(*candidate, label, &HOST, rules).ok();
        let Some((Personality::Pages(_, settings), namespace)) = personality.zip(namespace) else { return false };
        let moved = mapped.iter().map(|one| Extent { start: one.start - start + candidate, size: one.size });
        let regions: Vec<_> = moved.chain(around.regions.iter().copied()).collect();
        let around = Surroundings { ram: around.ram, regions: &regions };
        forecast(&Mapped::new(&settings, namespace), &around, &HOST, rules).is_ok()
    };
    let candidates = candidates.into_iter().flatten().filter(|candidate| *candidate != start);
    working(candidates.map(|start| Candidate::new(format!("--at {start:#x}"), start)), would_be_mapped)
}
