//! Loads the object file of the kernel's compiled lookups into this process.
//!
//! The kernel's code model (`-mcmodel=kernel`, no PIC) holds addresses in 32 bits, so it cannot be a
//! shared object. Its sections are copied to free memory below 2 GiB, and every relocation is
//! resolved there. Symbols of the kernel that the lookups need are defined by [`support`]. The code
//! is writable only before it is executable.
//!
//! Source: `arch/x86/kernel/alternative.c`, `arch/x86/kernel/module.c`, System V ABI for x86-64.

use super::alternatives::{self, PagingLevels};
use super::error::ImageError;
use super::facts::Facts;
use super::low_memory::{LowMemory, MOST_BYTES, outside, within};
use super::per_cpu;
use super::support::{self, Support};
use object::read::elf::ElfFile64;
use object::{
    Architecture, Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionFlags,
    SectionIndex, elf,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::io;

/// Bytes of a page, and of a cache line.
const PAGE: usize = 4096;
const LINE: usize = 64;

/// Sections with tables that the running kernel would read; no lookup does.
const NOT_LOADED: [&str; 6] = [".discard", "__mcount_loc", ".return_sites", ".retpoline_sites", ".orc_", ".note"];

/// The compiled lookups of a kernel, ready to be called.
pub struct Image {
    memory: LowMemory,
    symbols: BTreeMap<String, usize>,
    per_cpu: Option<usize>,
    /// The constants of the kernel.
    pub facts: Facts,
    /// The page tables for which the code was patched.
    pub levels: PagingLevels,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("address", &self.memory.address()).field("facts", &self.facts).finish()
    }
}

/// What a part of the image may do. The parts lie in this order, each on pages of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Execute,
    Read,
    Write,
}

/// Where the sections and the defined symbols lie, as offsets from the start of the image.
#[derive(Default)]
struct Places {
    sections: BTreeMap<usize, usize>,
    support: BTreeMap<String, usize>,
    has_per_cpu: bool,
    /// End of each part.
    ends: [usize; 3],
}

impl Image {
    /// The symbols with their addresses.
    pub fn symbols(&self) -> &BTreeMap<String, usize> {
        &self.symbols
    }

    /// Loads an object file. `seed` chooses where in a page the code begins.
    ///
    /// # Errors
    /// [`ImageError`]; nothing stays mapped.
    pub fn load(object: &[u8], levels: PagingLevels, seed: u64) -> Result<Self, ImageError> {
        let damaged = |error: object::Error| ImageError::NotAnObject(error.to_string());
        let file: ElfFile64<'_, Endianness> = ElfFile64::parse(object).map_err(damaged)?;
        if file.architecture() != Architecture::X86_64 || file.elf_header().e_type.get(file.endian()) != elf::ET_REL {
            return Err(ImageError::NotAnObject("it is for another machine, or already linked".to_owned()));
        }
        let places = place(&file, seed)?;
        let mut memory = LowMemory::new(places.ends[2])?;
        for section in file.sections() {
            if let Some(&at) = places.sections.get(&section.index().0) {
                let data = section.data().map_err(damaged)?;
                memory.write(at, data)?;
            }
        }
        for (symbol, &at) in &places.support {
            let support = support::definition(symbol).expect("only known symbols were placed");
            memory.write(at, support.bytes())?;
        }
        relocate(&file, &places, &mut memory)?;
        let symbols = symbols(&file, &places, memory.address());
        let facts = Facts::read(|name| {
            let at = *symbols.get(name)? - memory.address();
            Some(memory.bytes(at, memory.len.checked_sub(at)?).ok()?.to_vec())
        })
        .map_err(ImageError::Missing)?;
        facts.check()?;
        if let Some(section) = file.section_by_name(".altinstructions")
            && let Some(&start) = places.sections.get(&section.index().0)
        {
            let table = start..within(start, section.size())?;
            alternatives::apply(&mut memory, table, places.ends[0], &facts, levels)?;
        }
        let [text, data, _] = places.ends;
        memory.protect(0, text, libc::PROT_READ | libc::PROT_EXEC)?;
        memory.protect(text, data - text, libc::PROT_READ)?;
        let per_cpu = places.support.keys().find(|name| matches!(support::definition(name), Some(Support::PerCpu)));
        let per_cpu = per_cpu.and_then(|name| symbols.get(name).copied());
        Ok(Self { memory, symbols, per_cpu, facts, levels })
    }

    /// Prepares this thread to call code of the image.
    ///
    /// # Errors
    /// The operating system does not let the thread have per-CPU data of its own.
    pub fn enter(&self) -> io::Result<()> {
        self.per_cpu.map_or(Ok(()), per_cpu::enter)
    }

    /// Address of a symbol; `None` if this kernel does not have it.
    pub fn symbol(&self, name: &str) -> Option<usize> {
        self.symbols.get(name).copied()
    }
}

/// Lays out the sections that are loaded, and the symbols that they need.
fn place(file: &ElfFile64<'_, Endianness>, seed: u64) -> Result<Places, ImageError> {
    let access = |flags: elf::SectionFlags| match flags {
        _ if flags.contains(elf::SHF_EXECINSTR) => Access::Execute,
        _ if flags.contains(elf::SHF_WRITE) => Access::Write,
        _ => Access::Read,
    };
    let is_loaded = |name: &str, flags: elf::SectionFlags| {
        flags.contains(elf::SHF_ALLOC) && !NOT_LOADED.iter().any(|prefix| name.starts_with(prefix))
    };
    let mut loaded: Vec<(Access, SectionIndex, usize, usize)> = Vec::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        let name = section.name().map_err(|error| ImageError::NotAnObject(error.to_string()))?;
        if section.size() > 0 && is_loaded(name, sh_flags) {
            let (size, align) = (within(0, section.size())?, within(0, section.align().max(1))?);
            if align > PAGE {
                return Err(ImageError::NotAnObject(format!("section {name} wants an alignment of {align} bytes")));
            }
            loaded.push((access(sh_flags), section.index(), size, align));
        }
    }
    let mut needed: BTreeMap<String, Support> = BTreeMap::new();
    for (_, index, ..) in &loaded {
        let section = file.section_by_index(*index).map_err(|error| ImageError::NotAnObject(error.to_string()))?;
        for (_, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
            let symbol = file.symbol_by_index(symbol).map_err(|error| ImageError::NotAnObject(error.to_string()))?;
            if symbol.is_undefined() {
                let name = symbol.name().unwrap_or_default().to_owned();
                let support = support::definition(&name).ok_or(ImageError::Symbol { symbol: name.clone() })?;
                needed.insert(name, support);
            }
        }
    }
    let mut places = Places::default();
    let mut at = Pcg64Mcg::seed_from_u64(seed).random_range(0..PAGE / LINE) * LINE;
    for (part, wanted) in [Access::Execute, Access::Read, Access::Write].into_iter().enumerate() {
        for (_, index, size, align) in loaded.iter().filter(|(access, ..)| *access == wanted) {
            at = at.next_multiple_of(*align);
            places.sections.insert(index.0, at);
            at = within(at, *size as u64)?;
            if at > MOST_BYTES {
                return Err(outside());
            }
        }
        for (name, support) in &needed {
            let is_here = match wanted {
                Access::Execute => support.is_code(),
                Access::Read => false,
                Access::Write => !support.is_code(),
            };
            if is_here {
                at = at.next_multiple_of(LINE);
                places.support.insert(name.clone(), at);
                at += support.bytes().len();
                if matches!(support, Support::PerCpu) && std::mem::replace(&mut places.has_per_cpu, true) {
                    return Err(ImageError::Symbol { symbol: format!("{name} beside other per-CPU data") });
                }
            }
        }
        // An empty part still has a page, so that no part is protected as another.
        at = (at + 1).next_multiple_of(PAGE);
        places.ends[part] = at;
    }
    Ok(places)
}

/// Name and offset of what a relocation points to; `None` if it is not in a section that is loaded.
fn target(
    file: &ElfFile64<'_, Endianness>,
    places: &Places,
    target: RelocationTarget,
) -> Result<(String, Option<usize>), ImageError> {
    let RelocationTarget::Symbol(index) = target else { return Ok((String::new(), None)) };
    let symbol = file.symbol_by_index(index).map_err(|error| ImageError::NotAnObject(error.to_string()))?;
    let name = symbol.name().unwrap_or_default().to_owned();
    if symbol.is_undefined() {
        let at = *places.support.get(&name).ok_or(ImageError::Symbol { symbol: name.clone() })?;
        return Ok((name, Some(at)));
    }
    let section = symbol.section_index().and_then(|index| places.sections.get(&index.0));
    let at = section.map(|&start| within(start, symbol.address())).transpose()?;
    Ok((name, at))
}

fn relocate(file: &ElfFile64<'_, Endianness>, places: &Places, memory: &mut LowMemory) -> Result<(), ImageError> {
    let base = memory.address() as i64;
    for section in file.sections() {
        let Some(&start) = places.sections.get(&section.index().0) else { continue };
        let name = section.name().unwrap_or_default().to_owned();
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
            if r_type == elf::R_X86_64_NONE {
                continue;
            }
            let (symbol, to) = target(file, places, relocation.target())?;
            let unknown = || ImageError::Relocation { section: name.clone(), kind: r_type.0, symbol: symbol.clone() };
            let too_far = || ImageError::TooFar { section: name.clone(), symbol: symbol.clone() };
            let at = within(start, offset)?;
            let to = base + to.ok_or_else(unknown)? as i64;
            let absolute = to.checked_add(relocation.addend()).ok_or_else(too_far)?;
            let relative = absolute.checked_sub(base + at as i64).ok_or_else(too_far)?;
            let in_32_bits = |value: i64| i32::try_from(value).map(i32::to_le_bytes).map_err(|_| too_far());
            match r_type {
                elf::R_X86_64_64 => memory.write(at, &absolute.to_le_bytes())?,
                elf::R_X86_64_PC64 => memory.write(at, &relative.to_le_bytes())?,
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => memory.write(at, &in_32_bits(relative)?)?,
                elf::R_X86_64_32 | elf::R_X86_64_32S => memory.write(at, &in_32_bits(absolute)?)?,
                _ => return Err(unknown()),
            }
        }
    }
    Ok(())
}

/// Addresses of the symbols that the file defines, and of the support that it needs.
fn symbols(file: &ElfFile64<'_, Endianness>, places: &Places, base: usize) -> BTreeMap<String, usize> {
    let defined = file.symbols().filter_map(|symbol| {
        let start = *places.sections.get(&symbol.section_index()?.0)?;
        let at = within(start, symbol.address()).ok().filter(|&at| at < places.ends[2])?;
        Some((symbol.name().ok()?.to_owned(), base + at))
    });
    let support = places.support.iter().map(|(name, at)| (name.clone(), base + at));
    defined.chain(support).filter(|(name, _)| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{compiler, headers::Headers};
    use std::path::Path;

    /// The lookups of the model of a kernel in `tests`.
    fn object() -> Vec<u8> {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model_kernel");
        let folder = tempfile::tempdir().unwrap();
        compiler::compile(&Headers::open(&build).unwrap(), "gcc", folder.path()).unwrap()
    }

    /// Asks the code for a page of section 2^20, which only a machine with five levels has.
    fn finds_a_section_of_52_bits(image: &Image) -> bool {
        const NR: usize = 1 << 20;
        let facts = &image.facts;
        let (root, index) = (NR / facts.sections_per_root as usize, NR % facts.sections_per_root as usize);
        let mut sections = vec![0u64; (facts.sections_per_root * facts.section_bytes / 8) as usize];
        let word = (index as u64 * facts.section_bytes + facts.section_word_offset) / 8;
        sections[word as usize] = facts.flag_has_map | facts.flag_early;
        let mut roots = vec![0u64; root + 1];
        roots[root] = sections.as_ptr().addr() as u64;
        image.enter().unwrap();
        let mem_section = image.symbol("mem_section").unwrap() as *mut u64;
        // SAFETY: the model defines this function, and it reads the tables above only.
        unsafe {
            mem_section.write(roots.as_ptr().addr() as u64);
            let valid: extern "sysv64" fn(u64) -> u64 = std::mem::transmute(image.symbol("one_valid").unwrap());
            valid((NR as u64) << (facts.section_size_bits - facts.page_shift)) & 1 != 0
        }
    }

    #[test]
    fn alternatives_follow_the_levels_of_page_tables() {
        let object = object();
        let load = |levels| Image::load(&object, levels, 1).unwrap();
        assert!(!finds_a_section_of_52_bits(&load(PagingLevels::Four)));
        assert!(finds_a_section_of_52_bits(&load(PagingLevels::Five)));
    }

    #[test]
    fn the_seed_places_the_code_and_the_address_is_below_2_gib() {
        let object = object();
        let offsets: std::collections::BTreeSet<usize> = (0..8)
            .map(|seed| {
                let image = Image::load(&object, PagingLevels::Four, seed).unwrap();
                let at = image.symbol("loop_valid").unwrap();
                assert!(at < 1 << 31 && at.is_multiple_of(LINE), "{at:#x}");
                assert_eq!((image.facts.release.as_str(), image.facts.section_bytes), ("9.8.7-model", 40));
                at % PAGE
            })
            .collect();
        assert!(offsets.len() >= 4, "{offsets:?}");
    }

    /// Permissions of the mapping that an address lies in, e.g. `r-xp`.
    fn permissions(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let holds = |line: &&str| {
            let (start, rest) = line.split_once('-').unwrap();
            let (end, _) = rest.split_once(' ').unwrap();
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            (number(start)..number(end)).contains(&address)
        };
        maps.lines().find(holds).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn code_is_never_writable_while_it_is_executable() {
        let image = Image::load(&object(), PagingLevels::Four, 3).unwrap();
        let of = |symbol| permissions(image.symbol(symbol).unwrap());
        assert_eq!((&*of("loop_valid"), &*of("fact_release"), &*of("mem_section")), ("r-xp", "r--p", "rw-p"));
    }

    #[test]
    fn each_thread_has_per_cpu_data_of_its_own() {
        let image = Image::load(&object(), PagingLevels::Four, 3).unwrap();
        let base_of_gs = || {
            image.enter().unwrap();
            let mut base = 0usize;
            // SAFETY: ARCH_GET_GS writes one word.
            assert_eq!(unsafe { libc::syscall(libc::SYS_arch_prctl, 0x1004, &raw mut base) }, 0);
            base
        };
        // All three live until each has its data.
        let all = std::sync::Barrier::new(3);
        let and_wait = || {
            let base = base_of_gs();
            all.wait();
            base
        };
        let (own, others) = std::thread::scope(|scope| {
            let others = [0, 1].map(|_| scope.spawn(and_wait));
            (and_wait(), others.map(|it| it.join().unwrap()))
        });
        let [first, second] = others;
        assert!(own != 0 && own != first && own != second && first != second, "{own:#x} {others:#x?}");
        assert_eq!(own, base_of_gs(), "it is kept");
    }

    #[test]
    fn what_is_no_object_file_is_refused() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for bytes in [&b"not an ELF file"[..], &object()[..40], &program] {
            let error = Image::load(bytes, PagingLevels::Four, 0).unwrap_err();
            assert!(matches!(error, ImageError::NotAnObject(_)), "{error}");
        }
    }

    #[test]
    fn a_damaged_object_file_is_an_error_or_loads() {
        let object = object();
        // Every 97th byte, one at a time. A crash would end the test program.
        let mut refused = 0;
        for at in (0..object.len()).step_by(97) {
            let mut damaged = object.clone();
            damaged[at] ^= 0x41;
            refused += usize::from(Image::load(&damaged, PagingLevels::Four, 0).is_err());
        }
        assert!(refused > 5, "{refused}");
    }
}
