//! Interference: the share of processor time that other programs used or that the hypervisor
//! withheld (steal time) between two readings of `/proc`.

use crate::interrupt::{Interrupt, Interrupted};
use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The most programs that a report names.
const NAMED: usize = 3;

/// A program is named if it used at least this share of all processor time.
const WORTH_NAMING: f64 = 0.02;

/// A machine is idle if other programs use at most this share of its processor time.
const IDLE: f64 = 0.05;

/// Seconds between two checks for idleness, and how many checks in a row must succeed.
const LOOK: (Duration, u32) = (Duration::from_secs(2), 3);

/// Processor time used since boot, in clock ticks.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Ticks of all processors: total, idle (with iowait), and steal.
    total: u64,
    idle: u64,
    steal: u64,
    /// By pid: parent pid, program name, and ticks used.
    processes: BTreeMap<u32, (u32, String, u64)>,
    /// Ticks of this process and of its children that have ended.
    own: u64,
}

/// What others used between two snapshots, as shares (0 to 1) of all processor time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interference {
    /// Steal time: the processor was ready, but the hypervisor ran something else.
    pub steal: f64,
    /// Time used by programs other than this one and its children.
    pub others: f64,
    /// Other programs and their shares, the busiest first; at most three.
    pub programs: Vec<(String, f64)>,
}

impl Snapshot {
    /// Reads the processor time of the machine and of every process; `None` without `/proc`.
    pub fn take() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let mut snapshot = Self::from_stat(&stat)?;
        for entry in fs::read_dir("/proc").ok()?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // The process may have ended since the folder was listed.
            let Some(process) = fs::read_to_string(entry.path().join("stat")).ok().and_then(|text| process(&text))
            else {
                continue;
            };
            if pid == std::process::id() {
                snapshot.own = process.own + process.children;
            }
            snapshot.processes.insert(pid, (process.parent, process.name, process.own));
        }
        Some(snapshot)
    }

    /// Parses the first line of `/proc/stat`.
    fn from_stat(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let at = |place: usize| ticks.get(place).copied().unwrap_or(0);
        // Fields: user nice system idle iowait irq softirq steal. Guest time is included in user
        // time.
        Some(Self { total: ticks.iter().take(8).sum(), idle: at(3) + at(4), steal: at(7), ..Self::default() })
    }

    /// What others used between an earlier snapshot and this one.
    pub fn since(&self, before: &Self) -> Interference {
        let total = self.total.saturating_sub(before.total).max(1) as f64;
        let share = |after: u64, before: u64| after.saturating_sub(before) as f64 / total;
        let (idle, steal) = (share(self.idle, before.idle), share(self.steal, before.steal));
        let this = std::process::id();
        let (mut programs, mut own): (BTreeMap<String, f64>, f64) = (BTreeMap::new(), share(self.own, before.own));
        for (pid, (parent, name, ticks)) in &self.processes {
            let used = share(*ticks, before.processes.get(pid).map_or(0, |known| known.2));
            match *parent == this {
                true => own += used,
                false if *pid != this => *programs.entry(name.clone()).or_default() += used,
                false => {}
            }
        }
        let mut programs: Vec<(String, f64)> = programs.into_iter().filter(|(_, used)| *used >= WORTH_NAMING).collect();
        programs.sort_by(|a, b| b.1.total_cmp(&a.1));
        programs.truncate(NAMED);
        Interference { steal, others: (1.0 - idle - steal - own).max(0.0), programs }
    }
}

/// The fields of `/proc/PID/stat` that are used here; times in ticks.
struct Process {
    name: String,
    parent: u32,
    own: u64,
    children: u64,
}

fn process(stat: &str) -> Option<Process> {
    // The name is in parentheses and may itself contain parentheses and spaces.
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Process {
        name: name.to_owned(),
        parent: fields.get(1)?.parse().ok()?,
        own: number(11)? + number(12)?,
        children: number(13)? + number(14)?,
    })
}

impl Interference {
    /// True if the interference is large enough to report.
    pub fn is_notable(&self) -> bool {
        self.others > IDLE || self.steal > 0.01
    }

    /// The interference as a sentence.
    pub fn in_words(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let named: Vec<String> =
            self.programs.iter().map(|(name, used)| format!("{name} {}", percent(*used))).collect();
        let named = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        let (others, steal) = (percent(self.others), percent(self.steal));
        format!(
            "Other programs used {others} of the processor time{named}; the hypervisor withheld {steal} (steal time)."
        )
    }
}

/// Waits until the machine is idle, for at most `most`. Returns what others used between the last
/// two readings; `None` without `/proc`.
///
/// # Errors
/// The user asked to stop.
pub fn wait_until_idle(
    most: Duration,
    interrupt: &Interrupt,
    mut tell: impl FnMut(&Interference, Duration),
) -> Result<Option<Interference>, Interrupted> {
    let begin = Instant::now();
    let mut in_a_row = 0;
    let Some(mut before) = Snapshot::take() else { return Ok(None) };
    loop {
        let look = Instant::now();
        while look.elapsed() < LOOK.0 {
            interrupt.check()?;
            thread::sleep(Duration::from_millis(50));
        }
        let Some(now) = Snapshot::take() else { return Ok(None) };
        let seen = now.since(&before);
        before = now;
        in_a_row = if seen.is_notable() { 0 } else { in_a_row + 1 };
        if in_a_row == LOOK.1 || begin.elapsed() >= most {
            return Ok(Some(seen));
        }
        tell(&seen, most.saturating_sub(begin.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_spaces_are_parsed() {
        let stat = "42 (a (b) c) S 7 42 42 0 -1 4194304 1 2 3 4 100 20 5 6 20 0 1 0 9 0 0";
        let process = process(stat).unwrap();
        assert_eq!((process.name.as_str(), process.parent, process.own, process.children), ("a (b) c", 7, 120, 11));
        assert!(super::process("42 (a").is_none());
    }

    #[test]
    fn shares_are_of_all_processors_without_this_program() {
        let at = |busy: u64, idle: u64, steal: u64| {
            Snapshot::from_stat(&format!("cpu  {busy} 0 0 {idle} 0 0 0 {steal} 0 0\n")).unwrap()
        };
        let (mut before, mut after) = (at(0, 0, 0), at(60, 30, 10));
        let this = std::process::id();
        for (snapshot, scale) in [(&mut before, 0), (&mut after, 1)] {
            snapshot.own = 5 * scale;
            snapshot.processes.insert(this, (1, "pfnbench".into(), 5 * scale));
            snapshot.processes.insert(this + 1, (this, "pfnbench".into(), 15 * scale));
            snapshot.processes.insert(this + 2, (1, "cc1".into(), 30 * scale));
            snapshot.processes.insert(this + 3, (1, "tiny".into(), scale));
        }
        let seen = after.since(&before);
        assert!((seen.others - 0.4).abs() < 1e-9 && (seen.steal - 0.1).abs() < 1e-9, "{seen:?}");
        assert_eq!(seen.programs, [("cc1".to_owned(), 0.3)]);
        assert!(seen.is_notable() && seen.in_words().contains("cc1 30 %"), "{}", seen.in_words());
    }

    #[test]
    fn shares_on_this_machine_are_between_0_and_1() {
        let Some(before) = Snapshot::take() else {
            eprintln!("skipped: /proc is not mounted");
            return;
        };
        let seen = Snapshot::take().unwrap().since(&before);
        assert!((0.0..=1.0).contains(&seen.others) && (0.0..=1.0).contains(&seen.steal), "{seen:?}");
    }

    #[test]
    fn waiting_can_be_interrupted() {
        if Snapshot::take().is_none() {
            eprintln!("skipped: /proc is not mounted");
            return;
        }
        let most = Duration::from_secs(60);
        assert!(wait_until_idle(most, &Interrupt::asked(), |_, _| {}).is_err());
    }
}
