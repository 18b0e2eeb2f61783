//! The results of a run as a table in the terminal.

mod hotplug;

pub use hotplug::in_words;

use crate::analysis::headline::{self, Headline, Kind};
use crate::analysis::judge::Verdict;
use crate::analysis::statistics::PROCESSES_FOR_INTERVAL;
use crate::analysis::summary::{CounterCell, LookupCell, LookupLine, Summary};
use crate::case::{LookupOp, Memory, Pattern, Tables};
use crate::present::ratio;
use crate::present::terminal::{Cell, Grid};
use crate::units::{self, bytes, percent, signed_time, three_digits, time};
use comfy_table::Color;

/// Makes the table of a run.
pub fn draw(summary: &Summary) -> Grid {
    let mut table = Grid::of_values(2);
    let heading = ["", "on"].into_iter().map(str::to_owned).chain(summary.layouts.iter().cloned());
    table.set_header(heading);
    for line in &summary.lookups {
        let name = match line.group.pattern {
            Pattern::Random => line.group.label(),
            pattern => format!("{}, {pattern}", line.group.label()),
        };
        let labels = [name, line.memory.name().to_owned()];
        let cells = summary.layouts.iter().map(|layout| {
            let cell = line.cells.iter().find(|cell| cell.layout == *layout);
            cell.map_or_else(|| not_raced(summary, layout), lookup)
        });
        table.add_row(labels.into_iter().map(Cell::new).chain(cells));
    }
    for line in summary.hotplug.iter().filter(|line| line.is_headline()) {
        table.add_row(hotplug::row(line, summary));
    }
    type Column = fn(&crate::analysis::summary::MemoryUse) -> Option<f64>;
    let columns: [(&str, &str, Column); 5] = [
        ("index", "boot", |b| b.index),
        ("index", "boot+added", |b| b.index_with_added),
        ("records", "needed", |b| b.records_needed),
        ("records", "backed", |b| b.records_backed),
        ("page tables", "backed", |b| b.page_tables),
    ];
    for (label, on, value) in columns {
        let cells = summary.bytes.iter().map(|usage| {
            let text = match (value(usage), &usage.would_not_boot) {
                (Some(v), Some(_)) => format!("{} (would not boot)", bytes(v)),
                (Some(v), None) => bytes(v),
                (None, _) => "–".to_owned(),
            };
            Cell::new(text).right()
        });
        table.add_row([label, on].map(Cell::new).into_iter().chain(cells));
    }
    table
}

/// The cell of a layout without rows: its records do not fit on a machine with this map, or in the
/// backing.
fn not_raced(summary: &Summary, layout: &str) -> Cell {
    let would_not_boot = summary.bytes.iter().any(|usage| usage.layout == layout && usage.would_not_boot.is_some());
    Cell::new(if would_not_boot { "would not boot" } else { "not offered" }).fg(Color::DarkGrey)
}

fn lookup(cell: &LookupCell) -> Cell {
    let Some(ns) = cell.median_ns else { return Cell::new("not measured").fg(Color::DarkGrey) };
    let ratio = cell.ratio.map_or_else(String::new, |ratio| format!("  {}", ratio::times(ratio)));
    // Marked with (b), because the answer is a branch and there is no chain of data.
    let ratio = if cell.is_branch() { format!("{ratio} (b)") } else { ratio };
    let mut text = format!("{}{ratio}", time(ns));
    if let Some(verdict) = cell.verdict {
        let difference = cell.difference_ns.map(|ns| format!(" {}", signed_time(ns))).unwrap_or_default();
        text.push_str(&format!("\n{verdict}{difference}"));
    }
    if let Some(ends) = cell.ratio_interval {
        text.push_str(&format!("\n{}", units::interval(ends)));
    }
    let drawn = Cell::new(text).right();
    match cell.verdict {
        Some(Verdict::Faster) => drawn.fg(Color::Green),
        Some(Verdict::Slower) => drawn.fg(Color::Red),
        Some(Verdict::Undecided) => drawn.fg(Color::DarkGrey),
        Some(Verdict::Equal) | None => drawn,
    }
}

/// A sentence that names the cases that the run did not reach within its time limit; `None` if it reached all.
pub fn not_measured(summary: &Summary) -> Option<String> {
    let names = &summary.not_reached;
    (!names.is_empty()).then(|| {
        format!(
            "Not measured, because the run reached its time limit first: {}. --tier full has no time limit.",
            names.join(", ")
        )
    })
}

/// How many cases were not measured for lack of time, for a summary.
pub fn nr_not_measured(summary: &Summary) -> Option<String> {
    match summary.not_reached.len() {
        0 => None,
        1 => Some(format!("{} was not measured for lack of time.", summary.not_reached[0])),
        nr => Some(format!("{nr} cases were not measured for lack of time, e.g. {}.", summary.not_reached[0])),
    }
}

/// The notes below the table that explain it.
pub fn legend(summary: &Summary) -> Vec<String> {
    let nr = summary.processes;
    let over = match nr as usize {
        few if few < PROCESSES_FOR_INTERVAL => {
            format!("There are no verdicts: {nr} of the {PROCESSES_FOR_INTERVAL} processes that an interval needs.")
        }
        _ => format!(
            "Brackets hold the interval of the ratio over {nr} processes, corrected for the number of comparisons."
        ),
    };
    let mut lines = vec![format!(
        "Lookups in random order, unless a line says otherwise: time per operation and its ratio to {} (above 1 is slower), then the verdict and the difference. \
         {over}",
        summary.reference
    )];
    let floors = || summary.lookups.iter().filter_map(|line| line.noise_floor);
    if let (Some(low), Some(high)) = (floors().reduce(f64::min), floors().reduce(f64::max)) {
        lines.push(format!(
            "Noise floor (A/A test of {}): {} to {}. Differences up to {} are negligible.",
            summary.reference,
            percent(low),
            percent(high),
            percent(summary.margin)
        ));
    }
    let floors = summary.lookups.iter().filter_map(|line| line.floor_ns);
    if let Some(floor) = floors.reduce(f64::min) {
        lines.push(format!("The empty loop takes {}. Times below three times that have no ratio.", time(floor)));
    }
    let disturbed = summary.lookups.iter().flat_map(|line| &line.cells).map(|cell| cell.disturbed_percent);
    let disturbed = disturbed.fold(0.0, f64::max);
    if disturbed >= 1.0 {
        lines.push(format!(
            "Other programs disturbed up to {disturbed:.0} % of the samples of a row, which are not used."
        ));
    }
    for line in summary.lookups.iter().filter(|line| line.share_percent.is_some()) {
        let share = line.share_percent.unwrap_or_default();
        lines.push(format!(
            "{}: {share:.1} % of the pages of {} sections are valid for some layouts and not for others.",
            line.group.label(),
            line.memory.name()
        ));
    }
    lines.extend(not_measured(summary));
    if summary.lookups.iter().flat_map(|line| &line.cells).any(LookupCell::is_branch) {
        lines.push(
            "Chained lookups marked (b): the result reached the next address through a branch, at least for invalid \
             pages, and not as data. Compare such a time only with others marked (b)."
                .to_owned(),
        );
    }
    if summary.lookups.iter().any(LookupLine::is_unlabelled) {
        lines.push(
            "Chained pfn_valid: it is unknown whether the result reached the next address as data or through a branch, \
             because the machine code was not examined (this needs x86-64). These times may not be comparable and are \
             not averaged."
                .to_owned(),
        );
    }
    if summary.lookups.iter().any(|line| line.group.op == LookupOp::NextValidPfn) {
        lines.push(
            "next_valid_pfn: time of a walk over the whole map that visits one page per sub-section, divided by the \
             number of sections with memory."
                .to_owned(),
        );
    }
    if summary.lookups.iter().any(|line| line.group.tables == Tables::Cold) {
        lines.push(
            "Cold: the caches are flushed, then each section is queried once. A fetched cache line also serves \
             neighbouring sections."
                .to_owned(),
        );
    }
    if summary.sampled {
        lines.push(
            "Sampled: the records of the whole map exceed --records-limit, so page_to_pfn and valid_to_page query \
             evenly spread sections. The index is complete."
                .to_owned(),
        );
    }
    if summary.on_device {
        lines.push(
            "Records on a device reuse its blocks, whereas records in RAM are allocated and zeroed for each addition. \
             This is part of the difference between hot-add on a device and in RAM."
                .to_owned(),
        );
    }
    if let Some(cost) = &summary.own_cost {
        lines.push(format!(
            "Hot-add of 2 MiB to {}: {}; a bare populate that writes the same 512 records: {}; ratio {} (lower is \
             better).",
            cost.layout,
            time(cost.add_ns),
            time(cost.bare_ns),
            ratio::times(cost.ratio)
        ));
    }
    lines.extend(hotplug::figures(summary));
    lines.extend(hotplug::readers(summary));
    lines.extend(counted(summary));
    for usage in &summary.bytes {
        lines.extend(usage.would_not_boot.iter().map(|reason| format!("{}: {reason}.", usage.layout)));
    }
    lines.extend(findings(summary));
    lines
}

/// The lookup whose counts are shown; the rows contain the others.
const COUNTED: &str = "valid_to_page";

/// One line per counter with its counts, then the counters without counts, grouped by reason.
fn counted(summary: &Summary) -> Vec<String> {
    let mut lines = Vec::new();
    let mut missing: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in &summary.counters {
        let shown = line.cells.iter().filter(|cell| cell.op == COUNTED && cell.memory == Memory::Added);
        let scaled = |cell: &CounterCell| if cell.scaled.is_some() { " (scaled)" } else { "" };
        let each = |cell: &CounterCell| format!("{} {}{}", cell.layout, three_digits(cell.per_op), scaled(cell));
        let each: Vec<String> = shown.map(each).collect();
        if !each.is_empty() {
            let (name, unit) = (line.name.replace('_', " "), &line.unit);
            lines.push(format!("{name}, {unit}, {COUNTED} on added memory in random order: {}.", each.join(", ")));
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

/// The findings in sentences, made from the verdicts.
pub fn findings(summary: &Summary) -> Vec<String> {
    let headlines = headline::all(summary);
    let is_told =
        |headline: &&Headline| headline.what.starts_with("pfn_valid") || headline.what.starts_with("hot-add of 2 MiB");
    headlines.iter().filter(is_told).filter_map(finding).collect()
}

fn finding(headline: &Headline) -> Option<String> {
    let ranks = headline.ranks();
    let (best, others) = ranks.split_first()?;
    let (names, value) = (best.layouts.join(", "), headline.unit.in_words(best.value));
    let what = &headline.what;
    match headline.kind {
        Kind::OneProcess => Some(format!("{what}: the lowest median of one process is {value}, of {names}.")),
        Kind::Judged | Kind::Counted => {
            let last = others.last()?;
            let (slow, more) = (&last.layouts[0], headline.unit.in_words(last.more));
            let undecided = if headline.is_undecided() { " (undecided)" } else { "" };
            Some(format!("{what}: the best is {names}{undecided} with {value}; {slow} is last with {more} more."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Dependency;
    use crate::record::row::tests::row;
    use crate::record::row::{Row, Status};

    #[test]
    fn layouts_whose_writer_slows_readers_are_named() {
        let mut rows = vec![row("a", "footprint", "index", Some(1.0)), row("b", "footprint", "index", Some(1.0))];
        for (layout, throughput) in [("a", 96.0), ("b", 90.0)] {
            rows.push(row(layout, "readers", "beside_a_writer", Some(throughput)));
            rows.push(row(layout, "readers", "beside_a_busy_thread", Some(100.0)));
        }
        let said = legend(&Summary::from_rows(&rows)).join("\n");
        assert!(said.contains("a 0.96, b 0.90. Below 0.95: b."), "{said}");
    }

    #[test]
    fn a_chained_answer_without_a_label_has_a_note() {
        let chained = |dependency| Row {
            memory: Some(Memory::Boot),
            pattern: Some("random".into()),
            mode: Some("chained".into()),
            dependency,
            ..row("a", "pfn_valid", "time", Some(1.0))
        };
        let said = |dependency| legend(&Summary::from_rows(&[chained(dependency)])).join("\n");
        assert!(said(None).contains("machine code was not examined"), "{}", said(None));
        let labelled = said(Some(Dependency::Data));
        assert!(!labelled.contains("machine code"), "{labelled}");
    }

    #[test]
    fn missing_values_are_not_printed_as_zero() {
        let mut rows = vec![row("flat", "footprint", "index", Some(0.0))];
        let hot_add = |metric: &str, status, value| Row {
            size_bytes: Some(1 << 30),
            n_ops: Some(40),
            status,
            ..row("flat", "hot_add", metric, value)
        };
        rows.push(hot_add("p50", Status::Ok, Some(5000.0)));
        rows.push(hot_add("p99", Status::TooFew, None));
        let refused = Row { status: Status::NotOffered, ..hot_add("p50", Status::NotOffered, None) };
        rows.push(Row { memory: Some(Memory::Boot), ..row("sparse", "footprint", "index", Some(16384.0)) });
        rows.push(Row { layout: "sparse".into(), reason: Some("no".into()), ..refused });
        let text = draw(&Summary::from_rows(&rows)).to_string();
        for expected in ["5.00 µs", "– (40 samples)", "not offered", "16 KiB", "1 GiB"] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
    }

    #[test]
    fn cases_beyond_the_time_limit_are_named() {
        let late = Row {
            status: Status::TooFew,
            reason: Some(format!("hotplug/1GiB: {}", crate::case::NOT_REACHED)),
            ..row("all", "pfn_valid", "time", None)
        };
        let two = Row { size_bytes: Some(2 << 20), ..row("a", "hot_add", "p50", Some(5.0)) };
        let said = not_measured(&Summary::from_rows(&[row("a", "footprint", "index", Some(1.0)), two, late])).unwrap();
        assert!(said.contains("hotplug/1GiB"), "{said}");
    }
}
