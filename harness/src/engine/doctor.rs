//! Checks whether this machine is fit for measurements: which settings are unfit, why, and the
//! command that fixes each.

use crate::case::CounterKind;
use crate::engine::probe::counters::Meter;
use crate::record::environment::{self, Environment, chosen};
use crate::record::examination::{Examination, Finding, Verdict};
use memmap_layouts::ByteSize;
use memmap_layouts::backing::tmpfs_refuses_huge_pages;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn number(path: &str) -> Option<f64> {
    read(path)?.split_whitespace().next()?.parse().ok()
}

/// Checks one setting. If its value is known, `judge` returns the verdict and the advice.
fn setting(
    point: &str,
    matters: bool,
    value: Option<String>,
    judge: impl FnOnce(&str) -> (Verdict, String),
) -> Finding {
    let (verdict, seen, advice) = match value {
        Some(value) => {
            let (verdict, advice) = judge(&value);
            (verdict, value, advice)
        }
        None => (Verdict::Unknown, "not reported by this machine".to_owned(), String::new()),
    };
    Finding { point: point.to_owned(), verdict, seen, advice, matters }
}

fn unless(unfit: bool, advice: &str) -> (Verdict, String) {
    if unfit { (Verdict::Unfit, advice.to_owned()) } else { (Verdict::Ok, String::new()) }
}

fn tmpfs_free(dir: &str) -> Option<u64> {
    let status = rustix::fs::statvfs(dir).ok()?;
    Some(status.f_bavail * status.f_frsize)
}

/// Names of the processor counters that can be opened, or `none`. Opens each of them.
fn counters() -> String {
    let can = |kind: &CounterKind| Meter::open(*kind).is_ok();
    let open: Vec<&str> =
        CounterKind::ALL.iter().filter(|kind| kind.is_of_processor() && can(kind)).map(|kind| kind.name()).collect();
    if open.is_empty() { "none".to_owned() } else { open.join(", ") }
}

/// Free huge pages in the pool, by page size; `None` without hugetlbfs.
fn free_huge_pages() -> Option<String> {
    let sizes = fs::read_dir("/sys/kernel/mm/hugepages").ok()?.flatten();
    let mut free: Vec<(u64, u64)> = sizes
        .filter_map(|size| {
            let kib =
                size.file_name().to_string_lossy().strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            Some((kib, read(size.path().join("free_hugepages").to_str()?)?.parse().ok()?))
        })
        .collect();
    free.sort_unstable();
    let words: Vec<String> = free.iter().map(|(kib, nr)| format!("{nr} of {}", ByteSize(kib << 10))).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn valgrind() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").stderr(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|version| !version.is_empty())
}

fn dax_devices() -> Vec<String> {
    let devices = fs::read_dir("/sys/bus/dax/drivers/device_dax").into_iter().flatten().flatten();
    let names = devices.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("dax")).collect();
    names.sort();
    names
}

fn on_or_off(switch: &str) -> String {
    if switch == "1" { "on" } else { "off" }.to_owned()
}

/// The name of a mode of `vm.overcommit_memory`; see `Documentation/mm/overcommit-accounting.rst`.
fn overcommit(mode: &str) -> String {
    match mode {
        "0" => "heuristic",
        "1" => "always",
        "2" => "strict",
        other => other,
    }
    .to_owned()
}

/// Checks the settings of this machine.
pub fn examine(environment: &Environment) -> Examination {
    let load = number("/proc/loadavg").map(|load| (load, format!("{load:.2} on {} processors", environment.cpus)));
    let limit_advice = "records may take an eighth of it; close other programs or lower --records-limit";
    let shm_refuses = tmpfs_refuses_huge_pages(Path::new("/dev/shm"));
    let findings = vec![
        setting("physical map", false, Some(iomem()), |seen| {
            unless(seen != "readable", "a built-in map is used instead; run as root, or pass a map with --map FILE")
        }),
        setting("page size", true, Some(ByteSize(environment.page_bytes).to_string()), |_| {
            unless(environment.page_bytes != 4096, "the layouts need base pages of 4 KiB; boot a kernel that has them")
        }),
        setting("virtualisation", true, Some(environment.virtualisation.clone()), |seen| match seen {
            "none" => (Verdict::Ok, String::new()),
            "unknown" => (Verdict::Unknown, String::new()),
            // Steal time is checked for each slice, so a virtual machine counts as fit.
            _ => (
                Verdict::Ok,
                "absolute times are specific to this machine; slices with steal time are retaken".to_owned(),
            ),
        }),
        setting("load", true, load.as_ref().map(|(_, seen)| seen.clone()), |_| {
            let busy = load.as_ref().is_some_and(|&(load, _)| load > 0.5 * environment.cpus as f64);
            unless(
                busy,
                "other programs compete for the processors; top shows them, and pfnbench run --wait-quiet waits for them",
            )
        }),
        setting("frequency governor", true, read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), |seen| {
            unless(seen != "performance", "the clock frequency follows the load: cpupower frequency-set -g performance")
        }),
        setting("turbo", true, turbo(), |seen| {
            unless(
                seen == "on",
                "the clock frequency follows the temperature: echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 > /sys/devices/system/cpu/cpufreq/boost",
            )
        }),
        setting("SMT", true, read("/sys/devices/system/cpu/smt/active").map(|active| on_or_off(&active)), |seen| {
            unless(
                seen == "on",
                "a busy SMT sibling slows down its core: echo off > /sys/devices/system/cpu/smt/control",
            )
        }),
        setting("transparent huge pages", false, read("/sys/kernel/mm/transparent_hugepage/enabled"), |seen| {
            let word = chosen(seen).unwrap_or(seen);
            (
                Verdict::Ok,
                match word {
                    "always" => "no effect: each --backing sets its own page size".to_owned(),
                    "never" => "--backing linux (the default), --backing thp and --index-pages huge need them: \
                                echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
                        .to_owned(),
                    _ => String::new(),
                },
            )
        }),
        setting("huge pages free", false, free_huge_pages(), |seen| {
            let pages_of_2_mib = seen.split(", ").find_map(|size| size.strip_suffix(" of 2 MiB"));
            unless(
                pages_of_2_mib.is_none_or(|nr| nr == "0"),
                "--backing hugetlb needs 512 of them per GiB of --records-limit: sysctl vm.nr_hugepages=528",
            )
        }),
        setting(
            "huge pages of /dev/shm",
            false,
            Some(if shm_refuses.is_some() { "none" } else { "allowed" }.into()),
            |_| {
                unless(
                    shm_refuses.is_some(),
                    &format!("--backing tmpfs-huge: {}", shm_refuses.as_deref().unwrap_or_default()),
                )
            },
        ),
        setting("overcommit", true, read("/proc/sys/vm/overcommit_memory").map(|mode| overcommit(&mode)), |seen| {
            unless(seen == "strict", "1 TiB of address space cannot be reserved: sysctl vm.overcommit_memory=0")
        }),
        setting("address space", true, Some(address_space()), |seen| {
            unless(seen != "unlimited", "each layout reserves 1 TiB of address space: ulimit -v unlimited")
        }),
        setting("vm.max_map_count", false, read("/proc/sys/vm/max_map_count"), |seen| {
            let few = seen.parse::<u64>().is_ok_and(|count| count < 65530);
            unless(few, "each range on a device needs two mappings: sysctl vm.max_map_count=65530")
        }),
        setting("memory available", true, environment::available_memory().map(|b| ByteSize(b).to_string()), |_| {
            unless(environment::available_memory().is_some_and(|bytes| bytes < 2 << 30), limit_advice)
        }),
        setting("tmpfs at /dev/shm", true, tmpfs_free("/dev/shm").map(|b| format!("{} free", ByteSize(b))), |_| {
            let small = tmpfs_free("/dev/shm").is_some_and(|bytes| bytes < 512 << 20);
            unless(small, "layouts with records on a device store them there: mount -o remount,size=1G /dev/shm")
        }),
        setting(
            "DAX devices",
            false,
            Some(dax_devices()).map(|d| if d.is_empty() { "none".into() } else { d.join(", ") }),
            |seen| {
                unless(
                    seen == "none",
                    "a file on a tmpfs is used instead; to use a device, pass --backing dax:/dev/daxX.Y",
                )
            },
        ),
        setting("processor counters", false, Some(counters()), |seen| {
            unless(
                seen == "none",
                "cycles and cache misses cannot be counted; on a virtual machine, the host enables them, e.g. qemu -cpu host,pmu=on",
            )
        }),
        setting("perf_event_paranoid", false, read("/proc/sys/kernel/perf_event_paranoid"), |seen| {
            let strict = seen.parse::<i32>().is_ok_and(|level| level > 2);
            unless(strict, "unprivileged users may not open counters: sysctl kernel.perf_event_paranoid=2")
        }),
        setting("valgrind", false, Some(valgrind().unwrap_or_else(|| "not installed".into())), |seen| {
            unless(seen == "not installed", "instructions cannot be counted: install the package valgrind")
        }),
    ];
    Examination { findings }
}

fn iomem() -> String {
    match fs::read_to_string("/proc/iomem") {
        Ok(text) if text.lines().any(|line| !line.trim_start().starts_with("00000000-00000000")) => {
            "readable".to_owned()
        }
        Ok(_) => "no addresses without root".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn turbo() -> Option<String> {
    let state = |on: bool| if on { "on" } else { "off" }.to_owned();
    let intel = "/sys/devices/system/cpu/intel_pstate/no_turbo";
    if Path::new(intel).exists() {
        return read(intel).map(|no_turbo| state(no_turbo == "0"));
    }
    read("/sys/devices/system/cpu/cpufreq/boost").map(|boost| state(boost == "1"))
}

fn address_space() -> String {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    limit.map_or_else(|| "unlimited".to_owned(), |bytes| ByteSize(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(verdict: Verdict, matters: bool) -> Finding {
        Finding { point: "x".into(), verdict, seen: "y".into(), advice: String::new(), matters }
    }

    #[test]
    fn the_worst_relevant_finding_sets_the_verdict() {
        let verdict = |findings: &[Finding]| Examination { findings: findings.to_vec() }.verdict();
        assert_eq!(verdict(&[finding(Verdict::Ok, true), finding(Verdict::Unfit, false)]), Verdict::Ok);
        assert_eq!(verdict(&[finding(Verdict::Unknown, true), finding(Verdict::Ok, true)]), Verdict::Unknown);
        assert_eq!(verdict(&[finding(Verdict::Unknown, true), finding(Verdict::Unfit, true)]), Verdict::Unfit);
    }

    #[test]
    fn every_unfit_finding_has_advice() {
        let examination = examine(&Environment::look());
        assert!(examination.findings.len() > 10);
        for finding in examination.findings {
            assert!(!finding.seen.is_empty());
            assert!(finding.verdict != Verdict::Unfit || !finding.advice.is_empty(), "{finding:?}");
        }
    }
}
