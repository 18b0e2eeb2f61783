//! Looks up a page frame on a memory map, and prints its record and the memory overhead of the
//! layout.
//!
//! ```sh
//! sudo cat /proc/iomem > iomem.txt
//! cargo run --example lookup -- iomem.txt 0x100000
//! ```

use memmap_layouts::layouts::Subsection;
use memmap_layouts::{BackedSections, Config, Geometry, Lookup, Memmap, Pfn, RecordStore, X86_64};
use pfnbench::map::source::Source;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(map), Some(pfn)) = (arguments.next(), arguments.next()) else {
        return Err("usage: lookup MAP PFN, e.g. lookup iomem.txt 0x100000".into());
    };
    let map = map.parse::<Source>()?.load()?;
    let pfn = Pfn(u64::from_str_radix(pfn.trim_start_matches("0x"), 16)?);
    // The index is complete, but only the queried section has records in memory.
    let backed = BackedSections::only([X86_64::section_nr(pfn.0)]);
    let store = RecordStore { backed, ..RecordStore::unlimited() };
    let layout: Subsection = Subsection::boot(&map.boot_map()?, &Config::default(), store)?;
    match layout.reader().valid_to_page(pfn) {
        Some(page) => println!("{pfn}: valid, node {}, zone {:?}", page.node(), page.zone()),
        None => println!("{pfn}: not valid"),
    }
    println!("index: {} bytes", layout.footprint().index_bytes);
    Ok(())
}
