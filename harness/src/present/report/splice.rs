//! Fills in parts of a report between markers in a document, such as a README.
//!
//! ```text
//! <!-- pfnbench winners -->
//! … is replaced …
//! <!-- pfnbench end -->
//! ```
//!
//! A marker is on a line of its own. Markers inside code blocks are ignored.
//!
//! A marker asks for `answer` (the finding in at most three sentences), `finding`, `winners`, `costs` (of
//! the sub-section map), `costs REGEX` (on maps by name), `heat`, `heat REGEX` (lines of the heat table by name), `figure NAME` or `command`.

use super::{MachineReport, Report, markdown};
use crate::case::Memory;
use crate::present::answer;
use regex::Regex;
use thiserror::Error;

const BEGIN: &str = "<!-- pfnbench ";
const END: &str = "<!-- pfnbench end -->";
const CLOSE: &str = "-->";
/// The word in the marker that ends a block.
const END_WORD: &str = "end";

/// The blocks that a marker may request, in words.
pub const BLOCKS: &str = "answer, finding, winners, costs, costs REGEX, heat, heat REGEX, figure NAME, command";

/// The reasons why a document cannot be filled in.
#[derive(Debug, Error)]
pub enum SpliceError {
    /// The document has no markers.
    #[error(
        "the document has no markers; put `{BEGIN}winners {CLOSE}` and `{END}` on lines of their own around the text \
         to replace"
    )]
    NoMarkers,
    /// A block has no end marker.
    #[error("line {line}: the block has no end marker; add a line `{END}` after it")]
    NoEnd {
        /// Line of the block's marker, from 1.
        line: usize,
    },
    /// A marker requests an unknown block or figure.
    #[error("line {line}: a report has no block {what:?}; use one of {BLOCKS}, with one of the figures {figures}")]
    Unknown {
        /// Line of the marker, from 1.
        line: usize,
        /// The text of the request.
        what: String,
        /// Names of the figures that exist.
        figures: String,
    },
    /// A regular expression is invalid.
    #[error("line {line}: {source}")]
    Regex {
        /// Line of the marker, from 1.
        line: usize,
        /// The error in the regular expression.
        source: regex::Error,
    },
    /// A figure is requested, but no figures are written.
    #[error("line {line}: a figure refers to a picture file, and none is written; add -o report.md")]
    NoPictures {
        /// Line of the marker, from 1.
        line: usize,
    },
}

/// The request in a line, if the line is a marker.
fn marker(line: &str) -> Option<&str> {
    // Four spaces or a tab start a code block.
    let is_code = line.starts_with("    ") || line.starts_with('\t');
    let text = line.trim().strip_prefix(BEGIN)?.strip_suffix(CLOSE)?;
    (!is_code && !text.contains(CLOSE)).then_some(text.trim())
}

/// Replaces the text between the markers of `document`. Figures are referenced in `folder`, if
/// there is one. `command` is the command line that made the report.
///
/// # Errors
/// Returns a [`SpliceError`] that names the line.
pub fn splice(report: &Report, document: &str, folder: Option<&str>, command: &str) -> Result<String, SpliceError> {
    let line_end = if document.contains("\r\n") { "\r\n" } else { "\n" };
    let (mut filled, mut blocks, mut fence) = (String::new(), 0, None);
    let mut lines = document.split_inclusive('\n').enumerate();
    while let Some((at, line)) = lines.next() {
        filled.push_str(line);
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(close)) if open == close => fence = None,
            _ => {}
        }
        let Some(what) = marker(line).filter(|_| fence.is_none()) else { continue };
        let number = at + 1;
        if what == END_WORD {
            return Err(SpliceError::NoEnd { line: number });
        }
        let block = block(report, what, number, folder, command)?;
        let end = loop {
            let Some((_, line)) = lines.next() else { return Err(SpliceError::NoEnd { line: number }) };
            match marker(line) {
                Some(END_WORD) => break line,
                // The next block begins before this one ends.
                Some(_) => return Err(SpliceError::NoEnd { line: number }),
                None => {}
            }
        };
        filled.push_str(&block.trim_end().replace('\n', line_end));
        filled.push_str(line_end);
        filled.push_str(end);
        blocks += 1;
    }
    if blocks == 0 { Err(SpliceError::NoMarkers) } else { Ok(filled) }
}

fn block(report: &Report, what: &str, line: usize, folder: Option<&str>, command: &str) -> Result<String, SpliceError> {
    let machine: &MachineReport = &report.machines[0];
    let paragraphs = |sentences: &[String]| {
        sentences.iter().map(|sentence| format!("{}\n\n", markdown::escaped(sentence))).collect()
    };
    let (kind, argument) = what.split_once(' ').map_or((what, ""), |(kind, argument)| (kind, argument.trim()));
    let regex = |text: &str| Regex::new(text).map_err(|source| SpliceError::Regex { line, source });
    let unknown = || {
        let figures: Vec<&str> = machine.figures.iter().map(|figure| figure.name()).collect();
        SpliceError::Unknown { line, what: what.to_owned(), figures: figures.join(", ") }
    };
    Ok(match (kind, argument) {
        ("answer", "") => paragraphs(&answer::findings(machine.view().main())),
        ("finding", "") => paragraphs(&machine.sentences),
        ("winners", "") => markdown::winners(&machine.winners),
        ("costs", wanted) => {
            let wanted = regex(wanted)?;
            markdown::costs(&machine.costs, |map| wanted.is_match(map))
        }
        ("heat", wanted) => {
            let wanted = regex(wanted)?;
            markdown::heat(machine, |line| {
                let name = |memory: &str| format!("{} {memory} {} {}", line.label, line.order, line.map);
                // Schema 1 called added memory `hot`.
                let old = line.memory == Memory::Added && wanted.is_match(&name("hot"));
                old || wanted.is_match(&name(line.memory.name()))
            })
        }
        ("figure", name) => {
            // The name of the figure in schema 1.
            let name = if name == "lookups-hot" { "lookups-added" } else { name };
            let figure = machine.figures.iter().find(|figure| figure.name() == name).ok_or_else(unknown)?;
            let folder = folder.ok_or(SpliceError::NoPictures { line })?;
            markdown::figure(figure, 1, folder)
        }
        ("command", "") => format!("```sh\n{command}\n```\n"),
        _ => return Err(unknown()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    fn filled(document: &str) -> Result<String, SpliceError> {
        splice(&report(), document, Some("pictures"), "pfnbench report RUN")
    }

    #[test]
    fn text_around_the_markers_stays() {
        let document = "# A\n\n<!-- pfnbench winners -->\nold\n<!-- pfnbench end -->\ntail <!-- other -->\n\
                        <!-- pfnbench command -->\n<!-- pfnbench end -->\nend";
        let once = filled(document).unwrap();
        assert!(
            once.starts_with("# A\n\n<!-- pfnbench winners -->\n| operation |") && once.ends_with("\nend"),
            "{once}"
        );
        assert!(!once.contains("old") && once.contains("tail <!-- other -->") && once.contains("pfnbench report RUN"));
        assert_eq!(filled(&once).unwrap(), once, "filling it again changes nothing");
        let windows = filled(&document.replace('\n', "\r\n")).unwrap();
        assert_eq!(windows, once.replace('\n', "\r\n"), "line endings are those of the document");
    }

    #[test]
    fn markers_in_code_and_in_sentences_are_text() {
        let marked = "<!-- pfnbench winners -->\n<!-- pfnbench end -->\n";
        for text in [
            format!("```sh\n{marked}```\n"),
            format!("~~~\n```\n{marked}~~~\n"),
            "    <!-- pfnbench winners -->\n    <!-- pfnbench end -->\n".to_owned(),
            "between `<!-- pfnbench costs -->` and `<!-- pfnbench end -->`\n".to_owned(),
            "pfnbench report # <!-- pfnbench costs --> and <!-- pfnbench end -->\n".to_owned(),
        ] {
            assert!(matches!(filled(&text), Err(SpliceError::NoMarkers)), "{text}");
            let both = filled(&format!("{text}{marked}")).unwrap();
            assert!(both.starts_with(&text) && both.contains("| operation |"), "{both}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        let error = |document: &str| filled(document).unwrap_err().to_string();
        assert!(error("text").contains("no markers"));
        assert!(error("a\n<!-- pfnbench heat -->\n").contains("line 2"));
        assert!(error("<!-- pfnbench heat -->\n<!-- pfnbench winners -->\n<!-- pfnbench end -->").contains("line 1"));
        assert!(error("<!-- pfnbench end -->").contains("line 1"));
        let unknown = error("\n\n<!-- pfnbench figure nothing -->\n<!-- pfnbench end -->");
        assert!(unknown.contains("line 3") && unknown.contains("lookups-added"), "{unknown}");
        assert!(error("<!-- pfnbench heat ( -->\n<!-- pfnbench end -->").contains("line 1"));
        let no_pictures = splice(&report(), "<!-- pfnbench figure map -->\n<!-- pfnbench end -->", None, "");
        assert!(matches!(no_pictures, Err(SpliceError::NoPictures { line: 1 })));
    }

    #[test]
    fn lines_of_the_heat_table_are_selected_by_name() {
        let added = filled("<!-- pfnbench heat ^pfn_valid added -->\n<!-- pfnbench end -->").unwrap();
        assert_eq!(added.matches("pfn\\_valid").count(), 1, "{added}");
    }

    /// Documents written for reports of schema 1.
    #[test]
    fn markers_of_schema_1_still_work() {
        let lines = |what: &str| {
            let text = format!("<!-- pfnbench {what} -->\n<!-- pfnbench end -->\n");
            let filled = splice(&report(), &text, Some("f"), "").unwrap();
            filled.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines("heat ^pfn_valid hot"), lines("heat ^pfn_valid added"));
        assert!(lines("heat ^pfn_valid hot").len() > 2);
        assert_eq!(lines("figure lookups-hot"), lines("figure lookups-added"));
    }
}
