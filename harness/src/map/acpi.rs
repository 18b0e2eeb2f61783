//! Disassembled ACPI tables, as `iasl -d` and firmware shells print them, with base and length on
//! separate lines. Supported are CEDT (CXL windows), NFIT (persistent memory) and SRAT (memory
//! affinity).

use super::MAX_PHYS_BITS;
use super::address::{memory, sized};
use super::error::{MapError, not_a_range};
use super::inventory::{Mention, Window};
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{Found, HotplugWindow, MapPart, Table};
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// A field and its value, with or without a prefix such as `[048h 0072   8]`.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:\[[0-9A-Fa-f]+h[^\]]*\])?\s*([A-Za-z][A-Za-z ()#]*?)\s*(?:#)?\s*:\s*(?:0[xX])?(.*?)\s*$")
        .expect("a valid pattern")
});

/// A field as a disassembler prints it, with its offset.
static DUMPED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*\[[0-9A-Fa-f]+h\s[^\]]*\]").expect("a valid pattern"));

/// A field whose value was broken off.
static OPEN: LazyLock<Regex> = LazyLock::new(|| {
    let names = "Window base address|Window size|Address Range Base|Address Range Length|Base Address|Address Length";
    Regex::new(&format!(r"(?i)(?:^|\s)(?:{names})\s*:\s*$")).expect("a valid pattern")
});

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    if text.trim_end().ends_with(':') && OPEN.is_match(text) {
        Form::Open
    } else if DUMPED.is_match(text) {
        Form::Whole
    } else {
        Form::Other
    }
}

/// GUID of a persistent-memory region in NFIT.
const PERSISTENT_GUID: &str = "66f0d379-b4f3-4074-ac43-0d3318b78cdb";

/// The structure of a table that is being parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Structure {
    /// A CXL window in CEDT.
    Window,
    /// A range of persistent memory in NFIT.
    Persistent,
    /// A range in NFIT other than persistent memory: volatile memory or registers.
    OtherSpa,
    /// A memory range in SRAT.
    Affinity,
}

/// The state of the structure that is being parsed.
#[derive(Default)]
pub(super) struct Tables {
    structure: Option<Structure>,
    node: Option<u8>,
    /// Line number, text and value of a base whose length has not been read yet.
    base: Option<(usize, String, u64)>,
}

impl Tables {
    /// Parses a line; `None` if it is not part of an ACPI table.
    pub(super) fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
        let Some(fields) = FIELD.captures(line.text) else { return Ok(None) };
        if self.field(line, &fields, part)? {
            return Ok(Some(Seen::Entry));
        }
        let is_listed = DUMPED.is_match(line.text) || self.structure.is_some() && !line.is_logged;
        Ok(is_listed.then_some(Seen::Skipped("other fields of ACPI tables")))
    }

    /// Reads a field; returns false if it says nothing of memory.
    fn field(&mut self, line: Line<'_>, fields: &Captures<'_>, part: &mut MapPart) -> Result<bool, MapError> {
        let (name, value) = (fields[1].to_ascii_lowercase(), &fields[2]);
        match name.as_str() {
            "subtable type" | "sparange" => {
                let text = line.text.to_ascii_lowercase();
                self.node = None;
                self.structure = match () {
                    () if text.contains("memory affinity") => Some(Structure::Affinity),
                    () if text.contains("fixed memory window") => Some(Structure::Window),
                    () if text.contains("physical address") || name == "sparange" => Some(Structure::Persistent),
                    () => None,
                };
                Ok(self.structure.is_some())
            }
            "region type guid" if self.structure == Some(Structure::Persistent) => {
                if !value.to_ascii_lowercase().starts_with(PERSISTENT_GUID) {
                    self.structure = Some(Structure::OtherSpa);
                }
                Ok(true)
            }
            "proximity domain" if self.structure == Some(Structure::Affinity) => {
                self.node = u8::from_str_radix(value, 16).ok();
                Ok(true)
            }
            "hot pluggable" if value.starts_with('1') => {
                let popped = part.pop(Table::Srat, line.number);
                let window = |found: Found| HotplugWindow { span: found.range.span(), node: found.range.node };
                part.hotplug_windows.extend(popped.map(window));
                Ok(true)
            }
            "window base address" => self.begin(Structure::Window, line, value),
            "address range base" => self.begin(self.structure.unwrap_or(Structure::Persistent), line, value),
            "base address" if self.structure == Some(Structure::Affinity) => {
                self.begin(Structure::Affinity, line, value)
            }
            "base" if self.structure == Some(Structure::Persistent) => self.begin(Structure::Persistent, line, value),
            "window size" | "address range length" | "address length" | "length" if self.base.is_some() => {
                self.end(line, value, part)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn begin(&mut self, structure: Structure, line: Line<'_>, value: &str) -> Result<bool, MapError> {
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let base = number(value).ok_or_else(|| MapError::BadAddress { line: line.number, text: value.to_owned() })?;
        self.structure = Some(structure);
        self.base = Some((line.number, line.text.to_owned(), base));
        Ok(true)
    }

    fn end(&mut self, line: Line<'_>, value: &str, part: &mut MapPart) -> Result<(), MapError> {
        let Some((_, _, base)) = self.base.take() else { return Ok(()) };
        let bad = || MapError::BadAddress { line: line.number, text: value.to_owned() };
        let length = u64::from_str_radix(value, 16).map_err(|_| bad())?;
        let Some(ends) = sized(line.number, base, length)? else { return Ok(()) };
        let (table, kind) = match self.structure {
            Some(Structure::Window) => (Table::Cedt, Kind::Window),
            Some(Structure::Persistent) => (Table::Nfit, Kind::Persistent),
            Some(Structure::Affinity) => (Table::Srat, Kind::Ram),
            Some(Structure::OtherSpa) | None => return Ok(()),
        };
        if kind == Kind::Window && ends.1 >> MAX_PHYS_BITS != 0 {
            part.beyond += 1;
            return Ok(());
        }
        let found = memory(line.number, ends, kind, self.node)?;
        part.sources.note(table.listing(), line.number);
        if kind == Kind::Window {
            let name = format!("window {}", part.inventory.windows.len());
            let sources = vec![Mention { listing: table.listing(), line: line.number }];
            let span = found.range.span();
            part.inventory.windows.push(Window { name, span, available_bytes: None, ways: None, sources });
        }
        part.push(table, found);
        Ok(())
    }

    /// Fails if a base has no length: the text was cut off.
    pub(super) fn finish(self) -> Result<(), MapError> {
        match self.base {
            Some((number, text, _)) => Err(not_a_range(Line { number, text: &text, is_logged: false })),
            None => Ok(()),
        }
    }
}
