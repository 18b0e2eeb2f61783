//! Of any text, known messages are found at lines that exist, and their numbers say something.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pfnbench::message::read_lines;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let nr_lines = text.split('\n').count();
    let paste = read_lines(&text);
    for found in &paste.messages {
        assert!(found.line >= 1 && found.nr_lines >= 1 && found.line + found.nr_lines - 1 <= nr_lines);
        assert!(found.also_lines.iter().all(|line| *line >= found.line && *line <= nr_lines));
        for fact in found.recognised.facts() {
            assert!(!format!("{fact:?}").is_empty());
        }
        found.recognised.rule();
        found.recognised.place();
    }
    assert!(paste.unknown.len() <= paste.nr_unknown && paste.unknown.is_sorted_by_key(|line| line.line));
    assert!(paste.nr_unknown <= nr_lines);
});
