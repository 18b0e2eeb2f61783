//! Linux of a version: the rules of the version, and its lookups as compilers make them.
//!
//! `subsection` is the idea of the series in Rust. These layouts have the same tables, and add what
//! the code of a kernel has and a program does not need; see [`KernelCode`](crate::kernel_code).
//! Every race has [`Linux5_2`] and [`Linux6_1`]; those of the family [`Linux`] when it names them.
//!
//! | layout | rules | steps of `pfn_valid` beyond the idea |
//! | --- | --- | --- |
//! | `linux-5.2` | before the series | load and check of `mem_section`, check of the section |
//! | `linux-5.3` | no taint flag | as `linux-5.2`, bit test in memory |
//! | `linux-5.10` | no taint flag | the same, a call at the end |
//! | `linux-6.1` | as merged | the same with two patched jumps, the preemption count instead of the call |
//! | `linux-7.2` | of 7.x | as `linux-6.1` |
//! | `linux-next` | queued after 7.2 | as `linux-6.1` |
//!
//! **Load chain** of `pfn_valid`: the address of the root table, then as `vmemmap-section` or
//! `subsection`.
//!
//! **Not modelled**: code placement, the return thunk, and the registers that gcc chooses.

use crate::geometry::{Geometry, X86_64};
use crate::layouts::{Family, Subsection, Visitor};
use crate::rules;

/// Linux 5.2, the last kernel before the series.
pub type Linux5_2<G = X86_64> = Subsection<G, rules::Linux5_2>;
/// Linux 5.3, the first kernel with the series.
pub type Linux5_3<G = X86_64> = Subsection<G, rules::Linux5_3>;
/// Linux 5.3 to 5.11, as Debian's 5.10 is compiled.
pub type Linux5_10<G = X86_64> = Subsection<G, rules::Linux5_10>;
/// Linux 5.12 to 6.x, as Debian's 6.1 and 6.12 are compiled.
pub type Linux6_1<G = X86_64> = Subsection<G, rules::Linux6_1>;
/// Linux 7.x, as Debian's 7.2 is compiled.
pub type Linux7_2<G = X86_64> = Subsection<G, rules::Linux7_2>;
/// What is queued after 7.2.
pub type LinuxNext<G = X86_64> = Subsection<G, rules::Next>;

/// The layouts that are Linux of a version, but for the two that are built in.
#[derive(Clone, Copy, Debug)]
pub struct Linux;

impl Family for Linux {
    fn show<G: Geometry>(visitor: &mut impl Visitor<G>) {
        visitor.hotplug::<Linux5_3<G>>();
        visitor.hotplug::<Linux5_10<G>>();
        visitor.hotplug::<Linux7_2<G>>();
        visitor.hotplug::<LinuxNext<G>>();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::conformance::{Outcome, run_family};
    use crate::memmap::*;
    use crate::pfn::{Pfn, PfnRange};
    use crate::store::RecordStore;

    /// Where 5.10 differs from the merged rules, which the suite states: without the taint flag,
    /// everything in a section with boot memory looks online.
    const OF_5_10: [&str; 4] = ["T-07", "T-23", "T-24", "T-51"];

    #[test]
    fn every_case_holds_for_every_version_but_for_the_taint_flag_of_5_10() {
        let runs = run_family::<Linux>();
        let failed = runs.iter().filter(|run| matches!(run.outcome, Outcome::Failed(_)));
        let failed: Vec<_> = failed.map(|run| (run.layout, run.case)).collect();
        let expected = ["linux-5.3", "linux-5.10"].map(|id| OF_5_10.map(|case| (id, case)));
        assert_eq!(failed, expected.concat());
        for id in ["linux-5.3", "linux-5.10", "linux-7.2", "linux-next"] {
            let passed = runs.iter().filter(|run| run.layout == id && run.outcome == Outcome::Passed).count();
            assert!(passed > 20, "{id}: {passed}");
        }
    }

    /// 5.10 has no flag for sections that device memory shares with RAM.
    #[test]
    fn device_memory_beside_ram_taints_its_section_since_5_12() {
        fn flags<L: Hotplug<Geometry = X86_64>>() -> u64 {
            let ram = BootRange { range: PfnRange::new(0, 0x4000).unwrap(), node: 0 };
            let layout = L::boot(&BootMap::new([ram]).unwrap(), &Config::default(), RecordStore::unlimited()).unwrap();
            let how = AddParams { kind: MemoryKind::Device, ..AddParams::default() };
            layout.add(PfnRange::from_len(0x4000, 512).unwrap(), &how, &mut ()).unwrap();
            layout.reader().section_flags(Pfn(0x4000))
        }
        let taint = crate::section::SECTION_TAINT_ZONE_DEVICE;
        assert_eq!(flags::<Linux5_10>() & taint, 0);
        assert_eq!(flags::<Linux6_1>() & taint, taint);
    }
}
