//! Instruction counts as tables in the terminal.

use crate::present::terminal::Grid;
use crate::record::instructions::InstructionRow;

/// A table of instruction counts with a row per case and a column per layout; `None` without counts.
pub fn table(rows: &[InstructionRow]) -> Option<Grid> {
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
    let mut table = Grid::of_values(1);
    table.set_header(std::iter::once("").chain(layouts.iter().copied()));
    for (case, counts) in &cases {
        table.add_row(std::iter::once(case.clone()).chain(layouts.iter().map(|layout| cell(counts, layout))));
    }
    table.right_align(1..usize::MAX);
    (!cases.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::instructions::{Toolchain, cases};

    #[test]
    fn the_table_fits_the_terminal_and_has_every_count() {
        let rows: Vec<InstructionRow> =
            (1..).zip(cases()).map(|(nr, case)| InstructionRow::new(&case, 1000 + nr, 1, &Toolchain::this())).collect();
        let text = table(&rows).unwrap().fitted(Some(80));
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{widest} columns:\n{text}");
        for row in &rows {
            assert!(text.contains(&format!(" {} ", row.value)), "{}", row.limit_name());
        }
        assert!(table(&[]).is_none());
    }
}
