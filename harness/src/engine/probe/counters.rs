//! Counters of the processor and of the kernel, one at a time, around timed work.
//!
//! Each counter may be unavailable: a virtual machine may have no PMU, the kernel may restrict
//! access, the processor may lack the event. A counter that cannot be opened, or never ran, is
//! reported with the reason and never as 0. Only one counter runs at a time, so that they do not
//! compete for hardware counters. If another program competes, the count is scaled and marked.

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

/// The number of events during some work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    /// Number of events, scaled up if the counter ran for only part of the time.
    pub events: f64,
    /// Share (0 to 1) of the time in which the counter ran; `None` if it ran all the time.
    pub share: Option<f64>,
}

/// A `perf_event` counter of the calling thread.
pub struct Meter(Counter);

impl Meter {
    /// Opens a counter for the calling thread.
    ///
    /// # Errors
    /// Why the counter is not available, and where possible the setting that enables it.
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
        return Err("the counter never ran: other programs use all hardware counters".to_owned());
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
        format!("kernel.perf_event_paranoid is {} (try sysctl kernel.perf_event_paranoid=2)", level.trim())
    };
    match error.kind() {
        io::ErrorKind::NotFound => {
            "the processor does not have this event; a virtual machine may need a PMU".to_owned()
        }
        // System-call filters, for instance of containers, return this error.
        _ if error.raw_os_error() == Some(libc::EPERM) => {
            format!("perf_event_open is not permitted: {}, or a seccomp filter blocks it", paranoid())
        }
        io::ErrorKind::PermissionDenied => format!("perf_event_open is not permitted: {}", paranoid()),
        io::ErrorKind::Unsupported => "the kernel or the processor does not support the event".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_counts_or_gives_a_reason() {
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
    fn an_error_of_the_work_is_returned() {
        if let Ok(mut meter) = Meter::open(CounterKind::TaskClock) {
            assert_eq!(meter.count(|| Err::<(), _>("no")), Err("no"));
        }
    }

    #[test]
    fn partial_counts_are_scaled_and_missing_counts_are_errors() {
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
