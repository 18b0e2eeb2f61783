//! `pfnbench list`.

use super::{Answer, CasesArgs, Json, print, print_json};
use crate::backing_arg::FORMS;
use crate::cases;
use crate::contestant::entries;
use crate::map::builtin;
use crate::probe::lookup::LookupOp;
use crate::queries::Pattern;
use crate::race::HOTPLUG_SIZES;
use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use memmap_layouts::{Bytes, DeviceRecords, Geometry, Validity, X86_64};
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print the names of the cases of `pfnbench run`, one a line.
    #[arg(long)]
    cases: bool,
    #[command(flatten)]
    which: CasesArgs,
    #[command(flatten)]
    json: Json,
}

fn validity(validity: Validity) -> &'static str {
    match validity {
        Validity::Span => "span",
        Validity::Section => "section",
        Validity::Subsection { early_is_whole: true } => "sub-section (boot sections as a whole)",
        Validity::Subsection { early_is_whole: false } => "sub-section",
    }
}

/// Which records can lie on a device, for programs.
fn records(on_device: DeviceRecords) -> &'static str {
    match on_device {
        DeviceRecords::Never => "never",
        DeviceRecords::WholeSections => "whole-sections",
        DeviceRecords::Always => "always",
    }
}

impl ListArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let filter = self.which.filter()?;
        let names: Vec<String> = cases::names().into_iter().filter(|name| filter.wants(name)).collect();
        if self.cases {
            match self.json.json {
                true => print_json(&names)?,
                false => print(names.join("\n"))?,
            }
            return Ok(Answer::Yes);
        }
        let layouts = entries::<X86_64>();
        let granule = |pages: u64| pages << X86_64::PAGE_SHIFT;
        let lookups = LookupOp::ALL.map(LookupOp::name);
        if self.json.json {
            let layouts: Vec<Value> = layouts
                .iter()
                .map(|entry| {
                    json!({
                        "id": entry.id,
                        "about": entry.about,
                        "validity": validity(entry.caps.validity),
                        "hotplug_granule_bytes": entry.caps.hotplug_granule_pages.map(granule),
                        "records_on_device": records(entry.caps.records_on_device),
                    })
                })
                .collect();
            print_json(&json!({
                "layouts": layouts,
                "lookups": lookups,
                "patterns": Pattern::ALL,
                "sections": ["boot", "hot"],
                "hotplug_sizes_bytes": HOTPLUG_SIZES,
                "maps": builtin::names().collect::<Vec<_>>(),
                "backings": FORMS.map(|form| form.form),
            }))?;
            return Ok(Answer::Yes);
        }
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["layout", "what it is", "valid is", "hotplug", "records"]);
        for entry in &layouts {
            let hotplug = entry.caps.hotplug_granule_pages.map_or("none".to_owned(), |p| Bytes(granule(p)).to_string());
            let records = match entry.caps.records_on_device {
                DeviceRecords::Never => "in RAM",
                DeviceRecords::WholeSections => "whole sections on the device",
                DeviceRecords::Always => "on the device",
            };
            table.add_row([entry.id, entry.about, validity(entry.caps.validity), &hotplug, records]);
        }
        print(table)?;
        print(format!(
            "lookups   {}, each on boot and on hot-added sections, sequential and random",
            lookups.join(", ")
        ))?;
        print(format!("hotplug   add and remove of {}", HOTPLUG_SIZES.map(|size| Bytes(size).to_string()).join(", ")))?;
        print("backings  --backing, and PFNBENCH_BACKING for cargo bench:")?;
        FORMS.iter().try_for_each(|form| print(format!("            {:<16}  {}", form.form, form.about)))?;
        print("maps      this machine's, a file, - (standard input), or one that is built in:")?;
        let names: Vec<&str> = builtin::names().collect();
        let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
        for name in names {
            let map = builtin::by_name(name).expect("names are those of maps");
            print(format!("            builtin:{name:<width$}  {}", map.summary()))?;
        }
        Ok(Answer::Yes)
    }
}
