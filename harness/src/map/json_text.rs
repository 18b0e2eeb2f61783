//! JSON values in the lines of a text. A value may span lines, and others may follow it.

use serde_json::{Deserializer, Value};
use std::io::Read;

/// True if a value begins here. A time stamp of a log also begins with `[`; the next character tells
/// them apart.
pub(super) fn begins_json(text: &str) -> bool {
    let begin = text.trim_start();
    let after = begin.strip_prefix('[').map(str::trim_start);
    begin.starts_with('{') || after.is_some_and(|after| after.is_empty() || after.starts_with(['{', ']']))
}

/// A value of a text.
pub(super) struct Found {
    /// The value, or why it is none: the index of the wrong line, and the message.
    pub(super) value: Result<Value, (usize, String)>,
    /// Number of lines that it takes.
    pub(super) lines: usize,
    /// What follows it on its last line.
    pub(super) rest: String,
}

/// The value that begins at the first line. Later lines are read only as far as needed. A line break
/// inside a string counts as a space, where a mail client wraps, or as nothing, where a terminal breaks
/// every line at its width.
pub(super) fn first_value<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Option<Found> {
    let mut widths = lines.clone().map(str::len);
    let (first, second, third) = (widths.next()?, widths.next(), widths.next());
    let is_hard =
        first >= LEAST_WIDTH && second.is_some_and(|second| second == first || third.is_none() && second < first);
    let (likely, other) = if is_hard { ("", " ") } else { (" ", "") };
    let found = joined(lines.clone(), likely)?;
    if is_intact(&found) {
        return Some(found);
    }
    let second = joined(lines, other).filter(is_intact);
    Some(second.unwrap_or(found))
}

/// The least width at which a terminal breaks lines.
const LEAST_WIDTH: usize = 40;

/// Whether a value was parsed, and none of its keys was broken.
fn is_intact(found: &Found) -> bool {
    fn has_whole_keys(value: &Value) -> bool {
        match value {
            Value::Object(object) => object.iter().all(|(key, value)| {
                // `anon memdevs` is a key of cxl.
                (!key.contains(' ') || key.starts_with("anon ")) && has_whole_keys(value)
            }),
            Value::Array(values) => values.iter().all(has_whole_keys),
            _ => true,
        }
    }
    found.value.as_ref().is_ok_and(has_whole_keys)
}

/// The value that begins at the first line, with `between` for each line break.
fn joined<'a>(lines: impl Iterator<Item = &'a str> + Clone, between: &'static str) -> Option<Found> {
    let mut text = LineReader { lines: lines.clone(), left: &[], begun: false, between };
    let mut values = Deserializer::from_reader(&mut text).into_iter::<Value>();
    let value = values.next()?;
    let end = match &value {
        Ok(_) => values.byte_offset(),
        // With one line of text, the column is the place.
        Err(error) => error.column().saturating_sub(1),
    };
    let (mut before, mut count, mut rest) = (0, 0, String::new());
    for line in lines {
        count += 1;
        if before + line.len() >= end {
            rest = line.get(end - before..).unwrap_or("").to_owned();
            break;
        }
        before += line.len() + between.len();
    }
    let value = value.map_err(|error| (count - 1, message(&error)));
    Some(Found { value, lines: count, rest })
}

/// The message without its place, which refers to the joined text.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// Reads lines, with a space for each line break.
struct LineReader<'a, I> {
    lines: I,
    left: &'a [u8],
    begun: bool,
    between: &'static str,
}

impl<'a, I: Iterator<Item = &'a str>> Read for LineReader<'a, I> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.left.is_empty() {
            let Some(line) = self.lines.next() else { return Ok(0) };
            self.left = line.as_bytes();
            if self.begun
                && let (Some(first), [between]) = (into.first_mut(), self.between.as_bytes())
            {
                *first = *between;
                return Ok(1);
            }
            self.begun = true;
        }
        let len = self.left.len().min(into.len());
        into[..len].copy_from_slice(&self.left[..len]);
        self.left = &self.left[len..];
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_end_where_they_end() {
        let found = first_value(["{\"a\":\"b", "c\",", "\"d\":1} rest", "{}"].into_iter()).unwrap();
        assert_eq!((found.value, found.lines, found.rest.as_str()), (Ok(json!({"a": "b c", "d": 1})), 3, " rest"));
        let found = first_value(["{\"a\":", "1,", "}", "x"].into_iter()).unwrap();
        assert_eq!(found.value.unwrap_err().0, 2);
        let (line, message) = first_value(["{\"a\":", "1,"].into_iter()).unwrap().value.unwrap_err();
        assert!(line == 1 && message.starts_with("EOF while parsing"), "{line}: {message}");
        assert!(first_value(std::iter::empty()).is_none());
    }

    #[test]
    fn a_terminal_breaks_inside_of_words() {
        let text = "[{\"dev\":\"region0\",\"size\":17179869184,\"resource\":51539607552,\"type\":\"pmem\",\"available_size\":0}]";
        let expected: Value = serde_json::from_str(text).unwrap();
        for width in 40..text.len() {
            let lines: Vec<&str> =
                text.as_bytes().chunks(width).map(|part| std::str::from_utf8(part).unwrap()).collect();
            assert_eq!(first_value(lines.iter().copied()).unwrap().value, Ok(expected.clone()), "{width}");
        }
    }

    #[test]
    fn time_stamps_are_no_json() {
        for (text, is_json) in
            [("{", true), ("[{", true), ("[", true), ("[]", true), ("[    0.000000] x", false), ("[mem 0x1", false)]
        {
            assert_eq!(begins_json(text), is_json, "{text}");
        }
    }
}
