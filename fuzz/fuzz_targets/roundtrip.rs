//! What `pfnbench map --json` prints of a machine is the same machine when it is read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pfnbench::map::listing::free_capacity;
use pfnbench::map::{Kind, read_machine};
use pfnbench_fuzz::{checked, listing};

fuzz_target!(|data: &[u8]| {
    let Some(first) = checked(&String::from_utf8_lossy(data)) else { return };
    let printed = listing(&first);
    let Some(second) = checked(&printed) else {
        let error = read_machine("fuzz", "a fuzz target", &printed).unwrap_err();
        panic!("{error}\n{printed}")
    };
    assert_eq!(second.map.disjoint(), first.map.disjoint(), "of:\n{printed}");
    assert_eq!(second.inventory, first.inventory, "of:\n{printed}");
    assert_eq!(second.hotplug_windows, first.hotplug_windows, "of:\n{printed}");
    assert_eq!(free_capacity(&second), free_capacity(&first));
    let memory = |kind: Kind| kind != Kind::Window;
    assert_eq!(
        second.map.ranges.iter().any(|range| memory(range.kind)),
        first.map.ranges.iter().any(|range| memory(range.kind))
    );
});
