//! RAM of the boot, and the records in it.

use super::Machine;
use super::ledger::{Ledger, Loss, Stage, WinBack};
use super::regions::Added;
use crate::map::Kind;
use crate::map::inventory::Span;
use memmap_layouts::ByteSize;

/// Bytes of the records of so many bytes of memory: 64 for each page of 4 KiB.
fn records(bytes: u64) -> u64 {
    bytes / 64
}

pub(super) fn enter(machine: &Machine<'_>, added: &Added, ledger: &mut Ledger) {
    let ranges = machine.reading.map.disjoint();
    let ram: Vec<Span> = ranges.iter().filter(|range| range.kind == Kind::Ram).map(|range| range.span()).collect();
    let total: u64 = ram.iter().map(|span| span.bytes()).sum();
    let blocks = machine.reading.inventory.blocks.iter().filter(|block| block.configured && !block.online);
    let offline: u64 =
        blocks.flat_map(|block| ram.iter().filter_map(|span| span.intersect(block.span))).map(Span::bytes).sum();
    if offline > 0 {
        let cause = format!("{} of the memory blocks are offline", ByteSize(offline));
        let rule = "a memory block is used only while it is online";
        let win_back =
            Some(WinBack { how: "chmem -e, or write online to the state of each block".to_owned(), bytes: offline });
        ledger.lose(Stage::Block, "RAM", "blocks offline", offline, Loss { cause, rule, win_back });
    }
    let online = total - offline;
    let rule = "each page of 4 KiB has a record of 64 bytes, 1.56 % (struct page, all versions)";
    let mut left = online;
    let mut take = |of: &str, what, bytes: u64, cause: String, win_back: Option<WinBack>| {
        let taken = bytes.min(left);
        left -= taken;
        ledger.lose(Stage::Ram, of, what, taken, Loss { cause, rule, win_back });
    };
    take("RAM", "records of RAM", records(total), format!("the records of {} of RAM", ByteSize(total)), None);
    let of_added = records(added.ram_bytes);
    if of_added > 0 {
        let cause = format!("the records of {} of added RAM", ByteSize(added.ram_bytes));
        take("RAM", "records of added RAM", of_added, cause, None);
    }
    let of_devices = records(added.mapped_bytes);
    if of_devices > 0 {
        let cause = format!("the records of {} of device memory that are in RAM", ByteSize(added.mapped_bytes));
        take("RAM", "records of devices", of_devices, cause, None);
    }
    let only = if let ([span], true) = (&ram[..], left == total) { Some(*span) } else { None };
    ledger.use_("RAM", "for the system", left, only);
}
