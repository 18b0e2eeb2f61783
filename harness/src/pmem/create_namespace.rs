//! Creates a namespace in a region.

use super::refusal::shell::quote;
use super::refusal::{Refusal, Subject};
use super::region_files::named_namespaces;
use super::suggestion::{Candidate, working};
use super::{HOST, KernelRules, NearbyMemory, PmemError};
use crate::size::argument;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::RecordsOn;
use memmap_layouts::nvdimm::division::{DivisionError, MIN_HOST_BYTES};
use memmap_layouts::nvdimm::label::{InvalidTable, NamespaceKind};
use memmap_layouts::nvdimm::region::{NamespaceSpec, Region, RegionError};
use memmap_layouts::nvdimm::storage::StorageFile;
use uuid::Uuid;

/// A namespace to create.
#[derive(Clone, Debug)]
pub struct NewNamespace {
    /// Size in bytes, a positive multiple of the region's alignment.
    pub size: u64,
    /// Kind of device that the namespace becomes.
    pub kind: NamespaceKind,
    /// Where the records are stored; ignored for a raw namespace.
    pub records: RecordsOn,
    /// Alignment of the data in bytes: 4 KiB, 2 MiB or 1 GiB.
    pub align: u64,
    /// The name; `None` for the first free one of `namespace0.0`, `namespace0.1`, ….
    pub name: Option<String>,
    /// Start at the next sub-section boundary if the first free byte is not on one. Linux starts at
    /// that byte, and then refuses the namespace.
    pub skips_to_sub_section: bool,
    /// RAM and other regions around the region.
    pub nearby: NearbyMemory,
    /// The kernel whose rules apply.
    pub rules: KernelRules,
}

/// A namespace that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedNamespace {
    /// Name, e.g. `namespace0.0`.
    pub name: String,
    /// UUID, as in the labels.
    pub uuid: Uuid,
    /// Kind of device that it becomes.
    pub kind: NamespaceKind,
    /// Physical address of the first byte.
    pub start: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Bytes of data; the rest is padding, header and records.
    pub usable_bytes: u64,
}

/// A default name that no namespace of the region has.
fn unused_name(region: &Region<StorageFile>) -> String {
    let is_free = |name: &String| region.labels().iter().all(|label| label.name != *name);
    (0u64..).map(|nr| format!("namespace0.{nr}")).find(is_free).unwrap_or_default()
}

/// A name for a sentence: special characters are escaped, and it is quoted if necessary.
fn printable(name: &str) -> String {
    quote(&name.escape_debug().to_string())
}

impl NewNamespace {
    /// Creates the namespace in the first free range that is large enough. Writes its info block,
    /// then its label; an interruption leaves a complete namespace or none.
    ///
    /// # Errors
    /// [`PmemError::Refused`]: size, alignment or name is invalid, the region has no free range that
    /// is large enough, the range is in use or cannot be divided, or a file cannot be written.
    pub fn create(&self, region: &mut Region<StorageFile>) -> Result<CreatedNamespace, PmemError> {
        let wanted = self.wanted(region);
        let (around, rules) = (self.nearby.surroundings(), self.rules.rule_set());
        let division = region.create_namespace(&wanted, &around, &self.rules.host(), &rules).map_err(|error| {
            let what = format!("{} of {} ({} bytes)", printable(&wanted.name), ByteSize(self.size), self.size);
            let neighbours = [named_namespaces(region, None), self.nearby.named()].concat();
            let suggestions = self.suggestions(region, &wanted, &error);
            let subject = Subject::new(what).with_neighbours(neighbours).with_suggestions(suggestions);
            Refusal::from_region(&error, &subject)
        })?;
        let label = region.label(&wanted.uuid);
        let label = label.map_err(|error| Refusal::from_region(&error, &Subject::default()))?;
        Ok(CreatedNamespace {
            start: region.namespace(label).start,
            name: wanted.name,
            uuid: Uuid::from_bytes(wanted.uuid),
            kind: wanted.kind,
            size_bytes: self.size,
            usable_bytes: division.map_or(self.size, |division| division.usable()),
        })
    }

    fn wanted(&self, region: &Region<StorageFile>) -> NamespaceSpec {
        NamespaceSpec {
            size: self.size,
            align: self.align,
            kind: self.kind,
            records: self.records,
            name: self.name.clone().unwrap_or_else(|| unused_name(region)),
            uuid: Uuid::new_v4().into_bytes(),
            instance: Uuid::new_v4().into_bytes(),
            skips_to_sub_section: self.skips_to_sub_section,
        }
    }

    /// Arguments that would work instead.
    fn suggestions(&self, region: &Region<StorageFile>, wanted: &NamespaceSpec, error: &RegionError) -> Vec<String> {
        let rules = self.rules.rule_set();
        let with = |arguments: String, change: &dyn Fn(&mut NamespaceSpec)| {
            let mut request = wanted.clone();
            change(&mut request);
            Candidate::new(arguments, request)
        };
        let size = |size| with(format!("--size {}", argument(size)), &|one| one.size = size);
        let align = |align| with(format!("--align {}", argument(align)), &|one| one.align = align);
        let raw = || with("--mode raw".to_owned(), &|one| one.kind = NamespaceKind::Raw);
        let skip = || with("--next-sub-section".to_owned(), &|one| one.skips_to_sub_section = true);
        let in_ram = |align| {
            with(format!("--memmap mem --align {}", argument(align)), &|one| {
                (one.records, one.align) = (RecordsOn::Ram, align);
            })
        };
        // The largest free range as a whole; then from its first sub-section on, if that is less.
        let largest = |ranges: Vec<(u64, u64)>| ranges.iter().map(|(_, len)| *len).max();
        let most = || {
            let (whole, on_grid) = (largest(region.free()), largest(region.room_for(wanted.kind, &HOST, &rules)));
            let skipping = on_grid.filter(|_| on_grid != whole).map(|len| {
                with(format!("--next-sub-section --size {}", argument(len)), &|one| {
                    (one.skips_to_sub_section, one.size) = (true, len);
                })
            });
            whole.map(size).into_iter().chain(skipping)
        };
        // Sizes that are little more than a header and one unit of the data alignment.
        let smallest = |align: u64, more: &'static str| {
            let (grid, step) = (align.max(MIN_HOST_BYTES).max(region.align()), region.align());
            let sizes = (1..=4u64).filter_map(move |nr| grid.saturating_mul(nr).checked_next_multiple_of(step));
            sizes.map(move |size| {
                with(format!("--size {}{more}", argument(size)), &|one| (one.size, one.align) = (size, align))
            })
        };
        let (with_own_align, with_2m) = (|| smallest(wanted.align, ""), || smallest(2 << 20, " --align 2M"));
        let candidates: Vec<Candidate<NamespaceSpec>> = match error {
            RegionError::Size { size: requested, align } => {
                let below = requested - requested % align;
                let above = requested.div_ceil(*align).max(1).saturating_mul(*align);
                [size(below), size(above)].into_iter().chain(with_own_align()).chain(with_2m()).chain(most()).collect()
            }
            RegionError::NoSpace { .. } => most().collect(),
            RegionError::Taken { .. } | RegionError::Beyond { .. } => with_own_align().collect(),
            RegionError::Division(DivisionError::StartMisaligned { .. }) => {
                [skip(), align(2 << 20), in_ram(2 << 20)].into_iter().chain(with_own_align()).collect()
            }
            RegionError::Division(DivisionError::BelowMinimum { .. }) => with_own_align().collect(),
            RegionError::Division(DivisionError::TooSmall { works, .. }) => {
                let larger =
                    works.and_then(|works| works.checked_next_multiple_of(region.align())).map(size).into_iter();
                larger.chain([in_ram(wanted.align), align(2 << 20), in_ram(2 << 20)]).chain(most()).collect()
            }
            RegionError::Division(DivisionError::Align { aligns, .. }) => {
                aligns.iter().rev().map(|one| align(*one)).collect()
            }
            RegionError::InvalidTable(InvalidTable::Name { .. }) => {
                let name = unused_name(region);
                vec![with(format!("--name {name}"), &|one| one.name.clone_from(&name))]
            }
            _ => Vec::new(),
        };
        // The same requests from the next sub-section on; then one without records.
        let skipping = candidates.iter().filter(|one| !one.request.skips_to_sub_section).map(|one| {
            let request = NamespaceSpec { skips_to_sub_section: true, ..one.request.clone() };
            Candidate::new(format!("--next-sub-section {}", one.arguments), request)
        });
        let skipping: Vec<_> = skipping.collect();
        let raw = matches!(error, RegionError::Division(_)).then(raw);
        let candidates = candidates.into_iter().chain(skipping).chain(raw);
        working(candidates, |one| region.would_hold(one, &self.nearby.surroundings(), &self.rules.host(), &rules))
    }
}
