//! Disassembled ACPI tables, as `iasl -d` and firmware shells print them, with base and length on
//! separate lines. Supported are CEDT (CXL windows), NFIT (persistent memory) and SRAT (memory
//! affinity).

use super::MAX_PHYS_BITS;
use super::address::{memory, sized};
use super::error::{MapError, not_a_range};
use super::kind::Kind;
use super::line::Line;
use super::part::{MapPart, Table};
use regex::Regex;
use std::sync::LazyLock;

/// A field and its value, with or without a prefix such as `[048h 0072   8]`.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:\[[0-9A-Fa-f]+h[^\]]*\])?\s*([A-Za-z][A-Za-z ()#]*?)\s*(?:#)?\s*:\s*(?:0[xX])?(.*?)\s*$")
        .expect("a valid pattern")
});

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
    /// Parses a line. Returns false if it is not part of an ACPI table.
    pub(super) fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<bool, MapError> {
        let Some(fields) = FIELD.captures(line.text) else { return Ok(false) };
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
                part.windows += u64::from(part.pop(Table::Srat, line.number));
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
        part.push(table, memory(line.number, ends, kind, self.node)?);
        Ok(())
    }

    /// Fails if a base has no length: the text was cut off.
    pub(super) fn finish(self) -> Result<(), MapError> {
        match self.base {
            Some((number, text, _)) => Err(not_a_range(Line { number, text: &text })),
            None => Ok(()),
        }
    }
}
