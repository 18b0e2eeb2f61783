//! What counts instructions: callgrind from outside, or a time-stamp counter that advances by one for
//! each instruction, as in a machine that QEMU emulates with `-icount shift=0`.

use std::hint::black_box;

/// Times that a total is measured. Interrupts only add, so the smallest is exact.
const REPEATS: usize = 9;

/// Where the totals come from.
#[derive(Debug)]
pub(in crate::engine) enum Counter {
    /// Callgrind counts, and writes a total at the end of each.
    Callgrind,
    /// The time-stamp counter; holds the totals so far.
    TimeStamp(Vec<u64>),
}

impl Counter {
    /// The time-stamp counter of this machine.
    ///
    /// # Errors
    /// It does not count instructions.
    pub fn time_stamp() -> Result<Self, String> {
        let totals = ROUNDS.map(|rounds| smallest(|| two_instructions_a_round(rounds)).1);
        if are_counts(totals) {
            return Ok(Self::TimeStamp(Vec::new()));
        }
        Err("the time-stamp counter of this machine does not count instructions; it does in QEMU with -accel tcg \
             -icount shift=0"
            .to_owned())
    }

    /// True if updates can be counted: their undoing must not be.
    pub fn counts_updates(&self) -> bool {
        matches!(self, Self::Callgrind)
    }

    /// Runs something as a total.
    pub(super) fn total(&mut self, run: impl Fn() -> u64) -> u64 {
        match self {
            Self::Callgrind => run(),
            Self::TimeStamp(totals) => {
                let (sum, total) = smallest(run);
                totals.push(total);
                sum
            }
        }
    }
}

/// Rounds of two loops whose difference in instructions is known.
const ROUNDS: [u64; 2] = [1 << 10, 1 << 11];

/// True if the totals of the two loops are numbers of instructions.
fn are_counts([short, long]: [u64; 2]) -> bool {
    long.checked_sub(short) == Some(2 * (ROUNDS[1] - ROUNDS[0]))
}

/// The result of `run`, and the smallest time of some.
fn smallest(run: impl Fn() -> u64) -> (u64, u64) {
    let once = || {
        let begin = time_stamp();
        let result = run();
        (result, time_stamp().wrapping_sub(begin))
    };
    (0..REPEATS).map(|_| once()).min_by_key(|&(_, time)| time).expect("there are some")
}

#[cfg(target_arch = "x86_64")]
fn time_stamp() -> u64 {
    // SAFETY: every x86-64 has the instruction, and Linux lets user space run it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn time_stamp() -> u64 {
    0
}

/// Executes `2 * rounds` instructions, and a fixed number around them.
#[inline(never)]
fn two_instructions_a_round(rounds: u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the template counts a register down to zero; `rounds` is above zero.
    unsafe {
        std::arch::asm!("2:", "dec {0}", "jnz 2b", inout(reg) black_box(rounds) => _, options(nomem, nostack));
    }
    black_box(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_of_time_is_refused() {
        assert!(are_counts([9, 9 + (2 << 10)]), "whatever is around both loops");
        for time in [[9, 8 + (2 << 10)], [9, 9 + (3 << 10)], [9, 9], [9, 5], [0, 0]] {
            assert!(!are_counts(time), "{time:?}");
        }
    }
}
