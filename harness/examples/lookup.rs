//! Looks up a page frame on this machine's memory map, or on that of another machine.
//!
//! ```sh
//! sudo cat /proc/iomem > iomem.txt
//! cargo run --example lookup -- 0x100000 iomem.txt
//! ```

use memmap_layouts::layouts::Subsection;
use memmap_layouts::{BackedSections, Config, Geometry, Lookup, Memmap, Pfn, RecordStore, X86_64};
use pfnbench::map::source::Source;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let pfn = arguments.next().ok_or("usage: lookup PFN [MAP]")?;
    let pfn = Pfn(u64::from_str_radix(pfn.trim_start_matches("0x"), 16)?);
    let source: Source = arguments.next().map_or(Ok(Source::ThisMachine), |map| map.parse())?;
    let map = source.load()?;
    map.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));

    // The index covers all memory; only the section of this page frame has its records in memory.
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
