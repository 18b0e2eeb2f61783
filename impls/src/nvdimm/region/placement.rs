//! Where a namespace fits: free extents, alignment, and the division of its bytes.

use super::{Region, RegionError, Uuid};
use crate::nvdimm::division::{Division, DivisionError, Surroundings, Terms};
use crate::nvdimm::info_block::Signature;
use crate::nvdimm::label::{Label, NamespaceKind, Table};
use crate::nvdimm::storage::Storage;
use crate::nvdimm::{Host, MACHINE_SPACE_BYTES, RecordsOn};
use crate::rules::RuleSet;

/// The namespace to create.
#[derive(Clone, Debug)]
pub struct NamespaceSpec {
    /// Length in bytes.
    pub size: u64,
    /// Alignment of its data in bytes.
    pub align: u64,
    /// The kind of namespace.
    pub kind: NamespaceKind,
    /// Where to keep its records; a raw namespace has none.
    pub records: RecordsOn,
    /// Name of the namespace.
    pub name: String,
    /// UUID of the namespace.
    pub uuid: Uuid,
    /// UUID of the instance, for its info block.
    pub instance: Uuid,
    /// Skip free bytes below the first sub-section of an extent if a namespace with records cannot
    /// begin there. Linux takes them, and then refuses the namespace.
    pub skips_to_sub_section: bool,
}

/// A namespace with a place that is not written to the medium yet.
pub(super) struct Placed {
    pub(super) label: Label,
    pub(super) after: Table,
    pub(super) division: Option<(Signature, Division)>,
}

impl<S: Storage> Region<S> {
    /// Free extents as (offset, size) in bytes, both multiples of the region's alignment.
    pub fn free(&self) -> Vec<(u64, u64)> {
        let (mut free, mut begin) = (Vec::new(), 0u64);
        let ends = self.table.labels.iter().map(|label| (label.offset, label.end()));
        for (offset, end) in ends.chain([(self.table.size, self.table.size)]) {
            let first = begin.next_multiple_of(self.align());
            let len = offset.saturating_sub(first) / self.align() * self.align();
            if len > 0 {
                free.push((first, len));
            }
            begin = end;
        }
        free
    }

    /// Free extents as (offset, size) in bytes, each from the first place where a namespace of the
    /// kind may begin. If there is no such place, all free extents.
    pub fn room_for(&self, kind: NamespaceKind, host: &Host, rules: &RuleSet) -> Vec<(u64, u64)> {
        let (free, align) = (self.free(), self.align());
        if signature(kind).is_none() || rules.pads_namespaces {
            return free;
        }
        let on_grid = |&(offset, len): &(u64, u64)| {
            let skipped = (self.start + offset).next_multiple_of(host.compat_bytes) - self.start - offset;
            (skipped.is_multiple_of(align) && skipped < len).then(|| (offset + skipped, len - skipped))
        };
        let room: Vec<_> = free.iter().filter_map(on_grid).collect();
        if room.is_empty() { free } else { room }
    }

    /// Whether the namespace could be created. Writes nothing.
    pub fn would_hold(&self, wanted: &NamespaceSpec, around: &Surroundings<'_>, host: &Host, rules: &RuleSet) -> bool {
        self.place(wanted, around, host, rules).is_ok()
    }

    /// Chooses the place of a namespace.
    pub(super) fn place(
        &self,
        wanted: &NamespaceSpec,
        around: &Surroundings<'_>,
        host: &Host,
        rules: &RuleSet,
    ) -> Result<Placed, RegionError> {
        let (size, align, kind) = (wanted.size, self.align(), wanted.kind);
        if !host.aligns.contains(&wanted.align) {
            let (align, page, aligns) = (wanted.align, host.page_bytes, host.aligns);
            return Err(DivisionError::Align { align, page, aligns }.into());
        }
        if size == 0 || size % align != 0 {
            return Err(RegionError::Size { size, align });
        }
        let free = if wanted.skips_to_sub_section { self.room_for(kind, host, rules) } else { self.free() };
        let largest = free.iter().map(|(_, len)| *len).max().unwrap_or(0);
        let (offset, _) =
            free.into_iter().find(|(_, len)| *len >= size).ok_or(RegionError::NoSpace { size, largest })?;
        let label = Label { uuid: wanted.uuid, name: wanted.name.clone(), offset, size, kind, is_disabled: false };
        let after = self.changed(|table| table.labels.push(label.clone()))?;
        let namespace = self.namespace(&label);
        if let Some(overlap) = around.overlap(&namespace) {
            return Err(RegionError::Taken { namespace, overlap });
        }
        let beyond = namespace.end().saturating_sub(MACHINE_SPACE_BYTES);
        if beyond > 0 && signature(kind).is_some() {
            return Err(RegionError::Beyond { beyond });
        }
        let divided = |signature| {
            let terms = Terms { align: wanted.align, records: wanted.records, host, around: *around, rules };
            terms.divide(namespace).map(|division| (signature, division))
        };
        let division = signature(kind).map(divided).transpose()?;
        Ok(Placed { label, after, division })
    }
}

pub(super) fn signature(kind: NamespaceKind) -> Option<Signature> {
    match kind {
        NamespaceKind::Raw => None,
        NamespaceKind::FsDax => Some(Signature::Pfn),
        NamespaceKind::DevDax => Some(Signature::Dax),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::nvdimm::tests::{GIB, KIB, MIB, Media, create, wanted};
    use crate::rules::Rules;
    use rustix::io::Errno;

    #[test]
    fn a_namespace_with_records_can_skip_to_the_next_sub_section() {
        let media = Media::new();
        let mut region = media.region(4 * GIB, 256 * MIB, 4 * KIB);
        create(&mut region, &wanted(1, 8 * KIB, 2 * MIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap();
        let second = wanted(2, 16 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium);
        assert_eq!(create(&mut region, &second).unwrap_err().errno(), Errno::INVAL);
        let skips = |wanted| NamespaceSpec { skips_to_sub_section: true, ..wanted };
        create(&mut region, &skips(second)).unwrap();
        create(&mut region, &wanted(3, 8 * KIB, 2 * MIB, NamespaceKind::Raw, RecordsOn::Ram)).unwrap();
        let offsets: Vec<_> = region.labels().iter().map(|label| (label.uuid[0], label.offset)).collect();
        assert_eq!(offsets, [(1, 0), (3, 8 * KIB), (2, 2 * MIB)]);
        // Skipped bytes do not count as free.
        let fits = |region: &Region<_>, size| {
            let wanted = skips(wanted(4, size, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium));
            region.would_hold(&wanted, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED)
        };
        let all = skips(wanted(4, GIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium));
        let Err(RegionError::NoSpace { largest, .. }) = create(&mut region, &all) else { panic!("no room for 1 GiB") };
        assert_eq!(largest, 238 * MIB);
        assert!(fits(&region, largest) && !fits(&region, largest + 4 * KIB));
        // A region in which no namespace can begin on a sub-section: namespaces with records are refused,
        // except by the old rules.
        let media = Media::new();
        let mut odd = media.region(4 * GIB + MIB, 256 * MIB, 16 * MIB);
        let one = skips(wanted(1, 208 * MIB, 2 * MIB, NamespaceKind::FsDax, RecordsOn::Medium));
        let error = create(&mut odd, &one).unwrap_err();
        assert!(matches!(error, RegionError::Division(DivisionError::StartMisaligned { .. })), "{error}");
        let before = <crate::rules::Before as Rules>::SET;
        assert!(odd.would_hold(&one, &Surroundings::default(), &Host::X86_64, &before));
        create(&mut odd, &NamespaceSpec { kind: NamespaceKind::Raw, ..one }).unwrap();
    }
}
