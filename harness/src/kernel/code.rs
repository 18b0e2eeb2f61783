//! The functions of `unit.c` in a loaded kernel, and the globals that they read.

use super::alternatives::PagingLevels;
use super::error::ImageError;
use super::facts::Facts;
use super::image::Image;
use crate::case::{Asked, Dependency, LookupOp, Memory, Mode};
use memmap_layouts::machine_code::iced_x86::{Instruction, Mnemonic, OpKind};
use memmap_layouts::machine_code::instructions_within;
use std::io;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A loop over page frames or records: their address and number. Returns the sum of the answers.
pub type Loop = unsafe extern "sysv64" fn(*const u64, u64) -> u64;
/// One lookup.
pub type One = unsafe extern "sysv64" fn(u64) -> u64;
/// A walk from one page frame to another.
pub type Walk = unsafe extern "sysv64" fn(u64, u64) -> u64;

/// The functions of an image.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// `pfn_valid`: 0 or 1.
    pub valid: One,
    /// `pfn_to_page`.
    pub to_page: One,
    /// `page_to_pfn`.
    pub to_pfn: One,
    /// `pfn_valid` and, if it is valid, the flags of the record.
    pub to_flags: One,
    /// The first valid page frame from one on, within a section's length; `None` before Linux 6.16.
    pub first_valid: Option<One>,
    /// `pfn_valid`, independent.
    pub valid_loop: Loop,
    /// `pfn_valid`, chained.
    pub valid_chained: Loop,
    /// `pfn_valid`, with a branch on the answer.
    pub valid_branching: Loop,
    /// `pfn_valid`, as a function that is called.
    pub valid_called: Loop,
    /// `pfn_to_page`, independent.
    pub to_page_loop: Loop,
    /// `pfn_to_page`, chained.
    pub to_page_chained: Loop,
    /// `page_to_pfn`, independent.
    pub to_pfn_loop: Loop,
    /// `page_to_pfn`, chained.
    pub to_pfn_chained: Loop,
    /// Both, reading the record.
    pub valid_to_page: Loop,
    /// Both, chained by the address.
    pub valid_to_page_chained: Loop,
    /// The walk; `None` before Linux 6.16.
    pub walk: Option<Walk>,
}

/// The lookups of a compiled kernel, found to fit the layouts.
#[derive(Debug)]
pub struct Code {
    image: Image,
    /// Its functions.
    pub functions: Functions,
    /// Where the code keeps the root table's address and the address of the record of pfn 0.
    mem_section: NonNull<u64>,
    vmemmap_base: NonNull<u64>,
    /// Where newer code keeps the number of the last section; `None` if it has none.
    highest_section: Option<NonNull<u64>>,
}

// SAFETY: the words that the pointers name are written under the lock of `GLOBALS` only.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

/// Held while compiled code runs: the tables that it reads are found through globals.
static GLOBALS: Mutex<()> = Mutex::new(());

impl Code {
    /// Loads an object file, and finds its functions. `seed` chooses where in a page the code begins.
    ///
    /// # Errors
    /// [`ImageError`]; nothing stays mapped.
    pub fn load(object: &[u8], levels: PagingLevels, seed: u64) -> Result<Self, ImageError> {
        let image = Image::load(object, levels, seed)?;
        let address = |symbol: &str| image.symbol(symbol).ok_or_else(|| ImageError::Missing(symbol.to_owned()));
        let word = |symbol| address(symbol).map(|at| NonNull::new(at as *mut u64).expect("images lie above page 0"));
        // SAFETY: `unit.c` defines these symbols as functions of this type, and the image lives as
        // long as `Code`.
        let one = |symbol| address(symbol).map(|at| unsafe { std::mem::transmute::<usize, One>(at) });
        // SAFETY: as above.
        let looped = |symbol| address(symbol).map(|at| unsafe { std::mem::transmute::<usize, Loop>(at) });
        // SAFETY: as above.
        let walk = image.symbol("loop_walk").map(|at| unsafe { std::mem::transmute::<usize, Walk>(at) });
        let functions = Functions {
            valid: one("one_valid")?,
            to_page: one("one_to_page")?,
            to_pfn: one("one_to_pfn")?,
            to_flags: one("one_to_flags")?,
            first_valid: one("one_first_valid").ok(),
            valid_loop: looped("loop_valid")?,
            valid_chained: looped("loop_valid_chained")?,
            valid_branching: looped("loop_valid_branching")?,
            valid_called: looped("loop_valid_called")?,
            to_page_loop: looped("loop_to_page")?,
            to_page_chained: looped("loop_to_page_chained")?,
            to_pfn_loop: looped("loop_to_pfn")?,
            to_pfn_chained: looped("loop_to_pfn_chained")?,
            valid_to_page: looped("loop_valid_to_page")?,
            valid_to_page_chained: looped("loop_valid_to_page_chained")?,
            walk,
        };
        let (mem_section, vmemmap_base) = (word("mem_section")?, word("vmemmap_base")?);
        let highest_section = image.symbol("__highest_present_section_nr").and_then(|at| NonNull::new(at as *mut u64));
        Ok(Self { image, functions, mem_section, vmemmap_base, highest_section })
    }

    /// The constants of the kernel.
    pub fn facts(&self) -> &Facts {
        &self.image.facts
    }

    /// The compiled kernel in memory.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Whether a positive answer of `pfn_valid` is a data or a branch dependency: a constant that a
    /// branch selects, or a bit that an instruction moves to a register. `None` if the machine code
    /// has neither form.
    pub fn dependency(&self, memory: Memory) -> Option<Dependency> {
        let code = instructions_within(self.functions.valid as usize, 0).ok()?;
        let has = |is_it: &dyn Fn(&Instruction) -> bool| code.values().any(is_it);
        let is_one = |found: &Instruction| {
            found.mnemonic() == Mnemonic::Mov
                && found.op_kind(0) == OpKind::Register
                && found.immediate(1) == 1
                && matches!(found.op_kind(1), OpKind::Immediate32 | OpKind::Immediate32to64)
        };
        let moves_a_bit = |found: &Instruction| matches!(found.mnemonic(), Mnemonic::Setb | Mnemonic::Sbb);
        match memory {
            Memory::Boot => has(&is_one).then_some(Dependency::Branch),
            Memory::Added => has(&moves_a_bit).then_some(Dependency::Data),
        }
    }

    /// Bits of a physical address that the code takes.
    pub fn physical_bits(&self) -> u32 {
        self.image.levels.physical_bits()
    }

    /// The loop that a lookup runs; `None` if the kernel does not have it.
    pub fn looped(&self, asked: Asked) -> Option<Loop> {
        let functions = &self.functions;
        Some(match (asked.op, asked.mode) {
            (LookupOp::PfnValid, Mode::Branching) => functions.valid_branching,
            (LookupOp::PfnValid, Mode::Called) => functions.valid_called,
            (LookupOp::PfnValid, Mode::Chained) => functions.valid_chained,
            (LookupOp::PfnValid, _) => functions.valid_loop,
            (LookupOp::PfnToPage, Mode::Chained) => functions.to_page_chained,
            (LookupOp::PfnToPage, _) => functions.to_page_loop,
            (LookupOp::PageToPfn, Mode::Chained) => functions.to_pfn_chained,
            (LookupOp::PageToPfn, _) => functions.to_pfn_loop,
            (LookupOp::ValidToPage, Mode::Chained) => functions.valid_to_page_chained,
            (LookupOp::ValidToPage, _) => functions.valid_to_page,
            (
                LookupOp::NextValidPfn | LookupOp::WalkEveryPfn | LookupOp::ScanPageblocks | LookupOp::IsContiguous,
                _,
            ) => return None,
        })
    }

    /// Prepares this thread to run the code.
    ///
    /// # Errors
    /// The operating system does not let the thread have per-CPU data of its own.
    pub fn enter(&self) -> io::Result<()> {
        self.image.enter()
    }

    /// Lets the code run on tables: a root table, the address of the record of pfn 0, and the number
    /// of the last section. They are in use until the result is dropped.
    ///
    /// # Errors
    /// This thread cannot have per-CPU data of its own.
    pub fn on(&self, roots: u64, vmemmap: u64, last: u64) -> io::Result<InUse> {
        let globals = GLOBALS.lock().unwrap_or_else(PoisonError::into_inner);
        self.enter()?;
        // SAFETY: the words belong to the image and are only written here, under the lock.
        unsafe {
            self.mem_section.write(roots);
            self.vmemmap_base.write(vmemmap);
            if let Some(highest) = self.highest_section {
                highest.write(last);
            }
        }
        Ok(InUse { _globals: globals })
    }
}

/// Held while compiled code runs.
pub struct InUse {
    _globals: MutexGuard<'static, ()>,
}
