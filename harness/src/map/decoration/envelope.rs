//! JSON around the lines of a log: `dmesg --json`, `journalctl -o json`, and logs of containers.

use super::characters;
use super::{CleanLine, Decoration, Tally};
use crate::map::json_text::{begins_json, first_value};
use serde_json::Value;

/// Replaces envelopes by the lines inside; other lines pass.
pub(super) fn undo(lines: Vec<CleanLine>, tally: &mut Tally) -> Vec<CleanLine> {
    let mut clean = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        match opened(&lines[at..]) {
            Some((messages, taken)) => {
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

/// The messages of the envelope that begins at the first line, each with its line number, and the
/// number of lines that it takes; `None` if no envelope begins there.
fn opened(lines: &[CleanLine]) -> Option<(Vec<(usize, String)>, usize)> {
    let first = &lines.first()?.text;
    let first = first.trim_start_matches(['\u{1e}', ' ', '\t']);
    let first = first.strip_prefix("data: ").unwrap_or(first);
    if !begins_json(first) {
        return None;
    }
    // Most envelopes are one line; the text of the others is parsed once.
    if first.starts_with('{') && first.trim_end().ends_with(['}', ',']) {
        let value: Value = serde_json::from_str(first.trim_end().trim_end_matches(',')).ok()?;
        return Some((vec![(lines[0].number, message(&value)?)], 1));
    }
    let marks = ["\"dmesg\"", "\"MESSAGE\"", "\"log\""];
    let head = lines.iter().take(40);
    let is_list = lines.get(1).is_some_and(|line| line.text.trim_start().starts_with('"')) && first.trim() == "[";
    if !is_list && !head.clone().any(|line| marks.iter().any(|mark| line.text.contains(mark))) {
        return None;
    }
    let found = first_value(lines.iter().map(|line| line.text.as_str()))?;
    let (value, taken) = (found.value.ok()?, found.lines);
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
    Some((messages, taken))
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
        undo(encoding::lines(text), &mut Tally::default()).into_iter().map(|line| (line.number, line.text)).collect()
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
        let docker = "{\"log\":\"[    0.000000] x\\r\\n\",\"stream\":\"stdout\",\"time\":\"2024\"}\n";
        assert_eq!(texts(docker), [(1, "[    0.000000] x".to_owned())]);
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
