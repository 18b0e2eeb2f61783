//! The report as an HTML page: a single file that needs no network.

use super::changes::Changes;
use super::data::Data;
use super::figure::Figure;
use super::finding::{COSTS_CAPTION, CostTable, Winner, cost_table};
use super::glossary::{Span, Term, terms};
use super::heat::HeatLine;
use super::picture::DrawError;
use super::{MachineReport, Report};
use crate::analysis::headline::Headline;
use crate::analysis::summary::{MemoryUse, Summary};
use crate::analysis::verdicts;
use crate::present::answer;
use crate::present::bidi::without_controls;
use crate::present::table::{in_words, legend};
use crate::record::environment::Cache;
use crate::record::examination::{Examination, List, Verdict};
use crate::units::{bytes, time};
use askama::Template;

/// Maximum size of a page in bytes. Further machines appear only in the comparison of machines.
pub const MOST_BYTES: usize = 1_900_000;

/// A figure in a page.
struct Shown<'a> {
    figure: &'a Figure,
    id: String,
    json: String,
    csv: String,
    /// Says how many rows of the data are in the page; `None` if all are.
    cut: Option<String>,
}

/// Maximum number of rows of a figure's data in a page. Files beside a Markdown report contain all
/// rows.
const MOST_ROWS: usize = 2000;

impl<'a> Shown<'a> {
    fn new(figure: &'a Figure, number: usize) -> Result<Self, DrawError> {
        let id = format!("figure-{}{}", figure.name(), suffix(number));
        let (data, cut) = cut(&figure.data);
        let (json, csv) = match figure.data.is_empty() {
            false => (data.json_uri(), data.csv_uri()?),
            true => Default::default(),
        };
        Ok(Self { figure, id, json, csv, cut })
    }

    /// True if the panels need the width of the page.
    fn is_wide(&self) -> bool {
        self.panels() > 2
    }

    /// True if two columns of panels do not fit on a sheet of paper.
    fn is_many(&self) -> bool {
        self.panels() > 8
    }

    fn panels(&self) -> usize {
        self.figure.drawing.as_ref().map_or(0, |drawing| drawing.panels().len())
    }
}

/// The data that fit into a page, and if rows were left out, a sentence that says so.
fn cut(data: &Data) -> (Data, Option<String>) {
    let all = data.len();
    let cut = (all > MOST_ROWS)
        .then(|| format!("the first {MOST_ROWS} of {all} rows; -o report.md writes all rows to files"));
    (data.first(MOST_ROWS), cut)
}

/// Suffix of ids and file names of a machine; empty for the first and for what is of no machine.
pub(super) fn suffix(number: usize) -> String {
    if number <= 1 { String::new() } else { format!("-{number}") }
}

/// A table with a heading and rows of cells.
pub(super) struct Plain {
    pub(super) head: Vec<String>,
    pub(super) lines: Vec<Vec<String>>,
}

/// A layout that can be shown or hidden.
struct Column {
    id: String,
    css: String,
}

/// The findings of a run.
struct Finding<'a> {
    /// The finding, in at most three sentences.
    answer: Vec<String>,
    /// How far the run can be trusted.
    trust: String,
    sentences: &'a [String],
    winners: &'a [Winner],
    notes: &'a [String],
}

impl<'a> Finding<'a> {
    fn new(machine: &'a MachineReport) -> Self {
        let main = machine.view().main();
        let (verdicts, known) = (verdicts::collect(&machine.maps), &machine.run.known);
        Self {
            answer: answer::findings(main),
            trust: format!(
                "{}{}",
                answer::trust(main, &verdicts, known.interference.as_deref(), None),
                disturbances(known.doctor_before.as_ref())
            ),
            sentences: &machine.sentences,
            winners: &machine.winners,
            notes: &machine.notes,
        }
    }
}

#[derive(Template)]
#[template(path = "machine.html")]
struct MachineSection<'a> {
    number: usize,
    suffix: String,
    is_one_of_many: bool,
    machine: &'a MachineReport,
    finding: Finding<'a>,
    reference: &'a str,
    columns: Vec<Column>,
    heat: &'a [HeatLine],
    heat_json: String,
    heat_csv: String,
    heat_cut: Option<String>,
    figures: Vec<Shown<'a>>,
    costs: CostTable,
    costs_caption: &'static str,
    legend: Vec<String>,
    hotplug: Plain,
    bytes: Plain,
    facts: Vec<(&'static str, String)>,
    doctor: Vec<List<'a>>,
    verdict: String,
}

/// A row of the comparison of machines.
struct Row<'a> {
    machine: &'a str,
    run: &'a str,
    started: &'a str,
    map: &'a str,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    title: String,
    subtitle: String,
    finding: Finding<'a>,
    troubles: Vec<(String, Vec<String>)>,
    unread: &'a [String],
    few_troubles: bool,
    suffix: &'static str,
    /// The main operations against the reference.
    overview: Option<Shown<'a>>,
    comparison: Option<Shown<'a>>,
    changes: Option<&'a Result<Changes, String>>,
    capacity: Shown<'a>,
    /// Each headline with its winner on each machine.
    headlines: Vec<(&'a str, Vec<String>)>,
    rows: Vec<Row<'a>>,
    sections: Vec<String>,
    left_out: Vec<&'a str>,
    glossary: Vec<Term>,
    version: &'static str,
}

/// Renders a report.
///
/// # Errors
/// Fails if a template cannot be rendered.
pub fn page(report: &Report) -> Result<String, DrawError> {
    let first = &report.machines[0];
    let (mut sections, mut left_out, mut size) = (Vec::new(), Vec::new(), 0);
    for (at, machine) in report.machines.iter().enumerate() {
        let rendered = machine_section(report, machine, at + 1)?;
        // The first machine is always included.
        if at > 0 && (size + rendered.len() > MOST_BYTES || !left_out.is_empty()) {
            left_out.push(machine.run.machine.as_str());
        } else {
            size += rendered.len();
            sections.push(rendered);
        }
    }
    let winners = |what: &str| -> Vec<String> {
        report.machines.iter().map(|machine| machine.short().headline(what).map_or_else(String::new, winner)).collect()
    };
    let headlines = first.short().headlines.iter().map(|headline| (headline.what.as_str(), winners(&headline.what)));
    let rows = report.machines.iter().map(|machine| Row {
        machine: &machine.run.machine,
        run: &machine.run.name,
        started: &machine.short().started,
        map: machine.run.main_map(),
    });
    let troubles = report.machines.iter().filter(|machine| !machine.run.troubles.is_empty());
    let page = Page {
        title: match report.machines.len() {
            1 => format!("pfnbench on {}", first.run.main_map()),
            nr => format!("pfnbench on {nr} machines"),
        },
        subtitle: subtitle(first),
        finding: Finding::new(first),
        troubles: troubles.map(|machine| (machine.run.name.clone(), machine.run.troubles.clone())).collect(),
        unread: &report.unread,
        // An open list of more problems would push the finding off the first screen.
        few_troubles: report.unread.len()
            + report.machines.iter().map(|machine| machine.run.troubles.len()).sum::<usize>()
            <= 4,
        suffix: "",
        overview: overview(first).map(|figure| Shown::new(figure, 1)).transpose()?,
        comparison: report.comparison.as_ref().map(|figure| Shown::new(figure, 1)).transpose()?,
        changes: report.changes.as_ref(),
        capacity: Shown::new(&report.capacity, 1)?,
        rows: if report.machines.len() > 1 { rows.collect() } else { Vec::new() },
        headlines: headlines.collect(),
        sections,
        left_out,
        glossary: terms(),
        version: concat!(env!("CARGO_PKG_VERSION"), " (", env!("PFNBENCH_COMMIT"), ")"),
    };
    Ok(without_controls(&with_contents(&page.render()?)).into_owned())
}

/// Where a page has its contents.
const CONTENTS: &str = "<!-- contents -->";

/// Adds the contents, and a link to copy beside every heading with an id.
fn with_contents(page: &str) -> String {
    let (mut linked, mut contents) = (String::with_capacity(page.len() + 4096), String::new());
    // Headings hold escaped text and tags without ids.
    let mut rest = page;
    while let Some((before, opened)) = rest.split_once("<h") {
        linked.push_str(before);
        let heading = || {
            let level = opened.chars().next().filter(|level| "23".contains(*level))?;
            let (id, after) = opened[1..].strip_prefix(" id=\"")?.split_once("\">")?;
            let (text, after) = after.split_once(&format!("</h{level}>"))?;
            // The heading of a figure links to the figure.
            (!text.contains("class=\"link\"")).then_some((level, id, text, after))
        };
        let Some((level, id, text, after)) = heading() else {
            linked.push_str("<h");
            rest = opened;
            continue;
        };
        if level == '2' {
            contents.push_str(&format!("<a href=\"#{id}\">{text}</a> "));
        }
        let link = format!("<a class=\"link\" href=\"#{id}\" aria-label=\"Link to {id}\">#</a>");
        linked.push_str(&format!("<h{level} id=\"{id}\">{text} {link}</h{level}>"));
        rest = after;
    }
    linked.push_str(rest);
    linked.replacen(CONTENTS, contents.trim_end(), 1)
}

/// The figure of the first screen: lookups on added memory, where the series costs most, or else on boot
/// memory.
fn overview(machine: &MachineReport) -> Option<&Figure> {
    let drawn = |name: &str| machine.figures.iter().find(|figure| figure.name() == name && figure.drawing.is_ok());
    drawn("lookups-added").or_else(|| drawn("lookups-boot"))
}

/// The winning layouts of a headline and their value.
pub(super) fn winner(headline: &Headline) -> String {
    let ranks = headline.ranks();
    ranks
        .first()
        .map_or_else(String::new, |best| format!("{}: {}", best.layouts.join(", "), headline.unit.in_words(best.value)))
}

/// What the machine check found to disturb measurements, as a sentence; empty if there is nothing.
fn disturbances(doctor: Option<&Examination>) -> String {
    let findings = doctor.iter().flat_map(|doctor| &doctor.findings);
    let unfit = findings.filter(|finding| finding.matters && finding.verdict == Verdict::Unfit);
    let unfit: Vec<String> = unfit.map(|finding| format!("{} {}", finding.point, finding.seen)).collect();
    match unfit.is_empty() {
        true => String::new(),
        false => format!(
            " Before the run, the machine check found {}; slices that lost the processor were repeated or left out.",
            unfit.join(", ")
        ),
    }
}

/// Describes in one line what was run on which machine.
fn subtitle(machine: &MachineReport) -> String {
    let known = &machine.run.known;
    let map = known.map.as_ref().map_or_else(String::new, |map| format!(": {}", map.summary()));
    let processes = known.processes.map_or_else(String::new, |nr| match nr {
        1 => "; lookups in one process, so there are no intervals".to_owned(),
        nr => format!("; lookups in {nr} processes"),
    });
    let started = known.started.as_ref().map_or_else(String::new, |started| format!("; {started}"));
    format!("Map {}{map}; machine {}{started}{processes}.", machine.run.main_map(), machine.run.machine)
}

fn machine_section(report: &Report, machine: &MachineReport, number: usize) -> Result<String, DrawError> {
    let (view, main) = (machine.view(), machine.view().main());
    let known = &machine.run.known;
    let columns = view.layouts().into_iter().map(|id| Column { css: view.look(&id).css(), id });
    let (heat_data, heat_cut) = cut(&machine.heat_data);
    // The first screen has it.
    let above = overview(machine).filter(|_| number == 1).map(Figure::name);
    let figures = machine.figures.iter().filter(|figure| Some(figure.name()) != above);
    let page = MachineSection {
        number,
        suffix: suffix(number),
        is_one_of_many: report.machines.len() > 1,
        machine,
        finding: Finding::new(machine),
        reference: &main.reference,
        columns: columns.collect(),
        heat: &machine.heat,
        heat_json: heat_data.json_uri(),
        heat_csv: heat_data.csv_uri()?,
        heat_cut,
        figures: figures.map(|figure| Shown::new(figure, number)).collect::<Result<_, _>>()?,
        legend: legend(main),
        costs: cost_table(&machine.costs),
        costs_caption: COSTS_CAPTION,
        hotplug: hotplug(main),
        bytes: byte_table(main),
        facts: facts(machine),
        doctor: known.doctor_before.iter().flat_map(Examination::lists).collect(),
        verdict: known
            .doctor_before
            .as_ref()
            .map_or_else(|| "unknown".to_owned(), |doctor| doctor.verdict().to_string()),
    };
    Ok(page.render()?)
}

/// Facts about a run as names and values. Unknown facts are left out.
pub(super) fn facts(machine: &MachineReport) -> Vec<(&'static str, String)> {
    let known = &machine.run.known;
    let mut facts = vec![("run", machine.run.name.clone()), ("machine", machine.run.machine.clone())];
    if let Some(environment) = &known.environment {
        let caches: Vec<String> = environment.data_caches().map(Cache::in_words).collect();
        facts.push(("processor", format!("{}, {} CPUs, {}", environment.cpu, environment.cpus, caches.join(", "))));
        facts.push(("memory", bytes(environment.memory_bytes as f64)));
        facts.push(("system", format!("Linux {}, virtualisation: {}", environment.kernel, environment.virtualisation)));
    }
    if let Some(tool) = &known.tool {
        let (version, commit, rustc, profile) = (&tool.version, &tool.commit, &tool.rustc, &tool.profile);
        facts.push(("generated by", format!("pfnbench {version} ({commit}), {rustc}, profile {profile}")));
    }
    let mut push = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    push("command", known.command.clone());
    let repeat = || format!("pfnbench run --repeat {}/{}", machine.run.machine, machine.run.name);
    push("to repeat it", machine.run.has_schedule.then(repeat));
    push("seed", known.seed.map(|seed| seed.to_string()));
    push("tier", known.tier.clone());
    push("processes", known.processes.map(|nr| nr.to_string()));
    push("started", known.started.clone());
    push("geometry of layouts", known.geometry.clone());
    push("map", known.map.as_ref().map(|map| format!("{}: {}; {}", map.name, map.summary(), map.origin)));
    for map in &known.other_maps {
        push("other map", Some(format!("{}: {}; {}", map.name, map.summary, map.origin)));
    }
    let after = known.doctor_after.as_ref().map(|doctor| doctor.verdict().to_string());
    push("machine check after the run", after);
    facts
}

pub(super) fn hotplug(summary: &Summary) -> Plain {
    let mut lines = Vec::new();
    for line in summary.hotplug.iter().filter(|line| line.is_headline()) {
        for name in ["p50", "p90", "p99", "p99.9", "max"] {
            let cell = |layout: &String| match line.cells.iter().find(|cell| cell.layout == *layout) {
                Some(cell) if !cell.percentiles.is_empty() => {
                    cell.ns(name).map_or_else(|| format!("– ({} samples)", cell.samples), time)
                }
                _ => "not offered".to_owned(),
            };
            let labels = [line.op.clone(), in_words(&line.group), name.to_owned()];
            lines.push(labels.into_iter().chain(summary.layouts.iter().map(cell)).collect());
        }
    }
    let head = ["operation", "size", "percentile"].map(str::to_owned);
    Plain { head: head.into_iter().chain(summary.layouts.iter().cloned()).collect(), lines }
}

pub(super) fn byte_table(summary: &Summary) -> Plain {
    type Value = fn(&MemoryUse) -> Option<f64>;
    let columns: [(&str, Value); 5] = [
        ("index at boot", |usage| usage.index),
        ("index after as many sections were hot-added", |usage| usage.index_with_added),
        ("records needed by a machine with this map", |usage| usage.records_needed),
        ("records backed by memory in this run", |usage| usage.records_backed),
        ("last-level page tables of these records", |usage| usage.page_tables),
    ];
    let line = |(label, value): (&str, Value)| {
        let cell = |usage: &MemoryUse| match (value(usage), &usage.would_not_boot) {
            (Some(value), Some(_)) => format!("{} (would not boot)", bytes(value)),
            (Some(value), None) => bytes(value),
            (None, _) => "–".to_owned(),
        };
        std::iter::once(label.to_owned()).chain(summary.bytes.iter().map(cell)).collect()
    };
    Plain {
        head: std::iter::once(String::new()).chain(summary.layouts.iter().cloned()).collect(),
        lines: columns.into_iter().map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::report::markdown;
    use crate::present::report::tests::report;

    #[test]
    fn names_are_escaped_in_page_pictures_and_markdown() {
        let report = report();
        let page = page(&report).unwrap();
        assert!(!page.contains("<b>slow") && page.contains("slow&#38;"), "{}", page.matches("slow").count());
        let markdown = markdown::report(&report, "pictures", "pfnbench report RUN");
        assert!(!markdown.contains("<b>slow") && markdown.contains("&lt;b>slow&amp;\"\\|&lt;/b>"));
        for file in markdown::files(&report).unwrap().iter().filter(|file| file.name.ends_with("svg")) {
            assert!(!file.contents.contains("<b>slow"), "{}", file.name);
        }
    }

    #[test]
    fn a_page_needs_no_network_and_is_small() {
        let page = page(&report()).unwrap();
        assert!(page.len() < 2_000_000);
        for word in ["http://", "https://", "src=", "@import", "url("] {
            let outside = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            assert!(!outside.contains(word), "{word}");
        }
    }
}
