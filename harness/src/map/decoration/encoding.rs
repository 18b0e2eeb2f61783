//! Encodings of texts, and ends of lines.

use super::{CleanLine, Decoration, Tally};
use std::borrow::Cow;

/// Decodes a text: UTF-16 with a byte order mark, else UTF-8. Invalid parts become U+FFFD, which is
/// an error with a line number inside a range, like any other wrong character.
pub(crate) fn decode<'a>(bytes: &'a [u8], tally: &mut Tally) -> Cow<'a, str> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair)).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => {
            tally.add(Decoration::Utf16, 1);
            utf16(rest, u16::from_le_bytes)
        }
        [0xfe, 0xff, rest @ ..] => {
            tally.add(Decoration::Utf16, 1);
            utf16(rest, u16::from_be_bytes)
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        bytes => String::from_utf8_lossy(bytes),
    }
}

/// Splits a text into lines that end with LF, CR LF, or CR.
pub(super) fn lines(text: &str, tally: &mut Tally) -> Vec<CleanLine> {
    let mut lines = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_end_matches('\r');
        // A text that a program quoted has its line breaks as `\n`; in JSON they belong to strings.
        let is_pair = || line.find("\\n").is_some_and(|at| line[..at].contains("\":"));
        let is_quoted = line.contains("\\n") && !line.trim_start().starts_with(['{', '[']) && !is_pair();
        if is_quoted {
            tally.add(Decoration::LineWraps, index + 1);
        }
        let parts = line.split('\r').flat_map(|part| match is_quoted {
            false => vec![part],
            true => part.split("\\n").collect(),
        });
        for part in parts.filter(|part| !part.trim().is_empty()) {
            lines.push(CleanLine::new(index + 1, part));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_windows_are_decoded() {
        let mut tally = Tally::default();
        let text = "1000-1fff : System RAM\n";
        let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
        assert_eq!((decode(&little, &mut tally), decode(&big, &mut tally)), (text.into(), text.into()));
        assert_eq!(decode(b"\xef\xbb\xbfx", &mut tally), "x");
        assert_eq!(decode(b"a\xffb", &mut tally), "a\u{fffd}b");
        assert_eq!(decode(&[0xff, 0xfe, 0x41], &mut tally), "", "half a character");
        assert_eq!(tally.finish()[0].decoration, Decoration::Utf16);
    }

    #[test]
    fn every_end_of_a_line_is_one() {
        let texts = |text| {
            lines(text, &mut Tally::default()).into_iter().map(|line| (line.number, line.text)).collect::<Vec<_>>()
        };
        let expected = [(1, "a".to_owned()), (2, "b".to_owned())];
        assert_eq!(texts("a\nb\n"), expected);
        assert_eq!(texts("a\r\r\nb\r\n"), expected);
        assert_eq!(texts(r"a\nb"), [(1, "a".to_owned()), (1, "b".to_owned())]);
        assert_eq!(texts(r#"{"a":"b\nc"}"#).len(), 1);
        assert_eq!(texts(r#"  "a": "b\nc","#).len(), 1);
        assert_eq!(texts("a\rb"), [(1, "a".to_owned()), (1, "b".to_owned())]);
        let mut tally = Tally::default();
        lines("a\nb\\nc\n", &mut tally);
        assert_eq!(tally.finish()[0].decoration, Decoration::LineWraps);
    }
}
