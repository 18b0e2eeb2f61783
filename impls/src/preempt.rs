//! The kernel's preemption count, as a word of each thread.
//!
//! With `CONFIG_PREEMPT_COUNT`, `preempt_disable` is an increment of a per-CPU word, and
//! `preempt_enable` a decrement and a branch that is never taken. The count here is a word of the
//! thread that reads, so readers do not share a cache line. On x86-64 both are one instruction that
//! uses no register, `incl %fs:count` where the kernel has `incl %gs:__preempt_count`; elsewhere
//! they are volatile loads and stores.
//!
//! Source: `include/linux/preempt.h`, `arch/x86/include/asm/preempt.h`.

/// Raises the count of this thread.
#[inline(always)]
pub fn disable() {
    count::increment();
}

/// Lowers the count of this thread.
#[inline(always)]
pub fn enable() {
    count::decrement();
}

/// Called when the count falls to 0, which means that a reschedule is due; that never happens here.
/// It does not return, so the never-taken branch constrains no registers of the loop; in the kernel
/// a thunk saves them.
#[cold]
#[inline(never)]
fn reschedule() -> ! {
    std::process::abort()
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod count {
    use super::reschedule;
    use std::arch::{asm, global_asm};

    // A thread-local word, alone on its cache line. As in the kernel, the highest bit is set while
    // no reschedule is due.
    global_asm!(
        ".pushsection .tdata.pfnbench_preempt_count, \"awT\", @progbits",
        ".globl pfnbench_preempt_count",
        ".hidden pfnbench_preempt_count",
        ".type pfnbench_preempt_count, @tls_object",
        ".size pfnbench_preempt_count, 4",
        ".p2align 6",
        "pfnbench_preempt_count:",
        ".long 0x80000000",
        ".zero 60",
        ".popsection",
    );

    #[inline(always)]
    pub fn increment() {
        // SAFETY: only these two blocks and the test access the word, and it is this thread's own.
        unsafe { asm!("incl %fs:pfnbench_preempt_count@tpoff", options(att_syntax, nostack)) };
    }

    #[inline(always)]
    pub fn decrement() {
        // SAFETY: as in `increment`.
        unsafe {
            asm!(
                "decl %fs:pfnbench_preempt_count@tpoff",
                "je {reschedule}",
                reschedule = label { reschedule() },
                options(att_syntax, nostack),
            )
        };
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod count {
    use super::reschedule;
    use std::cell::Cell;
    use std::sync::atomic::{Ordering, compiler_fence};

    thread_local! {
        /// The highest bit is set while no reschedule is due.
        static COUNT: Cell<u32> = const { Cell::new(1 << 31) };
    }

    /// Adds to the count with a volatile load and store, and returns the new count.
    #[inline(always)]
    fn add(number: u32) -> u32 {
        COUNT.with(|count| {
            let count = count.as_ptr();
            // SAFETY: the word is this thread's own and lives as long as the thread.
            unsafe {
                let new = count.read_volatile().wrapping_add(number);
                count.write_volatile(new);
                new
            }
        })
    }

    #[inline(always)]
    pub fn increment() {
        add(1);
        compiler_fence(Ordering::SeqCst);
    }

    #[inline(always)]
    pub fn decrement() {
        compiler_fence(Ordering::SeqCst);
        if add(1u32.wrapping_neg()) == 0 {
            reschedule();
        }
    }
}
