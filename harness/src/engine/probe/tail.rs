//! Tail latency of readers: the time of short batches of lookups, each measured separately.

use crate::engine::probe::hotplug::record;
use hdrhistogram::Histogram;
use memmap_layouts::{Lookup, Memmap, PageRecord, Pfn};
use std::hint::black_box;
use std::time::Instant;

/// Lookups in a batch: enough that two clock readings are a small part of its time, and few enough
/// that a single delay is visible.
pub const BATCH: usize = 64;

/// The percentiles of batch times in reports, with their names.
pub const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Finds and reads the records of `pfns`, with a reader for each batch of [`BATCH`] lookups.
/// Records the time of each batch in ns, reader included. Returns the sum of the records' flags.
pub fn time_batches<L: Memmap>(layout: &L, pfns: &[Pfn], into: &mut Histogram<u64>) -> u64 {
    let mut sum = 0u64;
    for batch in pfns.chunks(BATCH) {
        let begin = Instant::now();
        let flags = batch_of(layout, batch);
        let elapsed = begin.elapsed();
        sum = sum.wrapping_add(flags);
        record(into, elapsed);
    }
    sum
}

#[inline(never)]
fn batch_of<L: Memmap>(layout: &L, batch: &[Pfn]) -> u64 {
    let reader = layout.reader();
    let flags = batch.iter().map(|&pfn| reader.valid_to_page(pfn).map_or(0, |page| page.flags()));
    black_box(flags.fold(0, u64::wrapping_add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::LookupOp;
    use crate::engine::probe::hotplug::histogram;
    use crate::engine::probe::lookup::prepare_valid;
    use memmap_layouts::layouts::Subsection;
    use memmap_layouts::{BootMap, BootRange, Config, PfnRange, RecordStore};

    #[test]
    fn batches_find_what_lookups_find() {
        let range = PfnRange::new(0x8000, 0x10000).unwrap();
        let map = BootMap::new([BootRange { range, node: 0 }]).unwrap();
        let layout = <Subsection>::boot(&map, &Config::default(), RecordStore::unlimited()).unwrap();
        let pfns: Vec<Pfn> = (0x8000..0x8000 + 100).map(Pfn).collect();
        let prepared = prepare_valid(&layout, LookupOp::ValidToPage, &pfns, |_| true).unwrap();
        let expected = prepared.expected(prepared.pass());
        let mut into = histogram();
        assert_eq!((time_batches(&layout, &pfns, &mut into), into.len()), (expected, 2), "the last batch is shorter");
    }
}
