//! `cargo bench --bench space`: compares the cost of an addition in physical address spaces of 46
//! and 52 bits, which take turns.

use anyhow::Context;
use hdrhistogram::Histogram;
use memmap_layouts::backing::{BackingError, DaxDevice, Memory, RamBacking};
use memmap_layouts::{BootMap, Config, Geometry, PAGE_RECORD_BYTES, PfnRange, RecordStore, X86_64, X86_64La57};
use pfnbench::case::Position;
use pfnbench::engine::contestant::{Contestant, device_on_tmpfs};
use pfnbench::engine::layouts::entries;
use pfnbench::engine::probe::hotplug::{Latencies, Manner, percentile};
use pfnbench::engine::verify::tmpfs_dir;
use pfnbench::units::{three_digits, time};
use pfnbench_benches::{Mode, SpaceCase, Start, space_cases};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of samples for each space, unless the time limit for both is reached first.
const SAMPLES: u64 = 5_000;
const TIME: Duration = Duration::from_secs(2);

/// Number of additions in one space before the other takes its turn.
const TURN: u64 = 8;

fn main() -> anyhow::Result<()> {
    let start = Start::new()?;
    let cases: Vec<SpaceCase> = space_cases().into_iter().filter(|case| start.wants(case.name())).collect();
    if start.mode == Mode::List {
        cases.iter().for_each(|case| println!("{}: benchmark", start.name(case.name())));
        return Ok(());
    }
    if cases.is_empty() {
        return Ok(());
    }
    let (backing, device) = start.open()?;
    // Each side gets a part of the device.
    let devices =
        device.map(|device| device.split(2)).transpose()?.map(|parts| parts.into_iter().map(Arc::new).collect());
    let devices: Vec<_> = devices.unwrap_or_default();
    if let Err(error @ BackingError::TooLong { .. }) =
        Memory::reserve(X86_64La57::NR_PFNS * PAGE_RECORD_BYTES, &backing)
    {
        eprintln!("skipped: all space cases: {error}");
        return Ok(());
    }
    for case in &cases {
        let name = start.name(case.name());
        let entry = entries::<X86_64>().into_iter().find(|entry| entry.id == case.layout);
        if let Some(reason) = entry.and_then(|entry| entry.refuses(&backing)) {
            eprintln!("skipped: {name}: {reason}");
            continue;
        }
        let small = Side::<X86_64>::boot(case, &backing, devices.first())?;
        let large = Side::<X86_64La57>::boot(case, &backing, devices.get(1))?;
        let mut latencies = [Latencies::default(), Latencies::default()];
        let begin = Instant::now();
        let samples = if start.mode == Mode::Bench { SAMPLES } else { 1 };
        // The first turn allocates page tables, and is discarded.
        let mut warm = false;
        while latencies[0].add.len() < samples && begin.elapsed() < TIME {
            small.turn(case, &mut latencies[0])?;
            large.turn(case, &mut latencies[1])?;
            if !std::mem::replace(&mut warm, true) {
                latencies = Default::default();
            }
        }
        if start.mode == Mode::Bench {
            let [small, large] = &latencies;
            print(&name, "add", [&small.add, &large.add]);
            print(&name, "remove", [&small.remove, &large.remove]);
        }
    }
    if start.mode == Mode::Test {
        println!("{} space cases verified", cases.len());
    }
    Ok(())
}

/// A machine without memory, and the end of its physical address space.
struct Side<G: Geometry> {
    layout: Box<dyn Contestant<G>>,
    last_section: PfnRange,
    device: Arc<DaxDevice>,
}

impl<G: Geometry> Side<G> {
    fn boot(case: &SpaceCase, backing: &RamBacking, device: Option<&Arc<DaxDevice>>) -> anyhow::Result<Self> {
        let entry =
            entries::<G>().into_iter().find(|entry| entry.id == case.layout).context("there is no such layout")?;
        let store = RecordStore { backing: backing.clone(), ..RecordStore::unlimited() };
        let layout = entry.boot(&BootMap::default(), &Config::default(), store)?;
        let last_section = PfnRange::from_len(G::NR_PFNS - G::PAGES_PER_SECTION, G::PAGES_PER_SECTION);
        let last_section = last_section.context("the space has no section")?;
        let device = match device {
            Some(device) => Arc::clone(device),
            None => device_on_tmpfs::<G>(tmpfs_dir(backing), last_section)?,
        };
        Ok(Self { layout, last_section, device })
    }

    fn turn(&self, case: &SpaceCase, into: &mut Latencies) -> anyhow::Result<()> {
        let hotplug = self.layout.hotplug().context("the layout has no hotplug")?;
        let place = hotplug.place(self.last_section, case.size, Position::First).context("the case has no place")?;
        for _ in 0..TURN {
            hotplug.time(place.range, Manner::plain(Some(&self.device)), into).with_context(|| case.name())?;
        }
        Ok(())
    }
}

fn print(case: &str, op: &str, [small, large]: [&Histogram<u64>; 2]) {
    let name = format!("{case}/{op}");
    match (percentile(small, 0.5), percentile(large, 0.5)) {
        (Ok(small_ns), Ok(large_ns)) => println!(
            "{name:<34} p50 {} in 46 bits, {} in 52 bits, ratio {}  ({} and {} samples)",
            time(small_ns as f64),
            time(large_ns as f64),
            three_digits(large_ns as f64 / small_ns as f64),
            small.len(),
            large.len(),
        ),
        (Err(few), _) | (_, Err(few)) => println!("{name:<34} too few samples for a p50 ({few})"),
    }
}
