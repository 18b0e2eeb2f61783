//! The commands `pfnbench namespace list` and `pfnbench namespace check`.

use super::device_kind::{INFO_BLOCK_IGNORED, device_kind_json, device_kind_text, with_place};
use super::from_args::FromArgs;
use super::kernel_args::OneKernelArgs;
use super::memory_args::NearbyMemoryArgs;
use super::region_args::RegionAtArgs;
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::probe::{ProbeOutcome, Probed, probe};
use crate::present::terminal::Grid;
use clap::Args;
use memmap_layouts::ByteSize;
use memmap_layouts::nvdimm::storage::Access;
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace list pmem0
  pfnbench namespace list /dev/dax0.0 --labels dax0.0.labels --json

Exit codes: 0 success; 1 the medium or its labels cannot be used; 2 a file does
not exist, or a usage error.
All codes: pfnbench explain exit-codes")]
pub(super) struct ListArgs {
    #[command(flatten)]
    region: RegionAtArgs,
    #[command(flatten)]
    pub(super) json: Json,
}

impl ListArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.region.open(Access::Read, self.json)?;
        let free: u64 = region.free().iter().map(|(_, len)| len).sum();
        if self.json.json {
            let namespaces = region.labels().iter().map(|label| {
                json!({
                    "name": label.name, "uuid": Uuid::from_bytes(label.uuid).to_string(), "mode": label.kind.name(),
                    "start": region.namespace(label).start, "size_bytes": label.size, "enabled": !label.is_disabled,
                })
            });
            let (extent, namespaces) = (region.extent(), namespaces.collect::<Vec<_>>());
            print_json(&json!({
                "start": extent.start, "size_bytes": extent.size, "align_bytes": region.align(),
                "mappings": region.mappings(), "free_bytes": free, "namespaces": namespaces,
            }))?;
            return Ok(Answer::Yes);
        }
        let mut table = Grid::new();
        table.set_header(["name", "start", "size", "mode", "enabled", "uuid"]);
        for label in region.labels() {
            table.add_row([
                label.name.clone(),
                format!("{:#x}", region.namespace(label).start),
                ByteSize(label.size).to_string(),
                label.kind.name().to_owned(),
                if label.is_disabled { "no" } else { "yes" }.to_owned(),
                Uuid::from_bytes(label.uuid).to_string(),
            ]);
        }
        table.right_align(1..3);
        print(table)?;
        print(format!(
            "{} of {} free; namespaces start and end at multiples of {}",
            ByteSize(free),
            ByteSize(region.extent().size),
            ByteSize(region.align())
        ))?;
        Ok(Answer::Yes)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace check pmem0
  pfnbench namespace check pmem0 --at 0x104000000    moved by 64 MiB
  pfnbench namespace check pmem0 --rules before      as Linux up to 5.2
  pfnbench namespace check pmem0 --rules before --ram 0xfc000000-0xffffffff
  pfnbench namespace check pmem0 --kernel 5.10       as one version of Linux
  pfnbench namespace check pmem0 --from iomem.txt    where a machine has it

For each namespace, the check covers:
  - its info block and its physical address range
  - memory that shares a unit of added memory with it: RAM, other regions,
    and enabled namespaces with a lower index
  - space on the medium for its records, by the rules of x86-64; arm64 needs
    more (try enable with --layout dax)

Exit codes: 0 every namespace would be accepted; 1 a namespace would be refused,
or the medium or its labels cannot be used; 2 a file does not exist, or a usage
error.
All codes: pfnbench explain exit-codes")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    region: RegionAtArgs,
    #[command(flatten)]
    from: FromArgs,
    #[command(flatten)]
    nearby: NearbyMemoryArgs,
    #[command(flatten)]
    kernel: OneKernelArgs,
    #[command(flatten)]
    pub(super) json: Json,
}

impl CheckArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let (region, described) = self.region.open_described(&self.from, Access::Read, self.json)?;
        let (mut answer, mut namespaces) = (Answer::Yes, Vec::new());
        for probed in probe(&region, &self.nearby.nearby(described.as_ref()), self.kernel.rules()) {
            let Probed { label, extent, outcome } = probed;
            let (text, json) = match outcome {
                ProbeOutcome::Accepted(personality) => {
                    (device_kind_text(&personality, extent), device_kind_json(&personality, extent))
                }
                ProbeOutcome::InfoBlockIgnored => {
                    answer = Answer::No;
                    (INFO_BLOCK_IGNORED.to_owned(), json!({ "is": "forgotten" }))
                }
                ProbeOutcome::Refused(refusal) => {
                    answer = Answer::No;
                    (format!("refused\n{refusal}"), json!({ "is": "refused", "error": refusal.json() }))
                }
            };
            match self.json.json {
                true => namespaces.push(with_place(json, &label.name, extent)),
                false => print(format!("{}: {text}", label.name))?,
            }
        }
        if self.json.json {
            print_json(&json!({ "namespaces": namespaces }))?;
        }
        Ok(answer)
    }
}
