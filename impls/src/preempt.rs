//! The kernel's preemption count, as a word of each thread.
//!
//! With `CONFIG_PREEMPT_COUNT`, `preempt_disable` is an increment of a per-CPU word, and
//! `preempt_enable` a decrement and a branch that is never taken. The count here is a word of the
//! thread that reads, so readers do not share a cache line. Elsewhere than on x86-64 with Linux both
//! are volatile loads and stores.
//!
//! The kernel addresses its word relative to the instruction, `incl %gs:__preempt_count(%rip)`. A
//! program has two ways, and neither is the same:
//!
//! | form | here | cost |
//! | --- | --- | --- |
//! | `incl %fs:count` | [`disable`], [`enable`] | no register. Processors that forward a store through an address register do not forward this one: on an AMD EPYC the pair takes 2.0 ns, and the kernel's form 0.5 ns |
//! | `incl (reg)` | [`Word`] | a register, which the kernel needs not; forwarded as the kernel's |
//!
//! Source: `include/linux/preempt.h`, `arch/x86/include/asm/preempt.h`.

use std::ptr::NonNull;

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

/// The count of a thread, by its address.
#[derive(Clone, Copy, Debug)]
pub struct Word(NonNull<u32>);

impl Word {
    /// The count of the calling thread. It must not be used by another.
    #[inline(always)]
    pub fn for_this_thread() -> Self {
        Self(count::address())
    }

    /// A word that nobody may access, for lookups without a count.
    #[inline(always)]
    pub fn unused() -> Self {
        Self(NonNull::dangling())
    }

    /// Raises the count.
    ///
    /// # Safety
    /// The word is that of the calling thread.
    #[inline(always)]
    pub unsafe fn disable(self) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: the word is this thread's own, and lives as long as the thread.
        unsafe {
            std::arch::asm!("incl ({})", in(reg) self.0.as_ptr(), options(att_syntax, nostack))
        };
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        disable();
    }

    /// Lowers the count.
    ///
    /// # Safety
    /// As for [`disable`](Self::disable).
    #[inline(always)]
    pub unsafe fn enable(self) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        // SAFETY: as in `disable`.
        unsafe {
            std::arch::asm!("decl ({})", "jne 2f", "ud2", "2:", in(reg) self.0.as_ptr(), options(att_syntax, nostack))
        };
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        enable();
    }
}

/// Where the count falls to 0, which means that a reschedule is due; that never happens here. It traps:
/// the never-taken branch then constrains no registers and no stack of the lookup, as in the kernel,
/// where a thunk saves both.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[inline(always)]
fn reschedule() -> ! {
    // SAFETY: the instruction ends the process with a signal.
    unsafe { std::arch::asm!("ud2", options(noreturn, nomem, nostack)) }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod count {
    use super::reschedule;
    use std::arch::{asm, global_asm};
    use std::ptr::NonNull;

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
    pub fn address() -> NonNull<u32> {
        let address: *mut u32;
        // SAFETY: the first word at %fs is the thread pointer itself (ABI of thread-local storage).
        unsafe {
            asm!(
                "movq %fs:0, {0}",
                "leaq pfnbench_preempt_count@tpoff({0}), {0}",
                out(reg) address,
                options(att_syntax, nostack, readonly, preserves_flags),
            );
        }
        NonNull::new(address).expect("a thread has thread-local storage")
    }

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
    use std::ptr::NonNull;
    use std::sync::atomic::{Ordering, compiler_fence};

    thread_local! {
        /// The highest bit is set while no reschedule is due.
        static COUNT: Cell<u32> = const { Cell::new(1 << 31) };
    }

    #[inline(always)]
    pub fn address() -> NonNull<u32> {
        COUNT.with(|count| NonNull::new(count.as_ptr()).expect("a cell has an address"))
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
