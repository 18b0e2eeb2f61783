//! Hotplug and readers beside a writer: cells of the table, and lines below it.

use super::not_raced;
use crate::analysis::summary::{HotplugCell, HotplugLine, Percentile, ReadersCell, Summary};
use crate::case::{Addresses, HotplugGroup, Position};
use crate::present::terminal::Cell;
use crate::units::{bytes, three_digits, time};
use comfy_table::Color;

/// Sizes in bytes for which the lines below the table show the three times of an addition; the rows
/// contain the others.
const TOLD: [u64; 2] = [2 << 20, 128 << 20];

/// The table notes when readers keep less than this share of their throughput beside a writer.
const UNDISTURBED: f64 = 0.95;

/// The percentile of readers' batches that is compared. The table notes when it is longer beside a
/// writer than beside a busy thread by more than this factor.
const TAIL: (&str, f64) = ("p99.9", 1.5);

/// The row of the table for one operation and size: labels, then a cell per layout.
pub(super) fn row(line: &HotplugLine, summary: &Summary) -> Vec<Cell> {
    let names = line.cells.iter().map(|cell| cell.percentiles.iter().map(|p| p.name.as_str()).collect::<Vec<_>>());
    let names = names.max_by_key(Vec::len).unwrap_or_default();
    let labels = [format!("{} of {}", line.op, bytes(line.group.size_bytes as f64)), names.join("\n")];
    let cells = summary.layouts.iter().map(|layout| {
        let cell = line.cells.iter().find(|cell| cell.layout == *layout);
        cell.map_or_else(|| not_raced(summary, layout), of_layout)
    });
    labels.into_iter().map(Cell::new).chain(cells).collect()
}

fn of_layout(cell: &HotplugCell) -> Cell {
    if cell.percentiles.is_empty() {
        return Cell::new("not offered").fg(Color::DarkGrey);
    }
    let line = |p: &Percentile| p.ns.map_or_else(|| format!("– ({} samples)", cell.samples), time);
    let lines: Vec<String> = cell.percentiles.iter().map(line).collect();
    Cell::new(lines.join("\n")).right()
}

/// Describes a group in words: its size, and how it differs from the default.
pub fn in_words(group: &HotplugGroup) -> String {
    let mut words = vec![bytes(group.size_bytes as f64)];
    match group.position {
        Position::First => {}
        Position::Later => words.push("later in a section".to_owned()),
        Position::Unaligned => words.push("unaligned".to_owned()),
    }
    match group.addresses {
        Addresses::Again => {}
        Addresses::Growth => words.push("as memory grows".to_owned()),
        Addresses::Fresh => words.push("at fresh addresses".to_owned()),
    }
    if group.init_threads.get() > 1 {
        words.push(format!("with {} threads", group.init_threads));
    }
    words.join(" ")
}

/// Lines below the table: an explanation of its hotplug rows, then the three times of an addition
/// and the variants, for the reference.
pub(super) fn figures(summary: &Summary) -> Vec<String> {
    let layout = &summary.reference;
    let median = |op: &str, group: HotplugGroup| {
        summary.hotplug.iter().find(|line| line.op == op && line.group == group)?.ns(layout, "p50")
    };
    let three = TOLD.into_iter().filter_map(|size| {
        let median = |op| median(op, HotplugGroup::plain(size)).map(time);
        let (call, read, write) = (median("hot_add")?, median("hot_add_read")?, median("hot_add_write")?);
        Some(format!("{}: {call} / {read} / {write}", bytes(size as f64)))
    });
    let three: Vec<String> = three.collect();
    let mut lines = Vec::new();
    if summary.hotplug.iter().any(HotplugLine::is_headline) {
        lines.push(
            "Hot-add and hot-remove in the table are re-adds: one range is added and removed in a loop, and its record \
             pages are those just freed. Percentiles come from one process and have no intervals, so they do not \
             establish a ranking."
                .to_owned(),
        );
    }
    if !three.is_empty() {
        lines.push(format!(
            "Re-add to {layout}, medians of: the call / with a first read of every record / with a first write of \
             every record: {}.",
            three.join("; ")
        ));
    }
    let variants =
        summary.hotplug.iter().filter(|line| line.op == "hot_add" && !line.group.is_plain()).filter_map(|line| {
            let group = line.group;
            let re_add = median("hot_add", HotplugGroup::plain(group.size_bytes));
            let re_add = re_add.map_or_else(String::new, |ns| format!(" (re-add {})", time(ns)));
            Some(format!("{} {}{re_add}", in_words(&group), time(line.ns(layout, "p50")?)))
        });
    let variants: Vec<String> = variants.collect();
    if !variants.is_empty() {
        lines.push(format!("Other additions to {layout}, median of the call: {}.", variants.join(", ")));
    }
    lines
}

/// Lines below the table on readers beside a writer, one per number of readers.
pub(super) fn readers(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    for group in summary.readers.chunk_by(|a, b| a.mode == b.mode) {
        let Some(first) = group.first() else { continue };
        let each = |cell: &ReadersCell| format!("{} {}", cell.layout, three_digits(cell.ratio));
        lines.push(format!(
            "Readers query memory next to a range that a writer adds and removes 100 times per second. Throughput as a \
             ratio to that beside an equally busy thread that touches no layout; below 1 is slower ({}): {}.{}{}{}",
            first.mode,
            group.iter().map(each).collect::<Vec<_>>().join(", "),
            disturbed(group),
            delayed(group),
            first.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})")),
        ));
    }
    lines
}

fn disturbed(readers: &[ReadersCell]) -> String {
    let below: Vec<&str> =
        readers.iter().filter(|cell| cell.ratio < UNDISTURBED).map(|cell| cell.layout.as_str()).collect();
    if below.is_empty() { String::new() } else { format!(" Below {UNDISTURBED}: {}.", below.join(", ")) }
}

fn delayed(readers: &[ReadersCell]) -> String {
    let (percentile, limit) = TAIL;
    let above = readers.iter().filter_map(|cell| {
        let ratio = cell.tail_ratio(percentile).filter(|&ratio| ratio > limit)?;
        Some(format!("{} {}", cell.layout, three_digits(ratio)))
    });
    let above: Vec<String> = above.collect();
    if above.is_empty() {
        String::new()
    } else {
        format!(" Ratio of the {percentile} batch latency above {limit}: {}.", above.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summary::tests::hotplug_median as median;
    use crate::present::table::{draw, legend};
    use crate::record::row::Row;
    use crate::record::row::tests::row;

    fn rows() -> Vec<Row> {
        let mut rows = vec![row("subsection", "footprint", "index", Some(1.0))];
        let plain = HotplugGroup::plain(2 << 20);
        for (op, ns) in [("hot_add", 1e3), ("hot_add_read", 2e3), ("hot_add_write", 3e3), ("hot_remove", 4e3)] {
            rows.push(median("subsection", op, plain, ns));
            rows.push(median("subsection", op, HotplugGroup { position: Position::Later, ..plain }, 10.0 * ns));
        }
        let growth = HotplugGroup { addresses: Addresses::Growth, ..plain };
        rows.push(median("subsection", "hot_add", growth, 20.0e3));
        rows
    }

    #[test]
    fn the_table_shows_default_groups_and_the_notes_show_the_rest() {
        let summary = Summary::from_rows(&rows());
        let (table, below) = (draw(&summary).to_string(), legend(&summary).join("\n"));
        assert!(table.contains("1.00 µs") && table.contains("4.00 µs"), "{table}");
        assert!(!table.contains("10.0 µs") && !table.contains("2.00 µs") && !table.contains("20.0 µs"), "{table}");
        assert!(below.contains("2 MiB: 1.00 µs / 2.00 µs / 3.00 µs."), "{below}");
        assert!(below.contains("2 MiB as memory grows 20.0 µs (re-add 1.00 µs)"), "{below}");
        assert!(below.contains("2 MiB later in a section 10.0 µs (re-add 1.00 µs)"), "{below}");
    }

    #[test]
    fn the_table_claims_no_more_than_medians_of_one_process() {
        let below = legend(&Summary::from_rows(&rows())).join("\n");
        assert!(below.contains("are re-adds") && below.contains("one process and have no intervals"), "{below}");
        let without = [row("subsection", "footprint", "index", Some(1.0))];
        assert!(!legend(&Summary::from_rows(&without)).join("\n").contains("re-add"));
    }

    #[test]
    fn a_long_tail_is_reported() {
        let mut rows = Vec::new();
        for (layout, p999) in [("a", 290.0), ("b", 900.0)] {
            rows.push(row(layout, "footprint", "index", Some(1.0)));
            let reading = |company: &str, metric: &str, unit: &str, value| Row {
                mode: Some(company.to_owned()),
                unit: unit.to_owned(),
                threads: Some(3),
                ..row(layout, "readers", metric, Some(value))
            };
            rows.push(reading("writer", "beside_a_writer", "lookups/s", 99.0));
            rows.push(reading("busy", "beside_a_busy_thread", "lookups/s", 100.0));
            rows.push(reading("writer", "p99.9", "ns/batch", p999));
            rows.push(reading("busy", "p99.9", "ns/batch", 200.0));
        }
        let said = readers(&Summary::from_rows(&rows)).join("\n");
        assert!(
            said.contains("(3 reading): a 0.99, b 0.99. Ratio of the p99.9 batch latency above 1.5: b 4.50."),
            "{said}"
        );
    }
}
