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

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the code and the table of a test lie.
    const CODE: usize = 0;
    const REPLACEMENT: usize = 0x100;
    const TEXT: usize = 0x200;
    const TABLE: usize = 0x1000;
    const LA57: u64 = 528;

    /// The form of an entry: the bytes of the feature field.
    fn facts(feature_bytes: u64) -> Facts {
        Facts {
            alternative_bytes: 10 + feature_bytes,
            alternative_where_offset: 0,
            alternative_replacement_offset: 4,
            alternative_feature_offset: 8,
            alternative_length_offset: 8 + feature_bytes,
            alternative_replacement_length_offset: 9 + feature_bytes,
            feature_always: 117,
            feature_la57: LA57,
            ..Facts::default()
        }
    }

    /// Applies one alternative to five bytes of `0xcc`, and returns the bytes.
    fn applied(facts: &Facts, feature: u32, replacement: &[u8], levels: PagingLevels) -> Result<Vec<u8>, ImageError> {
        let mut memory = LowMemory::new(0x2000)?;
        memory.write(CODE, &[0xcc; 5])?;
        memory.write(REPLACEMENT, replacement)?;
        let feature_bytes = facts.alternative_length_offset - 8;
        let mut entry = Vec::new();
        entry.extend((CODE as i32 - TABLE as i32).to_le_bytes());
        entry.extend((REPLACEMENT as i32 - (TABLE as i32 + 4)).to_le_bytes());
        entry.extend(&feature.to_le_bytes()[..feature_bytes as usize]);
        entry.extend([5, replacement.len() as u8]);
        memory.write(TABLE, &entry)?;
        apply(&mut memory, TABLE..TABLE + entry.len(), TEXT, facts, levels)?;
        Ok(memory.bytes(CODE, 5)?.to_vec())
    }

    #[test]
    fn a_replacement_is_for_machines_with_its_feature_or_without() {
        let (unchanged, replaced) = (vec![0xcc; 5], vec![0xb8, 1, 0, 0, 0]);
        for (feature_bytes, not) in [(2, NOT_16_BITS), (4, NOT_32_BITS)] {
            let facts = facts(feature_bytes);
            let applied = |feature, levels| applied(&facts, feature, &[0xb8, 1, 0, 0, 0], levels).unwrap();
            let la57 = LA57 as u32;
            assert_eq!(applied(la57, PagingLevels::Four), unchanged);
            assert_eq!(applied(la57, PagingLevels::Five), replaced);
            assert_eq!(applied(la57 | not, PagingLevels::Four), replaced);
            assert_eq!(applied(la57 | not, PagingLevels::Five), unchanged);
            assert_eq!(applied(117, PagingLevels::Four), replaced, "always");
            assert_eq!(applied(3, PagingLevels::Five), unchanged, "any other feature is absent");
        }
    }

    #[test]
    fn jumps_are_moved_and_the_rest_is_filled() {
        let applied = |replacement: &[u8]| applied(&facts(4), 117, replacement, PagingLevels::Four);
        // From REPLACEMENT to 0x180: the target stays.
        let jump = [&[0xe9][..], &(0x180i32 - (REPLACEMENT as i32 + 5)).to_le_bytes()].concat();
        let moved = [&[0xe9][..], &(0x180i32 - (CODE as i32 + 5)).to_le_bytes()].concat();
        assert_eq!(applied(&jump).unwrap(), moved);
        assert_eq!(applied(&[]).unwrap(), [0x0f, 0x1f, 0x44, 0, 0]);
        assert_eq!(applied(&[0xf9]).unwrap(), [0xf9, 0x0f, 0x1f, 0x40, 0]);
        let error = applied(&[0x90; 6]).unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
    }
}
