//! The output of `ndctl list`, `daxctl list`, `cxl list` and `lsmem --json`, and of `pfnbench map
//! --json`.
//!
//! The text holds one object or many, in an array or in sequence. Numbers are bytes; with `-u` they
//! are strings (`250.00 MiB (262.14 MB)`, `0x140000000`). Only root sees physical addresses, so
//! most listings contain only sizes.

use super::MAX_PHYS_BITS;
use super::address::{inclusive, memory, sized};
use super::coverage::Coverage;
use super::error::{MapError, not_a_range};
use super::human_size::{self, NotASize};
use super::inventory::{
    Device, Dimm, Inventory, Listing, Mapping, Mention, Namespace, RecordsPlace, Region, RegionKind, Span, Window,
};
use super::json_text::{begins_json, first_value};
use super::kind::Kind;
use super::line::Line;
use super::lsmem;
use super::part::{HotplugWindow, MapPart, Table};
use super::range::MapRange;
use crate::size::parse_size;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Parses the value that begins at the first line and returns its number of lines; `None` if no
/// value begins there.
pub(super) fn read(lines: &[Line<'_>], part: &mut MapPart) -> Result<Option<usize>, MapError> {
    let Some(&first) = lines.first() else { return Ok(None) };
    if !begins_json(first.text) {
        return Ok(None);
    }
    let Some(found) = first_value(lines.iter().map(|line| line.text)) else { return Ok(None) };
    let value = found.value.map_err(|(at, reason)| {
        let line = lines.get(at).unwrap_or(&first).number;
        MapError::Json { line, reason }
    })?;
    let rest = found.rest.trim_matches([' ', '\t', ',', '\r']);
    if !rest.is_empty() {
        return Err(not_a_range(lines[found.lines - 1]));
    }
    let lines = &lines[..found.lines];
    let mut walk = Walk { words: Words::new(lines), part, known: 0 };
    walk.value(&value, Under::default())?;
    let is_empty =
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty);
    match walk.known {
        // What ndctl, daxctl and cxl print if there is nothing.
        0 if is_empty => part.skip("empty listings", first.number),
        0 => part.unknown_line(first),
        _ => {}
    }
    Ok(Some(lines.len()))
}

type Object = Map<String, Value>;

/// What is around an object.
#[derive(Clone, Copy, Debug, Default)]
struct Under<'k> {
    /// The key of the object.
    key: &'k str,
    /// The region, namespace or window that the object is part of.
    owner: Option<&'k str>,
}

/// The state while a listing is traversed.
struct Walk<'a, 'p> {
    words: Words<'a>,
    part: &'p mut MapPart,
    /// Number of objects that are known.
    known: usize,
}

fn text<'v>(object: &'v Object, key: &str) -> Option<&'v str> {
    object.get(key).and_then(Value::as_str)
}

impl Walk<'_, '_> {
    /// Visits a value.
    fn value(&mut self, value: &Value, under: Under<'_>) -> Result<(), MapError> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.value(value, under)),
            Value::Object(object) => self.object(object, under),
            _ => Ok(()),
        }
    }

    fn children(&mut self, object: &Object, owner: Option<&str>) -> Result<(), MapError> {
        object.iter().try_for_each(|(key, value)| self.value(value, Under { key, owner }))
    }

    fn object(&mut self, object: &Object, under: Under<'_>) -> Result<(), MapError> {
        let before = self.known;
        self.known += 1;
        if ["ranges", "windows", "sources"].iter().all(|key| object.contains_key(*key)) {
            return self.own(object);
        }
        if let Some(range) = text(object, "range") {
            return self.block(object, range);
        }
        if let Some(device) = text(object, "chardev").filter(|_| !object.contains_key("dev")) {
            return self.device(object, device, under.owner);
        }
        if let Some(device) = text(object, "memdev") {
            return self.memdev(object, device);
        }
        if let Some(decoder) = text(object, "decoder") {
            return self.decoder(object, decoder, under);
        }
        if let Some(region) = text(object, "region") {
            let is_persistent = text(object, "type") == Some("pmem");
            let kind = if is_persistent { RegionKind::Persistent } else { RegionKind::Volatile };
            return self.region(object, region, kind, Listing::Cxl);
        }
        match text(object, "dev") {
            Some(device) if device.starts_with("region") => match text(object, "type") {
                // Access by blocks, without addresses.
                Some("blk") => {
                    let line = self.line(device);
                    self.part.skip("regions accessed by blocks", line);
                    Ok(())
                }
                _ => self.region(object, device, RegionKind::Persistent, Listing::Ndctl),
            },
            Some(device) if device.starts_with("namespace") => self.namespace(object, device, under.owner),
            Some(device) if device.starts_with("nmem") => {
                let source = self.mention(device, Listing::Ndctl);
                self.dimm(device, 0, 0, None, source);
                Ok(())
            }
            Some(_) => self.children(object, under.owner),
            None if text(object, "path").is_some() => self.dax_region(object, under.owner),
            None => {
                let is_known =
                    ["bus", "port", "endpoint", "memory", "buses"].iter().any(|key| object.contains_key(*key));
                self.known = before + usize::from(is_known);
                self.children(object, under.owner)
            }
        }
    }

    /// Reads what `pfnbench map --json` and `pfnbench audit --json` print.
    fn own(&mut self, object: &Object) -> Result<(), MapError> {
        let line = self.words.first;
        let wrong = |error: serde_json::Error| MapError::Json { line, reason: error.to_string() };
        let ranges: Vec<MapRange> = serde_json::from_value(object["ranges"].clone()).map_err(wrong)?;
        let spans = |key: &str| match object.get(key) {
            Some(spans) => serde_json::from_value::<Vec<Span>>(spans.clone()).map_err(wrong),
            None => Ok(Vec::new()),
        };
        let mut inventory: Inventory = serde_json::from_value(Value::Object(object.clone())).map_err(wrong)?;
        let ends = |span: Span| match span.end.checked_sub(1).filter(|last| *last >= span.start) {
            Some(last) => Ok((span.start, last)),
            None => Err(MapError::Backwards { line, start: span.start, end: span.end.saturating_sub(1) }),
        };
        for range in ranges {
            let mut found = memory(line, ends(range.span())?, range.kind, range.node)?;
            found.range.base_assumed = range.base_assumed;
            self.part.push(Table::Combined, found);
        }
        for span in inventory.spans() {
            memory(line, ends(span)?, Kind::Ram, None)?;
        }
        // Windows that several sources tell may overlap.
        let mut known = Coverage::default();
        for window in &inventory.windows {
            for span in known.gaps(window.span) {
                known.insert(span);
                self.part.push(Table::Cedt, memory(line, ends(span)?, Kind::Window, None)?);
            }
        }
        for span in spans("hotplug_windows")? {
            ends(span)?;
            self.part.hotplug_windows.push(HotplugWindow { span, node: None });
        }
        inventory.block_bytes = inventory.block_bytes.filter(|bytes| bytes.is_power_of_two());
        self.part.sources.note(Listing::Pfnbench, line);
        self.part.inventory.extend(inventory);
        Ok(())
    }

    /// Reads a row of `lsmem`.
    fn block(&mut self, object: &Object, range: &str) -> Result<(), MapError> {
        let line = self.line(range);
        let bad = || MapError::BadAddress { line, text: range.to_owned() };
        let (start, last) = range.split_once('-').ok_or_else(bad)?;
        let ends = inclusive(line, start.trim(), last.trim())?;
        let found = memory(line, ends, Kind::Ram, node(object, "node"))?;
        let bytes = found.range.end - found.range.start;
        match object.get("size") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => lsmem::check_size(&found, text)?,
            Some(Value::Number(number)) if number.as_u64() == Some(bytes) => {}
            Some(other) => return Err(MapError::SizeOfRange { line, text: other.to_string(), bytes }),
        }
        let is = |key: &str| match object.get(key) {
            Some(Value::Bool(is)) => Some(*is),
            Some(Value::String(word)) => Some(word == "yes"),
            _ => None,
        };
        let online = text(object, "state") != Some("offline");
        lsmem::push_blocks(self.part, found, online, is("configured").unwrap_or(true), is("memmap-on-memory"));
        Ok(())
    }

    /// Reads a DAX device; each of its mappings is a range.
    fn device(&mut self, object: &Object, name: &str, owner: Option<&str>) -> Result<(), MapError> {
        let source = self.mention(name, Listing::Daxctl);
        let line = source.line;
        let align = self.size(object, "align", None, line)?;
        let bytes = self.size(object, "size", align, line)?.unwrap_or(0);
        let is_ram = text(object, "mode") == Some("system-ram");
        let enabled = text(object, "state") != Some("disabled");
        let kind = if is_ram { Kind::HotplugRam } else { Kind::SoftReserved };
        let mut spans = Vec::new();
        for mapping in object.get("mappings").and_then(Value::as_array).into_iter().flatten() {
            let Some(mapping) = mapping.as_object() else { continue };
            if let (Some(start), Some(last)) = (address(mapping, "start", line)?, address(mapping, "end", line)?) {
                if last < start {
                    return Err(MapError::Backwards { line, start, end: last });
                }
                let found = memory(line, (start, last), kind, node(object, "target_node"))?;
                spans.push(found.range.span());
                if enabled {
                    self.part.push(Table::Devices, found);
                }
            }
        }
        let total = spans.iter().fold(0, |total: u64, span| total.saturating_add(span.bytes()));
        if total > 0 && bytes > 0 && total != bytes {
            let told =
                format!("line {line}: {name} has {bytes} bytes, and its mappings have {total}; the mappings are used");
            self.part.contradictions.push(told);
        }
        let count = |key: &str| object.get(key).and_then(Value::as_u64);
        let device = Device {
            region: owner.map(str::to_owned),
            bytes: if total > 0 { total } else { bytes },
            spans,
            is_ram,
            enabled,
            align,
            node: node(object, "target_node"),
            online_blocks: count("online_memblocks"),
            total_blocks: count("total_memblocks"),
            ..Device::new(name, bytes, vec![source])
        };
        if device.bytes > 0 {
            self.part.inventory.devices.push(device);
        }
        Ok(())
    }

    /// Reads a region of the dax bus. Its path tells whether it belongs to a region of another tool.
    fn dax_region(&mut self, object: &Object, owner: Option<&str>) -> Result<(), MapError> {
        let path = text(object, "path").unwrap_or_default();
        let is_region = |part: &&str| {
            part.strip_prefix("region").is_some_and(|nr| !nr.is_empty() && nr.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let known = parts.iter().rev().find(|part| is_region(part)).or(parts.last());
        let name = known.map_or_else(|| "dax region".to_owned(), |name| (*name).to_owned());
        let source = self.mention(parts.last().copied().unwrap_or("path"), Listing::Daxctl);
        let line = source.line;
        let align = self.size(object, "align", None, line)?;
        let bytes = self.size(object, "size", align, line)?.unwrap_or(0);
        let owner = owner.map_or(name.as_str(), |owner| owner);
        // Inside a namespace, it is the memory of the namespace.
        if bytes > 0 && owner == name {
            let is_persistent = path.contains("ndbus");
            let kind = if is_persistent { RegionKind::Persistent } else { RegionKind::Volatile };
            let node = node(object, "target_node").or_else(|| node(object, "numa_node"));
            let available_bytes = self.size(object, "available_size", align, line)?;
            let mut region =
                Region { available_bytes, align: None, node, ..Region::new(name.as_str(), bytes, kind, vec![source]) };
            if let Some(start) = address(object, "resource", line)? {
                region.span = self.span(line, start, bytes, Some(Kind::SoftReserved))?;
            }
            self.part.inventory.regions.push(region);
        }
        for device in object.get("devices").and_then(Value::as_array).into_iter().flatten() {
            self.value(device, Under { key: "devices", owner: Some(owner) })?;
        }
        Ok(())
    }

    fn memdev(&mut self, object: &Object, name: &str) -> Result<(), MapError> {
        // In the mappings of a region, it is a name.
        if object.contains_key("position") {
            return Ok(());
        }
        let source = self.mention(name, Listing::Cxl);
        let volatile = self.size(object, "ram_size", None, source.line)?.unwrap_or(0);
        let persistent = self.size(object, "pmem_size", None, source.line)?.unwrap_or(0);
        self.dimm(name, volatile, persistent, node(object, "numa_node"), source);
        Ok(())
    }

    fn dimm(&mut self, name: &str, volatile_bytes: u64, persistent_bytes: u64, node: Option<u8>, source: Mention) {
        let name = name.to_owned();
        self.part.inventory.dimms.push(Dimm { name, volatile_bytes, persistent_bytes, node, sources: vec![source] });
    }

    /// Reads a decoder of an endpoint: it has the addresses of the region that it belongs to.
    fn endpoint_decoder(&mut self, object: &Object, name: &str) -> Result<(), MapError> {
        let kind = match text(object, "mode") {
            Some("ram") => RegionKind::Volatile,
            Some("pmem") => RegionKind::Persistent,
            _ => return Ok(()),
        };
        let Some(region) = text(object, "region") else { return Ok(()) };
        let source = self.mention(name, Listing::Cxl);
        let line = source.line;
        let (start, bytes) = (address(object, "resource", line)?, self.size(object, "size", Some(256 << 20), line)?);
        let (Some(start), Some(bytes)) = (start, bytes.filter(|bytes| *bytes > 0)) else { return Ok(()) };
        let memory_kind = if kind == RegionKind::Persistent { Kind::Persistent } else { Kind::SoftReserved };
        let span = self.span(line, start, bytes, Some(memory_kind))?;
        self.part.inventory.regions.push(Region { span, ..Region::new(region, bytes, kind, vec![source]) });
        Ok(())
    }

    /// Reads a decoder. Those of the root are windows; others repeat them.
    fn decoder(&mut self, object: &Object, name: &str, under: Under<'_>) -> Result<(), MapError> {
        let is_root =
            under.key.contains("root") || object.contains_key("max_available_extent") || name.starts_with("decoder0.");
        if !is_root && object.contains_key("resource") {
            self.endpoint_decoder(object, name)?;
        }
        if !is_root || !object.contains_key("resource") {
            return self.children(object, under.owner);
        }
        let source = self.mention(name, Listing::Cxl);
        let line = source.line;
        let start = address(object, "resource", line)?.unwrap_or(0);
        let bytes = self.size(object, "size", Some(256 << 20), line)?.unwrap_or(0);
        if let Some(ends) = sized(line, start, bytes)? {
            if ends.1 >> MAX_PHYS_BITS != 0 {
                self.part.beyond += 1;
            } else {
                let found = memory(line, ends, Kind::Window, None)?;
                // It was seen where the listing is wrong.
                if let Some(extent) =
                    object.get("max_available_extent").and_then(Value::as_i64).filter(|bytes| *bytes < 0)
                {
                    self.part.contradictions.push(format!(
                        "line {line}: {name} states a largest free extent of {extent} bytes, which is impossible; it is ignored"
                    ));
                }
                let available_bytes = match object.get("max_available_extent") {
                    Some(Value::String(_)) => self.size(object, "max_available_extent", Some(256 << 20), line)?,
                    extent => extent.and_then(Value::as_u64),
                };
                let ways = object.get("interleave_ways").and_then(Value::as_u64);
                let (name, span) = (name.to_owned(), found.range.span());
                self.part.inventory.windows.push(Window { name, span, available_bytes, ways, sources: vec![source] });
                self.part.push(Table::Cedt, found);
            }
        }
        self.children(object, under.owner)
    }

    /// Reads a region, with its namespaces.
    fn region(&mut self, object: &Object, name: &str, kind: RegionKind, listing: Listing) -> Result<(), MapError> {
        let source = self.mention(name, listing);
        let line = source.line;
        let align = self.size(object, "align", None, line)?;
        let Some(bytes) = self.size(object, "size", align, line)?.filter(|&bytes| bytes > 0) else {
            return self.children(object, Some(name));
        };
        let is_reset = text(object, "decode_state").is_some_and(|state| state == "reset");
        let enabled = text(object, "state") != Some("disabled") && !is_reset;
        let mapping = |value: &Value| {
            let mapping = value.as_object()?;
            let dimm = text(mapping, "dimm").or_else(|| text(mapping, "memdev"))?.to_owned();
            Some(Mapping { dimm, bytes: mapping.get("length").and_then(number) })
        };
        let mappings: Vec<Mapping> =
            object.get("mappings").and_then(Value::as_array).into_iter().flatten().filter_map(mapping).collect();
        let listed = (listing == Listing::Ndctl && !mappings.is_empty()).then_some(mappings.len() as u64);
        let mut region = Region {
            enabled,
            align,
            available_bytes: self.size(object, "available_size", align, line)?,
            ways: object.get("interleave_ways").and_then(Value::as_u64).or(listed),
            mappings,
            node: node(object, "target_node").or_else(|| node(object, "numa_node")),
            ..Region::new(name, bytes, kind, vec![source])
        };
        let memory_kind = if kind == RegionKind::Persistent { Kind::Persistent } else { Kind::SoftReserved };
        let extents = object.get("extents").and_then(Value::as_array);
        if let Some(start) = address(object, "resource", line)? {
            let whole = enabled && extents.is_none();
            region.span = self.span(line, start, bytes, whole.then_some(memory_kind))?;
            // Of a region with dynamic capacity, only the extents are memory.
            for extent in extents.into_iter().flatten().filter_map(Value::as_object) {
                let offset = address(extent, "offset", line)?.unwrap_or(0);
                let length = self.size(extent, "length", None, line)?.unwrap_or(0);
                let at = start.checked_add(offset).ok_or(MapError::Wraps { line, start, bytes: offset })?;
                self.span(line, at, length, enabled.then_some(memory_kind))?;
            }
        }
        self.part.inventory.regions.push(region);
        for (key, value) in object {
            if key != "mappings" {
                self.value(value, Under { key, owner: Some(name) })?;
            }
        }
        Ok(())
    }

    /// Reads a namespace, with its devices.
    fn namespace(&mut self, object: &Object, name: &str, owner: Option<&str>) -> Result<(), MapError> {
        let source = self.mention(name, Listing::Ndctl);
        let line = source.line;
        let align = self.size(object, "align", None, line)?;
        let bytes = self.size(object, "size", align, line)?.unwrap_or(0);
        // Each region has a namespace without a size, from which the next is made.
        if bytes == 0 {
            return Ok(());
        }
        let records = match text(object, "map") {
            Some("dev") => Some(RecordsPlace::Dev),
            Some("mem") => Some(RecordsPlace::Mem),
            _ => None,
        };
        let start = address(object, "resource", line)?;
        let span = start.map(|start| self.span(line, start, bytes, None)).transpose()?.flatten();
        self.part.inventory.namespaces.push(Namespace {
            region: owner.map(str::to_owned),
            span,
            mode: text(object, "mode").map(str::to_owned),
            enabled: text(object, "state") != Some("disabled"),
            records,
            align,
            node: node(object, "target_node").or_else(|| node(object, "numa_node")),
            ..Namespace::new(name, bytes, vec![source])
        });
        if let Some(device) = text(object, "chardev") {
            let mut device_object = Object::new();
            for (key, value) in
                object.iter().filter(|(key, _)| matches!(key.as_str(), "size" | "align" | "target_node"))
            {
                device_object.insert(key.clone(), value.clone());
            }
            return self.device(&device_object, device, Some(name));
        }
        self.children(object, Some(name))
    }

    /// The range of an object with a start and a size. It is memory if `kind` says so.
    fn span(&mut self, line: usize, start: u64, bytes: u64, kind: Option<Kind>) -> Result<Option<Span>, MapError> {
        let Some(ends) = sized(line, start, bytes)? else { return Ok(None) };
        let found = memory(line, ends, kind.unwrap_or(Kind::SoftReserved), None)?;
        let span = found.range.span();
        if kind.is_some() {
            self.part.push(Table::Devices, found);
        }
        Ok(Some(span))
    }

    /// The size under a key, in bytes.
    fn size(&self, object: &Object, key: &str, align: Option<u64>, line: usize) -> Result<Option<u64>, MapError> {
        let Some(value) = object.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        let wrong = || MapError::BadSize { line, text: value.to_string() };
        let bytes = match value {
            Value::String(text) => human_size::parse(text, align).map_err(|error| match error {
                NotASize::Unreadable => wrong(),
                NotASize::Contradicting => MapError::UnitsDiffer { line, text: text.clone() },
            })?,
            value => number(value).ok_or_else(wrong)?,
        };
        Ok(Some(bytes))
    }

    /// The place where a name stands, which counts as an entry of the listing.
    fn mention(&mut self, name: &str, listing: Listing) -> Mention {
        let line = self.line(name);
        self.part.sources.note(listing, line);
        Mention { listing, line }
    }

    /// The number of the line that contains a name, for messages.
    fn line(&mut self, name: &str) -> usize {
        self.words.line(name)
    }
}

/// The lines in which words stand.
struct Words<'a> {
    /// Numbers of the lines of each word, ascending.
    lines: HashMap<&'a str, Vec<usize>>,
    /// Number of the first line.
    first: usize,
    /// Number of the line that was named last. Names come in the order of the lines.
    last: usize,
}

/// The words of a text: names and numbers.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !(char.is_ascii_alphanumeric() || "._-".contains(char))).filter(|word| !word.is_empty())
}

impl<'a> Words<'a> {
    fn new(lines: &[Line<'a>]) -> Self {
        let mut numbers: HashMap<&str, Vec<usize>> = HashMap::new();
        for line in lines {
            for word in words(line.text) {
                let numbers = numbers.entry(word).or_default();
                if numbers.last() != Some(&line.number) {
                    numbers.push(line.number);
                }
            }
        }
        let first = lines.first().map_or(0, |line| line.number);
        Self { lines: numbers, first, last: first }
    }

    /// The number of the first line with a name that is not before the last one; else the first line with it.
    fn line(&mut self, name: &str) -> usize {
        let numbers = words(name).next().and_then(|word| self.lines.get(word));
        let Some(numbers) = numbers else { return self.first };
        let behind = numbers.get(numbers.partition_point(|number| *number < self.last));
        self.last = behind.or(numbers.first()).copied().unwrap_or(self.first);
        self.last
    }
}

/// A number, also as a text.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => parse_size(text).ok(),
        value => value.as_u64(),
    }
}

/// The address or offset under a key.
fn address(object: &Object, key: &str, line: usize) -> Result<Option<u64>, MapError> {
    let Some(value) = object.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    number(value).map(Some).ok_or_else(|| MapError::BadSize { line, text: value.to_string() })
}

/// The NUMA node under a key; `None` for -1.
fn node(object: &Object, key: &str) -> Option<u8> {
    match object.get(key)? {
        // `lsmem` of util-linux before 2.33.
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().and_then(|node| node.try_into().ok()),
    }
}
