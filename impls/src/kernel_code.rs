//! The lookups of a kernel as compilers make them, step by step.
//!
//! [`Rules`] decide what is valid. [`KernelCode`] decides how a lookup gets there: which checks it
//! makes, whether it holds a guard, and how it tests a bit. Layouts without kernel code, such as
//! `subsection`, are the idea in Rust: they leave out what a lookup in this program does not need.
//!
//! Source: `include/linux/mmzone.h`, `arch/x86/include/asm/bitops.h`, and the machine code that gcc
//! 12 makes of the headers of 5.10, 6.1 and 6.12 for x86-64.

use crate::geometry::Geometry;
use crate::memmap::unlikely;
use crate::preempt::Word;
use crate::rules::Rules;
use crate::section::{Descriptor, MemSection, SECTION_HAS_MEM_MAP, SectionUsage};
use crate::subsection_map::SubsectionMap;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// What a reader holds while it looks at a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    None,
    /// `rcu_read_lock` without preemptible RCU: a call of an empty function at the end.
    RcuCall,
    /// `rcu_read_lock_sched` with a preemption count: an increment, and a decrement with a branch.
    PreemptCount,
}

/// How a bit of the sub-section map is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitTest {
    /// The word is loaded and tested in a register.
    Register,
    /// `bt` with a memory operand: one instruction of some ten micro-operations. Its generic form
    /// on other architectures than x86-64 is that of `Register`.
    Memory,
}

/// The steps of a kernel's `pfn_valid`.
///
/// ```
/// use memmap_layouts::layouts::Linux6_1;
/// use memmap_layouts::kernel_code::Guard;
/// use memmap_layouts::rules::{self, Rules};
/// use memmap_layouts::{BootMap, Config, Lookup, Memmap, Pfn, RecordStore};
///
/// assert_eq!(rules::Linux6_1::CODE.map(|code| code.guard), Some(Guard::PreemptCount));
/// let layout = <Linux6_1>::boot(&BootMap::default(), &Config::default(), RecordStore::unlimited())?;
/// assert!(!layout.reader().pfn_valid(Pfn(0)));
/// # Ok::<(), memmap_layouts::BootError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelCode {
    /// A pfn whose physical address does not fit 64 bits is refused.
    pub checks_pfn: bool,
    /// The width of the physical address space is known at run time only. On a machine with four
    /// levels of page tables, the kernel patches a jump to the check.
    pub width_is_patched: bool,
    /// The number of the root is checked, and again with a patched jump if the width has one.
    pub checks_root: bool,
    /// What is held while the section is looked at.
    pub guard: Guard,
    /// The usage pointer is checked for null.
    pub checks_usage: bool,
    /// How a bit of the sub-section map is tested.
    pub bit_test: BitTest,
    /// There is a walk over valid page frames, `for_each_valid_pfn` (since 6.16). Without it, a walk
    /// in this library is that of `subsection`.
    pub has_walk: bool,
}

/// A jump that is always taken, as alternatives leave it on a machine with four levels of page
/// tables. Returns false; the compiler does not know.
#[inline(always)]
fn has_five_levels() -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the template jumps to the label and touches nothing.
    unsafe {
        std::arch::asm!(
            "jmp {four}",
            four = label {
                out_of_line();
                return false;
            },
            options(nomem, nostack, preserves_flags)
        );
        // Keeps what follows from being done before the jump.
        std::arch::asm!("", options(nomem, nostack, preserves_flags));
        true
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(false)
}

/// `rcu_read_unlock_strict` without strict grace periods.
#[inline(never)]
extern "C" fn rcu_read_unlock_strict() {
    // SAFETY: an empty template does nothing. It keeps the call.
    unsafe { std::arch::asm!("", options(nostack, preserves_flags)) };
}

/// As [`unlikely`], for a branch whose result is a constant: keeps the compiler from loading it before
/// the branch. gcc loads it in a block of its own, out of line, which takes two more jumps.
#[inline(always)]
fn out_of_line() {
    unlikely();
    // SAFETY: an empty template does nothing.
    unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
}

impl Guard {
    /// The count of the calling thread, if this guard has one.
    #[inline(always)]
    pub(crate) fn count(self) -> Word {
        if self == Self::PreemptCount { Word::for_this_thread() } else { Word::unused() }
    }

    /// # Safety
    /// The count is that of the calling thread.
    #[inline(always)]
    unsafe fn lock(self, count: Word) {
        if self == Self::PreemptCount {
            // SAFETY: the caller's promise.
            unsafe { count.disable() };
        }
    }

    /// # Safety
    /// As for [`lock`](Self::lock).
    #[inline(always)]
    unsafe fn unlock(self, count: Word) {
        match self {
            Self::None => {}
            Self::RcuCall => rcu_read_unlock_strict(),
            // SAFETY: the caller's promise.
            Self::PreemptCount => unsafe { count.enable() },
        }
    }
}

impl BitTest {
    /// # Safety
    /// The map of the usage has the bit, and the usage stays valid during the call.
    #[inline(always)]
    #[cfg_attr(
        target_arch = "x86_64",
        expect(clippy::transmute_int_to_bool, reason = "a comparison would be two instructions that no kernel has")
    )]
    unsafe fn test<M: SubsectionMap>(self, usage: *const SectionUsage<M>, bit: u32) -> bool {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Memory {
            const { assert!(offset_of!(SectionUsage<M>, subsection_map) == 16) };
            // As compilers make it: the register is cleared first, so that no extension follows.
            let is_set: u64;
            // SAFETY: the caller's promise. Writers change the words atomically.
            unsafe {
                std::arch::asm!(
                    "xor {is_set:e}, {is_set:e}",
                    "bt qword ptr [{usage} + 16], {bit}",
                    "setb {is_set:l}",
                    usage = in(reg) usage,
                    bit = in(reg) u64::from(bit),
                    is_set = out(reg) is_set,
                    options(readonly, nostack),
                );
            }
            // Without debug assertions, which would branch on the answer.
            if !cfg!(debug_assertions) {
                // SAFETY: `setb` writes 0 or 1.
                unsafe { std::hint::assert_unchecked(is_set < 2) };
            }
            // SAFETY: it is 0 or 1.
            return unsafe { std::mem::transmute::<u8, bool>(is_set as u8) };
        }
        // SAFETY: the caller's promise.
        unsafe { (*usage).subsection_map.test(bit) }
    }
}

/// The physical address space of a machine with five levels of page tables: 52 bits.
struct WideSpace<G>(PhantomData<G>);

impl<G: Geometry> WideSpace<G> {
    const SECTIONS: u64 = 1 << (52 - G::SECTION_SIZE_BITS);
}

impl KernelCode {
    /// `__pfn_to_section` after the checks of `pfn_valid`. `None` if the number is beyond the
    /// physical address space; null if there is no such section.
    #[inline(always)]
    fn section<G: Geometry, R: Rules, M: SubsectionMap>(
        self,
        mem_section: &AtomicPtr<AtomicPtr<MemSection<M>>>,
        pfn: u64,
    ) -> Option<*const MemSection<M>> {
        if self.checks_pfn && pfn << G::PAGE_SHIFT >> G::PAGE_SHIFT != pfn {
            return None;
        }
        let nr = G::section_nr(pfn);
        let sections =
            if self.width_is_patched && has_five_levels() { WideSpace::<G>::SECTIONS } else { G::NR_MEM_SECTIONS };
        if nr >= sections {
            return None;
        }
        Some(self.descriptor::<G, R, M>(mem_section, nr))
    }

    /// `__nr_to_section`: null if there is no such section.
    #[inline(always)]
    fn descriptor<G: Geometry, R: Rules, M: SubsectionMap>(
        self,
        mem_section: &AtomicPtr<AtomicPtr<MemSection<M>>>,
        nr: u64,
    ) -> *const MemSection<M> {
        let (root, index) = R::DESCRIPTORS.place::<G>(nr);
        if self.checks_root {
            let is_wide = self.width_is_patched && has_five_levels();
            let roots = match is_wide {
                true => WideSpace::<G>::SECTIONS.div_ceil(R::DESCRIPTORS.per_root::<G>()),
                false => R::DESCRIPTORS.nr_roots::<G>(),
            };
            if root >= roots {
                return ptr::null();
            }
        }
        let table = mem_section.load(Ordering::Acquire);
        if table.is_null() {
            unlikely();
            return ptr::null();
        }
        // SAFETY: `nr` is below NR_MEM_SECTIONS: a machine never has five levels here. So `root` is
        // below the number of roots, the length of the table.
        let first = unsafe { &*table.add(root as usize) }.load(Ordering::Acquire);
        if first.is_null() {
            unlikely();
            return ptr::null();
        }
        // Wrapping, so that the compiler keeps the check for null that follows, as the kernel's flags
        // make it do.
        R::DESCRIPTORS.descriptor_or_null(first, index)
    }

    /// `pfn_valid`. `index` is the number of the pfn's sub-section if sections are valid in parts; boot
    /// sections are valid as a whole. It is called where the bit is tested, as compilers place it.
    ///
    /// # Safety
    /// The caller holds a reader of the layout whose table this is, so that no usage is freed. The
    /// count is that of the calling thread.
    #[inline(always)]
    pub(crate) unsafe fn pfn_valid<G: Geometry, R: Rules, M: SubsectionMap>(
        self,
        mem_section: &AtomicPtr<AtomicPtr<MemSection<M>>>,
        pfn: u64,
        index: Option<impl Fn() -> u32>,
        early: u64,
        count: Word,
    ) -> bool {
        let Some(section) = self.section::<G, R, M>(mem_section, pfn) else { return false };
        // SAFETY: the caller's promise.
        unsafe { self.guard.lock(count) };
        // SAFETY: null, or a descriptor of a root page, which lives as long as the table.
        let section = unsafe { section.as_ref() };
        let word = section.map_or(0, MemSection::word);
        let Some(index) = index else {
            // SAFETY: as above.
            unsafe { self.guard.unlock(count) };
            return word & SECTION_HAS_MEM_MAP != 0;
        };
        let Some(section) = section.filter(|_| word & SECTION_HAS_MEM_MAP != 0) else {
            unlikely();
            // SAFETY: as above.
            unsafe { self.guard.unlock(count) };
            return false;
        };
        let is_valid = if word & early != 0 {
            true
        } else {
            let usage = section.usage_acquire();
            if self.checks_usage && usage.is_null() {
                unlikely();
                false
            } else {
                // SAFETY: the caller's reader keeps the usage alive. Without the check it is not null:
                // the kernel of that version relies on it too. The map has a bit for each sub-section.
                unsafe { self.bit_test.test(usage, index()) }
            }
        };
        // SAFETY: as above.
        unsafe { self.guard.unlock(count) };
        is_valid
    }

    /// `first_valid_pfn`: the first valid page frame in `pfn..end`, looked for from section to section
    /// up to the highest present one. The guard is held from the first section to the last.
    ///
    /// # Safety
    /// As for [`pfn_valid`](Self::pfn_valid).
    #[inline(always)]
    pub(crate) unsafe fn first_valid_pfn<G: Geometry, R: Rules, M: SubsectionMap>(
        self,
        (mem_section, end_section): (&AtomicPtr<AtomicPtr<MemSection<M>>>, &AtomicU64),
        mut pfn: u64,
        end: u64,
        early: u64,
        count: Word,
    ) -> Option<u64> {
        let mut nr = G::section_nr(pfn);
        // SAFETY: the caller's promise.
        unsafe { self.guard.lock(count) };
        let found = loop {
            if nr >= end_section.load(Ordering::Relaxed) || pfn >= end {
                break end;
            }
            // SAFETY: null, or a descriptor of a root page, which lives as long as the table.
            let section = unsafe { self.descriptor::<G, R, M>(mem_section, nr).as_ref() };
            // Read once, as compilers do.
            let word = section.map_or(0, MemSection::word);
            if let Some(section) = section.filter(|_| word & SECTION_HAS_MEM_MAP != 0) {
                if word & early != 0 {
                    break pfn;
                }
                // SAFETY: the caller's reader keeps the usage alive.
                if let Some(first) = unsafe { self.pfn_section_first_valid::<G, M>(section, pfn) } {
                    break first;
                }
            }
            nr += 1;
            pfn = G::section_start(nr);
        };
        // SAFETY: the caller's promise.
        unsafe { self.guard.unlock(count) };
        (found < end).then_some(found)
    }

    /// The first valid page frame from `pfn` on in its section.
    ///
    /// # Safety
    /// The usage of the section stays valid during the call.
    #[inline(always)]
    unsafe fn pfn_section_first_valid<G: Geometry, M: SubsectionMap>(
        self,
        section: &MemSection<M>,
        pfn: u64,
    ) -> Option<u64> {
        let usage = section.usage_acquire();
        if self.checks_usage && usage.is_null() {
            return None;
        }
        let bit = ((pfn & (G::PAGES_PER_SECTION - 1)) >> G::PFN_SUBSECTION_SHIFT) as u32;
        // SAFETY: the caller's promise; the map has a bit for each sub-section.
        if unsafe { self.bit_test.test(usage, bit) } {
            return Some(pfn);
        }
        // SAFETY: the caller's promise.
        let next = unsafe { (*usage).subsection_map.find(bit..G::SUBSECTIONS_PER_SECTION, true) }?;
        Some((pfn & !(G::PAGES_PER_SECTION - 1)) + (u64::from(next) << G::PFN_SUBSECTION_SHIFT))
    }
}
