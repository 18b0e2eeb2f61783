//! The command `pfnbench namespace enable`.

use super::around::parse_extent;
use super::media::{MediumArgs, places, subject};
use super::one::find;
use super::records_bar::RecordsBar;
use super::verdict::{verdict, verdict_json};
use crate::cli::{Answer, Json, print, print_json};
use crate::pmem::capacity::HOST;
use crate::pmem::refusal::Refusal;
use anyhow::{Context, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use memmap_layouts::layouts::{Visitor, visit};
use memmap_layouts::machine::{Machine, MachineConfig};
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::label::{Label, NamespaceKind};
use memmap_layouts::nvdimm::namespace::{Enabled, NamespaceError, disable, enable};
use memmap_layouts::nvdimm::region::{Personality, Region};
use memmap_layouts::nvdimm::scene::{SECTION_DAX, SectionDax};
use memmap_layouts::nvdimm::storage::{Access, StorageFile};
use memmap_layouts::rules::Rules;
use memmap_layouts::{
    BootMap, BootRange, Bytes, Config, Hotplug, Inspect, Memmap, PfnRange, RecordStore, SectionFlags, X86_64,
};
use serde_json::json;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace enable /dev/shm/pmem0 namespace0.0
  pfnbench namespace enable pmem0 all                   all of them on one machine, each beside the others
  pfnbench namespace enable pmem0 namespace0.0 --at 0x104000000 --layout vmemmap-section
  pfnbench namespace enable pmem0 namespace0.0 --layout section-dax --ram 0xfc000000-0xffffffff

Exit codes: 0 all came up and every record was read, 1 one was refused, or medium or labels say no, 2 a file is not there.")]
pub(super) struct EnableArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Names or UUIDs of namespaces, or `all`
    #[arg(value_name = "NAMESPACE", required = true)]
    namespaces: Vec<String>,
    /// Layout of the machine, whose rules apply; section-dax is vmemmap-section with records on the
    /// device
    #[arg(long, value_parser = PossibleValuesParser::new(layouts()), default_value = "dax-x86")]
    layout: String,
    /// RAM of the machine, as first and last byte or as start and size; only the sections beside
    /// the ends of the region matter
    #[arg(long, value_name = "RANGE", value_parser = parse_extent)]
    ram: Vec<Extent>,
    #[command(flatten)]
    pub(super) json: Json,
}

/// RAM that could conflict: the parts in the section before a region, its own sections and the one
/// after.
fn ram_beside(region: &Extent, ram: &[Extent]) -> anyhow::Result<BootMap> {
    let section = HOST.section_bytes;
    let from = (region.start - region.start % section).saturating_sub(section);
    let to = region.end().next_multiple_of(section).saturating_add(section);
    let part = |extent: &Extent| {
        PfnRange::new(extent.start.max(from) / HOST.page_bytes, extent.end().min(to) / HOST.page_bytes)
    };
    let ranges = ram.iter().filter_map(part).filter(|range| !range.is_empty());
    Ok(BootMap::new(ranges.map(|range| BootRange { range, node: 0 }))?)
}

/// Ids of the layouts that support hotplug.
fn layouts() -> Vec<&'static str> {
    struct Names(Vec<&'static str>);
    impl Visitor<X86_64> for Names {
        fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {}
        fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
            self.0.push(L::ID);
        }
    }
    let mut names = Names(Vec::new());
    visit(&mut names);
    names.0.push(SECTION_DAX);
    names.0
}

/// What a machine read from a namespace, or why it refused the namespace.
struct Seen {
    label: Label,
    result: anyhow::Result<Up>,
}

struct Up {
    enabled: Enabled,
    nr_pages: u64,
    ram_record_bytes: u64,
    device_record_bytes: u64,
}

/// Enables namespaces on a machine with one of the layouts.
struct OnLayout<'a> {
    layout: &'a str,
    region: &'a Region<StorageFile>,
    ram: &'a [Extent],
    labels: &'a [Label],
    seen: Option<anyhow::Result<Vec<Seen>>>,
}

impl OnLayout<'_> {
    /// Enables all of them together, reads their records, and takes them down.
    fn bring_up<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(&self) -> anyhow::Result<Vec<Seen>> {
        let (map, config) = (ram_beside(&self.region.extent(), self.ram)?, MachineConfig::default());
        let machine = Machine::<L>::boot(&map, config, &Config::default(), RecordStore::unlimited())?;
        let mut bar = RecordsBar::new(0);
        let mut seen = Vec::new();
        for label in self.labels {
            bar.of(label.size / HOST.page_bytes);
            let result = self.up(&machine, label, &mut bar);
            seen.push(Seen { label: label.clone(), result });
        }
        let mut taken_down = Ok(());
        for Seen { label, result } in &seen {
            let Ok(up) = result else { continue };
            bar.of(label.size / HOST.page_bytes);
            let wrong = up
                .enabled
                .mapping
                .as_ref()
                .and_then(|mapping| mapping.first_wrong_record(machine.layout(), |nr_pages| bar.reading(nr_pages)));
            bar.taking_down();
            let is_down = disable(&up.enabled, &machine);
            taken_down = taken_down.and(is_down.with_context(|| subject(self.region, label)));
            if let Some(pfn) = wrong {
                bail!("{}: the record of {pfn} is not its own", label.name);
            }
        }
        taken_down.map(|()| seen)
    }

    fn up<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
        &self,
        machine: &Machine<L>,
        label: &Label,
        bar: &mut RecordsBar,
    ) -> anyhow::Result<Up> {
        let before = machine.layout().accounting();
        let label = Label { is_disabled: false, ..label.clone() };
        let enabled = enable(self.region, &label, &HOST, machine, bar).map_err(|error| {
            let works = match &error {
                NamespaceError::Region(error) => {
                    let around = Surroundings { ram: self.ram, regions: &[] };
                    places(self.region, &label, Some(error), &around, &[], &<L::Rules as Rules>::SET)
                }
                _ => Vec::new(),
            };
            anyhow::Error::new(error).context(subject(self.region, &label).with(works))
        })?;
        let after = machine.layout().accounting();
        Ok(Up {
            nr_pages: enabled.mapping.as_ref().map_or(0, |mapping| mapping.range.nr_pages()),
            ram_record_bytes: after.ram_record_bytes.saturating_sub(before.ram_record_bytes),
            device_record_bytes: after.device_record_bytes.saturating_sub(before.device_record_bytes),
            enabled,
        })
    }
}

impl Visitor<X86_64> for OnLayout<'_> {
    fn fixed<L: Memmap<Geometry = X86_64>>(&mut self) {}
    fn hotplug<L: Hotplug<Geometry = X86_64> + Inspect + SectionFlags>(&mut self) {
        if L::ID == self.layout {
            self.seen = Some(self.bring_up::<L>());
        }
    }
}

impl EnableArgs {
    fn named(&self, region: &Region<StorageFile>) -> anyhow::Result<Vec<Label>> {
        let mut labels: Vec<Label> = Vec::new();
        for name in &self.namespaces {
            let found = match name.as_str() {
                "all" => region.labels().to_vec(),
                name => vec![find(region, &self.medium.paths, name)?],
            };
            let is_new = |label: &Label| labels.iter().all(|other| other.uuid != label.uuid);
            let new: Vec<_> = found.into_iter().filter(is_new).collect();
            labels.extend(new);
        }
        Ok(labels)
    }

    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write, self.json)?;
        let labels = self.named(&region)?;
        let mut on = OnLayout { layout: &self.layout, region: &region, ram: &self.ram, labels: &labels, seen: None };
        match self.layout == SECTION_DAX {
            true => on.seen = Some(on.bring_up::<SectionDax>()),
            false => visit(&mut on),
        }
        let Some(seen) = on.seen else { bail!("no layout is called {}", self.layout) };
        let (mut answer, mut told) = (Answer::Yes, Vec::new());
        for Seen { label, result } in seen? {
            let extent = region.namespace(&label);
            let mut json = match result {
                Ok(Up { enabled: Enabled { personality: Personality::Raw, .. }, .. })
                    if label.kind != NamespaceKind::Raw =>
                {
                    answer = Answer::No;
                    self.tell(&label, "taken for a raw block device, its info block forgotten")?;
                    json!({ "is": "forgotten" })
                }
                Ok(up) => {
                    region.set_disabled(&label.uuid, false).with_context(|| subject(&region, &label))?;
                    let personality = &up.enabled.personality;
                    self.tell(&label, &format!("{}{}", verdict(personality, extent), records(&up)))?;
                    let mut json = verdict_json(personality, extent);
                    json["page_frames"] = up.nr_pages.into();
                    json["ram_record_bytes"] = up.ram_record_bytes.into();
                    json["device_record_bytes"] = up.device_record_bytes.into();
                    json
                }
                Err(error) => {
                    answer = Answer::No;
                    let Some(refusal) = Refusal::of(&error) else { return Err(error) };
                    if !self.json.json {
                        eprintln!("{refusal}");
                    }
                    json!({ "is": "refused", "error": refusal.json() })
                }
            };
            (json["name"], json["start"], json["size_bytes"]) =
                (label.name.clone().into(), extent.start.into(), extent.size.into());
            told.push(json);
        }
        if self.json.json {
            print_json(&json!({ "layout": self.layout, "namespaces": told }))?;
        }
        Ok(answer)
    }

    fn tell(&self, label: &Label, what: &str) -> anyhow::Result<()> {
        match self.json.json {
            true => Ok(()),
            false => print(format!("{}: {what}", label.name)),
        }
    }
}

fn records(up: &Up) -> String {
    match up.nr_pages {
        0 => String::new(),
        nr_pages => format!(
            "; {nr_pages} page frames, records: {} in RAM, {} on the medium",
            Bytes(up.ram_record_bytes),
            Bytes(up.device_record_bytes)
        ),
    }
}
