//! `pfnbench namespace list` and `check`: what a region holds, and whether a kernel would take it.

use super::media::{MediumArgs, subject};
use super::verdict::{verdict, verdict_json};
use crate::capacity::{HOST, Time};
use crate::cli::{Answer, Json, print, print_json};
use crate::refusal::of_machine;
use crate::table;
use clap::Args;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::label::NamespaceKind;
use memmap_layouts::nvdimm::namespace::{NamespaceError, mapped_pages};
use memmap_layouts::nvdimm::region::Personality;
use memmap_layouts::nvdimm::storage::Access;
use memmap_layouts::{Bytes, X86_64};
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    medium: MediumArgs,
    #[command(flatten)]
    pub(super) json: Json,
}

impl ListArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read, self.json)?;
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
                "start": extent.start, "size_bytes": extent.size, "align_bytes": region.align(), "free_bytes": free,
                "namespaces": namespaces,
            }))?;
            return Ok(Answer::Yes);
        }
        let mut table = table::empty();
        table.set_header(["name", "start", "size", "mode", "enabled", "uuid"]);
        for label in region.labels() {
            table.add_row([
                label.name.clone(),
                format!("{:#x}", region.namespace(label).start),
                Bytes(label.size).to_string(),
                label.kind.name().to_owned(),
                if label.is_disabled { "no" } else { "yes" }.to_owned(),
                Uuid::from_bytes(label.uuid).to_string(),
            ]);
        }
        table::right_align(&mut table, 1..3);
        print(table)?;
        print(format!(
            "{} of {} free, on multiples of {}",
            Bytes(free),
            Bytes(region.extent().size),
            Bytes(region.align())
        ))?;
        Ok(Answer::Yes)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace check pmem0
  pfnbench namespace check pmem0 --at 0x104000000           after the firmware moved it by 64 MiB
  pfnbench namespace check pmem0 --rules before

Exit codes: 0 every namespace is taken, 1 one is not, 2 the region cannot be opened.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Whose rules.
    #[arg(long, value_enum, default_value_t = Time::Merged)]
    rules: Time,
    #[command(flatten)]
    pub(super) json: Json,
}

/// A machine has page frames for what is mapped.
fn is_in_space(personality: Personality, namespace: Extent) -> Result<Personality, NamespaceError> {
    if let Personality::Pages(_, settings) = &personality {
        mapped_pages::<X86_64>(settings.mapped(namespace))?;
    }
    Ok(personality)
}

impl CheckArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read, self.json)?;
        let (mut answer, mut verdicts) = (Answer::Yes, Vec::new());
        for label in region.labels() {
            let extent = region.namespace(label);
            let probed = region.probe(label, &HOST, &self.rules.rules()).map_err(NamespaceError::from);
            let (text, mut json) = match probed.and_then(|personality| is_in_space(personality, extent)) {
                // Old kernels forgot what they did not understand.
                Ok(Personality::Raw) if label.kind != NamespaceKind::Raw => {
                    answer = Answer::No;
                    ("taken for a raw block device, its info block forgotten".to_owned(), json!({ "is": "forgotten" }))
                }
                Ok(personality) => (verdict(&personality, extent), verdict_json(&personality, extent)),
                Err(error) => {
                    answer = Answer::No;
                    let refusal = of_machine::refusal(&error, &subject(&region, label));
                    (format!("refused\n{refusal}"), json!({ "is": "refused", "error": refusal.json() }))
                }
            };
            match self.json.json {
                true => {
                    (json["name"], json["start"], json["size_bytes"]) =
                        (label.name.clone().into(), extent.start.into(), extent.size.into());
                    verdicts.push(json);
                }
                false => print(format!("{}: {text}", label.name))?,
            }
        }
        if self.json.json {
            print_json(&json!({ "namespaces": verdicts }))?;
        }
        Ok(answer)
    }
}
