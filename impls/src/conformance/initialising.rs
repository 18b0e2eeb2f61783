//! Records initialised by several threads equal those initialised by one.

use super::*;
use crate::page::Life;
use std::num::NonZeroU32;

/// The contents of a record that do not depend on its address.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    life: Life,
    flags: u64,
    poisoned: bool,
}

/// The records of `added` in a new layout that initialises them with `threads` threads.
fn records<L: Hotplug + Inspect>(added: PfnRange, threads: u32) -> Result<(Vec<Record>, Accounting), String> {
    let layout = boot::<L>(&small_machine())?;
    let before = accounts(&layout);
    let init_threads = NonZeroU32::new(threads).ok_or("the number of threads must be at least 1")?;
    let how = AddParams { init_threads, ..params_if_possible::<L>(added, layout.backed()) };
    layout.add(added, &how, &mut ()).map_err(text)?;
    let reader = layout.reader();
    let record = |pfn: u64| {
        let page = reader.valid_to_page(Pfn(pfn)).ok_or_else(|| format!("pfn {pfn:#x} is not valid"))?;
        check!(is_right::<L>(page, Pfn(pfn)), "with {threads} threads, the record of pfn {pfn:#x} {}", says(page));
        Ok(Record { life: page.life(), flags: page.flags(), poisoned: page.is_poisoned() })
    };
    let records = (added.start()..added.end()).map(record).collect::<Result<Vec<Record>, String>>()?;
    drop(reader);
    let full = layout.accounting();
    remove(&layout, added).map_err(text)?;
    check!(
        accounts(&layout) == before,
        "after removal with {threads} threads, the accounts are {:?}, not as before",
        layout.accounting()
    );
    Ok((records, full))
}

pub(super) fn threads_write_what_one_would<L: Hotplug + Inspect + SectionFlags>(_: &Held) -> Check {
    // One granule, and a range across section boundaries that begins and ends inside a section if
    // the layout supports it.
    let (start, unit) = (L::Geometry::section_start(8), granule::<L>());
    for added in [range(start, unit), range(start - unit, 2 * unit + s::<L>())] {
        let alone = records::<L>(added, 1)?;
        for threads in [2, 3, u32::MAX] {
            check!(
                records::<L>(added, threads)? == alone,
                "{threads} threads initialise {added} differently than one thread"
            );
        }
    }
    Ok(())
}
