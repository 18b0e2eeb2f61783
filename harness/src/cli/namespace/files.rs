//! Regions and namespaces over files: `pfnbench namespace region`, `create`, `list`, `check`, `enable`, `disable`, `destroy`.

use super::MapArg;
use crate::capacity::{HOST, Time};
use crate::cli::{Answer, Json, print, print_json};
use crate::units::parse_size;
use crate::{shrunk_media, table};
use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use memmap_layouts::layouts::{Dax, DaxX86, Subsection, VmemmapSection};
use memmap_layouts::machine::{Machine, MachineConfig};
use memmap_layouts::nvdimm::Extent;
use memmap_layouts::nvdimm::division::Surroundings;
use memmap_layouts::nvdimm::label::{LABEL_FILE_BYTES, Label, NamespaceKind};
use memmap_layouts::nvdimm::namespace::{disable, enable};
use memmap_layouts::nvdimm::region::{DEFAULT_ALIGN, Personality, Region, Wanted};
use memmap_layouts::nvdimm::storage::{Access, Medium};
use memmap_layouts::{BootMap, Bytes, Config, Hotplug, Inspect, RecordStore, SectionFlags, X86_64};
use serde_json::json;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The labels of a medium are beside it.
fn labels_path(medium: &Path) -> PathBuf {
    let mut name = medium.as_os_str().to_owned();
    name.push(".labels");
    name.into()
}

/// A region that is there.
#[derive(Args, Clone, Debug)]
struct MediumArgs {
    /// The file that plays the medium; its labels are in FILE.labels.
    #[arg(value_name = "FILE")]
    medium: PathBuf,
    /// Where the firmware puts the region now, if not where it was made.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size)]
    at: Option<u64>,
}

impl MediumArgs {
    fn open(&self, access: Access) -> anyhow::Result<Region<Medium>> {
        let medium = Medium::open(&self.medium, access)?;
        let path = labels_path(&self.medium);
        let labels = Medium::open(&path, access).with_context(|| {
            format!("{} has no labels; pfnbench namespace region makes a region", self.medium.display())
        })?;
        Region::open(medium, labels, self.at)
            .with_context(|| format!("cannot open the region of {}", self.medium.display()))
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace region /dev/shm/pmem0 --size 4G
  pfnbench namespace region pmem0 --size 252G --start 0x187c000000")]
pub(super) struct RegionArgs {
    /// The file to be made, sparse; its labels go to FILE.labels.
    #[arg(value_name = "FILE")]
    medium: PathBuf,
    /// Bytes, e.g. 64G.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: u64,
    /// Physical address of the first byte.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_size, default_value = "0x100000000")]
    start: u64,
    /// Namespaces begin at multiples of this; 16 MiB, or 4 KiB if the region is smaller.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    align: Option<u64>,
}

/// Files that go again unless all goes well.
struct Made<'a>(Vec<&'a Path>);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl RegionArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let align = self.align.unwrap_or(if self.size < DEFAULT_ALIGN { HOST.page_bytes } else { DEFAULT_ALIGN });
        let labels_path = labels_path(&self.medium);
        let medium = Medium::create(&self.medium, self.size)?;
        let mut made = Made(vec![&self.medium]);
        let labels = Medium::create(&labels_path, LABEL_FILE_BYTES)?;
        made.0.push(&labels_path);
        let region = Region::create(medium, labels, self.start, align, &HOST)?;
        made.0.clear();
        let extent = region.extent();
        print(format!(
            "region of {} at {:#x}, namespaces on multiples of {}",
            Bytes(extent.size),
            extent.start,
            Bytes(align)
        ))?;
        Ok(Answer::Yes)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// A block device without records.
    Raw,
    /// A block device with records, for file systems.
    Fsdax,
    /// A device to be mapped.
    Devdax,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace create /dev/shm/pmem0 --size 16M
  pfnbench namespace create pmem0 --size 64G --mode devdax --align 1G --map mem

Exit codes: 0 made, 1 the region has no room or cannot hold it there, 2 a size or an alignment that cannot be.")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Bytes, a multiple of the region's alignment.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: u64,
    /// What for.
    #[arg(long, value_enum, default_value_t = ModeArg::Fsdax)]
    mode: ModeArg,
    /// Where its records lie.
    #[arg(long, value_enum, default_value_t = MapArg::Dev)]
    map: MapArg,
    /// Alignment of its data: 4K, 2M or 1G.
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "2M")]
    align: u64,
    /// Its name; namespace0.N by default.
    #[arg(long)]
    name: Option<String>,
    /// Whose rules.
    #[arg(long, value_enum, default_value_t = Time::Merged)]
    rules: Time,
}

impl CreateArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write)?;
        let kind = match self.mode {
            ModeArg::Raw => NamespaceKind::Raw,
            ModeArg::Fsdax => NamespaceKind::FsDax,
            ModeArg::Devdax => NamespaceKind::DevDax,
        };
        let is_free = |name: &String| region.labels().iter().all(|label| label.name != *name);
        let unused = || (0u64..).map(|nr| format!("namespace0.{nr}")).find(is_free).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(unused);
        let (uuid, instance) = (Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes());
        let (size, align, records) = (self.size, self.align, self.map.records());
        let wanted = Wanted { size, align, kind, records, name: name.clone(), uuid, instance };
        let division = region.create_namespace(&wanted, &Surroundings::default(), &HOST, &self.rules.rules())?;
        let start = region.namespace(region.label(&uuid)?).start;
        let usable = division.map_or(size, |division| division.usable());
        print(format!("{name}: {} of {} usable, at {start:#x}, {}", Bytes(usable), Bytes(size), kind.name()))?;
        Ok(Answer::Yes)
    }
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    medium: MediumArgs,
    #[command(flatten)]
    json: Json,
}

impl ListArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read)?;
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
}

fn verdict(personality: &Personality, namespace: Extent) -> String {
    match personality {
        Personality::Raw => "a raw block device".to_owned(),
        Personality::Pages(_, settings) => format!(
            "{} of data from {} on{}",
            Bytes(settings.data_bytes(namespace)),
            Bytes(settings.block_io_offset()),
            if settings.has_dax() { "" } else { "; padded in front, so it is a block device without DAX" }
        ),
    }
}

impl CheckArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        let region = self.medium.open(Access::Read)?;
        let mut answer = Answer::Yes;
        for label in region.labels() {
            match region.probe(label, &HOST, &self.rules.rules()) {
                // Old kernels forgot what they did not understand.
                Ok(Personality::Raw) if label.kind != NamespaceKind::Raw => {
                    answer = Answer::No;
                    print(format!("{}: taken for a raw block device, its info block forgotten", label.name))?;
                }
                Ok(personality) => {
                    print(format!("{}: {}", label.name, verdict(&personality, region.namespace(label))))?
                }
                Err(error) => {
                    answer = Answer::No;
                    print(format!("{}: refused: {error}", label.name))?;
                }
            }
        }
        Ok(answer)
    }
}

/// One namespace of a region.
#[derive(Debug, Args)]
pub(super) struct OneArgs {
    #[command(flatten)]
    medium: MediumArgs,
    /// Its name or uuid.
    #[arg(value_name = "NAMESPACE")]
    namespace: String,
}

impl OneArgs {
    fn find(&self, region: &Region<Medium>) -> anyhow::Result<Label> {
        let is_meant = |label: &&Label| {
            label.name == self.namespace || Uuid::from_bytes(label.uuid).to_string() == self.namespace.to_lowercase()
        };
        let found: Vec<_> = region.labels().iter().filter(is_meant).collect();
        match found[..] {
            [one] => Ok(one.clone()),
            [] => {
                let names: Vec<_> = region.labels().iter().map(|label| label.name.as_str()).collect();
                let there =
                    if names.is_empty() { "it has none".to_owned() } else { format!("there are {}", names.join(", ")) };
                Err(anyhow!("the region has no namespace {:?}; {there}", self.namespace))
            }
            _ => bail!(
                "{} namespaces have the name {:?}; name one by its uuid (pfnbench namespace list)",
                found.len(),
                self.namespace
            ),
        }
    }

    pub(super) fn disable(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write)?;
        let label = self.find(&region)?;
        region.set_disabled(&label.uuid, true)?;
        Ok(Answer::Yes)
    }

    pub(super) fn destroy(&self) -> anyhow::Result<Answer> {
        let mut region = self.medium.open(Access::Write)?;
        let label = self.find(&region)?;
        region.destroy_namespace(&label.uuid)?;
        Ok(Answer::Yes)
    }
}

/// Layouts that a machine can run here.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LayoutArg {
    /// Whole sections, as until Linux 5.2; records in RAM.
    VmemmapSection,
    /// Sub-sections, records in RAM.
    Subsection,
    /// Sub-sections, every record on the medium, as on arm64.
    Dax,
    /// Sub-sections, records of whole sections on the medium, as on x86-64.
    DaxX86,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pfnbench namespace enable /dev/shm/pmem0 namespace0.0
  pfnbench namespace enable pmem0 namespace0.0 --at 0x104000000 --layout vmemmap-section

Exit codes: 0 it came up and every record was read, 1 it was refused, 2 the region cannot be opened.")]
pub(super) struct EnableArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The layout of the machine, whose rules it follows.
    #[arg(long, value_enum, default_value_t = LayoutArg::DaxX86)]
    layout: LayoutArg,
}

impl EnableArgs {
    pub(super) fn run(&self) -> anyhow::Result<Answer> {
        shrunk_media::end_with_a_sentence().context("cannot prepare for media that become shorter")?;
        let mut region = self.one.medium.open(Access::Write)?;
        let mut label = self.one.find(&region)?;
        label.is_disabled = false;
        let said = match self.layout {
            LayoutArg::VmemmapSection => try_on::<VmemmapSection>(&region, &label),
            LayoutArg::Subsection => try_on::<Subsection>(&region, &label),
            LayoutArg::Dax => try_on::<Dax>(&region, &label),
            LayoutArg::DaxX86 => try_on::<DaxX86>(&region, &label),
        };
        let said = said.with_context(|| format!("{} does not come up", label.name))?;
        region.set_disabled(&label.uuid, false)?;
        print(said)?;
        Ok(Answer::Yes)
    }
}

/// Brings a namespace up, reads its records, takes it down; what was seen.
fn try_on<L: Hotplug<Geometry = X86_64> + SectionFlags + Inspect>(
    region: &Region<Medium>,
    label: &Label,
) -> anyhow::Result<String> {
    let (map, config) = (BootMap::default(), MachineConfig::default());
    let machine = Machine::<L>::boot(&map, config, &Config::default(), RecordStore::unlimited())?;
    let enabled = enable(region, label, &HOST, &machine)?;
    let mut said = format!("{}: {}", label.name, verdict(&enabled.personality, region.namespace(label)));
    if let Some(mapping) = &enabled.mapping {
        if let Some(pfn) = mapping.first_wrong_record(machine.layout()) {
            bail!("the record of {pfn} is not its own");
        }
        let accounting = machine.layout().accounting();
        said = format!(
            "{said}; {} page frames, records: {} in RAM, {} on the medium",
            mapping.range.nr_pages(),
            Bytes(accounting.ram_record_bytes),
            Bytes(accounting.device_record_bytes)
        );
    }
    disable(&enabled, &machine)?;
    Ok(said)
}
