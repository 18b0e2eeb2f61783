//! What loggers, `grep -n` and `cat -n` write before each line of a JSON value of several lines.
//!
//! Alone, most lines of such a value look like nothing that is known, so that they are found together.

use super::{CleanLine, Decoration, Tally, log_prefix};
use crate::map::json_text::{begins_json, first_value};
use regex::Regex;
use std::sync::LazyLock;

/// A time stamp, a host and a program, as in `journalctl -u UNIT` and syslog.
static PROGRAM: LazyLock<Regex> = LazyLock::new(|| {
    let iso = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*";
    let syslog = r"(?:<\d{1,3}>)?\w{3}\s+\d{1,2}\s+\d\d:\d\d:\d\d(?:\.\d+)?";
    pattern(&format!(r"^\s*(?:{iso}|{syslog})\s+[\w.-]+\s+[\w./@-]+(?:\[\d+\])?:\s?"))
});

/// A name or a number in front of a sign: `file.json:12:`, `12:`, `  12\t`, `node1 | `.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:[\w./@-]*[a-zA-Z/][\w./@-]*:\d{1,6}[:-]|\s*\d{1,6}(?:[:|\t-]|\s{2})|[\w.-]+\s+\|\s?)")
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// The text without its prefix of this kind.
fn without<'a>(prefix: &Regex, text: &'a str) -> Option<&'a str> {
    prefix.find(text).map(|found| &text[found.end()..])
}

/// The number of lines of the JSON value that begins at the first line behind a prefix; `None` if none
/// does. A value that is cut off takes all lines with the prefix.
fn lines_of_value(lines: &[CleanLine], prefix: &Regex) -> Option<usize> {
    let first = without(prefix, &lines.first()?.text)?;
    if !begins_json(first) {
        return None;
    }
    let texts = lines.iter().map_while(|line| without(prefix, &line.text));
    let found = first_value(texts.clone())?;
    let is_cut_off = || found.lines > 1 && texts.count() == found.lines;
    (found.value.is_ok() || is_cut_off()).then_some(found.lines)
}

pub(super) fn undo(lines: &mut [CleanLine], tally: &mut Tally) {
    let mut at = 0;
    while at < lines.len() {
        // The first line of such a value ends with an opening bracket, or between two parts.
        let may_begin = lines[at].text.trim_end().ends_with(['{', '[', ',']) && !begins_json(&lines[at].text);
        let prefixes = [&*PROGRAM, &*log_prefix::PREFIX, &*NUMBER];
        let begun = prefixes
            .into_iter()
            .filter(|_| may_begin)
            .find_map(|prefix| Some((prefix, lines_of_value(&lines[at..], prefix)?)));
        let Some((prefix, nr_lines)) = begun else {
            at += 1;
            continue;
        };
        for line in &mut lines[at..at + nr_lines] {
            tally.add(Decoration::LinePrefixes, line.number);
            if let Some(text) = without(prefix, &line.text) {
                line.text = text.to_owned();
            }
        }
        at += nr_lines;
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding;
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let mut lines = encoding::lines(text, &mut Tally::default());
        undo(&mut lines, &mut Tally::default());
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_value_behind_prefixes_is_found() {
        let value = ["[", "  {", "    \"dev\":\"region0\",", "    \"size\":268435456", "  }", "]"];
        for prefix in [
            "2026-01-02T03:04:05.123456789Z stdout F ",
            "Jan  2 03:04:05 host ndctl[123]: ",
            "2026-01-02T03:04:05+0100 host collect.sh[7]: ",
            "node1  | ",
            "ndctl.json:12:",
        ] {
            let compact = format!("{prefix}{{\"dev\":\"region0\",\n{prefix}\"size\":268435456}}");
            assert_eq!(texts(&compact), ["{\"dev\":\"region0\",", "\"size\":268435456}"], "{prefix:?}");
            let text: Vec<String> = value.iter().map(|line| format!("{prefix}{line}")).collect();
            let stripped = texts(&format!("{}\nafter", text.join("\n")));
            let joined: String = stripped[..6].iter().map(|line| line.trim()).collect();
            assert_eq!(joined, r#"[{"dev":"region0","size":268435456}]"#, "{prefix}");
            assert_eq!(stripped[6], "after");
            // Cut off: the prefix goes, and the reader of JSON says what is missing.
            assert!(texts(&text[..4].join("\n")).iter().all(|line| !line.contains(prefix)), "{prefix}");
        }
        let numbered: Vec<String> = value.iter().enumerate().map(|(nr, line)| format!("{nr:6}\t{line}")).collect();
        assert_eq!(texts(&numbered.join("\n")), value);
    }

    #[test]
    fn other_lines_pass() {
        for text in ["[    0.000000] a {", "x: [", "1000-1fff : System RAM", "{\n1: {\n}"] {
            assert_eq!(texts(text), text.lines().collect::<Vec<_>>());
        }
    }
}
