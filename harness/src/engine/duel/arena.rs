//! The memory that the referee and both workers of a duel share: a script of slices, their results,
//! and a futex for each participant.
//!
//! Each participant sleeps on its own futex, called its bell, until its turn. A sleeping
//! participant uses no processor time while another measures. Workers wake each other directly; the
//! referee is woken at the end of a script.

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::thread::futex;
use rustix::time::Timespec;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most slices in one script.
pub const MOST_STEPS: usize = 4096;

/// A participant of a duel. Only one participant runs at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The worker that runs the old build, which is the reference.
    Old,
    /// The worker that runs the new build, which is judged.
    New,
    /// The process that writes the scripts.
    Referee,
}

impl Side {
    /// The two builds, the old one first.
    pub const BUILDS: [Side; 2] = [Side::Old, Side::New];

    fn nr(self) -> usize {
        match self {
            Self::Old => 0,
            Self::New => 1,
            Self::Referee => 2,
        }
    }

    /// The name in the command line of a worker, e.g. `old`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Referee => "referee",
        }
    }

    /// The side with this name; `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::BUILDS.into_iter().find(|side| side.name() == name)
    }
}

/// One slice to be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The participant that measures it.
    pub side: Side,
    /// Index of the lane in the worker's [`Hello`](super::Hello).
    pub lane: u32,
    /// Index of the first batch of queries.
    pub first: u64,
    /// Number of batches.
    pub batches: u64,
}

/// The result of one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Wall-clock time of the slice in nanoseconds.
    pub wall_ns: u64,
    /// Lookups in the slice.
    pub nr_ops: u64,
    /// True if the slice was disturbed, and every retake as well.
    pub disturbed: bool,
}

/// A step and its outcome in shared memory.
#[repr(C)]
struct SharedStep {
    side: AtomicU32,
    lane: AtomicU32,
    first: AtomicU64,
    batches: AtomicU64,
    wall_ns: AtomicU64,
    nr_ops: AtomicU64,
    disturbed: AtomicU32,
    done: AtomicU32,
}

#[repr(C)]
struct Shared {
    bells: [AtomicU32; 3],
    /// Number of steps in the script.
    len: AtomicU32,
    /// Index of the current step.
    next: AtomicU32,
    /// Set when a worker met an error; the message is on its standard error.
    failed: AtomicU32,
    /// Processor time of each worker in ns: in slices and their warm-up, and in total.
    measuring_ns: [AtomicU64; 2],
    all_ns: [AtomicU64; 2],
    steps: [SharedStep; MOST_STEPS],
}

/// The shared memory, mapped into this process.
#[derive(Debug)]
pub struct Arena {
    map: MmapRaw,
    /// Kept open for the workers, which inherit it.
    file: File,
}

impl Arena {
    /// A new arena, whose file child processes inherit.
    ///
    /// # Errors
    /// The system refuses the memory file or its mapping.
    pub fn create() -> io::Result<Self> {
        // Close-on-exec is not set: the workers use the same file descriptor number.
        let fd = memfd_create("pfnbench-duel", MemfdFlags::empty())?;
        ftruncate(&fd, size_of::<Shared>() as u64)?;
        Self::map(fd)
    }

    /// Maps the arena that the referee passed to this process as a file descriptor.
    ///
    /// # Safety
    /// `number` is an open file that nothing else in this process owns.
    ///
    /// # Errors
    /// The file is too small or cannot be mapped.
    pub unsafe fn inherited(number: i32) -> io::Result<Self> {
        // SAFETY: the caller guarantees that the descriptor is open and not owned elsewhere.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        Self::map(fd)
    }

    fn map(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        if file.metadata()?.len() < size_of::<Shared>() as u64 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the inherited file is too small for the shared memory of a duel",
            ));
        }
        let map = MmapOptions::new().len(size_of::<Shared>()).map_raw(&file)?;
        Ok(Self { map, file })
    }

    /// The file descriptor number under which workers inherit the arena.
    pub fn number(&self) -> i32 {
        self.file.as_raw_fd()
    }

    fn shared(&self) -> &Shared {
        // SAFETY: the mapping is large enough, page-aligned, and lives as long as `self`. Every
        // field is an atomic integer, for which all bytes are valid even if other processes write
        // them.
        unsafe { &*self.map.as_mut_ptr().cast::<Shared>() }
    }

    /// Writes a script and wakes the side of its first step. Steps beyond [`MOST_STEPS`] are
    /// dropped.
    pub fn begin(&self, steps: &[Step]) {
        let shared = self.shared();
        let steps = &steps[..steps.len().min(MOST_STEPS)];
        for (step, to) in steps.iter().zip(&shared.steps) {
            to.side.store(step.side.nr() as u32, Ordering::Relaxed);
            to.lane.store(step.lane, Ordering::Relaxed);
            to.first.store(step.first, Ordering::Relaxed);
            to.batches.store(step.batches, Ordering::Relaxed);
            to.done.store(0, Ordering::Relaxed);
        }
        shared.len.store(steps.len() as u32, Ordering::Relaxed);
        shared.next.store(0, Ordering::Release);
        match steps.first() {
            Some(first) => self.ring(first.side),
            None => self.ring(Side::Referee),
        }
    }

    fn ring(&self, side: Side) {
        let bell = &self.shared().bells[side.nr()];
        bell.store(1, Ordering::Release);
        // Fails harmlessly if the side is not asleep.
        let _ = futex::wake(bell, futex::Flags::empty(), 1);
    }

    /// Sleeps until the bell of a side rings or `most` has passed. Returns false if the bell did
    /// not ring.
    pub fn wait(&self, side: Side, most: Duration) -> bool {
        let bell = &self.shared().bells[side.nr()];
        let begin = Instant::now();
        loop {
            if bell.swap(0, Ordering::Acquire) == 1 {
                return true;
            }
            let left = most.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return false;
            }
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            // A signal, a timeout, or a bell that rang meanwhile: the loop checks all three.
            let _ = futex::wait(bell, futex::Flags::empty(), 0, Some(&timeout));
        }
    }

    /// The current step if it is this side's turn; `None` if it is another's, or the script is
    /// over.
    pub fn step_of(&self, side: Side) -> Option<Step> {
        let shared = self.shared();
        let next = shared.next.load(Ordering::Acquire);
        let step = shared.steps.get(next as usize).filter(|_| next < shared.len.load(Ordering::Relaxed))?;
        (step.side.load(Ordering::Relaxed) == side.nr() as u32).then(|| Step {
            side,
            lane: step.lane.load(Ordering::Relaxed),
            first: step.first.load(Ordering::Relaxed),
            batches: step.batches.load(Ordering::Relaxed),
        })
    }

    /// Stores the outcome of the current step and advances to the next one. Returns true if the
    /// next step belongs to the same side; otherwise wakes the side of the next step.
    pub fn done(&self, side: Side, outcome: Outcome) -> bool {
        let shared = self.shared();
        let next = shared.next.load(Ordering::Relaxed);
        if let Some(step) = shared.steps.get(next as usize) {
            step.wall_ns.store(outcome.wall_ns, Ordering::Relaxed);
            step.nr_ops.store(outcome.nr_ops, Ordering::Relaxed);
            step.disturbed.store(outcome.disturbed.into(), Ordering::Relaxed);
            step.done.store(1, Ordering::Relaxed);
        }
        shared.next.store(next + 1, Ordering::Release);
        let to = match shared.steps.get(next as usize + 1).filter(|_| next + 1 < shared.len.load(Ordering::Relaxed)) {
            Some(step) if step.side.load(Ordering::Relaxed) == Side::Old.nr() as u32 => Side::Old,
            Some(_) => Side::New,
            None => Side::Referee,
        };
        if to != side {
            self.ring(to);
        }
        to == side
    }

    /// Reports that a worker cannot continue, and wakes the referee.
    pub fn fail(&self) {
        self.shared().failed.store(1, Ordering::Relaxed);
        self.ring(Side::Referee);
    }

    /// True if a worker reported that it cannot continue.
    pub fn has_failed(&self) -> bool {
        self.shared().failed.load(Ordering::Relaxed) == 1
    }

    /// Adds processor time of a worker: in slices and their warm-up, and in total since the last
    /// call.
    pub fn add_time(&self, side: Side, measuring: Duration, all: Duration) {
        let shared = self.shared();
        shared.measuring_ns[side.nr().min(1)].fetch_add(measuring.as_nanos() as u64, Ordering::Relaxed);
        shared.all_ns[side.nr().min(1)].fetch_add(all.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Share (0 to 1) of the workers' processor time spent on handing over; `None` before the first
    /// slice.
    pub fn handover_share(&self) -> Option<f64> {
        let sum = |times: &[AtomicU64; 2]| times.iter().map(|ns| ns.load(Ordering::Relaxed)).sum::<u64>() as f64;
        let (measuring, all) = (sum(&self.shared().measuring_ns), sum(&self.shared().all_ns));
        (all > 0.0).then(|| (1.0 - measuring / all).max(0.0))
    }

    /// The outcomes of the script's steps; `None` for steps that were not done.
    pub fn outcomes(&self) -> Vec<Option<Outcome>> {
        let shared = self.shared();
        let len = (shared.len.load(Ordering::Acquire) as usize).min(MOST_STEPS);
        let outcome = |step: &SharedStep| {
            (step.done.load(Ordering::Relaxed) == 1).then(|| Outcome {
                wall_ns: step.wall_ns.load(Ordering::Relaxed),
                nr_ops: step.nr_ops.load(Ordering::Relaxed),
                disturbed: step.disturbed.load(Ordering::Relaxed) == 1,
            })
        };
        shared.steps[..len].iter().map(outcome).collect()
    }

    /// The current step, for messages about a worker that hangs.
    pub fn current(&self) -> Option<Step> {
        Side::BUILDS.into_iter().find_map(|side| self.step_of(side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn step(side: Side, lane: u32) -> Step {
        Step { side, lane, first: 7, batches: 3 }
    }

    /// Two threads act as the workers: each runs its own steps in the order of the script.
    #[test]
    fn workers_wake_each_other_and_finally_the_referee() {
        let arena = Arena::create().unwrap();
        let script =
            [step(Side::Old, 0), step(Side::New, 1), step(Side::New, 2), step(Side::Old, 3), step(Side::New, 4)];
        let order = std::sync::Mutex::new(Vec::new());
        thread::scope(|scope| {
            for side in Side::BUILDS {
                let (arena, order) = (&arena, &order);
                scope.spawn(move || {
                    let mut left = script.iter().filter(|step| step.side == side).count();
                    while left > 0 && arena.wait(side, Duration::from_secs(60)) {
                        while let Some(step) = arena.step_of(side) {
                            order.lock().unwrap().push(step.lane);
                            left -= 1;
                            let outcome =
                                Outcome { wall_ns: u64::from(step.lane), nr_ops: 1, disturbed: step.lane == 2 };
                            if !arena.done(side, outcome) {
                                break;
                            }
                        }
                    }
                });
            }
            arena.begin(&script);
            assert!(arena.wait(Side::Referee, Duration::from_secs(60)));
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        let outcomes: Vec<Outcome> = arena.outcomes().into_iter().flatten().collect();
        assert_eq!(outcomes.iter().map(|outcome| outcome.wall_ns).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(outcomes.iter().filter(|outcome| outcome.disturbed).count(), 1);
    }

    #[test]
    fn waiting_for_a_bell_times_out() {
        let arena = Arena::create().unwrap();
        assert!(!arena.wait(Side::Referee, Duration::from_millis(20)));
        arena.begin(&[step(Side::Old, 0)]);
        assert_eq!(arena.current(), Some(step(Side::Old, 0)));
        assert_eq!((arena.step_of(Side::New), arena.outcomes()), (None, vec![None]));
        arena.fail();
        assert!(arena.wait(Side::Referee, Duration::from_secs(60)) && arena.has_failed());
    }

    #[test]
    fn a_file_that_is_too_small_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let fd: OwnedFd = file.into();
        assert!(Arena::map(fd).is_err());
    }
}
