//! The alternatives of the kernel's code: instructions that it replaces at boot, as the machine
//! demands.
//!
//! Source: `arch/x86/kernel/alternative.c`.

use super::error::ImageError;
use super::facts::Facts;
use super::low_memory::{LowMemory, outside, within};
use std::ops::Range;

/// Levels of page tables, which decide the width of a physical address in `pfn_valid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PagingLevels {
    /// 46 bits of physical address.
    Four,
    /// 52 bits of physical address.
    Five,
}

impl PagingLevels {
    /// What Linux uses on this machine's processor.
    pub fn from_processor() -> Self {
        let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = flags.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        if flags.split_ascii_whitespace().any(|flag| flag == "la57") { Self::Five } else { Self::Four }
    }

    /// Bits of a physical address: `MAX_PHYSMEM_BITS`.
    pub fn physical_bits(self) -> u32 {
        match self {
            Self::Four => 46,
            Self::Five => 52,
        }
    }

    /// 4 or 5.
    pub fn number(self) -> u32 {
        match self {
            Self::Four => 4,
            Self::Five => 5,
        }
    }
}

/// `ALTINSTR_FLAG_INV` (5.13) or `ALT_FLAG_NOT` (6.3): the replacement is for machines without the
/// feature.
const NOT_16_BITS: u32 = 1 << 15;
const NOT_32_BITS: u32 = 1 << 16;

/// An entry of the table of alternatives: where instructions and their replacement lie, and on which
/// machines they are replaced.
struct Alternative {
    place: usize,
    len: usize,
    replacement: usize,
    replacement_len: usize,
    feature: u64,
    /// True if they are replaced on machines without the feature.
    is_not: bool,
}

impl Alternative {
    /// Reads the entry at an offset.
    fn read(memory: &mut LowMemory, at: usize, facts: &Facts) -> Result<Self, ImageError> {
        let mut pointer = |field: u64| {
            let at = within(at, field)?;
            let target = at as i64 + i64::from(i32::from_le_bytes(memory.array(at)?));
            usize::try_from(target).map_err(|_| outside())
        };
        let place = pointer(facts.alternative_where_offset)?;
        let replacement = pointer(facts.alternative_replacement_offset)?;
        let mut byte = |field: u64| Ok::<_, ImageError>(usize::from(memory.array::<1>(within(at, field)?)?[0]));
        let len = byte(facts.alternative_length_offset)?;
        let replacement_len = byte(facts.alternative_replacement_length_offset)?;
        let feature = within(at, facts.alternative_feature_offset)?;
        let (feature, is_not) = match facts.alternative_length_offset.checked_sub(facts.alternative_feature_offset) {
            Some(4) => {
                let word = u32::from_le_bytes(memory.array(feature)?);
                (word & 0xffff, word & NOT_32_BITS != 0)
            }
            _ => {
                let word = u32::from(u16::from_le_bytes(memory.array(feature)?));
                (word & !NOT_16_BITS, word & NOT_16_BITS != 0)
            }
        };
        Ok(Self { place, len, replacement, replacement_len, feature: feature.into(), is_not })
    }

    /// Replaces the instructions. `text` is the end of the code.
    fn apply(&self, memory: &mut LowMemory, text: usize) -> Result<(), ImageError> {
        let Self { place, len, replacement, replacement_len, .. } = *self;
        let is_code = |at: usize, len: usize| at <= text && len <= text - at;
        if replacement_len > len || !is_code(place, len) || !is_code(replacement, replacement_len) {
            return Err(ImageError::Alternatives("a replacement is too long or lies outside the code"));
        }
        let mut code = memory.bytes(replacement, replacement_len)?.to_vec();
        // A near jump or call is relative to its own address.
        if let [0xe8 | 0xe9, distance @ ..] = &mut code[..]
            && let Ok(old) = <[u8; 4]>::try_from(&*distance)
        {
            let moved = i64::from(i32::from_le_bytes(old)) + replacement as i64 - place as i64;
            distance.copy_from_slice(&(moved as i32).to_le_bytes());
        }
        pad_with_nops(&mut code, len);
        memory.write(place, &code)
    }
}

/// Replaces instructions as the kernel does at boot, on a machine with these page-table levels and
/// none of the other features. `table` holds the alternatives, and the code ends at `text`.
///
/// # Errors
/// The table is damaged.
pub(super) fn apply(
    memory: &mut LowMemory,
    table: Range<usize>,
    text: usize,
    facts: &Facts,
    levels: PagingLevels,
) -> Result<(), ImageError> {
    let step = within(0, facts.alternative_bytes)?;
    if step == 0 || !table.len().is_multiple_of(step) {
        return Err(ImageError::Alternatives("their table is not a whole number of entries"));
    }
    for at in table.step_by(step) {
        let alternative = Alternative::read(memory, at, facts)?;
        let has = alternative.feature == facts.feature_always
            || alternative.feature == facts.feature_la57 && levels == PagingLevels::Five;
        if has != alternative.is_not {
            alternative.apply(memory, text)?;
        }
    }
    Ok(())
}

/// Extends code with the longest no-ops, as `add_nops` of the kernel does.
fn pad_with_nops(code: &mut Vec<u8>, len: usize) {
    const NOPS: [&[u8]; 8] = [
        &[0x90],
        &[0x66, 0x90],
        &[0x0f, 0x1f, 0x00],
        &[0x0f, 0x1f, 0x40, 0x00],
        &[0x0f, 0x1f, 0x44, 0x00, 0x00],
        &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
        &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
        &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    ];
    while code.len() < len {
        code.extend_from_slice(NOPS[(len - code.len()).min(NOPS.len()) - 1]);
    }
}
