//! An audit as tables, as a picture, and as a page.

use super::bidi::without_controls;
use super::report::picture::{DrawError, Hang, LABEL, fitting, picture, text, text_width};
use super::terminal::Grid;
use crate::audit::{Audit, Row, Stage};
use askama::Template;
use memmap_layouts::ByteSize;
use plotters::prelude::*;

/// The most rows of a picture; smaller ones share the last.
const MOST_ROWS: usize = 40;

/// Height of a row of the picture, in SVG user units.
const ROW_HEIGHT: i32 = 18;

/// Font sizes of the title and of the last line.
const TITLE: f64 = 20.0;
const SMALL: f64 = 12.0;

/// Colours of stages, as in the report: distinct for colour-blind readers.
const INKS: [(Stage, RGBColor); 6] = [
    (Stage::Media, RGBColor(0xcc, 0x79, 0xa7)),
    (Stage::Region, RGBColor(0xd5, 0x5e, 0x00)),
    (Stage::Namespace, RGBColor(0xe6, 0x9f, 0x00)),
    (Stage::Block, RGBColor(0x56, 0xb4, 0xe9)),
    (Stage::Ram, RGBColor(0x99, 0x99, 0x99)),
    (Stage::Usable, RGBColor(0x00, 0x9e, 0x73)),
];

/// Bytes in the units of tables: exact where the unit allows, in bytes otherwise.
fn bytes(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

fn share(part: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    match part as f64 / of as f64 * 100.0 {
        share if part > 0 && share < 0.01 => "< 0.01 %".to_owned(),
        share => format!("{share:.2} %"),
    }
}

/// The heading of an audit's column.
fn heading(audit: &Audit) -> String {
    audit.kernel.map_or_else(|| "bytes".to_owned(), |kernel| format!("Linux {kernel}"))
}

/// A row of several audits of the same machine.
struct Line<'a> {
    row: &'a Row,
    bytes: Vec<u64>,
}

/// The rows of all audits, from the bottom up, each once.
fn lines(audits: &[Audit]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (nr, audit) in audits.iter().enumerate() {
        for row in &audit.rows {
            let key = (row.stage, row.of.as_str(), row.what);
            let place = *places.entry(key).or_insert_with(|| {
                lines.push(Line { row, bytes: vec![0; audits.len()] });
                lines.len() - 1
            });
            // The last kernel explains the row.
            lines[place].row = row;
            lines[place].bytes[nr] += row.bytes;
        }
    }
    lines.sort_by_key(|line| line.row.stage);
    lines
}

/// The rows as a table for the terminal, with the sum of each column.
pub fn table(audits: &[Audit]) -> Grid {
    let mut table = Grid::new();
    let columns = audits.iter().flat_map(|audit| [heading(audit), "share".to_owned()]);
    table.set_header(["memory of", "what became of it"].map(str::to_owned).into_iter().chain(columns));
    let mut stage = None;
    for line in lines(audits) {
        if stage != Some(line.row.stage) {
            stage = Some(line.row.stage);
            let empty = std::iter::repeat_n(String::new(), 2 * audits.len() + 1);
            table.add_row(std::iter::once(line.row.stage.heading().to_uppercase()).chain(empty));
        }
        let cells = line.bytes.iter().zip(audits);
        let cells = cells.flat_map(|(part, audit)| [bytes(*part), share(*part, audit.total_bytes)]);
        table.add_row([line.row.of.clone(), line.row.what.to_owned()].into_iter().chain(cells));
    }
    let sum = |name: &str, of: fn(&Audit) -> u64| {
        let cells = audits.iter().flat_map(move |audit| [bytes(of(audit)), share(of(audit), audit.total_bytes)]);
        [name.to_owned(), String::new()].into_iter().chain(cells).collect::<Vec<String>>()
    };
    table.add_row(sum("all rows", |audit| audit.total_bytes));
    table.add_row(sum("usable", |audit| audit.usable_bytes));
    table.right_align(2..2 + 2 * audits.len());
    table
}

/// The losses of an audit, the largest first: cause, rule, and what wins them back.
pub fn losses(audit: &Audit) -> Vec<String> {
    let mut rows: Vec<&Row> = audit.rows.iter().filter(|row| row.loss.is_some()).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let told = rows.into_iter().filter_map(|row| {
        let loss = row.loss.as_ref()?;
        let at = row.span.map_or_else(String::new, |span| format!(" at {:#x}-{:#x}", span.start, span.end - 1));
        let mut text = format!("{} of {}: {}{at}\n", bytes(row.bytes), row.of, row.what);
        text.push_str(&format!("  cause     {}\n  rule      {}", loss.cause, loss.rule));
        if let Some(win) = &loss.win_back {
            text.push_str(&format!("\n  win back  {} ({} become usable)", win.how, bytes(win.bytes)));
        }
        Some(text)
    });
    told.collect()
}

/// Width of the picture, and where its bars begin and end, in SVG user units.
const WIDTH: i32 = 960;
const BARS: (i32, i32) = (380, 850);

/// Draws the audits: a row for what each byte became, from the bottom up.
///
/// # Errors
/// Fails if it cannot be drawn.
fn drawing(name: &str, audits: &[Audit]) -> Result<String, DrawError> {
    let parts: Vec<_> = audits.iter().map(|audit| (audit, shown(audit))).collect();
    let rows: usize = parts.iter().map(|(_, rows)| rows.len() + 2).sum();
    let height = 64 + ROW_HEIGHT * rows as i32 + 34;
    let title = format!("Where the memory of {name} went");
    let svg = picture(&title, (WIDTH as u32, height as u32), |area, marks| {
        area.fill(&WHITE)?;
        text(area, &fitting(&title, WIDTH - 24, TITLE), (12, 18), TITLE, Hang::Right)?;
        let mut x = 12;
        for (stage, ink) in INKS {
            area.draw(&Rectangle::new([(x, 38), (x + 12, 50)], ink.filled()))?;
            text(area, stage.heading(), (x + 18, 44), LABEL, Hang::Right)?;
            x += 40 + text_width(stage.heading(), LABEL);
        }
        let mut y = 64;
        for (audit, rows) in &parts {
            let usable = format!("{} of {} usable", bytes(audit.usable_bytes), bytes(audit.total_bytes));
            let heading = audit.kernel.map_or_else(|| usable.clone(), |kernel| format!("Linux {kernel}: {usable}"));
            text(area, &heading, (12, y + ROW_HEIGHT / 2), LABEL, Hang::Right)?;
            y += ROW_HEIGHT;
            let scale = f64::from(BARS.1 - BARS.0) / audit.total_bytes.max(1) as f64;
            let place = |bytes: u64| BARS.0 + (bytes as f64 * scale).round() as i32;
            let mut at = 0u64;
            for (name, part, stage) in rows {
                let (from, to) = (place(at), place(at.saturating_add(*part)).max(place(at) + 1));
                let ink = INKS.iter().find(|(known, _)| known == stage).map_or(BLACK, |(_, ink)| *ink);
                let (top, middle) = (y + 2, y + ROW_HEIGHT / 2);
                area.draw(&Rectangle::new([(from, top), (to, y + ROW_HEIGHT - 2)], ink.filled()))?;
                text(area, &fitting(name, BARS.0 - 24, LABEL), (BARS.0 - 10, middle), LABEL, Hang::Left)?;
                text(area, &bytes(*part), (WIDTH - 12, middle), LABEL, Hang::Left)?;
                marks.block((from, top), (to, y + ROW_HEIGHT - 2), format!("{name}: {} ({part} bytes)", bytes(*part)));
                at = at.saturating_add(*part);
                y += ROW_HEIGHT;
            }
            y += ROW_HEIGHT;
        }
        let source = format!(
            "Each byte is in one row, from DIMMs up to what can be used. Computed by pfnbench {} from the rules of Linux, \
             not measured.",
            crate::version()
        );
        text(area, &fitting(&source, WIDTH - 24, SMALL), (12, height - 16), SMALL, Hang::Right)
    })?;
    Ok(without_controls(svg.as_str()).into_owned())
}

/// The rows that a picture shows: the largest, and one for the others of each stage.
fn shown(audit: &Audit) -> Vec<(String, u64, Stage)> {
    let mut sizes: Vec<u64> = audit.rows.iter().map(|row| row.bytes).collect();
    sizes.sort_unstable_by_key(|bytes| std::cmp::Reverse(*bytes));
    let least = sizes.get(MOST_ROWS).copied().unwrap_or(0);
    let mut shown = Vec::new();
    for stage in Stage::ALL {
        let rows = audit.rows.iter().filter(|row| row.stage == stage);
        let (large, small): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| row.bytes > least);
        shown.extend(large.into_iter().map(|row| (format!("{}: {}", row.of, row.what), row.bytes, stage)));
        let rest: u64 = small.iter().map(|row| row.bytes).sum();
        match &small[..] {
            [] => {}
            [row] => shown.push((format!("{}: {}", row.of, row.what), row.bytes, stage)),
            rows => shown.push((format!("{} more rows: {}", rows.len(), stage.heading()), rest, stage)),
        }
    }
    shown
}

/// The audits as an SVG file.
///
/// # Errors
/// Fails if it cannot be drawn.
pub fn svg(name: &str, audits: &[Audit]) -> Result<String, DrawError> {
    drawing(name, audits)
}

/// A row of the page.
struct PageRow {
    of: String,
    what: &'static str,
    cells: Vec<PageCell>,
    loss: Option<PageLoss>,
}

/// Bytes with one kernel.
struct PageCell {
    bytes: String,
    share: String,
    exact: u64,
}

/// Why the bytes are lost.
struct PageLoss {
    cause: String,
    rule: &'static str,
    win_back: Option<PageWinBack>,
}

struct PageWinBack {
    how: String,
    bytes: String,
}

/// The rows of a stage.
struct PageStage {
    heading: &'static str,
    rows: Vec<PageRow>,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    name: &'a str,
    origin: &'a str,
    svg: String,
    headings: Vec<String>,
    stages: Vec<PageStage>,
    totals: Vec<(String, String)>,
    unused: Vec<(String, String)>,
    notes: &'a [String],
    block: String,
    version: &'static str,
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    // Names such as region0 keep their letters.
    let first_word = text.split_whitespace().next().unwrap_or_default();
    let is_name = first_word.bytes().any(|byte| byte.is_ascii_digit());
    match chars.next() {
        Some(first) if !is_name => first.to_uppercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

/// The audits as a page of its own.
///
/// # Errors
/// Fails if it cannot be drawn.
pub fn page(name: &str, origin: &str, audits: &[Audit]) -> Result<String, DrawError> {
    let mut stages: Vec<PageStage> = Vec::new();
    for line in lines(audits) {
        let heading = line.row.stage.heading();
        if stages.last().is_none_or(|stage| stage.heading != heading) {
            stages.push(PageStage { heading, rows: Vec::new() });
        }
        let cells = line.bytes.iter().zip(audits);
        let row = PageRow {
            of: line.row.of.clone(),
            what: line.row.what,
            cells: cells
                .map(|(part, audit)| PageCell {
                    bytes: bytes(*part),
                    share: share(*part, audit.total_bytes),
                    exact: *part,
                })
                .collect(),
            loss: line.row.loss.as_ref().map(|loss| PageLoss {
                cause: capitalised(&loss.cause),
                rule: loss.rule,
                win_back: loss
                    .win_back
                    .as_ref()
                    .map(|win| PageWinBack { how: win.how.clone(), bytes: bytes(win.bytes) }),
            }),
        };
        if let Some(stage) = stages.last_mut() {
            stage.rows.push(row);
        }
    }
    let last = audits.last();
    let page = Page {
        name,
        origin,
        svg: svg(name, audits)?,
        headings: audits.iter().map(heading).collect(),
        stages,
        totals: audits.iter().map(|audit| (bytes(audit.total_bytes), bytes(audit.usable_bytes))).collect(),
        unused: last
            .map(|audit| {
                audit.unused_addresses.iter().map(|part| (part.window.clone(), part.span.to_string())).collect()
            })
            .unwrap_or_default(),
        notes: last.map_or(&[], |audit| &audit.notes),
        block: last
            .map(|audit| format!("Memory blocks have {}, {}.", bytes(audit.block_bytes), audit.block_reason))
            .unwrap_or_default(),
        version: crate::version(),
    };
    Ok(without_controls(&page.render()?).into_owned())
}
