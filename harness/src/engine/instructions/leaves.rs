//! The operations that are counted. Each has the signature of a [`Leaf`](super::counted_loop::Leaf).

use memmap_layouts::{AddParams, Geometry, Hotplug, Lookup, Memmap, PageRecord, Pfn, PfnRange, RemoveParams};
use std::ptr::{self, NonNull};

/// Returns immediately. The answer is whatever the result register contains.
///
/// # Safety
/// No requirements; unsafe only because it is a [`Leaf`].
pub(super) unsafe extern "C" fn empty(_: u64, _: *const ()) -> u64 {
    let whatever: u64;
    // SAFETY: an empty template changes nothing, and the register has some value.
    unsafe { std::arch::asm!("/* {0} */", out(reg) whatever, options(nomem, nostack, preserves_flags)) };
    whatever
}

/// # Safety
/// `context` points to a reader of the layout.
pub(super) unsafe extern "C" fn pfn_valid<L: Memmap>(query: u64, context: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    u64::from(reader.pfn_valid(Pfn(query)))
}

/// # Safety
/// `context` points to a reader of the layout, for which the query is a valid pfn.
pub(super) unsafe extern "C" fn pfn_to_page<L: Memmap>(query: u64, context: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    // SAFETY: the caller's promise.
    unsafe { reader.pfn_to_page(Pfn(query)) }.as_ptr().addr() as u64
}

/// # Safety
/// `context` points to a reader of the layout, whose record of a valid, backed pfn lies at the
/// query.
pub(super) unsafe extern "C" fn page_to_pfn<L: Memmap>(query: u64, context: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    // SAFETY: no record lies at 0.
    let page = unsafe { NonNull::new_unchecked(ptr::with_exposed_provenance_mut::<L::Record>(query as usize)) };
    // SAFETY: the caller's promise.
    unsafe { reader.page_to_pfn(page) }.0
}

/// # Safety
/// `context` points to a reader of the layout, and the query is backed if it is valid.
pub(super) unsafe extern "C" fn valid_to_page<L: Memmap>(query: u64, context: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    reader.valid_to_page(Pfn(query)).map_or(0, PageRecord::flags)
}

/// # Safety
/// `context` points to a reader of the layout.
pub(super) unsafe extern "C" fn next_valid_pfn<L: Memmap>(query: u64, context: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let reader = unsafe { &*context.cast::<L::Reader<'_>>() };
    reader.next_valid_pfn(Pfn(query), Pfn(query + L::Geometry::PAGES_PER_SECTION)).map_or(0, |found| found.0)
}

/// A layout, and how much memory one update changes.
pub(super) struct Change<'a, L> {
    pub layout: &'a L,
    pub nr_pages: u64,
    pub how: AddParams,
}

/// # Safety
/// `context` points to a [`Change`] of the layout.
pub(super) unsafe extern "C" fn hot_add<L: Hotplug>(query: u64, context: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let change = unsafe { &*context.cast::<Change<'_, L>>() };
    let range = PfnRange::from_len(query, change.nr_pages);
    u64::from(range.is_some_and(|range| change.layout.add(range, &change.how, &mut ()).is_ok()))
}

/// # Safety
/// `context` points to a [`Change`] of the layout.
pub(super) unsafe extern "C" fn hot_remove<L: Hotplug>(query: u64, context: *const ()) -> u64 {
    // SAFETY: the caller's promise.
    let change = unsafe { &*context.cast::<Change<'_, L>>() };
    let range = PfnRange::from_len(query, change.nr_pages);
    u64::from(range.is_some_and(|range| change.layout.remove(range, &RemoveParams::default(), &mut ()).is_ok()))
}
