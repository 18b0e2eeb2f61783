//! Pins the measuring thread to one processor, where the system allows it.

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// Keeps the calling thread on one processor; dropping it restores the previous CPU set.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

/// Pins the calling thread to the processor on which it runs. `None` if the system refuses; the
/// scheduler may then move the thread as before.
pub fn pin() -> Option<Pinned> {
    pin_to(sched_getcpu())
}

/// Pins the calling thread to the processor with this number.
pub fn pin_to(processor: usize) -> Option<Pinned> {
    let before = sched_getaffinity(None).ok()?;
    let mut one = CpuSet::new();
    one.set(processor);
    sched_setaffinity(None, &one).ok()?;
    Some(Pinned { before })
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // The CPU set was valid a moment ago. If processors were taken offline since, the thread
        // stays pinned.
        let _ = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpinning_restores_the_previous_processors() {
        let before = sched_getaffinity(None).unwrap().count();
        let Some(pinned) = pin() else {
            eprintln!("skipped: this system does not allow pinning");
            return;
        };
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        drop(pinned);
        assert_eq!(sched_getaffinity(None).unwrap().count(), before);
    }
}
