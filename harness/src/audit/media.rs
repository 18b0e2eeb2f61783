//! Capacity of DIMMs and expanders that no region uses, and memory that is not configured.

use super::Machine;
use super::ledger::{Ledger, Loss, Stage, WinBack};
use crate::map::listing::{FreeCause, free_capacity};
use memmap_layouts::ByteSize;

/// CXL decoders map multiples of 256 MiB.
const DECODER_BYTES: u64 = 256 << 20;

pub(super) fn enter(machine: &Machine<'_>, ledger: &mut Ledger) {
    let unused: u64 = machine.reading.unused.iter().map(|part| part.span.bytes()).sum();
    let mut room = unused;
    let free = free_capacity(&machine.reading.inventory);
    let all: u64 = free.iter().filter(|free| free.cause == FreeCause::NoRegion).map(|free| free.bytes).sum();
    let has_windows = !machine.reading.inventory.windows.is_empty();
    let disabled =
        machine.reading.inventory.regions.iter().find(|region| !region.enabled && !region.mappings.is_empty());
    for free in &free {
        match free.cause {
            FreeCause::NoRegion => {
                let fits = (room.min(free.bytes)) / DECODER_BYTES * DECODER_BYTES;
                room -= fits;
                let win_back = (fits > 0).then(|| WinBack {
                    how: match disabled {
                        Some(region) => format!("cxl enable-region {}", region.name),
                        None => format!("cxl create-region -m -t ram {}, in the unused part of a window", free.of),
                    },
                    bytes: fits,
                });
                let cause = match has_windows && unused < all {
                    true => format!(
                        "no region uses {}; all such capacity together has {} more than the windows have left",
                        free.of,
                        ByteSize(all - unused)
                    ),
                    false => format!("no region uses {}", free.of),
                };
                let rule = "an expander is mapped only through a region in a window (Linux 6.0 and later)";
                ledger.lose(Stage::Media, &free.of, "in no region", free.bytes, Loss { cause, rule, win_back });
            }
            FreeCause::RegionDisabled => {
                let how = format!("cxl enable-region {}", free.of);
                let win_back = Some(WinBack { how, bytes: free.bytes });
                let cause = format!("{} is disabled, so its decoders map nothing", free.of);
                let rule = "memory of a region is there only while its decoders are committed";
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
