//! The command `pfnbench verify`.

mod running_kernel;

use super::{Answer, BackingArg, Json, print, print_json, tell};
use crate::engine::compiled;
use crate::engine::field::{Field, FieldError, Lineup, Means};
use crate::engine::index_pages::IndexPagesArg;
use crate::engine::layouts::{entries, entries_and_named};
use crate::engine::memory_plan::MapMemory;
use crate::engine::race::Served;
use crate::engine::verify::{CaseCheck, FoilCheck, MapCheck, MapOutcome, architecture_note, conformance, foil, on_map};
use crate::interrupt::Interrupt;
use crate::map::PhysicalMap;
use crate::map::builtin;
use crate::map::source::Source;
use clap::Args;
use memmap_layouts::X86_64;
use memmap_layouts::backing::{DaxDevice, RamBacking};
use serde_json::json;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench verify                          this machine's memory map
  pfnbench verify --map builtin:amd-genoa-2s-1536g
  ssh server sudo cat /proc/iomem | pfnbench verify --map -
  pfnbench verify --backing dax:/dev/dax0.0
  sudo pfnbench verify --running-kernel    the kernel of this machine

It also checks a map with holes, and runs the conformance suite: the rules of
Linux, case by case.

Exit codes: 0 every check passed; 1 a check failed; 2 the map or the backing
cannot be used, the running kernel shows nothing, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct VerifyArgs {
    /// Memory map: a file, - for standard input, or builtin:NAME. Default: the map of this machine
    ///
    /// `pfnbench map --help` lists the accepted formats.
    #[arg(long, value_name = "FILE")]
    map: Option<Source>,
    /// Backing store of records: linux, anon, tmpfs[:DIR], tmpfs-huge[:DIR], thp, hugetlb, file:DIR
    /// or dax:/dev/daxX.Y (`pfnbench list` describes each). Default: linux if the machine has
    /// transparent huge pages, else anon
    #[arg(long, default_value_t, hide_default_value = true)]
    backing: BackingArg,
    /// Also check Linux's own lookups of this version, e.g. 6.1, which `pfnbench kernel add`
    /// compiled; repeatable
    #[arg(long, value_name = "VERSION")]
    kernel: Vec<String>,
    /// Only compare a model of this machine with the running kernel: with its own tables where root
    /// can read them, with page flags and memory blocks
    #[arg(long, conflicts_with_all = ["map", "backing", "kernel"])]
    running_kernel: bool,
    #[command(flatten)]
    json: Json,
}

/// Boots the layouts on a map, hot-adds memory with its records on a device, and checks every
/// answer.
fn on_device(
    map: &PhysicalMap,
    backing: &RamBacking,
    device: Arc<DaxDevice>,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let name = device.name().to_owned();
    let (backing, index_pages) = (backing.clone(), IndexPagesArg::default().into());
    let means = Means { backing, index_pages, device: Some(device), records_limit: 256 << 20, seed: 1 };
    let served = Served::new(entries::<X86_64>(), &means);
    for (id, reason) in &served.left_out {
        tell(&format!("warning: {id} is left out: {reason}"));
    }
    let mut field = Field::<X86_64>::boot(MapMemory::new(map)?, &Lineup::once(&served.entries), &means, interrupt)?;
    if field.hot_add(interrupt)? {
        field.hot_remove(interrupt)?;
    }
    tell(&format!("with records on {name}, every answer is correct"));
    Ok(())
}

impl VerifyArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        // No state outlives the process, so Ctrl-C may terminate it.
        let interrupt = Interrupt::default();
        if self.running_kernel {
            return running_kernel::compare(self.json.json);
        }
        compiled::choose(&self.kernel, 1)?;
        // Those too that a race has only when they are named.
        let ids: Vec<String> = entries_and_named::<X86_64>().iter().map(|entry| entry.id.to_owned()).collect();
        let (backing, device) = self.backing.open()?;
        let map = self.map.clone().unwrap_or_default().load()?;
        for warning in map.warnings.iter().cloned().chain(architecture_note(&map)) {
            tell(&format!("warning: {warning}"));
        }
        let mut maps = vec![map];
        // A map without holes hides errors of the sub-section map, so one with holes is always
        // checked too.
        let holes = builtin::with_holes();
        if maps[0].name != holes.name {
            maps.push(holes);
        }
        let mut checks = Vec::new();
        for map in &maps {
            checks.extend(on_map(map, &ids, &backing, &interrupt)?);
        }
        let mut wrong_on_device = 0;
        if let Some(device) = device
            && let Err(error) = on_device(&maps[0], &backing, device, &interrupt)
        {
            match error.downcast_ref::<FieldError>().and_then(FieldError::faulty_layout) {
                Some(_) => {
                    tell(&format!("with records on the device: {error}"));
                    wrong_on_device = 1;
                }
                None => return Err(error),
            }
        }
        interrupt.check()?;
        let (cases, foil) = (conformance(), foil());
        let wrong = checks.iter().filter(|check| matches!(check.outcome, MapOutcome::Failed { .. })).count();
        let failed: usize = cases.iter().map(|check| check.failed.len()).sum();
        if self.json.json {
            print_json(&json!({ "maps": checks, "layouts": cases, "foil": foil }))?;
        } else {
            maps.iter().try_for_each(|map| print_map(map, &checks))?;
            print("conformance suite")?;
            cases.iter().try_for_each(print_cases)?;
            print_foil(&foil)?;
        }
        Ok(if wrong + wrong_on_device + failed + foil.unexpected.len() == 0 { Answer::Yes } else { Answer::No })
    }
}

fn print_map(map: &PhysicalMap, checks: &[MapCheck]) -> anyhow::Result<()> {
    print(format!("{}: {}", map.name, map.summary()))?;
    if map.ranges.is_empty() {
        print("  the map has no memory, so there is nothing to verify but that no page is valid")?;
    }
    for check in checks.iter().filter(|check| check.map == map.name) {
        print(format!("  {:<16} {} ({})", check.layout, check.outcome.describe(), check.geometry))?;
    }
    Ok(())
}

fn print_cases(check: &CaseCheck) -> anyhow::Result<()> {
    let (run, beyond, skipped) = (check.run.len(), check.beyond.run.len(), check.skipped.len());
    let failed = check.failed.len();
    print(format!(
        "  {:<16} {run} numbered and {beyond} other cases passed, {failed} failed, {skipped} skipped",
        check.layout
    ))?;
    for (reason, cases) in check.skipped_by_reason() {
        print(format!("  {:<16}   skipped, {reason}: {}", "", cases.join(" ")))?;
    }
    for failed in &check.failed {
        print(format!("  {:<16}   FAILED {} ({}): {}", "", failed.case, failed.name, failed.reason))?;
    }
    Ok(())
}

fn print_foil(foil: &FoilCheck) -> anyhow::Result<()> {
    let cases: Vec<_> = foil.fails_as_it_must.iter().map(|failure| failure.case).collect();
    print(format!("  {:<16} as posted, fails the expected cases: {}", "v6", cases.join(" ")))?;
    for unexpected in &foil.unexpected {
        print(format!("  {:<16}   UNEXPECTED {}: {}", "", unexpected.case, unexpected.found))?;
    }
    Ok(())
}
