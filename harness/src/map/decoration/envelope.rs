//! JSON around the lines of a log (`dmesg --json`, `journalctl -o json`, logs of containers), and
//! around a text, as trackers of bugs and runners of commands write it.

use super::characters;
use super::{CleanLine, Decoration, Tally};
use crate::map::json_text::{begins_json, first_value};
use serde_json::Value;

/// Keys of a text of several lines.
const TEXTS: [&str; 8] = ["body", "text", "content", "description", "stdout", "output", "message", "log"];

/// Replaces envelopes by the lines inside; other lines pass. `cuts` gets the lines where a text says that
/// something was left out.
pub(super) fn undo(lines: Vec<CleanLine>, tally: &mut Tally, cuts: &mut Vec<usize>) -> Vec<CleanLine> {
    let mut clean = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        match opened(&lines[at..]) {
            Some((Inside::Texts(texts), taken)) => {
                let number = lines[at].number;
                tally.add(Decoration::Envelopes, number);
                for text in texts {
                    // A text is a paste of its own.
                    let inside = super::undo(&text, Tally::default());
                    inside.undone.iter().for_each(|undone| tally.add(undone.decoration, number));
                    cuts.extend(inside.cuts.iter().map(|_| number));
                    clean.extend(inside.lines.into_iter().map(|line| CleanLine { number, ..line }));
                }
                at += taken;
            }
            Some((Inside::Messages(messages), taken)) => {
                tally.add(Decoration::Envelopes, lines[at].number);
                for (line, message) in messages {
                    // With a file, `dmesg` puts the rest of the log into each message.
                    let first = message.lines().next().unwrap_or("");
                    let text = characters::undo(first.to_owned(), line, tally);
                    clean.push(CleanLine { number: line, text, is_logged: true });
                }
                at += taken;
            }
            None => {
                clean.push(lines[at].clone());
                at += 1;
            }
        }
    }
    clean
}

/// What an envelope holds.
enum Inside {
    /// Messages of a log, each with its line number.
    Messages(Vec<(usize, String)>),
    /// Texts of several lines.
    Texts(Vec<String>),
}

/// What is in the envelope that begins at the first line, and the number of lines that it takes; `None`
/// if no envelope begins there.
fn opened(lines: &[CleanLine]) -> Option<(Inside, usize)> {
    let first = &lines.first()?.text;
    let first = first.trim_start_matches(['\u{1e}', ' ', '\t']);
    let first = first.strip_prefix("data: ").unwrap_or(first);
    if !begins_json(first) {
        return None;
    }
    // Most envelopes are one line; the text of the others is parsed once.
    if first.starts_with('{') && first.trim_end().ends_with(['}', ',']) {
        let value: Value = serde_json::from_str(first.trim_end().trim_end_matches(',')).ok()?;
        let inside = texts(&value).map(Inside::Texts);
        return Some((inside.or_else(|| Some(Inside::Messages(vec![(lines[0].number, message(&value)?)])))?, 1));
    }
    let marks = ["\"dmesg\"", "\"MESSAGE\"", "\"log\""];
    let is_list = lines.get(1).is_some_and(|line| line.text.trim_start().starts_with('"')) && first.trim() == "[";
    let is_text = |line: &CleanLine| line.text.contains("\\n") && line.text.contains("\":");
    let is_envelope = |line: &CleanLine| is_text(line) || marks.iter().any(|mark| line.text.contains(mark));
    if !is_list && !lines.iter().take(40).any(is_envelope) && !is_text(&lines[0]) && !first.contains("\\n") {
        return None;
    }
    let found = first_value(lines.iter().map(|line| line.text.as_str()))?;
    let (value, taken) = (found.value.ok()?, found.lines);
    if let Some(texts) = texts(&value) {
        return Some((Inside::Texts(texts), taken));
    }
    let entries = match &value {
        Value::Object(object) if object.contains_key("dmesg") => object["dmesg"].as_array()?.clone(),
        Value::Array(entries) => entries.clone(),
        value => vec![value.clone()],
    };
    // An entry stands where its message does: the keys of messages, in order.
    let keys = ["\"msg\"", "\"MESSAGE\"", "\"log\""];
    let has_key = |line: &&CleanLine| match is_list {
        true => line.text.contains('"'),
        false => keys.iter().any(|key| line.text.contains(key)),
    };
    let mut places = lines[..taken].iter().filter(has_key).map(|line| line.number);
    let mut messages = Vec::new();
    let mut last = lines[0].number;
    for entry in &entries {
        last = places.next().unwrap_or(last);
        messages.push((last, message(entry)?));
    }
    Some((Inside::Messages(messages), taken))
}

/// The texts of several lines in a value, in order; `None` if there is none, or if it is the list of a
/// log, whose messages are its lines.
fn texts(value: &Value) -> Option<Vec<String>> {
    fn collect(value: &Value, texts: &mut Vec<String>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
            Value::Object(object) => {
                for (key, value) in object {
                    match value {
                        Value::String(text) if TEXTS.contains(&key.as_str()) && text.trim().contains('\n') => {
                            texts.push(text.clone());
                        }
                        Value::Array(_) | Value::Object(_) => collect(value, texts),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let mut texts = Vec::new();
    collect(value, &mut texts);
    (!texts.is_empty()).then_some(texts)
}

/// The message of an entry; `None` if it is not the entry of a log.
fn message(entry: &Value) -> Option<String> {
    if let Value::String(line) = entry {
        return Some(line.clone());
    }
    let entry = entry.as_object()?;
    let text = match entry.get("msg").filter(|_| entry.contains_key("pri")).or_else(|| entry.get("MESSAGE")) {
        Some(text) => text,
        None => entry.get("log").filter(|_| entry.contains_key("stream"))?,
    };
    match text {
        Value::String(text) => Some(text.clone()),
        // journald writes a message with control characters as bytes, and one that is too long as null.
        Value::Array(bytes) => {
            let bytes: Option<Vec<u8>> = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
            Some(String::from_utf8_lossy(&bytes?).into_owned())
        }
        Value::Null => Some(String::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding;
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        let lines = undo(encoding::lines(text, &mut Tally::default()), &mut Tally::default(), &mut Vec::new());
        lines.into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn messages_are_taken_out_with_their_lines() {
        let dmesg = "{\n \"dmesg\": [\n  {\"pri\":6,\"time\":0.0,\"msg\":\"first\"},\n  {\"pri\":6,\"time\":0.0,\"msg\":\"second\\n<6>[ 0.0] rest\"}\n ]\n}\nafter\n";
        assert_eq!(texts(dmesg), [(3, "first".to_owned()), (4, "second".to_owned()), (7, "after".to_owned())]);
        let journal =
            "{\"MESSAGE\":\"one\",\"PRIORITY\":\"6\"}\n{\"MESSAGE\":[27,91,51,50,109,116,119,111],\"X\":null}\n";
        assert_eq!(texts(journal), [(1, "one".to_owned()), (2, "two".to_owned())]);
        let pretty = "{\n\t\"PRIORITY\" : \"6\",\n\t\"MESSAGE\" : \"one\"\n}\n{\n\t\"MESSAGE\" : \"two\"\n}\n";
        assert_eq!(texts(pretty), [(3, "one".to_owned()), (6, "two".to_owned())]);
        let list = "[\n  \"one\",\n  \"two\"\n]\n";
        assert_eq!(texts(list), [(2, "one".to_owned()), (3, "two".to_owned())]);
        // Old kernels put a blank in front of the entries of e820.
        let old = "{\n \"dmesg\": [\n  {\n   \"pri\":6,\n   \"msg\": \" BIOS-e820: 0000000000100000 - 000000009f800000 (usable)\"\n  }\n ]\n}\n";
        assert_eq!(
            super::super::plain_lines(old),
            [(5, " BIOS-e820: 0000000000100000 - 000000009f800000 (usable)".to_owned())]
        );
        let docker = "{\"log\":\"[    0.000000] x\\r\\n\",\"stream\":\"stdout\",\"time\":\"2024\"}\n";
        assert_eq!(texts(docker), [(1, "[    0.000000] x".to_owned())]);
    }

    #[test]
    fn a_text_in_json_is_a_paste_of_its_own() {
        let ram = "1000-1fff : System RAM";
        let one = r#"{"id":1,"title":"x","body":"Hello\n> 1000-1fff : System RAM\n"}"#;
        assert_eq!(texts(one), [(1, "Hello".to_owned()), (1, ram.to_owned())]);
        let several = "[\n {\n  \"id\": 1,\n  \"body\": \"```\\n1000-1fff : System RAM\\n```\"\n }\n]\nafter\n";
        assert_eq!(texts(several), [(1, ram.to_owned()), (7, "after".to_owned())]);
        let result = r#"{"results":[{"cmd":"cat","stdout":"1000-1fff : System RAM\r\n2000-2fff : reserved"}]}"#;
        assert_eq!(texts(result), [(1, ram.to_owned()), (1, "2000-2fff : reserved".to_owned())]);
    }

    #[test]
    fn other_json_passes() {
        for text in
            ["{\n\"dev\":\"region0\",\n\"size\":5\n}", "{\"msg\":\"x\"}", "[1, 2]", "{\"dmesg\":", "{\"MESSAGE\":5}"]
        {
            assert_eq!(texts(text).len(), text.lines().count(), "{text}");
        }
    }
}
