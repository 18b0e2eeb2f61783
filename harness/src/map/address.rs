//! Addresses and ranges of addresses, as text of any format writes them.

use super::MAX_PHYS_BITS;
use super::error::MapError;
use super::kind::Kind;
use super::part::Found;
use super::range::MapRange;

/// Parses a hexadecimal number, with or without `0x`.
fn address(line: usize, text: &str) -> Result<u64, MapError> {
    let digits = text.trim_start_matches("0x").trim_start_matches("0X");
    u64::from_str_radix(digits, 16).map_err(|_| MapError::BadAddress { line, text: text.to_owned() })
}

/// Parses a range whose last byte is `end`.
pub(super) fn inclusive(line: usize, start: &str, end: &str) -> Result<(u64, u64), MapError> {
    let (start, end) = (address(line, start)?, address(line, end)?);
    if end < start {
        return Err(MapError::Backwards { line, start, end });
    }
    Ok((start, end))
}

/// Parses a range that ends before `end`; returns its first and last byte, or `None` if it is
/// empty.
pub(super) fn exclusive(line: usize, start: &str, end: &str) -> Result<Option<(u64, u64)>, MapError> {
    let (start, end) = (address(line, start)?, address(line, end)?);
    if end < start {
        return Err(MapError::Backwards { line, start, end });
    }
    Ok((start < end).then(|| (start, end - 1)))
}

/// The first and last byte of a range of `bytes` bytes; `None` if it is empty.
pub(super) fn sized(line: usize, start: u64, bytes: u64) -> Result<Option<(u64, u64)>, MapError> {
    let Some(more) = bytes.checked_sub(1) else { return Ok(None) };
    let last = start.checked_add(more).ok_or(MapError::Wraps { line, start, bytes })?;
    Ok(Some((start, last)))
}

/// A memory range from its first and last byte.
pub(super) fn memory(line: usize, (start, last): (u64, u64), kind: Kind, node: Option<u8>) -> Result<Found, MapError> {
    if last >> MAX_PHYS_BITS != 0 {
        return Err(MapError::BadAddress { line, text: format!("{last:#x}") });
    }
    Ok(Found { line, range: MapRange { start, end: last + 1, kind, node, base_assumed: false } })
}
