//! Boots a machine, hot-adds a 2 MiB sub-section, reads one of its records, and removes it.
//!
//! ```sh
//! cargo run -p memmap-layouts --example hotplug
//! ```

use memmap_layouts::layouts::Subsection;
use memmap_layouts::{
    AddParams, BootMap, BootRange, Config, Hotplug, Lookup, Memmap, Pfn, PfnRange, RecordStore, RemoveParams,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 256 MiB of RAM at 0, and a device at 4 GiB.
    let ram = BootRange { range: PfnRange::new(0, 0x10000).ok_or("the start is above the end")?, node: 0 };
    let layout: Subsection = Subsection::boot(&BootMap::new([ram])?, &Config::default(), RecordStore::unlimited())?;
    let device = PfnRange::new(0x100000, 0x100200).ok_or("the start is above the end")?;

    layout.add(device, &AddParams::default(), &mut ())?;
    {
        // While a reader lives, no record that it can see is released.
        let reader = layout.reader();
        let page = reader.valid_to_page(Pfn(device.start())).ok_or("the page frame was added")?;
        println!("{}: node {}, zone {:?}", Pfn(device.start()), page.node(), page.zone());
        assert!(!reader.pfn_valid(Pfn(device.end())), "the next sub-section was not added");
    }
    layout.remove(device, &RemoveParams::default(), &mut ())?;
    assert!(!layout.reader().pfn_valid(Pfn(device.start())));
    println!("after removal: {} bytes of records", layout.footprint().ram_record_bytes);
    Ok(())
}
