//! Disassembles x86-64 functions and follows all paths through leaves.

use super::{AnswerForm, YesForm};
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::OnceLock;

/// Maximum length of an x86-64 instruction in bytes.
const MAX_INSTRUCTION_BYTES: u64 = 15;
/// Maximum number of paths through a leaf. More than that indicates a loop.
const MAX_PATHS: usize = 1000;

/// Why machine code cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineCodeError {
    /// The address is not in an executable mapping of this process, or the bytes there are not an
    /// instruction.
    #[error("no x86-64 instruction at {0:#x}")]
    NoInstruction(u64),
    /// The function calls another one, or is interrupted.
    #[error("{code:?} at {address:#x}: a leaf may only branch and return")]
    NotALeaf {
        /// Address of the instruction.
        address: u64,
        /// Its opcode and operand types.
        code: Code,
    },
    /// The function writes to memory other than its stack frame and the preemption count.
    #[error("{code:?} at {address:#x} writes to memory; a lookup only reads")]
    Writes {
        /// Address of the instruction.
        address: u64,
        /// Its opcode and operand types.
        code: Code,
    },
    /// No path returns within two passes of each loop.
    #[error("the leaf at {0:#x} does not return after two passes of each loop")]
    Endless(u64),
    /// The function has too many paths.
    #[error("the leaf at {0:#x} has more than {MAX_PATHS} paths")]
    TooManyPaths(u64),
}

/// Executable mappings of this process. They are read once, so code that is loaded later is not
/// found.
fn executable_mappings() -> &'static [Range<u64>] {
    static MAPPINGS: OnceLock<Vec<Range<u64>>> = OnceLock::new();
    MAPPINGS.get_or_init(|| {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        maps.lines().filter_map(executable_mapping).collect()
    })
}

/// The address range of a line of `/proc/self/maps`, if it is readable and executable.
fn executable_mapping(line: &str) -> Option<Range<u64>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    fields.next()?.starts_with("r-x").then_some(())?;
    Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
}

/// Decodes the instruction at an address of this process.
fn decode(address: u64) -> Result<Instruction, MachineCodeError> {
    let mapping = executable_mappings().iter().find(|mapping| mapping.contains(&address));
    let mapping = mapping.ok_or(MachineCodeError::NoInstruction(address))?;
    let len = (mapping.end - address).min(MAX_INSTRUCTION_BYTES) as usize;
    // SAFETY: the bytes lie in one mapping that is readable and executable. The program's code is
    // neither written nor unmapped while it runs.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(address as usize), len) };
    let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    if instruction.is_invalid() { Err(MachineCodeError::NoInstruction(address)) } else { Ok(instruction) }
}

unsafe extern "C" {
    /// Part of the unwinder that the standard library links. Returns the start of the function that
    /// contains the byte before `pc`, or null.
    fn _Unwind_FindEnclosingFunction(pc: *mut std::ffi::c_void) -> *mut std::ffi::c_void;
}

/// The start of the function that contains the instruction at `address`; 0 if unknown.
fn function_of(address: u64) -> usize {
    let after = std::ptr::without_provenance_mut(address as usize + 1);
    // SAFETY: the unwinder looks the address up in its tables and reads nothing there.
    unsafe { _Unwind_FindEnclosingFunction(after) }.addr()
}

/// The instructions of the function at `entry` and of those that it calls directly, to a depth of
/// `calls`, by address. Indirect jumps and calls are not followed.
///
/// # Errors
/// [`MachineCodeError::NoInstruction`].
pub fn instructions_within(entry: usize, calls: u32) -> Result<BTreeMap<u64, Instruction>, MachineCodeError> {
    let mut found = BTreeMap::new();
    // Breadth first, so that each function is visited at its smallest depth.
    let mut functions = VecDeque::from([(entry as u64, calls)]);
    while let Some((function, calls)) = functions.pop_front() {
        let mut to_do = vec![function];
        while let Some(at) = to_do.pop() {
            if found.contains_key(&at) {
                continue;
            }
            let instruction = decode(at)?;
            found.insert(at, instruction);
            let (next, target) = (instruction.next_ip(), instruction.near_branch_target());
            match instruction.flow_control() {
                FlowControl::UnconditionalBranch => to_do.push(target),
                FlowControl::ConditionalBranch => to_do.extend([target, next]),
                FlowControl::Call | FlowControl::IndirectCall => {
                    if calls > 0 && target != 0 {
                        functions.push_back((target, calls - 1));
                    }
                    // Unless the call ends the function, because it does not return.
                    if function_of(at) == function_of(next) {
                        to_do.push(next);
                    }
                }
                FlowControl::Next => to_do.push(next),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// A load on a path through a leaf.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObservedLoad {
    /// Indices of the earlier loads of the path that its address depends on.
    pub from: BTreeSet<usize>,
    /// True if it reads the reader itself, whose fields are globals in a kernel.
    pub of_reader: bool,
    /// Offset from its base register.
    pub displacement: u64,
    /// True if the instruction is part of a loop and may be executed many times.
    pub in_loop: bool,
    /// Address of the instruction.
    address: u64,
}

/// A path through a leaf, from its entry to a return.
#[derive(Clone, Debug, Default)]
pub struct CodePath {
    /// The loads in program order, each instruction once. Loads from the stack frame are the
    /// compiler's own and are left out.
    pub loads: Vec<ObservedLoad>,
    /// Indices of the loads that each register's value depends on.
    origin: BTreeMap<Register, BTreeSet<usize>>,
    /// Indices of the loads that the flags depend on.
    flags: BTreeSet<usize>,
    /// Registers that hold the leaf's first argument.
    reader: BTreeSet<Register>,
    /// Registers whose value is known on this path, with that value.
    known: BTreeMap<Register, u64>,
    /// Registers whose value depends on constants only, whether or not the value is known.
    constant: BTreeSet<Register>,
    /// True if the flags depend on constants only.
    has_constant_flags: bool,
    /// How often the path has been at each instruction.
    passes: BTreeMap<u64, u32>,
}

/// A disassembled function that calls no other.
#[derive(Clone, Debug)]
pub struct Leaf {
    instructions: BTreeMap<u64, Instruction>,
    entry: u64,
}

impl Leaf {
    /// Disassembles all code that is reachable from `entry`. `ud2` and a call that does not return end
    /// their path, and in builds with debug assertions every call: it is a failed assertion.
    ///
    /// # Errors
    /// [`MachineCodeError::NoInstruction`], [`MachineCodeError::NotALeaf`].
    pub fn at(entry: usize) -> Result<Self, MachineCodeError> {
        let mut instructions = BTreeMap::new();
        let mut to_do = vec![entry as u64];
        while let Some(at) = to_do.pop() {
            if instructions.contains_key(&at) {
                continue;
            }
            let instruction = decode(at)?;
            instructions.insert(at, instruction);
            match instruction.flow_control() {
                FlowControl::Return => {}
                FlowControl::UnconditionalBranch => to_do.push(instruction.near_branch_target()),
                FlowControl::ConditionalBranch => {
                    to_do.extend([instruction.near_branch_target(), instruction.next_ip()]);
                }
                FlowControl::Next => to_do.push(instruction.next_ip()),
                // A preemption count of 0, which never is.
                _ if instruction.mnemonic() == Mnemonic::Ud2 => {}
                // A failed debug assertion.
                _ if cfg!(debug_assertions) || function_of(at) != function_of(instruction.next_ip()) => {}
                _ => return Err(MachineCodeError::NotALeaf { address: at, code: instruction.code() }),
            }
        }
        Ok(Self { instructions, entry: entry as u64 })
    }

    /// The instructions, by ascending address.
    pub fn instructions(&self) -> impl Iterator<Item = &Instruction> {
        self.instructions.values()
    }

    /// Every path from the entry to a return, even those whose conditions contradict each other.
    /// Loops are followed for up to two passes.
    ///
    /// # Errors
    /// [`MachineCodeError::Endless`], [`MachineCodeError::TooManyPaths`], [`MachineCodeError::Writes`].
    pub fn paths(&self) -> Result<Vec<CodePath>, MachineCodeError> {
        let mut factory = InstructionInfoFactory::new();
        let first = CodePath { reader: [Register::RDI].into(), ..CodePath::default() };
        let (mut to_do, mut done, mut steps) = (vec![(self.entry, first)], Vec::new(), 0);
        while let Some((at, mut path)) = to_do.pop() {
            steps += 1;
            if to_do.len() + done.len() >= MAX_PATHS || steps > MAX_PATHS * self.instructions.len() {
                return Err(MachineCodeError::TooManyPaths(self.entry));
            }
            let instruction = &self.instructions[&at];
            let passes = path.passes.entry(at).or_default();
            *passes += 1;
            if *passes > 2 {
                continue;
            }
            path.step(instruction, self.is_in_loop(at), &mut factory)?;
            match instruction.flow_control() {
                FlowControl::Return => done.push(path),
                // Anything else without a successor does not return.
                _ => to_do.extend(self.successors(at).into_iter().map(|next| (next, path.clone()))),
            }
        }
        if done.is_empty() { Err(MachineCodeError::Endless(self.entry)) } else { Ok(done) }
    }

    /// Addresses of the instructions that may follow one.
    fn successors(&self, at: u64) -> Vec<u64> {
        let instruction = &self.instructions[&at];
        match instruction.flow_control() {
            FlowControl::UnconditionalBranch => vec![instruction.near_branch_target()],
            FlowControl::ConditionalBranch => vec![instruction.near_branch_target(), instruction.next_ip()],
            FlowControl::Next => vec![instruction.next_ip()],
            _ => Vec::new(),
        }
    }

    /// True if an instruction can be executed again after it was executed.
    fn is_in_loop(&self, at: u64) -> bool {
        let (mut to_do, mut seen) = (self.successors(at), BTreeSet::new());
        while let Some(next) = to_do.pop() {
            if next == at {
                return true;
            }
            if seen.insert(next) {
                to_do.extend(self.successors(next));
            }
        }
        false
    }
}

fn is_stack(register: Register) -> bool {
    matches!(register, Register::RSP | Register::RBP)
}

fn reads(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn writes(access: OpAccess) -> bool {
    !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
}

impl CodePath {
    /// The loads that do not read the reader itself: those that a load chain lists.
    pub fn beyond_reader(&self) -> impl Iterator<Item = &ObservedLoad> {
        self.loads.iter().filter(|load| !load.of_reader)
    }

    /// True if the value returned on this path depends on constants only: neither on a load nor on
    /// an argument.
    pub(crate) fn returns_constant(&self) -> bool {
        self.constant.contains(&Register::RAX)
    }

    /// The value returned on this path, if it is a known constant.
    pub fn returned_constant(&self) -> Option<u64> {
        self.known.get(&Register::RAX).copied()
    }

    /// True if the value returned on this path depends on a load.
    pub fn returns_loaded(&self) -> bool {
        self.origin.get(&Register::RAX).is_some_and(|origin| !origin.is_empty())
    }

    /// True for the increment and the decrement of a preemption count, whose address the reader has.
    fn is_count(&self, instruction: &Instruction) -> bool {
        let is_of_reader = |load: &usize| self.loads[*load].of_reader;
        matches!(instruction.mnemonic(), Mnemonic::Inc | Mnemonic::Dec)
            && instruction.op_kind(0) == OpKind::Memory
            && self
                .origin
                .get(&instruction.memory_base().full_register())
                .is_some_and(|origin| !origin.is_empty() && origin.iter().all(is_of_reader))
    }

    fn step(
        &mut self,
        instruction: &Instruction,
        in_loop: bool,
        factory: &mut InstructionInfoFactory,
    ) -> Result<(), MachineCodeError> {
        let info = factory.info(instruction).clone();
        if self.is_count(instruction) {
            // It decides nothing but a branch that is never taken.
            self.flags.clear();
            self.has_constant_flags = false;
            return Ok(());
        }
        let mut origin = BTreeSet::new();
        let mut of_reader = false;
        let reads_flags = instruction.rflags_read() != 0 && instruction.flow_control() == FlowControl::Next;
        let mut is_constant = !reads_flags || self.has_constant_flags;
        for used in info.used_registers().iter().filter(|used| used.access() != OpAccess::Write) {
            let register = used.register().full_register();
            is_constant &= self.constant.contains(&register);
        }
        for used in info.used_registers().iter().filter(|used| reads(used.access())) {
            let register = used.register().full_register();
            origin.extend(self.origin.get(&register).into_iter().flatten().copied());
            of_reader |= self.reader.contains(&register);
        }
        for memory in info.used_memory().iter().filter(|memory| !is_stack(memory.base().full_register())) {
            if writes(memory.access()) {
                return Err(MachineCodeError::Writes { address: instruction.ip(), code: instruction.code() });
            }
            if reads(memory.access()) {
                let parts = [memory.base(), memory.index()].map(Register::full_register);
                let from = parts.iter().filter_map(|part| self.origin.get(part)).flatten().copied();
                let address = instruction.ip();
                let again = self.loads.iter().position(|load| load.address == address);
                let index = again.unwrap_or(self.loads.len());
                let from: BTreeSet<usize> = from.filter(|&load| load != index).collect();
                origin = [index].into();
                match self.loads.get_mut(index) {
                    Some(load) => load.from.extend(from),
                    None => {
                        let of_reader = self.reader.contains(&parts[0]);
                        let displacement = memory.displacement();
                        self.loads.push(ObservedLoad { from, of_reader, displacement, in_loop, address });
                    }
                }
            }
        }
        if reads_flags {
            origin.extend(self.flags.iter().copied());
        }
        let loaded = info.used_memory().iter().any(|memory| reads(memory.access()));
        let known = self.value(instruction);
        is_constant = known.is_some() || is_constant && !loaded;
        if instruction.rflags_modified() != 0 {
            self.flags = origin.clone();
            self.has_constant_flags = is_constant;
        }
        for used in info.used_registers().iter().filter(|used| writes(used.access())) {
            let register = used.register().full_register();
            self.origin.insert(register, origin.clone());
            match known {
                Some(value) => self.known.insert(register, value),
                None => self.known.remove(&register),
            };
            if is_constant {
                self.constant.insert(register);
            } else {
                self.constant.remove(&register);
            }
            // Only a plain copy of the reader's address is treated as such.
            if of_reader && !loaded && instruction.code() == Code::Mov_r64_rm64 {
                self.reader.insert(register);
            } else {
                self.reader.remove(&register);
            }
        }
        Ok(())
    }

    /// The value that an instruction writes, if it is a known constant. Covers the ways in which
    /// compilers make a constant, and masks of a bit that paths share. Exact in the low byte, in
    /// which a `bool` is returned.
    fn value(&self, instruction: &Instruction) -> Option<u64> {
        let is_register = |operand| instruction.op_kind(operand) == OpKind::Register;
        let known = |operand| match instruction.op_kind(operand) {
            OpKind::Register => self.known.get(&instruction.op_register(operand).full_register()).copied(),
            OpKind::Memory => None,
            _ => Some(instruction.immediate(operand)),
        };
        match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movzx => known(1),
            Mnemonic::And => match (known(0), known(1)) {
                (Some(a), Some(b)) => Some(a & b),
                (Some(0), None) | (None, Some(0)) => Some(0),
                _ => None,
            },
            Mnemonic::Xor if is_register(1) && instruction.op0_register() == instruction.op1_register() => Some(0),
            _ => None,
        }
    }
}

/// The form of the answers of a leaf that returns a `bool`; see
/// [`pfn_valid_answer`](super::pfn_valid_answer).
pub(super) fn answer_form(paths: &[CodePath]) -> Option<AnswerForm> {
    let form = |is_branch| if is_branch { YesForm::Branch } else { YesForm::Data };
    let is_yes =
        |path: &CodePath| path.returns_constant() && path.returned_constant().is_none_or(|bit| bit & 0xff != 0);
    let most = paths.iter().map(|path| path.loads.len()).max()?;
    let mut longest = paths.iter().filter(|path| path.loads.len() == most);
    Some(AnswerForm { boot: form(paths.iter().any(is_yes)), added: form(longest.all(CodePath::returns_constant)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::arch::asm;
    use std::ptr;

    /// A bitmap with one bit per page frame.
    struct Bitmap {
        words: *const u64,
        nr_pfns: u64,
    }

    impl Bitmap {
        #[inline(always)]
        fn bit(&self, pfn: u64) -> bool {
            // SAFETY: never called, only read as machine code.
            pfn < self.nr_pfns && unsafe { *self.words.add((pfn >> 6) as usize) } >> (pfn & 63) & 1 != 0
        }
    }

    #[inline(never)]
    fn bitmap_by_data(bitmap: &Bitmap, pfn: u64) -> bool {
        bitmap.bit(pfn)
    }

    /// After the branch the optimiser knows the bit and would return it as data, so the answer is
    /// made opaque.
    #[inline(never)]
    fn bitmap_by_branch(bitmap: &Bitmap, pfn: u64) -> bool {
        if !bitmap.bit(pfn) {
            return false;
        }
        let mut yes = 1u64;
        // SAFETY: an empty template changes nothing.
        unsafe { asm!("/* {0} */", inout(reg) yes, options(nomem, nostack, preserves_flags)) };
        yes != 0
    }

    fn answer(leaf: fn(&Bitmap, u64) -> bool) -> AnswerForm {
        answer_form(&Leaf::at(leaf as usize).unwrap().paths().unwrap()).unwrap()
    }

    #[test]
    fn a_bit_that_is_returned_is_data_and_a_bit_that_is_branched_on_is_not() {
        assert_eq!(answer(bitmap_by_data), AnswerForm { boot: YesForm::Data, added: YesForm::Data });
        assert_eq!(answer(bitmap_by_branch), AnswerForm { boot: YesForm::Branch, added: YesForm::Branch });
    }

    #[inline(never)]
    fn writes_memory(words: &mut [u64; 2], at: u64) -> bool {
        words[(at & 1) as usize] = at;
        true
    }

    #[inline(never)]
    fn loops(words: &[u64; 2], at: u64) -> bool {
        let mut at = at;
        while at > 1 {
            // SAFETY: never called, only read as machine code.
            at = unsafe { ptr::from_ref(words).cast::<u64>().add(at as usize).read_volatile() };
        }
        words[at as usize & 1] != 0
    }

    #[inline(never)]
    fn endless(words: &[u64; 2], at: u64) -> bool {
        let mut at = at;
        loop {
            // SAFETY: an empty template; it keeps the loop.
            unsafe { asm!("/* {0} {1} */", inout(reg) at, in(reg) words) };
        }
    }

    #[test]
    fn writes_endless_loops_and_data_are_errors() {
        let writes = Leaf::at(writes_memory as fn(&mut [u64; 2], u64) -> bool as usize).unwrap();
        assert!(matches!(writes.paths(), Err(MachineCodeError::Writes { .. })));
        let endless = Leaf::at(endless as fn(&[u64; 2], u64) -> bool as usize).unwrap();
        assert!(matches!(endless.paths(), Err(MachineCodeError::Endless(_))));
        let data = Leaf::at(&raw const endless as usize).unwrap_err();
        assert!(matches!(data, MachineCodeError::NoInstruction(_)), "{data}");
    }

    #[test]
    fn a_load_in_a_loop_is_listed_once() {
        let loops = Leaf::at(loops as fn(&[u64; 2], u64) -> bool as usize).unwrap();
        for path in loops.paths().unwrap() {
            let repeated: Vec<bool> = path.loads.iter().map(|load| load.in_loop).collect();
            // The loop may be left before its load.
            assert!([&[true, false][..], &[false]].contains(&&repeated[..]), "{:?}", path.loads);
        }
    }
}
