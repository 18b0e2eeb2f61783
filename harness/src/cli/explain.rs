//! The command `pfnbench explain`.

mod pasted;

use super::{Answer, Json, print, print_json, tell};
use crate::map::Reading;
use crate::map::source::Source;
use crate::message::{by_id, read_lines};
use crate::present::explain::{Explanation, Loads, explain, like, words};
use anyhow::{Context, bail};
use clap::Args;
use memmap_layouts::ByteSize;
use std::ffi::OsString;
use std::io::{self, Read};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench explain NS101                   the rule behind an error code
  pfnbench explain pfn_valid/chained/added/random/validmap
  pfnbench explain validmap                a layout and what it loads
  pfnbench explain noise floor             a term of the glossary
  pfnbench explain 'acpi PNP0C80:01: add_memory failed'
  dmesg | pfnbench explain -               every known line of a log
  dmesg | pfnbench explain - --map iomem.txt
  pfnbench explain                         every word that it knows

Exit codes: 0 success; 1 the word or line is unknown; 2 a usage error, or the
map or standard input cannot be read.
All codes: pfnbench explain exit-codes")]
pub(super) struct ExplainArgs {
    /// Error code, case, layout, term, or a line of dmesg, ndctl, daxctl, cxl, QEMU or a benchmark
    /// tool; - reads lines from standard input
    ///
    /// Looked up in this order: error codes, layouts, cases, terms, lines, ids of messages. Quote a
    /// line that has characters of the shell, and put -- before one that begins with a hyphen.
    word: Vec<OsString>,
    /// Memory map of the machine that printed the line: a file, - for standard input, or
    /// builtin:NAME; names what is near the addresses of the line
    #[arg(long, value_name = "FILE")]
    map: Option<Source>,
    /// List the messages that it knows, by program
    #[arg(long, conflicts_with = "word")]
    messages: bool,
    #[command(flatten)]
    json: Json,
}

/// Limit on the length of standard input in bytes. The log of a large machine has a few megabytes.
const MAX_INPUT_BYTES: u64 = 64 << 20;

/// Limit on the number of lines of standard input, each of which is compared with every message.
const MAX_INPUT_LINES: usize = 1 << 18;

fn standard_input() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    io::stdin().take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        bail!("standard input is larger than the limit of {}; give the lines in question", ByteSize(MAX_INPUT_BYTES));
    }
    let nr_lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    if nr_lines > MAX_INPUT_LINES {
        bail!(
            "standard input has {nr_lines} lines, more than the limit of {MAX_INPUT_LINES}; give the lines in question"
        );
    }
    Ok(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())
}

impl ExplainArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        if self.messages {
            pasted::print_messages(self.json.json)?;
            return Ok(Answer::Yes);
        }
        if self.word.is_empty() {
            match self.json.json {
                true => print_json(&words())?,
                false => {
                    print(words().join(", "))?;
                    print(format!("\nMessages: {}\nAll messages: pfnbench explain --messages", pasted::counts()))?;
                }
            }
            return Ok(Answer::Yes);
        }
        let is_stdin = self.word == ["-"];
        if is_stdin && self.map == Some(Source::Stdin) {
            bail!("standard input cannot be both the lines and the map; give the map as a file: --map iomem.txt");
        }
        let text = if is_stdin {
            standard_input()?
        } else {
            self.word.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let reading = self.map.as_ref().map(Source::read).transpose()?;
        self.explain(text.trim(), reading.as_ref())
    }

    fn explain(&self, text: &str, reading: Option<&Reading>) -> anyhow::Result<Answer> {
        // Words have one line.
        if let Some(found) = Some(text).filter(|text| text.len() <= MOST_WORD_BYTES).and_then(explain) {
            match self.json.json {
                true => print_json(&found)?,
                false => show(&found)?,
            }
            return Ok(Answer::Yes);
        }
        if let Some(message) = by_id(text) {
            pasted::print_message(message, self.json.json)?;
            return Ok(Answer::Yes);
        }
        let paste = read_lines(text);
        if self.json.json {
            pasted::print_paste_json(&paste, reading)?;
        } else if !paste.messages.is_empty() {
            pasted::print_paste(&paste, reading)?;
        }
        if paste.messages.is_empty() {
            tell(&unknown(text, paste.nr_unknown));
            return Ok(Answer::No);
        }
        if let Some(not_understood) = pasted::not_understood(&paste) {
            tell(&not_understood);
        }
        Ok(Answer::Yes)
    }
}

/// The most bytes of a word or the name of a case.
const MOST_WORD_BYTES: usize = 200;

/// The message about a text of which nothing is known.
fn unknown(text: &str, nr_lines: usize) -> String {
    if text.is_empty() {
        return "there is nothing to explain: the text is empty; pfnbench explain lists every word".to_owned();
    }
    if nr_lines > 1 {
        let near = text.lines().take(20).flat_map(pasted::near).next();
        let hint = near.map_or_else(
            || "pfnbench explain --messages lists them".to_owned(),
            |near| format!("the nearest is {near}"),
        );
        return format!("none of the {nr_lines} lines has a known message; {hint}");
    }
    let like = if text.len() <= MOST_WORD_BYTES { like(text) } else { Vec::new() };
    let shown: String = text.chars().take(MOST_WORD_BYTES).collect();
    let near = pasted::near(text);
    let hint = match (&like[..], &near[..]) {
        ([], []) => "pfnbench explain lists every word, and --messages every message".to_owned(),
        (_, [_, ..]) if text.contains(' ') => format!("the nearest messages are {}", near.join("; ")),
        ([], near) => format!("the nearest messages are {}", near.join("; ")),
        (like, _) => format!("did you mean {}?", like.join(", ")),
    };
    format!("there is no explanation of {shown:?}; {hint}")
}

fn show(found: &Explanation) -> anyhow::Result<()> {
    match found {
        Explanation::Rule { rule } => super::namespace::print_rule(rule),
        Explanation::Case { parts, how, loads } => {
            parts.iter().try_for_each(|part| print(format!("{}: {}.", part.part, part.means)))?;
            how.iter().try_for_each(|how| print(format!("measured: {how}.")))?;
            chains("loads from memory, by layout:", loads)
        }
        Explanation::Layout { id, about, loads } => {
            print(format!("{id}: {about}."))?;
            chains("loads from memory, by lookup:", loads)
        }
        Explanation::Term { term, definition } => print(format!("{term}: {definition}.")),
    }
}

fn chains(heading: &str, loads: &[Loads]) -> anyhow::Result<()> {
    if loads.is_empty() {
        return Ok(());
    }
    print(heading)?;
    let width = loads.iter().map(|loads| loads.of.len()).max().unwrap_or(0);
    loads.iter().try_for_each(|loads| print(format!("  {:width$}  {}", loads.of, loads.loads.join(" → "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{self, Workload};

    #[test]
    fn every_case_is_explained() {
        let work = workload::everything(&Workload::builtin(), None);
        for name in workload::names(&work) {
            assert!(explain(&name).is_some(), "{name}");
        }
    }
}
