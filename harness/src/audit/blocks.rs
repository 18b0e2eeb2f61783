//! Memory blocks of devices that are RAM: Linux adds only the whole blocks in each range of a device.
//!
//! Source: `dev_dax_kmem_probe` of `drivers/dax/kmem.c`.

use super::Machine;
use super::ledger::{Ledger, Loss, Stage, WinBack};
use super::regions::without;
use crate::map::Kind;
use crate::map::inventory::{Device, Span};
use memmap_layouts::ByteSize;

const RULE: &str = "a range is cut inwards to whole memory blocks (dax/kmem, Linux 5.1 and later)";
const OFFLINE_RULE: &str = "a memory block is used only while it is online";

/// The part of a range that consists of whole blocks.
pub(super) fn whole_blocks(span: Span, block_bytes: u64) -> Option<Span> {
    Span::new(span.start.checked_next_multiple_of(block_bytes)?, span.end - span.end % block_bytes)
}

/// Enters a device that is RAM, and returns the bytes of RAM that it has.
///
/// `better` is what would lose less, as the caller knows it.
pub(super) fn enter(
    machine: &Machine<'_>,
    device: &Device,
    spans: &[Span],
    bytes: u64,
    better: Option<WinBack>,
    ledger: &mut Ledger,
) -> u64 {
    let block = machine.block_bytes;
    let name = device.name.as_str();
    let mut better = better;
    let mut lose = |what, span: Option<Span>, bytes: u64, cause: String, ledger: &mut Ledger| {
        let loss = Loss { cause, rule: RULE, win_back: better.take() };
        match span {
            Some(_) => ledger.lose_span(Stage::Block, name, what, span, loss),
            None => ledger.lose(Stage::Block, name, what, bytes, loss),
        }
    };
    let mut ram: Vec<Span> = Vec::new();
    // What the map shows as RAM of the device counts more than what this block size would give.
    let is_asked = machine.options.block_bytes.is_some() || machine.options.kernel.is_some();
    let shown: Vec<Span> = spans.iter().flat_map(|span| ram_inside(machine, *span)).collect();
    let expected: Vec<Span> = spans.iter().filter_map(|span| whole_blocks(*span, block)).collect();
    let is_cut = bytes_of(&shown) > 0 && bytes_of(&shown) < bytes_of(spans) && shown != expected && !is_asked;
    if is_cut {
        for &span in spans {
            for rest in without(span, &shown) {
                let cause =
                    format!("{name} has no whole memory block there: the map shows where its RAM begins and ends");
                let what = if rest.start == span.start { "in front of whole blocks" } else { "behind whole blocks" };
                lose(what, Some(rest), 0, cause, ledger);
            }
        }
        ram.clone_from(&shown);
    }
    for &span in spans.iter().filter(|_| !is_cut) {
        match whole_blocks(span, block) {
            Some(whole) => {
                let (front, back) = (Span::new(span.start, whole.start), Span::new(whole.end, span.end));
                if let Some(front) = front {
                    let cause = format!(
                        "{name} begins {} past a memory block of {}",
                        ByteSize(span.start % block),
                        ByteSize(block)
                    );
                    lose("in front of whole blocks", Some(front), 0, cause, ledger);
                }
                if let Some(back) = back {
                    let cause = format!(
                        "{name} ends {} past a memory block of {}",
                        ByteSize(span.end % block),
                        ByteSize(block)
                    );
                    lose("behind whole blocks", Some(back), 0, cause, ledger);
                }
                ram.push(whole);
            }
            None => {
                let cause = format!("{name} has no whole memory block of {}", ByteSize(block));
                lose("less than a block", Some(span), 0, cause, ledger);
            }
        }
    }
    // Where the addresses are not known, the numbers of blocks are.
    let mut ram_bytes: u64 = ram.iter().map(|span| span.bytes()).sum();
    if spans.is_empty() {
        let stated = device.total_blocks.and_then(|nr| nr.checked_mul(block)).unwrap_or(bytes - bytes % block);
        ram_bytes = stated.min(bytes);
        let cause = format!("{name} is not a whole number of memory blocks of {}, or is not aligned", ByteSize(block));
        lose("outside whole blocks", None, bytes - ram_bytes, cause, ledger);
    }
    let offline = offline_bytes(machine, device, &ram).min(ram_bytes);
    if offline > 0 {
        let cause = format!("{} of {name} are offline", ByteSize(offline));
        let win_back = Some(WinBack { how: format!("daxctl online-memory {name}"), bytes: offline });
        ledger.lose(Stage::Block, name, "blocks offline", offline, Loss { cause, rule: OFFLINE_RULE, win_back });
    }
    let own = own_records(machine, &ram).min(ram_bytes - offline);
    if own > 0 {
        let cause = format!("the records of {name} are in its own memory blocks");
        let rule = "with memmap_on_memory, a memory block holds its own records (Linux 5.13 and later)";
        let how = "without memmap_on_memory the records are in RAM".to_owned();
        let win_back = Some(WinBack { how, bytes: own });
        ledger.lose(Stage::Block, name, "records in the blocks", own, Loss { cause, rule, win_back });
    }
    let usable = ram_bytes - offline - own;
    let span = if let ([span], 0) = (&ram[..], offline + own) { Some(*span) } else { None };
    ledger.use_(name, "RAM of a device", usable, span);
    if own > 0 { 0 } else { ram_bytes }
}

fn bytes_of(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.bytes()).sum()
}

/// Bytes of a device's memory blocks that are offline.
fn offline_bytes(machine: &Machine<'_>, device: &Device, ram: &[Span]) -> u64 {
    if let (Some(online), Some(total)) = (device.online_blocks, device.total_blocks) {
        return total.saturating_sub(online).saturating_mul(machine.block_bytes);
    }
    let blocks = machine.reading.inventory.blocks.iter().filter(|block| block.configured && !block.online);
    blocks.flat_map(|block| ram.iter().filter_map(|span| span.intersect(block.span))).map(Span::bytes).sum()
}

/// Bytes that blocks use for their own records.
fn own_records(machine: &Machine<'_>, ram: &[Span]) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    const RECORD_BYTES: u64 = 64;
    let per_block = (machine.block_bytes / PAGE_BYTES * RECORD_BYTES).next_multiple_of(PAGE_BYTES);
    let blocks = machine.reading.inventory.blocks.iter().filter(|block| block.memmap_on_memory == Some(true));
    let shared = blocks.flat_map(|block| ram.iter().filter_map(|span| span.intersect(block.span)));
    shared.map(|span| span.bytes() / machine.block_bytes * per_block).sum()
}

/// Ranges of a machine that are RAM of a driver, inside a span.
pub(super) fn ram_inside(machine: &Machine<'_>, span: Span) -> Vec<Span> {
    let ranges = machine.reading.map.ranges.iter().filter(|range| range.kind == Kind::HotplugRam);
    ranges.filter_map(|range| range.span().intersect(span)).collect()
}
