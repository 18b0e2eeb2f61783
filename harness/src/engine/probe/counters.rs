//! Counters of the processor and of the kernel, opened one at a time around a stretch of work.
//!
//! Each counter may be missing: a virtual machine without a PMU, a strict kernel, a processor
//! without the event. A counter that cannot be opened, or never ran, is reported with the reason
//! and never as 0. Only one counter runs at a time, so that ours do not share hardware with each
//! other. If another program's counters share it, the count is scaled and marked as such.

use crate::case::CounterKind;
use perf_event::events::{Cache, CacheOp, CacheResult, Event, Hardware, Software, WhichCache};
use perf_event::{Builder, Counter};
use std::fs;
use std::io;

fn event(kind: CounterKind) -> Event {
    let read_misses = |which| Cache { which, operation: CacheOp::READ, result: CacheResult::MISS }.into();
    match kind {
        CounterKind::Cycles => Hardware::CPU_CYCLES.into(),
        CounterKind::Instructions => Hardware::INSTRUCTIONS.into(),
        CounterKind::L1dMisses => read_misses(WhichCache::L1D),
        CounterKind::LlcMisses => read_misses(WhichCache::LL),
        CounterKind::DtlbMisses => read_misses(WhichCache::DTLB),
        CounterKind::BranchMisses => Hardware::BRANCH_MISSES.into(),
        CounterKind::PageFaults => Software::PAGE_FAULTS.into(),
        CounterKind::TaskClock => Software::TASK_CLOCK.into(),
    }
}

/// The events of one stretch of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    /// Number of events, scaled to the whole stretch if the counter ran for only part of it.
    pub events: f64,
    /// Share of the stretch in which the counter ran; `None` if it ran all the time.
    pub share: Option<f64>,
}

/// A `perf_event` counter of the calling thread.
pub struct Meter(Counter);

impl Meter {
    /// Opens a counter for the calling thread.
    ///
    /// # Errors
    /// Why the counter is not available, and what would enable it.
    pub fn open(kind: CounterKind) -> Result<Self, String> {
        Builder::new().kind(event(kind)).build().map(Self).map_err(|error| reason(&error))
    }

    /// Runs `work` and counts the events meanwhile.
    ///
    /// # Errors
    /// Outer: the error of the work. Inner: why there is no count.
    pub fn count<T, E>(&mut self, work: impl FnOnce() -> Result<T, E>) -> Result<Result<Count, String>, E> {
        let begun = self.0.reset().and_then(|()| self.0.read_count_and_time()).and_then(|before| {
            self.0.enable()?;
            Ok(before)
        });
        let done = work();
        let counted = begun.and_then(|before| {
            self.0.disable()?;
            let after = self.0.read_count_and_time()?;
            Ok((after.count, after.time_enabled - before.time_enabled, after.time_running - before.time_running))
        });
        done?;
        Ok(counted
            .map_err(|error| reason(&error))
            .and_then(|(events, enabled, running)| scaled(events, enabled, running)))
    }
}

/// Scales a count from the time that the counter ran to the time that it was enabled.
fn scaled(events: u64, enabled: u64, running: u64) -> Result<Count, String> {
    if running == 0 {
        return Err("the counter never ran: others hold the hardware".to_owned());
    }
    let share = running as f64 / enabled as f64;
    let partly = running < enabled;
    let events = if partly { events as f64 / share } else { events as f64 };
    Ok(Count { events, share: partly.then_some(share) })
}

/// An error of `perf_event_open` as text.
fn reason(error: &io::Error) -> String {
    let paranoid = || {
        let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
        format!("kernel.perf_event_paranoid is {} (sysctl kernel.perf_event_paranoid=2)", level.trim())
    };
    match error.kind() {
        io::ErrorKind::NotFound => "the processor offers no such event: a virtual machine without a PMU?".to_owned(),
        // A system-call filter returns this error, for instance in a container.
        _ if error.raw_os_error() == Some(libc::EPERM) => {
            format!("not allowed: {}, or a seccomp filter forbids perf_event_open", paranoid())
        }
        io::ErrorKind::PermissionDenied => format!("not allowed: {}", paranoid()),
        io::ErrorKind::Unsupported => "the kernel or the processor does not support the event".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_counts_or_says_why_not() {
        for kind in CounterKind::ALL {
            let counted = Meter::open(kind).and_then(|mut meter| {
                let spin =
                    || -> Result<u64, ()> { Ok((0..2_000_000u64).fold(0, |sum, i| std::hint::black_box(sum ^ i))) };
                meter.count(spin).expect("the work does not fail")
            });
            match counted {
                Ok(count)
                    if matches!(kind, CounterKind::TaskClock | CounterKind::Cycles | CounterKind::Instructions) =>
                {
                    assert!(count.events > 10_000.0, "{kind:?}: {count:?}");
                }
                Ok(count) => assert!(count.events >= 0.0, "{kind:?}: {count:?}"),
                Err(reason) => {
                    eprintln!("skipped: {}: {reason}", kind.name());
                    assert!(reason.len() > 10, "{kind:?}: {reason:?}");
                }
            }
        }
    }

    #[test]
    fn the_error_of_the_work_comes_first() {
        if let Ok(mut meter) = Meter::open(CounterKind::TaskClock) {
            assert_eq!(meter.count(|| Err::<(), _>("no")), Err("no"));
        }
    }

    #[test]
    fn a_counter_that_ran_for_a_part_is_scaled_and_one_that_never_ran_is_none() {
        assert_eq!(scaled(100, 50, 50), Ok(Count { events: 100.0, share: None }));
        assert_eq!(scaled(100, 50, 25), Ok(Count { events: 200.0, share: Some(0.5) }));
        assert!(scaled(0, 50, 0).unwrap_err().contains("never ran"));
    }

    #[test]
    fn reasons_name_the_cause() {
        let said = |errno| reason(&io::Error::from_raw_os_error(errno));
        assert!(said(2).contains("PMU"));
        assert!(said(13).contains("perf_event_paranoid is") && !said(13).contains("seccomp"));
        assert!(said(1).contains("perf_event_paranoid is") && said(1).contains("seccomp"));
        assert!(said(95).contains("support"));
    }
}
