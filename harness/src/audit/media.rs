//! Capacity of DIMMs and expanders that no region uses, and memory that is not configured.

use super::Machine;
use super::ledger::{Ledger, Loss, Stage, WinBack};
use crate::map::inventory::{Listing, RegionKind};
use crate::map::listing::{FreeCause, free_capacity};
use memmap_layouts::ByteSize;

/// CXL decoders map multiples of 256 MiB.
const DECODER_BYTES: u64 = 256 << 20;

pub(super) fn enter(machine: &Machine<'_>, ledger: &mut Ledger) {
    let inventory = &machine.reading.inventory;
    let unused: u64 = machine.reading.unused.iter().map(|part| part.span.bytes()).sum();
    // A region of one expander fits only into windows that are not interleaved.
    let is_single = |name: &str| {
        let ways = inventory.windows.iter().find(|window| window.name == name).and_then(|window| window.ways);
        ways.is_none_or(|ways| ways <= 1)
    };
    let single = machine.reading.unused.iter().filter(|part| is_single(&part.window));
    let mut room: u64 = single.map(|part| part.span.bytes()).sum();
    let free = free_capacity(machine.reading);
    let all: u64 = free.iter().filter(|free| free.cause == FreeCause::NoRegion).map(|free| free.bytes).sum();
    let has_windows = !inventory.windows.is_empty();
    let region = |name: &str| inventory.regions.iter().find(|region| region.name == name);
    // The disabled region that has an expander, with the part of it.
    let disabled = |expander: &str| {
        inventory.regions.iter().filter(|region| !region.enabled).find_map(|region| {
            let mapping = region.mappings.iter().find(|mapping| mapping.dimm == expander)?;
            let equal = region.bytes / (region.mappings.len() as u64).max(1);
            Some((region, mapping.bytes.unwrap_or(equal)))
        })
    };
    for free in &free {
        match free.cause {
            FreeCause::NoRegion => {
                let volatile = inventory.dimms.iter().find(|dimm| dimm.name == free.of).map(|dimm| dimm.volatile_bytes);
                let (win_back, cause) = match disabled(&free.of) {
                    Some((region, bytes)) => {
                        let how = format!("cxl enable-region {}", region.name);
                        let win_back = WinBack { how, bytes: bytes.min(free.bytes) };
                        (Some(win_back), format!("{}, which has {}, is disabled", region.name, free.of))
                    }
                    None => {
                        let most = volatile.unwrap_or(free.bytes).min(free.bytes).min(room);
                        let fits = most / DECODER_BYTES * DECODER_BYTES;
                        room -= fits;
                        let how = format!("cxl create-region -m -t ram {}, in the unused part of a window", free.of);
                        let win_back = (fits > 0).then_some(WinBack { how, bytes: fits });
                        let cause = match has_windows && unused < all {
                            true => format!(
                                "no region uses {}; all such capacity together has {} more than the windows have left",
                                free.of,
                                ByteSize(all - unused)
                            ),
                            false => format!("no region uses {}", free.of),
                        };
                        (win_back, cause)
                    }
                };
                let rule = "an expander is mapped only through a region in a window (Linux 6.0 and later)";
                ledger.lose(Stage::Media, &free.of, "in no region", free.bytes, Loss { cause, rule, win_back });
            }
            FreeCause::RegionDisabled => {
                let is_persistent = region(&free.of).is_some_and(|region| {
                    region.kind == RegionKind::Persistent
                        && region.sources.iter().all(|source| source.listing != Listing::Cxl)
                });
                let (tool, cause, rule) = match is_persistent {
                    true => (
                        "ndctl",
                        format!("{} is disabled, so none of its namespaces is there", free.of),
                        "namespaces are there only while their region is enabled",
                    ),
                    false => (
                        "cxl",
                        format!("{} is disabled, so its decoders map nothing", free.of),
                        "memory of a region is there only while its decoders are committed",
                    ),
                };
                let how = format!("{tool} enable-region {}", free.of);
                let win_back = Some(WinBack { how, bytes: free.bytes });
                ledger.lose(Stage::Region, &free.of, "region disabled", free.bytes, Loss { cause, rule, win_back });
            }
            FreeCause::NotConfigured => {
                let how = "write 1 to /sys/firmware/memory/memoryN/config, then put the blocks online".to_owned();
                let win_back = Some(WinBack { how, bytes: free.bytes });
                let cause = "the memory is in standby: Linux has not added it, and it has no records".to_owned();
                let rule = "standby memory is added when it is configured (s390, Linux 6.19 and later)";
                ledger.lose(Stage::Block, &free.of, "not configured", free.bytes, Loss { cause, rule, win_back });
            }
            // A part of a region, which is entered with it.
            FreeCause::NoNamespace => {}
        }
    }
}
