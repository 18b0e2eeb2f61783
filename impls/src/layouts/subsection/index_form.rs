//! How a VMEMMAP layout finds its sections and answers lookups.

use super::reader::SubsectionReader;
use crate::geometry::Geometry;
use crate::grace::ReadGuard;
use crate::memmap::{Load, Lookup};
use crate::page_record::HotplugRecord;
use crate::preempt::Word;
use crate::rules::Rules;
use crate::section::{Descriptor, SectionIndex, SectionTable};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The index of a VMEMMAP layout, and the lookups that read it. It is a type, so that lookups are
/// compiled for it.
pub trait IndexForm: Debug + Send + Sync + 'static {
    /// Name and description of the layout; `None` if rules and placement name it.
    const LAYOUT: Option<(&'static str, &'static str)>;
    /// True if a kernel's `pfn_valid` over this index disables preemption where the rules say so.
    const IS_GUARDED: bool;
    /// The loads of `pfn_valid`; `None` if the rules decide.
    const PFN_VALID: Option<&'static [Load]>;

    /// What finds the descriptors of sections.
    type Index<G: Geometry, R: Rules>: SectionIndex<G, Section: Descriptor<Map = G::SubsectionMap>>;
    /// The lookups.
    type Reader<'a, G: Geometry, R: Rules, T: HotplugRecord>: Lookup<Record = T>;

    /// A reader of an index. `vmemmap` is the record of pfn 0, in an array for the whole physical
    /// address space.
    fn reader<'a, G: Geometry, R: Rules, T: HotplugRecord>(
        index: &'a Self::Index<G, R>,
        vmemmap: NonNull<T>,
        guard: ReadGuard<'a>,
    ) -> Self::Reader<'a, G, R, T>;
}

/// The kernel's index: a two-level table of descriptors, and usage objects with the map of each
/// section ([`SectionTable`]).
#[derive(Clone, Copy, Debug)]
pub struct TwoLevels;

impl IndexForm for TwoLevels {
    const LAYOUT: Option<(&'static str, &'static str)> = None;
    const IS_GUARDED: bool = true;
    const PFN_VALID: Option<&'static [Load]> = None;

    type Index<G: Geometry, R: Rules> = SectionTable<G, G::SubsectionMap, R>;
    type Reader<'a, G: Geometry, R: Rules, T: HotplugRecord> = SubsectionReader<'a, G, R, T>;

    fn reader<'a, G: Geometry, R: Rules, T: HotplugRecord>(
        index: &'a SectionTable<G, G::SubsectionMap, R>,
        vmemmap: NonNull<T>,
        guard: ReadGuard<'a>,
    ) -> SubsectionReader<'a, G, R, T> {
        SubsectionReader {
            roots: index.roots(),
            mem_section: index.mem_section(),
            vmemmap,
            end_section: index.end_section(),
            count: match R::CODE {
                Some(code) => code.guard.count(),
                None => Word::unused(),
            },
            rules: PhantomData,
            _guard: guard,
        }
    }
}
