//! `lsmem`: memory blocks as a table of ranges, as pairs (`-P`), or raw (`-r`). (`json.rs` parses its
//! JSON.)
//!
//! Source: `sys-utils/lsmem.c` of util-linux 2.30 to 2.42, and `lsmem` of s390-tools.

use super::address::{inclusive, memory};
use super::error::MapError;
use super::inventory::{BlockRange, Listing, Mention};
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{Found, MapPart, Table};
use crate::size::parse_size;
use memmap_layouts::ByteSize;
use regex::Regex;
use std::sync::LazyLock;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

static ROW: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^\s*(0[xX][0-9a-fA-F]+)-(0[xX][0-9a-fA-F]+)(?:\s+([0-9][0-9.,]*[A-Za-z]*)(?:\s+(.*))?)?\s*$")
});

/// `RANGE="0x…-0x…" SIZE="384M" …`
static PAIR: LazyLock<Regex> = LazyLock::new(|| pattern(r#"([A-Z][A-Z_-]*)="([^"]*)""#));

static TOTAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*(?:Total (?:online|offline) memory|Memory (?:block|device) size|Memmap on memory parameter)\s*:\s*(\S.*)$",
    )
});

/// Values of columns other than RANGE and SIZE, by which a broken row is recognised.
static VALUES: LazyLock<Regex> = LazyLock::new(|| {
    let value =
        r"(?:online|offline|on->off|yes|no|none|-|\?|\d+(?:-\d+)?|(?:None|DMA|DMA32|Normal|Movable|Device)(?:/\w+)*)";
    pattern(&format!(r"^\s*{value}(?:\s+{value})*\s*$"))
});

static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^\s*(?:RANGE|SIZE|STATE|REMOVABLE|BLOCK|NODE|ZONES|CONFIGURED|MEMMAP-ON-MEMORY)(?:\s+(?:SIZE|STATE|REMOVABLE|BLOCK|NODE|ZONES|CONFIGURED|MEMMAP-ON-MEMORY))*\s*$",
    )
});

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    if let Some(fields) = ROW.captures(text) {
        let state = fields.get(4).map_or("", |rest| rest.as_str());
        return if state.is_empty() { Form::Open } else { Form::Whole };
    }
    if TOTAL.is_match(text) || is_head(text) || text.trim_start().starts_with("RANGE=\"") {
        Form::Whole
    } else {
        Form::Other
    }
}

/// Whether the next line belongs to a row or a head that was broken.
pub(super) fn goes_on(text: &str, next: &str) -> bool {
    ROW.is_match(text) && VALUES.is_match(next) || is_head(text) && NAMES.is_match(next)
}

fn is_head(text: &str) -> bool {
    text.trim_start().starts_with("RANGE ") && NAMES.is_match(text)
}

/// Columns of a row, by name.
#[derive(Default)]
struct Row<'a> {
    offline: bool,
    configured: Option<bool>,
    memmap_on_memory: Option<bool>,
    node: Option<&'a str>,
}

/// What `lsmem` states of all its blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Bytes that are online, with the number of the line; the last of several.
    online: Option<(u64, usize)>,
    /// Bytes that are offline.
    offline: Option<(u64, usize)>,
    /// True if two listings of blocks have totals.
    several: bool,
}

impl Totals {
    fn note(&mut self, text: &str, size: &str, line: usize) {
        let total = match text {
            text if text.contains("Total online") => &mut self.online,
            text if text.contains("Total offline") => &mut self.offline,
            _ => return,
        };
        let bytes = parse_size(size).ok();
        self.several |= total.is_some_and(|(known, _)| Some(known) != bytes);
        *total = bytes.map(|bytes| (bytes, line));
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.several |= other.several
            || self.online.zip(other.online).is_some_and(|(own, other)| own.0 != other.0)
            || self.offline.zip(other.offline).is_some_and(|(own, other)| own.0 != other.0);
        self.online = self.online.or(other.online);
        self.offline = self.offline.or(other.offline);
    }

    /// Compares the totals with the blocks. They are rounded to a tenth of their unit.
    pub(super) fn check(&self, blocks: &[BlockRange]) -> Vec<String> {
        let of_lsmem = |block: &&BlockRange| block.sources.iter().any(|source| source.listing == Listing::Lsmem);
        let sum = |online: bool| {
            let blocks = blocks.iter().filter(of_lsmem).filter(|block| block.online == online);
            blocks.map(|block| block.span.bytes()).fold(0, u64::saturating_add)
        };
        if self.several || !blocks.iter().any(|block| of_lsmem(&block)) {
            return Vec::new();
        }
        let differs = |(total, online): (Option<(u64, usize)>, bool)| {
            let ((stated, line), listed) = (total?, sum(online));
            let state = if online { "online" } else { "offline" };
            let (stated_size, listed_size) = (ByteSize(stated), ByteSize(listed));
            (stated.abs_diff(listed) > stated.max(listed) / 10).then(|| {
                format!(
                    "line {line} states {stated_size} of memory blocks that are {state}, and the rows have {listed_size}"
                )
            })
        };
        [(self.online, true), (self.offline, false)].into_iter().filter_map(differs).collect()
    }
}

/// The column names of the table that is being parsed.
#[derive(Default)]
pub(super) struct Columns(Vec<String>);

impl Columns {
    /// Parses a line; `None` if it is not part of the table.
    pub(super) fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
        if is_head(line.text) {
            self.0 = line.text.split_whitespace().map(str::to_owned).collect();
            return Ok(Some(Seen::Skipped("headings")));
        }
        if line.text.trim_start().starts_with("RANGE=\"") {
            return pairs(line, part).map(Some);
        }
        if let Some(fields) = TOTAL.captures(line.text) {
            if line.text.contains("lock size") {
                part.inventory.block_bytes = parse_size(&fields[1]).ok().filter(|bytes| bytes.is_power_of_two());
            }
            part.lsmem_totals.note(line.text, &fields[1], line.number);
            return Ok(Some(Seen::Skipped("totals of lsmem")));
        }
        let Some(fields) = ROW.captures(line.text) else { return Ok(None) };
        let words: Vec<&str> = fields.get(4).map_or("", |rest| rest.as_str()).split_whitespace().collect();
        let row = self.row(&words);
        let node = row.node.and_then(|node| node.parse().ok());
        // The range is checked first: beyond the address space not even the size can be
        // represented.
        let found = memory(line.number, inclusive(line.number, &fields[1], &fields[2])?, Kind::Ram, node)?;
        if let Some(size) = fields.get(3) {
            check_size(&found, size.as_str())?;
        }
        push(part, found, &row);
        Ok(Some(Seen::Entry))
    }

    /// Assigns the words behind the size to columns. Empty columns have no word, so that each word is
    /// taken by the next column that can have it.
    fn row<'w>(&self, words: &[&'w str]) -> Row<'w> {
        const DEFAULT: [&str; 5] = ["STATE", "REMOVABLE", "BLOCK", "NODE", "ZONES"];
        let named: Vec<&str> = match self.0.is_empty() {
            true => DEFAULT.to_vec(),
            false => self.0.iter().map(String::as_str).filter(|name| !matches!(*name, "RANGE" | "SIZE")).collect(),
        };
        let mut columns = named.iter().copied();
        let is_full = words.len() == named.len();
        let mut row = Row::default();
        for &word in words {
            let Some(column) = columns.find(|column| is_full || can_have(column, word)) else { break };
            let is_yes = word == "yes";
            match column {
                "STATE" => row.offline = word == "offline",
                "CONFIGURED" => row.configured = Some(is_yes),
                "MEMMAP-ON-MEMORY" => row.memmap_on_memory = Some(is_yes),
                "NODE" => row.node = Some(word),
                _ => {}
            }
        }
        // Without a head, the state is still a word.
        row.offline |= words.contains(&"offline");
        row
    }
}

fn can_have(column: &str, word: &str) -> bool {
    let is_yes_or_no = matches!(word, "yes" | "no" | "-" | "none");
    let is_number = word.starts_with(|char: char| char.is_ascii_digit());
    match column {
        "STATE" => matches!(word, "online" | "offline" | "on->off" | "?") || !is_number && !is_yes_or_no,
        "REMOVABLE" | "CONFIGURED" | "MEMMAP-ON-MEMORY" => is_yes_or_no,
        "BLOCK" | "NODE" => is_number,
        _ => !is_number,
    }
}

fn pairs(line: Line<'_>, part: &mut MapPart) -> Result<Seen, MapError> {
    let value = |name: &str| {
        let named = |fields: &regex::Captures<'_>| fields[1].replace('_', "-") == name;
        PAIR.captures_iter(line.text).find(named).map(|fields| fields.extract::<2>().1[1])
    };
    let range = value("RANGE").unwrap_or("");
    let bad = || MapError::BadAddress { line: line.number, text: range.to_owned() };
    let (first, last) = range.split_once('-').ok_or_else(bad)?;
    let node = value("NODE").and_then(|node| node.parse().ok());
    let found = memory(line.number, inclusive(line.number, first, last)?, Kind::Ram, node)?;
    if let Some(size) = value("SIZE") {
        check_size(&found, size)?;
    }
    let is_yes = |name| value(name).filter(|word| !word.is_empty()).map(|word| word == "yes");
    let row = Row {
        offline: value("STATE") == Some("offline"),
        configured: is_yes("CONFIGURED"),
        memmap_on_memory: is_yes("MEMMAP-ON-MEMORY"),
        node: None,
    };
    push(part, found, &row);
    Ok(Seen::Entry)
}

/// Stores a range of blocks from a table.
fn push(part: &mut MapPart, found: Found, row: &Row<'_>) {
    push_blocks(part, found, !row.offline, row.configured.unwrap_or(true), row.memmap_on_memory);
}

/// Stores a range of blocks, from a table or from JSON. Blocks that are not configured are no memory:
/// Linux has not added them.
pub(super) fn push_blocks(
    part: &mut MapPart,
    found: Found,
    online: bool,
    configured: bool,
    memmap_on_memory: Option<bool>,
) {
    let mention = Mention { listing: Listing::Lsmem, line: found.line };
    part.sources.note(mention.listing, mention.line);
    part.inventory.blocks.push(BlockRange {
        span: found.range.span(),
        online,
        configured: configured || online,
        memmap_on_memory,
        node: found.range.node,
        sources: vec![mention],
    });
    if configured || online {
        part.push(Table::Blocks, found);
    }
}

/// Checks that the size beside a range matches the range, up to rounding.
pub(super) fn check_size(found: &Found, text: &str) -> Result<(), MapError> {
    let (line, bytes) = (found.line, found.range.end - found.range.start);
    let given = parse_size(text).map_err(|_| MapError::BadSize { line, text: text.to_owned() })?;
    // `lsmem` of s390-tools writes MiB without a unit.
    let is_mib = given == bytes >> 20 && text.trim().bytes().all(|byte| byte.is_ascii_digit());
    // One decimal, truncated or rounded: the error is below a tenth of the unit, and the size is at
    // least one unit.
    if given.abs_diff(bytes) > bytes / 10 && !is_mib {
        return Err(MapError::SizeOfRange { line, text: text.trim().to_owned(), bytes });
    }
    Ok(())
}
