//! The functions of a loaded kernel, and the globals that they read.

use crate::case::{Asked, Dependency, LookupOp, Memory, Mode};
use crate::kernel::facts::Facts;
use crate::kernel::image::Image;
use memmap_layouts::machine_code::iced_x86::{Instruction, Mnemonic, OpKind};
use memmap_layouts::machine_code::instructions_within;
use std::io;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};
use thiserror::Error;

/// Why compiled lookups cannot take part in a race.
#[derive(Debug, Error)]
pub enum CompiledError {
    /// A loop is missing.
    #[error("the compiled lookups of Linux {release} lack {symbol}")]
    Missing {
        /// Release of the kernel.
        release: String,
        /// The symbol.
        symbol: &'static str,
    },
}

/// A loop over page frames or records: their address and number. Returns the sum of the answers.
pub(super) type Loop = unsafe extern "sysv64" fn(*const u64, u64) -> u64;
/// One lookup.
type One = unsafe extern "sysv64" fn(u64) -> u64;
/// A walk from one page frame to another.
type Walk = unsafe extern "sysv64" fn(u64, u64) -> u64;

/// The functions of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Functions {
    pub(super) valid: One,
    pub(super) to_page: One,
    pub(super) to_pfn: One,
    pub(super) valid_loop: Loop,
    pub(super) valid_chained: Loop,
    pub(super) valid_branching: Loop,
    pub(super) to_page_loop: Loop,
    pub(super) to_page_chained: Loop,
    pub(super) to_pfn_loop: Loop,
    pub(super) to_pfn_chained: Loop,
    pub(super) valid_to_page: Loop,
    pub(super) valid_to_page_chained: Loop,
    pub(super) walk: Option<Walk>,
}

/// The lookups of a compiled kernel, found to fit the layouts.
#[derive(Debug)]
pub struct Code {
    image: Image,
    pub(super) functions: Functions,
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
    /// Finds the loops of an image.
    ///
    /// # Errors
    /// [`CompiledError`].
    pub fn new(image: Image) -> Result<Self, CompiledError> {
        let release = || image.facts.release.clone();
        let address = |symbol: &'static str| {
            image.symbol(symbol).ok_or_else(|| CompiledError::Missing { release: release(), symbol })
        };
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
            valid_loop: looped("loop_valid")?,
            valid_chained: looped("loop_valid_chained")?,
            valid_branching: looped("loop_valid_branching")?,
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

    /// Whether a positive answer of `pfn_valid` is a data or a branch dependency: a constant that a
    /// branch selects, or a bit that an instruction moves to a register. `None` if the machine code
    /// has neither form.
    pub(super) fn dependency(&self, memory: Memory) -> Option<Dependency> {
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
    pub(super) fn physical_bits(&self) -> u32 {
        self.image.levels.physical_bits()
    }

    /// The loop that a lookup runs; `None` if the kernel does not have it.
    pub(super) fn looped(&self, asked: Asked) -> Option<Loop> {
        let functions = &self.functions;
        Some(match (asked.op, asked.mode) {
            (LookupOp::PfnValid, Mode::Branching) => functions.valid_branching,
            (LookupOp::PfnValid, Mode::Chained) => functions.valid_chained,
            (LookupOp::PfnValid, _) => functions.valid_loop,
            (LookupOp::PfnToPage, Mode::Chained) => functions.to_page_chained,
            (LookupOp::PfnToPage, _) => functions.to_page_loop,
            (LookupOp::PageToPfn, Mode::Chained) => functions.to_pfn_chained,
            (LookupOp::PageToPfn, _) => functions.to_pfn_loop,
            (LookupOp::ValidToPage, Mode::Chained) => functions.valid_to_page_chained,
            (LookupOp::ValidToPage, _) => functions.valid_to_page,
            (LookupOp::NextValidPfn, _) => return None,
        })
    }

    /// Lets the code run on tables: a root table, the address of the record of pfn 0, and the number
    /// of the last section. They are in use until the result is dropped.
    ///
    /// # Errors
    /// This thread cannot have per-CPU data of its own.
    pub(super) fn on(&self, roots: u64, vmemmap: u64, last: u64) -> io::Result<InUse> {
        let globals = GLOBALS.lock().unwrap_or_else(PoisonError::into_inner);
        self.image.enter()?;
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
pub(super) struct InUse {
    _globals: MutexGuard<'static, ()>,
}
