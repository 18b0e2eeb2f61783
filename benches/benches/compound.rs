//! `cargo bench --bench compound`: device memory in single pages, and in compound pages of 2 MiB and
//! 1 GiB, whose tail records share memory. They take turns.

use hdrhistogram::Histogram;
use memmap_layouts::layouts::Linux6_1;
use memmap_layouts::{
    AddParams, BootMap, Config, Geometry, Hotplug, Inspect, Memmap, PfnRange, Phase, PhaseSink, RecordStore,
    RemoveParams, X86_64,
};
use pfnbench::engine::probe::hotplug::percentile;
use pfnbench::units::{three_digits, time};
use pfnbench_benches::{CompoundCase, Mode, Start, compound_cases};
use std::time::{Duration, Instant};

/// Number of samples for each alignment, unless the time limit for all is reached first.
const SAMPLES: u64 = 200;
const TIME: Duration = Duration::from_secs(12);
/// Longest latency that a histogram holds: a minute.
const MOST_NS: u64 = 60_000_000_000;

/// Latencies of one alignment, and what its records take.
struct Measured {
    case: CompoundCase,
    layout: Linux6_1,
    add: Histogram<u64>,
    populate: Histogram<u64>,
    initialise: Histogram<u64>,
    remove: Histogram<u64>,
    record_bytes: u64,
}

/// How long populating and initialising took, in ns.
struct Noted {
    since: Instant,
    populate: u64,
    initialise: u64,
}

impl PhaseSink for Noted {
    fn ended(&mut self, phase: Phase) {
        let ns = self.since.elapsed().as_nanos() as u64;
        match phase {
            Phase::Populate => self.populate = ns,
            Phase::Initialise => self.initialise = ns,
            _ => {}
        }
        self.since = Instant::now();
    }
}

impl Measured {
    fn new(case: CompoundCase, store: RecordStore) -> anyhow::Result<Self> {
        let layout = Linux6_1::boot(&BootMap::default(), &Config::default(), store)?;
        let new = || Histogram::new_with_bounds(1, MOST_NS, 3);
        let (add, populate, initialise, remove) = (new()?, new()?, new()?, new()?);
        Ok(Self { case, layout, add, populate, initialise, remove, record_bytes: 0 })
    }

    fn turn(&mut self, range: PfnRange) -> anyhow::Result<()> {
        let how = AddParams { vmemmap_shift: self.case.vmemmap_shift(), ..AddParams::default() };
        let layout = &self.layout;
        let mut phases = Noted { since: Instant::now(), populate: 0, initialise: 0 };
        let begin = Instant::now();
        layout.add(range, &how, &mut phases)?;
        let added = begin.elapsed();
        self.record_bytes = layout.accounting().ram_record_bytes;
        let begin = Instant::now();
        layout.remove(range, &RemoveParams::default(), &mut ())?;
        self.remove.saturating_record(begin.elapsed().as_nanos() as u64);
        self.add.saturating_record(added.as_nanos() as u64);
        self.populate.saturating_record(phases.populate);
        self.initialise.saturating_record(phases.initialise);
        Ok(())
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
    let store = || RecordStore { backing: backing.clone(), ..RecordStore::unlimited() };
    let mut sides = cases.into_iter().map(|case| Measured::new(case, store())).collect::<anyhow::Result<Vec<_>>>()?;
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
    let Some(single) = sides.first() else { return Ok(()) };
    for side in &sides {
        print(&start.name(side.case.name()), side, single);
    }
    println!(
        "Each page of records that is shared is a mapping of its own here, which populating and removing pay for;"
    );
    println!("the kernel writes a page table entry. Records in RAM, and initialising, are as in the kernel.");
    Ok(())
}

/// One of the histograms.
type Of = fn(&Measured) -> &Histogram<u64>;

/// Prints the latencies of a case, and their ratios to those of single pages.
fn print(name: &str, side: &Measured, single: &Measured) {
    println!("{name}: {} of records", memmap_layouts::ByteSize(side.record_bytes));
    let parts: [(&str, Of); 4] = [
        ("add", |side| &side.add),
        ("  populate", |side| &side.populate),
        ("  initialise", |side| &side.initialise),
        ("remove", |side| &side.remove),
    ];
    for (part, of) in parts {
        match (percentile(of(side), 0.5), percentile(of(single), 0.5)) {
            (Ok(ns), Ok(of_single)) => println!(
                "  {part:<14} p50 {:>8}, {} of single pages  ({} samples)",
                time(ns as f64),
                three_digits(ns as f64 / of_single as f64),
                of(side).len()
            ),
            (Err(few), _) | (_, Err(few)) => println!("  {part:<14} too few samples for a p50 ({few})"),
        }
    }
}
