//! Tables that fit: they wrap their cells between words, then fold into several tables, and become
//! lists where a terminal is too narrow for any.

use super::{NARROWEST, columns, has_colours, wrapped};
use comfy_table::presets::{NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{Attribute, CellAlignment, Color, ContentArrangement, Table};
use std::fmt;
use std::ops::Range;
use textwrap::core::display_width;

/// A cell of a table: text of one or several lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    text: String,
    colour: Option<Color>,
    is_right: bool,
}

impl Cell {
    /// A cell with a text.
    pub fn new(text: impl ToString) -> Self {
        Self { text: text.to_string(), ..Self::default() }
    }

    /// The cell in a colour.
    #[must_use]
    pub fn fg(mut self, colour: Color) -> Self {
        self.colour = Some(colour);
        self
    }

    /// The cell aligned to the right, for numbers.
    #[must_use]
    pub fn right(mut self) -> Self {
        self.is_right = true;
        self
    }

    fn natural(&self) -> usize {
        self.text.lines().map(display_width).max().unwrap_or(0)
    }

    fn longest_word(&self) -> usize {
        self.text.split_whitespace().map(display_width).max().unwrap_or(0)
    }

    fn fitted(&self, width: usize) -> String {
        wrapped(&self.text, width, 0).join("\n")
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

/// A table for the terminal. `Display` fits it to standard output, [`Grid::fitted`] to any width.
#[derive(Clone, Debug)]
pub struct Grid {
    head: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
    /// Leading columns that every part of a folded table repeats.
    nr_labels: usize,
    /// Whether columns are more important than a table in one piece.
    folds_first: bool,
    has_rules: bool,
    right: Range<usize>,
}

impl Default for Grid {
    fn default() -> Self {
        Self::new()
    }
}

impl Grid {
    /// An empty table, whose first column names the rows. It wraps its cells before it folds.
    pub fn new() -> Self {
        let (head, rows) = (Vec::new(), Vec::new());
        Self { head, rows, nr_labels: 1, folds_first: false, has_rules: true, right: 0..0 }
    }

    /// An empty table of values, whose first `nr_labels` columns name the rows. It folds before it wraps
    /// values.
    pub fn of_values(nr_labels: usize) -> Self {
        Self { nr_labels, folds_first: true, ..Self::new() }
    }

    /// An empty table without borders.
    pub fn plain() -> Self {
        Self { has_rules: false, ..Self::new() }
    }

    /// Sets the headings of the columns.
    pub fn set_header<T: Into<Cell>>(&mut self, head: impl IntoIterator<Item = T>) {
        self.head = head.into_iter().map(Into::into).collect();
    }

    /// Appends a row.
    pub fn add_row<T: Into<Cell>>(&mut self, row: impl IntoIterator<Item = T>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// Aligns columns to the right.
    pub fn right_align(&mut self, columns: Range<usize>) {
        self.right = columns;
    }

    fn nr_columns(&self) -> usize {
        self.rows.iter().map(Vec::len).chain([self.head.len()]).max().unwrap_or(0)
    }

    fn width_of(&self, column: usize, of: fn(&Cell) -> usize) -> usize {
        let cells = self.rows.iter().chain([&self.head]).filter_map(|row| row.get(column));
        cells.map(of).max().unwrap_or(0).max(1)
    }

    /// What a column needs beside its text.
    fn padding(&self) -> usize {
        if self.has_rules { 3 } else { 2 }
    }

    fn total(&self, widths: &[usize]) -> usize {
        widths.iter().map(|width| width + self.padding()).sum::<usize>() + usize::from(self.has_rules)
    }

    /// The table for a width in columns; `None` for the width that it has by itself.
    pub fn fitted(&self, columns: Option<usize>) -> String {
        let nr = self.nr_columns();
        if nr == 0 {
            return String::new();
        }
        let natural: Vec<usize> = (0..nr).map(|column| self.width_of(column, Cell::natural)).collect();
        let Some(columns) = columns.filter(|&columns| self.total(&natural) > columns) else {
            return self.drawn(&(0..nr).collect::<Vec<_>>(), &natural);
        };
        let words: Vec<usize> = (0..nr).map(|column| self.width_of(column, Cell::longest_word)).collect();
        if columns < NARROWEST {
            return self.as_list(columns);
        }
        if !self.folds_first {
            let shrunk = shrink(&natural, &words, columns.saturating_sub(self.total(&vec![0; nr])));
            if self.total(&shrunk) <= columns {
                return self.drawn(&(0..nr).collect::<Vec<_>>(), &shrunk);
            }
        }
        self.folded(&natural, &words, columns).unwrap_or_else(|| self.as_list(columns))
    }

    /// Several tables below each other; `None` if not even one value fits beside its labels.
    fn folded(&self, natural: &[usize], words: &[usize], columns: usize) -> Option<String> {
        let nr_labels = self.nr_labels.min(natural.len());
        let values = &natural[nr_labels..];
        let widest = values.iter().copied().max()?;
        let for_labels = |values: &[usize]| {
            columns.checked_sub(self.total(&vec![0; nr_labels + values.len()]) + values.iter().sum::<usize>())
        };
        let labels = |values: &[usize]| {
            let shrunk = shrink(&natural[..nr_labels], &words[..nr_labels], for_labels(values)?);
            (shrunk.iter().sum::<usize>() <= for_labels(values)?).then_some(shrunk)
        };
        // Two values beside each other are worth labels of several lines, and values stay whole if they can.
        let least = words[nr_labels..].iter().copied().max()?;
        let whole = labels(&[widest, widest]).or_else(|| labels(&[widest]));
        let (labels, limit) = match whole {
            Some(labels) => (labels, widest),
            None => (labels(&[least])?, least.max(columns / 3)),
        };
        let limit = limit.min(for_labels(&[0])? - labels.iter().sum::<usize>());
        let widths: Vec<usize> = labels
            .into_iter()
            .chain(values.iter().zip(&words[nr_labels..]).map(|(&natural, &word)| natural.min(limit.max(word))))
            .collect();
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for column in nr_labels..natural.len() {
            let fits = |part: &Vec<usize>| {
                let with: Vec<usize> =
                    (0..nr_labels).chain(part.iter().copied()).chain([column]).map(|c| widths[c]).collect();
                self.total(&with) <= columns
            };
            match parts.last_mut().filter(|part| fits(part)) {
                Some(part) => part.push(column),
                None => parts.push(vec![column]),
            }
        }
        let draw = |part: Vec<usize>| {
            let part: Vec<usize> = (0..nr_labels).chain(part).collect();
            self.drawn(&part, &part.iter().map(|&column| widths[column]).collect::<Vec<_>>())
        };
        Some(parts.into_iter().map(draw).collect::<Vec<_>>().join("\n"))
    }

    /// The chosen columns, with the given widths.
    fn drawn(&self, part: &[usize], widths: &[usize]) -> String {
        let mut table = Table::new();
        table.load_style(if self.has_rules { UTF8_FULL_CONDENSED } else { NOTHING });
        table.set_content_arrangement(ContentArrangement::Disabled);
        if has_colours() {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let cell = |row: &[Cell], column: usize, width: usize, is_head: bool| {
            let Some(cell) = row.get(column) else { return comfy_table::Cell::new("") };
            let mut drawn = comfy_table::Cell::new(cell.fitted(width));
            if is_head {
                drawn = drawn.add_attribute(Attribute::Bold);
            }
            if let Some(colour) = cell.colour {
                drawn = drawn.fg(colour);
            }
            if cell.is_right || self.right.contains(&column) {
                drawn = drawn.set_alignment(CellAlignment::Right);
            }
            drawn
        };
        let row = |row: &[Cell], is_head: bool| {
            part.iter().zip(widths).map(|(&column, &width)| cell(row, column, width, is_head)).collect::<Vec<_>>()
        };
        if !self.head.is_empty() {
            table.set_header(row(&self.head, true));
        }
        for cells in &self.rows {
            table.add_row(row(cells, false));
        }
        let lines = table.lines().map(|line| line.trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// A row as lines: its labels, then a line for each value with its heading.
    fn as_list(&self, columns: usize) -> String {
        let mut lines = Vec::new();
        let flat = |cell: &Cell| cell.text.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        for row in &self.rows {
            let (labels, values) = row.split_at(self.nr_labels.min(row.len()));
            let labels: Vec<String> = labels.iter().map(flat).filter(|label| !label.is_empty()).collect();
            lines.extend(wrapped(&labels.join(", "), columns, 2));
            for (nr, value) in values.iter().enumerate().filter(|(_, value)| !value.text.is_empty()) {
                let head = self.head.get(self.nr_labels + nr).map(flat).unwrap_or_default();
                let head = if head.is_empty() { head } else { format!("{head}: ") };
                lines.extend(wrapped(&format!("  {head}{}", flat(value)), columns, 2));
            }
        }
        lines.join("\n")
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fitted(columns()))
    }
}

/// Widths that sum up to at most `room`, the widest reduced first, and none below its longest word.
fn shrink(natural: &[usize], words: &[usize], room: usize) -> Vec<usize> {
    let mut widths = natural.to_vec();
    while widths.iter().sum::<usize>() > room {
        let can_shrink = (0..widths.len()).filter(|&column| widths[column] > words[column]);
        let Some(widest) = can_shrink.max_by_key(|&column| widths[column]) else { break };
        widths[widest] -= 1;
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widest(text: &str) -> usize {
        text.lines().map(display_width).max().unwrap_or(0)
    }

    /// Every word of a table is in every form of it, whole, and no line is wider than the terminal.
    #[test]
    fn tables_fit_every_width_and_keep_every_word() {
        let mut values = Grid::of_values(2);
        values.set_header(["", "on"].into_iter().map(str::to_owned).chain((0..9).map(|nr| format!("layout-{nr}"))));
        for op in ["pfn_valid, pages that only some layouts have", "pfn_to_page"] {
            let cells = (0..9).map(|nr| format!("1.2{nr} ns  1.50×\nslower +0.4{nr} ns\n[1.10, 1.60]"));
            values.add_row([op.to_owned(), "boot".to_owned()].into_iter().chain(cells));
        }
        let mut words = Grid::new();
        words.set_header(["name", "what it is", "needs"]);
        words.add_row([
            "thp",
            "private memory in transparent huge pages",
            "always or madvise in /sys/kernel/mm/transparent_hugepage/enabled",
        ]);
        for grid in [&values, &words] {
            let all: Vec<&str> = grid.rows.iter().flatten().flat_map(|cell| cell.text.split_whitespace()).collect();
            for columns in 1..200 {
                let text = grid.fitted(Some(columns));
                if columns >= NARROWEST {
                    assert!(widest(&text) <= columns, "{columns}:\n{text}");
                }
                let printed: Vec<&str> = text.split([' ', '\n', '│', '┆']).collect();
                for word in &all {
                    let is_there =
                        |printed: &&str| printed.trim_end_matches([',', ';']) == word.trim_end_matches([',', ';']);
                    assert!(printed.iter().any(is_there), "{columns}: {word} is broken in\n{text}");
                }
            }
        }
    }

    #[test]
    fn folded_tables_repeat_their_labels() {
        let mut grid = Grid::of_values(1);
        grid.set_header(["operation", "a", "b", "c"]);
        grid.add_row(["pfn_valid", "0.30 ns and 1.00×", "0.40 ns and 1.33×", "0.50 ns and 1.67×"]);
        let folded = grid.fitted(Some(60));
        assert_eq!(folded.matches("pfn_valid").count(), 2, "{folded}");
        assert_eq!(grid.fitted(Some(80)).matches("pfn_valid").count(), 1);
        assert_eq!(
            grid.fitted(Some(40)),
            "pfn_valid\n  a: 0.30 ns and 1.00×\n  b: 0.40 ns and 1.33×\n  c: 0.50 ns and 1.67×"
        );
        assert_eq!(Grid::new().fitted(Some(1)), "");
    }

    #[test]
    fn a_plain_table_has_no_borders() {
        let mut grid = Grid::plain();
        grid.add_row(["a", "b"]);
        assert!(!grid.fitted(Some(80)).contains(['│', '┌']));
    }
}
