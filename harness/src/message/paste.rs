//! Finds the messages in a paste of several lines. Lines may have been wrapped.

use super::recognise::{MOST_BYTES, Recognised, in_normalised, normalised};
use crate::map::decoration::plain_lines;
use serde::Serialize;
use std::collections::HashMap;

/// The most lines that follow a line and may be its rest.
const MOST_CONTINUATIONS: usize = 3;

/// The most unknown lines that are kept; further ones are counted.
const MOST_UNKNOWN: usize = 100;

/// What a paste holds.
#[derive(Clone, Debug, Default)]
pub struct Paste {
    /// The messages, in order. One that occurs again with the same values is listed once.
    pub messages: Vec<PastedMessage>,
    /// The first 100 lines without a known message. Empty lines are left out.
    pub unknown: Vec<UnknownLine>,
    /// Number of lines without a known message.
    pub nr_unknown: usize,
    /// Number of lines that are longer than 4096 bytes, of which only the start was looked at.
    pub nr_long: usize,
}

/// A message in a paste.
#[derive(Clone, Debug)]
pub struct PastedMessage {
    /// Number of the line in which it starts, from 1.
    pub line: usize,
    /// Number of lines that it was wrapped over.
    pub nr_lines: usize,
    /// The lines, joined.
    pub text: String,
    /// The message and its values.
    pub recognised: Recognised,
    /// Further lines with the same message and values.
    pub also_lines: Vec<usize>,
}

/// A line without a known message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownLine {
    /// Number of the line, from 1.
    pub line: usize,
    /// Its start, at most 4096 bytes, with simple spaces.
    pub text: String,
}

/// The lines of a paste, each at its number, without quote marks, colours and the like.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (number, line) in plain_lines(text) {
        lines.resize(number.max(lines.len()), String::new());
        let last = &mut lines[number - 1];
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(&line);
    }
    lines
}

/// A message that is wrapped over the first `nr_lines` of some lines.
struct Wrapped {
    nr_lines: usize,
    text: String,
    recognised: Recognised,
}

impl Wrapped {
    /// Sorts better candidates first: specific messages, many values, few lines.
    fn rank(&self) -> (usize, std::cmp::Reverse<usize>, usize) {
        let Recognised { index, values, .. } = &self.recognised;
        (*index, std::cmp::Reverse(values.len()), self.nr_lines)
    }
}

/// The best message that starts in the first of the lines and ends in a later one.
fn wrapped(lines: &[String]) -> Option<Wrapped> {
    let first = lines.first().filter(|first| !first.is_empty())?;
    let mut best: Option<Wrapped> = None;
    for nr_lines in 2..=lines.len().min(MOST_CONTINUATIONS + 1) {
        if lines[nr_lines - 1].is_empty() {
            break;
        }
        for separator in [" ", ""] {
            let text = lines[..nr_lines].join(separator);
            let last_start = text.len() - lines[nr_lines - 1].len();
            let crosses = |found: &Recognised| found.range.start < first.len() && found.range.end > last_start;
            for recognised in in_normalised(&text).into_iter().filter(crosses) {
                // An optional prefix of a pattern may match the line before.
                let is_same = |found: &Recognised| found.index == recognised.index;
                let is_later = lines[1..nr_lines].iter().any(|line| in_normalised(line).iter().any(is_same));
                let next = Wrapped { nr_lines, text: text.clone(), recognised };
                if !is_later && best.as_ref().is_none_or(|best| next.rank() < best.rank()) {
                    best = Some(next);
                }
            }
        }
    }
    best
}

/// Finds the messages in a text. A line is tried alone, then joined with up to three lines that follow,
/// with and without a space. Never fails; time is linear in the length of the text.
///
/// ```
/// use pfnbench::message::read_lines;
///
/// let paste = read_lines("[1.0] Block size [0x40000000] unaligned hotplug range:\nstart 0xc8000000, size 0x40000000\n");
/// assert_eq!((paste.messages[0].line, paste.messages[0].nr_lines, paste.nr_unknown), (1, 2, 0));
/// ```
pub fn read_lines(text: &str) -> Paste {
    let mut paste = Paste::default();
    let whole = lines(text);
    paste.nr_long = whole.iter().filter(|line| line.len() > MOST_BYTES).count();
    let mut lines: Vec<String> = whole.iter().map(|line| normalised(line)).collect();
    let mut known = HashMap::new();
    let mut add = |paste: &mut Paste, line: usize, nr_lines: usize, text: &str, recognised: Recognised| {
        let values: Vec<String> = recognised.values.iter().map(|value| value.text.clone()).collect();
        let new = paste.messages.len();
        let index = *known.entry((recognised.index, values)).or_insert(new);
        match paste.messages.get_mut(index) {
            Some(same) => same.also_lines.push(line),
            None => {
                let (text, also_lines) = (text.to_owned(), Vec::new());
                paste.messages.push(PastedMessage { line, nr_lines, text, recognised, also_lines });
            }
        }
    };
    let mut at = 0;
    // The rest of a line whose start belongs to a message above it.
    let mut is_rest = false;
    while at < lines.len() {
        let number = at + 1;
        let mut alone = in_normalised(&lines[at]);
        let joined = wrapped(&lines[at..]).filter(|joined| {
            let overlaps = |alone: &&Recognised| alone.range.end > joined.recognised.range.start;
            let rank = |alone: &Recognised| (alone.index, std::cmp::Reverse(alone.values.len()), 1);
            alone.iter().filter(overlaps).all(|alone| joined.rank() < rank(alone))
        });
        if let Some(joined) = &joined {
            alone.retain(|alone| alone.range.end <= joined.recognised.range.start);
        }
        let is_known = !alone.is_empty() || joined.is_some();
        for recognised in alone {
            add(&mut paste, number, 1, &lines[at], recognised);
        }
        if !is_known && !is_rest && !lines[at].is_empty() {
            paste.nr_unknown += 1;
            if paste.unknown.len() < MOST_UNKNOWN {
                paste.unknown.push(UnknownLine { line: number, text: lines[at].clone() });
            }
        }
        is_rest = false;
        at += 1;
        if let Some(Wrapped { nr_lines, text, recognised }) = joined {
            let rest = text[recognised.range.end..].trim().to_owned();
            add(&mut paste, number, nr_lines, &text, recognised);
            at = number + nr_lines - 2;
            lines[at] = rest;
            is_rest = true;
        }
    }
    paste
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::messages;

    fn found(text: &str) -> Vec<(usize, usize, &'static str)> {
        let paste = read_lines(text);
        paste.messages.iter().map(|found| (found.line, found.nr_lines, &*found.recognised.message.id)).collect()
    }

    #[test]
    fn known_lines_are_found_and_unknown_ones_counted() {
        let text = "hello\n\nBlock size [0x80000000] unaligned hotplug range: start 0x1040000000, size 0x80000000\n\
                    acpi PNP0C80:00: add_memory failed\nWhy?\n";
        assert_eq!(found(text), [(3, 1, "hotplug-block-unaligned"), (4, 1, "acpi-add-memory-failed")]);
        let paste = read_lines(text);
        assert_eq!(paste.nr_unknown, 2);
        assert_eq!(paste.unknown[1], UnknownLine { line: 5, text: "Why?".to_owned() });
        assert_eq!(read_lines("").nr_unknown, 0);
    }

    #[test]
    fn a_message_that_is_wrapped_at_any_word_is_found_once() {
        for message in messages() {
            let words: Vec<&str> = message.example.split_whitespace().collect();
            for nr in 1..words.len() {
                let text = format!("{}\n{}", words[..nr].join(" "), words[nr..].join(" "));
                let found = found(&text);
                assert!(found.iter().any(|(.., id)| *id == message.id), "{}: {text}: {found:?}", message.id);
                let same = found.iter().filter(|(.., id)| *id == message.id).count();
                assert_eq!(same, 1, "{text}: {found:?}");
            }
        }
    }

    #[test]
    fn a_line_is_joined_without_a_space_and_over_four_lines() {
        let hard = "Block size [0x80000000] unaligned hotp\nlug range: start 0x1040000000, si\nze 0x80000000";
        assert_eq!(found(hard), [(1, 3, "hotplug-block-unaligned")]);
        let four = "Block size [0x80000000]\nunaligned hotplug\nrange: start 0x1040000000,\nsize 0x80000000\n";
        assert_eq!(found(four), [(1, 4, "hotplug-block-unaligned")]);
        let general = "failed to create namespace: No space left on\ndevice";
        assert_eq!(found(general), [(1, 2, "ndctl-create-no-space")], "the specific one, not the general one");
    }

    #[test]
    fn the_rest_of_a_wrapped_line_is_looked_at_and_not_counted() {
        let text = "Block size [0x80000000] unaligned hotplug range: start\n\
                    0x1040000000, size 0x80000000 acpi PNP0C80:00: add_memory failed\nreconfigured 0 devices";
        let ids = ["hotplug-block-unaligned", "acpi-add-memory-failed", "daxctl-reconfigured-count"];
        assert_eq!(found(text).iter().map(|(.., id)| *id).collect::<Vec<_>>(), ids);
        assert_eq!(read_lines(text).nr_unknown, 0);
        assert_eq!(read_lines("unrelated:\nkworker/u8:2: page allocation failure: order:9").messages[0].line, 2);
    }

    #[test]
    fn the_same_message_again_is_listed_once() {
        let paste = read_lines("[1.0] acpi PNP0C80:00: add_memory failed\nx\n[2.0] acpi PNP0C80:00: add_memory failed");
        assert_eq!((paste.messages.len(), &*paste.messages[0].also_lines, paste.nr_unknown), (1, &[3][..], 1));
    }

    #[test]
    fn a_long_line_is_cut_and_many_unknown_lines_are_counted_only() {
        let long = format!("{}\nacpi PNP0C80:00: add_memory failed", "é".repeat(3 << 20));
        let paste = read_lines(&long);
        assert_eq!((paste.nr_long, paste.nr_unknown, paste.messages.len()), (1, 1, 1));
        assert!(paste.unknown[0].text.len() <= MOST_BYTES);
        let paste = read_lines(&"unknown\n".repeat(2000));
        assert_eq!((paste.unknown.len(), paste.nr_unknown), (MOST_UNKNOWN, 2000));
    }
}
