//! Lines that are known and say nothing of memory, by kind.

use super::formats::is_entry;
use super::line::Line;
use regex::Regex;
use std::sync::LazyLock;

/// Kinds of lines, each with a pattern.
static KINDS: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    [
        (
            "results of tools",
            r"(?i)^\s*(?:\S+: )?(?:cmd_\w+: )?(?:created|destroyed|enabled|disabled|reconfigured|onlined|offlined|wrote|zeroed|checked|read|cleared)\s+\d+\s+(?:namespaces?|regions?|devices?|memdevs?|nmems?|memory blocks?|ports?|decoders?)\b",
        ),
        ("headers of mails", r"^(?:From|To|Cc|Subject|Date|Message-ID|In-Reply-To|Content-Type|Content-Transfer-Encoding|MIME-Version|List-\w+): "),
        ("quotations", r"^(?:On|Am|Le|El|Op) .{6,160}(?:wrote|schrieb|a écrit|escribió|schreef)\s*:$"),
        ("frames of a journal", r"^-- (?:Boot|Journal|Logs|No entries|Reboot)\b.*--?$|^Script (?:started|done) on "),
        ("fields of a journal", r"^_{0,2}[A-Z][A-Z0-9_]*="),
        ("headings", r"^\s*(?:=+|-+|Address Range\s+Size \(MB\).*)\s*$"),
        ("hunks of a diff", r"^(?:@@ .*@@|diff --git |index [0-9a-f]+\.\.|\+\+\+ )"),
    ]
    .map(|(kind, pattern)| (kind, Regex::new(pattern).expect("a valid pattern")))
    .into()
});

/// Whether a line is one that a diff removes.
pub(super) fn is_removed(line: Line<'_>) -> bool {
    line.text
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_hexdigit()) && is_entry(rest))
}

/// The kind of a line; `None` if it is not known.
pub(super) fn kind(line: Line<'_>) -> Option<&'static str> {
    let known = KINDS.iter().find(|(_, pattern)| pattern.is_match(line.text)).map(|(kind, _)| *kind);
    known.or_else(|| line.is_logged.then_some("other lines of a log"))
}
