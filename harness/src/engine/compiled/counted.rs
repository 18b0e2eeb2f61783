//! The instructions of a compiled kernel's lookups, counted as those of layouts are.

use super::Registered;
use super::contestant::Compiled;
use crate::case::{LookupOp, Memory};
use crate::engine::contestant::{Contestant, HotplugContestant};
use crate::engine::instructions::counted_loop::{Leaf, Task};
use crate::engine::instructions::{CaseRunner, Counter, added, boot_map, not_counted, queries_on, with_the_answers_of};
use crate::engine::probe::lookup::Part;
use crate::kernel::code::One;
use crate::record::instructions::{Case, Counted, cases_of};
use memmap_layouts::{Config, RecordStore, X86_64};
use std::ptr;
use std::sync::Arc;

/// The lookups that a kernel has. There is no code of a kernel's updates.
pub(super) fn cases(kernel: &Registered) -> Vec<Case> {
    let has_walk = kernel.code.functions.first_valid.is_some();
    let has = |case: &Case| match case.counted {
        Counted::Lookup(LookupOp::NextValidPfn, _) => has_walk,
        Counted::Lookup(..) => true,
        Counted::Update(..) => false,
    };
    cases_of::<X86_64>(&kernel.layout).into_iter().filter(has).collect()
}

/// Counts the lookups of the kernels of this process.
pub(in crate::engine) fn count_instructions(runner: &mut CaseRunner<'_>) {
    for kernel in super::registered() {
        runner.of(kernel.layout.id, |runner| {
            let booted = boot(kernel)?;
            runner.each(cases(kernel), |case, counter| match case.counted {
                Counted::Lookup(op, on) => lookup(&booted, kernel, (op, on), counter),
                Counted::Update(..) => Err("there is no code of updates".to_owned()),
            })
        });
    }
}

fn boot(kernel: &Registered) -> Result<Compiled, String> {
    let (map, backed) = boot_map()?;
    let store = RecordStore { backed, ..RecordStore::unlimited() };
    let (id, code) = (kernel.layout.id, Arc::clone(&kernel.code));
    let booted = Compiled::boot(id, id, code, &map, &Config::default(), store).map_err(|error| error.to_string())?;
    booted.add_window(added(), None).map_err(|error| error.to_string())?;
    Ok(booted)
}

fn lookup(
    booted: &Compiled,
    kernel: &Registered,
    (op, on): (LookupOp, Memory),
    counter: &mut Counter,
) -> Result<(), String> {
    let functions = &kernel.code.functions;
    let one = match op {
        LookupOp::PfnValid => functions.valid,
        LookupOp::PfnToPage => functions.to_page,
        LookupOp::PageToPfn => functions.to_pfn,
        LookupOp::ValidToPage => functions.to_flags,
        LookupOp::NextValidPfn => functions.first_valid.ok_or("the kernel has no such walk")?,
        LookupOp::WalkEveryPfn | LookupOp::ScanPageblocks | LookupOp::IsContiguous => return Err(not_counted(op)),
    };
    let prepared = booted.prepare(with_the_answers_of(op), &queries_on(on))?;
    let queries: Vec<u64> = match op {
        // What the walk finds is compared with `page_to_pfn`, but it is asked for page frames.
        LookupOp::NextValidPfn => queries_on(on).into_iter().map(|pfn| pfn.0).collect(),
        _ => prepared.parts(prepared.pass()).flat_map(numbers).collect(),
    };
    // SAFETY: with this ABI a function of one argument ignores the register of a second.
    let leaf = unsafe { std::mem::transmute::<One, Leaf>(one) };
    let expected = Some(prepared.expected(prepared.pass()));
    let task = Task { leaf, undo: None, context: ptr::null(), queries: &queries, expected };
    let _entered = booted.enter();
    // SAFETY: the tables are complete and locked, and every query was checked on them: valid page
    // frames of backed sections, or the addresses of their records.
    unsafe { task.run(counter) }
}

/// Queries as the code takes them.
fn numbers(part: Part<'_>) -> Vec<u64> {
    match part {
        Part::Pfns(pfns) => pfns.iter().map(|pfn| pfn.0).collect(),
        Part::Records(pages) => pages.iter().map(|page| page.as_ptr().expose_provenance() as u64).collect(),
        Part::Walks(..) => Vec::new(),
    }
}
