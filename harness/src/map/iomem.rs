//! `/proc/iomem` and text in its form: `start-end : name` with inclusive ends; children are
//! indented below their parents.

use super::address::{inclusive, memory};
use super::coverage::Containers;
use super::error::{MapError, not_a_range};
use super::inventory::{Device, Listing, Mention, Namespace, Region, RegionKind, Span, Window};
use super::kind::Kind;
use super::line::{Form, Line, Seen};
use super::part::{Found, MapPart, Table};
use regex::Regex;
use std::sync::LazyLock;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

const HEX: &str = "((?:0[xX])?[0-9a-fA-F]+)";

/// A file name may precede the line, for instance from `grep`.
static RANGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^\s*(?:/proc/iomem:\s*)?{HEX} ?- ?{HEX}\s*:\s+(.+)$")));

/// The same, up to the name.
static BEFORE_NAME: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"^\s*(?:/proc/iomem:\s*)?{HEX} ?- ?{HEX}\s*:\s+")));

/// The beginning of a resource without a complete range: a number, a dash or a stray byte.
static BEGUN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*(?:0[xX])?[0-9a-fA-F]{4,}[^\s:]*-\S*(?:\s+:.*)?$"));

/// A name of memory behind something that is no range.
static DAMAGED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^[^g-wyzG-WYZ]*[0-9a-fA-F][^g-wyzG-WYZ]*:\s*(?:System RAM|Persistent Memory|Soft Reserved)(?:\s*\(\w+\))?\s*$",
    )
});

/// A range whose name is on the next line.
static OPEN: LazyLock<Regex> = LazyLock::new(|| {
    let long = "(?:0[xX])?[0-9a-fA-F]{8,16}";
    pattern(&format!(r"^\s*(?:{long} ?-(?: ?{long}\s*:?)?|{long})\s*$"))
});

static REGION: LazyLock<Regex> = LazyLock::new(|| pattern(r"^region\d+$"));
static DEVICE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^dax\d+\.\d+$"));
static NAMESPACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^namespace\d+\.\d+$"));

/// What this format makes of a line.
pub(super) fn form(text: &str) -> Form {
    if RANGE.is_match(text) {
        Form::Whole
    } else if OPEN.is_match(text) {
        Form::Open
    } else {
        Form::Other
    }
}

/// Where the name of a resource begins; `None` if the line is none. Searches only the range.
pub(super) fn name_start(text: &str) -> Option<usize> {
    BEFORE_NAME.find(text).map(|range| range.end()).filter(|name| *name < text.len())
}

/// The name of a resource; `None` if the line is none.
pub(super) fn name(text: &str) -> Option<&str> {
    RANGE.captures(text).and_then(|fields| fields.get(3)).map(|name| name.as_str().trim())
}

/// Whether a name was cut off, so that it may have been that of memory.
fn is_cut(name: &str) -> bool {
    const NAMES: [&str; 4] = ["System RAM", "Persistent Memory", "Soft Reserved", "CXL Window"];
    name.ends_with("...") || name.ends_with('…') || NAMES.iter().any(|whole| whole.starts_with(name))
}

/// The lines of a part in the form of `/proc/iomem`.
#[derive(Default)]
pub(super) struct Resources {
    /// Number of lines; and of those that are not 0-0.
    lines: usize,
    shown: usize,
}

impl Resources {
    pub(super) fn line(&mut self, line: Line<'_>, part: &mut MapPart) -> Result<Option<Seen>, MapError> {
        let Some(fields) = RANGE.captures(line.text) else {
            // A damaged line is an error: as a line of an unknown format it would lose memory.
            let is_damaged = BEGUN.is_match(line.text) && self.lines > 0 || DAMAGED.is_match(line.text);
            return if is_damaged { Err(not_a_range(line)) } else { Ok(None) };
        };
        let (name, kind) = (fields[3].trim(), Kind::from_name(fields[3].trim()));
        let is_short = fields[1].len() <= 4 && fields[2].len() <= 4;
        if is_short && kind.is_none() {
            return Ok(Some(Seen::Skipped("I/O ports")));
        }
        self.lines += 1;
        let ends = inclusive(line.number, &fields[1], &fields[2])?;
        // Unassigned resources are 0-0; to users other than root every resource is.
        if ends == (0, 0) {
            return Ok(Some(Seen::Skipped("resources without addresses")));
        }
        self.shown += 1;
        part.sources.note(Listing::Iomem, line.number);
        if kind.is_none() && is_cut(name) {
            return Ok(Some(Seen::NotUnderstood));
        }
        let is_device = [&*REGION, &*DEVICE, &*NAMESPACE].iter().any(|names| names.is_match(name));
        if kind.is_none() && !is_device {
            if let Some(end) = ends.1.checked_add(1) {
                part.others.extend(Span::new(ends.0, end));
            }
            return Ok(Some(Seen::Skipped("other resources")));
        }
        let found = memory(line.number, ends, kind.unwrap_or(Kind::SoftReserved), None)?;
        let span = Span { start: found.range.start, end: found.range.end };
        let sources = vec![Mention { listing: Listing::Iomem, line: line.number }];
        match kind {
            Some(Kind::Window) => {
                let (name, available_bytes, ways) = (name.to_owned(), None, None);
                part.inventory.windows.push(Window { name, span, available_bytes, ways, sources });
                part.push(Table::Cedt, found);
            }
            Some(_) => part.push(Table::Iomem, found),
            None => device(name, span, sources, part),
        }
        Ok(Some(Seen::Entry))
    }

    /// Finishes the part. RAM inside a device is RAM that a driver made of that device.
    pub(super) fn finish(self, part: &mut MapPart, others: bool) -> Result<(), MapError> {
        if self.lines > 0 && self.shown == 0 && !others {
            return Err(MapError::Hidden);
        }
        let regions = part.inventory.regions.iter().filter_map(|region| region.span);
        let of_a_driver = part.inventory.devices.iter().flat_map(|device| device.spans.iter().copied());
        let of_a_driver: Vec<Span> = of_a_driver.chain(regions).collect();
        let found = part.table_mut(Table::Iomem);
        let device = |f: &&Found| !matches!(f.range.kind, Kind::Ram | Kind::Window);
        let devices: Containers = found.iter().filter(device).map(|f| f.range.span()).chain(of_a_driver).collect();
        for entry in &mut *found {
            let range = &mut entry.range;
            if range.kind == Kind::Ram && devices.contain(range.span()) {
                range.kind = Kind::HotplugRam;
            }
        }
        let ram: Vec<Span> =
            found.iter().filter(|f| f.range.kind == Kind::HotplugRam).map(|f| f.range.span()).collect();
        for device in &mut part.inventory.devices {
            device.is_ram |= device.spans.iter().any(|span| ram.iter().any(|ram| span.contains(*ram)));
        }
        Ok(())
    }
}

fn device(name: &str, span: Span, sources: Vec<Mention>, part: &mut MapPart) {
    let (name, bytes) = (name.to_owned(), span.bytes());
    if REGION.is_match(&name) {
        let kind = RegionKind::Volatile;
        part.inventory.regions.push(Region { span: Some(span), ..Region::new(name, bytes, kind, sources) });
    } else if DEVICE.is_match(&name) {
        part.inventory.devices.push(Device { spans: vec![span], ..Device::new(name, bytes, sources) });
    } else {
        part.inventory.namespaces.push(Namespace { span: Some(span), ..Namespace::new(name, bytes, sources) });
    }
}
