//! Undoing the decorations of any text ends, and a text in which nothing was undone passes unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pfnbench::map::decoration::plain_lines;
use pfnbench::map::read_machine;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let lines = plain_lines(&text);
    let nr_lines = text.split('\n').count();
    assert!(lines.is_sorted_by_key(|(number, _)| *number));
    assert!(lines.iter().all(|(number, _)| (1..=nr_lines).contains(number)));
    if let Ok(reading) = read_machine("fuzz", "a fuzz target", &text)
        && reading.undone.is_empty()
    {
        let given = text.split('\n').enumerate().flat_map(|(index, line)| {
            let parts = line.split('\r').filter(|part| !part.trim().is_empty());
            parts.map(move |part| (index + 1, part.to_owned()))
        });
        assert_eq!(lines, given.collect::<Vec<_>>());
    }
});
