//! Cases of records on the device: T-43 to T-49.

use super::*;
use crate::layouts::Subsection;
use crate::machine::{PagemapKind, PagemapSpec};
use crate::page::Page;
use crate::placement::{OnDevice, WholeSections};
use crate::rules::Before;

/// Number of pages in 2 MiB.
const BLOCK: u64 = 512;

/// An altmap at 4 GiB with two pages for the info block and `free` pages for records.
fn altmap<L: Memmap>(free: u64) -> Result<Altmap, String> {
    let base = 0x100000;
    Altmap::new::<L::Geometry>(device::<L>(range(base, free + 2))?, base, 2, free).map_err(text)
}

/// Checks that a block is refused and the counts do not change.
fn not_served(altmap: &Altmap, nr_pages: u64) -> Check {
    let before = altmap.used();
    check!(
        altmap.alloc_block(nr_pages).is_none(),
        "the altmap allocated a block of {nr_pages} pages that does not fit"
    );
    check!(altmap.used() == before, "a failed allocation changed the altmap from {before:?} to {:?}", altmap.used());
    Ok(())
}

pub(super) fn t_43_no_room_for_a_block<L: Memmap>(_: &Held) -> Check {
    let altmap = altmap::<L>(510)?;
    not_served(&altmap, BLOCK)?;
    let page = altmap.alloc_block(1);
    check!(page == Some(0x100002), "the first page is at {page:x?}, not 0x100002");
    Ok(())
}

pub(super) fn t_44_block_is_aligned<L: Memmap>(_: &Held) -> Check {
    let block_first = altmap::<L>(1022)?;
    let block = block_first.alloc_block(BLOCK);
    check!(block == Some(0x100200), "the block of 512 pages is at {block:x?}, not 0x100200");
    let used = block_first.used();
    check!((used.alloc, used.align) == (512, 510), "{used:?}");
    not_served(&block_first, 1)?;
    let page_first = altmap::<L>(1022)?;
    let got = (page_first.alloc_block(1), page_first.alloc_block(BLOCK));
    check!(got == (Some(0x100002), Some(0x100200)), "{got:x?}");
    check!(page_first.used().align == 509, "{:?}", page_first.used());
    Ok(())
}

/// The kernel's request is in bytes, and 5000 of them are refused. Here a block is a number of
/// pages by type.
pub(super) fn t_45_odd_sizes<L: Memmap>(_: &Held) -> Check {
    let altmap = altmap::<L>(64)?;
    let odd = altmap.alloc_block(3);
    check!(odd == Some(0x100002), "3 pages need no alignment, but they are at {odd:x?} instead of 0x100002");
    let even = altmap.alloc_block(6);
    check!(even == Some(0x100006), "6 pages are aligned to 2, but they are at {even:x?} instead of 0x100006");
    not_served(&altmap, 0)?;
    not_served(&altmap, u64::MAX)
}

pub(super) fn t_46_altmap_must_fit_its_range<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    let added = range(0x100000, 8 * u::<L>());
    let how = |free| -> Result<AddParams, String> {
        Ok(AddParams { altmap: Some(Arc::new(altmap::<L>(free)?)), ..AddParams::default() })
    };
    let just_fits = how(added.nr_pages() - 2)?;
    let elsewhere = range(0x100000 + u::<L>(), 8 * u::<L>());
    refused(&layout, "adding with the altmap of another range", EINVAL, || layout.add(elsewhere, &just_fits, &mut ()))?;
    layout.add(added, &just_fits, &mut ()).map_err(text)?;
    let before = just_fits.altmap.as_ref().map(|altmap| altmap.used());
    refused(&layout, "adding again", EEXIST, || layout.add(added, &just_fits, &mut ()))?;
    let after = just_fits.altmap.as_ref().map(|altmap| altmap.used());
    check!(before == after, "a failed addition changed the altmap from {before:?} to {after:?}");
    remove(&layout, added).map_err(text)?;
    drop(just_fits);
    let too_large = how(added.nr_pages() - 1)?;
    refused(&layout, "adding with an altmap that is one page too large", EINVAL, || {
        layout.add(added, &too_large, &mut ())
    })?;
    check!(
        too_large.altmap.is_some_and(|altmap| altmap.used().alloc == 0),
        "a failed addition left pages of the altmap in use"
    );
    // A refused addition does not bind the altmap to the layout.
    add(&layout, added).map_err(text)?;
    let wanted = how(64)?;
    refused(&layout, "adding a range that is present", EEXIST, || layout.add(added, &wanted, &mut ()))?;
    let other = boot::<L>(&BootMap::default())?;
    other.add(added, &wanted, &mut ()).map_err(|error| format!("adding with an unused altmap: {error}"))?;
    // Nor does it stay bound once all its pages have been returned.
    remove(&layout, added).map_err(text)?;
    remove(&other, added).map_err(text)?;
    layout
        .add(added, &wanted, &mut ())
        .map_err(|error| format!("adding with an altmap whose pages were all returned: {error}"))
}

pub(super) fn t_47_x86_takes_whole_sections<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let layout = boot::<L>(&BootMap::default())?;
    // Data begins at 4 MiB.
    let small = range(0x100000, 8 * u::<L>());
    let how = AddParams { altmap: Some(Arc::new(altmap::<L>(1022)?)), ..AddParams::default() };
    let alloc = || how.altmap.as_ref().map_or(0, |altmap| altmap.used().alloc);
    layout.add(small, &how, &mut ()).map_err(text)?;
    check!(alloc() == 0, "the records of 16 MiB took {} pages of the altmap, not 0", alloc());
    check!(layout.accounting().ram_record_bytes == records_of::<L>(small.nr_pages()), "{:?}", layout.accounting());
    remove(&layout, small).map_err(text)?;
    layout.add(range(0x100000, s::<L>()), &how, &mut ()).map_err(text)?;
    check!(alloc() == 512, "the records of a section took {} pages of the altmap, not 512", alloc());
    remove(&layout, range(0x100000, s::<L>())).map_err(text)?;
    check!(alloc() == 0, "{} pages of the altmap are in use after the removal", alloc());
    Ok(())
}

/// A namespace of 1 GiB whose data begins at 18 MiB, so that its records fit 8 sections. It is
/// tested before and after its start moves by 64 MiB: failure F3 of the cover letter.
pub(super) fn t_48_shifted_namespace<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    type ByWholeSections<G> = Subsection<G, Before, Page, OnDevice<WholeSections>>;
    let pages = 1 << 18;
    let data_offset = (18 << 20) / 4096;
    let shift = (64 << 20) / 4096;
    let how = |base: u64, reserve: u64| -> Result<AddParams, String> {
        let free = data_offset - 2;
        let device = device::<L>(range(base, reserve + free))?;
        let altmap = Altmap::new::<L::Geometry>(device, base, reserve, free).map_err(text)?;
        Ok(AddParams { altmap: Some(Arc::new(altmap)), ..AddParams::default() })
    };
    let used = |how: &AddParams| how.altmap.as_ref().map(|altmap| altmap.used()).unwrap_or_default();
    let layout = boot::<L>(&BootMap::default())?;
    let in_place = range(0x100000, pages);
    let fits = how(in_place.start(), 2)?;
    layout.add(in_place, &fits, &mut ()).map_err(text)?;
    check!((used(&fits).alloc, used(&fits).align) == (4096, 510), "{:?}", used(&fits));
    let ninth = fits.altmap.as_ref().and_then(|altmap| altmap.alloc_block(BLOCK));
    check!(ninth.is_none(), "the altmap has space for a ninth block of records");
    remove(&layout, in_place).map_err(text)?;

    // Before the series the mapping was rounded to 9 sections, and the altmap has room for 8.
    let shifted = range(in_place.start() + shift, pages);
    let rounded = shifted.round_out(s::<L>());
    let before_the_series = boot::<ByWholeSections<L::Geometry>>(&BootMap::default())?;
    let exhausted = how(rounded.start(), 2 + shift)?;
    refused(&before_the_series, "adding the shifted namespace as whole sections", ENOMEM, || {
        before_the_series.add(rounded, &exhausted, &mut ())
    })?;
    check!(used(&exhausted).alloc == 0, "{:?}", used(&exhausted));

    let fits = how(shifted.start(), 2)?;
    layout.add(shifted, &fits, &mut ()).map_err(|error| format!("the shifted namespace: {error}"))?;
    all_readable(&layout, range(shifted.end() - s::<L>(), s::<L>()))
}

pub(super) fn t_49_reserve_is_never_initialised<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    let machine = machine::<L>(&BootMap::default())?;
    let mapped = range(0x100000, s::<L>());
    let altmap = Arc::new(altmap::<L>(1022)?);
    let (name, ranges, kind) = ("dax0.0".to_owned(), vec![mapped], PagemapKind::Generic);
    let spec = PagemapSpec { name, ranges, kind, altmap: Some(altmap), node: 0, vmemmap_shift: 0 };
    let pagemap = machine.memremap_pages(spec).map_err(text)?;
    let reader = machine.layout().reader();
    let first_data = mapped.start() + 1024;
    for pfn in (mapped.start()..mapped.end()).map(Pfn) {
        let page = reader.valid_to_page(pfn).ok_or_else(|| format!("{pfn} is not valid"))?;
        let is = (page.is_poisoned(), page.is_reserved(), page.is_of(pfn));
        let should_be = match pfn.0 {
            at if at < mapped.start() + INFO_BLOCK_PAGES => (true, false, false),
            at => (false, at < first_data, true),
        };
        check!(is == should_be, "the record of {pfn} is (poisoned, reserved, its own) = {is:?}, not {should_be:?}");
        check!(
            pagemap.pfn_valid(pfn) == (pfn.0 >= first_data),
            "pgmap_pfn_valid({pfn}) should be {}",
            pfn.0 >= first_data
        );
    }
    check!(!pagemap.pfn_valid(Pfn(mapped.end())), "pgmap_pfn_valid is true for the page after the mapping");
    drop(reader);
    machine.memunmap_pages(&pagemap).map_err(text)
}
