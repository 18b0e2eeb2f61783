//! The output of `ndctl list`, `daxctl list`, `cxl list` and `lsmem --json`.
//!
//! The text holds one object or many, in an array or in sequence. Numbers are bytes; with `-u` they
//! are strings (`250.00 MiB (262.14 MB)`, `0x140000000`). Only root sees physical addresses, so
//! most listings contain only sizes.

use super::MAX_PHYS_BITS;
use super::address::{inclusive, memory, sized};
use super::error::{MapError, not_a_range};
use super::kind::Kind;
use super::line::Line;
use super::lsmem;
use super::part::{MapPart, NoBase, Table};
use crate::size::parse_size;
use serde_json::{Deserializer, Map, Value};

/// Parses the value that begins at the first line and returns its number of lines; `None` if no
/// value begins there.
pub(super) fn read(lines: &[Line<'_>], part: &mut MapPart) -> Result<Option<usize>, MapError> {
    let Some(&first) = lines.first() else { return Ok(None) };
    let begin = first.text.trim_start();
    // A time stamp of a log also begins with `[`; the next character tells them apart from JSON.
    let after = begin.strip_prefix('[').map(str::trim_start);
    let is_json =
        begin.starts_with('{') || after.is_some_and(|after| after.is_empty() || after.starts_with(['{', ']']));
    if !is_json {
        return Ok(None);
    }
    let text: String = lines.iter().flat_map(|line| [line.text, "\n"]).collect();
    let mut values = Deserializer::from_str(&text).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) => {
            let at = if error.is_eof() { lines.last() } else { lines.get(error.line().saturating_sub(1)) };
            let at = at.copied().unwrap_or(first);
            return Err(MapError::Json { line: at.number, reason: error.to_string() });
        }
        None => return Ok(None),
    };
    let end = values.byte_offset();
    let taken = text[..end].lines().count();
    let rest = text[end..].lines().next().unwrap_or("").trim_matches([' ', '\t', ',', '\r']);
    if !rest.is_empty() {
        return Err(not_a_range(lines[taken - 1]));
    }
    let mut listing = Listing { lines: &lines[..taken], part, memdevs: Vec::new(), regions: 0 };
    listing.value(&value, "")?;
    listing.finish();
    Ok(Some(taken))
}

/// The state while a listing is traversed.
struct Listing<'a, 'p> {
    lines: &'a [Line<'a>],
    part: &'p mut MapPart,
    /// CXL devices. Their capacity counts only if no region shows how it is used.
    memdevs: Vec<NoBase>,
    regions: usize,
}

type Object = Map<String, Value>;

impl Listing<'_, '_> {
    /// Visits a value; `under` is its key.
    fn value(&mut self, value: &Value, under: &str) -> Result<(), MapError> {
        match value {
            Value::Array(values) => values.iter().try_for_each(|value| self.value(value, under)),
            Value::Object(object) => self.object(object, under),
            _ => Ok(()),
        }
    }

    fn object(&mut self, object: &Object, under: &str) -> Result<(), MapError> {
        let name = |key: &str| object.get(key).and_then(Value::as_str);
        if let (Some(range), true) = (name("range"), object.contains_key("size")) {
            return self.block(object, range);
        }
        if let (Some(region), true) = (name("region"), object.contains_key("size")) {
            self.regions += 1;
            let kind = if name("type") == Some("pmem") { Kind::Persistent } else { Kind::SoftReserved };
            return self.sized(object, region, kind);
        }
        // Buses and DIMMs have no memory of their own; namespaces are part of regions.
        if let Some(device) = name("dev").filter(|dev| dev.starts_with("region") || dev.starts_with("namespace")) {
            return match name("type") {
                Some("blk") => Ok(()),
                _ => self.sized(object, device, Kind::Persistent),
            };
        }
        if let Some(device) = name("chardev") {
            return self.dax(object, device);
        }
        if let Some(device) = name("memdev") {
            return self.memdev(object, device);
        }
        if let Some(decoder) = name("decoder")
            && under.contains("root")
            && object.contains_key("resource")
        {
            self.sized(object, decoder, Kind::Window)?;
        }
        // A region of the dax bus without a device.
        let is_dax_region = ["path", "align", "size"].iter().all(|key| object.contains_key(*key));
        let devices = object.get("devices").and_then(Value::as_array).map_or(0, Vec::len);
        if is_dax_region && devices == 0 {
            return self.sized(object, name("path").unwrap_or_default(), Kind::SoftReserved);
        }
        object.iter().try_for_each(|(key, value)| self.value(value, key))
    }

    /// Reads a row of `lsmem`.
    fn block(&mut self, object: &Object, range: &str) -> Result<(), MapError> {
        let line = self.line(range);
        let (start, last) = range.split_once('-').ok_or_else(|| bad(line, range))?;
        let ends = inclusive(line, start.trim(), last.trim())?;
        let found = memory(line, ends, Kind::Ram, node(object, "node"))?;
        let bytes = found.range.end - found.range.start;
        match &object["size"] {
            Value::String(text) => lsmem::check_size(&found, text)?,
            Value::Number(number) if number.as_u64() == Some(bytes) => {}
            other => return Err(MapError::SizeOfRange { line, text: other.to_string(), bytes }),
        }
        lsmem::push(self.part, found, object.get("state").and_then(Value::as_str) == Some("offline"));
        Ok(())
    }

    /// Reads a DAX device; each of its mappings is a range.
    fn dax(&mut self, object: &Object, device: &str) -> Result<(), MapError> {
        let kind = match object.get("mode").and_then(Value::as_str) {
            Some("system-ram") => Kind::HotplugRam,
            _ => Kind::SoftReserved,
        };
        let mappings = object.get("mappings").and_then(Value::as_array).filter(|mappings| !mappings.is_empty());
        let Some(mappings) = mappings else { return self.sized(object, device, kind) };
        let line = self.line(device);
        for mapping in mappings {
            let end = |key: &str| mapping.get(key).map(|value| bytes(value, line)).transpose();
            if let (Some(start), Some(last)) = (end("start")?, end("end")?) {
                if last < start {
                    return Err(MapError::Backwards { line, start, end: last });
                }
                let found = memory(line, (start, last), kind, node(object, "target_node"))?;
                self.part.push(Table::Devices, found);
            }
        }
        Ok(())
    }

    fn memdev(&mut self, object: &Object, device: &str) -> Result<(), MapError> {
        let line = self.line(device);
        for (key, kind) in [("ram_size", Kind::SoftReserved), ("pmem_size", Kind::Persistent)] {
            let size = object.get(key).map(|value| bytes(value, line)).transpose()?.unwrap_or(0);
            if size > 0 {
                let (name, node) = (device.to_owned(), node(object, "numa_node"));
                self.memdevs.push(NoBase { line, name, bytes: size, kind, node });
            }
        }
        Ok(())
    }

    /// Reads an object with a size, and with an address if root made the listing.
    fn sized(&mut self, object: &Object, name: &str, kind: Kind) -> Result<(), MapError> {
        let line = self.line(name);
        let number = |key: &str| object.get(key).map(|value| bytes(value, line)).transpose();
        let Some(size) = number("size")?.filter(|&size| size > 0) else { return Ok(()) };
        let node = node(object, "target_node").or_else(|| node(object, "numa_node"));
        match number("resource")? {
            Some(base) => {
                let Some(ends) = sized(line, base, size)? else { return Ok(()) };
                if kind == Kind::Window && ends.1 >> MAX_PHYS_BITS != 0 {
                    self.part.beyond += 1;
                    return Ok(());
                }
                let table = if kind == Kind::Window { Table::Cedt } else { Table::Devices };
                self.part.push(table, memory(line, ends, kind, node)?);
            }
            None => self.part.no_base.push(NoBase { line, name: name.to_owned(), bytes: size, kind, node }),
        }
        Ok(())
    }

    /// The number of the line that contains a name, for error messages.
    fn line(&self, name: &str) -> usize {
        let with = self.lines.iter().find(|line| line.text.contains(name));
        with.or(self.lines.first()).map_or(0, |line| line.number)
    }

    fn finish(self) {
        if self.regions == 0 {
            self.part.no_base.extend(self.memdevs);
        }
    }
}

fn bad(line: usize, text: &str) -> MapError {
    MapError::BadAddress { line, text: text.to_owned() }
}

/// Parses a size or an address, given as a number or a string.
fn bytes(value: &Value, line: usize) -> Result<u64, MapError> {
    let bytes = match value {
        // `250.00 MiB (262.14 MB)`: both are the same size.
        Value::String(text) => text.split('(').next().and_then(|text| parse_size(text).ok()),
        value => value.as_u64(),
    };
    bytes.ok_or_else(|| MapError::BadSize { line, text: value.to_string() })
}

/// The NUMA node under a key; `None` for -1.
fn node(object: &Object, key: &str) -> Option<u8> {
    object.get(key)?.as_u64().and_then(|node| node.try_into().ok())
}
