//! Quoted-printable, the encoding of mails: `=3D` for `=`, and `=` at the end of a line that goes on.
//!
//! Source: RFC 2045, section 6.7.

use super::{CleanLine, Decoration, Tally};
use regex::Regex;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The longest line of an encoded text.
const LONGEST: usize = 76;
/// Encoders break lines that are about this long, or longer.
const FULL: usize = 60;

/// Escapes that other texts hardly have: of `=`, and of characters beyond ASCII.
static ESCAPE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"=(?:3D|0A|1B|C2=|E2=|C3=|20[^=]{0,60}=20)").expect("a valid pattern"));

/// A space at the end of a line, which one line may have by chance.
const END_SPACE: &str = "=20";

fn is_soft_break(text: &str) -> bool {
    text.ends_with('=') && !text.ends_with("==") && text.len() <= LONGEST
}

/// Decodes lines that are encoded.
pub(super) fn undo(lines: Vec<CleanLine>, tally: &mut Tally) -> Vec<CleanLine> {
    let is_encoded = lines.iter().any(|line| ESCAPE.is_match(&line.text))
        || lines.iter().any(|line| is_soft_break(&line.text) && line.text.len() >= FULL)
        || lines.iter().filter(|line| line.text.ends_with(END_SPACE)).count() > 1;
    if !is_encoded {
        return lines;
    }
    let mut decoded: Vec<CleanLine> = Vec::with_capacity(lines.len());
    let mut goes_on = false;
    let mut changed = BTreeSet::new();
    for line in lines {
        let is_soft = is_soft_break(&line.text);
        let text = if is_soft { &line.text[..line.text.len() - 1] } else { &line.text };
        if is_soft {
            changed.insert(line.number);
        }
        match decoded.last_mut() {
            Some(last) if goes_on => last.text.push_str(text),
            _ => decoded.push(CleanLine::new(line.number, text)),
        }
        goes_on = is_soft;
    }
    for line in decoded.iter_mut().filter(|line| line.text.contains('=')) {
        let text = unescaped(&line.text);
        if text != line.text {
            changed.insert(line.number);
        }
        line.text = text;
    }
    changed.into_iter().for_each(|line| tally.add(Decoration::QuotedPrintable, line));
    decoded
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'=', [high, low, ..]) if is_upper_hex(*high) && is_upper_hex(*low) => {
                std::str::from_utf8(&after[..2]).ok().and_then(|code| u8::from_str_radix(code, 16).ok())
            }
            _ => None,
        };
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_upper_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::super::encoding;
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        undo(encoding::lines(text, &mut Tally::default()), &mut Tally::default())
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn escapes_and_soft_breaks_are_undone() {
        assert_eq!(texts("a=3Db=20\nc=C2=A0d"), ["a=b ", "c\u{a0}d"]);
        let long = format!("{}=\nff] usable", "x".repeat(70));
        assert_eq!(texts(&long), [format!("{}ff] usable", "x".repeat(70))]);
        assert_eq!(texts("x=3D\n1=\n80000000-1ffffffff : System RAM=20")[1], "180000000-1ffffffff : System RAM ");
        assert_eq!(texts("x=3D="), ["x="], "the end of the text");
    }

    #[test]
    fn lines_that_were_changed_are_counted_once() {
        let mut tally = Tally::default();
        undo(encoding::lines("a=20\nb\nc=20\nd=20e=3D=\nf\n", &mut Tally::default()), &mut tally);
        let undone = &tally.finish()[0];
        assert_eq!((undone.decoration, undone.lines, undone.first), (Decoration::QuotedPrintable, 3, 1));
    }

    #[test]
    fn other_texts_pass() {
        for text in ["memmap=4G!4G crashkernel=256M", "a=\nb", "token==", "level=7 x=20"] {
            assert_eq!(texts(text).join("\n"), text);
        }
    }
}
