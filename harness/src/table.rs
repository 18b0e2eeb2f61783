//! A run as one table in the terminal.

use crate::race::REFERENCE;
use crate::row::Sections;
use crate::statistics::PROCESSES_FOR_INTERVAL;
use crate::summary::{CounterCell, HotplugCell, LookupCell, ReadersCell, Summary};
use crate::units::{bytes, three_digits, time};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};

/// Draws the table. Colours go only where the terminal has them.
pub fn draw(summary: &Summary) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let heading = ["", "on", ""].into_iter().map(str::to_owned).chain(summary.layouts.iter().cloned());
    table.set_header(heading.map(|text| Cell::new(text).add_attribute(Attribute::Bold)));
    for line in &summary.lookups {
        let fastest = line.cells.iter().filter_map(|cell| cell.median_ns).fold(f64::INFINITY, f64::min);
        let labels = [line.op.clone(), line.sections.name().to_owned(), line.pattern.clone()];
        let cells = summary.layouts.iter().map(|layout| {
            let cell = line.cells.iter().find(|cell| cell.layout == *layout);
            cell.map_or_else(|| not_raced(summary, layout), |cell| lookup(cell, fastest))
        });
        table.add_row(labels.into_iter().map(Cell::new).chain(cells));
    }
    for line in &summary.hotplug {
        let names: Vec<String> = line
            .cells
            .iter()
            .map(|cell| cell.percentiles.iter().map(|p| p.name.clone()).collect::<Vec<_>>())
            .max_by_key(Vec::len)
            .unwrap_or_default();
        let labels = [line.op.clone(), bytes(line.size_bytes as f64), names.join("\n")];
        let cells = summary.layouts.iter().map(|layout| {
            let cell = line.cells.iter().find(|cell| cell.layout == *layout);
            cell.map_or_else(|| not_raced(summary, layout), hotplug)
        });
        table.add_row(labels.into_iter().map(Cell::new).chain(cells));
    }
    type Column = fn(&crate::summary::Bytes) -> Option<f64>;
    let columns: [(&str, &str, Column); 5] = [
        ("index", "boot", |b| b.index),
        ("index", "boot+hot", |b| b.index_with_hot),
        ("records", "needed", |b| b.records_needed),
        ("records", "backed", |b| b.records_backed),
        ("page tables", "backed", |b| b.page_tables),
    ];
    for (label, on, value) in columns {
        let cells = summary.bytes.iter().map(|of| {
            let text = match (value(of), &of.would_not_boot) {
                (Some(v), Some(_)) => format!("{} (would not boot)", bytes(v)),
                (Some(v), None) => bytes(v),
                (None, _) => "–".to_owned(),
            };
            Cell::new(text).set_alignment(CellAlignment::Right)
        });
        table.add_row([label, on, "bytes"].map(Cell::new).into_iter().chain(cells));
    }
    table
}

/// A layout without rows: a machine with this map could not hold its records, or the backing cannot.
fn not_raced(summary: &Summary, layout: &str) -> Cell {
    let would_not_boot = summary.bytes.iter().any(|of| of.layout == layout && of.would_not_boot.is_some());
    Cell::new(if would_not_boot { "would not boot" } else { "not offered" }).fg(Color::DarkGrey)
}

/// As fast as the fastest, as far as one process can tell.
pub fn is_best(ns: f64, fastest: f64) -> bool {
    ns <= fastest * 1.03
}

fn lookup(cell: &LookupCell, fastest: f64) -> Cell {
    let Some(ns) = cell.median_ns else { return Cell::new("not offered").fg(Color::DarkGrey) };
    let ratio = cell.ratio.map_or_else(String::new, |ratio| format!("  {}×", three_digits(ratio)));
    let ratio = match cell.ratio_interval {
        Some((low, high)) => format!("{ratio}\n[{}, {}]", three_digits(low), three_digits(high)),
        None => ratio,
    };
    let drawn = Cell::new(format!("{}{ratio}", time(ns))).set_alignment(CellAlignment::Right);
    if is_best(ns, fastest) { drawn.fg(Color::Green) } else { drawn }
}

fn hotplug(cell: &HotplugCell) -> Cell {
    if cell.percentiles.is_empty() {
        return Cell::new("not offered").fg(Color::DarkGrey);
    }
    let line = |p: &crate::summary::Percentile| p.ns.map_or_else(|| format!("– ({} samples)", cell.samples), time);
    let lines: Vec<String> = cell.percentiles.iter().map(line).collect();
    Cell::new(lines.join("\n")).set_alignment(CellAlignment::Right)
}

/// The layout that is the reference without its sub-section map.
const WITHOUT_MAP: &str = "vmemmap-section";
/// The one that reads it for boot memory too, as the series did when it was posted.
const AS_POSTED: &str = "subsection-v6";

/// What the table means, below it.
pub fn legend(summary: &Summary) -> Vec<String> {
    let over = match summary.processes {
        1 => "One process, so no interval.".to_owned(),
        nr if (nr as usize) < PROCESSES_FOR_INTERVAL => {
            format!("{nr} processes: the median of their medians; an interval needs {PROCESSES_FOR_INTERVAL}.")
        }
        nr => format!(
            "{nr} processes: the median of their medians, in brackets its 95 % interval (bootstrap over processes)."
        ),
    };
    let mut lines = vec![format!(
        "Lookups: median over slices, independent queries; × is the median ratio to {} in neighbouring slices. {over}",
        summary.reference
    )];
    let floors = summary.lookups.iter().filter_map(|line| line.floor_ns);
    if let Some(floor) = floors.reduce(f64::min) {
        lines.push(format!("The loop around a lookup takes {} of each figure.", time(floor)));
    }
    if summary.sampled {
        lines.push(
            "Sampled: records of the whole map do not fit --records-limit, so page_to_pfn and valid_to_page are driven \
             over evenly spread sections; the index is complete."
                .to_owned(),
        );
    }
    if summary.on_device {
        lines.push(
            "Records on a device: its blocks are reused from one addition to the next, where RAM is allocated and zeroed \
             anew; hot-add on a device and in RAM differ by that too."
                .to_owned(),
        );
    }
    if let Some(cost) = &summary.own_cost {
        lines.push(format!(
            "Hot-add of 2 MiB to {}: {} against {} for a bare populate and the same 512 records written: {:.3}×.",
            cost.layout,
            time(cost.add_ns),
            time(cost.bare_ns),
            cost.ratio
        ));
    }
    if let Some(first) = summary.readers.first() {
        let each = |of: &ReadersCell| format!("{} {}", of.layout, three_digits(of.ratio));
        lines.push(format!(
            "Readers of the memory next to what a writer adds and removes 100 times a second, against readers beside a thread \
             as busy that touches no layout, throughput ({}): {}.{}{}",
            first.mode,
            summary.readers.iter().map(each).collect::<Vec<_>>().join(", "),
            disturbed(&summary.readers),
            first.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})")),
        ));
    }
    lines.extend(counted(summary));
    for of in summary.bytes.iter().filter_map(|of| Some((of.layout.as_str(), of.would_not_boot.as_ref()?))) {
        lines.push(format!("{}: {}.", of.0, of.1));
    }
    lines.extend(findings(summary));
    lines
}

/// The lookup of which counts are shown; the others are in the rows.
const COUNTED: &str = "valid_to_page";

/// What counters counted, one a line, and those that did not, by reason.
fn counted(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    let mut missing: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in &summary.counters {
        let shown = line.cells.iter().filter(|cell| cell.op == COUNTED && cell.sections == Sections::Hot);
        let scaled = |cell: &CounterCell| if cell.scaled.is_some() { " (scaled)" } else { "" };
        let each = |cell: &CounterCell| format!("{} {}{}", cell.layout, three_digits(cell.per_op), scaled(cell));
        let each: Vec<String> = shown.map(each).collect();
        if !each.is_empty() {
            let (name, unit) = (line.name.replace('_', " "), &line.unit);
            lines.push(format!("{name}, {unit}, {COUNTED} on hot-added memory in random order: {}.", each.join(", ")));
        }
        if let Some(reason) = &line.not_counted {
            match missing.iter_mut().find(|(known, _)| known == reason) {
                Some((_, names)) => names.push(&line.name),
                None => missing.push((reason, vec![&line.name])),
            }
        }
    }
    lines.extend(missing.into_iter().map(|(reason, names)| format!("Not counted: {} ({reason}).", names.join(", "))));
    lines
}

/// Readers keep at least this share of their throughput, or the table says that they do not.
const UNDISTURBED: f64 = 0.95;

fn disturbed(readers: &[ReadersCell]) -> String {
    let below: Vec<&str> = readers.iter().filter(|of| of.ratio < UNDISTURBED).map(|of| of.layout.as_str()).collect();
    if below.is_empty() { String::new() } else { format!(" Below {UNDISTURBED}: {}.", below.join(", ")) }
}

/// The result in sentences, made from the data.
pub fn findings(summary: &Summary) -> Vec<String> {
    let mut sentences = Vec::new();
    for sections in Sections::ALL {
        let Some(line) = summary.lookup("pfn_valid", sections, "random") else { continue };
        let timed: Vec<(&str, f64)> =
            line.cells.iter().filter_map(|cell| Some((cell.layout.as_str(), cell.median_ns?))).collect();
        let low = timed.iter().map(|(_, ns)| *ns).fold(f64::INFINITY, f64::min);
        let high = timed.iter().map(|(_, ns)| *ns).fold(0.0, f64::max);
        // Layouts that one process cannot tell apart are named together.
        let near = |ns: f64| {
            let names = timed.iter().filter(|(_, other)| is_best(*other, ns) && is_best(ns, *other));
            names.map(|(layout, _)| *layout).collect::<Vec<_>>().join(" and ")
        };
        if timed.len() > 1 && !is_best(high, low) {
            let memory = if sections == Sections::Boot { "boot memory" } else { "hot-added memory" };
            sentences.push(format!(
                "On {memory} in random order, pfn_valid takes {} with {}, the fastest, and {} with {}: {:.1} times as long.",
                time(low),
                near(low),
                time(high),
                near(high),
                high / low
            ));
        }
    }
    // Ratios are to the reference in neighbouring slices.
    let to_reference = |sections, layout: &str| {
        let line = summary.lookup("pfn_valid", sections, "random")?;
        line.cells.iter().find(|cell| cell.layout == layout)?.ratio
    };
    let usual = summary.reference == REFERENCE;
    let map_cost = |sections| to_reference(sections, WITHOUT_MAP).filter(|_| usual).map(f64::recip);
    if let (Some(boot), Some(hot)) = (map_cost(Sections::Boot), map_cost(Sections::Hot)) {
        sentences.push(format!(
            "What the sub-section map costs pfn_valid: with {REFERENCE} it takes {hot:.2} times as long as with {WITHOUT_MAP} \
             on hot-added memory, where the map is read, and {boot:.2} times on boot memory, where it is not."
        ));
        if let Some(posted) = to_reference(Sections::Boot, AS_POSTED) {
            sentences.push(format!(
                "As the series was posted ({AS_POSTED}), boot memory read the map too: {:.2} times as long there.",
                posted * boot
            ));
        }
    }
    for line in summary.hotplug.iter().filter(|line| line.op == "hot_add") {
        let cells = line.cells.iter().filter_map(|cell| Some((cell.layout.as_str(), cell.ns("p50")?)));
        let mut timed: Vec<_> = cells.collect();
        timed.sort_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((layout, ns)) = timed.first().filter(|_| line.size_bytes == 2 << 20) {
            sentences.push(format!("The fastest hot-add of 2 MiB is that of {layout}: {} in the median.", time(*ns)));
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Row, Status};
    use crate::summary::tests::row;

    #[test]
    fn a_writer_that_disturbs_its_readers_is_named() {
        let mut rows = vec![row("a", "footprint", "index", Some(1.0)), row("b", "footprint", "index", Some(1.0))];
        for (layout, throughput) in [("a", 96.0), ("b", 90.0)] {
            rows.push(row(layout, "readers", "beside_a_writer", Some(throughput)));
            rows.push(row(layout, "readers", "beside_a_busy_thread", Some(100.0)));
        }
        let said = legend(&Summary::of(&rows)).join("\n");
        assert!(said.contains("a 0.96, b 0.90. Below 0.95: b."), "{said}");
    }

    #[test]
    fn what_is_not_offered_or_too_few_is_said_not_printed_as_zero() {
        let mut rows = vec![row("flat", "footprint", "index", Some(0.0))];
        let hot = |metric: &str, status, value| Row {
            size_bytes: Some(1 << 30),
            n_ops: Some(40),
            status,
            ..row("flat", "hot_add", metric, value)
        };
        rows.push(hot("p50", Status::Ok, Some(5000.0)));
        rows.push(hot("p99", Status::TooFew, None));
        let refused = Row { status: Status::NotOffered, ..hot("p50", Status::NotOffered, None) };
        rows.push(Row { sections: Some(Sections::Boot), ..row("sparse", "footprint", "index", Some(16384.0)) });
        rows.push(Row { layout: "sparse".into(), reason: Some("no".into()), ..refused });
        let text = draw(&Summary::of(&rows)).to_string();
        for expected in ["5.00 µs", "– (40 samples)", "not offered", "16 KiB", "1 GiB"] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }
}
