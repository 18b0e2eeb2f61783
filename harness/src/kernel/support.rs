//! The symbols of the kernel that its compiled lookups need, as user space can provide them.

/// The definition of a symbol.
#[derive(Clone, Copy, Debug)]
pub enum Support {
    /// A function that consists of this code.
    Code(&'static [u8]),
    /// Data on a cache line of its own, 0 until somebody writes it.
    Data(&'static [u8]),
    /// The start of the per-CPU data, which each thread has for itself.
    PerCpu,
}

/// `ret`.
const RETURN: &[u8] = &[0xc3];
/// `nopl 0(%rax,%rax,1)`, where the kernel can trace the function, and `ret`.
const TRACED_RETURN: &[u8] = &[0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3];
/// `ud2`: these are called when a reschedule is due, which never happens here.
const NEVER: &[u8] = &[0x0f, 0x0b];

/// Every 32-bit word is a preemption count of 0, with the inverted bit that says that no reschedule
/// is due. So the count is right wherever in `pcpu_hot` a kernel has it.
pub const PER_CPU: [u8; 128] = {
    let mut words = [0; 128];
    let mut at = 3;
    while at < words.len() {
        words[at] = 0x80;
        at += 4;
    }
    words
};

/// The definition of a symbol; `None` if user space has none.
pub fn definition(symbol: &str) -> Option<Support> {
    Some(match symbol {
        "__x86_return_thunk" => Support::Code(RETURN),
        // Returns at once without CONFIG_RCU_STRICT_GRACE_PERIOD.
        "rcu_read_unlock_strict" => Support::Code(TRACED_RETURN),
        "___preempt_schedule"
        | "preempt_schedule_thunk"
        | "preempt_schedule_notrace_thunk"
        | "__SCT__preempt_schedule"
        | "__SCT__preempt_schedule_notrace" => Support::Code(NEVER),
        "mem_section" | "vmemmap_base" | "page_offset_base" | "__highest_present_section_nr" => Support::Data(&[0; 8]),
        // Read by code that alternatives replace.
        "boot_cpu_data" => Support::Data(&[0; 4096]),
        "__preempt_count" | "pcpu_hot" => Support::PerCpu,
        _ => return None,
    })
}

impl Support {
    /// True for a function.
    pub fn is_code(self) -> bool {
        matches!(self, Self::Code(_))
    }

    /// Its contents.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Code(bytes) | Self::Data(bytes) => bytes,
            Self::PerCpu => &PER_CPU,
        }
    }
}
