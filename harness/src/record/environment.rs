//! Facts about the machine that explain results. None of them identifies a person or a host.

use crate::size::parse_size;
use memmap_layouts::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// A CPU cache of the first CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Cache {
    /// Cache level: 1, 2 or 3.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`, as sysfs reports it.
    pub kind: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Cache {
    /// Level and size for people, e.g. `L2 1 MiB`.
    pub fn in_words(&self) -> String {
        format!("L{} {}", self.level, ByteSize(self.bytes))
    }
}

/// Hardware and system settings of the machine that ran the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Environment {
    /// Id derived from the architecture, CPU model, number of CPUs, caches, memory size and page
    /// size. Machines of the same kind have the same id, e.g. `x86_64-4cpu-16g-` and 8 hexadecimal
    /// digits.
    pub machine_id: String,
    /// Architecture that pfnbench was compiled for, e.g. `x86_64`.
    pub arch: String,
    /// CPU model as `/proc/cpuinfo` reports it; `unknown` if it does not.
    pub cpu: String,
    /// Number of CPUs that this process may use.
    pub cpus: usize,
    /// Caches of the first CPU, as sysfs reports them; empty if it does not.
    pub caches: Vec<Cache>,
    /// Total memory in bytes (`MemTotal` of `/proc/meminfo`); 0 if unknown.
    pub memory_bytes: u64,
    /// Size of a page of the running kernel in bytes.
    pub page_bytes: u64,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// `hypervisor` in a virtual machine, `none` on bare metal, or `unknown`.
    pub virtualisation: String,
    /// Setting of transparent huge pages: `always`, `madvise`, `never`, or `unknown`.
    pub transparent_hugepages: String,
    /// CPU frequency governor of the first CPU, e.g. `performance`; `unknown` if sysfs shows none.
    pub governor: String,
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The first value of the field `name` in `/proc/cpuinfo` or `/proc/meminfo`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// A value of `/proc/meminfo` in bytes. Its `kB` are 1024 bytes.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

fn caches() -> Vec<Cache> {
    let index = |n| Path::new("/sys/devices/system/cpu/cpu0/cache").join(format!("index{n}"));
    let cache = |n: u32| {
        let dir = index(n);
        let level = read(dir.join("level"))?.parse().ok()?;
        Some(Cache { level, kind: read(dir.join("type"))?, bytes: parse_size(&read(dir.join("size"))?).ok()? })
    };
    (0..8).map_while(cache).collect()
}

/// Memory that can be allocated without swapping, in bytes (`MemAvailable` of `/proc/meminfo`).
pub fn available_memory() -> Option<u64> {
    meminfo(&read("/proc/meminfo")?, "MemAvailable")
}

/// The selected word of a setting: `madvise` for `always [madvise] never`.
pub fn chosen(setting: &str) -> Option<&str> {
    setting.split_once('[')?.1.split_once(']').map(|(word, _)| word)
}

impl Environment {
    /// All caches except instruction caches.
    pub fn data_caches(&self) -> impl Iterator<Item = &Cache> {
        self.caches.iter().filter(|cache| cache.kind != "Instruction")
    }

    /// Reads the facts about this machine. Facts that cannot be read are `unknown`, 0 or empty.
    pub fn look() -> Self {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let cpu = ["model name", "Processor", "uarch", "cpu"].iter().find_map(|name| field(&cpuinfo, name));
        let flags = field(&cpuinfo, "flags").unwrap_or_default();
        let memory_bytes = read("/proc/meminfo").and_then(|text| meminfo(&text, "MemTotal")).unwrap_or(0);
        let virtualisation = match flags.split_whitespace().any(|flag| flag == "hypervisor") {
            true => "hypervisor",
            false if flags.is_empty() => "unknown",
            false => "none",
        };
        let mut environment = Self {
            machine_id: String::new(),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: cpu.unwrap_or_else(|| "unknown".to_owned()),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            caches: caches(),
            memory_bytes,
            page_bytes: rustix::param::page_size() as u64,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            virtualisation: virtualisation.to_owned(),
            transparent_hugepages: read("/sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|setting| chosen(&setting).map(str::to_owned))
                .unwrap_or_else(|| "unknown".to_owned()),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .unwrap_or_else(|| "unknown".to_owned()),
        };
        environment.machine_id = environment.id();
        environment
    }

    /// Architecture, number of CPUs and memory size in words, then a hash over the hardware facts,
    /// which stay the same from run to run.
    fn id(&self) -> String {
        // Rounded up to GiB, because firmware and kernel reserve a small amount that varies.
        let gib = self.memory_bytes.div_ceil(1 << 30);
        let mut hasher = Sha256::new();
        hasher.update(format!("{}|{}|{}|{gib}|{}", self.arch, self.cpu, self.cpus, self.page_bytes));
        for cache in &self.caches {
            hasher.update(format!("|{}{}{}", cache.level, cache.kind, cache.bytes));
        }
        let hash: String = hasher.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}cpu-{gib}g-{hash}", self.arch, self.cpus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_settings_are_read() {
        let text = "MemTotal:       24 kB\nMemFree:  x kB\nHugePages_Total:       0\n";
        let values = ["MemTotal", "MemFree", "HugePages_Total", "Mem"].map(|name| meminfo(text, name));
        assert_eq!(values, [Some(24 << 10), None, None, None]);
        assert_eq!(chosen("always [madvise] never"), Some("madvise"));
        assert_eq!(field("a : 1\nb:  2 3\n", "b").as_deref(), Some("2 3"));
    }

    #[test]
    fn the_same_machine_has_the_same_id() {
        let (one, two) = (Environment::look(), Environment::look());
        assert_eq!(one.machine_id, two.machine_id);
        assert!(one.machine_id.starts_with(std::env::consts::ARCH) && one.memory_bytes > 0);
    }
}
