//! The physical map: sections, sub-sections, holes, devices, and where they meet.

use crate::map::{Kind, PhysicalMap};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View};
use crate::present::report::picture::{Area, DrawError, Hang, Key, LABEL, Marks, WIDTH, colour, head, text};
use crate::units::bytes;
use memmap_layouts::{Geometry, X86_64};
use plotters::prelude::*;
use serde_json::json;

const SECTION: u64 = X86_64::PAGES_PER_SECTION << X86_64::PAGE_SHIFT;
const SUBSECTION: u64 = X86_64::PAGES_PER_SUBSECTION << X86_64::PAGE_SHIFT;

/// Cells of a row, and the most rows.
const COLUMNS: u64 = 64;
const ROWS: u64 = 16;

/// The most sections that are shown by sub-section.
const DETAILS: usize = 8;

/// What a piece of the space holds.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    ram: u64,
    added: u64,
    /// Ranges of different kinds or devices that meet in one section.
    collisions: u64,
}

/// A section in which different memory meets, or that has holes.
#[derive(Debug)]
struct Edge {
    section: u64,
    /// Ranges in it.
    ranges: Vec<usize>,
    is_collision: bool,
}

/// Sections that are not filled by one range, in order.
fn edges(map: &PhysicalMap) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    for (nr, range) in map.ranges.iter().enumerate().filter(|(_, range)| range.kind != Kind::Window) {
        let first = range.start / SECTION;
        let last = (range.end - 1) / SECTION;
        let is_part = |section: u64| range.start > section * SECTION || range.end < (section + 1) * SECTION;
        let mut ends = vec![first, last];
        ends.dedup();
        for section in ends.into_iter().filter(|section| is_part(*section)) {
            match edges.iter_mut().find(|edge| edge.section == section) {
                Some(edge) => edge.ranges.push(nr),
                None => edges.push(Edge { section, ranges: vec![nr], is_collision: false }),
            }
        }
    }
    edges.sort_by_key(|edge| edge.section);
    for edge in &mut edges {
        let ranges = || edge.ranges.iter().map(|nr| &map.ranges[*nr]);
        // RAM beside RAM is added to at boot; anything else beside anything is what the series is about.
        let added = ranges().filter(|range| range.kind.is_added()).count();
        edge.is_collision = added > 0 && ranges().count() > 1;
    }
    edges
}

/// What lies in a piece of the space, and the first range of added memory in it.
fn content(map: &PhysicalMap, start: u64, end: u64) -> (Content, Option<usize>) {
    let (mut content, mut added) = (Content::default(), None);
    for (nr, range) in map.ranges.iter().enumerate().filter(|(_, range)| range.kind != Kind::Window) {
        let inside = range.end.min(end).saturating_sub(range.start.max(start));
        match range.kind.is_added() {
            true if inside > 0 => {
                content.added += inside;
                added = added.or(Some(nr));
            }
            true => {}
            false => content.ram += inside,
        }
    }
    content.collisions = u64::from(content.ram > 0 && content.added > 0);
    (content, added)
}

/// Cells of equal numbers of sections, over the whole space.
fn cells(map: &PhysicalMap, edges: &[Edge]) -> (u64, Vec<Content>) {
    let sections = map.end().div_ceil(SECTION);
    let a_cell = sections.div_ceil(COLUMNS * ROWS).next_power_of_two();
    let nr_cells = sections.div_ceil(a_cell);
    let mut cells = vec![Content::default(); nr_cells as usize];
    for range in map.ranges.iter().filter(|range| range.kind != Kind::Window) {
        let bytes = a_cell * SECTION;
        for nr in range.start / bytes..=(range.end - 1) / bytes {
            let Some(cell) = cells.get_mut(nr as usize) else { continue };
            let inside = range.end.min((nr + 1) * bytes) - range.start.max(nr * bytes);
            if range.kind.is_added() { cell.added += inside } else { cell.ram += inside }
        }
    }
    for edge in edges.iter().filter(|edge| edge.is_collision) {
        if let Some(cell) = cells.get_mut((edge.section / a_cell) as usize) {
            cell.collisions += 1;
        }
    }
    (a_cell, cells)
}

/// A grid of sections, and those that are in part by sub-section.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let mut data = Data::new(&["start_byte", "end_byte", "bytes", "kind", "node", "first_section", "last_section"]);
    let map = view.run.known.map.as_ref().filter(|map| map.ranges.iter().all(|range| range.start < range.end));
    for range in map.iter().flat_map(|map| &map.ranges) {
        data.push([
            json!(range.start),
            json!(range.end),
            json!(range.end - range.start),
            json!(range.kind),
            json!(range.node),
            json!(range.start / SECTION),
            json!((range.end - 1) / SECTION),
        ]);
    }
    let missing = || "Missing: the manifest tells no map, or one without memory.".to_owned();
    let name = |map: &str| ("map", format!("Physical map {map}"));
    let Some(map) = map.filter(|map| !map.ranges.is_empty()) else {
        return Figure::new(name(""), "", Data::default(), missing, 100, |_, _, _| Ok(()));
    };
    let edges = edges(map);
    let (a_cell, cells) = cells(map, &edges);
    let rows = (cells.len() as u64).div_ceil(COLUMNS);
    let collisions = edges.iter().filter(|edge| edge.is_collision).count();
    let shown: Vec<&Edge> = edges
        .iter()
        .filter(|edge| edge.is_collision)
        .chain(edges.iter().filter(|edge| !edge.is_collision))
        .take(DETAILS)
        .collect();
    let caption = format!(
        "{}. Each cell is {} of the physical space ({}), from left to right and from top to bottom; the fuller, the darker. Sections \
         that hold memory in part: {}; of them, in which added memory shares the section with other memory, so that a kernel that \
         adds whole sections refuses it: {collisions}.{}",
        map.summary(),
        bytes((a_cell * SECTION) as f64),
        if a_cell == 1 { "a section".to_owned() } else { format!("{a_cell} sections") },
        edges.len(),
        match shown.len() {
            0 => String::new(),
            nr => format!(" Shown below by sub-section of 2 MiB: {nr}."),
        }
    );
    let height = 94 + rows as u32 * 14 + if shown.is_empty() { 0 } else { 34 + 20 * shown.len() as u32 };
    Figure::new(name(&map.name), caption, data, missing, height, |area, marks, title| {
        let legend = [
            (Key::Block(RAM), "RAM at boot".to_owned()),
            (Key::Block(ADDED), "added later: devices, hot-added RAM".to_owned()),
            (Key::Block(NEXT), "another of them in the same section".to_owned()),
            (Key::Block(COLLISION), "they share a section".to_owned()),
        ];
        head(area, title, &legend)?;
        let bytes_a_cell = a_cell * SECTION;
        let pitch = (WIDTH as i32 - 110) / COLUMNS as i32;
        for (nr, cell) in cells.iter().enumerate() {
            let (column, row) = ((nr as u64 % COLUMNS) as i32, (nr as u64 / COLUMNS) as i32);
            let (x, y) = (100 + column * pitch, 80 + row * 14);
            if column == 0 {
                let start = nr as u64 * bytes_a_cell;
                text(area, &bytes(start as f64), (92, y + 6), LABEL - 2.0, Hang::Left)?;
            }
            draw_cell(area, (x, y, pitch - 1, 12), cell, bytes_a_cell, ADDED)?;
            if cell.ram + cell.added > 0 {
                let start = nr as u64 * bytes_a_cell;
                let hover = format!(
                    "{start:#x} to {:#x}: {} of RAM, {} added later{}",
                    start + bytes_a_cell,
                    bytes(cell.ram as f64),
                    bytes(cell.added as f64),
                    if cell.collisions > 0 { format!(", {} shared sections", cell.collisions) } else { String::new() }
                );
                marks.block((x, y), (x + pitch - 1, y + 12), hover);
            }
        }
        if !shown.is_empty() {
            let top = 80 + rows as i32 * 14 + 18;
            text(area, "sections in part, by sub-section of 2 MiB", (10, top), LABEL, Hang::Right)?;
            for (row, edge) in shown.iter().enumerate() {
                draw_edge(area, marks, map, edge, pitch, top + 14 + 20 * row as i32)?;
            }
        }
        Ok(())
    })
}

/// None of a layout's colours.
const RAM: RGBColor = RGBColor(0x77, 0xaa, 0xdd);
const ADDED: RGBColor = RGBColor(0xee, 0xdd, 0x88);
/// Added memory of the next range in one section.
const NEXT: RGBColor = RGBColor(0xbb, 0xcc, 0x33);
const COLLISION: RGBColor = RGBColor(0xee, 0x88, 0x66);

fn draw_cell(
    area: &Area<'_>,
    (x, y, width, height): (i32, i32, i32, i32),
    cell: &Content,
    cell_bytes: u64,
    added_colour: RGBColor,
) -> Result<(), DrawError> {
    let corners = [(x, y), (x + width, y + height)];
    let share = |part: u64| 0.3 + 0.7 * (part as f64 / cell_bytes as f64).min(1.0);
    let fill = match *cell {
        Content { collisions, .. } if collisions > 0 => COLLISION.filled(),
        Content { ram: 0, added: 0, .. } => colour(0).mix(0.15).filled(),
        Content { ram, added, .. } if ram >= added => RAM.mix(share(ram)).filled(),
        Content { added, .. } => added_colour.mix(share(added)).filled(),
    };
    Ok(area.draw(&Rectangle::new(corners, fill))?)
}

fn draw_edge(
    area: &Area<'_>,
    marks: &mut Marks,
    map: &PhysicalMap,
    edge: &Edge,
    pitch: i32,
    y: i32,
) -> Result<(), DrawError> {
    let start = edge.section * SECTION;
    text(area, &format!("{start:#x}"), (92, y + 7), LABEL - 2.0, Hang::Left)?;
    for nr in 0..SECTION / SUBSECTION {
        let (from, to) = (start + nr * SUBSECTION, start + (nr + 1) * SUBSECTION);
        let (content, added) = content(map, from, to);
        // Neighbours among devices differ, so that it shows where one ends.
        let nth = edge.ranges.iter().position(|nr| Some(*nr) == added).unwrap_or(0);
        let tint = if nth % 2 == 0 { ADDED } else { NEXT };
        let x = 100 + nr as i32 * pitch;
        draw_cell(area, (x, y, pitch - 1, 14), &content, SUBSECTION, tint)?;
        if content.ram + content.added > 0 {
            let hover =
                format!("{from:#x}: {} of RAM, {} added later", bytes(content.ram as f64), bytes(content.added as f64));
            marks.block((x, y), (x + pitch - 1, y + 14), hover);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::builtin;

    #[test]
    fn cells_hold_all_memory_of_every_built_in_map() {
        for name in builtin::names() {
            let map = builtin::by_name(name).unwrap();
            let edges = edges(&map);
            let (a_cell, cells) = cells(&map, &edges);
            assert!(cells.len() as u64 <= COLUMNS * ROWS, "{name}: {a_cell}");
            assert_eq!(cells.iter().map(|cell| cell.ram).sum::<u64>(), map.ram_bytes(), "{name}");
        }
    }

    #[test]
    fn memory_that_shares_a_section_is_a_collision() {
        let map = builtin::by_name("ndctl-76-model").unwrap();
        assert!(edges(&map).iter().any(|edge| edge.is_collision), "{:?}", map.ranges);
        let whole = builtin::by_name("scattered-64").unwrap();
        assert!(edges(&whole).is_empty());
    }
}
