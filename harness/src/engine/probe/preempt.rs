//! The kernel's preemption count around `pfn_valid`.
//!
//! Since Linux 6.8, `pfn_valid` of SPARSEMEM holds `rcu_read_lock_sched`. With
//! `CONFIG_PREEMPT_COUNT` that is [`preempt::disable`] and [`preempt::enable`].
//!
//! Source: `include/linux/mmzone.h`.

use memmap_layouts::{Lookup, Memmap, Pfn, keep_branch, preempt};

/// `pfn_valid`. If `PREEMPT` is set, the preemption count is raised during the call for layouts
/// whose kernel does so.
#[inline(always)]
pub fn pfn_valid<L: Memmap, const PREEMPT: bool>(reader: &L::Reader<'_>, pfn: Pfn) -> bool {
    if !(PREEMPT && L::PFN_VALID_DISABLES_PREEMPTION) {
        return reader.pfn_valid(pfn);
    }
    preempt::disable();
    let is_valid = reader.pfn_valid(pfn);
    preempt::enable();
    is_valid
}

/// `pfn_valid`, then `pfn_to_page`. The count is lowered before the record is looked up, as in the
/// kernel's walkers.
#[inline(always)]
pub fn valid_to_page<'r, L: Memmap, const PREEMPT: bool>(reader: &'r L::Reader<'_>, pfn: Pfn) -> Option<&'r L::Record> {
    if !(PREEMPT && L::PFN_VALID_DISABLES_PREEMPTION) {
        return reader.valid_to_page(pfn);
    }
    if !pfn_valid::<L, PREEMPT>(reader, pfn) {
        return None;
    }
    keep_branch();
    // SAFETY: pfn_valid held under this reader, so the record lives as long as the reader does.
    Some(unsafe { reader.pfn_to_page(pfn).as_ref() })
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod tests {
    use crate::engine::probe::loops;
    use memmap_layouts::layouts::{Flat, Sparse, Subsection, SubsectionV6, VmemmapSection};
    use memmap_layouts::machine_code::{iced_x86, instructions_within};
    use memmap_layouts::{BootMap, BootRange, Config, Memmap, Pfn, PfnRange, RecordStore, X86_64};
    use std::arch::asm;

    /// Depth of calls to follow: in debug builds the closures of a loop are separate functions.
    const CALLS: u32 = 4;

    /// Offset of the count from the thread pointer.
    fn offset_of_count() -> u32 {
        let offset: u64;
        // SAFETY: moves a constant.
        unsafe { asm!("movq $pfnbench_preempt_count@tpoff, {}", out(reg) offset, options(att_syntax, nomem, nostack)) };
        offset as u32
    }

    fn count() -> u32 {
        let count: u32;
        // SAFETY: reads a word of this thread.
        unsafe { asm!("movl %fs:pfnbench_preempt_count@tpoff, {:e}", out(reg) count, options(att_syntax, nostack)) };
        count
    }

    /// Counts the increments in a function, and the decrements that a conditional jump follows.
    fn pair(function: usize) -> (usize, usize) {
        use iced_x86::{Code, Mnemonic, OpKind, Register};
        let code = instructions_within(function, CALLS).unwrap();
        let on_count = |instruction: &&iced_x86::Instruction| {
            instruction.op_kind(0) == OpKind::Memory
                && instruction.segment_prefix() == Register::FS
                && instruction.memory_displacement64() as u32 == offset_of_count()
        };
        let is_branch = |at: u64| code.get(&at).is_some_and(|next| next.mnemonic() == Mnemonic::Je);
        let updates: Vec<_> = code.values().filter(on_count).collect();
        let increments = updates.iter().filter(|update| update.code() == Code::Inc_rm32).count();
        let decrements = updates.iter().filter(|update| update.code() == Code::Dec_rm32);
        let decrements = decrements.filter(|update| is_branch(update.next_ip())).count();
        assert_eq!(increments + decrements, updates.len(), "{updates:?}");
        (increments, decrements)
    }

    /// Number of increments and decrements in each of the five loops.
    type Pairs = [(usize, usize); 5];

    /// Increments and decrements in each loop of a layout, with and without `--preempt`.
    fn pairs<L: Memmap>() -> (Pairs, Pairs) {
        fn in_each_loop<L: Memmap, const PREEMPT: bool>() -> Pairs {
            [
                loops::pfn_valid::<L, PREEMPT>,
                loops::pfn_valid_branching::<L, PREEMPT>,
                loops::pfn_valid_chained::<L, PREEMPT>,
                loops::valid_to_page::<L, PREEMPT>,
                loops::valid_to_page_chained::<L, PREEMPT>,
            ]
            .map(|function: fn(&L, &[Pfn]) -> u64| pair(function as usize))
        }
        (in_each_loop::<L, true>(), in_each_loop::<L, false>())
    }

    #[test]
    fn the_pair_is_in_the_loops_of_layouts_whose_kernel_has_it() {
        for (with, without) in [pairs::<Subsection>(), pairs::<Sparse>()] {
            assert!(with.iter().all(|&(increments, decrements)| increments > 0 && decrements > 0), "{with:?}");
            assert_eq!(without, [(0, 0); 5]);
        }
    }

    #[test]
    fn other_layouts_have_no_pair_even_if_it_is_asked_for() {
        for (with, without) in [pairs::<VmemmapSection>(), pairs::<SubsectionV6>(), pairs::<Flat>()] {
            assert_eq!((with, without), ([(0, 0); 5], [(0, 0); 5]));
        }
    }

    #[test]
    fn the_count_is_what_it_was_after_the_loops() {
        let range = PfnRange::new(0, 0x8000).unwrap();
        let map = BootMap::new([BootRange { range, node: 0 }]).unwrap();
        let layout: Subsection<X86_64> = Subsection::boot(&map, &Config::default(), RecordStore::unlimited()).unwrap();
        let pfns: Vec<Pfn> = (0..0x10000).step_by(7).map(Pfn).collect();
        let before = count();
        let valid = loops::pfn_valid::<_, true>(&layout, &pfns);
        assert_eq!(valid, loops::pfn_valid::<_, false>(&layout, &pfns));
        let records = loops::valid_to_page::<_, true>(&layout, &pfns);
        assert_eq!(records, loops::valid_to_page::<_, false>(&layout, &pfns));
        assert_eq!((before, count()), (1 << 31, 1 << 31));
    }
}
