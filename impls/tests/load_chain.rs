//! The load chains that the layouts' files claim, read off the machine code of their lookups.
//!
//! Each lookup is compiled as a leaf that takes a reader and a number. The leaf is disassembled where it lies in memory, and
//! every path through it is followed: which loads it makes, in which order, and which earlier load each address comes from. What
//! each layout claims in its `LOAD_CHAIN` is compared with that. Loads from the stack are the compiler's, not the layout's; and a
//! build with debug assertions has paths of its own, which end in a call. `.ci/run` runs this in the release profile too, which
//! is the code that is measured.
#![cfg(target_arch = "x86_64")]

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Formatter, Instruction, InstructionInfoFactory, IntelFormatter,
    Mnemonic, OpAccess, OpKind, Register,
};
use memmap_layouts::layouts::{DaxX86, Flat, Sparse, Subsection, SubsectionV6, Visitor, VmemmapSection, visit};
use memmap_layouts::rules::V6;
use memmap_layouts::{
    Hotplug, Inspect, Load as Claim, LoadChain, Lookup, Memmap, Page, Pfn, SectionFlags, When, X86_64,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;

/// Longest leaf that is looked at.
const LEAF_BYTES: usize = 4096;

/// A load: the loads that its address comes from, and where it reads relative to its base.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    from: BTreeSet<usize>,
    of_reader: bool,
    displacement: u64,
}

/// A path through a leaf.
#[derive(Clone, Debug, Default)]
struct Walk {
    loads: Vec<Load>,
    /// Loads that a register's value comes from.
    origin: BTreeMap<Register, BTreeSet<usize>>,
    /// Loads that the flags come from.
    flags: BTreeSet<usize>,
    /// Registers that still hold the leaf's first argument, or an address made from it alone.
    reader: BTreeSet<Register>,
    /// Registers whose value is known on this path.
    known: BTreeMap<Register, u64>,
}

struct Leaf {
    instructions: BTreeMap<u64, Instruction>,
    entry: u64,
}

impl Leaf {
    /// Decodes what can be reached from the entry.
    fn at(entry: usize) -> Self {
        // SAFETY: the leaf is code of this program, which is readable; more than the leaf is read, but less than the text
        // segment holds after it: this file's functions are followed by those of the library and the standard library.
        let bytes = unsafe { std::slice::from_raw_parts(entry as *const u8, LEAF_BYTES) };
        let mut leaf = Self { instructions: BTreeMap::new(), entry: entry as u64 };
        let mut to_do = vec![entry as u64];
        while let Some(mut at) = to_do.pop() {
            while !leaf.instructions.contains_key(&at) {
                let offset = (at - leaf.entry) as usize;
                let mut decoder = Decoder::with_ip(64, &bytes[offset..], at, DecoderOptions::NONE);
                let instruction = decoder.decode();
                assert!(!instruction.is_invalid(), "{at:#x} is no instruction");
                leaf.instructions.insert(at, instruction);
                match instruction.flow_control() {
                    FlowControl::Return => break,
                    FlowControl::UnconditionalBranch => to_do.push(instruction.near_branch_target()),
                    FlowControl::ConditionalBranch => to_do.push(instruction.near_branch_target()),
                    FlowControl::Next => {}
                    _ if cfg!(debug_assertions) => break,
                    other => panic!("a leaf calls nothing and never traps, this one has {other:?}:{}", leaf.text()),
                }
                if instruction.flow_control() == FlowControl::UnconditionalBranch {
                    break;
                }
                at = instruction.next_ip();
            }
        }
        leaf
    }

    fn text(&self) -> String {
        let mut formatter = IntelFormatter::new();
        let line = |instruction: &Instruction| {
            let mut line = String::new();
            formatter.format(instruction, &mut line);
            format!("\n  {:#x} {line}", instruction.ip())
        };
        self.instructions.values().map(line).collect()
    }

    /// Every path from the entry to a return. Leaves have no loops.
    fn walks(&self) -> Vec<Walk> {
        let mut factory = InstructionInfoFactory::new();
        let first = Walk { reader: [Register::RDI].into(), ..Walk::default() };
        let (mut to_do, mut done) = (vec![(self.entry, first)], Vec::new());
        while let Some((at, mut walk)) = to_do.pop() {
            assert!(to_do.len() + done.len() < 1000, "a loop in a leaf: {}", self.text());
            let instruction = &self.instructions[&at];
            walk.step(instruction, &mut factory);
            match instruction.flow_control() {
                FlowControl::Return => done.push(walk),
                FlowControl::UnconditionalBranch => to_do.push((instruction.near_branch_target(), walk)),
                FlowControl::ConditionalBranch => {
                    to_do.push((instruction.near_branch_target(), walk.clone()));
                    to_do.push((instruction.next_ip(), walk));
                }
                // A failed debug assertion.
                flow if flow != FlowControl::Next => {}
                _ => to_do.push((instruction.next_ip(), walk)),
            }
        }
        done
    }
}

fn is_stack(register: Register) -> bool {
    matches!(register, Register::RSP | Register::RBP)
}

impl Walk {
    fn step(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) {
        let info = factory.info(instruction).clone();
        let reads = |access| {
            matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
        };
        let writes =
            |access| !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
        let mut origin = BTreeSet::new();
        let mut of_reader = false;
        for used in info.used_registers().iter().filter(|used| reads(used.access())) {
            let register = used.register().full_register();
            origin.extend(self.origin.get(&register).into_iter().flatten().copied());
            of_reader |= self.reader.contains(&register);
        }
        for memory in info.used_memory().iter().filter(|memory| !is_stack(memory.base().full_register())) {
            assert!(!writes(memory.access()), "a lookup writes: {instruction:?}");
            if reads(memory.access()) {
                let parts = [memory.base(), memory.index()].map(Register::full_register);
                let from = parts.iter().filter_map(|part| self.origin.get(part)).flatten().copied().collect();
                let of_reader = self.reader.contains(&parts[0]);
                origin = [self.loads.len()].into();
                self.loads.push(Load { from, of_reader, displacement: memory.displacement() });
            }
        }
        if instruction.rflags_read() != 0 && instruction.flow_control() == FlowControl::Next {
            origin.extend(self.flags.iter().copied());
        }
        if instruction.rflags_modified() != 0 {
            self.flags = origin.clone();
        }
        let loaded = info.used_memory().iter().any(|memory| reads(memory.access()));
        let known = self.value(instruction);
        for used in info.used_registers().iter().filter(|used| writes(used.access())) {
            let register = used.register().full_register();
            self.origin.insert(register, origin.clone());
            match known {
                Some(value) => self.known.insert(register, value),
                None => self.known.remove(&register),
            };
            // A copy of the reader's address is the reader's address; anything else is not.
            if of_reader && !loaded && instruction.code() == Code::Mov_r64_rm64 {
                self.reader.insert(register);
            } else {
                self.reader.remove(&register);
            }
        }
    }
}

impl Walk {
    /// What an instruction writes, if it is a constant: the two ways in which compilers make one, and copies of it.
    fn value(&self, instruction: &Instruction) -> Option<u64> {
        let is_register = |operand| instruction.op_kind(operand) == OpKind::Register;
        match instruction.mnemonic() {
            Mnemonic::Mov if is_register(1) => self.known.get(&instruction.op1_register().full_register()).copied(),
            Mnemonic::Mov if instruction.op_kind(1) != OpKind::Memory => Some(instruction.immediate(1)),
            Mnemonic::Xor if is_register(1) && instruction.op0_register() == instruction.op1_register() => Some(0),
            _ => None,
        }
    }

    /// Loads that do not come from the reader itself: those of a load chain.
    fn beyond_reader(&self) -> impl Iterator<Item = &Load> {
        self.loads.iter().filter(|load| !load.of_reader)
    }
}

/// The paths of a leaf by the loads that each address comes from: `[[], [0], [1]]` is a chain of three, the first from the
/// reader.
fn chains(address: usize) -> BTreeSet<Vec<Vec<usize>>> {
    let leaf = Leaf::at(address);
    let shape = |walk: Walk| {
        let first_of_reader = walk.loads.iter().all(|load| load.of_reader == load.from.is_empty());
        assert!(first_of_reader, "a load from elsewhere: {:?}{}", walk.loads, leaf.text());
        walk.loads.into_iter().map(|load| load.from.into_iter().collect()).collect()
    };
    leaf.walks().into_iter().map(shape).collect()
}

fn longest(chains: &BTreeSet<Vec<Vec<usize>>>) -> Vec<Vec<usize>> {
    chains.iter().max_by_key(|chain| chain.len()).cloned().unwrap_or_default()
}

#[inline(never)]
fn pfn_valid<L: Memmap>(reader: &L::Reader<'_>, pfn: u64) -> bool {
    reader.pfn_valid(Pfn(pfn))
}

#[inline(never)]
fn pfn_to_page<L: Memmap>(reader: &L::Reader<'_>, pfn: u64) -> NonNull<Page> {
    // SAFETY: never called, only looked at.
    unsafe { reader.pfn_to_page(Pfn(pfn)) }
}

#[inline(never)]
fn page_to_pfn<L: Memmap>(reader: &L::Reader<'_>, page: NonNull<Page>) -> u64 {
    // SAFETY: never called, only looked at.
    unsafe { reader.page_to_pfn(page) }.0
}

#[inline(never)]
fn valid_to_page<'r, L: Memmap>(reader: &'r L::Reader<'_>, pfn: u64) -> Option<&'r Page> {
    reader.valid_to_page(Pfn(pfn))
}

fn of_pfn_valid<L: Memmap>() -> BTreeSet<Vec<Vec<usize>>> {
    chains(pfn_valid::<L> as fn(&L::Reader<'_>, u64) -> bool as usize)
}

fn of_pfn_to_page<L: Memmap>() -> BTreeSet<Vec<Vec<usize>>> {
    chains(pfn_to_page::<L> as fn(&L::Reader<'_>, u64) -> NonNull<Page> as usize)
}

fn of_page_to_pfn<L: Memmap>() -> BTreeSet<Vec<Vec<usize>>> {
    chains(page_to_pfn::<L> as fn(&L::Reader<'_>, NonNull<Page>) -> u64 as usize)
}

/// For each number of loads after which a leaf returns a bit: whether some path makes the bit from what was loaded. Where none
/// does, the answer is a branch that was taken.
fn answers(address: usize) -> BTreeMap<usize, bool> {
    let mut answers = BTreeMap::new();
    for walk in Leaf::at(address).walks() {
        let from_loads = walk.origin.get(&Register::RAX).is_some_and(|origin| !origin.is_empty());
        *answers.entry(walk.loads.len()).or_default() |= from_loads;
    }
    answers
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

/// Whether an answer of yes is made from what was loaded last, or is a branch that was taken: what a chain of lookups waits for.
#[test]
fn an_early_section_that_is_valid_as_a_whole_is_answered_by_a_branch() {
    fn yes<L: Memmap>() -> (bool, Option<bool>, Option<bool>) {
        let answers = answers(pfn_valid::<L> as fn(&L::Reader<'_>, u64) -> bool as usize);
        (L::CAPS.answers_early_by_branch(), answers.get(&3).copied(), answers.get(&5).copied())
    }
    // After three loads the word is there, after five the map.
    assert_eq!(yes::<Subsection>(), (true, Some(false), Some(true)));
    assert_eq!(yes::<SubsectionV6>(), (false, Some(false), Some(true)));
    assert_eq!(yes::<VmemmapSection>(), (false, Some(true), None));
    assert_eq!(yes::<Sparse>(), (false, Some(true), None));
    let flat = answers(pfn_valid::<Flat> as fn(&<Flat as Memmap>::Reader<'_>, u64) -> bool as usize);
    assert_eq!(flat, [(1, true)].into());
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

/// For each load the first one of the same line. Two are on one line if their addresses come from the same loads.
fn lines<T: PartialEq>(of: impl Iterator<Item = T>) -> Vec<usize> {
    let of: Vec<T> = of.collect();
    of.iter().map(|line| of.iter().position(|first| first == line).expect("it is there itself")).collect()
}

fn lines_on_longest(walks: &[Walk]) -> Vec<usize> {
    let longest = walks.iter().max_by_key(|walk| walk.loads.len()).expect("a leaf returns");
    lines(longest.beyond_reader().map(|load| &load.from))
}

fn claimed_lines(claim: &[Claim]) -> Vec<usize> {
    lines(claim.iter().map(|load| load.line))
}

/// Compares what a layout claims with what its code does.
fn claim_holds<L: Memmap<Geometry = X86_64>>() {
    let LoadChain { pfn_valid: valid, pfn_to_page: to_page, page_to_pfn: to_pfn } = L::LOAD_CHAIN;
    let walks = Leaf::at(pfn_valid::<L> as fn(&L::Reader<'_>, u64) -> bool as usize).walks();
    assert_eq!(claimed_lines(valid), lines_on_longest(&walks), "{}: pfn_valid", L::ID);
    // Memory of boot gets its yes where one is made first.
    let may_be_yes = walks.iter().filter(|walk| walk.known.get(&Register::RAX) != Some(&0));
    let first = may_be_yes.map(|walk| walk.beyond_reader().count()).min();
    let for_boot = valid.iter().take_while(|load| load.when == When::Always).count();
    assert_eq!(first, Some(for_boot), "{}: pfn_valid of boot memory", L::ID);
    assert!(valid[for_boot..].iter().all(|load| load.when == When::HotAdded), "{}: an answer is final", L::ID);

    let walks = Leaf::at(page_to_pfn::<L> as fn(&L::Reader<'_>, NonNull<Page>) -> u64 as usize).walks();
    assert_eq!(claimed_lines(to_pfn), lines_on_longest(&walks), "{}: page_to_pfn", L::ID);
    // With debug assertions a pointer that was decoded is checked by a call.
    if to_page.is_empty() || !cfg!(debug_assertions) {
        let walks = Leaf::at(pfn_to_page::<L> as fn(&L::Reader<'_>, u64) -> NonNull<Page> as usize).walks();
        assert_eq!(claimed_lines(to_page), lines_on_longest(&walks), "{}: pfn_to_page", L::ID);
    }
    assert!(to_page.iter().chain(to_pfn).all(|load| load.when == When::Always), "{}: no branch on the flags", L::ID);
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
    claim_holds::<Subsection<X86_64, V6>>();
}

/// A select instead of the branch would make the address wait for the loads of validity.
#[test]
fn valid_to_page_keeps_its_branch() {
    fn selects<L: Memmap>() -> (bool, String) {
        let leaf = Leaf::at(valid_to_page::<L> as for<'r> fn(&'r L::Reader<'_>, u64) -> Option<&'r Page> as usize);
        let is_select = |instruction: &Instruction| format!("{:?}", instruction.mnemonic()).starts_with("Cmov");
        (leaf.instructions.values().any(is_select), leaf.text())
    }
    for (selects, text) in
        [selects::<Flat>(), selects::<VmemmapSection>(), selects::<Subsection>(), selects::<Sparse>()]
    {
        assert!(!selects, "{text}");
    }
}
