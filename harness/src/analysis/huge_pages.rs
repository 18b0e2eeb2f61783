//! Checks whether records and index tables for which huge pages were requested are in huge pages.

use crate::record::row::Row;
use crate::units::three_digits;
use memmap_layouts::PAGE_RECORD_BYTES;
use std::collections::BTreeSet;

/// Metric of footprint rows: bytes of a layout's records that the kernel reports as being in huge
/// pages.
pub const IN_HUGE_PAGES: &str = "records_in_huge_pages";

/// Metric of footprint rows: bytes of a layout's index tables that the kernel reports as being in
/// huge pages.
pub const INDEX_IN_HUGE_PAGES: &str = "index_in_huge_pages";

/// Bytes of records that the backing `linux` puts in one huge page.
const BLOCK: f64 = (2 << 20) as f64;

/// Warns about layouts most of whose records are in base pages although huge pages were requested,
/// one line each. Index tables are checked likewise. With the backing `linux`, parts of sections
/// are not expected to be in huge pages. A race has at most one such part, at the end of a flat
/// array.
///
/// `record_bytes` is the size of a layout's records, by its id. The records of a section fill a huge
/// page only if they have 64 bytes each.
pub fn warnings(rows: &[Row], record_bytes: impl Fn(&str) -> u64) -> Vec<String> {
    let value = |other: &Row, metric: &str| {
        let same = |row: &&Row| row.layout == other.layout && row.memory == other.memory && row.metric == metric;
        rows.iter().find(same).and_then(|row| row.value)
    };
    let in_huge_pages = rows.iter().filter(|row| row.metric == IN_HUGE_PAGES);
    let warnings = in_huge_pages.filter_map(|row| {
        let on_device = value(row, "records_on_device").unwrap_or(0.0);
        let (huge, backed) = (row.value?, value(row, "records_backed")? - on_device);
        let (layout, memory) = (&row.layout, row.memory?.name());
        let is_like_linux = row.backing.split('+').next() == Some("linux");
        if is_like_linux && record_bytes(layout) < PAGE_RECORD_BYTES {
            return (huge < backed / 2.0).then(|| {
                format!(
                    "{layout}: its records are in base pages with {memory} memory, because those of a section do not \
                     fill a huge page; compare it with --backing thp, which puts all records in huge pages"
                )
            });
        }
        let expected = if is_like_linux { (backed / BLOCK).floor() * BLOCK } else { backed };
        (huge < expected / 2.0).then(|| {
            let percent = three_digits(100.0 * huge / backed);
            format!(
                "{layout}: only {percent} % of its records are in huge pages with {memory} memory, because the kernel \
                 found no more free huge pages"
            )
        })
    });
    let without = rows.iter().filter(|row| row.metric == INDEX_IN_HUGE_PAGES && row.value == Some(0.0));
    let index = without.filter_map(|row| {
        let (layout, memory) = (&row.layout, row.memory?.name());
        Some(format!(
            "{layout}: its index tables are in base pages with {memory} memory, because the kernel found no free huge \
             page"
        ))
    });
    // Each process of a run says the same.
    let mut known = BTreeSet::new();
    warnings.chain(index).filter(|warning| known.insert(warning.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_pages_instead_of_huge_pages_are_warned_of() {
        let of_pages = |_: &str| PAGE_RECORD_BYTES;
        let row = |backing: &str, layout: &str, metric: &str, value: f64| -> Row {
            serde_json::from_value(serde_json::json!({
                "v": 1, "layout": layout, "op": "footprint", "memory": "boot", "map": "m", "backing": backing,
                "sampled": false, "process": 0, "metric": metric, "unit": "bytes", "value": value, "status": "ok",
                "machine": "x", "doctor": "ok",
            }))
            .unwrap()
        };
        for backing in ["thp", "linux", "linux+dax-on-tmpfs"] {
            let row = |layout, metric, value| row(backing, layout, metric, value);
            let rows = [
                row("flat", "records_backed", 4e6),
                row("flat", IN_HUGE_PAGES, 4e6),
                row("sparse", "records_backed", 4e6),
                row("sparse", IN_HUGE_PAGES, 0.0),
            ];
            // A second process says the same once more.
            let rows = [rows.clone(), rows].concat();
            let warnings = warnings(&rows, of_pages);
            let one = warnings.len() == 1 && warnings[0].starts_with("sparse") && warnings[0].contains(" 0");
            assert!(one, "{backing}: {warnings:?}");
        }
        let index = [0.0, 2e6].map(|bytes| row("anon", "sparse", INDEX_IN_HUGE_PAGES, bytes));
        assert_eq!((warnings(&index[..1], of_pages).len(), warnings(&index[1..], of_pages).len()), (1, 0));
        // Less than one huge page of records.
        for (backing, nr) in [("thp", 1), ("linux", 0)] {
            let rows = [row(backing, "flat", "records_backed", 1e6), row(backing, "flat", IN_HUGE_PAGES, 0.0)];
            assert_eq!(warnings(&rows, of_pages).len(), nr, "{backing}");
        }
    }

    #[test]
    fn small_records_are_in_base_pages_for_a_reason_of_their_own() {
        let row = |metric: &str, value: f64| -> Row {
            serde_json::from_value(serde_json::json!({
                "v": 2, "layout": "small", "op": "footprint", "memory": "boot", "map": "m", "backing": "linux",
                "sampled": false, "process": 0, "metric": metric, "unit": "bytes", "value": value, "status": "ok",
                "machine": "x", "doctor": "ok",
            }))
            .unwrap()
        };
        let rows = [row("records_backed", 4e6), row(IN_HUGE_PAGES, 0.0)];
        let said = warnings(&rows, |_| 8);
        assert!(said.len() == 1 && said[0].contains("do not fill a huge page"), "{said:?}");
    }
}
