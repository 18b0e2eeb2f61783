//! The dependent memory loads of each lookup, and its number of instructions.

use crate::case::{LookupOp, Memory};
use crate::present::report::data::Data;
use crate::present::report::figure::{Figure, View, Words};
use crate::present::report::picture::{Area, DrawError, Hang, LABEL, Marks, colour, fitting, text};
use crate::record::layout_note::{LayoutNote, LoadNote, WhenNote};
use plotters::prelude::*;
use serde_json::json;

type Loads = fn(&LayoutNote) -> &[LoadNote];

/// The lookups whose chains are shown.
const LOOKUPS: [(LookupOp, Loads); 3] = [
    (LookupOp::PfnValid, |note| &note.load_chain.pfn_valid),
    (LookupOp::PfnToPage, |note| &note.load_chain.pfn_to_page),
    (LookupOp::PageToPfn, |note| &note.load_chain.page_to_pfn),
];

/// Width of the names at the left in pixels; the sizes of a row and of a load follow.
const NAMES: i32 = 128;
const ROW: i32 = 26;
const BOX: i32 = 20;

/// Numbers the cache lines of a chain, with one number per load.
fn lines(loads: &[LoadNote]) -> Vec<usize> {
    let mut known: Vec<&str> = Vec::new();
    let number = |load: &LoadNote, known: &mut Vec<&str>| known.iter().position(|line| *line == load.line);
    let mut numbers = Vec::new();
    for load in loads {
        numbers.push(number(load, &mut known).unwrap_or(known.len()));
        if *numbers.last().unwrap_or(&0) == known.len() {
            known.push(&load.line);
        }
    }
    numbers
}

/// Draws one box per load, with instruction counts to the right.
///
/// # Errors
/// Fails if the figure cannot be drawn.
pub fn figure(view: View<'_>) -> Result<Figure, DrawError> {
    let notes = &view.run.known.layouts;
    let counts = &view.run.instructions;
    let count = |layout: &str, op: LookupOp, memory: Memory| {
        let is_it = |row: &&crate::record::instructions::InstructionRow| {
            row.layout == layout && row.op == op.name() && row.memory == Some(memory)
        };
        counts.iter().find(is_it).map(|row| row.value)
    };
    let mut data =
        Data::new(&["layout", "op", "load", "what", "cache_line", "when", "instructions_boot", "instructions_added"]);
    for note in notes {
        for (op, loads) in LOOKUPS {
            let counted = Memory::ALL.map(|memory| json!(count(&note.id, op, memory)));
            let [boot, added] = counted;
            for (nr, load) in loads(note).iter().enumerate() {
                data.push([
                    json!(note.id),
                    json!(op.name()),
                    json!(nr + 1),
                    json!(load.what),
                    json!(load.line),
                    json!(load.when),
                    boot.clone(),
                    added.clone(),
                ]);
            }
            if loads(note).is_empty() {
                let none = serde_json::Value::Null;
                data.push([json!(note.id), json!(op.name()), json!(0), none.clone(), none.clone(), none, boot, added]);
            }
        }
    }
    let counted = match counts.first() {
        Some(row) => format!(
            "The numbers are instructions per operation under callgrind, on boot / added memory, compiled by {}.",
            row.toolchain.name()
        ),
        None => {
            "Instruction counts are missing, because the run folder has no instructions.jsonl. To add them, run cargo \
             bench --bench instructions, then pfnbench run --instructions FILE."
                .to_owned()
        }
    };
    let words = Words {
        name: "chain",
        title: "Memory loads and instructions of a lookup".to_owned(),
        caption:
            "Each box is a memory load, in the order of execution; boxes of one colour are in the same cache line. \
                  An outlined box is loaded only for added memory. ×n: each step of a search."
                .to_owned(),
        whiskers: "",
        reading: format!("Point at a box to see what it loads. {counted}"),
    };
    let missing = || {
        "Missing: there are no load chains, because the manifest is missing or was written by an older pfnbench."
            .to_owned()
    };
    Figure::new(words, data, missing, |drawing| {
        for (op, loads) in LOOKUPS {
            let counted = if counts.is_empty() { "" } else { ", instructions boot / added" };
            let height = 16 + ROW * notes.len() as i32;
            drawing.panel(&format!("{op}{counted}"), height as u32, |area, marks| {
                for (row, note) in notes.iter().enumerate() {
                    let count = Memory::ALL.map(|memory| count(&note.id, op, memory));
                    draw(area, marks, (op, note), loads(note), (count, 24 + 16 + row as i32 * ROW))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

/// Draws the loads of a layout, and its instructions on boot and on added memory, in a line at the height `y`.
fn draw(
    area: &Area<'_>,
    marks: &mut Marks,
    (op, note): (LookupOp, &LayoutNote),
    loads: &[LoadNote],
    (count, y): ([Option<f64>; 2], i32),
) -> Result<(), DrawError> {
    text(area, &fitting(&note.id, NAMES - 14, LABEL), (10, y), LABEL, Hang::Right)?;
    let (left, up) = area.get_base_pixel();
    let mut x = NAMES;
    for (load, line) in loads.iter().zip(lines(loads)) {
        let corners = [(x, y - BOX / 2), (x + BOX, y + BOX / 2)];
        let colour = colour(1 + line);
        let is_added = matches!(load.when, WhenNote::HotAdded | WhenNote::InPart);
        let style = if is_added { colour.stroke_width(3) } else { colour.filled() };
        area.draw(&Rectangle::new(corners.map(|(x, y)| (x - left, y - up)), style))?;
        let when = match load.when {
            WhenNote::Always => "",
            WhenNote::HotAdded => ", only for added memory",
            WhenNote::InPart => ", only for sections that are valid in part",
            WhenNote::EachStep => ", once per step of the search",
        };
        let hover = format!("{} {op}: {} ({}){when}", note.id, load.what, load.line);
        marks.block(corners[0], corners[1], hover);
        x += BOX + 5;
        if load.when == WhenNote::EachStep {
            text(area, "×n", (x - 2, y), LABEL, Hang::Right)?;
            x += BOX;
        }
    }
    let words = match count {
        [None, None] => String::new(),
        [boot, added] => {
            let number = |count: Option<f64>| count.map_or_else(|| "–".to_owned(), |count| format!("{count:.0}"));
            format!("{} / {}", number(boot), number(added))
        }
    };
    let none = if loads.is_empty() { "no load; " } else { "" };
    text(area, format!("{none}{words}").trim_end_matches("; "), (x + 3, y), LABEL, Hang::Right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_of_one_cache_line_have_the_same_number() {
        let load = |line: &str| LoadNote { what: String::new(), line: line.into(), when: WhenNote::Always };
        assert_eq!(lines(&[load("root"), load("descriptor"), load("descriptor"), load("usage")]), [0, 1, 1, 2]);
    }
}
