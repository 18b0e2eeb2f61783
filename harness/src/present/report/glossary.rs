//! The glossary of the page, from the table in `GLOSSARY.md`.
//!
//! A Markdown report has no glossary of its own: it is read in a repository, where `GLOSSARY.md` is
//! at hand, and it would be out of date after each edit of that file.

/// The repository's glossary. The file in this folder is a link to it, so that the crate can be packaged on its own.
const GLOSSARY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/GLOSSARY.md"));

/// A run of text with one kind of markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Plain text.
    Text(String),
    /// Text between backticks.
    Code(String),
    /// Text between asterisks.
    Emphasis(String),
}

/// An entry of the glossary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The term, with its synonyms.
    pub name: Vec<Span>,
    /// What it is.
    pub definition: Vec<Span>,
}

/// The entries of the glossary, in the order of its table.
pub fn terms() -> Vec<Term> {
    terms_in(GLOSSARY)
}

/// The rows of the table whose first columns are `term` and `what it is`.
fn terms_in(markdown: &str) -> Vec<Term> {
    let mut rows = markdown.lines().skip_while(|line| !matches!(&cells(line)[..], [term, ..] if term == "term"));
    // The heading and the rule below it.
    rows.by_ref().take(2).for_each(drop);
    let rows = rows.map(cells).take_while(|cells| cells.len() > 1);
    rows.map(|cells| Term { name: spans(&cells[0]), definition: spans(&cells[1]) }).collect()
}

/// The cells of a row of a Markdown table; empty if the line is not a row.
fn cells(line: &str) -> Vec<String> {
    let Some(row) = line.trim().strip_prefix('|') else { return Vec::new() };
    let (mut cells, mut cell, mut letters) = (Vec::new(), String::new(), row.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '|' => cells.push(std::mem::take(&mut cell)),
            '\\' => match letters.next() {
                Some('|') => cell.push('|'),
                other => cell.extend(std::iter::once('\\').chain(other)),
            },
            _ => cell.push(letter),
        }
    }
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

/// Splits text into spans. Of a link the text is kept, because a page has no files beside it.
fn spans(markdown: &str) -> Vec<Span> {
    let (mut spans, mut text, mut rest) = (Vec::new(), String::new(), markdown);
    while let Some(letter) = rest.chars().next() {
        let after = &rest[letter.len_utf8()..];
        let marked = match letter {
            '`' => after.split_once('`').map(|(code, rest)| (Span::Code(code.to_owned()), rest)),
            '*' => after.split_once('*').map(|(words, rest)| (Span::Emphasis(words.to_owned()), rest)),
            _ => None,
        };
        if let Some((span, after)) = marked {
            if !text.is_empty() {
                spans.push(Span::Text(std::mem::take(&mut text)));
            }
            spans.push(span);
            rest = after;
            continue;
        }
        let link = after.split_once("](").filter(|_| letter == '[');
        if let Some((words, (_, after))) = link.and_then(|(words, rest)| Some((words, rest.split_once(')')?))) {
            text.push_str(words);
            rest = after;
            continue;
        }
        let escaped = after.chars().next().filter(|next| letter == '\\' && next.is_ascii_punctuation());
        text.push(escaped.unwrap_or(letter));
        rest = &after[escaped.map_or(0, char::len_utf8)..];
    }
    if !text.is_empty() {
        spans.push(Span::Text(text));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &str) -> Span {
        Span::Text(words.to_owned())
    }

    #[test]
    fn every_row_of_the_file_is_a_term() {
        let rows = GLOSSARY.lines().filter(|line| line.starts_with('|')).count() - 2;
        let terms = terms();
        assert_eq!(terms.len(), rows);
        assert!(terms.iter().all(|term| !term.name.is_empty() && !term.definition.is_empty()), "{terms:?}");
    }

    #[test]
    fn markup_becomes_spans() {
        let table = "# Title\n\n| term | what it is | in Linux |\n| --- | --- | --- |\n\
                     | a\\_b | see `x_y`; *not* [the other](other.md) \\| | z |\n| c | d | |\n\nText\n";
        let definition = vec![
            text("see "),
            Span::Code("x_y".into()),
            text("; "),
            Span::Emphasis("not".into()),
            text(" the other |"),
        ];
        let first = Term { name: vec![text("a_b")], definition };
        assert_eq!(terms_in(table), [first, Term { name: vec![text("c")], definition: vec![text("d")] }]);
        assert!(terms_in("no table\n").is_empty());
        assert_eq!(spans("5 * 3 and a \\ b"), [text("5 * 3 and a \\ b")]);
    }
}
