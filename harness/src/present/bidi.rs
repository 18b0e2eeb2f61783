//! Characters that reverse the text around them. Names of layouts and maps come from files, and must not change how a
//! sentence reads.

use std::borrow::Cow;

/// True for a character that controls the direction of the text that follows (Unicode annex 9).
fn controls_direction(letter: char) -> bool {
    matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with a replacement character for each character that controls direction. Letters of scripts that are
/// written from right to left stay.
pub fn without_controls(text: &str) -> Cow<'_, str> {
    match text.contains(controls_direction) {
        true => Cow::Owned(text.replace(controls_direction, "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stay_and_controls_go() {
        assert_eq!(without_controls("שלום \u{202e}abc\u{2069}"), "שלום \u{fffd}abc\u{fffd}");
        assert!(matches!(without_controls("plain"), Cow::Borrowed(_)));
    }
}
