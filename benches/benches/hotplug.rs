//! `cargo bench --bench hotplug`: latency percentiles of additions and removals.

use anyhow::Context;
use hdrhistogram::Histogram;
use memmap_layouts::ByteSize;
use pfnbench::engine::probe::hotplug::{Latencies, Manner, PERCENTILES, percentile};
use pfnbench::units::{three_digits, time};
use pfnbench_benches::{HotplugCase, Mode, Start, baseline_path, hotplug_cases};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A case stops at this many samples, or after this long.
const SAMPLES: u64 = 10_000;
const TIME: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    let start = Start::new()?;
    let cases: Vec<HotplugCase> = hotplug_cases().into_iter().filter(|case| start.wants(case.name())).collect();
    if start.mode == Mode::List {
        cases.iter().for_each(|case| println!("{}: benchmark", start.name(case.name())));
        return Ok(());
    }
    if cases.is_empty() {
        return Ok(());
    }
    let baseline = start.arguments.baseline.as_deref().map(load).transpose()?;
    let field = start.field()?;
    let Some(window) = field.plan.latency else {
        eprintln!("skipped: added memory does not fit the physical address space above the map");
        return Ok(());
    };
    let mut medians: BTreeMap<String, f64> = BTreeMap::new();
    for case in &cases {
        let name = start.name(case.name());
        let Some(at) = field.layouts.iter().position(|layout| layout.id() == case.layout) else { continue };
        let (layout, device) = (&field.layouts[at], field.device(at, window)?);
        let hotplug = layout.hotplug().context("the layout has no hotplug")?;
        let (size_bytes, position) = (case.group.size_bytes, case.group.position);
        let range = hotplug.place(window, size_bytes, position).context("the case has no place")?.range;
        let manner = Manner::plain(device.as_ref());
        let mut latencies = Latencies::default();
        // Warm-up, not timed: allocates page tables and the blocks of a device.
        if let Err(error) = hotplug.time(range, manner, &mut Latencies::default()) {
            eprintln!("skipped: {name}: {error}");
            continue;
        }
        let (samples, limit) = if start.mode == Mode::Bench { (SAMPLES, TIME) } else { (1, TIME) };
        let begin = Instant::now();
        while latencies.add.len() < samples && begin.elapsed() < limit {
            hotplug.time(range, manner, &mut latencies)?;
        }
        if start.mode == Mode::Bench {
            print(&name, "add", &latencies.add, &baseline, &mut medians);
            print(&name, "remove", &latencies.remove, &baseline, &mut medians);
        }
    }
    match (start.mode, &start.arguments.save_baseline) {
        (Mode::Bench, Some(name)) => save(name, &medians)?,
        (Mode::Bench, None) => {}
        _ => println!("{} hotplug cases verified", cases.len()),
    }
    Ok(())
}

fn print(
    case: &str,
    op: &str,
    histogram: &Histogram<u64>,
    baseline: &Option<BTreeMap<String, f64>>,
    medians: &mut BTreeMap<String, f64>,
) {
    let name = format!("{case}/{op}");
    let known = |p| percentile(histogram, p).map_or_else(|n| format!("– ({n})"), |ns| time(ns as f64));
    let percentiles: Vec<String> = PERCENTILES.iter().map(|(label, p)| format!("{label} {}", known(*p))).collect();
    let max = time(histogram.max() as f64);
    print!("{name:<34} {}  max {max}  ({} samples)", percentiles.join("  "), histogram.len());
    let Ok(median) = percentile(histogram, 0.5) else {
        println!();
        return;
    };
    medians.insert(name.clone(), median as f64);
    match baseline.as_ref().and_then(|baseline| baseline.get(&name)) {
        Some(before) => println!("  ratio to the baseline's p50: {}", three_digits(median as f64 / before)),
        None => println!(),
    }
}

/// Path of a baseline, beside those of criterion.
fn path(name: &str) -> anyhow::Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"));
    baseline_path(&target.join("pfnbench-hotplug"), name)
}

fn load(name: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let path = path(name)?;
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read the baseline {name:?} of hotplug; --save-baseline={name} makes it"))?;
    let line = |line: &str| {
        let (name, median) =
            line.split_once('\t').context("a line of the baseline is not a name, a tab and a number")?;
        Ok((name.to_owned(), median.parse()?))
    };
    text.lines().map(line).collect()
}

fn save(name: &str, medians: &BTreeMap<String, f64>) -> anyhow::Result<()> {
    let path = path(name)?;
    fs::create_dir_all(path.parent().context("a baseline is in a folder")?)?;
    let lines: Vec<String> = medians.iter().map(|(name, median)| format!("{name}\t{median}")).collect();
    fs::write(&path, lines.join("\n"))?;
    println!("saved {} medians as baseline {name} ({})", medians.len(), ByteSize(fs::metadata(&path)?.len()));
    Ok(())
}
