//! The page and the pictures of a run.

pub mod plot;

use crate::doctor::Verdict;
use crate::row::Sections;
use crate::run_folder::Manifest;
use crate::summary::Summary;
use crate::table::{findings, in_words, is_best, legend};
use crate::units::{bytes, three_digits, time};
use askama::Template;

/// A cell of an HTML table.
struct HtmlCell {
    text: String,
    /// `best`, `none` or empty.
    class: &'static str,
    /// Shown when pointed at.
    title: String,
}

struct HtmlLine {
    labels: Vec<String>,
    cells: Vec<HtmlCell>,
}

/// A figure with its caption.
struct Figure {
    svg: String,
    caption: &'static str,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    summary: &'a Summary,
    manifest: &'a Manifest,
    findings: Vec<String>,
    legend: Vec<String>,
    figures: Vec<Figure>,
    lookups: Vec<HtmlLine>,
    hotplug: Vec<HtmlLine>,
    bytes: Vec<HtmlLine>,
    doctor: Verdict,
    map_summary: String,
    caches: String,
}

/// The page of a run: one file, no network. `answer` is what comes first, in sentences.
///
/// # Errors
/// A picture cannot be drawn.
pub fn page(summary: &Summary, answer: &[String], manifest: &Manifest) -> Result<String, plot::PlotError> {
    let figures = vec![
        Figure {
            svg: plot::lookups(summary, Sections::Boot, plot::Ground::Page)?,
            caption: "Lookups on boot memory, page frames in random order. Lower is better. Linux answers for boot \
                      sections after two loads, whatever the sub-section map says.",
        },
        Figure {
            svg: plot::lookups(summary, Sections::Hot, plot::Ground::Page)?,
            caption: "The same on hot-added memory, where the sub-section map is read. A layout without a bar has no \
                      hotplug.",
        },
        Figure {
            svg: plot::hotplug(summary, "hot_add", plot::Ground::Page)?,
            caption: "Time to hot-add memory of a size: the marker is the median, the line above it reaches to the highest \
                      percentile with samples enough. Both axes are logarithmic.",
        },
        Figure {
            svg: plot::hotplug(summary, "hot_remove", plot::Ground::Page)?,
            caption: "Time to hot-remove it, the wait for readers included.",
        },
    ];
    let caches = manifest.environment.caches.iter().filter(|cache| cache.kind != "Instruction");
    let page = Page {
        summary,
        manifest,
        findings: answer.iter().cloned().chain(findings(summary)).collect(),
        legend: legend(summary).into_iter().filter(|line| !findings(summary).contains(line)).collect(),
        figures,
        lookups: lookup_lines(summary),
        hotplug: hotplug_lines(summary),
        bytes: byte_lines(summary),
        doctor: manifest.doctor_before.verdict(),
        map_summary: manifest.map.summary(),
        caches: caches.map(|c| format!("L{} {}", c.level, bytes(c.bytes as f64))).collect::<Vec<_>>().join(", "),
    };
    page.render().map_err(plot::PlotError::from)
}

fn lookup_lines(summary: &Summary) -> Vec<HtmlLine> {
    let line = |line: &crate::summary::LookupLine| {
        let fastest = line.cells.iter().filter_map(|cell| cell.median_ns).fold(f64::INFINITY, f64::min);
        let cell = |layout: &String| match line.cells.iter().find(|cell| cell.layout == *layout) {
            Some(crate::summary::LookupCell { median_ns: Some(ns), quartiles_ns, ratio, ratio_interval, .. }) => {
                HtmlCell {
                    text: match ratio {
                        Some(ratio) => format!("{} ({}×)", time(*ns), three_digits(*ratio)),
                        None => time(*ns),
                    },
                    class: if is_best(*ns, fastest) { "best" } else { "" },
                    title: [
                        quartiles_ns
                            .map(|(low, high)| format!("quartiles over samples: {} to {}", time(low), time(high))),
                        ratio_interval.map(|(low, high)| {
                            format!("95 % interval of the ratio: {} to {}", three_digits(low), three_digits(high))
                        }),
                    ]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join("; "),
                }
            }
            Some(cell) => not_offered(cell.reason.as_deref()),
            None => not_offered(None),
        };
        HtmlLine {
            labels: vec![line.group.label(), line.sections.name().to_owned(), line.group.pattern.to_string()],
            cells: summary.layouts.iter().map(cell).collect(),
        }
    };
    summary.lookups.iter().map(line).collect()
}

fn not_offered(reason: Option<&str>) -> HtmlCell {
    HtmlCell { text: "not offered".to_owned(), class: "none", title: reason.unwrap_or_default().to_owned() }
}

fn hotplug_lines(summary: &Summary) -> Vec<HtmlLine> {
    let mut lines = Vec::new();
    for line in &summary.hotplug {
        // Of what is beside the headline the medians will do.
        let names = ["p50", "p90", "p99", "p99.9", "max"];
        for name in if line.is_headline() { &names[..] } else { &names[..1] } {
            let cell = |layout: &String| match line.cells.iter().find(|cell| cell.layout == *layout) {
                Some(cell) if !cell.percentiles.is_empty() => HtmlCell {
                    text: cell.ns(name).map_or_else(|| format!("– ({} samples)", cell.samples), time),
                    class: "",
                    title: format!("{} samples", cell.samples),
                },
                cell => not_offered(cell.and_then(|cell| cell.reason.as_deref())),
            };
            lines.push(HtmlLine {
                labels: vec![line.op.clone(), in_words(&line.group), (*name).to_owned()],
                cells: summary.layouts.iter().map(cell).collect(),
            });
        }
    }
    lines
}

fn byte_lines(summary: &Summary) -> Vec<HtmlLine> {
    type Column = fn(&crate::summary::Bytes) -> Option<f64>;
    let columns: [(&str, Column); 5] = [
        ("index at boot", |b| b.index),
        ("index with as many sections hot-added", |b| b.index_with_hot),
        ("records that a machine with this map needs", |b| b.records_needed),
        ("of them backed in this run", |b| b.records_backed),
        ("last-level page tables of those", |b| b.page_tables),
    ];
    let line = |(label, value): (&str, Column)| HtmlLine {
        labels: vec![label.to_owned()],
        cells: summary
            .bytes
            .iter()
            .map(|of| HtmlCell {
                text: value(of).map_or_else(|| "–".to_owned(), bytes),
                class: "",
                title: of.would_not_boot.clone().unwrap_or_default(),
            })
            .collect(),
    };
    columns.into_iter().map(line).collect()
}
