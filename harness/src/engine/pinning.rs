//! Keeping the measuring thread to one processor, where that is allowed.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Keeps the calling thread to a processor until it is dropped.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

/// Keeps the calling thread to the processor that it runs on; `None` where the system does not let it, in which case the
/// scheduler may move it as before.
pub fn pin() -> Option<Pinned> {
    pin_to(sched_getcpu())
}

/// The same for a processor by its number.
pub fn pin_to(processor: usize) -> Option<Pinned> {
    let before = sched_getaffinity(None).ok()?;
    let mut one = CpuSet::new();
    one.set(processor);
    sched_setaffinity(None, &one).ok()?;
    Some(Pinned { before })
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was the thread's own set a moment ago; if the system has taken processors away since, one is what is left.
        let _ = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_processor_and_then_all_of_before() {
        let before = sched_getaffinity(None).unwrap().count();
        let Some(pinned) = pin() else {
            eprintln!("skipped: this system does not let a thread choose its processor");
            return;
        };
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        drop(pinned);
        assert_eq!(sched_getaffinity(None).unwrap().count(), before);
    }
}
