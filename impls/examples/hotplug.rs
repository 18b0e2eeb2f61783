//! Boots a machine, hot-adds a 2 MiB sub-section, reads its records, and removes it.
//!
//! ```sh
//! cargo run -p memmap-layouts --example hotplug
//! ```

use memmap_layouts::layouts::Subsection;
use memmap_layouts::{
    AddParams, BootMap, BootRange, Config, Hotplug, Lookup, Memmap, Pfn, PfnRange, RecordStore, RemoveParams,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // 256 MiB of RAM from pfn 0, and a device at 4 GiB.
    let ram = BootRange { range: PfnRange::from_len(0, 0x10000).ok_or("a range")?, node: 0 };
    let layout: Subsection = Subsection::boot(&BootMap::new([ram])?, &Config::default(), RecordStore::unlimited())?;
    let device = PfnRange::from_len(0x100000, 512).ok_or("a range")?;

    layout.add(device, &AddParams::default(), &mut ())?;
    {
        // While the reader lives, nothing that it can see is retired.
        let reader = layout.reader();
        let page = reader.valid_to_page(Pfn(device.start())).ok_or("the first page was added")?;
        println!("pfn {:#x}: node {}, zone {:?}", device.start(), page.node(), page.zone());
        assert!(reader.valid_to_page(Pfn(device.end())).is_none(), "the next sub-section was not");
    }
    layout.remove(device, &RemoveParams::default(), &mut ())?;
    assert!(!layout.reader().pfn_valid(Pfn(device.start())));
    println!("removed; {} bytes of records are left", layout.footprint().ram_record_bytes);
    Ok(())
}
