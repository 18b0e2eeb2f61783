//! The commands `pfnbench namespace list` and `check`: what a region contains, and whether a kernel
//! would accept it.

use super::around::WorldArgs;
use super::media::{MediumArgs, places, subject};
use super::verdict::{verdict, verdict_json};
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::capacity::HOST;
use crate::pmem::refusal::{Refusal, of_machine, of_region};
use crate::present::table;
use clap::Args;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::forecast::{Mapped, forecast};
use memmap_layouts::nvdimm::label::{Label, NamespaceKind};
use memmap_layouts::nvdimm::region::{Personality, Region, RegionError};
use memmap_layouts::nvdimm::storage::{Access, StorageFile};
use memmap_layouts::rules::RuleSet;
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
  pfnbench namespace check pmem0 --rules before         what Linux until 5.2 would say
  pfnbench namespace check pmem0 --rules before --ram 0xfc000000-0xffffffff

Each is checked in its place: its info block, the physical space, who shares what a machine would add (RAM, other regions, the
namespaces in front of it that are enabled), and room on the medium for its records by the rules of x86-64, which keeps those of parts
of sections in RAM; arm64 (--layout dax of enable) needs more.

Exit codes: 0 every namespace is taken, 1 one is not, or medium or labels say no, 2 a file is not there.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    medium: MediumArgs,
    #[command(flatten)]
    world: WorldArgs,
    #[command(flatten)]
    pub(super) json: Json,
}

impl CheckArgs {
    /// The info block, then what a machine would say; `own` is what those in front of it have.
    fn check(
        &self,
        region: &Region<StorageFile>,
        label: &Label,
        own: &[Extent],
        rules: &RuleSet,
    ) -> Result<Personality, Box<Refusal>> {
        let (subject, around) = (subject(region, label), self.world.around.surroundings());
        let instead =
            |error: Option<&RegionError>| subject.clone().with(places(region, label, error, &around, own, rules));
        let personality = region.probe(label, &HOST, rules);
        let personality = personality.map_err(|error| of_region::refusal(&error, &instead(Some(&error))))?;
        if let Personality::Pages(_, settings) = &personality {
            let regions = [around.regions, own].concat();
            let around = Surroundings { ram: around.ram, regions: &regions };
            forecast(&Mapped::new(settings, region.namespace(label)), &around, &HOST, rules)
                .map_err(|error| of_machine::of_forecast(&error, &instead(None)))?;
        }
        Ok(personality)
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read, self.json)?;
        let (mut answer, mut verdicts, rules) = (Answer::Yes, Vec::new(), self.world.rules.rules());
        // Preceding namespaces are enabled first, unless they are disabled.
        let mut own = Vec::new();
        for label in region.labels() {
            let extent = region.namespace(label);
            let checked = self.check(&region, label, &own, &rules);
            if let (Ok(Personality::Pages(_, settings)), false) = (&checked, label.is_disabled) {
                own.push(settings.mapped(extent));
            }
            let (text, mut json) = match checked {
                // Old kernels treated info blocks that they did not understand as absent.
                Ok(Personality::Raw) if label.kind != NamespaceKind::Raw => {
                    answer = Answer::No;
                    ("taken for a raw block device, its info block forgotten".to_owned(), json!({ "is": "forgotten" }))
                }
                Ok(personality) => (verdict(&personality, extent), verdict_json(&personality, extent)),
                Err(refusal) => {
                    answer = Answer::No;
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
