//! A hash of a function's instructions that does not depend on addresses: two builds with the same
//! hash run the same instructions.

use super::leaf::instructions_within;
use iced_x86::{FlowControl, Instruction, OpKind, Register};
use std::collections::BTreeMap;

/// Depth of calls that are followed.
const CALLS: u32 = 2;

/// Fowler, Noll and Vo's hash (FNV-1a), which is the same in every build, unlike the standard
/// library's.
struct Fnv(u64);

impl Fnv {
    fn add(&mut self, value: u64) {
        for byte in value.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// The fingerprint of the function at `entry` and of those that it calls: instructions, registers
/// and constants, without the addresses of code and data. `None` if the code cannot be read.
pub fn from_code(entry: usize) -> Option<u64> {
    let found = instructions_within(entry, CALLS).ok()?;
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // Instructions are numbered in the order in which they are reached, which does not depend on
    // addresses.
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let mut to_do = vec![entry as u64];
    while let Some(at) = to_do.pop() {
        let Some(instruction) = found.get(&at).filter(|_| !numbers.contains_key(&at)) else {
            // A jump to an instruction that was already visited is hashed by that instruction's
            // number.
            hash.add(numbers.get(&at).copied().unwrap_or(u64::MAX));
            continue;
        };
        numbers.insert(at, numbers.len() as u64);
        add(&mut hash, instruction);
        let (next, target) = (instruction.next_ip(), instruction.near_branch_target());
        match instruction.flow_control() {
            FlowControl::Return | FlowControl::IndirectBranch => {}
            FlowControl::UnconditionalBranch => to_do.push(target),
            // A stack: the last entry is visited first.
            FlowControl::ConditionalBranch | FlowControl::Call => to_do.extend([target, next]),
            _ => to_do.push(next),
        }
    }
    Some(hash.0)
}

/// Hashes an instruction without addresses.
fn add(hash: &mut Fnv, instruction: &Instruction) {
    hash.add(instruction.code() as u64);
    for operand in 0..instruction.op_count() {
        match instruction.op_kind(operand) {
            OpKind::Register => hash.add(instruction.op_register(operand) as u64),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {}
            OpKind::Memory => {
                hash.add(instruction.memory_base() as u64);
                hash.add(instruction.memory_index() as u64);
                hash.add(instruction.memory_index_scale().into());
                let is_address = matches!(instruction.memory_base(), Register::RIP | Register::EIP);
                hash.add(if is_address { 0 } else { instruction.memory_displacement64() });
            }
            _ => hash.add(instruction.try_immediate(operand).unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{fingerprint, pfn_valid_leaf};
    use crate::layouts::{Sparse, Subsection, VmemmapSection};
    use crate::memmap::Memmap;

    fn leaf<L: Memmap>() -> usize {
        pfn_valid_leaf::<L> as fn(&L::Reader<'_>, u64) -> bool as usize
    }

    #[test]
    fn other_code_has_another_fingerprint() {
        let hash = |address| fingerprint(address).expect("code of this program can be read");
        let (subsection, section) = (hash(leaf::<Subsection>()), hash(leaf::<VmemmapSection>()));
        assert_ne!(subsection, section);
        assert_eq!(subsection, hash(leaf::<Subsection>()), "and the same has the same");
        assert_ne!(subsection, hash(leaf::<Sparse>()));
    }

    #[test]
    fn data_has_no_fingerprint() {
        assert_eq!(fingerprint(&raw const *"text" as *const u8 as usize), None);
    }
}
