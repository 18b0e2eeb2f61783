//! The BPF Type Format: sizes and offsets of the kernel's structures, and values of its
//! enumerations.
//!
//! Only what the section tables need is read. The one kept crate for BTF is under the LGPL, which a
//! statically linked program under MIT or Apache-2.0 had better not contain.
//!
//! Source: `Documentation/bpf/btf.rst`.

use super::error::RunningError;

/// The type information of a kernel.
#[derive(Clone, Debug)]
pub struct Btf {
    types: Vec<u8>,
    strings: Vec<u8>,
}

/// A member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Offset in bytes.
    pub offset: u64,
    /// Size of the structure in bytes.
    pub size_of_struct: u64,
}

const STRUCT: u32 = 4;
const ENUM: u32 = 6;
/// Bytes of the header of a type: name, info, and size or type.
const HEADER: usize = 12;

fn damaged(what: &str) -> RunningError {
    RunningError::Btf(format!("is damaged: {what}"))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Btf {
    /// Reads the content of a BTF file.
    ///
    /// # Errors
    /// It is not BTF, or shorter than it says.
    pub fn parse(bytes: &[u8]) -> Result<Self, RunningError> {
        let field = |at| word(bytes, at).map(|word| word as usize).ok_or_else(|| damaged("it has no header"));
        if field(0)? & 0xffff != 0xeb9f {
            return Err(damaged("it does not begin with the magic number 0xeb9f"));
        }
        let header = field(4)?;
        let part = |offset: usize, len: usize| {
            let start = header.checked_add(offset)?;
            Some(bytes.get(start..start.checked_add(len)?)?.to_vec())
        };
        let types = part(field(8)?, field(12)?).ok_or_else(|| damaged("the types end after the file"))?;
        let strings = part(field(16)?, field(20)?).ok_or_else(|| damaged("the strings end after the file"))?;
        Ok(Self { types, strings })
    }

    fn name(&self, at: u32) -> Option<&str> {
        let rest = self.strings.get(at as usize..)?;
        std::str::from_utf8(rest.split(|&byte| byte == 0).next()?).ok()
    }

    /// Calls `visit` with each type's kind, offset, number of entries and flag, until it returns
    /// something.
    fn find<T>(&self, mut visit: impl FnMut(u32, usize, usize, bool) -> Option<T>) -> Result<Option<T>, RunningError> {
        let mut at = 0;
        while at < self.types.len() {
            let info = word(&self.types, at + 4).ok_or_else(|| damaged("the last type is cut off"))?;
            let (kind, entries, flag) = (info >> 24 & 31, (info & 0xffff) as usize, info >> 31 == 1);
            if let Some(found) = visit(kind, at, entries, flag) {
                return Ok(Some(found));
            }
            at += HEADER
                + match kind {
                    // Integer, variable, declaration tag.
                    1 | 14 | 17 => 4,
                    // Array.
                    3 => 12,
                    // Structure, union, data section, 64-bit enumeration.
                    STRUCT | 5 | 15 | 19 => 12 * entries,
                    // Enumeration, function prototype.
                    ENUM | 13 => 8 * entries,
                    // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
                    2 | 7..=12 | 16 | 18 => 0,
                    other => return Err(damaged(&format!("it has a type of unknown kind {other}"))),
                };
        }
        Ok(None)
    }

    /// A member of a structure.
    ///
    /// # Errors
    /// There is no such structure or member, or the file is damaged.
    pub fn member(&self, of: &str, member: &str) -> Result<Member, RunningError> {
        let found = self.find(|kind, at, entries, has_bit_fields| {
            let name = self.name(word(&self.types, at)?)?;
            if kind != STRUCT || name != of {
                return None;
            }
            let size_of_struct = u64::from(word(&self.types, at + 8)?);
            let entry = (0..entries).map(|nr| at + HEADER + 12 * nr).find(|&entry| {
                word(&self.types, entry).and_then(|name| self.name(name)).is_some_and(|name| name == member)
            })?;
            let bits = word(&self.types, entry + 8)?;
            let bits = if has_bit_fields { bits & 0xff_ffff } else { bits };
            Some(Member { offset: u64::from(bits / 8), size_of_struct })
        })?;
        found.ok_or_else(|| RunningError::Btf(format!("has no {of}.{member}")))
    }

    /// The value of an enumerator; `None` if no enumeration has it.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn enumerator(&self, wanted: &str) -> Result<Option<u32>, RunningError> {
        self.find(|kind, at, entries, _| {
            let entries = (0..if kind == ENUM { entries } else { 0 }).map(|nr| at + HEADER + 8 * nr);
            let is_it = |&entry: &usize| {
                word(&self.types, entry).and_then(|name| self.name(name)).is_some_and(|name| name == wanted)
            };
            word(&self.types, entries.into_iter().find(is_it)? + 4)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with an integer, a structure `pair { a at 0, b at 8 }` and an enumeration `{ X = 3 }`.
    fn file() -> Vec<u8> {
        let strings = b"\0int\0pair\0a\0b\0X\0";
        let types: Vec<u32> =
            [&[1, 1 << 24, 4, 32][..], &[5, STRUCT << 24 | 2, 16, 10, 1, 0, 12, 1, 64], &[0, ENUM << 24 | 1, 4, 14, 3]]
                .concat();
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let len = |len: usize| (len as u32).to_le_bytes();
        let header =
            [0xeb9f_u32.to_le_bytes(), len(24), len(0), len(types.len()), len(types.len()), len(strings.len())];
        [&header.concat()[..], &types, strings].concat()
    }

    #[test]
    fn members_and_enumerators_are_found_by_name() {
        let btf = Btf::parse(&file()).unwrap();
        assert_eq!(btf.member("pair", "b").unwrap(), Member { offset: 8, size_of_struct: 16 });
        assert_eq!(btf.member("pair", "c").unwrap_err().to_string(), "/sys/kernel/btf/vmlinux has no pair.c");
        assert_eq!((btf.enumerator("X").unwrap(), btf.enumerator("Y").unwrap()), (Some(3), None));
    }

    #[test]
    fn every_prefix_of_a_file_is_an_error_and_not_a_panic() {
        let file = file();
        for len in 0..file.len() {
            if let Ok(btf) = Btf::parse(&file[..len]) {
                btf.member("pair", "b").unwrap_err();
            }
        }
        let mut other = file;
        other[0] ^= 1;
        assert!(Btf::parse(&other).unwrap_err().to_string().contains("0xeb9f"));
    }
}
