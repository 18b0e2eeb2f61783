//! Lines that a mail client or a terminal broke, or glued to the next.

use super::{CleanLine, Decoration, Tally};
use crate::map::formats::form;
use crate::map::kind::Kind;
use crate::map::line::Form;
use crate::map::{iomem, lsmem};
use regex::Regex;
use std::sync::LazyLock;

/// The most lines that one entry is broken into.
const MOST_PIECES: usize = 4;

/// A second resource behind the name of the first.
static SECOND: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\s((?:0[xX])?[0-9a-fA-F]{5,16} ?- ?(?:0[xX])?[0-9a-fA-F]{5,16})(?:\s|$)").expect("a valid pattern")
});

/// The beginning of an entry of a log.
static LOG_ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?:BIOS-e820|user|modified|extended|reserve setup_data): \[(?:mem|gap) ").expect("a valid pattern")
});

/// What may follow an entry that is whole without it.
static TAIL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:hotplug|non-volatile|\(type \d+\)|\(\w+\)|0x[0-9a-fA-F]+ bytes\b.*|bytes\b.*|flags: 0x[0-9a-fA-F]+|(?:node )?\d+ flags: 0x[0-9a-fA-F]+|0x[0-9a-fA-F]+|on node \d+\b.*|\(\d+[KMGT]B\))\s*$")
        .expect("a valid pattern")
});

/// Joins lines that were broken, and parts lines that were glued together.
pub(super) fn undo(lines: Vec<CleanLine>, tally: &mut Tally) -> Vec<CleanLine> {
    let lines = parted(lines, tally);
    let forms: Vec<Form> = lines.iter().map(|line| form(&line.text)).collect();
    let mut joined: Vec<CleanLine> = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        let mut line = lines[at].clone();
        let mut taken = 1;
        if forms[at] == Form::Open {
            let pieces = lines[at + 1..].iter().zip(&forms[at + 1..]).take(MOST_PIECES - 1);
            let mut text = line.text.clone();
            for (nr, (piece, of_piece)) in pieces.enumerate() {
                // An entry of its own ends the search; the rest of a range may look like the begin of one.
                let is_entry = *of_piece == Form::Whole && (nr > 0 || text.trim_end().ends_with(':'));
                if piece.is_logged || is_entry {
                    break;
                }
                let (whole, glued) = glued(&text, &piece.text);
                text = glued;
                if whole {
                    line.text.clone_from(&text);
                    taken = nr + 2;
                    break;
                }
                if *of_piece == Form::Whole {
                    break;
                }
            }
        }
        // Words that a whole entry may have behind it.
        while taken < MOST_PIECES + 1
            && let Some(next) = lines.get(at + taken)
            && forms[at + taken] == Form::Other
            && !next.is_logged
            && form(&line.text) != Form::Other
            && belongs(&line.text, &next.text)
        {
            line.text = format!("{} {}", line.text.trim_end(), next.text.trim());
            taken += 1;
        }
        if taken > 1 {
            tally.add(Decoration::LineWraps, line.number);
        }
        joined.push(line);
        at += taken;
    }
    joined
}

/// The two pieces together, and whether they are an entry then. A number may be broken too.
fn glued(text: &str, next: &str) -> (bool, String) {
    let (text, next) = (text.trim_end(), next.trim());
    let (close, apart) = (format!("{text}{next}"), format!("{text} {next}"));
    let in_number = text.ends_with(|last: char| last.is_ascii_hexdigit() || matches!(last, '-' | 'x'))
        && next.starts_with(|first: char| first.is_ascii_hexdigit() || matches!(first, ']' | '-'));
    let (first, second) = if in_number { (close, apart) } else { (apart, close) };
    match (form(&first), form(&second)) {
        (Form::Whole, _) => (true, first),
        (_, Form::Whole) => (true, second),
        // Between pieces of what is not whole yet, a space does no harm.
        _ => (false, format!("{text} {next}")),
    }
}

/// Whether the next line is the rest of an entry that is whole without it.
fn belongs(text: &str, next: &str) -> bool {
    if TAIL.is_match(next) || lsmem::goes_on(text, next) {
        return true;
    }
    let Some(name) = iomem::name(text) else { return false };
    let longer = format!("{name} {}", next.trim());
    let (now, then) = (Kind::from_name(name), Kind::from_name(&longer));
    then.is_some() && then != now && longer.len() <= 40
}

/// Parts lines in which a second entry follows the first. Time is linear in the length of a line.
fn parted(lines: Vec<CleanLine>, tally: &mut Tally) -> Vec<CleanLine> {
    let mut parts = Vec::with_capacity(lines.len());
    for line in lines {
        let mut begin = 0;
        while let Some(end) = second_entry(&line.text[begin..]) {
            tally.add(Decoration::LineWraps, line.number);
            parts.push(CleanLine { text: line.text[begin..begin + end].to_owned(), ..line });
            begin += end;
        }
        parts.push(if begin == 0 { line } else { CleanLine { text: line.text[begin..].to_owned(), ..line } });
    }
    parts
}

/// Where the second entry of a line begins.
fn second_entry(text: &str) -> Option<usize> {
    let second = match iomem::name_start(text) {
        Some(name) => name + SECOND.captures(&text[name..])?.get(1)?.start(),
        None => LOG_ENTRY.find_iter(text).nth(1)?.start(),
    };
    (second > 0).then_some(second)
}
