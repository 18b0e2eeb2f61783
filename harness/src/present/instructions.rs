//! Instruction counts as tables in the terminal.

use super::table;
use crate::record::instructions::InstructionRow;
use comfy_table::Table;

/// Columns of text where the width of the terminal is unknown.
const WIDTH: usize = 80;

/// Tables of instruction counts with a row per case and a column per layout. Layouts that would
/// exceed the terminal's width, or 80 columns, go to a further table.
pub fn tables(rows: &[InstructionRow]) -> Vec<Table> {
    let width = table::empty().width().map_or(WIDTH, usize::from);
    let mut layouts: Vec<&str> = Vec::new();
    let mut cases: Vec<(String, Vec<&InstructionRow>)> = Vec::new();
    for row in rows {
        if !layouts.contains(&row.layout.as_str()) {
            layouts.push(&row.layout);
        }
        let name = row.limit_name();
        let case = name.strip_suffix(&format!("/{}", row.layout)).unwrap_or(&name);
        match cases.iter_mut().find(|(known, _)| known == case) {
            Some((_, counts)) => counts.push(row),
            None => cases.push((case.to_owned(), vec![row])),
        }
    }
    let cell = |counts: &[&InstructionRow], layout: &str| {
        counts.iter().find(|row| row.layout == layout).map_or_else(|| "–".to_owned(), |row| row.value.to_string())
    };
    // A border and two spaces for each column.
    let column = |layout: &&str| {
        let cells = cases.iter().map(|(_, counts)| cell(counts, layout).chars().count());
        cells.chain([layout.len()]).max().unwrap_or(0) + 3
    };
    let first = cases.iter().map(|(case, _)| case.len()).max().unwrap_or(0) + 4;
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut used = 0;
    for layout in layouts {
        match groups.last_mut() {
            Some(group) if used + column(&layout) <= width => group.push(layout),
            _ => {
                used = first;
                groups.push(vec![layout]);
            }
        }
        used += column(&layout);
    }
    let draw = |layouts: Vec<&str>| {
        let mut table = table::empty();
        table.set_header(std::iter::once("").chain(layouts.iter().copied()));
        for (case, counts) in &cases {
            let cells: Vec<String> = layouts.iter().map(|layout| cell(counts, layout)).collect();
            if cells.iter().any(|cell| cell != "–") {
                table.add_row(std::iter::once(case.clone()).chain(cells));
            }
        }
        table::right_align(&mut table, 1..usize::MAX);
        table
    };
    groups.into_iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::instructions::{Toolchain, cases};

    #[test]
    fn tables_fit_the_terminal_and_have_every_count() {
        let rows: Vec<InstructionRow> =
            (1..).zip(cases()).map(|(nr, case)| InstructionRow::new(&case, 1000 + nr, 1, &Toolchain::this())).collect();
        let text = tables(&rows).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= table::empty().width().map_or(WIDTH, usize::from), "{widest} columns:\n{text}");
        for row in &rows {
            assert!(text.contains(&format!(" {} ", row.value)), "{}", row.limit_name());
        }
        assert_eq!(tables(&[]).len(), 0);
    }
}
