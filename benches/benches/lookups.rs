//! `cargo bench --bench lookups`: lookups through criterion, on this machine's map.

use criterion::Criterion;
use pfnbench::case::Memory;
use pfnbench::engine::contestant::Contestant;
use pfnbench::engine::probe::lookup::{Prepared, Window};
use pfnbench::engine::probe::query_array::Placement;
use pfnbench::interrupt::Interrupt;
use pfnbench_benches::{LookupCase, Mode, Start, lookup_cases, restart_without_callgrind_options};
use std::time::{Duration, Instant};

fn main() -> anyhow::Result<()> {
    restart_without_callgrind_options()?;
    let start = Start::new()?;
    let cases: Vec<LookupCase> = lookup_cases().into_iter().filter(|case| start.wants(case.name())).collect();
    if start.mode == Mode::List {
        cases.iter().for_each(|case| println!("{}: benchmark", start.name(case.name())));
        return Ok(());
    }
    if cases.is_empty() {
        return Ok(());
    }
    let mut field = start.field()?;
    let mut criterion = (start.mode == Mode::Bench).then(|| {
        Criterion::default()
            // Plots would take as long as the measurements; `pfnbench` draws its own.
            .without_plots()
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(800))
            .sample_size(40)
            .configure_from_args()
    });
    for memory in Memory::ALL {
        if memory == Memory::Added && !field.hot_add(&Interrupt::default())? {
            eprintln!("skipped: added memory does not fit the physical address space above the map");
            continue;
        }
        for case in cases.iter().filter(|case| case.memory == memory) {
            let Some(layout) = field.layouts.iter().find(|layout| layout.id() == case.layout) else {
                let refused = field.refused.iter().find(|refused| refused.layout == case.layout);
                eprintln!(
                    "skipped: {}: {}",
                    start.name(case.name()),
                    refused.map_or("not booted", |refused| &refused.reason)
                );
                continue;
            };
            let queries = field.queries(&case.group, memory);
            let mut placement = Placement::aligned();
            let prepared = layout.prepare_checked(case.group.asked(), &queries, field.oracle(), &mut placement);
            let prepared = prepared.map_err(anyhow::Error::msg)?;
            if prepared.is_empty() {
                eprintln!("skipped: {}: the map has no memory for these lookups", start.name(case.name()));
                continue;
            }
            match &mut criterion {
                Some(criterion) => bench(criterion, &start, case, &**layout, &prepared),
                None => {
                    time(&**layout, &prepared, 1);
                }
            }
        }
    }
    field.hot_remove(&Interrupt::default())?;
    match criterion {
        Some(criterion) => criterion.final_summary(),
        None => println!("{} lookup cases verified", cases.len()),
    }
    Ok(())
}

/// Runs whole passes over the queries and checks the answers. Returns the fraction of the time that
/// `lookups` of them took.
fn time<G: memmap_layouts::Geometry>(layout: &dyn Contestant<G>, prepared: &Prepared, lookups: u64) -> Duration {
    let passes = lookups.div_ceil(prepared.len());
    let begin = Instant::now();
    let window = Window { first: 0, batches: passes * prepared.nr_batches() };
    let sum = layout.run(prepared, window);
    let elapsed = begin.elapsed();
    assert_eq!(sum, prepared.expected(window), "{}: wrong answer", layout.id());
    elapsed.mul_f64(lookups as f64 / (passes * prepared.len()) as f64)
}

fn bench<G: memmap_layouts::Geometry>(
    criterion: &mut Criterion,
    start: &Start,
    case: &LookupCase,
    layout: &dyn Contestant<G>,
    prepared: &Prepared,
) {
    let mut group = criterion.benchmark_group(case.group.name(case.memory));
    // An iteration is one lookup, so criterion reports the time per lookup.
    let name = start.name(case.layout);
    group.bench_function(name, |bencher| bencher.iter_custom(|lookups| time(layout, prepared, lookups)));
    group.finish();
}
