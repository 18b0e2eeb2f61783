//! The command `pfnbench list`.

use super::{Answer, CasesArgs, Json, print, print_json};
use crate::case::{HOTPLUG_SIZES, Layout, LookupOp, Mode, Pattern, Position, SelectsNothing, layouts, layouts_of};
use crate::engine::backing_arg::FORMS;
use crate::map::builtin;
use crate::present::terminal::Grid;
use crate::record::layout_note::{LoadChainNote, validity};
use crate::workload::tier::Tier;
use crate::workload::work::Work;
use crate::workload::{self, Workload};
use clap::Args;
use memmap_layouts::layouts::WhenNamed;
use memmap_layouts::{ByteSize, DeviceRecords, Geometry, X86_64};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench list                                       all but the cases
  pfnbench list --cases --tier smoke                  cases of the shortest tier
  pfnbench list --cases --filter '^pfn_valid/added'
  pfnbench list --json

Exit codes: 0 success; 2 no case matches, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ListArgs {
    /// Print the names of the cases of `pfnbench run`, one per line
    #[arg(long)]
    cases: bool,
    /// With --cases: list only cases that this tier measures
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// With --cases: list the cases of this TOML workload instead of the built-in ones; repeatable
    #[arg(long, value_name = "FILE")]
    workload: Vec<PathBuf>,
    #[command(flatten)]
    which: CasesArgs,
    #[command(flatten)]
    json: Json,
}

/// The JSON word for which records can be on a device.
fn records(on_device: DeviceRecords) -> &'static str {
    match on_device {
        DeviceRecords::Never => "never",
        DeviceRecords::WholeSections => "whole-sections",
        DeviceRecords::Always => "always",
    }
}

impl ListArgs {
    /// The work of the selected workloads, up to the selected tier.
    fn work(&self) -> anyhow::Result<Work> {
        Ok(workload::everything(&Workload::chosen(&self.workload)?, self.tier))
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        if self.cases {
            let work = self.work()?;
            let filter = self.which.filter();
            let names: Vec<String> = workload::names(&work).into_iter().filter(|name| filter.wants(name)).collect();
            if names.is_empty() {
                return Err(SelectsNothing {
                    among: self.tier.map_or_else(String::new, |tier| format!(" of --tier {tier}")),
                }
                .into());
            }
            match self.json.json {
                true => print_json(&names)?,
                false => print(names.join("\n"))?,
            }
            return Ok(Answer::Yes);
        }
        let layouts = layouts::<X86_64>();
        let named = layouts_of::<WhenNamed, X86_64>();
        let granule = |pages: u64| pages << X86_64::PAGE_SHIFT;
        let lookups = LookupOp::ALL.map(LookupOp::name);
        if self.json.json {
            let in_json = |entry: &Layout| {
                json!({
                    "id": entry.id,
                    "about": entry.about,
                    "validity": validity(entry.caps.validity),
                    "hotplug_granule_bytes": entry.caps.hotplug_granule_pages.map(granule),
                    "record_bytes": entry.record_bytes,
                    "records_on_device": records(entry.caps.records_on_device),
                    "load_chain": LoadChainNote::new(&entry.load_chain),
                })
            };
            print_json(&json!({
                "layouts": layouts.iter().map(in_json).collect::<Vec<Value>>(),
                "layouts_only_when_named": named.iter().map(in_json).collect::<Vec<Value>>(),
                "lookups": lookups,
                "modes": Mode::ALL,
                "patterns": Pattern::ALL,
                "workloads": Workload::builtin().iter().map(|workload| json!({ "name": workload.name, "about": workload.about })).collect::<Vec<_>>(),
                "memory": ["boot", "added"],
                "hotplug_sizes_bytes": HOTPLUG_SIZES,
                "hotplug_positions": Position::ALL,
                "maps": builtin::names().collect::<Vec<_>>(),
                "backings": FORMS.map(|form| form.form),
            }))?;
            return Ok(Answer::Yes);
        }
        let mut table = Grid::new();
        table.set_header(["layout", "what it is", "valid is", "hotplug", "records"]);
        for entry in layouts.iter().chain(&named) {
            let hotplug =
                entry.caps.hotplug_granule_pages.map_or("none".to_owned(), |p| ByteSize(granule(p)).to_string());
            let records = match entry.caps.records_on_device {
                DeviceRecords::Never => "in RAM",
                DeviceRecords::WholeSections => "whole sections on the device",
                DeviceRecords::Always => "on the device",
            };
            let records = format!("{} B, {records}", entry.record_bytes);
            table.add_row([entry.id, entry.about, validity(entry.caps.validity), &hotplug, &records]);
        }
        print(table)?;
        let names: Vec<String> = named.iter().map(|entry| format!("--layout {}", entry.id)).collect();
        print(format!("layouts   only when they are named: {}", names.join(", ")))?;
        print(format!(
            "lookups   {}, each on boot and on added memory; {}; {}",
            lookups.join(", "),
            Mode::ALL.map(Mode::name).join(", "),
            Pattern::ALL.map(Pattern::name).join(", ")
        ))?;
        print("workloads groups of cases that are measured together:")?;
        for workload in Workload::builtin() {
            print(format!("            {:<12}  {}", workload.name, workload.about))?;
        }
        let work = workload::everything(&Workload::builtin(), None);
        let sizes: BTreeSet<u64> = work.hotplug.iter().map(|group| group.size_bytes).collect();
        let sizes = sizes.into_iter().map(|size| ByteSize(size).to_string()).collect::<Vec<_>>().join(", ");
        print(format!(
            "hotplug   add and remove of {sizes}; unaligned, later in a section, growth, fresh, by threads: see --cases"
        ))?;
        print("backings  --backing, and PFNBENCH_BACKING for cargo bench:")?;
        FORMS.iter().try_for_each(|form| print(format!("            {:<16}  {}", form.form, form.about)))?;
        print("maps      this machine's map, a file, - (standard input), or a built-in map:")?;
        let names: Vec<&str> = builtin::names().collect();
        let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
        for name in names {
            let map = builtin::by_name(name).expect("every listed name has a map");
            print(format!("            builtin:{name:<width$}  {}", map.summary()))?;
        }
        Ok(Answer::Yes)
    }
}
