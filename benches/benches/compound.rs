//! `cargo bench --bench compound`: device memory in single pages, and in compound pages of 2 MiB and
//! 1 GiB, whose tail records share memory. They take turns.

use hdrhistogram::Histogram;
use memmap_layouts::layouts::Linux6_1;
use memmap_layouts::{BootMap, ByteSize, Config, Geometry, Inspect, Memmap, PfnRange, Phase, RecordStore, X86_64};
use pfnbench::engine::probe::hotplug::{Latencies, Manner, add, percentile, remove};
use pfnbench::units::{three_digits, time};
use pfnbench_benches::{CompoundCase, Mode, Start, compound_cases};
use std::time::{Duration, Instant};

/// Number of samples for each alignment, unless the time limit for all is reached first.
const SAMPLES: u64 = 200;
const TIME: Duration = Duration::from_secs(12);

/// A machine with device memory of one alignment, its latencies, and what its records take.
struct Side {
    case: CompoundCase,
    layout: Linux6_1,
    latencies: Latencies,
    record_bytes: u64,
}

impl Side {
    fn turn(&mut self, range: PfnRange) -> anyhow::Result<()> {
        let manner = Manner { vmemmap_shift: self.case.vmemmap_shift(), ..Manner::plain(None) };
        add(&self.layout, range, manner, &mut self.latencies)?;
        self.record_bytes = self.layout.accounting().ram_record_bytes;
        Ok(remove(&self.layout, range, &mut self.latencies)?)
    }

    fn phase(&self, wanted: Phase) -> Option<&Histogram<u64>> {
        self.latencies.phases.by_phase().find(|(phase, _)| *phase == wanted).map(|(_, times)| times)
    }

    /// The latencies that are printed, with their names.
    fn parts(&self) -> [(&'static str, Option<&Histogram<u64>>); 4] {
        [
            ("add", Some(&self.latencies.add)),
            ("  populate", self.phase(Phase::Populate)),
            ("  initialise", self.phase(Phase::Initialise)),
            ("remove", Some(&self.latencies.remove)),
        ]
    }
}

fn main() -> anyhow::Result<()> {
    let start = Start::new()?;
    let cases: Vec<CompoundCase> = compound_cases().into_iter().filter(|case| start.wants(case.name())).collect();
    if start.mode == Mode::List {
        cases.iter().for_each(|case| println!("{}: benchmark", start.name(case.name())));
        return Ok(());
    }
    let Some(size) = cases.first().map(|case| case.size) else { return Ok(()) };
    let (backing, _) = start.open()?;
    let boot = |case| {
        let store = RecordStore { backing: backing.clone(), ..RecordStore::unlimited() };
        let layout = Linux6_1::boot(&BootMap::default(), &Config::default(), store)?;
        anyhow::Ok(Side { case, layout, latencies: Latencies::default(), record_bytes: 0 })
    };
    let mut sides = cases.into_iter().map(boot).collect::<anyhow::Result<Vec<_>>>()?;
    let range = PfnRange::from_len(4 << (30 - X86_64::PAGE_SHIFT), size >> X86_64::PAGE_SHIFT);
    let range = range.expect("inside the physical address space");
    let begin = Instant::now();
    let samples = if start.mode == Mode::Bench { SAMPLES } else { 1 };
    for _ in 0..samples {
        sides.iter_mut().try_for_each(|side| side.turn(range))?;
        if begin.elapsed() > TIME {
            break;
        }
    }
    if start.mode == Mode::Test {
        println!("{} compound cases verified", sides.len());
        return Ok(());
    }
    // A filter may have left them out.
    let single = sides.iter().find(|side| side.case.vmemmap_shift() == 0);
    for side in &sides {
        print(&start.name(side.case.name()), side, single);
    }
    println!(
        "Each page of records that is shared is a mapping of its own here, which populating and removing pay for;\n\
         the kernel writes a page table entry. Records in RAM, and initialising, are as in the kernel."
    );
    Ok(())
}

/// Prints the latencies of a case, and their ratios to those of single pages.
fn print(name: &str, side: &Side, single: Option<&Side>) {
    println!("{name}: {} of records", ByteSize(side.record_bytes));
    let median = |times: Option<&Histogram<u64>>| times.map_or(Err(0), |times| percentile(times, 0.5));
    for (at, (part, times)) in side.parts().into_iter().enumerate() {
        let of_single = single.and_then(|single| median(single.parts()[at].1).ok());
        match (median(times), of_single) {
            (Ok(ns), Some(of_single)) => println!(
                "  {part:<14} p50 {:>8}, {} of single pages",
                time(ns as f64),
                three_digits(ns as f64 / of_single as f64)
            ),
            (Ok(ns), None) => println!("  {part:<14} p50 {:>8}", time(ns as f64)),
            (Err(few), _) => println!("  {part:<14} too few samples for a p50 ({few})"),
        }
    }
}
