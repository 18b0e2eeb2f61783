//! Pasted lines of logs and tools, as text and as JSON.

use crate::cli::{print, print_json};
use crate::map::Reading;
use crate::message::{
    Fact, Message, Neighbour, Neighbourhood, Paste, PastedMessage, Program, Relation, UnknownLine, Value, messages,
    nearest, neighbours,
};
use crate::pmem::refusal::rule;
use crate::present::terminal::wrapped;
use memmap_layouts::ByteSize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Columns of the output.
const COLUMNS: usize = 80;

/// The most near messages that are named for an unknown line.
const MOST_NEAR: usize = 3;

/// The most characters of an unknown line in a sentence.
const MOST_QUOTED: usize = 200;

/// An explained message.
#[derive(Serialize)]
struct Explained<'a> {
    line: usize,
    lines: usize,
    also_lines: &'a [usize],
    text: &'a str,
    id: &'a str,
    program: Program,
    origin: &'a str,
    kernels: Option<String>,
    meaning: String,
    rule: Option<String>,
    values: BTreeMap<&'static str, &'a Value>,
    facts: Vec<Fact>,
    check: &'a [String],
    fix: String,
    errno: Option<&'a str>,
    see: &'a [String],
    codes: Vec<&'static rule::Rule>,
    /// Null without a map.
    map: Option<Vec<Neighbourhood>>,
}

impl<'a> Explained<'a> {
    fn new(pasted: &'a PastedMessage, reading: Option<&Reading>) -> Self {
        let PastedMessage { line, nr_lines, text, recognised, also_lines } = pasted;
        let Message { id, program, origin, check, fix, errno, see, codes, .. } = recognised.message;
        Self {
            line: *line,
            lines: *nr_lines,
            also_lines,
            text,
            id,
            program: *program,
            origin,
            kernels: recognised.message.kernels(),
            meaning: recognised.filled(&recognised.message.meaning),
            rule: recognised.rule(),
            values: recognised.values.iter().map(|value| (value.name, value)).collect(),
            facts: recognised.facts(),
            check,
            fix: recognised.filled(fix),
            errno: errno.as_deref(),
            see,
            codes: codes.iter().filter_map(|code| rule::find(code)).collect(),
            map: reading.map(|reading| neighbours(recognised, reading)),
        }
    }

    /// Its lines, of at most 80 columns.
    fn text(&self) -> String {
        let mut text = Labelled::default();
        let also = match self.also_lines {
            [] => String::new(),
            [line] => format!(" (and line {line})"),
            [first, ..] => format!(" (and {} more lines, from line {first} on)", self.also_lines.len()),
        };
        text.line(format!("line {}{also}: {}", self.line, shortened(self.text)));
        text.line(format!("{}, {}", self.id, self.program.name()));
        text.labelled("meaning", [&*self.meaning]);
        text.labelled("rule", self.rule.as_deref());
        text.labelled("numbers", self.facts.iter().map(|fact| &*fact.says));
        let kernels = self.kernels.iter().map(|kernels| format!("; {kernels}")).collect::<String>();
        text.labelled("source", [&*format!("{}{kernels}", self.origin)]);
        text.labelled("errno", self.errno);
        text.labelled("check", self.check.iter().map(String::as_str));
        text.labelled("fix", [&*self.fix]);
        text.labelled("our code", self.codes.iter().map(|rule| format!("{}: {}", rule.code, rule.rule)));
        text.labelled("see", [self.see.join(", ")]);
        if let Some(map) = &self.map {
            text.labelled("map", map_lines(map));
        }
        text.0.join("\n")
    }
}

/// Lines of at most 80 columns with labels in front.
#[derive(Default)]
struct Labelled(Vec<String>);

impl Labelled {
    fn line(&mut self, text: String) {
        self.0.extend(wrapped(&text, COLUMNS, 2));
    }

    /// Texts below each other, with a label before the first; nothing without texts.
    fn labelled<T: AsRef<str>>(&mut self, label: &str, texts: impl IntoIterator<Item = T>) {
        for (nr, text) in texts.into_iter().enumerate() {
            let label = if nr == 0 { label } else { "" };
            for (nr, line) in wrapped(text.as_ref(), COLUMNS - 12, 2).into_iter().enumerate() {
                self.0.push(format!("  {:8}  {line}", if nr == 0 { label } else { "" }));
            }
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn map_lines(map: &[Neighbourhood]) -> Vec<String> {
    if map.is_empty() {
        return vec!["the line has no address, and the map has no device that it names".to_owned()];
    }
    let mut lines = Vec::new();
    for Neighbourhood { span, from, sections, blocks, neighbours, nr_more } in map {
        let from = if from == "line" { String::new() } else { format!("{from}: ") };
        let blocks = blocks.map(|blocks| format!(", in whole memory blocks {blocks}")).unwrap_or_default();
        lines.push(format!("{from}{span}; in whole sections {sections}{blocks}"));
        lines.extend(neighbours.iter().map(neighbour_line));
        if neighbours.is_empty() {
            lines.push("the map has nothing there or near".to_owned());
        }
        if *nr_more > 0 {
            lines.push(format!("and {nr_more} more"));
        }
    }
    lines
}

fn neighbour_line(neighbour: &Neighbour) -> String {
    let Neighbour { name, span, relation, distance_bytes, shares_section, shares_block } = neighbour;
    let relation = match relation {
        Relation::Same => "is the same range".to_owned(),
        Relation::Contains => "contains it".to_owned(),
        Relation::Inside => "lies within it".to_owned(),
        Relation::Overlaps => "overlaps it".to_owned(),
        Relation::Touches => "touches it".to_owned(),
        Relation::Below => format!("ends {} ({distance_bytes:#x}) below it", ByteSize(*distance_bytes)),
        Relation::Above => format!("starts {} ({distance_bytes:#x}) above it", ByteSize(*distance_bytes)),
    };
    let shares = match (shares_section, shares_block) {
        (true, Some(true)) => ", shares a section of 128 MiB and a memory block",
        (true, _) => ", shares a section of 128 MiB",
        (false, Some(true)) => ", shares a memory block",
        (false, _) => "",
    };
    format!("{name} {span} {relation}{shares}")
}

/// An unknown line with the messages that are most like it.
#[derive(Serialize)]
struct Unknown<'a> {
    #[serde(flatten)]
    line: &'a UnknownLine,
    nearest: Vec<&'static str>,
}

/// All of a paste, for JSON.
#[derive(Serialize)]
struct Explanation<'a> {
    kind: &'static str,
    messages: Vec<Explained<'a>>,
    unknown: Vec<Unknown<'a>>,
    unknown_lines: usize,
    long_lines: usize,
}

/// The most unknown lines whose near messages are looked for.
const MOST_COMPARED: usize = 20;

/// Prints a paste as JSON.
pub(super) fn print_paste_json(paste: &Paste, reading: Option<&Reading>) -> anyhow::Result<()> {
    let unknown = paste.unknown.iter().enumerate().map(|(nr, line)| {
        let nearest = if nr < MOST_COMPARED { nearest(&line.text, MOST_NEAR) } else { Vec::new() };
        Unknown { line, nearest: nearest.into_iter().map(|message| &*message.id).collect() }
    });
    print_json(&Explanation {
        kind: "lines",
        messages: paste.messages.iter().map(|pasted| Explained::new(pasted, reading)).collect(),
        unknown: unknown.collect(),
        unknown_lines: paste.nr_unknown,
        long_lines: paste.nr_long,
    })
}

/// Prints the messages of a paste, with empty lines between them.
pub(super) fn print_paste(paste: &Paste, reading: Option<&Reading>) -> anyhow::Result<()> {
    let texts: Vec<String> = paste.messages.iter().map(|pasted| Explained::new(pasted, reading).text()).collect();
    print(texts.join("\n\n"))
}

/// What was not understood in a paste that has known messages; `None` if all was.
pub(super) fn not_understood(paste: &Paste) -> Option<String> {
    let first = paste.unknown.first()?;
    let long = match paste.nr_long {
        0 => String::new(),
        nr => format!("; of lines longer than 4096 bytes ({nr}), only the start was read"),
    };
    Some(format!(
        "lines without a known message: {}; the first is line {}: {}{long}",
        paste.nr_unknown,
        first.line,
        shortened(&first.text)
    ))
}

/// Messages like an unknown text, each with its id and a format; empty if none is like it.
pub(super) fn near(text: &str) -> Vec<String> {
    let near = nearest(text, MOST_NEAR).into_iter();
    near.map(|message| format!("{} ({}: {})", message.id, message.program.name(), message.formats[0])).collect()
}

/// Prints what is known of a message without a line of it.
pub(super) fn print_message(message: &'static Message, json: bool) -> anyhow::Result<()> {
    let paste = crate::message::read_lines(&message.example);
    let own = paste.messages.iter().find(|pasted| pasted.recognised.message.id == message.id);
    match own {
        Some(pasted) if json => print_json(&Explained::new(pasted, None)),
        Some(pasted) => {
            print(format!("The example of this message is explained:\n\n{}", Explained::new(pasted, None).text()))
        }
        None => print_json(message),
    }
}

/// How many messages each program has, e.g. `Linux 95, ndctl 16`.
pub(super) fn counts() -> String {
    let count = |program: Program| messages().iter().filter(|message| message.program == program).count();
    let counts: Vec<String> =
        Program::ALL.into_iter().map(|program| format!("{} {}", program.name(), count(program))).collect();
    counts.join(", ")
}

/// Lists all messages by program.
pub(super) fn print_messages(json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(&messages());
    }
    let mut text = Labelled::default();
    for program in Program::ALL {
        text.line(program.name().to_owned());
        for message in messages().iter().filter(|message| message.program == program) {
            text.line(format!("  {}", message.id));
            message.formats.iter().for_each(|format| text.line(format!("    {format}")));
        }
    }
    print(text.0.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::read_lines;

    #[test]
    fn every_code_of_a_message_exists() {
        for message in messages() {
            for code in &message.codes {
                assert!(rule::find(code).is_some(), "{}: {code}", message.id);
            }
        }
    }

    #[test]
    fn every_explanation_fits_80_columns_but_for_long_words() {
        for message in messages() {
            let paste = read_lines(&message.example);
            for pasted in &paste.messages {
                for line in Explained::new(pasted, None).text().lines() {
                    let is_word = !line.trim_start().contains(' ');
                    assert!(line.chars().count() <= COLUMNS || is_word, "{}: {line}", message.id);
                }
            }
        }
    }
}
