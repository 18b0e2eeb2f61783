//! The lines of a map file, and its parts.

/// A line that may contain a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// Splits text into parts, without comments and blank lines.
pub(super) fn parts(text: &str) -> Vec<Vec<Line<'_>>> {
    let mut parts = vec![Vec::new()];
    for (index, text) in text.lines().enumerate() {
        let content = text.trim();
        if content.starts_with("---") {
            parts.push(Vec::new());
        } else if !content.is_empty() && !content.starts_with('#') {
            parts.last_mut().expect("there is always a part").push(Line { number: index + 1, text });
        }
    }
    parts
}
