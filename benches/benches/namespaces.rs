//! `cargo bench --bench namespaces`: the time to create and enable a namespace, compared with a
//! baseline that only populates and writes the same records. The two alternate on the same blocks
//! of the same file.

use anyhow::{Context, ensure};
use memmap_layouts::backing::RamBacking;
use memmap_layouts::layouts::{Dax, DaxX86, Subsection};
use memmap_layouts::machine::{Machine, MachineConfig};
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::label::{LABEL_FILE_BYTES, NamespaceKind};
use memmap_layouts::nvdimm::namespace::{disable, enable};
use memmap_layouts::nvdimm::region::{DEFAULT_ALIGN, NamespaceSpec, Region};
use memmap_layouts::nvdimm::storage::StorageFile;
use memmap_layouts::nvdimm::{Host, RecordsOn};
use memmap_layouts::rules::RuleSet;
use memmap_layouts::{
    BootMap, ByteSize, Config, Hotplug, Inspect, PAGE_RECORD_BYTES, RecordStore, SectionFlags, X86_64,
};
use pfnbench::engine::probe::baseline::{BaselineRecords, round_on_file};
use pfnbench::engine::verify::tmpfs_dir;
use pfnbench::units::{three_digits, time};
use pfnbench_benches::{Mode, NamespaceCase, Start, namespace_cases};
use rustix::fs::statvfs;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// Number of timed turns of the namespace, and of the baseline.
const TURNS: usize = 15;

/// Namespace size in bytes in test mode, where each side has one turn.
const TEST_BYTES: u64 = 1 << 30;

const START: u64 = 4 << 30;
const DATA_ALIGN: u64 = 2 << 20;
const UUID: [u8; 16] = [1; 16];

fn main() -> anyhow::Result<()> {
    let start = Start::new()?;
    let cases = namespace_cases().into_iter().filter(|case| start.wants(case.name()));
    for case in cases {
        let name = start.name(case.name());
        match start.mode {
            Mode::List => println!("{name}: benchmark"),
            Mode::Test => run(&NamespaceCase { size: TEST_BYTES, ..case }, &name, 1, &start)?,
            Mode::Bench => run(&case, &name, TURNS, &start)?,
        }
    }
    Ok(())
}

fn run(case: &NamespaceCase, name: &str, turns: usize, start: &Start) -> anyhow::Result<()> {
    match case.layout {
        "dax" => race::<Dax>(case, name, turns, start),
        "dax-x86" => race::<DaxX86>(case, name, turns, start),
        _ => race::<Subsection>(case, name, turns, start),
    }
}

/// Times the namespace and the baseline alternately, and prints the result.
fn race<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
    case: &NamespaceCase,
    name: &str,
    turns: usize,
    start: &Start,
) -> anyhow::Result<()> {
    let (backing, _) = start.open()?;
    let dir = tmpfs_dir(&backing);
    let nr_records = case.size >> 12;
    let record_bytes = nr_records * PAGE_RECORD_BYTES;
    let room = statvfs(dir).with_context(|| format!("cannot query the free space of {}", dir.display()))?;
    let room = room.f_bavail.saturating_mul(room.f_frsize);
    if case.on_medium && room < record_bytes + (64 << 20) {
        eprintln!(
            "skipped: {name}: {} has {} free, the records need {} and 64 MiB of headroom",
            dir.display(),
            ByteSize(room),
            ByteSize(record_bytes)
        );
        return Ok(());
    }
    let dir = tempfile::Builder::new().prefix("pfnbench-namespace-").tempdir_in(dir)?;
    let path = dir.path().join("medium");
    let medium = StorageFile::create(&path, case.size + DEFAULT_ALIGN)?;
    let labels = StorageFile::create(&dir.path().join("labels"), LABEL_FILE_BYTES)?;
    let region = Region::create(medium, labels, START, DEFAULT_ALIGN, &Host::X86_64)?;
    let (map, config) = (BootMap::default(), MachineConfig::default());
    let machine = Machine::<L>::boot(&map, config, &Config::default(), RecordStore::unlimited())?;
    let mut ours = NamespaceSide { region, machine, case };
    let baseline = Baseline::new(case, &path, nr_records as usize)?;
    // The first turn of each side allocates blocks of the file and page tables, and is discarded.
    ours.turn()?;
    baseline.turn()?;
    let mut times = Vec::new();
    for nr in 0..turns {
        let pair = if nr % 2 == 0 {
            let ours = ours.turn()?;
            (ours, baseline.turn()?)
        } else {
            let baseline = baseline.turn()?;
            (ours.turn()?, baseline)
        };
        times.push(pair);
    }
    if start.mode == Mode::Bench {
        report(name, &times);
    } else {
        println!("{name}: verified with {}", ByteSize(case.size));
    }
    Ok(())
}

struct NamespaceSide<'a, L: Hotplug + SectionFlags + Inspect> {
    region: Region<StorageFile>,
    machine: Machine<L>,
    case: &'a NamespaceCase,
}

impl<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect> NamespaceSide<'_, L> {
    /// Times creating and enabling a namespace, then takes it down.
    fn turn(&mut self) -> anyhow::Result<Duration> {
        let records = if self.case.on_medium { RecordsOn::Medium } else { RecordsOn::Ram };
        let wanted = NamespaceSpec {
            size: self.case.size,
            align: DATA_ALIGN,
            // Records in RAM of a DAX device share pages, and the baseline's do not.
            kind: if self.case.on_medium { NamespaceKind::DevDax } else { NamespaceKind::FsDax },
            records,
            name: "namespace0.0".to_owned(),
            uuid: UUID,
            instance: [2; 16],
            skips_to_sub_section: false,
        };
        let begin = Instant::now();
        self.region.create_namespace(&wanted, &Surroundings::default(), &Host::X86_64, &RuleSet::MERGED)?;
        let label = self.region.label(&UUID)?.clone();
        let enabled = enable(&self.region, &label, &Host::X86_64, &self.machine, &mut ())?;
        let elapsed = begin.elapsed();
        let mapping = enabled.mapping.as_ref().context("a namespace with records has no mapping")?;
        let wrong = mapping.first_wrong_record(self.machine.layout(), drop);
        ensure!(wrong.is_none(), "page frame {wrong:?} does not have its own record");
        disable(&enabled, &self.machine)?;
        self.region.set_disabled(&UUID, true)?;
        self.region.destroy_namespace(&UUID)?;
        Ok(elapsed)
    }
}

/// The baseline, on the same backing store as the records of the namespace.
enum Baseline {
    /// The blocks of the file that hold the records of the namespace.
    File {
        file: File,
        nr_records: usize,
    },
    Ram(BaselineRecords),
}

impl Baseline {
    fn new(case: &NamespaceCase, path: &Path, nr_records: usize) -> anyhow::Result<Self> {
        Ok(match case.on_medium {
            true => Self::File { file: File::options().read(true).write(true).open(path)?, nr_records },
            false => Self::Ram(BaselineRecords::new(nr_records, &RamBacking::Anon)?),
        })
    }

    fn turn(&self) -> anyhow::Result<Duration> {
        Ok(match self {
            // After the header, aligned like the blocks of an altmap.
            Self::File { file, nr_records } => round_on_file(file, DATA_ALIGN, *nr_records, START >> 12)?,
            Self::Ram(records) => records.round(START >> 12)?,
        })
    }
}

/// Target for the time of the namespace divided by that of the baseline. Nothing enforces it.
const TARGET: f64 = 1.15;

fn report(name: &str, times: &[(Duration, Duration)]) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let nanos = |duration: &Duration| duration.as_nanos() as f64;
    let ours = median(times.iter().map(|(ours, _)| nanos(ours)).collect());
    let baseline = median(times.iter().map(|(_, baseline)| nanos(baseline)).collect());
    let ratios: Vec<f64> = times.iter().map(|(ours, baseline)| nanos(ours) / nanos(baseline)).collect();
    let (least, most) =
        ratios.iter().fold((f64::MAX, 0f64), |(least, most), ratio| (least.min(*ratio), most.max(*ratio)));
    println!(
        "{name:<32} namespace {}  baseline {}  ratio {} ({} to {} in {} turns; target {TARGET} or less)",
        time(ours),
        time(baseline),
        three_digits(median(ratios)),
        three_digits(least),
        three_digits(most),
        times.len()
    );
}
