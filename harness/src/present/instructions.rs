//! Instruction counts as a table in the terminal.

use crate::record::instructions::InstructionRow;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

/// Makes a table of instruction counts with a row per case and a column per layout.
pub fn table(rows: &[InstructionRow]) -> Table {
    let mut layouts: Vec<&str> = Vec::new();
    let mut lines: Vec<(String, Vec<&InstructionRow>)> = Vec::new();
    for row in rows {
        if !layouts.contains(&row.layout.as_str()) {
            layouts.push(&row.layout);
        }
        let name = row.limit_name();
        let what = name.strip_suffix(&format!("/{}", row.layout)).unwrap_or(&name);
        match lines.iter_mut().find(|(known, _)| known == what) {
            Some((_, line)) => line.push(row),
            None => lines.push((what.to_owned(), vec![row])),
        }
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once("").chain(layouts.iter().copied()));
    for (what, line) in lines {
        let cell = |layout: &&str| {
            line.iter().find(|row| row.layout == **layout).map_or_else(|| "–".to_owned(), |row| row.value.to_string())
        };
        table.add_row(std::iter::once(what).chain(layouts.iter().map(cell)));
    }
    super::table::right_align(&mut table, 1..usize::MAX);
    table
}
