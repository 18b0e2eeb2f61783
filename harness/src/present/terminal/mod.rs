//! What fits a terminal: its width, wrapped prose, tables that fold, the pager, and the screen that ends a run.

mod grid;
pub mod outcome;
pub mod pager;

pub use grid::{Cell, Grid};

use anstyle::AnsiColor;
use std::io::IsTerminal;
use textwrap::core::display_width;
use textwrap::{Options, WordSplitter};

/// Columns and rows of a terminal that does not tell its size.
const USUAL: (usize, usize) = (80, 24);

/// Tables need this many columns. Below, their rows are printed as lists.
pub const NARROWEST: usize = 60;

fn of_environment(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.trim().parse().ok().filter(|&size| size > 0)
}

/// Columns of standard output: those of the terminal, or else what `COLUMNS` says. `None` if output goes
/// elsewhere, where lines may have any length.
pub fn columns() -> Option<usize> {
    size_of(std::io::stdout()).map(|(columns, _)| columns).or_else(|| of_environment("COLUMNS"))
}

/// Columns of standard error, for messages.
pub fn columns_of_messages() -> Option<usize> {
    size_of(std::io::stderr()).map(|(columns, _)| columns)
}

/// Columns and rows of standard output, or 80 and 24.
pub fn screen() -> (usize, usize) {
    let (columns, rows) = size_of(std::io::stdout()).unwrap_or(USUAL);
    match std::io::stdout().is_terminal() {
        true => (columns, rows),
        false => (of_environment("COLUMNS").unwrap_or(columns), rows),
    }
}

/// Columns and rows of a stream; `None` if it is no terminal.
fn size_of(stream: impl IsTerminal + std::os::fd::AsFd) -> Option<(usize, usize)> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stream).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|&columns| columns > 0);
    let rows = size.map(|size| usize::from(size.ws_row)).filter(|&rows| rows > 0);
    Some((columns.or_else(|| of_environment("COLUMNS")).unwrap_or(USUAL.0), rows.unwrap_or(USUAL.1)))
}

/// Whether standard output shows colours: it is a terminal, `NO_COLOR` is not set, and `TERM` is not `dumb`.
pub fn has_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A word in a colour, where standard output shows colours.
pub fn coloured(word: &str, colour: AnsiColor) -> String {
    let style = colour.on_default();
    if has_colours() { format!("{style}{word}{style:#}") } else { word.to_owned() }
}

/// The column of the text after a label, as in `  rule    the size is a multiple`; `None` without a label.
fn after_label(line: &str) -> Option<usize> {
    let label = line.trim_start();
    let start = line.len() - label.len();
    let (label, rest) = label.split_once("  ")?;
    let text = rest.trim_start();
    let gap = 2 + rest.len() - text.len();
    (!text.is_empty()).then(|| start + display_width(label) + gap)
}

/// Wraps each line between words. Further lines begin below the text after a label, or have `indent` spaces more
/// than the first; a word that is longer than a line stays whole.
pub fn wrapped(text: &str, columns: usize, indent: usize) -> Vec<String> {
    let wrap = |line: &str| {
        if display_width(line) <= columns {
            return vec![line.to_owned()];
        }
        let start: String = line.chars().take_while(|c| *c == ' ').collect();
        // At least half of a narrow screen is for words.
        let indent = after_label(line).unwrap_or(start.len() + indent).min(columns / 2);
        let options = Options::new(columns.max(1)).word_splitter(WordSplitter::NoHyphenation).break_words(false);
        let (further, first) = (" ".repeat(indent), " ".repeat(start.len().min(columns / 2)));
        let options = options.initial_indent(&first).subsequent_indent(&further);
        textwrap::wrap(line.trim_start(), options).into_iter().map(|line| line.trim_end().to_owned()).collect()
    };
    text.split('\n').flat_map(wrap).collect()
}

/// Prose for standard output: wrapped on a terminal, unchanged elsewhere.
pub fn prose(text: &str) -> String {
    columns().map_or_else(|| text.to_owned(), |columns| wrapped(text, columns, 2).join("\n"))
}

/// A message for standard error: wrapped on a terminal, unchanged elsewhere.
pub fn message(text: &str) -> String {
    columns_of_messages().map_or_else(|| text.to_owned(), |columns| wrapped(text, columns, 2).join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_between_words_at_every_width() {
        let text = "a lookup takes 0.30 ns,\n  and vmemmap-section takes pfn_valid/added/random 2.69× [2.63, 2.75]";
        for columns in 1..100 {
            let lines = wrapped(text, columns, 4);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&lines.join("\n")), words(text), "{columns}");
            for line in &lines {
                let fits = display_width(line) <= columns;
                assert!(fits || words(line).len() == 1, "{columns}: {line:?}");
            }
        }
        assert_eq!(wrapped("a  b", 80, 0), ["a  b"]);
        assert_eq!(wrapped("  rule    one two three", 18, 0), ["  rule    one two", "         three"]);
        assert_eq!(wrapped("", 1, 0), [""]);
    }
}
