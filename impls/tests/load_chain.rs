//! The load chains that the layouts' files claim, read off the machine code of their lookups.
//!
//! Each lookup is compiled as a leaf that takes a reader and a number, and `machine_code` follows every path through it:
//! which loads it makes, in which order, and which earlier load each address comes from. What each layout claims in its
//! `LOAD_CHAIN` is compared with that. A build with debug assertions has paths of its own, which end in a call.
//! `.ci/run` runs this in the release profile too, which is the code that is measured.
#![cfg(target_arch = "x86_64")]

use iced_x86::{Formatter, Instruction, IntelFormatter};
use memmap_layouts::layouts::{
    DaxX86, Family, Flat, FlatIndexes, Sparse, Subsection, SubsectionV6, ValidMap, Visitor, VmemmapSection, visit,
};
use memmap_layouts::machine_code::{AnswerForm, CodePath, Leaf, YesForm, pfn_valid_answer, pfn_valid_leaf};
use memmap_layouts::rules::V6;
use memmap_layouts::{
    Geometry, GeometryVisitor, Hotplug, Inspect, Load as Claim, LoadChain, Lookup, Memmap, Pfn, SectionFlags, Validity,
    When, X86_64, for_each_geometry,
};
use std::collections::BTreeSet;
use std::ptr::NonNull;

fn leaf_at(entry: usize) -> Leaf {
    Leaf::at(entry).unwrap_or_else(|error| panic!("{error}"))
}

fn paths_of(leaf: &Leaf) -> Vec<CodePath> {
    leaf.paths().unwrap_or_else(|error| panic!("{error}:{}", text(leaf)))
}

/// The disassembly, for failures.
fn text(leaf: &Leaf) -> String {
    let mut formatter = IntelFormatter::new();
    let line = |instruction: &Instruction| {
        let mut line = String::new();
        formatter.format(instruction, &mut line);
        format!("\n  {:#x} {line}", instruction.ip())
    };
    leaf.instructions().map(line).collect()
}

/// The paths of a leaf by the loads that each address comes from: `[[], [0], [1]]` is a chain of three, the first from the
/// reader.
fn chains(address: usize) -> BTreeSet<Vec<Vec<usize>>> {
    let leaf = leaf_at(address);
    let shape = |path: CodePath| {
        let first_of_reader = path.loads.iter().all(|load| load.of_reader == load.from.is_empty());
        assert!(first_of_reader, "a load from elsewhere: {:?}{}", path.loads, text(&leaf));
        path.loads.into_iter().map(|load| load.from.into_iter().collect()).collect()
    };
    paths_of(&leaf).into_iter().map(shape).collect()
}

fn longest(chains: &BTreeSet<Vec<Vec<usize>>>) -> Vec<Vec<usize>> {
    chains.iter().max_by_key(|chain| chain.len()).cloned().unwrap_or_default()
}

#[inline(never)]
fn pfn_to_page<L: Memmap>(reader: &L::Reader<'_>, pfn: u64) -> NonNull<L::Record> {
    // SAFETY: never called, only looked at.
    unsafe { reader.pfn_to_page(Pfn(pfn)) }
}

#[inline(never)]
fn page_to_pfn<L: Memmap>(reader: &L::Reader<'_>, page: NonNull<L::Record>) -> u64 {
    // SAFETY: never called, only looked at.
    unsafe { reader.page_to_pfn(page) }.0
}

#[inline(never)]
fn valid_to_page<'r, L: Memmap>(reader: &'r L::Reader<'_>, pfn: u64) -> Option<&'r L::Record> {
    reader.valid_to_page(Pfn(pfn))
}

fn of_pfn_valid<L: Memmap>() -> BTreeSet<Vec<Vec<usize>>> {
    chains(pfn_valid_leaf::<L> as fn(&L::Reader<'_>, u64) -> bool as usize)
}

fn of_pfn_to_page<L: Memmap>() -> BTreeSet<Vec<Vec<usize>>> {
    chains(pfn_to_page::<L> as fn(&L::Reader<'_>, u64) -> NonNull<L::Record> as usize)
}

fn of_page_to_pfn<L: Memmap>() -> BTreeSet<Vec<Vec<usize>>> {
    chains(page_to_pfn::<L> as fn(&L::Reader<'_>, NonNull<L::Record>) -> u64 as usize)
}

/// Root table (the kernel's global), root, section word, usage, map word. The word and the usage lie in one descriptor, so
/// both addresses come from the root.
fn chain() -> Vec<Vec<usize>> {
    vec![vec![], vec![0], vec![1], vec![1], vec![3]]
}

#[test]
fn pfn_valid_of_the_merged_series_makes_the_kernels_loads_in_the_kernels_order() {
    let paths = of_pfn_valid::<Subsection>();
    assert_eq!(longest(&paths), chain());
    for path in &paths {
        assert_eq!(**path, chain()[..path.len()], "every other path stops earlier: {paths:?}");
    }
    // Too large a number: no load. No root, no HAS_MEM_MAP or EARLY, no usage, or the bit.
    let lengths: BTreeSet<usize> = paths.iter().map(Vec::len).collect();
    assert_eq!(lengths, [0, 2, 3, 4, 5].into());
    assert_eq!(longest(&of_pfn_valid::<DaxX86>()), chain(), "where records lie does not matter");
}

#[test]
fn v6_reads_the_map_for_boot_memory_too_and_the_kernel_before_never() {
    assert_eq!(longest(&of_pfn_valid::<SubsectionV6>()), chain());
    assert_eq!(longest(&of_pfn_valid::<VmemmapSection>()), chain()[..3]);
    assert_eq!(longest(&of_pfn_valid::<Sparse>()), chain()[..3]);
    assert_eq!(of_pfn_valid::<Flat>(), [vec![vec![]]].into(), "max_mapnr alone");
}

/// Where boot sections are valid as a whole, they are answered before the map is read. Every other positive answer is made
/// from the word that was loaded last, but those of `validmap` and `bitmap-branch`, which branch on it.
#[test]
fn early_sections_that_are_valid_as_a_whole_are_answered_by_a_branch() {
    fn check<L: Memmap>() {
        let is_whole = L::CAPS.validity == Validity::Subsection { early_is_whole: true };
        let (boot, added) = match L::ID {
            "validmap" | "bitmap-branch" => (YesForm::Branch, YesForm::Branch),
            // One bit answers for boot memory too.
            "bitmap" | "flat-section" => (YesForm::Data, YesForm::Data),
            _ if is_whole => (YesForm::Branch, YesForm::Data),
            _ => (YesForm::Data, YesForm::Data),
        };
        let expected = Some(AnswerForm { boot, added });
        let leaf = leaf_at(pfn_valid_leaf::<L> as fn(&L::Reader<'_>, u64) -> bool as usize);
        assert_eq!(pfn_valid_answer::<L>(), expected, "{} on {}:{}", L::ID, L::Geometry::ID, text(&leaf));
    }
    struct Each;
    impl<G: Geometry> Visitor<G> for Each {
        fn fixed<L: Memmap<Geometry = G>>(&mut self) {
            check::<L>();
        }
        fn hotplug<L: Hotplug<Geometry = G> + Inspect + SectionFlags>(&mut self) {
            check::<L>();
        }
    }
    impl GeometryVisitor for Each {
        fn visit<G: Geometry>(&mut self) {
            visit::<G>(self);
            FlatIndexes::show::<G>(self);
        }
    }
    for_each_geometry(&mut Each);
    // Not on the list, so read from the leaf of this crate.
    check::<Subsection<X86_64, V6>>();
}

#[test]
fn the_virtual_array_needs_its_base_alone() {
    let base_alone: BTreeSet<_> = [vec![vec![]]].into();
    assert_eq!(of_pfn_to_page::<Subsection>(), base_alone);
    assert_eq!(of_page_to_pfn::<Subsection>(), base_alone);
    assert_eq!(of_pfn_to_page::<VmemmapSection>(), base_alone);
    assert_eq!(of_pfn_to_page::<Flat>(), base_alone);
    // With debug assertions the pointer that the word decodes to is checked by a call.
    if !cfg!(debug_assertions) {
        assert_eq!(longest(&of_pfn_to_page::<Sparse>()), chain()[..3], "classic: root table, root, word");
    }
}

/// For each load the first one of the same line. Two are on one line if their addresses come from the same loads, and the
/// same 64 bytes from there.
fn lines<T: PartialEq>(loads: impl Iterator<Item = T>) -> Vec<usize> {
    let loads: Vec<T> = loads.collect();
    loads.iter().map(|line| loads.iter().position(|first| first == line).expect("it is there itself")).collect()
}

fn lines_on_longest(paths: &[CodePath]) -> Vec<usize> {
    let longest = paths.iter().max_by_key(|path| path.loads.len()).expect("a leaf returns");
    lines(longest.beyond_reader().map(|load| (&load.from, load.displacement / 64)))
}

fn claimed_lines(claim: &[Claim]) -> Vec<usize> {
    lines(claim.iter().map(|load| load.line))
}

/// Which loads of the longest path are repeated in a loop.
fn loops_on_longest(paths: &[CodePath]) -> Vec<bool> {
    let longest = paths.iter().max_by_key(|path| path.loads.len()).expect("a leaf returns");
    longest.beyond_reader().map(|load| load.in_loop).collect()
}

fn claimed_loops(claim: &[Claim]) -> Vec<bool> {
    claim.iter().map(|load| load.when == When::EachStep).collect()
}

/// Compares what a layout claims with what its code does.
fn claim_holds<L: Memmap<Geometry = X86_64>>() {
    let LoadChain { pfn_valid: valid, pfn_to_page: to_page, page_to_pfn: to_pfn } = L::LOAD_CHAIN;
    let paths = paths_of(&leaf_at(pfn_valid_leaf::<L> as fn(&L::Reader<'_>, u64) -> bool as usize));
    assert_eq!(claimed_lines(valid), lines_on_longest(&paths), "{}: pfn_valid", L::ID);
    assert_eq!(claimed_loops(valid), loops_on_longest(&paths), "{}: pfn_valid", L::ID);
    // Boot memory gets its yes where one is made first, without a step of a loop.
    let may_be_yes = paths.iter().filter(|path| path.returned_constant() != Some(0));
    let first = may_be_yes.map(|path| path.beyond_reader().filter(|load| !load.in_loop).count()).min();
    let for_boot = valid.iter().filter(|load| load.when == When::Always).count();
    assert_eq!(first, Some(for_boot), "{}: pfn_valid of boot memory", L::ID);
    let is_later = |load: &&Claim| matches!(load.when, When::HotAdded | When::InPart);
    let mut after_boot = valid.iter().skip_while(|load| !is_later(load));
    assert!(after_boot.all(|load| is_later(&load)), "{}: an answer is final", L::ID);

    let paths = paths_of(&leaf_at(page_to_pfn::<L> as fn(&L::Reader<'_>, NonNull<L::Record>) -> u64 as usize));
    assert_eq!(claimed_lines(to_pfn), lines_on_longest(&paths), "{}: page_to_pfn", L::ID);
    assert_eq!(claimed_loops(to_pfn), loops_on_longest(&paths), "{}: page_to_pfn", L::ID);
    // With debug assertions a pointer that was decoded is checked by a call.
    if to_page.is_empty() || !cfg!(debug_assertions) {
        let paths = paths_of(&leaf_at(pfn_to_page::<L> as fn(&L::Reader<'_>, u64) -> NonNull<L::Record> as usize));
        assert_eq!(claimed_lines(to_page), lines_on_longest(&paths), "{}: pfn_to_page", L::ID);
        assert_eq!(claimed_loops(to_page), loops_on_longest(&paths), "{}: pfn_to_page", L::ID);
    }
    assert!(to_page.iter().chain(to_pfn).all(|load| !is_later(&load)), "{}: no branch on the flags", L::ID);
}

#[test]
fn the_claimed_load_chains_are_those_of_the_machine_code() {
    struct Each;
    impl Visitor<X86_64> for Each {
        fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {
            claim_holds::<L>();
        }
        fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
            claim_holds::<L>();
        }
    }
    visit::<X86_64>(&mut Each);
    FlatIndexes::show::<X86_64>(&mut Each);
    claim_holds::<Subsection<X86_64, V6>>();
}

/// A select instead of the branch would make the address wait for the loads of validity.
#[test]
fn valid_to_page_keeps_its_branch() {
    fn selects<L: Memmap>() -> (bool, String) {
        let leaf = leaf_at(valid_to_page::<L> as for<'r> fn(&'r L::Reader<'_>, u64) -> Option<&'r L::Record> as usize);
        let is_select = |instruction: &Instruction| format!("{:?}", instruction.mnemonic()).starts_with("Cmov");
        (leaf.instructions().any(is_select), text(&leaf))
    }
    for (selects, text) in [
        selects::<Flat>(),
        selects::<VmemmapSection>(),
        selects::<Subsection>(),
        selects::<Sparse>(),
        selects::<ValidMap>(),
    ] {
        assert!(!selects, "{text}");
    }
}
