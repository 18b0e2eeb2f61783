//! The command `pfnbench namespace enable`.

use super::device_kind::{INFO_BLOCK_IGNORED, device_kind_json, device_kind_text, with_place};
use super::records_bar::RecordsBar;
use super::region_args::RegionAtArgs;
use crate::cli::range_arg::parse_extent;
use crate::cli::{Answer, Json, print, print_json};
use crate::kernel_version::KernelVersion;
use crate::pmem::enable::{EnableRequest, EnabledNamespace, enable, layout_of, layouts_with_hotplug};
use crate::pmem::probe::{ProbeOutcome, Probed};
use crate::present::terminal::message;
use clap::Args;
use clap::builder::PossibleValuesParser;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::storage::Access;
use serde_json::json;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace enable /dev/shm/pmem0 namespace0.0
  pfnbench namespace enable pmem0 all         all of them on one machine
  pfnbench namespace enable pmem0 namespace0.0 --at 0x104000000 \\
      --layout vmemmap-section
  pfnbench namespace enable pmem0 namespace0.0 --layout section-dax \\
      --ram 0xfc000000-0xffffffff
  pfnbench namespace enable pmem0 all --kernel 5.2

Exit codes: 0 every namespace was enabled, and every record was correct; 1 a
namespace was refused, or the medium or its labels cannot be used; 2 a file or
a namespace does not exist, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct EnableArgs {
    #[command(flatten)]
    region: RegionAtArgs,
    /// Names or UUIDs of namespaces, or `all`
    #[arg(value_name = "NAMESPACE", required = true)]
    namespaces: Vec<String>,
    /// Layout of the machine, whose rules apply; section-dax is vmemmap-section
    /// with records on the medium
    #[arg(long, value_parser = PossibleValuesParser::new(layouts_with_hotplug()), default_value = "dax-x86")]
    layout: String,
    /// Version of Linux whose rules apply, on the layout that it has: whole
    /// sections up to 5.2, sub-sections since
    #[arg(long, value_name = "VERSION", conflicts_with = "layout")]
    kernel: Option<KernelVersion>,
    /// RAM of the machine: FIRST-LAST (hexadecimal addresses) or START+SIZE;
    /// only the sections at both ends of the region matter
    #[arg(long, value_name = "RANGE", value_parser = parse_extent)]
    ram: Vec<Extent>,
    #[command(flatten)]
    pub(super) json: Json,
}

impl EnableArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut region = self.region.open(Access::Write, self.json)?;
        let layout = self.kernel.map_or_else(|| self.layout.clone(), |kernel| layout_of(kernel).to_owned());
        let request = EnableRequest {
            namespaces: self.namespaces.clone(),
            layout: layout.clone(),
            ram: self.ram.clone(),
            kernel: self.kernel,
        };
        let probed = enable(&mut region, &request, &mut RecordsBar::new())?;
        let (mut answer, mut namespaces) = (Answer::Yes, Vec::new());
        for Probed { label, extent, outcome } in probed {
            let json = match outcome {
                ProbeOutcome::Accepted(enabled) => {
                    let kind = device_kind_text(&enabled.personality, extent);
                    self.print_line(&label.name, &format!("{kind}{}", records_text(&enabled)))?;
                    let mut json = device_kind_json(&enabled.personality, extent);
                    json["page_frames"] = enabled.nr_pages.into();
                    json["ram_record_bytes"] = enabled.ram_record_bytes.into();
                    json["device_record_bytes"] = enabled.device_record_bytes.into();
                    json
                }
                ProbeOutcome::InfoBlockIgnored => {
                    answer = Answer::No;
                    self.print_line(&label.name, INFO_BLOCK_IGNORED)?;
                    json!({ "is": "forgotten" })
                }
                ProbeOutcome::Refused(refusal) => {
                    answer = Answer::No;
                    if !self.json.json {
                        eprintln!("{}", message(&refusal.to_string()));
                    }
                    json!({ "is": "refused", "error": refusal.json() })
                }
            };
            namespaces.push(with_place(json, &label.name, extent));
        }
        if self.json.json {
            print_json(&json!({ "layout": layout, "namespaces": namespaces }))?;
        }
        Ok(answer)
    }

    fn print_line(&self, name: &str, text: &str) -> anyhow::Result<()> {
        match self.json.json {
            true => Ok(()),
            false => print(format!("{name}: {text}")),
        }
    }
}

fn records_text(enabled: &EnabledNamespace) -> String {
    match enabled.nr_pages {
        0 => String::new(),
        nr_pages => format!(
            "; {nr_pages} page frames, records: {} in RAM, {} on the medium",
            ByteSize(enabled.ram_record_bytes),
            ByteSize(enabled.device_record_bytes)
        ),
    }
}
