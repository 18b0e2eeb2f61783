//! Undoes what mails, terminals, web pages and loggers do to a listing, before its format is detected.
//!
//! | module | undoes |
//! | --- | --- |
//! | `encoding` | UTF-16, byte order marks, ends of lines |
//! | `quoted_printable` | `=3D` and soft line breaks of mails |
//! | `characters` | colours, control characters, HTML, typographic dashes and spaces |
//! | `json_prefix` | numbers, time stamps and names of programs before the lines of JSON |
//! | `marks` | quote marks, numbers and file names before a line; fences, prompts, ellipses |
//! | `envelope` | JSON of `dmesg`, journald and container logs, and JSON around a text |
//! | `log_prefix` | time stamps, hosts and levels before the lines of a log |
//! | `wraps` | lines that a mail client or a terminal broke or glued together |
//!
//! A listing without decorations passes unchanged. What was undone is counted, so that it can be
//! reported.

mod characters;
mod encoding;
mod envelope;
mod json_prefix;
mod log_prefix;
mod marks;
mod quoted_printable;
mod wraps;

pub(crate) use encoding::decode;

use super::line::Line;
use schemars::JsonSchema;
use serde::Serialize;

/// A decoration of a pasted text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decoration {
    /// UTF-16, as PowerShell writes it.
    Utf16,
    /// Quoted-printable, the encoding of mails.
    QuotedPrintable,
    /// HTML entities and tags.
    Html,
    /// Colours and other control sequences of terminals.
    Colours,
    /// Control characters, no-break spaces, typographic dashes and quotes.
    Characters,
    /// Quote marks of mails and of Markdown.
    QuoteMarks,
    /// Numbers, file names or signs before a line.
    LinePrefixes,
    /// Fences and tags around code.
    Fences,
    /// Shell prompts with a command.
    Prompts,
    /// Marks for text that was left out.
    Ellipses,
    /// JSON around the lines of a log, or around a text.
    Envelopes,
    /// Lines that were broken or glued together.
    LineWraps,
}

impl Decoration {
    /// What it is, in the plural.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf16 => "UTF-16",
            Self::QuotedPrintable => "quoted-printable",
            Self::Html => "HTML",
            Self::Colours => "colours",
            Self::Characters => "typographic characters",
            Self::QuoteMarks => "quote marks",
            Self::LinePrefixes => "line prefixes",
            Self::Fences => "fences",
            Self::Prompts => "shell prompts",
            Self::Ellipses => "ellipses",
            Self::Envelopes => "JSON envelopes",
            Self::LineWraps => "line wraps",
        }
    }
}

/// A kind of decoration that was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Undone {
    /// The decoration.
    pub decoration: Decoration,
    /// Number of lines that had it.
    pub lines: usize,
    /// The first of them, from 1.
    pub first: usize,
}

/// Counts what is undone.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<Undone>);

impl Tally {
    pub(crate) fn add(&mut self, decoration: Decoration, line: usize) {
        match self.0.iter_mut().find(|undone| undone.decoration == decoration) {
            Some(undone) => undone.lines += 1,
            None => self.0.push(Undone { decoration, lines: 1, first: line }),
        }
    }

    pub(crate) fn finish(mut self) -> Vec<Undone> {
        self.0.sort_by_key(|undone| undone.decoration);
        self.0
    }
}

/// A line without decorations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CleanLine {
    /// Number of the line in the text, from 1; of the first, if it was joined of several.
    pub(crate) number: usize,
    /// Its text.
    pub(crate) text: String,
    /// True if a logger wrote it: it had a time stamp or a level.
    pub(crate) is_logged: bool,
}

impl CleanLine {
    fn new(number: usize, text: impl Into<String>) -> Self {
        Self { number, text: text.into(), is_logged: false }
    }

    pub(super) fn as_line(&self) -> Line<'_> {
        Line { number: self.number, text: &self.text, is_logged: self.is_logged }
    }
}

/// A text without decorations.
#[derive(Debug)]
pub(crate) struct Clean {
    pub(crate) lines: Vec<CleanLine>,
    pub(crate) undone: Vec<Undone>,
    /// Lines where the text says that something was left out.
    pub(crate) cuts: Vec<usize>,
}

/// Undoes the decorations of a text.
pub(crate) fn undo(text: &str, mut tally: Tally) -> Clean {
    let lines = encoding::lines(text, &mut tally);
    let lines = quoted_printable::undo(lines, &mut tally);
    let mut cuts = Vec::new();
    let mut clean = Vec::new();
    let mut lines: Vec<CleanLine> = lines
        .into_iter()
        .map(|line| CleanLine { text: characters::undo(line.text, line.number, &mut tally), ..line })
        .collect();
    json_prefix::undo(&mut lines, &mut tally);
    for line in lines {
        match marks::undo(line, &mut tally) {
            marks::Marked::Line(line) => clean.push(line),
            marks::Marked::Cut(line) => cuts.push(line),
            marks::Marked::Nothing => {}
        }
    }
    let mut clean = envelope::undo(clean, &mut tally, &mut cuts);
    clean.iter_mut().for_each(|line| log_prefix::undo(line, &mut tally));
    let lines = wraps::undo(clean, &mut tally);
    Clean { lines, undone: tally.finish(), cuts }
}

/// The lines of a text that is no listing, without decorations, each with its number from 1. Numbers
/// ascend; empty lines are left out.
///
/// ```
/// use pfnbench::map::decoration::plain_lines;
///
/// let lines = plain_lines("> kernel: alignment collision\n>\n> \u{1b}[31mfailed\u{1b}[0m\n");
/// assert_eq!(lines, [(1, "kernel: alignment collision".to_owned()), (3, "failed".to_owned())]);
/// ```
pub fn plain_lines(text: &str) -> Vec<(usize, String)> {
    undo(text, Tally::default()).lines.into_iter().map(|line| (line.number, line.text)).collect()
}
