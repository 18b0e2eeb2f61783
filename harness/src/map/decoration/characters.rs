//! Characters that terminals, web pages and editors put into a line.

use super::{Decoration, Tally};
use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::LazyLock;

/// Control sequences: with ESC, with ESC written as `^[` or `#033`, or with ESC lost (colours only).
static SEQUENCE: LazyLock<Regex> = LazyLock::new(|| {
    // Written out, an escape may also stand inside of quotation marks, which it does not end.
    let written = r"(?:\^\[|#033)";
    Regex::new(&format!(
        r"\x1b\[[0-9;?<=>]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|(?:\x1b|{written})[()][0-9A-B]|{written}\[[0-9;?]*[A-Za-z]|{written}\][^\x07\x1b^\x22]*(?:\x07|\^G|{written}\\)|\x1b[=>78cDEHM]|\[(?:[0-9]{{1,2}};)*[0-9]{{1,2}}m"
    ))
    .expect("a valid pattern")
});

static ENTITY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"&(?:#(?<decimal>[0-9]{1,7})|#[xX](?<hex>[0-9a-fA-F]{1,6})|(?<name>[a-zA-Z]{2,8}));")
        .expect("a valid pattern")
});

/// Tags of HTML and of bulletin boards. Others pass: angle brackets are frequent in logs.
static TAG: LazyLock<Regex> = LazyLock::new(|| {
    let names =
        "p|br|pre|code|tt|span|div|font|b|i|em|strong|td|tr|th|table|tbody|details|summary|blockquote|html|body";
    let boards = "code|quote|color|font|size|b|i|spoiler";
    Regex::new(&format!(r#"(?i)</?(?:{names})(?:\s[^<>]*)?/?>|\[/?(?:{boards})(?:=[^\[\]]*)?\]"#))
        .expect("a valid pattern")
});

/// A dash between the ends of a range.
static DASH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("(?P<before>[0-9a-fA-F]{4} ?)[\u{2010}-\u{2015}\u{2212}\u{ad}](?P<after> ?[0-9a-fA-Fx])")
        .expect("a valid pattern")
});

/// Brackets and signs that a converter to Markdown escaped.
static ESCAPED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\\([\[\]_*~#<>-])").expect("a valid pattern"));

/// The line without such characters.
pub(super) fn undo(text: String, line: usize, tally: &mut Tally) -> String {
    // Nearly all lines are plain ASCII without any of these.
    let is_plain = |byte: u8| {
        byte == b'\t' || (0x20..0x7f).contains(&byte) && !matches!(byte, b'&' | b'<' | b'[' | b'^' | b'#' | b'\\')
    };
    if text.bytes().all(is_plain) {
        return text;
    }
    let text = replaced(text, line, tally, Decoration::Html, |text| match TAG.replace_all(text, "") {
        Cow::Borrowed(_) => ENTITY.replace_all(text, character),
        Cow::Owned(text) => Cow::Owned(ENTITY.replace_all(&text, character).into_owned()),
    });
    let text = replaced(text, line, tally, Decoration::Colours, |text| SEQUENCE.replace_all(text, ""));
    let text = replaced(text, line, tally, Decoration::Characters, typography);
    // JSON has escapes of its own, and a backslash that is one.
    match text.contains("\\[") && !text.contains("\\\\") {
        true => replaced(text, line, tally, Decoration::Characters, |text| ESCAPED.replace_all(text, "$1")),
        false => text,
    }
}

fn replaced(
    text: String,
    line: usize,
    tally: &mut Tally,
    decoration: Decoration,
    undo: impl Fn(&str) -> Cow<'_, str>,
) -> String {
    match undo(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(undone) => {
            tally.add(decoration, line);
            undone
        }
    }
}

/// The character of an entity; an unknown one stays.
fn character(fields: &Captures<'_>) -> String {
    let code = |name: &str, radix| {
        fields.name(name).and_then(|code| char::from_u32(u32::from_str_radix(code.as_str(), radix).ok()?))
    };
    let named = fields.name("name").and_then(|name| {
        Some(match name.as_str() {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "nbsp" => ' ',
            "ndash" => '\u{2013}',
            "mdash" => '\u{2014}',
            "minus" => '\u{2212}',
            "colon" => ':',
            "lbrack" => '[',
            "rbrack" => ']',
            _ => return None,
        })
    });
    let known = code("decimal", 10).or_else(|| code("hex", 16)).or(named);
    known.map_or_else(|| fields[0].to_owned(), String::from)
}

/// Replaces characters that editors and chats put in the place of plain ones.
fn typography(text: &str) -> Cow<'_, str> {
    let is_control = |char: char| char.is_control() && char != '\t';
    let is_typographic = |char: char| {
        matches!(char, '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{200f}' | '\u{2010}'..='\u{201f}' | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{2064}' | '\u{2212}' | '\u{3000}' | '\u{feff}' | '\u{ff1a}')
    };
    let has_tab = text.contains("#011");
    if !has_tab && !text.chars().any(|char| is_control(char) || is_typographic(char)) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("#011", "\t");
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // A backspace takes a character back.
            '\u{8}' => drop(plain.pop()),
            char if is_control(char) => {}
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => plain.push(' '),
            '\u{201c}'..='\u{201f}' => plain.push('"'),
            '\u{2018}'..='\u{201b}' => plain.push('\''),
            '\u{ff1a}' => plain.push(':'),
            char => plain.push(char),
        }
    }
    Cow::Owned(DASH.replace_all(&plain, "${before}-${after}").into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        undo(text.to_owned(), 1, &mut Tally::default())
    }

    #[test]
    fn colours_are_removed_in_every_spelling() {
        for text in [
            "\u{1b}[32m[    0.000000] \u{1b}[0m\u{1b}[33mBIOS-e820: \u{1b}[0m[mem 0x1000-0x1fff] usable",
            "^[[32m[    0.000000] ^[[0m^[[33mBIOS-e820: ^[[0m[mem 0x1000-0x1fff] usable",
            "[32m[    0.000000] [0m[33mBIOS-e820: [0m[mem 0x1000-0x1fff] usable",
            "#033[32m[    0.000000] #033[0m#033[33mBIOS-e820: #033[0m[mem 0x1000-0x1fff] usable",
            "\u{1b}]0;root@host: ~\u{7}[    0.000000] BIOS-e820: [mem 0x1000-0x1fff] usable\u{1b}[K",
        ] {
            assert_eq!(plain(text), "[    0.000000] BIOS-e820: [mem 0x1000-0x1fff] usable", "{text:?}");
        }
    }

    #[test]
    fn html_is_undone() {
        assert_eq!(plain("&gt; 1000-1fff&#58;&nbsp;System RAM<br>"), "> 1000-1fff: System RAM");
        assert_eq!(plain("<tt>1000-1fff</tt>&#x3a;&unknown;"), "1000-1fff:&unknown;");
        assert_eq!(plain("[COLOR=#000000][    0.000000] efi: mem00[/COLOR]"), "[    0.000000] efi: mem00");
        assert_eq!(plain("&#99999999; &#x110000; a <snip> b < c > d"), "&#99999999; &#x110000; a <snip> b < c > d");
    }

    #[test]
    fn typography_becomes_plain() {
        assert_eq!(plain("0x1000\u{2013}0x1fff\u{a0}:\u{200b} System\u{202f}RAM\0"), "0x1000-0x1fff : System RAM");
        assert_eq!(plain(r"\[    0.0\] x: \[mem 0x1\-0x2\] usable"), "[    0.0] x: [mem 0x1-0x2] usable");
        assert_eq!(plain("a \u{2013} b"), "a \u{2013} b", "a dash of a sentence");
        assert_eq!(plain("1000-2\u{8}1fff#011x"), "1000-1fff\tx");
        assert_eq!(plain("00\u{fffd}00"), "00\u{fffd}00", "damage stays visible");
    }
}
