//! Runs on machines that lack a feature or take the CPU away: they complete, and mark disturbed
//! samples.

mod common;

use common::{SMALL_MAP, folder};
use serde_json::Value;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const ARGUMENTS: [&str; 7] = ["run", "--tier", "smoke", "--records-limit", "64M", "--map", "small.txt"];

fn pfnbench(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pfnbench"));
    command.args(ARGUMENTS).current_dir(dir);
    command
}

fn with_map() -> tempfile::TempDir {
    let dir = folder();
    fs::write(dir.path().join("small.txt"), SMALL_MAP).unwrap();
    dir
}

/// The rows of the only run below `results`, which may be partial.
fn rows(dir: &Path) -> Vec<Value> {
    let below = |dir: PathBuf| fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    let run = below(below(dir.join("results")));
    let text = fs::read_to_string(run.join("samples.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn one_processor_is_enough() {
    let dir = with_map();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let first = allowed.split(['-', ',']).next().unwrap();
    let output = Command::new("taskset")
        .args(["-c", first, env!("CARGO_BIN_EXE_pfnbench")])
        .args(ARGUMENTS)
        .current_dir(dir.path())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: taskset is not installed");
        return;
    };
    succeeded(&output);
    let rows = rows(dir.path());
    assert!(rows.iter().any(|row| row["op"] == "pfn_valid" && row["value"].is_number()));
}

/// Stops the processes of a run for a while, as a debugger or a suspended machine does.
#[test]
fn stopped_processes_leave_no_unmarked_outlier() {
    const STOP: Duration = Duration::from_millis(700);
    let dir = with_map();
    let mut run = pfnbench(dir.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", run.id());
    let signal = |name: &str| {
        let text = fs::read_to_string(&children).unwrap_or_default();
        let pids: Vec<&str> = text.split_whitespace().collect();
        !pids.is_empty() && Command::new("kill").arg(name).args(pids).stderr(Stdio::null()).status().unwrap().success()
    };
    let mut stops = 0;
    while run.try_wait().unwrap().is_none() {
        if signal("-STOP") {
            thread::sleep(STOP);
            signal("-CONT");
            stops += 1;
        }
        thread::sleep(Duration::from_millis(50));
        if stops == 12 {
            break;
        }
    }
    succeeded(&run.wait_with_output().unwrap());
    if stops == 0 {
        eprintln!("skipped: this system does not list the children of a process");
        return;
    }
    let rows = rows(dir.path());
    let timed: Vec<&Value> = rows.iter().filter(|row| row["metric"] == "time" && row["evidence"].is_object()).collect();
    assert!(!timed.is_empty());
    let seen: u64 = timed.iter().map(|row| row["evidence"]["retaken"].as_u64().unwrap_or(0)).sum();
    let marked = timed.iter().filter(|row| row["disturbed"] == true).count();
    for row in &timed {
        let wall = Duration::from_nanos(row["evidence"]["wall_ns"].as_u64().unwrap());
        assert!(wall < STOP || row["disturbed"] == true, "{row}");
        assert_eq!(row["disturbed"] == true, row["doctor"] == "unfit", "{row}");
        assert!(
            row["evidence"]["retaken"].as_u64().unwrap_or(0) <= 8,
            "at most four retries per slice, two slices per sample: {row}"
        );
    }
    eprintln!("{stops} stops: {seen} slices repeated, {marked} samples marked");
}

#[test]
fn a_run_without_proc_completes() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can hide /proc");
        return;
    }
    let dir = with_map();
    let script =
        format!("mount -t tmpfs none /proc && exec '{}' {}", env!("CARGO_BIN_EXE_pfnbench"), ARGUMENTS.join(" "));
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).current_dir(dir.path()).output();
    let output = match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("unshare failed") => output,
        _ => {
            eprintln!("skipped: this system makes no mount namespace");
            return;
        }
    };
    succeeded(&output);
    let rows = rows(dir.path());
    let timed: Vec<&Value> = rows.iter().filter(|row| row["metric"] == "time" && row["evidence"].is_object()).collect();
    assert!(!timed.is_empty());
    for row in timed {
        assert!(row["evidence"]["wait_ns"].is_null() && row["evidence"]["steal_ns"].is_null(), "{row}");
        assert!(row["evidence"]["switches"].is_number(), "a system call reports them: {row}");
    }
}

/// Simulates the default seccomp profile of containers.
#[test]
fn missing_counters_name_the_seccomp_filter() {
    let dir = with_map();
    let mut command = pfnbench(dir.path());
    // SAFETY: between fork and exec, `forbid` only makes two system calls with memory on its stack.
    unsafe { command.pre_exec(|| forbid(libc::SYS_perf_event_open)) };
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: this system takes no seccomp filter: {error}");
            return;
        }
    };
    succeeded(&output);
    let rows = rows(dir.path());
    let refused: Vec<&Value> = rows.iter().filter(|row| row["status"] == "not_counted").collect();
    assert!(!refused.is_empty(), "no row of a counter");
    assert!(refused.iter().all(|row| row["reason"].as_str().unwrap().contains("seccomp filter")), "{refused:?}");
}

/// Makes a system call fail with EPERM in this process and its children.
fn forbid(call: libc::c_long) -> std::io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // The first word of the filtered data is the number of the system call.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { jt: 0, jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32) },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    type Word = libc::c_ulong;
    // SAFETY: the kernel copies the program; its length is that of the array.
    let result = unsafe {
        match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1 as Word, 0 as Word, 0 as Word, 0 as Word) {
            0 => libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER as Word, &raw const program),
            other => other,
        }
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
