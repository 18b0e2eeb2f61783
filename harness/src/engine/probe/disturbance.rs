//! Detects whether a slice was disturbed, from what the kernel reports about the thread.
//!
//! A slice in which the thread lost its processor measures the scheduler, not a layout. On a busy
//! machine that is about one slice in ten. Four kinds of evidence are combined, since each is
//! unavailable on some systems:
//!
//! | evidence | source | reveals |
//! | --- | --- | --- |
//! | involuntary switches | `getrusage(RUSAGE_THREAD)` | another thread that took the processor |
//! | run-queue delay | `/proc/thread-self/schedstat`, second field | the same, in nanoseconds |
//! | wall time beyond processor time | `CLOCK_MONOTONIC`, `CLOCK_THREAD_CPUTIME_ID` | the same, `SIGSTOP`, and steal time where the kernel accounts for it |
//! | steal | the processor's line in `/proc/stat`, eighth field | a hypervisor that withheld the processor, in clock ticks |
//!
//! The measured time itself is never evidence: a slow slice is kept unless one of these shows a
//! disturbance.

use crate::record::examination::Verdict;
use crate::record::row::Evidence;
use rustix::thread::sched_getcpu;
use rustix::time::{ClockId, clock_gettime};
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Wall time beyond processor time that an undisturbed slice may have. The system calls around a
/// slice take some.
const SLACK: Duration = Duration::from_micros(10);

/// The same tolerance relative to the slice: one part in this many.
const SLACK_PARTS: u64 = 50;

/// Reads what the kernel reports about the calling thread.
#[derive(Debug)]
pub struct Watch {
    /// The thread's `schedstat` file: run time, run-queue delay and number of time slices. `None`
    /// without `/proc` or `CONFIG_SCHED_INFO`.
    schedstat: Option<File>,
    /// `None` if the kernel does not count steal time, or if reading it takes too long.
    steal: Option<Steal>,
}

/// Reads the steal time of the processor on which the calling thread runs.
#[derive(Debug)]
struct Steal {
    stat: File,
    tick_ns: u64,
    /// Reused for all readings: zeroing a new buffer just before a slice would evict cache lines.
    text: RefCell<Vec<u8>>,
}

/// Longest acceptable read of `/proc/stat`. For every read, the kernel formats a line for each
/// processor and sums interrupts. With hundreds of processors that takes longer than a slice.
const LONGEST_STEAL_READ: Duration = Duration::from_micros(50);

impl Steal {
    fn open() -> Option<Self> {
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
        let steal = Self { stat: File::open("/proc/stat").ok()?, tick_ns, text: RefCell::new(vec![0; 16 << 10]) };
        let shortest = (0..3).map(|_| {
            let begin = Instant::now();
            steal.read().map(|_| begin.elapsed())
        });
        (shortest.min()?? <= LONGEST_STEAL_READ).then_some(steal)
    }

    /// The current processor, and its steal time since boot in nanoseconds.
    fn read(&self) -> Option<(usize, u64)> {
        let mut text = self.text.borrow_mut();
        let processor = sched_getcpu();
        let len = self.stat.read_at(&mut text, 0).ok()?;
        // The buffer may end anywhere after the processors' lines.
        let ticks = stolen_ticks(&String::from_utf8_lossy(&text[..len]), processor)?;
        Some((processor, ticks * self.tick_ns))
    }
}

/// The steal ticks of a processor: the eighth field of its line in `/proc/stat`.
fn stolen_ticks(stat: &str, processor: usize) -> Option<u64> {
    let name = format!("cpu{processor}");
    let mut lines = stat.lines().map(str::split_ascii_whitespace);
    let mut fields = lines.find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
    fields.nth(7)?.parse().ok()
}

/// Counters of the thread, read outside the timed part.
#[derive(Clone, Copy, Debug)]
struct Totals {
    switches: Option<u64>,
    wait_ns: Option<u64>,
    steal: Option<(usize, u64)>,
}

impl Watch {
    /// A watch for the calling thread; [`time`](Self::time) must be called on the same thread.
    pub fn for_this_thread() -> Self {
        let watch = Self { schedstat: File::open("/proc/thread-self/schedstat").ok(), steal: Steal::open() };
        // The file may exist without the second field.
        match watch.wait_ns() {
            Some(_) => watch,
            None => Self { schedstat: None, ..watch },
        }
    }

    /// Runs and times `run`; returns its result and what the kernel reported meanwhile.
    pub fn time<T>(&self, run: impl FnOnce() -> T) -> (T, Evidence) {
        let before = self.totals();
        let cpu_before = thread_time();
        let begin = Instant::now();
        let result = run();
        let wall = begin.elapsed();
        let cpu_after = thread_time();
        let after = self.totals();
        let since = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
        let evidence = Evidence {
            wall_ns: wall.as_nanos() as u64,
            cpu_ns: Some(cpu_after.saturating_sub(cpu_before).as_nanos() as u64),
            switches: since(before.switches, after.switches),
            wait_ns: since(before.wait_ns, after.wait_ns),
            steal_ns: stolen_between(before.steal, after.steal),
            retaken: 0,
        };
        (result, evidence)
    }

    fn totals(&self) -> Totals {
        Totals {
            switches: involuntary_switches(),
            wait_ns: self.wait_ns(),
            steal: self.steal.as_ref().and_then(Steal::read),
        }
    }

    fn wait_ns(&self) -> Option<u64> {
        let mut text = [0u8; 96];
        let len = self.schedstat.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..len]).ok()?.split_whitespace().nth(1)?.parse().ok()
    }
}

/// Steal time between two readings on one processor; `None` if the thread migrated.
fn stolen_between(before: Option<(usize, u64)>, after: Option<(usize, u64)>) -> Option<u64> {
    let ((processor, before), (now, after)) = (before?, after?);
    (processor == now).then(|| after.saturating_sub(before))
}

/// True if the evidence shows that a slice was disturbed.
pub fn is_disturbed(evidence: &Evidence) -> bool {
    let slack = (evidence.wall_ns / SLACK_PARTS).max(SLACK.as_nanos() as u64);
    let off_processor = evidence.cpu_ns.is_some_and(|cpu| evidence.wall_ns.saturating_sub(cpu) > slack);
    let counted = [evidence.switches, evidence.wait_ns, evidence.steal_ns];
    off_processor || counted.into_iter().flatten().any(|count| count > 0)
}

/// The evidence of the slices behind one value.
#[derive(Debug, Default)]
pub struct Slices {
    evidence: Option<Evidence>,
    nr: u64,
    disturbed: u64,
}

impl Slices {
    /// Adds the evidence of one slice.
    pub fn add(&mut self, evidence: Evidence) {
        self.evidence = Some(self.evidence.map_or(evidence, |before| before.plus(evidence)));
        self.nr += 1;
        self.disturbed += u64::from(is_disturbed(&evidence));
    }

    /// The sum over all slices; `None` if there are none.
    pub fn evidence(&self) -> Option<Evidence> {
        self.evidence
    }

    /// The verdict on a percentile. `above` is the share of samples above it, 0 for the maximum.
    /// The verdict is unfit if the disturbed slices could account for all samples above it.
    pub fn verdict(&self, above: f64) -> Verdict {
        match self.evidence {
            None => Verdict::Unknown,
            Some(_) if self.disturbed as f64 > above * self.nr as f64 => Verdict::Unfit,
            Some(_) => Verdict::Ok,
        }
    }
}

/// CPU time of the calling thread.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Involuntary context switches of the calling thread; `None` if the kernel does not count them.
fn involuntary_switches() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes a whole `rusage`, for which there is room, or nothing and returns
    // an error.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: zeroed, which is a value of every field, or written.
    let usage = unsafe { usage.assume_init() };
    (result == 0).then_some(usage.ru_nivcsw as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::thread;

    fn spin(length: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < length {
            black_box(0);
        }
    }

    #[test]
    fn a_thread_that_sleeps_was_disturbed() {
        let watch = Watch::for_this_thread();
        let ((), evidence) = watch.time(|| thread::sleep(Duration::from_millis(2)));
        assert!(is_disturbed(&evidence), "{evidence:?}");
    }

    /// On a machine that is never quiet for 200 µs the test has nothing to check.
    #[test]
    fn some_short_slice_is_undisturbed() {
        let watch = Watch::for_this_thread();
        let undisturbed = (0..10_000).any(|_| !is_disturbed(&watch.time(|| spin(Duration::from_micros(200))).1));
        assert!(undisturbed);
    }

    #[test]
    fn each_kind_of_evidence_is_sufficient() {
        let quiet = Evidence {
            wall_ns: 300_000,
            cpu_ns: Some(299_000),
            switches: Some(0),
            wait_ns: Some(0),
            steal_ns: Some(0),
            retaken: 0,
        };
        assert!(!is_disturbed(&quiet));
        assert!(is_disturbed(&Evidence { switches: Some(1), ..quiet }));
        assert!(is_disturbed(&Evidence { wait_ns: Some(1), ..quiet }));
        assert!(is_disturbed(&Evidence { steal_ns: Some(10_000_000), ..quiet }));
        assert!(is_disturbed(&Evidence { cpu_ns: Some(280_000), ..quiet }));
        // Neither a slow slice nor missing data is evidence.
        assert!(!is_disturbed(&Evidence { wall_ns: 3_000_000, cpu_ns: Some(2_990_000), ..quiet }));
        assert!(!is_disturbed(&Evidence { cpu_ns: None, switches: None, wait_ns: None, steal_ns: None, ..quiet }));
    }

    #[test]
    fn a_percentile_is_unfit_if_disturbed_slices_could_explain_it() {
        let quiet = Evidence { wall_ns: 600_000, cpu_ns: Some(600_000), ..Evidence::default() };
        let mut slices = Slices::default();
        assert_eq!(slices.verdict(0.5), Verdict::Unknown, "no slices were added");
        (0..95).for_each(|_| slices.add(quiet));
        assert_eq!(slices.verdict(0.0), Verdict::Ok);
        slices.add(Evidence { switches: Some(1), ..quiet });
        assert_eq!(slices.verdict(0.0), Verdict::Unfit, "the maximum may be from the disturbed slice");
        (0..4).for_each(|_| slices.add(Evidence { switches: Some(1), ..quiet }));
        assert_eq!([0.5, 0.1, 0.01, 0.0].map(|above| slices.verdict(above) == Verdict::Ok), [true, true, false, false]);
        assert_eq!(slices.evidence().unwrap().wall_ns, 100 * 600_000);
    }

    #[test]
    fn steal_time_is_that_of_one_processor() {
        let stat = "cpu  9 9 9 9 9 9 9 30 0 0\ncpu1 1 2 3 4 5 6 7 8 9 10\ncpu10 1 2 3 4 5 6 7 22 9 10\nintr 5 6\n";
        assert_eq!([1, 10, 2].map(|at| stolen_ticks(stat, at)), [Some(8), Some(22), None]);
        // Before Linux 2.6.11 a line had seven fields.
        assert_eq!(stolen_ticks("cpu0 1 2 3 4 5 6 7\n", 0), None);
        assert_eq!(stolen_between(Some((1, 80)), Some((1, 90))), Some(10));
        assert_eq!(stolen_between(Some((0, 80)), Some((1, 90))), None, "the thread migrated");
    }

    /// Two threads pinned to one processor preempt each other.
    #[test]
    fn a_thread_that_shares_its_processor_is_disturbed_often() {
        let Some(_pinned) = crate::engine::pinning::pin() else {
            eprintln!("skipped: this system does not allow pinning");
            return;
        };
        let stop = std::sync::atomic::AtomicBool::new(false);
        let disturbed = thread::scope(|scope| {
            // The thread inherits the CPU set of one processor.
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let watch = Watch::for_this_thread();
            let disturbed = (0..20).filter(|_| is_disturbed(&watch.time(|| spin(Duration::from_millis(10))).1)).count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            disturbed
        });
        assert!(disturbed > 5, "{disturbed} of 20");
    }
}
