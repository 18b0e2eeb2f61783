//! What people and programs put before the lines of a listing, and between them.

use super::{CleanLine, Decoration, Tally};
use crate::map::formats::is_entry;
use regex::Regex;
use std::sync::LazyLock;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// Marks of quoted text, also of several levels.
static QUOTE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[ \t]*(?:(?:>|[|│](?:[ \t]|$))[ \t]?)+"));

/// The same, where the text behind the marks is not indented on purpose.
static FENCE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:`{3,}\s*[\w+-]*|~{3,}\s*[\w+-]*|\{(?:code|noformat)[^{}]*\}|\[/?code\])\s*$"));

/// A command behind a prompt. A prompt of `#` alone looks like a comment, which is skipped as well.
static PROMPT: LazyLock<Regex> = LazyLock::new(|| {
    let host = r"(?:\[[\w.-]+@[^\]]*\][#$%]|[\w.-]+@[\w.-]+(?:[:\s][^#$%>]*)?[#$%]|[\w.-]+:\S*\s?[#$%>]|:?~[>#$%]|bash-[\d.]+[#$]|\(initramfs\)|PS [A-Z]:\\[^>]*>|[$❯%])";
    pattern(&format!(r"^\s*{host}(?:\s+\S.*)?$"))
});

/// A mark for text that was left out.
static ELLIPSIS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^\W{0,6}(?:\.{2,}|…|\[\s*(?:\.{2,}|…)\s*\]|[\[<(-]*\s*(?:snip(?:ped)?|cut|truncated|omitted)\s*[\]>)-]*|8<[- ]*)\W{0,6}$",
    )
});

/// Signs, numbers and file names before a line.
static PREFIX: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"^(?:\s*(?:[+*•│]|//|/\*|-\s|"|`|\d{1,6}(?:[:|\t]|\s{2,})|[\w./@-]*[a-zA-Z/][\w./@-]*:(?:\d{1,6}[:-])?))+\s*"#,
    )
});

/// A key and the begin of its value in JSON.
static PAIR: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^\s*"[^"]*"\s*:\s*["\[{\d]"#));

/// What follows a line that stood in quotes, in a table or in a comment.
static SUFFIX: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\s*(?:",?|`|\s[|│])\s*$"#));

/// The right edge of a table or of a box.
static EDGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s*[|│]\s*$"));

/// A line without marks.
pub(super) enum Marked {
    /// The line.
    Line(CleanLine),
    /// The number of a line that says that something was left out.
    Cut(usize),
    /// A mark and nothing else.
    Nothing,
}

/// The end of the quotation marks of a line. A message may be wrapped in front of `>=`.
fn quote_end(line: &str) -> Option<usize> {
    let quote = QUOTE.find(line)?;
    let is_comparison = quote.as_str().ends_with('>') && line[quote.end()..].starts_with('=');
    let end = quote.end() - usize::from(is_comparison);
    (!line[..end].trim().is_empty()).then_some(end)
}

pub(super) fn undo(mut line: CleanLine, tally: &mut Tally) -> Marked {
    if let Some(end) = quote_end(&line.text) {
        tally.add(Decoration::QuoteMarks, line.number);
        let is_cell = line.text[..end].contains(['|', '│']);
        line.text.replace_range(..end, "");
        if is_cell && let Some(edge) = EDGE.find(&line.text) {
            line.text.truncate(edge.start());
        }
    }
    let text = line.text.trim();
    if text.is_empty() {
        return Marked::Nothing;
    }
    if FENCE.is_match(text) {
        tally.add(Decoration::Fences, line.number);
        return Marked::Nothing;
    }
    if ELLIPSIS.is_match(text) {
        tally.add(Decoration::Ellipses, line.number);
        return Marked::Cut(line.number);
    }
    if is_entry(&line.text) {
        return Marked::Line(line);
    }
    // A prefix is one only if an entry of a listing is behind it. The quotation mark of a pair in JSON is none.
    if let Some(prefix) = PREFIX.find(&line.text).filter(|_| !PAIR.is_match(&line.text)) {
        let rest = &line.text[prefix.end()..];
        let rest = SUFFIX.find(rest).map_or(rest, |suffix| &rest[..suffix.start()]);
        if is_entry(rest) {
            tally.add(Decoration::LinePrefixes, line.number);
            line.text = rest.to_owned();
            return Marked::Line(line);
        }
    }
    if PROMPT.is_match(line.text.trim_end()) {
        tally.add(Decoration::Prompts, line.number);
        return Marked::Nothing;
    }
    Marked::Line(line)
}
