//! Device memory in compound pages: which records share memory, and that readers see what they should.

use memmap_layouts::altmap::Altmap;
use memmap_layouts::backing::{DaxDevice, RamBacking};
use memmap_layouts::layouts::{Dax, Linux5_10, Linux6_1, Subsection};
use memmap_layouts::{
    AddParams, BootMap, BootRange, Config, Hotplug, Inspect, Lookup, Memmap, Page, Pfn, PfnRange, RecordBudget,
    RecordStore, RemoveParams, X86_64, Zone,
};
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

const PAGE: u64 = 4096;
const SHIFT_2M: u32 = 9;
const SHIFT_1G: u32 = 18;
/// Records in a page.
const IN_PAGE: u64 = PAGE / size_of::<Page>() as u64;

fn gib(start: u64, nr_mib: u64) -> PfnRange {
    PfnRange::from_len(start << 18, nr_mib << 8).unwrap()
}

fn compound(vmemmap_shift: u32) -> AddParams {
    AddParams { vmemmap_shift, ..AddParams::default() }
}

fn empty<L: Memmap>(store: RecordStore) -> L {
    L::boot(&BootMap::default(), &Config::default(), store).unwrap()
}

/// Pages of records in RAM after an addition to an empty machine.
fn pages<L: Hotplug + Inspect>(range: PfnRange, how: &AddParams) -> u64 {
    let layout: L = empty(RecordStore::unlimited());
    layout.add(range, how, &mut ()).unwrap();
    let pages = layout.accounting().ram_record_bytes / PAGE;
    layout.remove(range, &RemoveParams::default(), &mut ()).unwrap();
    assert_eq!(layout.accounting().ram_record_bytes, 0, "removal gives everything back");
    pages
}

fn page<L: Lookup<Record = Page>>(reader: &L, pfn: u64) -> &Page {
    reader.valid_to_page(Pfn(pfn)).unwrap()
}

#[test]
fn t_71_tail_records_share_memory_by_alignment() {
    for (shift, in_128_mib, in_1_gib) in [(0, 512, 4096), (1, 512, 4096), (SHIFT_2M, 128, 1024), (SHIFT_1G, 2, 2)] {
        let how = compound(shift);
        let (small, large) = (pages::<Linux6_1>(gib(4, 128), &how), pages::<Linux6_1>(gib(4, 1024), &how));
        assert_eq!((small, large), (in_128_mib, in_1_gib), "1 << {shift} page frames");
        assert_eq!(pages::<Subsection>(gib(4, 128), &how), in_128_mib);
        assert_eq!(pages::<Linux5_10>(gib(4, 128), &how), 512, "not before Linux 5.18");
    }
}

#[test]
fn t_71_an_altmap_shares_nothing() {
    let device = Arc::new(DaxDevice::on_tmpfs(Path::new("/dev/shm"), 16 << 20).unwrap());
    let range = gib(4, 128);
    let altmap = Arc::new(Altmap::new::<X86_64>(device, range.start(), 0, 1024).unwrap());
    let layout: Dax = empty(RecordStore::unlimited());
    layout.add(range, &AddParams { altmap: Some(altmap), ..compound(SHIFT_2M) }, &mut ()).unwrap();
    assert_eq!(layout.accounting().device_record_bytes, 512 * PAGE);
    // Without an altmap the records of a DAX layout are in RAM, and share it.
    assert_eq!(pages::<Dax>(range, &compound(SHIFT_2M)), 128);
}

#[test]
fn t_71_a_shared_page_is_seen_by_every_tail() {
    for backing in [RamBacking::Anon, RamBacking::Linux, RamBacking::Tmpfs("/dev/shm".into())] {
        for (shift, nr_mib) in [(SHIFT_2M, 8), (SHIFT_1G, 1024)] {
            let store = RecordStore { backing: backing.clone(), ..RecordStore::unlimited() };
            if let Err(error) = Linux6_1::<X86_64>::boot(&BootMap::default(), &Config::default(), store.clone()) {
                eprintln!("skipped: {backing}: {error}");
                continue;
            }
            let (layout, range) = (empty::<Linux6_1>(store), gib(4, nr_mib));
            layout.add(range, &AddParams { node: 3, ..compound(shift) }, &mut ()).unwrap();
            let reader = layout.reader();
            for first in (range.start()..range.end()).step_by(1 << shift) {
                // The records with a page of their own, and those that share theirs.
                for pfn in first..first + 2 * IN_PAGE {
                    assert!(page(&reader, pfn).is_of(Pfn(pfn)), "{pfn:#x}");
                }
                page(&reader, first + IN_PAGE + 5).set_private(first);
                for pfn in (first + IN_PAGE + 5..first + (1 << shift)).step_by(IN_PAGE as usize) {
                    let record = page(&reader, pfn);
                    assert!(record.is_of(Pfn(first + IN_PAGE + 5)), "{pfn:#x}: {record:?}");
                    assert_eq!((record.node(), record.zone()), (3, Some(Zone::Device)));
                }
            }
            drop(reader);
            layout.remove(range, &RemoveParams::default(), &mut ()).unwrap();
            assert_eq!(layout.accounting().ram_record_bytes, 0);
            // The same addresses are ordinary records again.
            layout.add(range, &AddParams::default(), &mut ()).unwrap();
            let reader = layout.reader();
            assert!((range.start()..range.end()).all(|pfn| page(&reader, pfn).is_of(Pfn(pfn))));
        }
    }
}

#[test]
fn a_part_of_a_compound_page_can_go_before_the_rest() {
    let layout: Linux6_1 = empty(RecordStore::unlimited());
    layout.add(gib(4, 1024), &compound(SHIFT_1G), &mut ()).unwrap();
    let section = |nr: u64| PfnRange::from_len((4 << 18) + nr * 0x8000, 0x8000).unwrap();
    let pages = || layout.accounting().ram_record_bytes / PAGE;
    layout.remove(section(3), &RemoveParams::default(), &mut ()).unwrap();
    assert_eq!(pages(), 2, "the others use the shared page");
    layout.remove(section(0), &RemoveParams::default(), &mut ()).unwrap();
    assert_eq!(pages(), 1, "the page of the head is gone");
    let reader = layout.reader();
    assert_eq!(page(&reader, section(7).start()).zone(), Some(Zone::Device));
    drop(reader);
    for nr in [1, 2, 4, 5, 6, 7] {
        layout.remove(section(nr), &RemoveParams::default(), &mut ()).unwrap();
    }
    assert_eq!(pages(), 0);
}

#[test]
fn t_72_in_a_boot_section_every_record_is_initialised() {
    let ram = BootRange { range: PfnRange::new(0, 0x2000).unwrap(), node: 0 };
    let map = BootMap::new([ram]).unwrap();
    let layout = Linux6_1::<X86_64>::boot(&map, &Config::default(), RecordStore::unlimited()).unwrap();
    let before = layout.accounting().ram_record_bytes;
    let range = PfnRange::new(0x2000, 0x6000).unwrap();
    layout.add(range, &compound(SHIFT_2M), &mut ()).unwrap();
    assert_eq!(layout.accounting().ram_record_bytes, before, "its records are those of boot");
    let reader = layout.reader();
    for pfn in range.start()..range.end() {
        let record = page(&reader, pfn);
        assert!(record.is_of(Pfn(pfn)) && record.zone() == Some(Zone::Device), "{pfn:#x}: {record:?}");
    }
}

#[test]
fn a_compound_page_that_begins_in_a_boot_section_shares_nothing() {
    let ram = BootRange { range: PfnRange::new(0, 0x2000).unwrap(), node: 0 };
    let map = BootMap::new([ram]).unwrap();
    let layout = Linux6_1::<X86_64>::boot(&map, &Config::default(), RecordStore::unlimited()).unwrap();
    let range = PfnRange::new(0x2000, 0x20000).unwrap();
    layout.add(range, &compound(SHIFT_1G), &mut ()).unwrap();
    let reader = layout.reader();
    assert!((range.start()..range.end()).all(|pfn| page(&reader, pfn).is_of(Pfn(pfn))));
}

#[test]
fn a_part_that_comes_again_shares_nothing_with_what_stayed() {
    let layout: Linux6_1 = empty(RecordStore::unlimited());
    let all = gib(4, 1024);
    layout.add(all, &compound(SHIFT_1G), &mut ()).unwrap();
    let part = PfnRange::from_len(all.start(), 2 * 0x8000).unwrap();
    layout.remove(part, &RemoveParams::default(), &mut ()).unwrap();
    let reader = layout.reader();
    let stayed = page(&reader, part.end()).check();
    layout.add(part, &compound(SHIFT_1G), &mut ()).unwrap();
    assert_eq!(page(&reader, part.end()).check(), stayed, "its records are not written again");
    assert_eq!(layout.accounting().ram_record_bytes / PAGE, 3, "a head, and a shared page each");
}

#[test]
fn t_74_a_tebibyte_takes_16_gib_4_gib_or_8_mib() {
    // By the formula of the rule: all pages, two for each 2 MiB, two for each GiB.
    for (shift, expected) in [(0, 16 << 30), (SHIFT_2M, 4 << 30), (SHIFT_1G, 8 << 20)] {
        assert_eq!(pages::<Linux6_1>(gib(4, 1024), &compound(shift)) * PAGE * 1024, expected);
    }
}

#[test]
fn an_addition_without_room_changes_nothing() {
    let range = gib(4, 128);
    for limit in [PAGE, 2 * PAGE, 77 * PAGE] {
        let budget = RecordBudget::new(limit);
        let layout: Linux6_1 = empty(RecordStore { budget: budget.clone(), ..RecordStore::unlimited() });
        let before = layout.digest();
        let error = layout.add(range, &compound(SHIFT_2M), &mut ()).unwrap_err();
        assert!(error.to_string().contains("limit"), "{error}");
        assert_eq!((layout.digest(), budget.used()), (before, 0), "{limit}");
        assert!(!layout.reader().pfn_valid(Pfn(range.start())));
    }
}

#[test]
fn threads_initialise_the_same_records() {
    let how = AddParams { init_threads: NonZeroU32::new(3).unwrap(), ..compound(SHIFT_2M) };
    let (layout, range) = (empty::<Linux6_1>(RecordStore::unlimited()), gib(4, 256));
    layout.add(range, &how, &mut ()).unwrap();
    let reader = layout.reader();
    let own = |pfn: u64| pfn % (1 << SHIFT_2M) < 2 * IN_PAGE;
    assert!((range.start()..range.end()).filter(|&pfn| own(pfn)).all(|pfn| page(&reader, pfn).is_of(Pfn(pfn))));
}
