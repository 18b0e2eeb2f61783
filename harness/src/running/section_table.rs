//! The section table of the running kernel: every descriptor, with its sub-section map.

use super::btf::Btf;
use super::error::RunningError;
use super::kcore::Kcore;
use memmap_layouts::{
    Geometry, SECTION_HAS_MEM_MAP, SECTION_IS_EARLY, SECTION_IS_ONLINE, SECTION_MARKED_PRESENT,
    SECTION_TAINT_ZONE_DEVICE, X86_64,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The bits of a section word, by their names in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagBits {
    /// `SECTION_MARKED_PRESENT`; 0 if the kernel has no such flag.
    pub present: u64,
    /// `SECTION_HAS_MEM_MAP`.
    pub has_map: u64,
    /// `SECTION_IS_ONLINE`.
    pub online: u64,
    /// `SECTION_IS_EARLY`.
    pub early: u64,
    /// `SECTION_TAINT_ZONE_DEVICE`; 0 if the kernel has no such flag.
    pub taint: u64,
}

impl FlagBits {
    /// Linux 5.3 to 5.11, whose flags are macros and not in the type information.
    const MACROS: Self = Self { present: 1, has_map: 2, online: 4, early: 8, taint: 0 };

    fn of(btf: &Btf) -> Result<Self, RunningError> {
        let bit = |name| match btf.enumerator(name)?.map(|nr| 1u64.checked_shl(nr)) {
            None => Ok(0),
            Some(Some(bit)) => Ok(bit),
            Some(None) => Err(RunningError::Btf(format!("is damaged: {name} is no bit of a word"))),
        };
        let has_map = bit("SECTION_HAS_MEM_MAP_BIT")?;
        if has_map == 0 {
            // Until the bits were an enumeration (6.2), the taint was a macro as well. Bit 4 has no
            // other meaning in those kernels, and 5.3 to 5.11 never set it.
            return Ok(Self { taint: 16, ..Self::MACROS });
        }
        Ok(Self {
            present: bit("SECTION_MARKED_PRESENT_BIT")?,
            has_map,
            online: bit("SECTION_IS_ONLINE_BIT")?,
            early: bit("SECTION_IS_EARLY_BIT")?,
            taint: bit("SECTION_TAINT_ZONE_DEVICE_BIT")?,
        })
    }

    /// The bits of a word in the order and the places of
    /// [`SECTION_FLAGS`](memmap_layouts::section::SECTION_FLAGS), whatever they are in the kernel.
    pub fn normalised(self, word: u64) -> u64 {
        let pairs = [
            (self.present, SECTION_MARKED_PRESENT),
            (self.has_map, SECTION_HAS_MEM_MAP),
            (self.online, SECTION_IS_ONLINE),
            (self.early, SECTION_IS_EARLY),
            (self.taint, SECTION_TAINT_ZONE_DEVICE),
        ];
        pairs.into_iter().filter(|(its, _)| word & its != 0).fold(0, |all, (_, ours)| all | ours)
    }
}

/// A section descriptor of the running kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningSection {
    /// Number of the section.
    pub nr: u64,
    /// `section_mem_map`: the coded pointer and the flags.
    pub word: u64,
    /// The sub-section map; 0 without a usage.
    pub map: u64,
}

/// The section table of the running kernel.
#[derive(Debug)]
pub struct RunningSections {
    kcore: Kcore,
    roots: u64,
    section_bytes: u64,
    word_offset: u64,
    usage_offset: u64,
    map_offset: u64,
    flags: FlagBits,
}

/// The address of a symbol of the kernel.
fn address_of(symbol: &'static str) -> Result<u64, RunningError> {
    let path = "/proc/kallsyms";
    let text = fs::read_to_string(path).map_err(|source| RunningError::Unreadable { path: path.into(), source })?;
    let lines = text.lines().map(|line| line.split(' '));
    let found = lines.filter_map(|mut words| Some((words.next()?, words.nth(1)?))).find(|(_, name)| *name == symbol);
    let (address, _) = found.ok_or(RunningError::Symbol { symbol, what: "has no" })?;
    match u64::from_str_radix(address, 16) {
        Ok(address) if address != 0 => Ok(address),
        _ => Err(RunningError::Symbol { symbol, what: "hides the address of" }),
    }
}

impl RunningSections {
    /// Opens the tables of the running kernel.
    ///
    /// # Errors
    /// [`RunningError`]: the user is not root, or the kernel is in lockdown or has no type
    /// information.
    pub fn open() -> Result<Self, RunningError> {
        let kcore = Kcore::open(Path::new("/proc/kcore"))?;
        let path = "/sys/kernel/btf/vmlinux";
        let btf = fs::read(path).map_err(|source| RunningError::Unreadable { path: path.into(), source })?;
        let btf = Btf::parse(&btf)?;
        let word = btf.member("mem_section", "section_mem_map")?;
        let usage = btf.member("mem_section", "usage")?;
        let map = btf.member("mem_section_usage", "subsection_map")?;
        if word.offset.max(usage.offset) + 8 > word.size_of_struct || word.size_of_struct > X86_64::PAGE_SIZE {
            return Err(RunningError::Btf("is damaged: a field of mem_section lies outside of it".to_owned()));
        }
        // SPARSEMEM_EXTREME: the symbol is a pointer to the root table.
        let roots = kcore.word(address_of("mem_section")?)?;
        Ok(Self {
            kcore,
            roots,
            section_bytes: word.size_of_struct,
            word_offset: word.offset,
            usage_offset: usage.offset,
            map_offset: map.offset,
            flags: FlagBits::of(&btf)?,
        })
    }

    /// The bits of a section word.
    pub fn flags(&self) -> FlagBits {
        self.flags
    }

    /// Size of a descriptor in bytes.
    pub fn section_bytes(&self) -> u64 {
        self.section_bytes
    }

    /// The descriptors below section `end` that are not blank.
    ///
    /// # Errors
    /// The memory cannot be read.
    pub fn below(&self, end: u64) -> Result<Vec<RunningSection>, RunningError> {
        let per_root = X86_64::PAGE_SIZE / self.section_bytes;
        let mut sections = Vec::new();
        for first in (0..end.min(X86_64::NR_MEM_SECTIONS)).step_by(per_root as usize) {
            let root = self.kcore.word(self.roots + 8 * (first / per_root))?;
            if root == 0 {
                continue;
            }
            let mut page = vec![0; (per_root * self.section_bytes) as usize];
            self.kcore.read(root, &mut page)?;
            for (nr, descriptor) in (first..end).zip(page.chunks_exact(self.section_bytes as usize)) {
                let field = |offset: u64| {
                    let bytes = descriptor[offset as usize..].first_chunk().expect("a field is in its structure");
                    u64::from_le_bytes(*bytes)
                };
                let (word, usage) = (field(self.word_offset), field(self.usage_offset));
                let map = if usage == 0 { 0 } else { self.kcore.word(usage + self.map_offset)? };
                if word != 0 || map != 0 {
                    sections.push(RunningSection { nr, word, map });
                }
            }
        }
        Ok(sections)
    }
}
