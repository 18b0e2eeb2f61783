//! `pfnbench namespace list` and `check`: what a region holds, and whether a kernel would take it.

use super::around::AroundArgs;
use super::media::{MediumArgs, starts, subject};
use super::remedy::{Tried, tried};
use super::verdict::{verdict, verdict_json};
use crate::capacity::{HOST, Time};
use crate::cli::{Answer, Json, print, print_json};
use crate::refusal::{Refusal, of_machine, of_region};
use crate::table;
use clap::Args;
use memmap_layouts::Bytes;
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::forecast::{Held, Mapped, forecast};
use memmap_layouts::nvdimm::label::{Label, NamespaceKind};
use memmap_layouts::nvdimm::region::{Personality, Region};
use memmap_layouts::nvdimm::storage::{Access, Medium};
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

Exit codes: 0 every namespace is taken, 1 one is not, 2 the region cannot be opened.")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    medium: MediumArgs,
    #[command(flatten)]
    around: AroundArgs,
    /// Whose rules.
    #[arg(long, value_enum, default_value_t = Time::Merged)]
    rules: Time,
    #[command(flatten)]
    pub(super) json: Json,
}

/// What would be mapped of a namespace.
fn mapped(personality: &Personality, namespace: Extent) -> Option<Mapped> {
    match personality {
        Personality::Raw => None,
        Personality::Pages(_, settings) => {
            let (extent, dataoff, records) = (settings.mapped(namespace), settings.dataoff, settings.records);
            Some(Mapped { extent, dataoff, records })
        }
    }
}

impl CheckArgs {
    /// Starts of the region with which a machine would map a namespace: where it was made, and where it begins with a section.
    fn places(&self, region: &Region<Medium>, label: &Label, rules: &RuleSet) -> Vec<String> {
        let (start, section) = (region.extent().start, HOST.section_bytes);
        let below = start.saturating_sub(region.namespace(label).start % section);
        let places =
            [region.made_at(), below, below.saturating_add(section)].into_iter().filter(|place| *place != start);
        let is_mapped = |place: &u64| {
            let Some(namespace) = place.checked_add(label.offset).and_then(|start| Extent::new(start, label.size))
            else {
                return false;
            };
            let personality = region.probe_at(*place, label, &HOST, rules);
            let mapped = personality.ok().and_then(|personality| mapped(&personality, namespace));
            let held = Held { ram: &self.around.ram, mapped: &self.around.region };
            mapped.is_some_and(|mapped| forecast(&mapped, held, &HOST, rules).is_ok())
        };
        tried(places.map(|place| Tried::new(format!("--at {place:#x}"), place)), is_mapped)
    }

    /// The info block, then what a machine would say; `held` is what those in front have.
    fn check(
        &self,
        region: &Region<Medium>,
        label: &Label,
        held: &mut Vec<Extent>,
        rules: &RuleSet,
    ) -> Result<Personality, Box<Refusal>> {
        let subject = subject(region, label);
        let personality = region
            .probe(label, &HOST, rules)
            .map_err(|error| of_region::refusal(&error, &subject.clone().with(starts(region, label, &error, rules))))?;
        if let Some(mapped) = mapped(&personality, region.namespace(label)) {
            forecast(&mapped, Held { ram: &self.around.ram, mapped: held }, &HOST, rules).map_err(|error| {
                let works = self.places(region, label, rules);
                Box::new(of_machine::of_forecast(&error, &subject.clone().with(works)))
            })?;
            if !label.is_disabled {
                held.push(mapped.extent);
            }
        }
        Ok(personality)
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read, self.json)?;
        let (mut answer, mut verdicts, rules) = (Answer::Yes, Vec::new(), self.rules.rules());
        // Those in front are brought up first, unless they are disabled.
        let mut held = self.around.region.clone();
        for label in region.labels() {
            let extent = region.namespace(label);
            let checked = self.check(&region, label, &mut held, &rules);
            let (text, mut json) = match checked {
                // Old kernels forgot what they did not understand.
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
